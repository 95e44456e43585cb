//! Documents in the hands of their user's own program: found, counted, saved and removed.

use std::time::Duration;

use pinyto_core::{
    Error, Page, Settings,
    document::{Document, NewDocument, ScanLimit, Search},
    job::{JobState, Trigger},
    query::{Direction, Query, Sort},
    session::Session,
    testing::given,
};
use serde_json::{Value, json};

use crate::support::{World, code, settings};

/// A user with `count` documents of type `book`, whose data are their numbers.
async fn with_books(world: &World, name: &str, count: u64) -> Session {
    let session = world.session_of_new(name).await;
    let source = given::source("Notes");
    let saved = world.cloud.save_assembly(&session, None, &source).await;
    saved.unwrap();
    let notes = given::assembly_ref(&format!("{name}/Notes"));
    let installed = world.cloud.install_assembly(&session, &notes).await;
    installed.unwrap();
    for number in 0..count {
        let book = NewDocument::new(json!("book"), json!(null), json!({"number": number}));
        let stored = world
            .cloud
            .store_document(&session, notes.clone(), book.unwrap());
        stored.await.unwrap();
    }
    session
}

fn books() -> Query {
    given::query(&json!({"type": "book"}))
}

async fn search(world: &World, session: &Session, search: Search) -> Vec<Document> {
    let found = world.cloud.search_documents(session, search).await;
    found.unwrap()
}

fn numbers(documents: &[Document]) -> Vec<Value> {
    let number = |document: &Document| document.fields["data"]["number"].clone();
    documents.iter().map(number).collect()
}

async fn cpu_time(world: &World, session: &Session) -> Duration {
    let statistics = world.cloud.statistics(session).await;
    statistics.unwrap().usage.cpu_time
}

#[tokio::test]
async fn searches_give_what_is_asked_for_in_order() {
    let world = World::toy();
    let hugo = with_books(&world, "hugo", 5).await;
    let all = search(&world, &hugo, Search::new(books())).await;
    assert_eq!(numbers(&all), [0, 1, 2, 3, 4]);
    let by_number = Sort::by("data.number", Direction::Descending).unwrap();
    let part = Search::new(books()).sorted_by(by_number);
    let part = part.page(Page::first(2).after(1));
    assert_eq!(numbers(&search(&world, &hugo, part).await), [3, 2]);
    let few = given::query(&json!({"data.number": {"$lt": 2}}));
    let cloud = &world.cloud;
    assert_eq!(cloud.count_documents(&hugo, &few).await.unwrap(), 2);
    let distinct = cloud
        .distinct_values(&hugo, &few, &given::path("data.number"))
        .await;
    assert_eq!(distinct.unwrap(), [0, 1]);
    let as_json = cloud
        .search_documents_as_json(&hugo, Search::new(few.clone()))
        .await;
    let values: Vec<Value> = serde_json::from_str(&as_json.unwrap()).unwrap();
    let found = search(&world, &hugo, Search::new(few)).await;
    let expected: Vec<Value> = found.iter().map(Document::to_json).collect();
    assert_eq!(values, expected);
}

#[tokio::test]
async fn a_document_is_found_changed_and_removed() {
    let world = World::toy();
    let hugo = with_books(&world, "hugo", 2).await;
    let cloud = &world.cloud;
    let mut found = search(&world, &hugo, Search::new(books())).await;
    let (other, mut book) = (found.remove(1), found.remove(0));
    book.fields.insert("data".into(), json!({"number": 7}));
    for hidden in ["_id", "time", "assembly"] {
        book.fields.insert(hidden.into(), json!("forged"));
    }
    book.time = given::at(-5);
    cloud.save_document(&hugo, book.clone()).await.unwrap();
    let found = cloud.find_document(&hugo, book.id).await.unwrap().unwrap();
    assert_eq!(
        found.to_json(),
        json!({
            "_id": book.id.to_string(),
            "assembly": "hugo/Notes",
            "time": given::at(-5).to_string(),
            "type": "book",
            "tags": [],
            "data": {"number": 7},
        })
    );
    assert_eq!(
        cloud.statistics(&hugo).await.unwrap().usage.bytes,
        found.size() + other.size()
    );

    assert!(cloud.remove_document(&hugo, book.id).await.unwrap());
    assert!(!cloud.remove_document(&hugo, book.id).await.unwrap());
    assert!(cloud.find_document(&hugo, book.id).await.unwrap().is_none());
    let saved = cloud.save_document(&hugo, found).await;
    assert_eq!(code(saved), "unknown_document");
    let left = search(&world, &hugo, Search::new(Query::default())).await;
    assert_eq!(left, [other]);
}

#[tokio::test]
async fn another_users_documents_are_not_there() {
    let world = World::toy();
    let hugo = with_books(&world, "hugo", 1).await;
    let erna = with_books(&world, "erna", 0).await;
    let cloud = &world.cloud;
    let book = search(&world, &hugo, Search::new(books())).await.remove(0);
    assert!(cloud.find_document(&erna, book.id).await.unwrap().is_none());
    assert!(!cloud.remove_document(&erna, book.id).await.unwrap());
    let saved = cloud.save_document(&erna, book.clone()).await;
    assert_eq!(code(saved), "unknown_document");
    let everything = Search::new(Query::default());
    assert_eq!(search(&world, &erna, everything.clone()).await, []);
    let counted = cloud.count_documents(&erna, &Query::default()).await;
    assert_eq!(counted.unwrap(), 0);
    assert_eq!(search(&world, &hugo, everything).await, [book]);
}

#[tokio::test]
async fn a_query_is_given_up_at_its_limits() {
    let with = async |change: fn(&mut Settings)| {
        let mut tight = settings();
        change(&mut tight);
        let world = World::with(tight);
        let hugo = with_books(&world, "hugo", 4).await;
        (world, hugo)
    };
    let (world, hugo) = with(|settings| settings.query_limits.examined = 3).await;
    let by_number = given::query(&json!({"data.number": {"$gte": 0}}));
    for error in [
        world
            .cloud
            .search_documents(&hugo, Search::new(by_number.clone()))
            .await
            .unwrap_err(),
        world
            .cloud
            .count_documents(&hugo, &by_number)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.code(), "query_given_up");
        assert_eq!(
            error.to_string(),
            "The query was given up: it had to look at more than 3 documents. An index on \
             data.number would help: add it to the assembly's indexes."
        );
        let Error::QueryGivenUp(given_up) = error else {
            panic!("{error}");
        };
        assert_eq!(given_up.limit(), ScanLimit::Examined);
        assert_eq!(given_up.limits().examined, 3);
        let path = given_up.missing_index().map(ToString::to_string);
        assert_eq!(path.as_deref(), Some("data.number"));
    }

    let (world, hugo) = with(|settings| settings.code_limits.service_bytes = 300).await;
    let error = world
        .cloud
        .search_documents_as_json(&hugo, Search::new(books()))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "The query was given up: the documents found have more than 300 bytes. Use limit and skip."
    );

    let (world, hugo) = with(|settings| settings.query_limits.found = 3).await;
    let found = search(&world, &hugo, Search::new(books())).await;
    assert_eq!(numbers(&found), [0, 1, 2]);
}

#[tokio::test]
async fn reading_takes_of_the_cpu_time_and_changing_does_not() {
    let mut tight = settings();
    tight.quotas.cpu_per_hour = Some(Duration::from_micros(1));
    let world = World::with(tight);
    let hugo = with_books(&world, "hugo", 1).await;
    assert_eq!(cpu_time(&world, &hugo).await, Duration::ZERO);

    let cloud = &world.cloud;
    let book = search(&world, &hugo, Search::new(books())).await.remove(0);
    let after_search = cpu_time(&world, &hugo).await;
    assert!(after_search > Duration::ZERO);
    // She had some left when it began.
    for refused in [
        code(cloud.find_document(&hugo, book.id).await),
        code(cloud.search_documents(&hugo, Search::new(books())).await),
        code(cloud.count_documents(&hugo, &books()).await),
    ] {
        assert_eq!(refused, "quota_exceeded");
    }
    cloud.save_document(&hugo, book.clone()).await.unwrap();
    assert!(cloud.remove_document(&hugo, book.id).await.unwrap());
    assert_eq!(cpu_time(&world, &hugo).await, after_search);

    world.clock.advance(Duration::from_secs(3600));
    assert!(cloud.find_document(&hugo, book.id).await.unwrap().is_none());
}

#[tokio::test]
async fn who_is_over_her_storage_may_shrink_documents_and_not_let_them_grow() {
    let mut tight = settings();
    tight.quotas.bytes = Some(150);
    let world = World::with(tight);
    let hugo = with_books(&world, "hugo", 1).await;
    let mut book = search(&world, &hugo, Search::new(books())).await.remove(0);
    assert!(book.size() < 150);
    book.fields.insert("data".into(), json!("x".repeat(100)));
    let grown = world.cloud.save_document(&hugo, book.clone()).await;
    assert!(matches!(grown, Err(Error::StorageFull { limit: 150 })));
    let kept = search(&world, &hugo, Search::new(books())).await;
    assert_eq!(numbers(&kept), [0]);
    book.fields.insert("data".into(), json!(null));
    world.cloud.save_document(&hugo, book).await.unwrap();
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_not_saved() {
    let world = World::toy();
    let hugo = with_books(&world, "hugo", 1).await;
    let book = search(&world, &hugo, Search::new(books())).await.remove(0);
    let wrap = |inner, _| Value::Array(vec![inner]);
    let nested = |levels| (0..levels).fold(json!(1), wrap);
    let with_levels = |levels| {
        let mut deep = book.clone();
        deep.fields.insert("data".into(), nested(levels));
        deep
    };
    let deepest = with_levels(NewDocument::MAX_DEPTH);
    world.cloud.save_document(&hugo, deepest).await.unwrap();
    let too_deep = world
        .cloud
        .save_document(&hugo, with_levels(NewDocument::MAX_DEPTH + 1))
        .await;
    assert_eq!(code(too_deep), "document_too_deep");
    let endless = world.cloud.save_document(&hugo, {
        let mut endless = book.clone();
        endless.fields.insert("data".into(), nested(200_000));
        endless
    });
    assert_eq!(code(endless.await), "document_too_deep");
}

#[tokio::test]
async fn what_could_be_stored_can_be_saved_back_unchanged() {
    let world = World::toy();
    let hugo = with_books(&world, "hugo", 0).await;
    let wrap = |inner, _| json!({"a": [inner]});
    let deepest = (0..NewDocument::MAX_DEPTH / 2).fold(json!(1), wrap);
    let new = NewDocument::new(json!("book"), json!(["a"]), deepest).unwrap();
    let (cloud, notes) = (&world.cloud, given::assembly_ref("hugo/Notes"));
    let id = cloud.store_document(&hugo, notes, new).await.unwrap();
    let stored = cloud.find_document(&hugo, id).await.unwrap().unwrap();
    cloud.save_document(&hugo, stored.clone()).await.unwrap();
    assert_eq!(cloud.find_document(&hugo, id).await.unwrap(), Some(stored));
}

#[tokio::test]
async fn saving_a_document_as_a_job_queues_nothing() {
    let world = World::toy();
    let hugo = with_books(&world, "hugo", 1).await;
    let cloud = &world.cloud;
    let mut job = search(&world, &hugo, Search::new(books())).await.remove(0);
    job.fields.insert("type".into(), json!("job"));
    let what = json!({"assembly_user": "hugo", "assembly_name": "Notes", "job_name": "tidy"});
    job.fields.insert("data".into(), what.clone());
    cloud.save_document(&hugo, job).await.unwrap();
    let queued = async || {
        let jobs = cloud.list_jobs(&hugo, Page::first(9)).await.unwrap();
        let by_document = |job: &&JobState| matches!(job.trigger, Trigger::Document(_));
        jobs.iter().filter(by_document).count()
    };
    assert_eq!(queued().await, 0);
    let stored = NewDocument::new(json!("job"), json!(null), what).unwrap();
    let notes = given::assembly_ref("hugo/Notes");
    cloud.store_document(&hugo, notes, stored).await.unwrap();
    assert_eq!(queued().await, 1);
}
