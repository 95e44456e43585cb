use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{
    ImportError, Imported,
    lines::{Item, Lines},
};
use crate::{
    assembly::{AssemblyRef, AssemblySource, AuthorLimits, InstallOutcome, SaveOutcome},
    clock::Timestamp,
    cloud::Settings,
    document::{Document, DocumentId, InsertOutcome, NewEntry, Replacement, Scope},
    id::UserId,
    key::{AddKeyOutcome, NewKey},
    store::{Store, StoreError},
    user::{NewUser, RegisterOutcome, User, UserName},
};

/// How many documents are stored at once: a store that commits many together is quicker so.
const AT_ONCE: usize = 16;

/// The length of a line, in bytes, from which on it is taken alone: its values may need some
/// hundred times as much memory.
const LARGE: usize = 256 * 1024;

/// What an import does with its lines, and within which limits.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    pub(super) user: Option<UserName>,
    pub(super) assembly: Option<AssemblyRef>,
    pub(super) kind: Option<String>,
    max_keys: usize,
    max_installed: usize,
    author_limits: AuthorLimits,
    max_bytes: Option<u64>,
}

impl ImportSettings {
    /// With the limits that users of a cloud with these settings have.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            user: None,
            assembly: None,
            kind: None,
            max_keys: settings.max_keys,
            max_installed: settings.max_installed,
            author_limits: settings.author_limits,
            max_bytes: settings.quotas.bytes,
        }
    }

    /// Whose all of it becomes; by default the user's whom the lines name, if there is none of her
    /// name yet. Lines alone don't choose which account is changed.
    #[must_use]
    pub fn user(mut self, user: UserName) -> Self {
        self.user = Some(user);
        self
    }

    /// The assembly of documents that name none, or one that is not here.
    #[must_use]
    pub fn assembly(mut self, assembly: AssemblyRef) -> Self {
        self.assembly = Some(assembly);
        self
    }

    /// The type of documents of MongoDB's that have none.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }
}

/// Takes lines one after the other. See the [module](super).
///
/// What is there already stays as it is, so the same lines can be imported again. Documents keep
/// their identifiers and times; they are accounted for from the present on, and none queues a job.
/// An assembly that they name is installed if it is here. So whoever wrote the lines chooses code
/// that runs for the user: one who is there already has to be
/// [named](ImportSettings::user), and nobody's are the reserved names.
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
    /// Whether a document has been stored, from when on storage is accounted for.
    is_accounted: bool,
    storing: JoinSet<Result<(DocumentId, Fate), ImportError>>,
    stored_now: HashSet<DocumentId>,
    imported: Imported,
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
            is_accounted: false,
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
            Some(Item::Key { key, is_active }) => {
                match is_active {
                    false => self.inactive_keys += 1,
                    // Whether keys are made is known only when the user is.
                    true if self.keys.len() == self.settings.max_keys => {
                        self.first_excess_key.get_or_insert(self.lines.number);
                    }
                    true => self.keys.push(key),
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

    fn wrong(&self, reason: impl Into<String>) -> ImportError {
        self.lines.wrong(reason)
    }

    fn failed(&self) -> impl FnOnce(StoreError) -> ImportError + use<> {
        let line = self.lines.number;
        move |source| ImportError::Store { line, source }
    }

    /// The user, made with her active keys if there is none. A store adds every key as an active
    /// one, so one that was revoked would be active if the import stopped just then.
    async fn owner(&mut self) -> Result<User, ImportError> {
        if let Some(user) = &self.user {
            return Ok(user.clone());
        }
        let name = self.lines.user();
        let name = name.ok_or_else(|| self.wrong("nobody says whose it is"))?;
        if name.is_reserved() {
            return Err(self.wrong(format!("nobody can have the name {name}")));
        }
        let found = self.store.users().find(&name).await;
        let user = match found.map_err(self.failed())? {
            Some(_) if self.settings.user.is_none() => {
                return Err(self.wrong(taken(&name)));
            }
            Some(user) => {
                self.imported.keys_left_out = self.lines.counts.keys;
                user
            }
            None => self.make(name).await?,
        };
        self.imported.user = Some(user.name.clone());
        self.user = Some(user.clone());
        Ok(user)
    }

    async fn make(&mut self, name: UserName) -> Result<User, ImportError> {
        if let Some(line) = self.first_excess_key {
            let most = self.settings.max_keys;
            let reason = format!("a user has at most {most} keys");
            return Err(ImportError::Line { line, reason });
        }
        let mut keys = std::mem::take(&mut self.keys).into_iter();
        let Some(key) = keys.next() else {
            return Err(self.wrong(format!(
                "there is no user {name}, and no active key with which she could log in: let her register first"
            )));
        };
        let new = NewUser {
            name,
            key,
            at: self.now,
        };
        let registered = self.store.users().register(&new).await;
        let RegisterOutcome::Registered(user) = registered.map_err(self.failed())? else {
            return Err(self.wrong("somebody has just taken the name, so try again"));
        };
        self.imported.made_user = true;
        self.imported.new.keys += 1;
        self.imported.inactive_keys_left_out = self.inactive_keys;
        for key in keys {
            self.add_key(user.id, &key).await?;
        }
        Ok(user)
    }

    async fn add_key(&mut self, user: UserId, key: &NewKey) -> Result<(), ImportError> {
        let keys = self.store.keys();
        let added = keys
            .add(user.into(), key, self.settings.max_keys, self.now)
            .await;
        // Otherwise it is the same line twice.
        if let AddKeyOutcome::Added(_) = added.map_err(self.failed())? {
            self.imported.new.keys += 1;
        }
        Ok(())
    }

    async fn assembly(&mut self, source: &AssemblySource) -> Result<(), ImportError> {
        let user = self.owner().await?;
        let name = AssemblyRef {
            author: user.name.clone(),
            name: source.name().clone(),
        };
        let assemblies = self.store.assemblies();
        match assemblies.find(&name).await.map_err(self.failed())? {
            Some(there) if there.source == *source => self.imported.known.assemblies += 1,
            Some(_) => self.imported.kept.assemblies += 1,
            None => {
                let limits = self.settings.author_limits;
                let (original, at) = (source.name().as_str(), self.now);
                let saved = assemblies.save(user.id, original, source, limits, at).await;
                match saved.map_err(self.failed())? {
                    SaveOutcome::LimitReached | SaveOutcome::TooManyBytes => {
                        return Err(self.wrong("the user has as many assemblies as she may have"));
                    }
                    _ => self.imported.new.assemblies += 1,
                }
            }
        }
        Ok(())
    }

    async fn installed(&mut self, assembly: &AssemblyRef) -> Result<(), ImportError> {
        match self.install(assembly).await? {
            Some(Fate::New) => {}
            Some(_) => self.imported.known.installed += 1,
            None => self.imported.missing.push(assembly.to_string()),
        }
        Ok(())
    }

    /// Installs an assembly if it is here and isn't installed.
    async fn install(&mut self, assembly: &AssemblyRef) -> Result<Option<Fate>, ImportError> {
        let user = self.owner().await?;
        let assemblies = self.store.assemblies();
        // Any function would do: what counts is whether there is an answer.
        let found = assemblies.find_function(user.id, assembly, &assembly.name);
        if found.await.map_err(self.failed())?.is_some() {
            return Ok(Some(Fate::Known));
        }
        let limit = self.settings.max_installed;
        let installed = assemblies.install(user.id, assembly, limit, self.now).await;
        match installed.map_err(self.failed())? {
            InstallOutcome::Installed => {
                self.imported.new.installed += 1;
                self.imported.installed.push(assembly.to_string());
                Ok(Some(Fate::New))
            }
            InstallOutcome::NotFound => Ok(None),
            InstallOutcome::LimitReached => {
                Err(self.wrong(format!("a user installs at most {limit} assemblies")))
            }
        }
    }

    /// The assembly to which the documents of `assembly` go.
    async fn home(&mut self, assembly: &AssemblyRef) -> Result<AssemblyRef, ImportError> {
        if let Some(home) = self.homes.get(assembly) {
            return Ok(home.clone());
        }
        let wanted = [Some(assembly.clone()), self.settings.assembly.clone()];
        for home in wanted.into_iter().flatten() {
            if self.install(&home).await?.is_none() {
                continue;
            }
            self.homes.insert(assembly.clone(), home.clone());
            return Ok(home);
        }
        Err(self.wrong(format!(
            "there is no assembly {assembly}, and none is named to which its documents could go"
        )))
    }

    async fn document(&mut self, mut document: Document) -> Result<(), ImportError> {
        let user = self.owner().await?;
        document.assembly = self.home(&document.assembly.clone()).await?;
        // One after the other, if there are several with one identifier.
        while self.stored_now.contains(&document.id) || self.storing.len() >= AT_ONCE {
            self.wait().await?;
        }
        let storing = Storing {
            store: Arc::clone(&self.store),
            user: user.id,
            now: self.now,
            max_bytes: self.settings.max_bytes,
            line: self.lines.number,
            is_first: !self.is_accounted,
        };
        if self.is_accounted {
            self.stored_now.insert(document.id);
            self.storing.spawn(storing.store(document));
        } else {
            let (id, fate) = storing.store(document).await?;
            self.is_accounted = matches!(fate, Fate::New);
            self.note(id, &fate);
        }
        Ok(())
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

/// Why a user who is there has to be named.
pub(super) fn taken(user: &UserName) -> String {
    format!(
        "it names {user}, who is here already, and a file alone doesn't choose which account is changed, so she has to be named (--user {user})"
    )
}

/// What it takes to store a document.
struct Storing {
    store: Arc<dyn Store>,
    user: UserId,
    now: Timestamp,
    max_bytes: Option<u64>,
    line: u64,
    is_first: bool,
}

impl Storing {
    /// Stores it, unless there is one with its identifier.
    ///
    /// A store accounts for a document from its time on, or from the last time that it has
    /// accounted for if that was later. So the first one comes with the present time, and so does
    /// one that is of the future; they get their own afterwards.
    async fn store(self, document: Document) -> Result<(DocumentId, Fate), ImportError> {
        let Self { line, now, .. } = self;
        let failed = |source| ImportError::Store { line, source };
        let wrong = |reason: &str| {
            let reason = reason.to_owned();
            Err(ImportError::Line { line, reason })
        };
        let (documents, id) = (self.store.documents(), document.id);
        let scope = Scope::all_of(self.user);
        if let Some(there) = documents.find(scope, id).await.map_err(failed)? {
            let is_same = there == document;
            return Ok((id, if is_same { Fate::Known } else { Fate::Kept }));
        }
        let time = document.time;
        let mut entry = NewEntry {
            document,
            max_bytes: self.max_bytes,
            job: None,
        };
        if self.is_first || time > now {
            entry.document.time = now;
        }
        match documents.insert(self.user, &entry).await.map_err(failed)? {
            InsertOutcome::Inserted => {}
            InsertOutcome::StorageFull => {
                return wrong("the user has stored as much as she may store");
            }
            InsertOutcome::NotInstalled | InsertOutcome::NotQueued(_) => {
                return wrong("its assembly has just been uninstalled");
            }
        }
        if entry.document.time != time {
            let own_time = Replacement {
                fields: entry.document.fields,
                time: Some(time),
                at: now,
                max_bytes: None,
            };
            // If somebody has removed it meanwhile, it is gone.
            documents.save(scope, id, &own_time).await.map_err(failed)?;
        }
        Ok((id, Fate::New))
    }
}
