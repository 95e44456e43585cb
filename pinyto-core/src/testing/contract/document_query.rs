use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    assembly::AssemblyRef,
    document::{Document, Replacement, Scan, ScanLimit, ScanLimits, Scope, Search, Searched},
    id::AssemblyId,
    query::{Direction, Path, Query, SortKey},
    store::Store,
    testing::{
        given,
        random::{self, Dice, Documents},
    },
    user::User,
};

/// A user who has written and installed `hugo/Notes`, which has these indexes.
async fn hugo(store: &dyn Store, indexes: &[&str]) -> (User, AssemblyRef) {
    let hugo = given::user(store, "hugo", 1).await;
    let notes = indexed(store, &hugo, "Notes", "Notes", indexes).await;
    given::installed(store, &hugo, &notes).await;
    (hugo, notes)
}

/// Saves the author's assembly with these indexes.
async fn indexed(
    store: &dyn Store,
    author: &User,
    original_name: &str,
    name: &str,
    indexes: &[&str],
) -> AssemblyRef {
    let indexes = indexes.iter().map(|path| given::path(path)).collect();
    let source = given::source(name).with_indexes(indexes).unwrap();
    let saved = store
        .assemblies()
        .save(
            author.id,
            original_name,
            &source,
            given::NO_LIMITS,
            given::at(0),
        )
        .await;
    saved.unwrap();
    AssemblyRef {
        author: author.name.clone(),
        name: source.name().clone(),
    }
}

async fn assembly_id(store: &dyn Store, assembly: &AssemblyRef) -> AssemblyId {
    store.assemblies().find(assembly).await.unwrap().unwrap().id
}

fn found<T>(searched: Searched<T>) -> T {
    match searched {
        Searched::Found(found, _) => found,
        Searched::TooMuch(limit, _) => panic!("stopped by {limit:?}"),
    }
}

async fn search(store: &dyn Store, scope: Scope, search: &Search) -> Vec<Document> {
    let searched = store
        .documents()
        .search(scope, search, given::NO_SCAN_LIMITS)
        .await;
    found(searched.unwrap())
}

async fn count(store: &dyn Store, scope: Scope, query: &Query) -> u64 {
    let searched = store
        .documents()
        .count(scope, query, given::NO_SCAN_LIMITS)
        .await;
    found(searched.unwrap())
}

async fn distinct(store: &dyn Store, scope: Scope, query: &Query, path: &Path) -> Vec<Value> {
    let searched = store
        .documents()
        .distinct(scope, query, path, given::NO_SCAN_LIMITS)
        .await;
    found(searched.unwrap())
}

fn numbers(documents: &[Document]) -> Vec<u64> {
    let number = |document: &Document| {
        let (_, end) = document.id.as_bytes().split_at(4);
        u64::from_be_bytes(end.try_into().unwrap())
    };
    documents.iter().map(number).collect()
}

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

/// Documents of 100 bytes and more, with data from 0 on.
async fn many(store: &dyn Store, user: &User, notes: &AssemblyRef, count: u64) -> u64 {
    let mut bytes = 0;
    for n in 0..count {
        let document = given::document(n, notes, json!({"n": n, "text": "x".repeat(50)}));
        given::stored(store, user, &document).await;
        bytes += document.size();
    }
    bytes
}

pub async fn a_query_that_would_look_at_too_many_documents_is_stopped(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[]).await;
    many(&*store, &hugo, &notes, 20).await;
    let scope = Scope::all_of(hugo.id);
    let limits = |examined| ScanLimits {
        examined,
        ..given::NO_SCAN_LIMITS
    };
    let documents = store.documents();
    let nothing = given::query(&json!({"data.n": {"$regex": "x"}}));
    let all = Search {
        query: nothing.clone(),
        ..given::search(&json!({}), Some(("data.n", Direction::Descending)))
    };
    let path = given::path("data.n");
    for examined in [0, 1, 19, 20, 21] {
        let limits = limits(examined);
        let searched = documents.search(scope, &all, limits).await.unwrap();
        let counted = documents.count(scope, &nothing, limits).await.unwrap();
        let told = documents
            .distinct(scope, &nothing, &path, limits)
            .await
            .unwrap();
        if examined < 20 {
            for stopped in [
                matches!(&searched, Searched::TooMuch(ScanLimit::Examined, scan) if scan.examined == examined),
                matches!(&counted, Searched::TooMuch(ScanLimit::Examined, scan) if scan.examined == examined),
                matches!(&told, Searched::TooMuch(ScanLimit::Examined, scan) if scan.examined == examined),
            ] {
                assert!(stopped, "{examined}: {searched:?} {counted:?} {told:?}");
            }
        } else {
            assert!(
                matches!(&searched, Searched::Found(none, scan) if none.is_empty() && scan.examined == 20)
            );
            assert!(matches!(&counted, Searched::Found(0, scan) if scan.examined == 20));
            assert!(
                matches!(&told, Searched::Found(none, scan) if none.is_empty() && scan.examined == 20)
            );
        }
    }
    // What is found before that needs no more.
    let first = Search {
        limit: 3,
        ..given::search(&json!({"data.text": {"$regex": "x"}}), None)
    };
    let searched = documents.search(scope, &first, limits(3)).await.unwrap();
    assert!(
        matches!(&searched, Searched::Found(three, scan) if three.len() == 3 && scan.examined == 3)
    );
}

pub async fn a_query_that_would_find_too_many_bytes_is_stopped(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.n"]).await;
    let bytes = many(&*store, &hugo, &notes, 20).await;
    let scope = Scope::all_of(hugo.id);
    let limits = |bytes| ScanLimits {
        bytes,
        ..given::NO_SCAN_LIMITS
    };
    let documents = store.documents();
    for sort in [None, Some("data.n"), Some("data.text")] {
        let all = given::search(&json!({}), sort.map(|path| (path, Direction::Ascending)));
        let searched = documents.search(scope, &all, limits(bytes)).await.unwrap();
        assert_eq!(found(searched).len(), 20);
        let searched = documents
            .search(scope, &all, limits(bytes - 1))
            .await
            .unwrap();
        assert!(matches!(searched, Searched::TooMuch(ScanLimit::Bytes, _)));
        let one = Search {
            skip: 10,
            limit: 1,
            ..all
        };
        let searched = documents
            .search(scope, &one, limits(bytes / 10))
            .await
            .unwrap();
        assert_eq!(found(searched).len(), 1, "only what is handed out counts");
    }
    let (query, path) = (Query::default(), given::path("data.n"));
    // Ten numbers with one digit, ten with two.
    let bytes = 30 + 20 * ScanLimits::VALUE;
    let told = documents
        .distinct(scope, &query, &path, limits(bytes))
        .await
        .unwrap();
    assert_eq!(found(told).len(), 20);
    let told = documents
        .distinct(scope, &query, &path, limits(bytes - 1))
        .await
        .unwrap();
    assert!(matches!(told, Searched::TooMuch(ScanLimit::Bytes, _)));
    let counted = documents.count(scope, &query, limits(0)).await.unwrap();
    assert_eq!(found(counted), 20);
}

pub async fn a_query_without_time_is_stopped(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[]).await;
    many(&*store, &hugo, &notes, 10).await;
    let (scope, documents) = (Scope::all_of(hugo.id), store.documents());
    let limits = ScanLimits {
        time: Duration::ZERO,
        ..given::NO_SCAN_LIMITS
    };
    let (query, path) = (
        given::query(&json!({"data.n": {"$regex": "x"}})),
        given::path("a"),
    );
    let all = given::search(&json!({"data.n": {"$regex": "x"}}), None);
    let searched = documents.search(scope, &all, limits).await.unwrap();
    assert!(
        matches!(searched, Searched::TooMuch(ScanLimit::Time, _)),
        "{searched:?}"
    );
    let counted = documents.count(scope, &query, limits).await.unwrap();
    assert!(
        matches!(counted, Searched::TooMuch(ScanLimit::Time, _)),
        "{counted:?}"
    );
    let told = documents
        .distinct(scope, &query, &path, limits)
        .await
        .unwrap();
    assert!(
        matches!(told, Searched::TooMuch(ScanLimit::Time, _)),
        "{told:?}"
    );
    // Nobody else suffers from it.
    assert_eq!(given::document_count(&*store, &hugo).await, 10);
}

pub async fn a_query_that_looked_at_many_documents_names_the_index_it_lacks(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &[]).await;
    many(&*store, &hugo, &notes, 1_001).await;
    let scope = Scope::all_of(hugo.id);
    let scan = async |query: Value| {
        let query = given::query(&query);
        let counted = store
            .documents()
            .count(scope, &query, given::NO_SCAN_LIMITS)
            .await;
        match counted.unwrap() {
            Searched::Found(count, scan) => {
                assert_eq!(count, 1);
                scan
            }
            stopped @ Searched::TooMuch(..) => panic!("{stopped:?}"),
        }
    };
    let told = scan(json!({"type": "test", "data.n": 7})).await;
    assert_eq!(told.examined, 1_001);
    assert!(told.work > Duration::ZERO);
    assert_eq!(told.missing_index, Some(given::path("data.n")));
    let told = scan(json!({"_id": given::document_id(7).to_string(), "data.n": 7})).await;
    let rarely = Scan {
        work: Duration::ZERO,
        ..told
    };
    assert!(rarely.missing_index.is_none() || rarely.examined > Scan::MANY);
}

/// What a store has to find, told by the meaning of queries alone.
fn expected(documents: &Documents, scope: Scope, wanted: &Search) -> Vec<u64> {
    let mut found: Vec<&Document> = documents
        .values()
        .filter(|(assembly, _)| scope.assembly.is_none_or(|own| own == *assembly))
        .map(|(_, document)| document)
        .filter(|document| wanted.query.matches(*document))
        .collect();
    wanted.sort.sort(&mut found);
    let bound = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let part = found
        .into_iter()
        .skip(bound(wanted.skip))
        .take(bound(wanted.limit));
    numbers(&part.cloned().collect::<Vec<_>>())
}

fn expected_values(documents: &Documents, scope: Scope, query: &Query, path: &Path) -> Vec<Value> {
    let mut values = BTreeMap::new();
    for (assembly, document) in documents.values() {
        let in_scope = scope.assembly.is_none_or(|own| own == *assembly);
        if in_scope && query.matches(document) {
            for value in path.distinct_values(document) {
                let key = SortKey::of(&value);
                values.entry(key).or_insert_with(|| value.into_owned());
            }
        }
    }
    values.into_values().collect()
}

/// Asks everything that can be asked with one query, and compares.
async fn ask(store: &dyn Store, documents: &Documents, scope: Scope, wanted: &Search, path: &Path) {
    let told = numbers(&search(store, scope, wanted).await);
    assert_eq!(
        told,
        expected(documents, scope, wanted),
        "{scope:?} {wanted:#?}"
    );
    let all = Search {
        skip: 0,
        limit: u64::MAX,
        ..wanted.clone()
    };
    let counted = count(store, scope, &wanted.query).await;
    let matching = expected(documents, scope, &all).len() as u64;
    assert_eq!(counted, matching, "{scope:?} {wanted:#?}");
    let values = distinct(store, scope, &wanted.query, path).await;
    let right = expected_values(documents, scope, &wanted.query, path);
    assert_eq!(
        json!(values).to_string(),
        json!(right).to_string(),
        "{scope:?} {wanted:#?} {path}"
    );
}

/// Nothing of this is useful, but nothing may fail.
pub async fn queries_may_be_as_large_as_they_may(store: Arc<dyn Store>) {
    let long = ["long", &"x".repeat(100)].concat();
    let deep_path = format!("data{}", ".abcdefghijklm".repeat(31));
    let (hugo, notes) = hugo(&*store, &["data.a", &deep_path]).await;
    let id = assembly_id(&*store, &notes).await;
    let mut documents = Documents::new();
    for n in 0..20 {
        let data = json!({"a": n, "b": [n, long], long.clone(): n});
        let document = given::document(n, &notes, data);
        given::stored(&*store, &hugo, &document).await;
        documents.insert(n, (id, document));
    }
    let (numbers, texts): (Value, Value) = (
        (0..1_000).map(Value::from).collect(),
        (0..1_000).map(|n| Value::from(n.to_string())).collect(),
    );
    let many = |condition: &dyn Fn(usize) -> Value, count| -> Vec<Value> {
        (0..count).map(condition).collect()
    };
    let nested = |level: Value, n: usize| match n % 4 {
        0 => json!({"$nor": [level, {"data.a": 99}]}),
        1 => json!({"$and": [level, {"data.a": {"$ne": 98}}]}),
        2 => json!({"$or": [level, {"data.b": 97}]}),
        _ => json!({"$nor": [level]}),
    };
    for query in [
        json!({"$and": many(&|n| json!({"data.a": {"$gte": n % 7}}), 900)}),
        json!({"$or": many(&|n| json!({"data.a": n}), 900)}),
        json!({"$and": many(&|_| json!({"type": "test"}), 900)}),
        json!({"$and": many(&|n| json!({"data.b": {"$ne": n + 5}}), 900)}),
        json!({"$and": many(&|_| json!({"data.a": {"$in": numbers}}), 25)}),
        json!({"$and": many(&|_| json!({"data.a": {"$in": numbers}, "data.b": {"$in": numbers}}), 12)}),
        json!({"data.a": {"$in": numbers}, "data.b": {"$nin": texts}}),
        json!({"_id": {"$in": many(&|n| json!(given::document_id(n as u64).to_string()), 1_000)}}),
        json!({"time": {"$in": texts}}),
        json!({"$or": many(&|n| json!({deep_path.as_str(): {"$in": [null, n]}}), 400)}),
        json!({"$nor": many(&|n| json!({"data.b": {"$elemMatch": {"$eq": n}}}), 400)}),
        (0..14).fold(json!({"data.a": {"$gt": 3}}), nested),
        json!({"data.a": (0..25).fold(json!({"$gt": 3}), |inner, _| json!({"$not": inner}))}),
    ] {
        let scope = Scope::all_of(hugo.id);
        for sort in [None, Some(("data.a", Direction::Descending))] {
            let wanted = given::search(&query, sort);
            ask(&*store, &documents, scope, &wanted, &given::path("data.b")).await;
        }
    }
}

/// Values that databases confuse: too large, too small, too near or too long.
fn hard_values() -> Vec<Value> {
    let long = |end: &str| json!("long ".repeat(2_000) + end);
    let floats = [
        0.1,
        0.2,
        0.3,
        0.1 + 0.2,
        -0.0,
        5e-324,
        1e-323,
        1e22,
        1e23,
        8.41e21,
        1e300,
        5e15,
        -0.1,
        f64::MIN_POSITIVE,
        9_007_199_254_740_992.0,
        9_223_372_036_854_775_808.0,
        1.5e19,
        1.844_674_407_370_955_2e19,
        123_456.789_012_345_67,
    ];
    let next = floats.map(|float: f64| f64::from_bits(float.to_bits() + 1));
    let floats = floats.into_iter().chain(next).map(Value::from);
    let others = [
        json!(0),
        json!(i64::MAX),
        json!(i64::MAX - 1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(u64::MAX - 1),
        json!(1_u64 << 63),
        json!((1_u64 << 63) + 1),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_991_i64),
        long(""),
        long("a"),
        long("b"),
        json!([long("b")]),
        json!("a\u{0}b"),
        json!("a\u{0}"),
        json!("a"),
        json!("a\u{1}"),
        json!(null),
        json!(true),
        json!(false),
        json!([1, 5]),
        json!([]),
        json!({}),
    ];
    floats.chain(others).collect()
}

pub async fn what_is_hard_to_compare_is_compared_exactly(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, &["data.a"]).await;
    let id = assembly_id(&*store, &notes).await;
    let mut documents = Documents::new();
    let values = hard_values();
    // Not in order.
    for (n, value) in (0_u64..).zip(values.iter().rev()) {
        let data = json!({"a": value, "b": value, "c": {"d": value}});
        let document = given::document(n, &notes, data);
        given::stored(&*store, &hugo, &document).await;
        documents.insert(n, (id, document));
    }
    let scope = Scope::all_of(hugo.id);
    for path in ["data.a", "data.b", "data.c.d"] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let all = given::search(&json!({}), Some((path, direction)));
            let found = numbers(&search(&*store, scope, &all).await);
            assert_eq!(
                found,
                expected(&documents, scope, &all),
                "{path} {direction:?}"
            );
        }
        for value in &values {
            for operator in ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"] {
                let query = json!({path: {operator: value}});
                let all = given::search(&query, None);
                let right = expected(&documents, scope, &all);
                let found = numbers(&search(&*store, scope, &all).await);
                assert_eq!(found, right, "{query}");
                let counted = count(&*store, scope, &all.query).await;
                assert_eq!(counted, right.len() as u64, "{query}");
            }
        }
    }
}

const INDEXES: &[&str] = &["data", "data.a", "data.a.b", "data.l", "tags"];

pub async fn whatever_is_asked_the_answer_is_what_the_query_means(store: Arc<dyn Store>) {
    let (hugo, notes) = hugo(&*store, INDEXES).await;
    let other = indexed(&*store, &hugo, "Other", "Other", &[]).await;
    given::installed(&*store, &hugo, &other).await;
    let ids = [
        assembly_id(&*store, &notes).await,
        assembly_id(&*store, &other).await,
    ];
    let mut dice = Dice::new(2);
    let mut documents = BTreeMap::new();
    for n in 0..150 {
        let own = dice.roll(3) / 2;
        let document = random::document(&mut dice, n, [&notes, &other][own]);
        given::stored(&*store, &hugo, &document).await;
        documents.insert(n, (ids[own], document));
    }
    for _ in 0..1_500 {
        let scope = Scope {
            user: hugo.id,
            assembly: *dice.one_of(&[None, None, Some(ids[0]), Some(ids[1])]),
        };
        let wanted = random::search(&mut dice, &documents);
        let path = given::path(random::path(&mut dice));
        ask(&*store, &documents, scope, &wanted, &path).await;
    }
}

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
