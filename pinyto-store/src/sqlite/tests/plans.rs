//! Every statement that a request can cause finds its rows through an index.

use sqlx::AssertSqlSafe;

use super::{
    super::{SqliteStore, assembly, document, job, key, keyserver, run, session, throttle, user},
    store,
};

/// All but those that by their nature go through a whole table.
const STATEMENTS: &[&str] = &[
    user::FIND,
    user::USAGE,
    key::LIST,
    key::MATCHING,
    key::FIND_OPENPGP,
    key::COUNT,
    key::SELECT,
    key::SET_ACTIVE,
    key::DELETE,
    session::FIND,
    session::FIND_BY_TOKEN,
    session::NOTE_LOGIN,
    session::REPLACE,
    session::RENEW,
    session::END,
    session::SPEND,
    session::FORGET_SPENT,
    session::END_UNUSED,
    keyserver::FIND,
    keyserver::KEY_OF_ACCOUNT,
    keyserver::CHANGE,
    keyserver::PASSWORD_KEY,
    keyserver::REHASH,
    assembly::FIND,
    assembly::FIND_FUNCTION,
    assembly::LIST_OF_AUTHOR,
    assembly::LIST_INSTALLED,
    assembly::NAMESAKES,
    assembly::REPLACE,
    assembly::DELETE,
    assembly::INSTALLABLE,
    assembly::UNINSTALL,
    document::FIND,
    run::FIND,
    run::LIST_OF_USER,
    run::OWN_ASSEMBLY,
    run::LIST_OF_ASSEMBLY,
    run::HOUR_USAGE,
    run::INSERT,
    run::TRIM,
    run::BOOK,
    run::SWEEP,
    run::BEGIN_BATCH,
    job::PLAN,
    job::REVIVE_CHANGED,
    job::REPLAN,
    job::KEY,
    job::QUEUED,
    job::REVIVE,
    job::HASTEN,
    job::RELEASE,
    job::SET_BACK,
    job::WAITING,
    job::WAITS,
    job::FIRST,
    job::DUE,
    job::PUT_OFF,
    job::TAKE_TURN,
    job::EXTEND,
    job::HELD,
    job::WRITE,
    job::DELETE,
    job::NEXT_DUE,
    job::LIST_OF_USER,
    throttle::GROUP,
    throttle::NOTE,
    throttle::FORGET,
];

#[tokio::test]
async fn no_statement_goes_through_a_whole_table_or_sorts() {
    let (store, _directory) = store(|options| options).await;
    for statement in STATEMENTS
        .iter()
        .chain(document::change::STATEMENTS)
        .chain(document::index::STATEMENTS)
        .chain(document::search::STATEMENTS)
        .flat_map(|statements| statements.split(';'))
    {
        // Whose limit is a parameter and nothing else is prepared anew whenever it is used.
        for limit in statement.split("LIMIT ?").skip(1) {
            let rest = limit.trim_start_matches(|digit: char| digit.is_ascii_digit());
            assert!(rest.starts_with(" + 0"), "{statement}");
        }
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let query = sqlx::query_as::<_, (i64, i64, i64, String)>(explain);
        for (.., step) in store.readers.all(query).await.unwrap() {
            // What the caller asks for, as an array.
            let wanted = step.starts_with("SCAN wanted VIRTUAL TABLE");
            let constant = step == "SCAN CONSTANT ROW";
            // The entries of one document, or of a few.
            let wanted = wanted || step.starts_with("SCAN e VIRTUAL TABLE");
            let wanted = wanted || step.starts_with("SCAN json_each VIRTUAL TABLE");
            // The few that one author has, and those that her installed assemblies name.
            let places = statement.contains("row_number()");
            let new = places
                && ["SCAN new", "SCAN (subquery"]
                    .iter()
                    .any(|scan| step.starts_with(scan));
            let wanted = wanted || new;
            // The entries of one document, once.
            let own = statement.contains("AS own") && step.ends_with("TEMP B-TREE FOR GROUP BY");
            let new = new || statement.contains("AS own") && step == "SCAN own";
            let wanted = wanted || new;
            let sorts = !places
                && !own
                && step.contains("TEMP B-TREE")
                && statement != assembly::LIST_OF_AUTHOR;
            assert!(
                wanted || constant || !(step.starts_with("SCAN") || sorts),
                "{step} in {statement}"
            );
        }
    }
}

/// It goes through what runs just now, as many users as are claimed for, and no table.
#[tokio::test]
async fn a_claim_looks_at_no_more_than_it_takes() {
    let (store, _directory) = store(|options| options).await;
    for (statement, expected) in [
        (
            job::RUNNING,
            &["SCAN pinyto_job_entries USING INDEX pinyto_running_jobs"][..],
        ),
        (
            job::WAITING,
            &["SEARCH pinyto_job_users USING INDEX pinyto_job_users_by_wait (since<?)"],
        ),
        (
            job::FIRST,
            &[
                "SEARCH c USING COVERING INDEX pinyto_claimable_jobs_of_user (user_id=? AND due_at<?)",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH e USING COVERING INDEX pinyto_due_jobs (user_id=? AND assembly_id=? AND job=? AND due_at>?)",
            ],
        ),
        (
            job::NEXT_DUE,
            &["SEARCH pinyto_job_users USING COVERING INDEX pinyto_job_users_by_due (due_at>?)"],
        ),
    ] {
        assert_eq!(plan(&store, statement).await, expected, "{statement}");
    }
}

/// Each change of an entry finds the rest of its job, and the user's first job, by an index.
#[tokio::test]
async fn what_can_be_claimed_is_kept_without_going_through_anything() {
    let (store, _directory) = store(|options| options).await;
    let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'pinyto_job_changed'";
    let query = sqlx::query_as::<_, (String,)>(trigger);
    let (trigger,) = store.readers.one(query).await.unwrap().unwrap();
    let (_, body) = trigger.split_once("BEGIN").unwrap();
    let statements: Vec<_> = body.split(';').filter(|s| s.trim().len() > 3).collect();
    assert_eq!(statements.len(), 3);
    for statement in statements {
        let statement = statement.replace("NEW.user_id", "?1");
        let statement = statement.replace("NEW.assembly_id", "?2");
        let statement = statement.replace("NEW.job", "?3");
        for step in plan(&store, &statement).await {
            let constant = step == "SCAN CONSTANT ROW" || step.starts_with("SCAN (subquery");
            assert!(
                constant || !step.starts_with("SCAN"),
                "{step} in {statement}"
            );
            assert!(!step.contains("TEMP B-TREE"), "{step} in {statement}");
        }
    }
}

async fn plan(store: &SqliteStore, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let query = sqlx::query_as::<_, (i64, i64, i64, String)>(explain);
    let steps = store.readers.all(query).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect()
}

/// Foreign keys are followed when a row goes; without an index each would go through a table.
#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let (store, _directory) = store(|options| options).await;
    let foreign_keys = "
        SELECT t.name, f.\"from\",
               EXISTS (SELECT 1 FROM pragma_index_list(t.name) l, pragma_index_info(l.name) c
                       WHERE c.seqno = 0 AND c.name = f.\"from\")
               OR EXISTS (SELECT 1 FROM pragma_table_info(t.name) p
                          WHERE p.name = f.\"from\" AND p.pk = 1 AND p.type = 'INTEGER')
        FROM pragma_table_list t, pragma_foreign_key_list(t.name) f
        WHERE t.name LIKE 'pinyto\\_%' ESCAPE '\\'";
    let query = sqlx::query_as::<_, (String, String, bool)>(foreign_keys);
    let found = store.readers.all(query).await.unwrap();
    assert!(found.len() >= 10, "{found:?}");
    for (table, column, indexed) in found {
        assert!(indexed, "{table}.{column}");
    }
}

#[tokio::test]
async fn every_table_is_strict_and_named_as_ours() {
    let (store, _directory) = store(|options| options).await;
    let tables = "SELECT name, strict FROM pragma_table_list
                  WHERE schema = 'main' AND type <> 'view' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let query = sqlx::query_as::<_, (String, bool)>(tables);
    for (table, strict) in store.readers.all(query).await.unwrap() {
        assert!(table.starts_with("pinyto_"), "{table}");
        assert!(strict || table == "pinyto_migrations", "{table}");
    }
}
