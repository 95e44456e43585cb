//! One user, out and in.

use pinyto_core::{
    assembly::AssemblyRef,
    clock::{Clock as _, SystemClock},
    portable::{ImportSettings, Imported, Preview, UserExport, UserImport},
    store::Store,
    user::UserName,
};
use pinyto_store::DatabaseState;
use tokio::{io::AsyncWriteExt as _, sync::watch};

use super::{
    Remains,
    files::{Origin, Target},
    progress::Bar,
    report, shown,
};
use crate::{
    cloud::rules,
    config::{IMPORTED_LINE, Place, Settings},
    database::Database,
    say,
};

/// How often it is told how far it is, in lines.
const TOLD: u64 = 100;

/// The database, which has to be there: a name that was mistyped makes no new one.
async fn open(settings: &Settings) -> Result<Database, String> {
    let database = &settings.database;
    match Database::inspect(settings).await? {
        DatabaseState::Current => Database::open(settings).await,
        DatabaseState::Outdated { found, known } if found > 0 => Err(format!(
            "The tables of the database {database} are at version {found}, this program needs {known}. Bring them up to date first: pinyto-server migrate."
        )),
        _ => Err(format!(
            "There is no database {database} with tables of Pinyto."
        )),
    }
}

pub(super) async fn export(
    settings: &Settings,
    user: &UserName,
    place: &Place,
) -> Result<(), String> {
    let database = open(settings).await?;
    let exported = write(&*database.store(), user, place).await;
    database.close().await;
    exported
}

async fn write(store: &dyn Store, user: &UserName, place: &Place) -> Result<(), String> {
    let unread = |error| with_source("The database can't be read", &error);
    let begun = UserExport::begin(store, user, SystemClock.now()).await;
    let begun = begun.map_err(unread)?;
    let mut export = begun.ok_or_else(|| format!("There is no user {user}."))?;
    let mut target = Target::create(place)?;
    let mut bar = Bar::new("export", "documents", None);
    let mut longest = 0;
    while let Some(mut line) = export.next().await.map_err(unread)? {
        longest = longest.max(line.len());
        line.push('\n');
        let written = target.to.write_all(line.as_bytes()).await;
        written.map_err(|error| format!("{} can't be written: {error}.", shown(place)))?;
        bar.set(export.counts().documents, user.as_str());
    }
    drop(bar);
    target.finish(place).await?;
    let name = shown(place);
    report(place, &format!("{name} has {} of {user}.", export.counts()));
    if longest > IMPORTED_LINE {
        let mib = longest.div_ceil(1 << 20);
        report(place, &format!("To import it say --max-line-mib {mib}."));
    }
    let account = store.keyserver().find(user).await.map_err(unread)?;
    if account.is_some() {
        report(
            place,
            "Password and key of the keyserver are not in it: where it is imported, she logs in with one of her other keys.",
        );
    }
    Ok(())
}

/// What is said about an import.
pub(super) struct Import {
    pub(super) user: Option<UserName>,
    pub(super) assembly: Option<AssemblyRef>,
    pub(super) kind: Option<String>,
    pub(super) max_line: usize,
}

pub(super) async fn import(
    settings: &Settings,
    place: &Place,
    wanted: Import,
    remains: &watch::Sender<Remains>,
) -> Result<(), String> {
    let mut how = ImportSettings::new(&rules(settings));
    if let Some(user) = wanted.user {
        how = how.user(user);
    }
    if let Some(assembly) = wanted.assembly {
        how = how.assembly(assembly);
    }
    if let Some(kind) = wanted.kind {
        how = how.kind(kind);
    }
    let database = open(settings).await?;
    let imported = read(&database, place, how, wanted.max_line, remains).await;
    database.close().await;
    let imported = imported.map_err(|error| remains.borrow().told(&error))?;
    if let Some(user) = &imported.user {
        say(&whose(user, &imported));
    }
    say(&summary(&imported));
    if !imported.installed.is_empty() {
        say(&format!("Installed: {}.", imported.installed.join(", ")));
    }
    if !imported.missing.is_empty() {
        say(&format!(
            "Not installed, because they are not here: {}.",
            imported.missing.join(", ")
        ));
    }
    Ok(())
}

async fn read(
    database: &Database,
    place: &Place,
    how: ImportSettings,
    max_line: usize,
    remains: &watch::Sender<Remains>,
) -> Result<Imported, String> {
    let store = database.store();
    let origin = Origin::open(place)?;
    let length = origin.length;
    // What can be read twice is looked at before anything is changed.
    if length.is_some() && matches!(place, Place::File(_)) {
        let mut preview = Preview::new(how.clone());
        let mut lines = Origin::open(place)?.lines(max_line);
        while let Some(line) = lines.next().await? {
            preview.line(line).map_err(|error| error.to_string())?;
        }
        let needs = preview.finish().map_err(|error| error.to_string())?;
        let unmet = needs.unmet(&*store, &how).await;
        if let Some(unmet) =
            unmet.map_err(|error| with_source("The database can't be read", &error))?
        {
            return Err(unmet);
        }
    }
    let mut import = UserImport::new(store, how, SystemClock.now());
    let mut bar = Bar::new("import", "bytes", length);
    let (mut lines, mut number) = (origin.lines(max_line), 0_u64);
    while let Some(line) = lines.next().await? {
        let taken = import.line(line).await;
        remains.send_replace(stored(&import));
        taken.map_err(|error| error.to_string())?;
        number += 1;
        if number.is_multiple_of(TOLD) {
            bar.set(lines.bytes, "documents");
        }
    }
    drop(bar);
    let finished = import.finish().await;
    remains.send_replace(stored(&import));
    finished.map_err(|error| error.to_string())
}

/// What stays of an import that ends now.
fn stored(import: &UserImport) -> Remains {
    match import.so_far() {
        // A user without documents, too.
        Imported {
            user: None,
            made_user: false,
            ..
        } => Remains::Nothing,
        Imported { new, .. } => Remains::Documents(new.documents),
    }
}

/// To whom it went.
fn whose(user: &UserName, imported: &Imported) -> String {
    match imported {
        Imported { made_user, .. } if *made_user => match imported.inactive_keys_left_out {
            0 => format!("The user {user} was made, with her keys."),
            inactive => format!(
                "The user {user} was made, with her active keys; {inactive} inactive ones were left out."
            ),
        },
        Imported { keys_left_out, .. } if *keys_left_out > 0 => format!(
            "The user {user} was there, so {keys_left_out} keys of the file were left out: add keys as she who can log in."
        ),
        _ => format!("The user {user} was there."),
    }
}

fn summary(imported: &Imported) -> String {
    let Imported {
        new, known, kept, ..
    } = imported;
    format!(
        "New: {new}. There already: {} documents and {} assemblies. There already, but otherwise, and left so: {} documents and {} assemblies.",
        known.documents, known.assemblies, kept.documents, kept.assemblies
    )
}

/// With the reason, which is meant for the log.
fn with_source(what: &str, error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{what}: {error} ({source})."),
        None => format!("{what}: {error}."),
    }
}
