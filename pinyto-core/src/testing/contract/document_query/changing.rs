//! Answers while documents and indexes change.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::{
    assembly_id, count,
    exact::{INDEXES, ask},
    hugo, indexed,
};
use crate::{
    document::{Replacement, Scope},
    store::Store,
    testing::{
        given,
        random::{self, Dice},
    },
};

pub async fn answers_stay_right_while_documents_indexes_and_names_change(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[]).await;
    let notes_id = assembly_id(&*store, &notes).await;
    let other = indexed(&*store, &hugo, "Other", "Other", &["data.a"]).await;
    let (mut dice, mut documents) = (Dice::new(3), BTreeMap::new());
    let scope = Scope::all_of(hugo.id);
    for round in 0..600_u64 {
        match dice.roll(12) {
            0..5 => {
                let document = random::document(&mut dice, round, &notes);
                given::stored(&*store, &hugo, &document).await;
                documents.insert(round, (notes_id, document));
            }
            5..7 => {
                let n = dice.roll(usize::try_from(round + 1).unwrap()) as u64;
                if let Some((_, document)) = documents.get_mut(&n) {
                    let new = random::document(&mut dice, n, &notes);
                    document.fields = new.fields;
                    let new = Replacement {
                        fields: document.fields.clone(),
                        time: None,
                        at: given::at(1),
                        max_bytes: None,
                    };
                    let saved = store.documents().save(scope, document.id, &new);
                    saved.await.unwrap();
                }
            }
            7..9 => {
                let n = dice.roll(usize::try_from(round + 1).unwrap()) as u64;
                let id = given::document_id(n);
                let removed = store.documents().remove(scope, id, given::at(1)).await;
                assert_eq!(removed.unwrap(), documents.remove(&n).is_some());
            }
            9 => {
                let first = dice.roll(INDEXES.len());
                let some = &INDEXES[first..];
                indexed(&*store, &hugo, "Notes", "Notes", some).await;
            }
            10 => given::installed(&*store, &hugo, &other).await,
            _ => {
                let uninstalled = store.assemblies().uninstall(hugo.id, &other).await;
                uninstalled.unwrap();
            }
        }
        let wanted = random::search(&mut dice, &documents);
        let path = given::path(random::path(&mut dice));
        ask(&*store, &documents, scope, &wanted, &path).await;
    }
}

/// One document changes from one value to another: whoever looks finds it with one of them.
pub async fn readers_see_a_change_in_all_indexes_or_in_none(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.a", "data.b"]).await;
    let document = given::document(1, &notes, json!({"a": 0, "b": 0}));
    given::stored(&*store, &hugo, &document).await;
    let scope = Scope::all_of(hugo.id);
    let changing = tokio::spawn({
        let (store, mut fields) = (store.clone(), document.fields.clone());
        async move {
            for n in 1..100 {
                fields.insert("data".into(), json!({"a": n % 2, "b": n % 2}));
                let new = Replacement {
                    fields: fields.clone(),
                    time: None,
                    at: given::at(n),
                    max_bytes: None,
                };
                let saved = store.documents().save(scope, document.id, &new);
                saved.await.unwrap();
            }
        }
    });
    let mixed = given::query(&json!({"data.a": 0, "data.b": 1}));
    let either = given::query(&json!({"data.a": {"$in": [0, 1]}}));
    while !changing.is_finished() {
        assert_eq!(count(&*store, scope, &mixed).await, 0);
        assert_eq!(count(&*store, scope, &either).await, 1);
    }
    changing.await.unwrap();
}
