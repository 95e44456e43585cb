use pinyto_core::{store::Store, testing::given};
use pinyto_store::sqlite::{OpenError, SqliteOptions, SqliteStore, Synchronous};
use sqlx::Connection as _;

use super::Place;

#[tokio::test]
async fn what_was_stored_is_there_when_the_database_is_opened_again() {
    let place = Place::new();
    for _ in 0..3 {
        let store = place.store().await;
        let found = store.users().find(&given::name("ann")).await.unwrap();
        if found.is_none() {
            given::user(&store, "ann", 1).await;
        }
        let ann = store
            .users()
            .find(&given::name("ann"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(store.keys().list(ann.id).await.unwrap().len(), 1);
        store.close().await;
    }
}

#[tokio::test]
async fn identifiers_are_not_given_again_not_even_after_a_restart() {
    let place = Place::new();
    let store = place.store().await;
    let ann = given::user(&store, "ann", 1).await;
    let key = given::key(&store, &ann, 2).await;
    let hash = given::hash_of(2);
    store
        .keys()
        .delete(ann.id.into(), &hash, given::at(0))
        .await
        .unwrap();
    store.close().await;

    let store = place.store().await;
    assert!(given::key(&store, &ann, 3).await > key);
}

#[tokio::test]
async fn many_may_open_a_new_database_at_once() {
    let place = Place::new();
    let stores = tokio::join!(place.store(), place.store(), place.store(), place.store());
    given::user(&stores.0, "ann", 1).await;
    for store in [stores.1, stores.2, stores.3] {
        assert!(
            store
                .users()
                .find(&given::name("ann"))
                .await
                .unwrap()
                .is_some()
        );
    }
}

#[tokio::test]
async fn an_embedder_can_keep_tables_and_migrations_beside_ours() {
    let place = Place::new();
    place
        .meddle(
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY);
             INSERT INTO _sqlx_migrations VALUES (20990101);
             CREATE TABLE users (name TEXT)",
        )
        .await;
    given::user(&place.store().await, "ann", 1).await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let place = Place::new();
    place.store().await.close().await;
    place
        .meddle(
            "INSERT INTO pinyto_migrations (version, description, success, checksum, execution_time)
             VALUES (99, 'of the future', TRUE, x'00', 0)",
        )
        .await;
    let refused = SqliteStore::open(place.url()).await.unwrap_err();
    assert!(matches!(
        refused,
        OpenError::Newer {
            found: 99,
            known: 11,
            ..
        }
    ));
    assert_eq!(refused.code(), "database_newer");
    let text = refused.to_string();
    assert!(
        text.contains("newer version of Pinyto") && text.contains("pinyto.db"),
        "{text}"
    );

    place
        .meddle("DELETE FROM pinyto_migrations WHERE version = 99")
        .await;
    place.store().await.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_refused_with_a_sentence() {
    for wrong in [
        "",
        "pinyto.db",
        "postgres://localhost/pinyto",
        "sqlite:",
        "sqlite:?mode=rwc",
        "sqlite:a.db?mode=sometimes",
        "sqlite:a.db?colour=red",
    ] {
        let refused = SqliteStore::open(wrong).await.unwrap_err();
        assert!(
            matches!(refused, OpenError::Url { .. }),
            "{wrong}: {refused}"
        );
    }
    let place = Place::new();
    let in_nowhere = super::url(&place.0.path().join("nowhere/pinyto.db"));
    let missing = place.url().replace("rwc", "rw");
    let no_database = place.0.path().join("text.db");
    std::fs::write(
        &no_database,
        "A text, long enough to be no header. ".repeat(200),
    )
    .unwrap();
    let directory = super::url(place.0.path());
    for wrong in [in_nowhere, missing, super::url(&no_database), directory] {
        let refused = SqliteStore::open(wrong.as_str()).await.unwrap_err();
        assert_eq!(refused.code(), "database_file", "{wrong}: {refused}");
        assert!(refused.to_string().contains("can't be opened"), "{refused}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_a_new_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let store = place.store().await;
    given::user(&store, "ann", 1).await;
    for file in std::fs::read_dir(place.0.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
}

/// Counts warnings of the store.
#[cfg(unix)]
#[derive(Clone, Default)]
struct Warnings(std::sync::Arc<std::sync::atomic::AtomicUsize>);

#[cfg(unix)]
impl tracing::Subscriber for Warnings {
    fn enabled(&self, of: &tracing::Metadata<'_>) -> bool {
        *of.level() == tracing::Level::WARN && of.target().starts_with("pinyto_store")
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_that_others_can_read_is_warned_of_and_left_as_it_is() {
    use std::{fs, os::unix::fs::PermissionsExt as _, sync::atomic::Ordering};
    let warnings = Warnings::default();
    let _here = tracing::subscriber::set_default(warnings.clone());
    let place = Place::new();
    place.store().await.close().await;
    place.store().await.close().await;
    assert_eq!(warnings.0.load(Ordering::Relaxed), 0);

    let file = place.0.path().join("pinyto.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    for (url, warned) in [(place.url(), 1), (place.url().replace("rwc", "rw"), 2)] {
        SqliteStore::open(url).await.unwrap().close().await;
        assert_eq!(warnings.0.load(Ordering::Relaxed), warned);
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[tokio::test]
async fn databases_in_memory_have_nothing_in_common() {
    let one = SqliteStore::open("sqlite::memory:").await.unwrap();
    let other = SqliteStore::open("sqlite:one?mode=memory").await.unwrap();
    given::user(&one, "ann", 1).await;
    assert!(
        one.users()
            .find(&given::name("ann"))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        other
            .users()
            .find(&given::name("ann"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_file_name_may_have_spaces_and_odd_characters() {
    let place = Place::new();
    let path = place.0.path().join("my cloud #1%3F ü.db");
    let encoded = path.display().to_string().replace('%', "%25");
    let store = SqliteStore::open(format!("sqlite:{encoded}?mode=rwc"))
        .await
        .unwrap();
    given::user(&store, "ann", 1).await;
    assert!(path.exists());
}

#[tokio::test]
async fn the_log_is_on_and_synchronous_as_chosen() {
    let place = Place::new();
    let options = SqliteOptions::new(place.url())
        .synchronous(Synchronous::Normal)
        .readers(0)
        .max_group(0)
        .cache_kib(2_000);
    let store = SqliteStore::open(options).await.unwrap();
    given::user(&store, "ann", 1).await;
    let mut other = sqlx::SqliteConnection::connect(&place.url()).await.unwrap();
    let mode: (String,) = sqlx::query_as("PRAGMA journal_mode")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(mode.0, "wal");
}
