//! All of a database, out and in.

use std::time::Duration;

use pinyto_core::clock::{Clock as _, SystemClock};
use pinyto_store::backup::{self, Progress, RestoreOptions, Summary};
use tokio::sync::watch;

use super::{
    Remains,
    files::{Origin, Target},
    progress::Bar,
    report, shown,
};
use crate::{
    config::{Place, Settings},
    database::Database,
    say,
};

pub(super) async fn backup(settings: &Settings, place: &Place) -> Result<(), String> {
    let mut target = Target::create(place)?;
    let mut bar = Bar::new("backup", "rows", None);
    let mut watcher = |progress: Progress| {
        bar.set_length(progress.expected_rows);
        bar.set(progress.rows, progress.subject);
    };
    let now = SystemClock.now();
    let written = Database::backup(settings, &mut target.to, now, &mut watcher).await;
    drop(bar);
    let summary = written?;
    target.finish(place).await?;
    let name = shown(place);
    let database = &settings.database;
    report(
        place,
        &format!(
            "The backup {name} of the database {database} has {}.",
            listed(&summary)
        ),
    );
    if summary.longest_line > RestoreOptions::MAX_LINE {
        let mib = summary.longest_line.div_ceil(1 << 20);
        report(place, &format!("To restore it say --max-line-mib {mib}."));
    }
    let key = settings.server_key.display();
    report(
        place,
        &format!(
            "The server's key {key} is not in it: keep a copy of that, too, in another place."
        ),
    );
    Ok(())
}

pub(super) async fn restore(
    settings: &Settings,
    place: &Place,
    end_sessions: bool,
    max_line: usize,
    remains: &watch::Sender<Remains>,
) -> Result<(), String> {
    let Origin { from, length } = Origin::open(place)?;
    let how = RestoreOptions::default()
        .max_line(max_line)
        .end_sessions(end_sessions);
    let mut bar = Bar::new("restore", "bytes", length);
    let mut watcher = |progress: Progress| bar.set(progress.bytes, progress.subject);
    let restored = Database::restore(settings, from, &how, &mut watcher).await;
    drop(bar);
    let summary = restored?;
    remains.send_replace(Remains::Restored);
    say(&format!(
        "The database {} has all that is in the backup of {}: {}.",
        settings.database,
        summary.created,
        listed(&summary)
    ));
    if end_sessions {
        say("Sessions were left out, so everybody has to log in again.");
    }
    index(settings).await?;
    if !settings.server_key.exists() {
        say(&format!(
            "The server's key is not part of a backup: put it to {} before you start the server, or clients will not trust it.",
            settings.server_key.display()
        ));
    }
    Ok(())
}

/// Waits until the indexes of documents are made, so that the first queries are as quick as all.
async fn index(settings: &Settings) -> Result<(), String> {
    let database = Database::open(settings).await?;
    let mut bar = Bar::new("indexing", "indexes", None);
    let mut all = 0;
    let made = loop {
        match database.indexes_in_the_making().await {
            Ok(0) => break Ok(()),
            Ok(left) => {
                all = all.max(left);
                bar.set_length(Some(all));
                bar.set(all - left, "documents");
            }
            Err(error) => break Err(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    drop(bar);
    database.close().await;
    made.map_err(|error| {
        format!(
            "All is restored, but making indexes failed, which the server will go on with: {error}."
        )
    })
}

pub(super) async fn check(place: &Place, max_line: usize) -> Result<(), String> {
    let Origin { from, length } = Origin::open(place)?;
    let how = RestoreOptions::default().max_line(max_line);
    let mut bar = Bar::new("check", "bytes", length);
    let mut watcher = |progress: Progress| bar.set(progress.bytes, progress.subject);
    let verified = backup::verify(from, &how, &mut watcher).await;
    drop(bar);
    let summary = verified.map_err(|error| error.to_string())?;
    say(&format!(
        "The backup {} of {} is complete and has {}.",
        shown(place),
        summary.created,
        listed(&summary)
    ));
    Ok(())
}

/// What is in a backup.
fn listed(summary: &Summary) -> String {
    format!(
        "{} users, {} keys, {} sessions, {} assemblies, {} documents, {} runs and {} job entries ({} bytes)",
        summary.count("users"),
        summary.count("keys"),
        summary.count("sessions"),
        summary.count("assemblies"),
        summary.count("documents"),
        summary.count("runs"),
        summary.count("job_entries"),
        summary.bytes,
    )
}
