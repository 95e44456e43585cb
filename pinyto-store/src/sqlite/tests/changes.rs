//! Whether commits are noticed.

use std::{path::Path, time::Duration};

use sqlx::{Connection as _, SqliteConnection};

use super::{super::changes::Changes, store};

async fn connect(directory: &Path) -> SqliteConnection {
    let url = format!("sqlite:{}?mode=rwc", directory.join("pinyto.db").display());
    SqliteConnection::connect(&url).await.unwrap()
}

async fn run(db: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(db).await.unwrap();
}

const WRITE: &str = "PRAGMA journal_mode = wal;
    CREATE TABLE IF NOT EXISTS numbers (number INTEGER);
    INSERT INTO numbers VALUES (1)";
const READ: &str = "SELECT count(*) FROM numbers";

#[tokio::test]
async fn each_commit_changes_the_state_and_nothing_else_does() {
    let (store, directory) = store(|options| options).await;
    let changes = Changes::of(&directory.path().join("pinyto.db"));
    let mut other = connect(directory.path()).await;
    run(&mut other, WRITE).await;
    let mut seen = vec![changes.state().unwrap()];
    for round in 0..50 {
        run(&mut other, "UPDATE numbers SET number = number + 1").await;
        let state = changes.state().unwrap();
        assert!(!seen.contains(&state), "round {round}");
        seen.push(state);
        run(&mut other, READ).await;
        run(&mut other, "BEGIN; DELETE FROM numbers; ROLLBACK").await;
        pinyto_core::store::Store::ping(store.as_ref())
            .await
            .unwrap();
        assert_eq!(changes.state(), Some(state), "nobody has committed");
        // May change it, but never to what it was.
        if round % 10 == 9 {
            run(&mut other, "PRAGMA wal_checkpoint(TRUNCATE)").await;
            let after = changes.state();
            assert!(after == Some(state) || after.is_none_or(|after| !seen.contains(&after)));
        }
    }
}

#[tokio::test]
async fn another_wal_index_after_all_have_closed_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut db = connect(directory.path()).await;
    run(&mut db, WRITE).await;
    let changes = Changes::of(&directory.path().join("pinyto.db"));
    let before = changes.state().unwrap();
    db.close().await.unwrap();
    assert_eq!(changes.state(), None, "it is gone");

    let mut db = connect(directory.path()).await;
    run(&mut db, READ).await;
    // The same for each new log.
    assert_eq!(changes.state(), None);
    assert_eq!(changes.state(), None);
    run(&mut db, WRITE).await;
    let first = changes.state().unwrap();
    run(&mut db, WRITE).await;
    let second = changes.state().unwrap();
    assert!(first != before && second != before && first != second);
}

#[tokio::test]
async fn the_index_lies_beside_the_file_that_a_link_refers_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut db = connect(directory.path()).await;
    run(&mut db, WRITE).await;
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(directory.path().join("pinyto.db"), &link).unwrap();
    // Of somebody who was here before the link.
    std::fs::copy(
        directory.path().join("pinyto.db-shm"),
        directory.path().join("link.db-shm"),
    )
    .unwrap();
    let changes = Changes::of(&link);
    let before = changes.state().unwrap();
    run(&mut db, WRITE).await;
    assert_ne!(changes.state().unwrap(), before);
}

/// Names the file to the process that [`is_locked`] starts.
#[cfg(target_os = "linux")]
const FILE: &str = "PINYTO_TEST_LOCKED_FILE";

/// No test when run with the others.
#[cfg(target_os = "linux")]
#[test]
fn asks_as_another_process_for_the_lock() {
    use rustix::fs::{FlockOperation::NonBlockingLockExclusive, fcntl_lock};
    if let Some(path) = std::env::var_os(FILE) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        match fcntl_lock(&file, NonBlockingLockExclusive) {
            Ok(()) => println!("answer: free"),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => println!("answer: locked"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether this process has a lock on the index, as another process finds out.
#[cfg(target_os = "linux")]
fn is_locked(directory: &Path) -> bool {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("sqlite::tests::changes::asks_as_another_process_for_the_lock")
        .env(FILE, directory.join("pinyto.db-shm"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_ne!(
        said.contains("answer: free"),
        said.contains("answer: locked"),
        "{said}"
    );
    said.contains("answer: locked")
}

/// Without its locks another process would take the index for its own, and the database would be
/// destroyed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn looking_for_changes_takes_no_lock_away_from_sqlite() {
    let (one, directory) = store(|options| options).await;
    let mut other = connect(directory.path()).await;
    run(&mut other, WRITE).await;
    assert!(is_locked(directory.path()));
    for _ in 0..3 {
        drop(Changes::of(&directory.path().join("pinyto.db")));
        assert!(is_locked(directory.path()));
    }
    one.close().await;
    drop(one);
    // The tasks that share what looks for changes end by themselves.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(is_locked(directory.path()));
    // As it would be found if it were so.
    drop(std::fs::File::open(directory.path().join("pinyto.db-shm")).unwrap());
    assert!(!is_locked(directory.path()));
}
