//! What the tables take, seen by another program.

use pinyto_core::{
    Page,
    document::InsertOutcome,
    job::{JobRef, Trigger},
    store::Store as _,
    testing::given,
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::Place;

#[tokio::test]
async fn a_document_says_which_assembly_stored_it_whatever_that_is_called_later() {
    let place = Place::new();
    let store = place.store().await;
    let ann = given::user(&store, "ann", 1).await;
    given::assembly(&store, &ann, "Other").await;
    let notes = given::assembly(&store, &ann, "Notes").await;
    given::installed(&store, &ann, &notes).await;
    given::stored(&store, &ann, &given::document(1, &notes, 1.into())).await;
    let (source, at) = (given::source("Diary"), given::at(1));
    store
        .assemblies()
        .save(ann.id, Some(&notes.name), &source, given::NO_LIMITS, at)
        .await
        .unwrap();

    let mut other = SqliteConnection::connect(&place.url()).await.unwrap();
    let names = "SELECT d.assembly, a.name FROM pinyto_documents d
                 JOIN pinyto_assemblies a ON a.id = d.assembly_id";
    let names: Vec<(String, String)> = sqlx::query_as(names).fetch_all(&mut other).await.unwrap();
    assert_eq!(names, [("ann/Notes".to_owned(), "Diary".to_owned())]);
}

#[tokio::test]
async fn a_key_is_rsa_with_its_numbers_or_of_another_kind() {
    let place = Place::new();
    let store = place.store().await;
    given::user(&store, "ann", 1).await;
    let mut other = SqliteConnection::connect(&place.url()).await.unwrap();
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM pinyto_keys")
        .fetch_all(&mut other)
        .await
        .unwrap();
    assert_eq!(kinds, ["rsa"]);
    let (openpgp, sha256) = ("a".repeat(40), "b".repeat(64));
    for (values, taken) in [
        (format!("'rsa', '{sha256}', x'05', 3, NULL, NULL"), true),
        (format!("'rsa', '{sha256}', NULL, 3, NULL, NULL"), false),
        (format!("'rsa', '{sha256}', x'05', NULL, NULL, NULL"), false),
        (
            format!("'openpgp', '{openpgp}', NULL, NULL, x'05', ''"),
            true,
        ),
        (
            format!("'openpgp', '{openpgp}a', NULL, NULL, x'05', ''"),
            false,
        ),
        (
            format!("'openpgp', '{openpgp}', NULL, NULL, x'05', NULL"),
            false,
        ),
        (
            format!("'openpgp', '{openpgp}', NULL, NULL, NULL, ''"),
            false,
        ),
    ] {
        let insert = format!(
            "BEGIN; INSERT INTO pinyto_keys
             (user_id, active, created_at, kind, fingerprint, modulus, exponent, material,
              description)
             VALUES (1, 1, 0, {values})"
        );
        let inserted = sqlx::raw_sql(AssertSqlSafe(insert))
            .execute(&mut other)
            .await;
        assert_eq!(inserted.is_ok(), taken, "{values}: {inserted:?}");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    }
}

#[tokio::test]
async fn a_queued_job_goes_with_its_document() {
    let place = Place::new();
    let store = place.store().await;
    let ann = given::user(&store, "ann", 1).await;
    let notes = given::assembly(&store, &ann, "Notes").await;
    given::installed(&store, &ann, &notes).await;
    let job = JobRef {
        assembly: notes.clone(),
        name: given::job_name("tidy"),
    };
    let (jobs, at) = (store.jobs(), given::at(0));
    for n in 1..=2 {
        let document = given::document(n, &notes, 1.into());
        let queued = given::queued(&store, &ann, &document, &job, 9).await;
        assert_eq!(queued, InsertOutcome::Inserted);
    }
    place
        .meddle("PRAGMA foreign_keys = ON; DELETE FROM pinyto_documents WHERE hex(id) LIKE '%01'")
        .await;
    let left = jobs.list_of_user(ann.id, at, Page::first(9)).await.unwrap();
    let triggers: Vec<_> = left.into_iter().map(|state| state.trigger).collect();
    let second = Trigger::Document(given::document_id(2));
    assert_eq!(triggers, [Trigger::Schedule, second]);
}

#[tokio::test]
async fn an_assembly_has_no_negative_size() {
    let place = Place::new();
    let store = place.store().await;
    let ann = given::user(&store, "ann", 1).await;
    given::assembly(&store, &ann, "Notes").await;
    let mut other = SqliteConnection::connect(&place.url()).await.unwrap();
    let resized = sqlx::query("UPDATE pinyto_assemblies SET size = -1")
        .execute(&mut other)
        .await;
    assert!(resized.is_err(), "{resized:?}");
    sqlx::query("UPDATE pinyto_assemblies SET size = 1")
        .execute(&mut other)
        .await
        .unwrap();
}
