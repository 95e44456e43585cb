use std::{slice, sync::Arc};

use serde_json::{Map, Value, json};

use super::race;
use crate::{
    assembly::AssemblyRef,
    document::{Document, InsertOutcome, Scope},
    store::Store,
    testing::given,
    usage::Usage,
    user::User,
};

/// A user who has written and installed `hugo/Notes`.
async fn hugo(store: &dyn Store) -> (User, AssemblyRef) {
    let hugo = given::user(store, "hugo", 1).await;
    let notes = given::assembly(store, &hugo, "Notes").await;
    given::installed(store, &hugo, &notes).await;
    (hugo, notes)
}

async fn find(store: &dyn Store, user: &User, document: &Document) -> Option<Document> {
    let found = store.documents().find(Scope::all_of(user.id), document.id);
    found.await.unwrap()
}

async fn count(store: &dyn Store, user: &User) -> u64 {
    given::document_count(store, user).await
}

async fn usage(store: &dyn Store, user: &User) -> Usage {
    store.users().usage(user.id).await.unwrap().unwrap()
}

async fn comes_back(store: &dyn Store, user: &User, document: &Document) {
    given::stored(store, user, document).await;
    let found = find(store, user, document).await;
    assert_eq!(found.as_ref(), Some(document));
}

pub async fn a_stored_document_comes_back_exactly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let data = [
        json!(null),
        json!(true),
        json!(""),
        json!([]),
        json!({}),
        json!([[], [{}], null, [null, false]]),
        json!({"": "", " ": {"": [{"": null}]}}),
        json!({"a.b": 1, "$set": {"$gt": ""}, "_id": "no identifier", "time": "never"}),
        // A key that means something to serde_json.
        json!({"$serde_json::private::RawValue": "[1]"}),
        json!([{"$serde_json::private::RawValue": 0, "a": 1}]),
    ];
    for (data, n) in data.into_iter().zip(0..) {
        comes_back(&*store, &hugo, &given::document(n, &notes, data)).await;
    }
}

pub async fn numbers_come_back_exactly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let integers = json!([
        0,
        -1,
        u64::MAX,
        u64::MAX - 1,
        i64::MAX,
        i64::MIN,
        9_007_199_254_740_993_u64
    ]);
    comes_back(&*store, &hugo, &given::document(0, &notes, integers)).await;
    let floats = json!([
        0.0,
        0.1,
        1.0,
        -1.5,
        1e300,
        -1e-300,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        1e15,
        1e16,
        9_007_199_254_740_992.0,
        1.844_674_407_370_955_2e19
    ]);
    comes_back(&*store, &hugo, &given::document(1, &notes, floats)).await;
    // A thousand floats from everywhere, the same in each run (Knuth's MMIX generator).
    let bits = std::iter::successors(Some(1_u64), |bits| {
        let next = bits.wrapping_mul(6_364_136_223_846_793_005);
        Some(next.wrapping_add(1_442_695_040_888_963_407))
    });
    let floats = bits.map(f64::from_bits).filter(|float| float.is_finite());
    let floats: Vec<_> = floats.take(1000).collect();
    comes_back(&*store, &hugo, &given::document(2, &notes, json!(floats))).await;
}

pub async fn a_negative_zero_keeps_its_sign_and_integers_their_kind(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let document = given::document(0, &notes, json!([-0.0, 1, 1.0]));
    given::stored(&*store, &hugo, &document).await;
    let found = find(&*store, &hugo, &document).await.unwrap();
    assert_eq!(found.fields["data"].to_string(), "[-0.0,1,1.0]");
}

pub async fn unicode_comes_back_exactly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let texts = [
        "\u{0}",
        "before\u{0}after",
        "\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}\u{80}\u{9f}",
        "\u{1f600}\u{10ffff}\u{10000}𝄞",
        "\u{feff}\u{fffd}\u{fffe}\u{ffff}\u{2028}\u{2029}",
        "e\u{301} is not \u{e9}",
        "\u{202e}thgir ot tfel",
        "\\u0000 \\ \" ' '' ; -- %_ /* $1 ?1 :a @b",
    ];
    let keyed: Map<String, Value> = texts
        .iter()
        .map(|&text| (text.into(), text.into()))
        .collect();
    let mut document = given::document(0, &notes, json!(texts));
    document.fields.extend(keyed);
    comes_back(&*store, &hugo, &document).await;
}

pub async fn deep_and_large_documents_come_back_exactly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let deep = (0..100).fold(json!(1), |inner, n| {
        if n % 2 == 0 {
            json!([inner])
        } else {
            json!({"in": inner})
        }
    });
    comes_back(&*store, &hugo, &given::document(0, &notes, deep)).await;
    let large = json!("0123456789abcdef".repeat(1 << 16));
    comes_back(&*store, &hugo, &given::document(1, &notes, large)).await;
    let broad: Map<String, Value> = (0..5000).map(|n| (n.to_string(), n.into())).collect();
    comes_back(&*store, &hugo, &given::document(2, &notes, broad.into())).await;
}

pub async fn a_document_needs_no_particular_fields(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let mut document = given::document(0, &notes, json!(1));
    document.fields.clear();
    comes_back(&*store, &hugo, &document).await;
    let mut document = given::document(1, &notes, json!(1));
    document.fields.insert("type".into(), json!({"odd": [1]}));
    document.fields.insert("tags".into(), json!(5));
    comes_back(&*store, &hugo, &document).await;
}

pub async fn times_come_back_to_the_millisecond(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    for (millis, n) in [1_800_000_000_123, 0, -1, 253_402_300_799_999]
        .into_iter()
        .zip(0..)
    {
        let mut document = given::document(n, &notes, json!(1));
        document.time = crate::clock::Timestamp::from_unix_millis(millis);
        comes_back(&*store, &hugo, &document).await;
    }
}

pub async fn without_the_assembly_installed_nothing_is_stored(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let erna = given::user(&*store, "erna", 2).await;
    let hers = given::assembly(&*store, &erna, "Notes").await;
    let missing = given::assembly_ref("hugo/Missing");
    for (user, assembly) in [
        (&erna, &notes),
        (&erna, &hers),
        (&hugo, &hers),
        (&hugo, &missing),
    ] {
        let document = given::document(0, assembly, json!(1));
        let entry = given::entry(&document);
        let outcome = store.documents().insert(user.id, &entry).await;
        assert_eq!(outcome.unwrap(), InsertOutcome::NotInstalled);
        assert_eq!(find(&*store, user, &document).await, None);
        assert_eq!(count(&*store, user).await, 0);
        assert_eq!(usage(&*store, user).await, Usage::new(given::at(0)));
    }
}

pub async fn users_see_their_own_documents_only(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::installed(&*store, &erna, &notes).await;
    let his = given::document(1, &notes, json!("his"));
    given::stored(&*store, &hugo, &his).await;
    assert_eq!(find(&*store, &erna, &his).await, None);
    let hers = given::document(1, &notes, json!("hers"));
    given::stored(&*store, &erna, &hers).await;
    given::stored(&*store, &erna, &given::document(2, &notes, json!(2))).await;
    assert_eq!(find(&*store, &hugo, &his).await, Some(his));
    assert_eq!(find(&*store, &erna, &hers).await, Some(hers));
    assert_eq!(count(&*store, &hugo).await, 1);
    assert_eq!(count(&*store, &erna).await, 2);
}

pub async fn documents_outlive_installation_name_and_assembly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let document = given::document(1, &notes, json!(1));
    given::stored(&*store, &hugo, &document).await;
    let (assemblies, before) = (store.assemblies(), usage(&*store, &hugo).await);
    let papers = given::source("Papers");
    let renamed = assemblies
        .save(
            hugo.id,
            Some(&notes.name),
            &papers,
            given::NO_LIMITS,
            given::at(1),
        )
        .await;
    renamed.unwrap();
    let is_there = async || {
        let found = find(&*store, &hugo, &document).await;
        assert_eq!(found.as_ref(), Some(&document));
        assert_eq!(count(&*store, &hugo).await, 1);
        assert_eq!(usage(&*store, &hugo).await.bytes, before.bytes);
    };
    is_there().await;
    let papers_ref = given::assembly_ref("hugo/Papers");
    assert!(assemblies.uninstall(hugo.id, &papers_ref).await.unwrap());
    is_there().await;
    assert!(assemblies.delete(hugo.id, papers.name()).await.unwrap());
    is_there().await;
}

fn assert_usage(found: Usage, expected: Usage) {
    let difference = (found.byte_seconds - expected.byte_seconds).abs();
    assert!(
        difference <= expected.byte_seconds.abs() * 1e-9,
        "{found:?} instead of {expected:?}"
    );
    let byte_seconds = expected.byte_seconds;
    assert_eq!(
        Usage {
            byte_seconds,
            ..found
        },
        expected
    );
}

pub async fn what_is_stored_counts_from_its_time_on(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let erna = given::user(&*store, "erna", 2).await;
    let mut expected = Usage::new(given::at(0));
    // The clock goes on, stands still and is set back.
    for (second, n) in [10, 20, 20, 5, 3600].into_iter().zip(0..) {
        let mut document = given::document(n, &notes, json!("ä".repeat(100)));
        document.time = given::at(second);
        given::stored(&*store, &hugo, &document).await;
        expected = expected.with_storage_changed(document.time, document.size(), 0);
        assert_usage(usage(&*store, &hugo).await, expected);
    }
    assert_eq!(expected.calculated_at, given::at(3600));
    assert_eq!(usage(&*store, &erna).await, Usage::new(given::at(0)));
}

pub async fn storage_and_cpu_time_are_accounted_side_by_side(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let used = std::time::Duration::from_millis(7);
    let document = given::document(0, &notes, json!(1));
    given::booked(&*store, hugo.id, used).await;
    given::stored(&*store, &hugo, &document).await;
    given::booked(&*store, hugo.id, used).await;
    let mut expected =
        Usage::new(given::at(0)).with_storage_changed(given::at(0), document.size(), 0);
    expected.cpu_time = used * 2;
    assert_eq!(usage(&*store, &hugo).await, expected);
}

pub async fn documents_stored_by_many_at_once_are_all_there_and_accounted(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let documents: Vec<_> = (0..40)
        .map(|n| given::document(n, &notes, json!("x".repeat(usize::try_from(n).unwrap()))))
        .collect();
    race(documents.chunks(5).map(|chunk| {
        let (store, hugo, chunk) = (store.clone(), hugo.clone(), chunk.to_vec());
        async move {
            for document in &chunk {
                given::stored(&*store, &hugo, document).await;
                let found = find(&*store, &hugo, document).await;
                assert_eq!(
                    found.as_slice(),
                    slice::from_ref(document),
                    "durable at once"
                );
            }
        }
    }))
    .await;
    assert_eq!(count(&*store, &hugo).await, 40);
    let bytes: u64 = documents.iter().map(Document::size).sum();
    assert_eq!(usage(&*store, &hugo).await.bytes, bytes);
}
