//! Queries for documents.

mod answers;
mod changing;
mod exact;
mod limits;

use serde_json::Value;

use crate::{
    assembly::{AssemblyName, AssemblyRef},
    document::{Document, Scope, Search, Searched},
    id::AssemblyId,
    query::{Path, Query},
    store::Store,
    testing::given,
    user::User,
};

pub use answers::{
    a_search_finds_what_matches_in_order, nobody_finds_documents_of_another_user_or_assembly,
    skip_and_limit_cut_a_part_out_of_the_order, values_are_told_once_in_order,
};
pub use changing::{
    answers_stay_right_while_documents_indexes_and_names_change,
    readers_see_a_change_in_all_indexes_or_in_none,
};
pub use exact::{
    queries_may_be_as_large_as_they_may, what_is_hard_to_compare_is_compared_exactly,
    whatever_is_asked_the_answer_is_what_the_query_means,
};
pub use limits::{
    a_query_that_looked_at_many_documents_names_the_index_it_lacks,
    a_query_that_would_find_too_many_bytes_is_stopped,
    a_query_that_would_look_at_too_many_documents_is_stopped, a_query_without_time_is_stopped,
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
    replaces: &str,
    name: &str,
    indexes: &[&str],
) -> AssemblyRef {
    let indexes = indexes.iter().map(|path| given::path(path));
    let source = given::source(name).into_builder().indexes(indexes);
    let source = source.build().unwrap();
    let replaces = AssemblyName::parse(replaces).ok();
    let saved = store
        .assemblies()
        .save(
            author.id,
            replaces.as_ref(),
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
