//! `store` and statistics.

use std::time::Duration;

use pinyto_core::{
    document::{Document, DocumentId, NewDocument, Scope},
    session::Session,
    testing::given,
};
use serde_json::{Value, json};

use crate::support::{World, code};

/// A user who has written and installed `hugo/Notes`.
async fn hugo(world: &World) -> Session {
    let session = world.session_of_new("hugo").await;
    let source = given::source("Notes");
    world
        .cloud
        .save_assembly(&session, None, &source)
        .await
        .unwrap();
    let notes = given::assembly_ref("hugo/Notes");
    world
        .cloud
        .install_assembly(&session, &notes)
        .await
        .unwrap();
    session
}

async fn store(
    world: &World,
    session: &Session,
    kind: Value,
    tags: Value,
    data: Value,
) -> DocumentId {
    let document = NewDocument::new(kind, tags, data).unwrap();
    let notes = given::assembly_ref("hugo/Notes");
    let stored = world.cloud.store_document(session, notes, document).await;
    stored.unwrap()
}

async fn find(world: &World, session: &Session, id: DocumentId) -> Document {
    let documents = world.store().documents();
    let found = documents.find(Scope::all_of(session.user.id), id).await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn a_document_is_stored_with_type_time_tags_assembly_and_data() {
    let world = World::toy();
    let hugo = hugo(&world).await;
    world.clock.advance(Duration::from_millis(1234));
    let data = json!({"title": "Ödön \u{1f4d6}", "pages": [1, 2.5, null]});
    let id = store(&world, &hugo, json!("book"), json!(["a", 1]), data.clone()).await;
    let stored = find(&world, &hugo, id).await;
    assert_eq!(
        stored.to_json(),
        json!({
            "_id": id.to_string(),
            "type": "book",
            "time": "2027-01-15T08:00:01.234Z",
            "tags": ["a", 1],
            "assembly": "hugo/Notes",
            "data": data,
        })
    );
}

#[tokio::test]
async fn a_type_is_a_text_or_a_number_and_not_empty() {
    let world = World::toy();
    let hugo = hugo(&world).await;
    for (kind, kept) in [
        (json!("todo"), "todo"),
        (json!(" "), " "),
        (json!(0), "0"),
        (json!(-5), "-5"),
        (json!(2.5), "2.5"),
        (json!(u64::MAX), "18446744073709551615"),
    ] {
        let id = store(&world, &hugo, kind, json!(null), json!(1)).await;
        assert_eq!(find(&world, &hugo, id).await.fields["type"], json!(kept));
    }
    for bad in [
        json!(""),
        json!(null),
        json!(false),
        json!(["a"]),
        json!({"a": 1}),
    ] {
        let refused = NewDocument::new(bad, json!(null), json!(1));
        assert_eq!(code(refused), "invalid_document_type");
    }
}

#[tokio::test]
async fn tags_keep_texts_and_numbers_and_anything_odd_means_none() {
    let world = World::toy();
    let hugo = hugo(&world).await;
    for (tags, kept) in [
        (
            json!(["a", 1, 2.5, "", null, true, ["b"], {"c": 1}]),
            json!(["a", 1, 2.5, ""]),
        ),
        (json!("one"), json!(["one"])),
        (json!(null), json!([])),
        (json!(7), json!([])),
        (json!({"a": 1}), json!([])),
        (json!(true), json!([])),
    ] {
        let id = store(&world, &hugo, json!("t"), tags, json!(1)).await;
        assert_eq!(find(&world, &hugo, id).await.fields["tags"], kept);
    }
}

#[tokio::test]
async fn storing_needs_the_assembly_installed() {
    let world = World::toy();
    let hugo = hugo(&world).await;
    let erna = world.session_of_new("erna").await;
    let store = async |session, text| {
        let document = NewDocument::new(json!("t"), json!(null), json!(1)).unwrap();
        let assembly = given::assembly_ref(text);
        code(
            world
                .cloud
                .store_document(session, assembly, document)
                .await,
        )
    };
    assert_eq!(store(&hugo, "hugo/Notes").await, "ok");
    assert_eq!(store(&hugo, "hugo/Missing").await, "assembly_not_installed");
    assert_eq!(store(&hugo, "nobody/Notes").await, "assembly_not_installed");
    assert_eq!(store(&erna, "hugo/Notes").await, "assembly_not_installed");
    let notes = given::assembly_ref("hugo/Notes");
    world.cloud.uninstall_assembly(&hugo, &notes).await.unwrap();
    assert_eq!(store(&hugo, "hugo/Notes").await, "assembly_not_installed");
    assert_eq!(given::document_count(world.store(), &hugo.user).await, 1);
}

#[tokio::test]
async fn identifiers_are_unique_and_in_the_order_of_time() {
    let world = World::toy();
    let hugo = hugo(&world).await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(store(&world, &hugo, json!("t"), json!(null), json!(1)).await);
    }
    world.clock.advance(Duration::from_secs(1));
    let later = store(&world, &hugo, json!("t"), json!(null), json!(1)).await;
    assert!(ids.iter().all(|id| *id < later));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn statistics_count_what_is_stored_for_the_time_it_is() {
    let world = World::toy();
    let hugo = hugo(&world).await;
    let statistics = async || world.cloud.statistics(&hugo).await.unwrap();
    let fresh = statistics().await;
    assert_eq!(fresh.usage.bytes, 0);
    assert_eq!(fresh.assemblies.own, 1);
    assert_eq!(fresh.assemblies.installed, 1);
    assert_eq!(fresh.assemblies.all, 1);

    let id = store(
        &world,
        &hugo,
        json!("t"),
        json!(null),
        json!("x".repeat(1000)),
    )
    .await;
    let size = find(&world, &hugo, id).await.size();
    assert!(size > 1000);
    assert_eq!(
        size,
        serde_json::to_string(&find(&world, &hugo, id).await.to_json())
            .unwrap()
            .len() as u64
    );
    world.clock.advance(Duration::from_secs(100));
    let first = statistics().await;
    assert_eq!(first.usage.bytes, size);
    assert_eq!(first.usage.calculated_at, given::at(100));
    let expected = u32::try_from(size).unwrap();
    assert!((first.usage.byte_seconds - f64::from(expected) * 100.0).abs() < 1e-6);

    let id = store(&world, &hugo, json!("t"), json!(null), json!(1)).await;
    let other = u32::try_from(find(&world, &hugo, id).await.size()).unwrap();
    world.clock.advance(Duration::from_millis(500));
    let second = statistics().await.usage;
    let expected = f64::from(expected) * 100.5 + f64::from(other) * 0.5;
    assert!((second.byte_seconds - expected).abs() < 1e-6);
    assert_eq!(second.cpu_time, Duration::ZERO);
    assert_eq!(statistics().await.usage, second, "asking changes nothing");
}
