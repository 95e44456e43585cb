//! What stands in the lines of a file, and what they need to be imported.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    Counts, ImportError, VERSION,
    import::ImportSettings,
    mongo::{self, Defaults},
};
#[cfg(feature = "gpgauth")]
use crate::gpgauth::InvalidOpenPgpKey;
use crate::{
    assembly::{
        AssemblyName, AssemblyRef, AssemblySource, DataAccess, Function, FunctionName,
        InvalidAssemblyName, Job, JobName, Schedule,
    },
    clock::Timestamp,
    document::{Document, NewDocument, is_deeper_than},
    egress::HostPattern,
    json,
    key::{KeyLabel, KeyMaterial, NewKey, OpenPgpKey, PublicKey},
    query::Path,
    user::UserName,
};

/// What a line says.
pub(super) enum Item {
    /// None if it isn't active, or not any more.
    Key(Option<NewKey>),
    Assembly(AssemblySource),
    Installed(AssemblyRef),
    Document(Box<Document>),
}

/// What kind of file it is, which its first line says.
enum Kind {
    /// Ours, of this user.
    Export(UserName),
    /// `mongoexport`'s.
    Mongo,
}

/// Reads lines one after the other.
pub(super) struct Lines {
    settings: ImportSettings,
    kind: Option<Kind>,
    pub(super) number: u64,
    pub(super) counts: Counts,
    has_end: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u64,
    user: String,
    #[serde(rename = "exported")]
    _exported: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    public_key: Option<String>,
    openpgp_key: Option<String>,
    label: Option<String>,
    active: bool,
    #[cfg_attr(
        not(feature = "gpgauth"),
        expect(dead_code, reason = "only OpenPGP keys need it")
    )]
    created_at: Option<String>,
}

impl KeyLine {
    fn material(&self) -> Result<Option<KeyMaterial>, String> {
        match (&self.public_key, &self.openpgp_key) {
            (Some(pem), None) => match PublicKey::from_pem(pem) {
                Ok(key) => Ok(Some(key.into())),
                Err(error) => Err(error.to_string()),
            },
            (None, Some(armored)) => Ok(self.openpgp(armored)?.map(KeyMaterial::from)),
            _ => Err("a key has either public_key or openpgp_key".to_owned()),
        }
    }

    /// The key as it was when it was registered, unless it is not accepted (any more). It may have
    /// expired since, and is judged again whenever it is used.
    #[cfg(feature = "gpgauth")]
    fn openpgp(&self, armored: &str) -> Result<Option<OpenPgpKey>, String> {
        let created_at = self
            .created_at
            .as_deref()
            .and_then(Timestamp::parse_rfc3339);
        let created_at = created_at.ok_or("an OpenPGP key needs created_at")?;
        match crate::gpgauth::read_key(armored, created_at) {
            Ok(key) => Ok(Some(key)),
            Err(
                error @ (InvalidOpenPgpKey::NotArmored
                | InvalidOpenPgpKey::Malformed
                | InvalidOpenPgpKey::Secret),
            ) => Err(error.to_string()),
            Err(_) => Ok(None),
        }
    }

    #[cfg(not(feature = "gpgauth"))]
    fn openpgp(&self, _: &str) -> Result<Option<OpenPgpKey>, String> {
        Err("OpenPGP keys need the feature gpgauth".to_owned())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssemblyLine {
    name: String,
    description: String,
    api_functions: Vec<PartLine>,
    jobs: Vec<PartLine>,
    only_own_data: bool,
    #[serde(default)]
    indexes: Vec<String>,
    http_hosts: Option<Vec<HostPattern>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartLine {
    name: String,
    code: String,
    /// Of jobs only.
    schedule: Option<u64>,
}

impl Lines {
    pub(super) fn new(settings: ImportSettings) -> Self {
        Self {
            settings,
            kind: None,
            number: 0,
            counts: Counts::default(),
            has_end: false,
        }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> ImportError {
        // Some reasons are whole sentences.
        let reason = reason.into().trim_end_matches('.').to_owned();
        ImportError::Line {
            line: self.number,
            reason,
        }
    }

    /// For whom the lines are, as far as that is known.
    pub(super) fn user(&self) -> Option<UserName> {
        let of_file = match &self.kind {
            Some(Kind::Export(user)) => Some(user),
            Some(Kind::Mongo) | None => None,
        };
        self.settings.user.as_ref().or(of_file).cloned()
    }

    /// Reads the next line; an empty one says nothing, nor do the first and the last of ours.
    pub(super) fn read(&mut self, text: &str) -> Result<Option<Item>, ImportError> {
        self.number += 1;
        if text.trim().is_empty() {
            return Ok(None);
        }
        self.item(text).map_err(|reason| self.wrong(reason))
    }

    /// Says that no line comes any more.
    pub(super) fn finish(&mut self) -> Result<(), ImportError> {
        self.number += 1;
        match self.kind {
            None => Err(self.wrong("the file is empty")),
            Some(Kind::Export(_)) if !self.has_end => {
                Err(self.wrong("the file ends before its last line: it is not complete"))
            }
            Some(_) => Ok(()),
        }
    }

    fn item(&mut self, text: &str) -> Result<Option<Item>, String> {
        if text.trim_start().starts_with('[') && self.kind.is_none() {
            return Err("one JSON object a line is wanted, so leave out --jsonArray".to_owned());
        }
        if self.has_end {
            return Err("nothing may follow after the last line".to_owned());
        }
        let object = json::object(text).map_err(|error| sentence(&error))?;
        let is_first = self.kind.is_none();
        if is_first && let Some(header) = object.get("pinyto_export") {
            let header: Header = field(header.clone())?;
            if header.version != u64::from(VERSION) {
                let found = header.version;
                return Err(format!(
                    "it has version {found} of the format, this program knows {VERSION}"
                ));
            }
            let user = UserName::parse(&header.user).map_err(|error| error.to_string())?;
            self.kind = Some(Kind::Export(user));
            return Ok(None);
        }
        match self.kind.get_or_insert(Kind::Mongo) {
            Kind::Mongo => {
                if self.settings.user.is_none() {
                    return Err(
                        "the file doesn't say whose it is, so a user has to be named".to_owned(),
                    );
                }
                let defaults = Defaults {
                    assembly: self.settings.assembly.as_ref(),
                    kind: self.settings.kind.as_deref(),
                };
                let document = mongo::document(object, defaults)?;
                self.counts.documents += 1;
                Ok(Some(Item::Document(Box::new(document))))
            }
            Kind::Export(user) => {
                let user = user.clone();
                self.own(object, &user)
            }
        }
    }

    /// A line of ours.
    fn own(&mut self, object: Map<String, Value>, user: &UserName) -> Result<Option<Item>, String> {
        let mut fields = object.into_iter();
        let (Some((name, value)), None) = (fields.next(), fields.next()) else {
            return Err("an object with one field is wanted".to_owned());
        };
        let item = match name.as_str() {
            "key" => {
                let Counts {
                    keys: _,
                    assemblies,
                    installed,
                    documents,
                } = self.counts;
                // They are made with the user.
                if (assemblies, installed, documents) != (0, 0, 0) {
                    return Err("keys come before everything else".to_owned());
                }
                self.counts.keys += 1;
                let line: KeyLine = field(value)?;
                let label = line.label.as_deref().map(KeyLabel::parse).transpose();
                let label = label.map_err(|error| error.to_string())?;
                let material = line.material()?.filter(|_| line.active);
                Item::Key(material.map(|material| NewKey { material, label }))
            }
            "assembly" => {
                self.counts.assemblies += 1;
                Item::Assembly(source(field(value)?)?)
            }
            "installed" => {
                self.counts.installed += 1;
                let name: String = field(value)?;
                let assembly = AssemblyRef::parse(&name);
                Item::Installed(self.renamed(assembly.ok_or("it is not author/name")?, user))
            }
            "document" => {
                self.counts.documents += 1;
                let Value::Object(fields) = value else {
                    return Err("a document is an object".to_owned());
                };
                let mut document = document(fields)?;
                document.assembly = self.renamed(document.assembly, user);
                Item::Document(Box::new(document))
            }
            "end" => {
                let counted: Counts = field(value)?;
                if counted != self.counts {
                    return Err(format!(
                        "the file was written with {counted}, and has {}",
                        self.counts
                    ));
                }
                self.has_end = true;
                return Ok(None);
            }
            _ => return Err(format!("there is nothing called {name:?}")),
        };
        Ok(Some(item))
    }

    /// What the user has written is hers under her new name, too.
    fn renamed(&self, assembly: AssemblyRef, user: &UserName) -> AssemblyRef {
        match &self.settings.user {
            Some(new) if assembly.author == *user => AssemblyRef {
                author: new.clone(),
                name: assembly.name,
            },
            _ => assembly,
        }
    }
}

/// What an error of the parser says, without the place in the line's text.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn field<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| sentence(&error))
}

fn name<N>(parsed: Result<N, InvalidAssemblyName>) -> Result<N, String> {
    parsed.map_err(|error| error.to_string())
}

fn source(line: AssemblyLine) -> Result<AssemblySource, String> {
    let functions = line.api_functions.into_iter().map(|part| {
        if part.schedule.is_some() {
            return Err("functions have no schedule".to_owned());
        }
        let name = name(FunctionName::parse(&part.name))?;
        Ok(Function::new(name, part.code))
    });
    let functions = functions.collect::<Result<Vec<_>, String>>()?;
    let jobs = line.jobs.into_iter().map(|part| {
        let schedule = part.schedule.and_then(Schedule::from_minutes);
        let name = name(JobName::parse(&part.name))?;
        let schedule = schedule.ok_or("a job has a schedule, of at most ten years")?;
        Ok(Job::new(name, part.code).every(schedule))
    });
    let jobs = jobs.collect::<Result<Vec<_>, String>>()?;
    let indexes = line.indexes.iter().map(|path| Path::parse(path));
    let indexes = indexes.collect::<Result<Vec<_>, _>>();
    let indexes = indexes.map_err(|error| error.to_string())?;
    AssemblySource::builder(name(AssemblyName::parse(&line.name))?)
        .description(line.description)
        .functions(functions)
        .jobs(jobs)
        .access(DataAccess::from_only_own_data(line.only_own_data))
        .indexes(indexes)
        .http_hosts(line.http_hosts)
        .build()
        .map_err(|error| error.to_string().trim_end_matches('.').to_owned())
}

/// A document as [`Document::to_json`] writes it.
fn document(mut fields: Map<String, Value>) -> Result<Document, String> {
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(format!("a document has a text called {name}")),
    };
    let (id, assembly, time) = (text("_id")?, text("assembly")?, text("time")?);
    check_depth(&fields)?;
    Ok(Document {
        id: id
            .parse()
            .map_err(|_| "its _id has not 24 hexadecimal digits")?,
        assembly: AssemblyRef::parse(&assembly).ok_or("its assembly is not author/name")?,
        time: moment(&time).ok_or("its time is none")?,
        fields,
    })
}

/// A moment as [`Timestamp`] shows it.
fn moment(text: &str) -> Option<Timestamp> {
    let millis = || text.strip_suffix("ms")?.parse().ok();
    Timestamp::parse_rfc3339(text).or_else(|| millis().map(Timestamp::from_unix_millis))
}

pub(super) fn check_depth(fields: &Map<String, Value>) -> Result<(), String> {
    let too_deep = |value| is_deeper_than(value, NewDocument::MAX_DEPTH);
    match fields.values().any(too_deep) {
        true => Err(format!(
            "lists and objects are nested more than {} levels deep",
            NewDocument::MAX_DEPTH
        )),
        false => Ok(()),
    }
}
