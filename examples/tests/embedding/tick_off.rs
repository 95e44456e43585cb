use std::error::Error;

use pinyto_core::{Cloud, Page, document::Search, query::Query, session::Session};
use serde_json::{Value, json};

async fn tick_off(cloud: &Cloud, session: &Session) -> Result<u64, Box<dyn Error>> {
    let open = Query::parse(&json!({"type": "todo", "data.done": false}))?;
    let oldest = Search::new(open.clone()).page(Page::first(20));
    for mut todo in cloud.search_documents(session, oldest).await? {
        if let Some(Value::Object(data)) = todo.fields.get_mut("data") {
            data.insert("done".into(), json!(true));
            cloud.save_document(session, todo).await?;
        }
    }
    Ok(cloud.count_documents(session, &open).await?)
}
