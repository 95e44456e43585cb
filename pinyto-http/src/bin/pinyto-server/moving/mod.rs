//! `pinyto-server backup`, `restore`, `check-backup`, `export-user` and `import-user`.

mod backup;
mod files;
mod progress;
mod user;

use tokio::sync::watch;

use crate::{
    complain,
    config::{Moving, Place, Settings},
    say, signals,
};

/// What stays of a command that ends before it is done.
#[derive(Clone, Copy, Debug, Default)]
enum Remains {
    /// Nothing: the file is removed, the transaction rolled back.
    #[default]
    Nothing,
    /// Everything but the indexes.
    Restored,
    /// At least so many documents.
    Documents(u64),
}

impl Remains {
    /// In a sentence that follows after why it ended.
    fn told(self, why: &str) -> String {
        match self {
            Self::Nothing => why.to_owned(),
            Self::Restored => {
                format!("{why} All is restored; the server goes on with making indexes.")
            }
            Self::Documents(stored) => format!(
                "{why} At least {stored} documents are stored; the same lines can be imported again, with --user if the user was made."
            ),
        }
    }
}

/// Does it, unless a signal ends it before.
///
/// # Errors
///
/// One sentence for the operator.
pub(crate) async fn run(settings: &Settings, moving: &Moving) -> Result<(), String> {
    let stop = signals::watch(None)?;
    let remains = watch::Sender::default();
    tokio::select! {
        done = perform(settings, moving, &remains) => done,
        () = stop.requested() => Err(remains.borrow().told("It was interrupted.")),
    }
}

async fn perform(
    settings: &Settings,
    moving: &Moving,
    remains: &watch::Sender<Remains>,
) -> Result<(), String> {
    match moving {
        Moving::Backup { file } => backup::backup(settings, file).await,
        Moving::Restore {
            file,
            end_sessions,
            max_line,
        } => backup::restore(settings, file, *end_sessions, *max_line, remains).await,
        Moving::CheckBackup { file, max_line } => backup::check(file, *max_line).await,
        Moving::ExportUser { user, file } => user::export(settings, user, file).await,
        Moving::ImportUser {
            file,
            user,
            assembly,
            kind,
            max_line,
        } => {
            let wanted = user::Import {
                user: user.clone(),
                assembly: assembly.clone(),
                kind: kind.clone(),
                max_line: *max_line,
            };
            user::import(settings, file, wanted, remains).await
        }
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
