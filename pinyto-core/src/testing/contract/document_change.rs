use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::race;
use crate::{
    assembly::AssemblyRef,
    document::{Document, InsertOutcome, NewEntry, Replacement, SaveOutcome, Scope},
    id::AssemblyId,
    store::Store,
    testing::{given, random::Dice},
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

async fn usage(store: &dyn Store, user: &User) -> Usage {
    store.users().usage(user.id).await.unwrap().unwrap()
}

async fn find(store: &dyn Store, user: &User, document: &Document) -> Option<Document> {
    let found = store
        .documents()
        .find(Scope::all_of(user.id), document.id)
        .await;
    found.unwrap()
}

async fn assembly_id(store: &dyn Store, assembly: &AssemblyRef) -> AssemblyId {
    store.assemblies().find(assembly).await.unwrap().unwrap().id
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn replacement(value: &Value) -> Replacement {
    Replacement {
        fields: fields(value),
        time: None,
        at: given::at(0),
        max_bytes: None,
    }
}

async fn save(store: &dyn Store, scope: Scope, id: u64, new: &Replacement) -> SaveOutcome {
    let saved = store.documents().save(scope, given::document_id(id), new);
    saved.await.unwrap()
}

pub async fn a_saved_document_has_its_new_fields_and_keeps_id_assembly_and_time(
    store: Arc<dyn Store>,
) {
    let (hugo, notes) = hugo(&*store).await;
    let scope = Scope::all_of(hugo.id);
    let before = given::document(1, &notes, json!(1));
    let other = given::document(2, &notes, json!(2));
    given::stored(&*store, &hugo, &before).await;
    given::stored(&*store, &hugo, &other).await;
    let new = replacement(&json!({"type": "new", "own": {"a": [1, null, 0.5]}}));
    assert_eq!(save(&*store, scope, 1, &new).await, SaveOutcome::Saved);
    let after = Document {
        fields: new.fields.clone(),
        ..before
    };
    assert_eq!(find(&*store, &hugo, &after).await, Some(after.clone()));
    let timed = Replacement {
        time: Some(given::at(77)),
        ..new
    };
    assert_eq!(save(&*store, scope, 1, &timed).await, SaveOutcome::Saved);
    let after = Document {
        time: given::at(77),
        ..after
    };
    assert_eq!(find(&*store, &hugo, &after).await, Some(after.clone()));
    assert_eq!(find(&*store, &hugo, &other).await, Some(other));
}

pub async fn a_removed_document_is_gone_and_that_once(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let (gone, stays) = (
        given::document(1, &notes, json!(1)),
        given::document(2, &notes, json!(2)),
    );
    given::stored(&*store, &hugo, &gone).await;
    given::stored(&*store, &hugo, &stays).await;
    let (documents, scope) = (store.documents(), Scope::all_of(hugo.id));
    assert!(
        documents
            .remove(scope, gone.id, given::at(1))
            .await
            .unwrap()
    );
    assert_eq!(find(&*store, &hugo, &gone).await, None);
    assert!(
        !documents
            .remove(scope, gone.id, given::at(2))
            .await
            .unwrap()
    );
    assert_eq!(find(&*store, &hugo, &stays).await, Some(stays.clone()));
    assert_eq!(given::document_count(&*store, &hugo).await, 1);
    // What is gone can't be saved; its identifier is free.
    let outcome = save(&*store, scope, 1, &replacement(&json!({}))).await;
    assert_eq!(outcome, SaveOutcome::NotFound);
    given::stored(&*store, &hugo, &gone).await;
    let bytes = gone.size() + stays.size();
    assert_eq!(usage(&*store, &hugo).await.bytes, bytes);
}

pub async fn nobody_changes_a_document_of_another_user_or_assembly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::installed(&*store, &erna, &notes).await;
    let papers = given::assembly(&*store, &hugo, "Papers").await;
    given::installed(&*store, &hugo, &papers).await;
    let his = given::document(1, &notes, json!("his"));
    given::stored(&*store, &hugo, &his).await;
    let notes_id = assembly_id(&*store, &notes).await;
    let papers_id = assembly_id(&*store, &papers).await;
    let before = usage(&*store, &hugo).await;
    for foreign in [
        Scope::all_of(erna.id),
        Scope::stored_by(erna.id, notes_id),
        Scope::stored_by(hugo.id, papers_id),
    ] {
        let documents = store.documents();
        assert_eq!(documents.find(foreign, his.id).await.unwrap(), None);
        let saved = save(&*store, foreign, 1, &replacement(&json!({"a": 1}))).await;
        assert_eq!(saved, SaveOutcome::NotFound);
        let removed = documents.remove(foreign, his.id, given::at(1)).await;
        assert!(!removed.unwrap());
        assert_eq!(find(&*store, &hugo, &his).await, Some(his.clone()));
        assert_eq!(usage(&*store, &hugo).await, before);
        assert_eq!(
            usage(&*store, &erna).await,
            Usage::new(given::at(0)),
            "{foreign:?}"
        );
    }
    let own = Scope::stored_by(hugo.id, notes_id);
    assert_eq!(
        store.documents().find(own, his.id).await.unwrap(),
        Some(his.clone())
    );
    let saved = save(&*store, own, 1, &replacement(&json!({"a": 1}))).await;
    assert_eq!(saved, SaveOutcome::Saved);
    assert!(
        store
            .documents()
            .remove(own, his.id, given::at(1))
            .await
            .unwrap()
    );
}

pub async fn an_assemblys_documents_stay_its_own_under_another_name(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let notes_id = assembly_id(&*store, &notes).await;
    let document = given::document(1, &notes, json!(1));
    given::stored(&*store, &hugo, &document).await;
    let renamed = store
        .assemblies()
        .save(
            hugo.id,
            Some(&notes.name),
            &given::source("Diary"),
            given::NO_LIMITS,
            given::at(1),
        )
        .await;
    renamed.unwrap();
    let scope = Scope::stored_by(hugo.id, notes_id);
    let found = store.documents().find(scope, document.id).await.unwrap();
    assert_eq!(found, Some(document.clone()), "with the name it had then");
    let saved = save(&*store, scope, 1, &replacement(&json!({"a": 1}))).await;
    assert_eq!(saved, SaveOutcome::Saved);
    let found = store.documents().find(scope, document.id).await.unwrap();
    assert_eq!(found.unwrap().assembly, notes);
}

pub async fn no_more_bytes_are_stored_than_allowed(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let scope = Scope::all_of(hugo.id);
    let document = |n| given::document(n, &notes, json!("x".repeat(100)));
    let size = document(1).size();
    let insert = async |n, max_bytes| {
        let entry = NewEntry {
            max_bytes: Some(max_bytes),
            ..given::entry(&document(n))
        };
        store.documents().insert(hugo.id, &entry).await.unwrap()
    };
    assert_eq!(insert(1, size - 1).await, InsertOutcome::StorageFull);
    assert_eq!(usage(&*store, &hugo).await, Usage::new(given::at(0)));
    assert_eq!(insert(1, size).await, InsertOutcome::Inserted);
    assert_eq!(insert(2, 2 * size - 1).await, InsertOutcome::StorageFull);
    assert_eq!(find(&*store, &hugo, &document(2)).await, None);
    assert_eq!(insert(2, 2 * size).await, InsertOutcome::Inserted);
    assert_eq!(usage(&*store, &hugo).await.bytes, 2 * size);

    let resized = |length: usize, max_bytes| Replacement {
        max_bytes: Some(max_bytes),
        ..replacement(&json!({"type": "test", "tags": [], "data": "x".repeat(length)}))
    };
    let saved = save(&*store, scope, 1, &resized(101, 2 * size)).await;
    assert_eq!(saved, SaveOutcome::StorageFull);
    assert_eq!(
        find(&*store, &hugo, &document(1)).await,
        Some(document(1)),
        "as it was"
    );
    let saved = save(&*store, scope, 1, &resized(101, 2 * size + 1)).await;
    assert_eq!(saved, SaveOutcome::Saved);
    // Who has too much already may store less, or the same.
    for length in [101, 100, 1] {
        let saved = save(&*store, scope, 1, &resized(length, 0)).await;
        assert_eq!(saved, SaveOutcome::Saved);
    }
    assert_eq!(usage(&*store, &hugo).await.bytes, 2 * size - 99);
}

pub async fn a_document_is_accounted_for_from_when_it_is_stored_whatever_time_it_has(
    store: Arc<dyn Store>,
) {
    let (hugo, notes) = hugo(&*store).await;
    let (mut expected, mut n) = (Usage::new(given::at(0)), 0);
    for (time, at) in [(-900, 100), (5_000, 200), (300, 300), (150, 250)] {
        n += 1;
        let document = Document {
            time: given::at(time),
            ..given::document(n, &notes, json!("x"))
        };
        let entry = NewEntry {
            at: given::at(at),
            ..given::entry(&document)
        };
        let inserted = store.documents().insert(hugo.id, &entry).await.unwrap();
        assert_eq!(inserted, InsertOutcome::Inserted);
        expected = expected.with_storage_changed(given::at(at), document.size(), 0);
        assert_eq!(usage(&*store, &hugo).await, expected);
        let found = find(&*store, &hugo, &document).await;
        assert_eq!(found, Some(document));
    }
}

pub async fn documents_stored_by_many_at_once_stop_at_the_bytes_allowed(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let size = given::document(0, &notes, json!(1)).size();
    let outcomes = race((0..20).map(|n| {
        let (store, hugo) = (store.clone(), hugo.clone());
        let entry = NewEntry {
            max_bytes: Some(7 * size),
            ..given::entry(&given::document(n, &notes, json!(1)))
        };
        async move { store.documents().insert(hugo.id, &entry).await.unwrap() }
    }))
    .await;
    let inserted = |outcome: &&InsertOutcome| **outcome == InsertOutcome::Inserted;
    assert_eq!(outcomes.iter().filter(inserted).count(), 7);
    assert_eq!(given::document_count(&*store, &hugo).await, 7);
    assert_eq!(usage(&*store, &hugo).await.bytes, 7 * size);
}

pub async fn of_those_who_remove_a_document_at_once_one_does(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let document = given::document(1, &notes, json!(1));
    given::stored(&*store, &hugo, &document).await;
    let removed = race((0..8).map(|_| {
        let (store, scope, id) = (store.clone(), Scope::all_of(hugo.id), document.id);
        async move { store.documents().remove(scope, id, given::at(1)).await }
    }))
    .await;
    let removed = removed
        .into_iter()
        .filter(|removed| *removed.as_ref().unwrap());
    assert_eq!(removed.count(), 1);
    assert_eq!(usage(&*store, &hugo).await.bytes, 0);
}

enum Change {
    Insert { id: u64, length: usize, max: u64 },
    Save { id: u64, length: usize, max: u64 },
    Remove { id: u64 },
}

fn change(dice: &mut Dice) -> Change {
    let id = dice.roll(12) as u64;
    let length = dice.roll(300);
    let max = match dice.roll(4) {
        0 => 500 + dice.roll(1500) as u64,
        _ => u64::MAX,
    };
    match dice.roll(7) {
        0..3 => Change::Insert { id, length, max },
        3..5 => Change::Save { id, length, max },
        _ => Change::Remove { id },
    }
}

/// How the clock moves, in milliseconds: sometimes it is set back, by a bit or by much.
fn step(dice: &mut Dice) -> i64 {
    match dice.roll(8) {
        0 => -(dice.roll(10_000_000) as i64),
        1 => -(dice.roll(5_000) as i64),
        _ => dice.roll(100_000) as i64,
    }
}

pub async fn usage_is_exact_whatever_comes_changes_and_goes(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store).await;
    let scope = Scope::all_of(hugo.id);
    let mut model = std::collections::BTreeMap::<u64, Document>::new();
    let mut expected = Usage::new(given::at(0));
    let mut millis = given::at(0).unix_millis();
    let mut dice = Dice::new(1);
    for _ in 0..400 {
        millis += step(&mut dice);
        let at = crate::clock::Timestamp::from_unix_millis(millis);
        let document = |id, length| Document {
            time: at,
            ..given::document(id, &notes, json!("ä".repeat(length)))
        };
        match change(&mut dice) {
            Change::Insert { id, .. } if model.contains_key(&id) => continue,
            Change::Insert { id, length, max } => {
                let document = document(id, length);
                let entry = NewEntry {
                    max_bytes: Some(max),
                    ..given::entry(&document)
                };
                let inserted = store.documents().insert(hugo.id, &entry).await.unwrap();
                if expected.bytes + document.size() <= max {
                    assert_eq!(inserted, InsertOutcome::Inserted);
                    expected = expected.with_storage_changed(at, document.size(), 0);
                    model.insert(id, document);
                } else {
                    assert_eq!(inserted, InsertOutcome::StorageFull);
                }
            }
            Change::Save { id, length, max } => {
                let new = Replacement {
                    fields: document(id, length).fields,
                    time: None,
                    at,
                    max_bytes: Some(max),
                };
                let outcome = save(&*store, scope, id, &new).await;
                let Some(old) = model.get_mut(&id) else {
                    assert_eq!(outcome, SaveOutcome::NotFound);
                    continue;
                };
                let replaced = Document {
                    fields: new.fields,
                    ..old.clone()
                };
                let (added, removed) = (replaced.size(), old.size());
                if added <= removed || expected.bytes + added - removed <= max {
                    assert_eq!(outcome, SaveOutcome::Saved);
                    expected = expected.with_storage_changed(at, added, removed);
                    *old = replaced;
                } else {
                    assert_eq!(outcome, SaveOutcome::StorageFull);
                }
            }
            Change::Remove { id } => {
                let removed = store
                    .documents()
                    .remove(scope, given::document_id(id), at)
                    .await;
                let old = model.remove(&id);
                assert_eq!(removed.unwrap(), old.is_some());
                if let Some(old) = old {
                    expected = expected.with_storage_changed(at, 0, old.size());
                }
            }
        }
        let found = usage(&*store, &hugo).await;
        assert_eq!(found, expected);
        assert_eq!(
            found.byte_seconds.to_bits(),
            expected.byte_seconds.to_bits()
        );
        assert_eq!(found.bytes, model.values().map(Document::size).sum::<u64>());
    }
    for document in model.values() {
        assert_eq!(
            find(&*store, &hugo, document).await.as_ref(),
            Some(document)
        );
    }
    assert_eq!(
        given::document_count(&*store, &hugo).await,
        model.len() as u64
    );
}
