//! How queries are answered, for tests.

use pinyto_core::{
    document::{Document, Scope, Search},
    testing::given,
};

use super::{
    super::super::pool::Database, FIRST_BATCH, Part, Reading, Statement, begin, documents,
};
use crate::query::{
    evaluation::Evaluations,
    way::{Purpose, Ways},
};

/// What is found along each way there is.
pub(in crate::postgres) async fn along_all_ways(
    database: &Database,
    evaluations: &Evaluations,
    scope: Scope,
    search: &Search,
) -> Vec<(String, Vec<Document>)> {
    let limits = given::NO_SCAN_LIMITS;
    let mut lent = database.for_query().await.unwrap();
    let begun = begin(&mut lent, limits).await;
    let Ok(mut db) = begun else {
        panic!("no transaction");
    };
    let mut reading = Reading::new(
        scope,
        &search.query,
        Some(&search.sort),
        limits,
        evaluations,
    );
    assert!(reading.look(&mut db).await.is_ok());
    let ways = Ways::of(&search.query, reading.sort, scope, &reading.indexes);
    let mut along = Vec::new();
    for (way, in_order) in ways.all() {
        let found = reading.follow(&mut db, search, &way, in_order).await;
        let found: Vec<Document> = match found {
            Ok(found) => found,
            Err(stop) => panic!("{way:?} doesn't end: {stop:?}"),
        };
        along.push((format!("{way:?}"), found));
    }
    along
}

/// The indexes that PostgreSQL uses for the statement that a search makes, and the steps that go
/// through a whole table or sort.
pub(in crate::postgres) async fn explain(
    database: &Database,
    evaluations: &Evaluations,
    scope: Scope,
    search: &Search,
) -> (Vec<String>, Vec<String>) {
    let limits = given::NO_SCAN_LIMITS;
    let mut lent = database.for_query().await.unwrap();
    let Ok(mut db) = begin(&mut lent, limits).await else {
        panic!("no transaction");
    };
    let mut reading = Reading::new(
        scope,
        &search.query,
        Some(&search.sort),
        limits,
        evaluations,
    );
    assert!(reading.look(&mut db).await.is_ok());
    let ways = Ways::of(&search.query, reading.sort, scope, &reading.indexes);
    let Ok((way, _)) = reading.choose(&mut db, &ways, Purpose::First).await else {
        panic!("no way");
    };
    let (condition, binds) = reading.translate();
    let direction = search.sort.direction;
    let part = Part::InOrder {
        skip: 0,
        count: FIRST_BATCH,
    };
    let Statement { sql, values } = documents(&way, scope, direction, &condition, binds, part);
    let sql = format!("EXPLAIN (COSTS OFF) {sql}");
    let statement = Statement { sql, values };
    let steps: Vec<(String,)> = statement
        .query()
        .unwrap()
        .fetch_all(&mut *db)
        .await
        .unwrap();
    let (mut indexes, mut others) = (Vec::new(), Vec::new());
    for (step,) in steps {
        let step = step.trim().trim_start_matches("->").trim();
        if let Some((_, index)) = step.split_once(" using ") {
            indexes.extend(index.split_whitespace().next().map(str::to_owned));
        } else if step.contains("Seq Scan") || step == "Sort" || step.contains("Bitmap") {
            others.push(step.to_owned());
        }
    }
    (indexes, others)
}
