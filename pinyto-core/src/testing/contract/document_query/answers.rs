//! What is found, in which order, and by whom.

use std::sync::Arc;

use serde_json::json;

use super::{assembly_id, count, distinct, hugo, indexed, numbers, search};
use crate::{
    assembly::AssemblyRef,
    document::{Document, Scope, Search},
    query::{Direction, Query},
    store::Store,
    testing::given,
    user::User,
};

/// Books with title and year, and something else.
async fn books(store: &dyn Store, user: &User, notes: &AssemblyRef) -> Vec<Document> {
    let all = [
        (
            "book",
            json!({"title": "b", "year": 1949, "tags": ["x", "y"]}),
        ),
        ("book", json!({"title": "a", "year": 1932, "tags": []})),
        ("film", json!({"title": "a", "year": 1949})),
        ("book", json!({"title": "c", "tags": ["y", "z"]})),
        ("book", json!({"title": "d", "year": 1984.5, "tags": "z"})),
    ];
    let mut documents = Vec::new();
    for ((kind, data), n) in all.into_iter().zip(0..) {
        let mut document = given::document(n, notes, data);
        document.fields.insert("type".into(), kind.into());
        document.time = given::at(10 - i64::try_from(n).unwrap());
        given::stored(store, user, &document).await;
        documents.push(document);
    }
    documents
}

pub async fn a_search_finds_what_matches_in_order(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.year"]).await;
    let books = books(&*store, &hugo, &notes).await;
    let scope = Scope::all_of(hugo.id);
    let (up, down) = (Direction::Ascending, Direction::Descending);
    for (query, sort, expected) in [
        (json!({}), None, vec![0, 1, 2, 3, 4]),
        (json!({"type": "book"}), None, vec![0, 1, 3, 4]),
        (
            json!({"type": "book"}),
            Some(("data.year", up)),
            vec![3, 1, 0, 4],
        ),
        (
            json!({"type": "book"}),
            Some(("data.year", down)),
            vec![4, 0, 1, 3],
        ),
        (json!({}), Some(("data.title", up)), vec![1, 2, 0, 3, 4]),
        (json!({}), Some(("data.title", down)), vec![4, 3, 0, 2, 1]),
        (json!({}), Some(("time", up)), vec![4, 3, 2, 1, 0]),
        (json!({}), Some(("_id", down)), vec![4, 3, 2, 1, 0]),
        (json!({"data.year": 1949}), None, vec![0, 2]),
        (
            json!({"data.year": {"$gt": 1932, "$lt": 1980}}),
            None,
            vec![0, 2],
        ),
        (
            json!({"data.year": {"$in": [1984.5, 1932.0, null]}}),
            None,
            vec![1, 3, 4],
        ),
        (json!({"data.year": null}), None, vec![3]),
        (json!({"data.tags": "z"}), None, vec![3, 4]),
        (json!({"data.tags": {"$regex": "^[xy]$"}}), None, vec![0, 3]),
        (
            json!({"$or": [{"data.title": "a"}, {"data.year": 1984.5}]}),
            None,
            vec![1, 2, 4],
        ),
        (
            json!({"data.year": {"$not": {"$gt": 1940}}}),
            None,
            vec![1, 3],
        ),
        (json!({"_id": books[3].id.to_string()}), None, vec![3]),
        (
            json!({"_id": {"$gt": books[2].id.to_string()}}),
            None,
            vec![3, 4],
        ),
        (json!({"time": books[2].time.to_string()}), None, vec![2]),
        (
            json!({"time": {"$gte": "2027-01-15T08:00:08"}}),
            Some(("time", up)),
            vec![2, 1, 0],
        ),
        (
            json!({"time": {"$lt": "2028"}, "type": "film"}),
            None,
            vec![2],
        ),
        (
            json!({"assembly": "hugo/Notes", "data.title": "c"}),
            None,
            vec![3],
        ),
        (json!({"assembly": "hugo/Other"}), None, vec![]),
    ] {
        let wanted = given::search(&query, sort);
        let found = search(&*store, scope, &wanted).await;
        assert_eq!(numbers(&found), expected, "{query} {sort:?}");
        for document in &found {
            let n = usize::try_from(numbers(std::slice::from_ref(document))[0]).unwrap();
            assert_eq!(*document, books[n]);
        }
        let counted = count(&*store, scope, &wanted.query).await;
        assert_eq!(counted, expected.len() as u64, "{query}");
    }
}

pub async fn nobody_finds_documents_of_another_user_or_assembly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data"]).await;
    let papers = indexed(&*store, &hugo, "Papers", "Papers", &[]).await;
    given::installed(&*store, &hugo, &papers).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::installed(&*store, &erna, &notes).await;
    for (user, assembly, n) in [
        (&hugo, &notes, 1),
        (&hugo, &papers, 2),
        (&erna, &notes, 3),
        (&hugo, &notes, 4),
    ] {
        let document = given::document(n, assembly, json!(n % 2));
        given::stored(&*store, user, &document).await;
    }
    let notes_id = assembly_id(&*store, &notes).await;
    let papers_id = assembly_id(&*store, &papers).await;
    let data = given::path("data");
    for (scope, all, odd, values) in [
        (
            Scope::all_of(hugo.id),
            vec![1, 2, 4],
            vec![1],
            json!([0, 1]),
        ),
        (
            Scope::stored_by(hugo.id, notes_id),
            vec![1, 4],
            vec![1],
            json!([0, 1]),
        ),
        (
            Scope::stored_by(hugo.id, papers_id),
            vec![2],
            vec![],
            json!([0]),
        ),
        (Scope::all_of(erna.id), vec![3], vec![3], json!([1])),
        (
            Scope::stored_by(erna.id, papers_id),
            vec![],
            vec![],
            json!([]),
        ),
    ] {
        for (query, expected) in [
            (json!({}), &all),
            (json!({"type": "test"}), &all),
            (json!({"data": 1}), &odd),
            (json!({"data": {"$gt": 0}, "type": "test"}), &odd),
            (json!({"time": {"$gt": "2020"}}), &all),
        ] {
            for sort in [None, Some("data"), Some("time"), Some("data.x")] {
                let sort = sort.map(|path| (path, Direction::Ascending));
                let wanted = given::search(&query, sort);
                let mut found = numbers(&search(&*store, scope, &wanted).await);
                found.sort_unstable();
                assert_eq!(found, *expected, "{scope:?} {query} {sort:?}");
            }
            let counted = count(&*store, scope, &given::query(&query)).await;
            assert_eq!(counted, expected.len() as u64, "{scope:?} {query}");
        }
        let told = distinct(&*store, scope, &Query::default(), &data).await;
        assert_eq!(json!(told), values);
    }
}

pub async fn skip_and_limit_cut_a_part_out_of_the_order(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.year"]).await;
    books(&*store, &hugo, &notes).await;
    let scope = Scope::all_of(hugo.id);
    for sort in [
        None,
        Some("data.title"),
        Some("data.year"),
        Some("time"),
        Some("data.tags"),
    ] {
        for direction in [Direction::Ascending, Direction::Descending] {
            for query in [
                json!({}),
                json!({"type": "book"}),
                json!({"data.year": {"$gt": 1}}),
            ] {
                let all = given::search(&query, sort.map(|path| (path, direction)));
                let whole = numbers(&search(&*store, scope, &all).await);
                for (skip, limit) in [(0, 1), (1, 2), (0, 0), (3, 9), (9, 9), (2, u64::MAX)] {
                    let part = Search {
                        skip,
                        limit,
                        ..all.clone()
                    };
                    let part = numbers(&search(&*store, scope, &part).await);
                    let limit = usize::try_from(limit.min(99)).unwrap();
                    let skip = usize::try_from(skip).unwrap();
                    let expected: Vec<_> = whole.iter().copied().skip(skip).take(limit).collect();
                    assert_eq!(
                        part, expected,
                        "{query} {sort:?} {direction:?} {skip} {limit}"
                    );
                }
            }
        }
    }
}

pub async fn values_are_told_once_in_order(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.year"]).await;
    books(&*store, &hugo, &notes).await;
    let scope = Scope::all_of(hugo.id);
    for (query, path, expected) in [
        (json!({}), "data.year", json!([1932, 1949, 1984.5])),
        (json!({}), "data.tags", json!(["x", "y", "z"])),
        (json!({"data.year": 1949}), "data.title", json!(["a", "b"])),
        (json!({}), "data.missing", json!([])),
        (json!({}), "type", json!(["book", "film"])),
        (json!({}), "assembly", json!(["hugo/Notes"])),
    ] {
        let (asked, path) = (given::query(&query), given::path(path));
        let values = distinct(&*store, scope, &asked, &path).await;
        assert_eq!(json!(values), expected, "{query} {path}");
    }
    // Of equal values the first one counts, whatever else has been first in an index.
    for (n, data) in [
        (20, json!(2)),
        (21, json!(1.0)),
        (22, json!(1)),
        (23, json!(2.0)),
    ] {
        let document = given::document(
            n,
            &notes,
            json!({"n": data, "year": -data.as_f64().unwrap()}),
        );
        given::stored(&*store, &hugo, &document).await;
    }
    let query = given::query(&json!({"data.year": {"$lt": 0}}));
    let values = distinct(&*store, scope, &query, &given::path("data.n")).await;
    assert_eq!(json!(values).to_string(), "[1.0,2]");
}
