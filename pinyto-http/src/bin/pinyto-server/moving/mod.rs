//! `pinyto-server backup`, `restore`, `check-backup`, `export-user` and `import-user`.

mod backup;
mod files;
mod progress;
mod user;

use pinyto_http::server::config::{Moving, Place, Settings};

use crate::{complain, say, signals};

/// Does it, unless a signal ends it before.
///
/// # Errors
///
/// One sentence for the operator.
pub(crate) async fn run(settings: &Settings, moving: &Moving) -> Result<(), String> {
    let stop = signals::watch(None)?;
    tokio::select! {
        done = perform(settings, moving) => done,
        // What was begun is thrown away: the file is removed, the transaction rolled back.
        () = stop.requested() => Err("It was interrupted.".to_owned()),
    }
}

async fn perform(settings: &Settings, moving: &Moving) -> Result<(), String> {
    match moving {
        Moving::Backup { file } => backup::backup(settings, file).await,
        Moving::Restore {
            file,
            end_sessions,
            max_line,
        } => backup::restore(settings, file, *end_sessions, *max_line).await,
        Moving::CheckBackup { file, max_line } => backup::check(file, *max_line).await,
        Moving::ExportUser { user, file } => user::export(settings, user, file).await,
        Moving::ImportUser {
            file,
            user,
            assembly,
            kind,
        } => {
            let wanted = user::Import {
                user: user.clone(),
                assembly: assembly.clone(),
                kind: kind.clone(),
            };
            user::import(settings, file, wanted).await
        }
        _ => Err("This command is not known.".to_owned()),
    }
}

/// Says something about what went to `place`: where that is stdout, on stderr.
fn report(place: &Place, text: &str) {
    match place {
        Place::Standard => complain(text),
        Place::File(_) => say(text),
    }
}

/// How the place is called.
fn shown(place: &Place) -> String {
    match place {
        Place::Standard => "-".to_owned(),
        Place::File(path) => path.display().to_string(),
    }
}
