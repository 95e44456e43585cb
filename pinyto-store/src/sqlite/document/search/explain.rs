//! How queries are answered, for tests.

use pinyto_core::{
    document::{Document, Scope, Search},
    query::{Direction, Query},
    testing::given,
};

use super::{super::super::pool::Readers, Reading, statement::Statement};
use crate::query::{
    evaluation::Evaluations,
    way::{Purpose, Ways},
};

/// What is found along each way there is.
pub(in crate::sqlite) async fn along_all_ways(
    readers: &Readers,
    evaluations: &Evaluations,
    scope: Scope,
    search: &Search,
) -> Vec<(String, Vec<Document>)> {
    let mut lent = readers.borrow().await.unwrap();
    let db = lent.connection().unwrap();
    let limits = given::NO_SCAN_LIMITS;
    let mut reading = Reading::new(
        scope,
        &search.query,
        Some(&search.sort),
        limits,
        evaluations,
    );
    assert!(reading.begin(db).await.is_ok());
    let ways = Ways::of(&search.query, reading.sort, scope, &reading.indexes);
    let mut along = Vec::new();
    for (way, in_order) in ways.all() {
        assert!(super::ended(Ok(&mut *db)).await);
        assert!(reading.begin(db).await.is_ok());
        let (condition, binds) = reading.translate();
        let way_taken = (&way, in_order, ways.leads_to_nothing_else(&way));
        let found = reading.follow(db, search, way_taken, &condition, binds);
        let Ok::<Vec<Document>, _>(found) = found.await else {
            panic!("{way:?} doesn't end");
        };
        along.push((format!("{way:?}"), found));
    }
    if let Some(way) = ways.at_once().filter(|_| reading.takes_at_once(search)) {
        assert!(super::ended(Ok(&mut *db)).await);
        assert!(reading.begin(db).await.is_ok());
        let Ok(found) = reading.at_once(db, search, way).await else {
            panic!("{way:?} doesn't end at once");
        };
        along.extend(found.map(|found| (format!("at once {way:?}"), found)));
    }
    along
}

/// How SQLite goes about the statement that a search, or else a count, makes.
pub(in crate::sqlite) async fn explain(
    readers: &Readers,
    evaluations: &Evaluations,
    scope: Scope,
    query: &Query,
    search: Option<&Search>,
) -> String {
    let mut lent = readers.borrow().await.unwrap();
    let db = lent.connection().unwrap();
    let sort = search.map(|search| &search.sort);
    let mut reading = Reading::new(scope, query, sort, given::NO_SCAN_LIMITS, evaluations);
    let begun = reading.begin(db).await;
    assert!(begun.is_ok());
    let (condition, binds) = reading.translate();
    let ways = Ways::of(query, sort, scope, &reading.indexes);
    let purpose = search.map_or(Purpose::All, |_| Purpose::First);
    let chosen = reading.choose(db, &ways, purpose).await;
    let Ok((way, in_order)) = chosen else {
        panic!("no way");
    };
    let counted = ways
        .count(&way, scope)
        .filter(|_| search.is_none() && ways.is_exact);
    let direction = sort.map_or(Direction::Ascending, |sort| sort.direction);
    let Statement { sql, values, .. } = match counted {
        Some(counted) => counted.into(),
        None => reading.documents(&way, direction, &condition, binds),
    };
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let statement = Statement::new(sql, values);
    let steps: Vec<(i64, i64, i64, String)> =
        statement.query().unwrap().fetch_all(db).await.unwrap();
    let mut steps: Vec<String> = steps.into_iter().map(|(.., step)| step).collect();
    if search.is_some() && !in_order {
        steps.push("then sorts".to_owned());
    }
    steps.join("; ")
}
