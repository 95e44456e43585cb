//! The first few documents, which come in one row.

use pinyto_core::{
    Page,
    document::{Document, Scope, Search, Searched},
    query::{Direction, Query, Sort},
    store::Store as _,
    testing::given,
};
use serde_json::json;

use super::{super::SqliteStore, store};

const BY_ID: Sort = Sort {
    path: None,
    direction: Direction::Ascending,
};

async fn books(store: &SqliteStore, scope: Scope, limit: u64) -> Vec<Document> {
    let books = Query::parse(&json!({"type": "book"})).unwrap();
    let search = Search::new(books).sorted_by(BY_ID).page(Page::first(limit));
    let documents = store.documents();
    let searched = documents
        .search(scope, &search, given::NO_SCAN_LIMITS)
        .await;
    match searched.unwrap() {
        Searched::Found(found, _) => found,
        Searched::TooMuch(limit, _) => panic!("{limit:?}"),
    }
}

/// There may be more of them in between than are looked at on the quick way.
#[tokio::test]
async fn they_are_found_behind_any_number_of_another_assemblys() {
    let (store, _directory) = store(|options| options).await;
    let ann = given::user(store.as_ref(), "ann", 1).await;
    let mut assemblies = Vec::new();
    for name in ["Notes", "Library"] {
        let assembly = given::assembly(store.as_ref(), &ann, name).await;
        given::installed(store.as_ref(), &ann, &assembly).await;
        assemblies.push(assembly);
    }
    let [notes, library] = assemblies.as_slice() else {
        unreachable!()
    };
    let books_of = async |assembly, numbers: std::ops::Range<u64>| {
        let mut books = Vec::new();
        for number in numbers {
            let mut book = given::document(number, assembly, json!({"n": number}));
            book.fields.insert("type".into(), json!("book"));
            given::stored(store.as_ref(), &ann, &book).await;
            books.push(book);
        }
        books
    };
    books_of(library, 0..1_050).await;
    let wanted = books_of(notes, 1_050..1_053).await;
    let of_notes = store.assemblies().find(notes).await.unwrap();
    let scope = Scope {
        user: ann.id,
        assembly: Some(of_notes.unwrap().id),
    };
    for limit in [1, 3, 20, 100] {
        let expected = &wanted[..wanted.len().min(limit)];
        assert_eq!(books(&store, scope, limit as u64).await, expected);
    }
    let all = books(&store, Scope::all_of(ann.id), 2).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].assembly, *library);
}
