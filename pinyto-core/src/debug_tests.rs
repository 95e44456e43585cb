//! What is written to logs by `Debug` has nothing of a user's data.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    assembly::{CallAnswer, CallRequest},
    document::{NewDocument, Replacement, Search},
    error::Error,
    id::{AssemblyId, UserId},
    job::{JobFailure, LeaseId},
    query::{Direction, Query, Sort},
    run::{AuthorRun, RunError, RunOutcome, RunPart},
    runtime::{CodeCall, CodeError, Execution, Output, ServiceError, ServiceException},
    testing::given,
    user::User,
};

const MARK: &str = "MARKER";

/// That none of them shows it.
macro_rules! hidden {
    ($($value:expr),* $(,)?) => {
        for shown in [$(format!("{:?}", $value), format!("{:#?}", $value)),*] {
            assert!(!shown.contains(MARK), "{shown}");
        }
    };
}

#[test]
fn calls_and_what_becomes_of_them_show_sizes_only() {
    let request = CallRequest::from_json(r#"{"password":"MARKER"}"#).unwrap();
    let answer = CallAnswer::from_text(r#""MARKER""#.to_owned()).unwrap();
    let alice = User::new(UserId::new(1), given::name("alice"));
    let notes = (AssemblyId::new(1), given::assembly_ref("hugo/Notes"));
    let part = RunPart::Function(given::function_name("get"));
    let mut call = CodeCall::new(MARK, alice, notes, part);
    call.body = Arc::from(r#"{"password":"MARKER"}"#);
    let raised = CodeError::exception("ValueError", MARK).at_line(3);
    let made_up = CodeError::exception(MARK, "");
    let syntax = CodeError::syntax(MARK);
    let service = ServiceError::raised(ServiceException::Value, MARK);
    let ended = ServiceError::Ended(raised.clone());
    let printed = Output::new(MARK);
    let done = Execution::new(Ok(MARK.to_owned()), Duration::ZERO).with_output(printed.clone());
    let failed = Execution::new(Err(raised.clone()), Duration::ZERO);
    hidden!(
        request, answer, call, raised, made_up, syntax, service, ended, printed, done, failed
    );
    hidden!(Error::from(raised.clone()));
    assert!(format!("{raised:?}").contains("ValueError"));

    let mut run = given::run(1, UserId::new(1), "hugo/Notes");
    run.output = printed;
    run.outcome = RunOutcome::Failed(RunError::from(&raised));
    let failure = JobFailure::new(RunError::from(&raised), given::at(0));
    let seen = AuthorRun::of(run.clone(), UserId::new(1));
    hidden!(run, failure, seen);
}

#[test]
fn documents_and_queries_show_no_values() {
    let notes = given::assembly_ref("hugo/Notes");
    let document = given::document(1, &notes, json!({"MARKER": MARK}));
    let replacement = Replacement {
        fields: document.fields.clone(),
        time: None,
        at: given::at(0),
        max_bytes: None,
    };
    let new = NewDocument::new(json!(MARK), json!([MARK]), json!({"MARKER": MARK}));
    let (new, entry) = (new.unwrap(), given::entry(&document));
    hidden!(document, entry, replacement, new);

    let path = "data.title";
    for condition in [
        json!(MARK),
        json!({"$ne": MARK}),
        json!({"$gt": MARK, "$lte": MARK}),
        json!({"$gte": MARK, "$lt": MARK}),
        json!({"$in": [MARK, 1]}),
        json!({"$nin": [MARK]}),
        json!({"$all": [MARK]}),
        json!({"$regex": MARK}),
        json!({"$not": {"$eq": MARK}}),
        json!({"$elemMatch": {"$eq": MARK}}),
        json!({"$elemMatch": {"a": MARK}}),
    ] {
        let search = Search {
            query: Query::parse(&json!({ path: condition })).unwrap(),
            sort: Sort::by(path, Direction::Ascending).unwrap(),
            skip: 0,
            limit: 1,
        };
        hidden!(search, search.query);
        assert!(format!("{:?}", search.query).contains(path));
    }
    let key = Value::from(MARK);
    let key = crate::query::SortKey::of(&key);
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!format!("{key:?}").contains(&hex));
}

#[test]
fn a_lease_is_not_shown_to_its_end() {
    let shown = format!("{:?}", LeaseId::from_bytes([0xab; 16]));
    assert_eq!(shown, "LeaseId(abab..)");
}
