//! Files that were damaged, or made by somebody who means ill.

use pinyto_core::testing::given;
use pinyto_store::backup::{self, BackupError, RestoreError, RestoreOptions};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::places::Place;

/// A small backup.
async fn small() -> &'static [u8] {
    static FILE: OnceCell<Vec<u8>> = OnceCell::const_new();
    FILE.get_or_init(|| async {
        let place = Place::sqlite();
        let open = place.open().await;
        let store = open.store();
        let ann = given::user(&*store, "ann", 1).await;
        let notes = given::assembly(&*store, &ann, "Notes").await;
        given::installed(&*store, &ann, &notes).await;
        for n in 1..=3 {
            given::stored(&*store, &ann, &given::document(n, &notes, n.into())).await;
        }
        open.close().await;
        place.backup().await.unwrap().0
    })
    .await
}

async fn read(file: &[u8]) -> Result<backup::Summary, RestoreError> {
    backup::verify(file, &RestoreOptions::default(), &mut |_| ()).await
}

/// A file whose checksum and counts are right, as somebody makes it who means ill.
fn sealed(lines: &[String]) -> Vec<u8> {
    let mut text = String::new();
    let mut counts = std::collections::BTreeMap::new();
    let tables = [
        "users",
        "keys",
        "sessions",
        "keyserver_accounts",
        "assemblies",
        "functions",
        "jobs",
        "assembly_indexes",
        "installations",
        "documents",
        "runs",
        "run_writers",
        "job_users",
        "job_entries",
    ];
    for table in tables {
        let beginning = format!("{{\"{table}\":");
        let rows = lines.iter().filter(|line| line.starts_with(&beginning));
        counts.insert(table, rows.count());
    }
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let end = serde_json::json!({"end": {"rows": counts, "sha256": hash}});
    format!("{text}{end}\n").into_bytes()
}

/// The lines of the small backup without the last.
async fn lines() -> Vec<String> {
    let text = std::str::from_utf8(small().await).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.pop();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn any_changed_byte_is_noticed() {
    let file = small().await;
    assert!(read(file).await.is_ok());
    for place in 0..file.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = file.to_owned();
            changed[place] ^= flip;
            let read = read(&changed).await;
            assert!(read.is_err(), "byte {place} with {flip}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_missing_end_is_noticed() {
    let file = small().await;
    for length in 0..file.len() {
        assert!(read(&file[..length]).await.is_err(), "{length}");
    }
    let mut longer = file.to_owned();
    longer.push(b'\n');
    let error = read(&longer).await.unwrap_err().to_string();
    assert!(error.contains("nothing may follow"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_garbage_is_taken_for_a_backup(garbage in prop::collection::vec(any::<u8>(), 0..400), at: prop::sample::Index) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut file = small().await.to_owned();
            let at = at.index(file.len());
            file.splice(at..at, garbage.iter().copied());
            let is_same = garbage.is_empty();
            prop_assert_eq!(read(&file).await.is_ok(), is_same);
            prop_assert!(read(&garbage).await.is_err());
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_its_line() {
    let lines = lines().await;
    assert!(read(&sealed(&lines)).await.is_ok());
    let at = |beginning: &str| {
        let found = lines.iter().position(|line| line.starts_with(beginning));
        found.unwrap_or_else(|| panic!("{beginning} in {lines:#?}"))
    };
    let document = at("{\"documents\"");
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        sealed(&lines)
    };
    let twice = changed(&|lines| lines.insert(document, lines[document].clone()));
    let swapped = changed(&|lines| lines.swap(document, document + 1));
    let early = changed(&|lines| lines.swap(document - 1, document));
    let typed = changed(&|lines| {
        lines[document] = lines[document].replace("\"size\":", "\"size\":\"x\"+");
    });
    let newer = changed(&|lines| lines[0] = lines[0].replace("\"version\":1", "\"version\":2"));
    let foreign = changed(&|lines| lines[0] = "{\"a\":1}".to_owned());
    let beyond = changed(&|lines| lines[2] = lines[2].replace("\"id\":1,", "\"id\":9,"));
    let endless = changed(&|lines| lines[document] = "x".repeat(65 << 20));
    for (file, line, reason) in [
        (
            twice,
            document + 2,
            "two rows of documents with the same key",
        ),
        (swapped, document + 2, "not in their order"),
        (early, document + 1, "are to come earlier"),
        (typed, document + 1, "size: "),
        (foreign, 1, "no backup made by pinyto-server"),
        (beyond, 3, "larger than the last one"),
        (endless, document + 1, "longer than 67108864 bytes"),
    ] {
        let error = read(&file).await.unwrap_err().to_string();
        assert!(error.contains(&format!("Line {line} ")), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    let error = read(&newer).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "The backup has version 2 of the format, this program knows 1."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_restore_leaves_the_database_empty() {
    let lines = lines().await;
    let without = |beginning: &str| {
        let mut lines = lines.clone();
        lines.retain(|line| !line.starts_with(beginning));
        sealed(&lines)
    };
    let dangling = without("{\"keys\"");
    let orphans = without("{\"users\"");
    let cut = small().await;
    let cut = cut[..cut.len() - 20].to_owned();
    for place in Place::all().await {
        let error = place.restore(&orphans).await.unwrap_err();
        assert!(
            matches!(
                error,
                RestoreError::Refused {
                    subject: "keys",
                    ..
                }
            ),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains("in the lines 3 to 3"), "{text}");
        let error = place.restore(&cut).await.unwrap_err();
        assert!(matches!(error, RestoreError::Invalid { .. }), "{error}");
        assert_eq!(
            place.numbers("SELECT count(*) FROM pinyto_users").await,
            [0]
        );
        assert_eq!(
            place.numbers("SELECT count(*) FROM pinyto_documents").await,
            [0]
        );
        assert_eq!(
            place.numbers("SELECT count(*) FROM pinyto_indexes").await,
            [0]
        );
        // So the right file can follow; without her keys, nobody gets at what is Ann's.
        place.restore(&dangling).await.unwrap();
        let error = place.restore(&dangling).await.unwrap_err();
        assert!(
            matches!(
                error,
                RestoreError::NotEmpty {
                    subject: "users",
                    rows: 1
                }
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn there_is_no_backup_of_nothing() {
    let place = Place::sqlite();
    let error = place.backup().await.unwrap_err();
    assert!(matches!(error, BackupError::Nothing), "{error}");
    place.open().await.close().await;
    let (file, summary) = place.backup().await.unwrap();
    assert_eq!(summary.rows.iter().map(|(_, count)| count).sum::<u64>(), 0);
    assert!(read(&file).await.is_ok());
}
