mod assemblies;
mod documents;
mod owner;
mod settings;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{
    ImportError, Imported,
    lines::{Item, Lines},
};
use crate::{
    assembly::AssemblyRef,
    clock::Timestamp,
    document::DocumentId,
    key::NewKey,
    store::{Store, StoreError},
    user::User,
};
pub(super) use owner::{keyless, taken};
pub use settings::ImportSettings;

/// The length of a line, in bytes, from which on it is taken alone: its values may need some
/// hundred times as much memory.
const LARGE: usize = 256 * 1024;

/// Takes lines one after the other. See the [module](super).
///
/// What is there already stays as it is, so the same lines can be imported again, also when an
/// import has stopped somewhere: a user is made with all of her keys or not at all, and each
/// document comes with all that it is. Documents keep their identifiers and times; they are
/// accounted for from the present on, and none queues a job.
/// An assembly that they name is installed if it is here. So whoever wrote the lines chooses code
/// that runs for the user: one who is there already has to be
/// [named](ImportSettings::user), and nobody's are the reserved names; those that only
/// [this program](crate::Settings::reserved_user_names) reserves are of nobody who isn't there.
/// Nothing becomes an account's that has no keys: it is the author of a program's own assemblies.
///
/// Has to be used within a tokio runtime.
pub struct UserImport {
    store: Arc<dyn Store>,
    settings: ImportSettings,
    now: Timestamp,
    lines: Lines,
    /// With which the user is made, if she is.
    keys: Vec<NewKey>,
    /// The line of the first key that she couldn't have any more.
    first_excess_key: Option<u64>,
    /// How many of hers can't be logged in with.
    inactive_keys: u64,
    user: Option<User>,
    /// Where the documents of an assembly go.
    homes: HashMap<AssemblyRef, AssemblyRef>,
    storing: JoinSet<Result<(DocumentId, Fate), ImportError>>,
    stored_now: HashSet<DocumentId>,
    imported: Imported,
}

impl fmt::Debug for UserImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserImport").finish_non_exhaustive()
    }
}

/// What became of something.
enum Fate {
    New,
    Known,
    Kept,
}

impl UserImport {
    /// An import at the moment `now`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, settings: ImportSettings, now: Timestamp) -> Self {
        Self {
            store,
            lines: Lines::new(settings.clone()),
            settings,
            now,
            keys: Vec::new(),
            first_excess_key: None,
            inactive_keys: 0,
            user: None,
            homes: HashMap::new(),
            storing: JoinSet::new(),
            stored_now: HashSet::new(),
            imported: Imported::default(),
        }
    }

    /// What has come of it so far.
    #[must_use]
    pub const fn so_far(&self) -> &Imported {
        &self.imported
    }

    /// Takes the next line. What it says may be stored a few lines later.
    ///
    /// # Errors
    ///
    /// [`ImportError`]; then no further line can be taken.
    pub async fn line(&mut self, text: &str) -> Result<(), ImportError> {
        if text.len() > LARGE {
            self.settle().await?;
        }
        match self.lines.read(text)? {
            None => Ok(()),
            Some(Item::Key(key)) => {
                match key {
                    None => self.inactive_keys += 1,
                    Some(key) if self.has_key(&key) => {}
                    // Whether keys are made is known only when the user is.
                    Some(_) if self.keys.len() == self.settings.max_keys => {
                        self.first_excess_key.get_or_insert(self.lines.number);
                    }
                    Some(key) => self.keys.push(key),
                }
                Ok(())
            }
            Some(Item::Assembly(source)) => self.assembly(&source).await,
            Some(Item::Installed(assembly)) => self.installed(&assembly).await,
            Some(Item::Document(document)) => self.document(*document).await,
        }
    }

    /// After the last line: waits until all is stored.
    ///
    /// # Errors
    ///
    /// [`ImportError`].
    pub async fn finish(&mut self) -> Result<Imported, ImportError> {
        self.lines.finish()?;
        self.owner().await?;
        self.settle().await?;
        Ok(self.imported.clone())
    }

    /// Whether it is the same line twice.
    fn has_key(&self, key: &NewKey) -> bool {
        let fingerprint = key.material.fingerprint();
        let mut known = self.keys.iter();
        known.any(|known| known.material.fingerprint() == fingerprint)
    }

    fn wrong(&self, reason: impl Into<String>) -> ImportError {
        self.lines.wrong(reason)
    }

    fn failed(&self) -> impl FnOnce(StoreError) -> ImportError + use<> {
        let line = self.lines.number;
        move |source| ImportError::Store { line, source }
    }

    /// Waits until all is stored that was taken.
    async fn settle(&mut self) -> Result<(), ImportError> {
        while !self.storing.is_empty() {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits for one of the documents that are being stored.
    async fn wait(&mut self) -> Result<(), ImportError> {
        match self.storing.join_next().await {
            None => Ok(()),
            Some(Ok(stored)) => {
                let (id, fate) = stored?;
                self.note(id, &fate);
                Ok(())
            }
            Some(Err(error)) => Err(self.failed()(StoreError::unavailable(error))),
        }
    }

    fn note(&mut self, id: DocumentId, fate: &Fate) {
        self.stored_now.remove(&id);
        let counts = match fate {
            Fate::New => &mut self.imported.new,
            Fate::Known => &mut self.imported.known,
            Fate::Kept => &mut self.imported.kept,
        };
        counts.documents += 1;
    }
}
