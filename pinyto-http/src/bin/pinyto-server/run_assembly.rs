//! `pinyto-server run-assembly`: tries out an assembly's code without a server.
//!
//! Nothing is kept but what `--write` writes: the store is in memory, and nobody logs in.

use std::{fs, future, path::PathBuf, sync::Arc, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};
use pinyto_core::{
    Cloud, Page,
    assembly::{
        AssemblyName, AssemblyRef, AssemblySource, AuthorLimits, CallRequest, Function,
        FunctionName, InstallOutcome, JobName,
    },
    challenge::SessionTokenHash,
    clock::{Clock as _, SystemClock, Timestamp},
    document::NewEntry,
    job::JobRef,
    key::{NewKey, PublicKey},
    memory::MemoryStore,
    run::{Run, RunOutcome},
    session::{NewSession, ReplaceOutcome, Session},
    store::{Store as _, StoreError},
    user::{NewUser, RegisterOutcome, UserName},
};
use serde_json::Value;

use self::no_key::server_key;
use crate::{cloud::rules, code, complain, config::Settings, say};

mod documents;
mod no_key;

/// What it is called on the command line.
pub(crate) const NAME: &str = "run-assembly";

/// When jobs are due that nobody asks for: in a hundred years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What is to be tried out.
#[derive(Debug)]
pub(crate) struct Trial {
    file: PathBuf,
    part: Part,
    request: String,
    documents: Option<PathBuf>,
    write: bool,
    pack: bool,
    user: UserName,
}

#[derive(Debug)]
enum Part {
    /// The one there is.
    Only,
    Function(String),
    Job(String),
}

/// What the arguments after [`NAME`] ask for; `Ok(None)`: the text of `--help` was printed.
///
/// # Errors
///
/// One sentence about what is wrong with them.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Option<Trial>, String> {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            say(&error.to_string());
            return Ok(None);
        }
        Err(error) => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            // The first paragraph; which arguments are missing is on lines of their own.
            let lines = text.lines().take_while(|line| !line.is_empty());
            let sentence = lines.map(str::trim).collect::<Vec<_>>().join(" ");
            return Err(format!(
                "{sentence}; pinyto-server {NAME} --help lists the options."
            ));
        }
    };
    Trial::from_matches(&matches).map(Some)
}

fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("pinyto-server run-assembly")
        .about("Tries out the code of an assembly, without a server and without keeping anything.")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .help("A file.py with the body of one function, or a file.json with an assembly as the field data of save_assembly has it; a part may name a code_file beside it in place of its code"),
        )
        .arg(option("function", "NAME", "Which function to call; needn't be said if there is one only"))
        .arg(option("job", "NAME", "Which job to run").conflicts_with("function"))
        .arg(option("request", "JSON", "What the function is asked: a JSON object").default_value("{}"))
        .arg(option("documents", "FILE", "The documents there are: a JSON list, or one JSON object a line"))
        .arg(
            Arg::new("write")
                .long("write")
                .action(ArgAction::SetTrue)
                .requires("documents")
                .help("Write the documents back as the code leaves them"),
        )
        .arg(
            Arg::new("pack")
                .long("pack")
                .action(ArgAction::SetTrue)
                .help("Run nothing: print the assembly with all its code, as save_assembly takes it"),
        )
        .arg(option("user", "NAME", "For whom it runs").default_value("me"))
}

impl Trial {
    fn from_matches(matches: &ArgMatches) -> Result<Self, String> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let user = text("user").unwrap_or_default();
        Ok(Self {
            file: text("file").unwrap_or_default().into(),
            part: match (text("function"), text("job")) {
                (Some(name), _) => Part::Function(name),
                (None, Some(name)) => Part::Job(name),
                (None, None) => Part::Only,
            },
            request: text("request").unwrap_or_default(),
            documents: text("documents").map(PathBuf::from),
            write: matches.get_flag("write"),
            pack: matches.get_flag("pack"),
            user: UserName::parse(&user).map_err(|error| format!("--user {user:?}: {error}"))?,
        })
    }

    /// Runs it; says whether all went well.
    ///
    /// # Errors
    ///
    /// One sentence about what kept it from being run.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<bool, String> {
        let source = self.source()?;
        if self.pack {
            let data = serde_json::to_string(&source).map_err(|error| error.to_string())?;
            say(&data);
            return Ok(true);
        }
        let store = Arc::new(MemoryStore::new());
        let server_key = server_key()?;
        let key = server_key.public_key().clone();
        let (session, assembly) = self.prepare(&store, &source, key).await?;
        let runtime = code::runtime(settings).await?;
        let runtime = runtime.ok_or("--code off runs no code.")?;
        let mut rules = rules(settings);
        // A job runs alone, and to its end.
        rules.scheduler.concurrent = 1;
        rules.scheduler.grace = settings.code_wall.saturating_mul(2);
        let mut builder = Cloud::builder(store.clone(), server_key)
            .settings(rules)
            .runtime(Arc::new(runtime.clone()));
        if let Some(egress) = code::egress(settings)? {
            builder = builder.egress(egress);
        }
        let cloud = builder.build().map_err(|error| error.to_string())?;
        // As on a server, which refuses what can't be run; only then it gets this far.
        let saved = cloud.save_assembly(&session, Some(source.name()), &source);
        if let Err(error) = saved.await {
            runtime.close(Duration::ZERO).await;
            complain(&error.to_string());
            return Ok(false);
        }
        let fine = self.call(&cloud, &session, &assembly, &source).await?;
        runtime.close(Duration::ZERO).await;
        if let Some(file) = self.documents.as_ref().filter(|_| self.write) {
            documents::write(file, &store, session.user.id).await?;
        }
        Ok(fine)
    }

    fn source(&self) -> Result<AssemblySource, String> {
        let shown = self.file.display();
        let text = fs::read_to_string(&self.file)
            .map_err(|error| format!("{shown} can't be read: {error}."))?;
        if self.file.extension().is_some_and(|end| end == "py") {
            let main = FunctionName::parse("main").map_err(|error| error.to_string())?;
            let name = AssemblyName::parse("Trial").map_err(|error| error.to_string())?;
            let source = AssemblySource::builder(name).functions([Function::new(main, text)]);
            return source.build().map_err(|error| error.to_string());
        }
        let data = self.with_code(&text)?;
        pinyto_http::assembly_from_json(&data).map_err(|error| error.to_string())
    }

    /// The assembly in `text`, with the code of its files.
    fn with_code(&self, text: &str) -> Result<Value, String> {
        let mut data: Value = serde_json::from_str(text).map_err(|error| {
            let shown = self.file.display();
            format!("{shown} has neither the ending .py nor JSON: {error}.")
        })?;
        for list in ["api_functions", "jobs"] {
            let parts = data.get_mut(list).and_then(Value::as_array_mut);
            for part in parts.into_iter().flatten().filter_map(Value::as_object_mut) {
                if let Some(file) = part.remove("code_file") {
                    let file = self.file.with_file_name(file.as_str().unwrap_or_default());
                    let code = fs::read_to_string(&file)
                        .map_err(|error| format!("{} can't be read: {error}.", file.display()))?;
                    part.insert("code".to_owned(), code.into());
                }
            }
        }
        Ok(data)
    }

    /// Puts user, assembly and documents into the store, and opens a session with a key that nobody
    /// has.
    async fn prepare(
        &self,
        store: &MemoryStore,
        source: &AssemblySource,
        key: PublicKey,
    ) -> Result<(Session, AssemblyRef), String> {
        let now = SystemClock.now();
        let failed = |error: StoreError| error.to_string();
        let session = self.session(store, key, now).await.map_err(failed)?;
        let session = session.ok_or("There is no session in an empty store.")?;
        let user = &session.user;
        let limits = AuthorLimits::new(1, u64::MAX);
        let assemblies = store.assemblies();
        assemblies
            .save(user.id, None, source, limits, now)
            .await
            .map_err(failed)?;
        let assembly = AssemblyRef {
            author: user.name.clone(),
            name: source.name().clone(),
        };
        // Its jobs would be due now; nothing is to run but what is asked for.
        let later = now.saturating_add(NEVER);
        let installed = assemblies.install(user.id, &assembly, 1, later).await;
        if installed.map_err(failed)? != InstallOutcome::Installed {
            return Err("The assembly can't be installed.".to_owned());
        }
        if let Some(file) = &self.documents {
            for document in documents::read(file, &assembly, now)? {
                let entry = NewEntry {
                    document,
                    at: now,
                    max_bytes: None,
                    job: None,
                };
                let inserted = store.documents().insert(user.id, &entry).await;
                inserted.map_err(failed)?;
            }
        }
        Ok((session, assembly))
    }

    /// The session of a new user.
    async fn session(
        &self,
        store: &MemoryStore,
        public_key: PublicKey,
        at: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let user = NewUser::new(self.user.clone(), NewKey::new(public_key), at);
        let RegisterOutcome::Registered(user) = store.users().register(&user).await? else {
            return Ok(None);
        };
        let keys = store.keys().list(user.id).await?;
        let Some(key) = keys.first() else {
            return Ok(None);
        };
        let new = NewSession {
            user: user.id,
            key: key.id,
            token_hash: SessionTokenHash::from_bytes([0; 32]),
            at,
        };
        match store.sessions().replace(&new).await? {
            ReplaceOutcome::Opened(session) => store.sessions().find(session).await,
            _ => Ok(None),
        }
    }

    async fn call(
        &self,
        cloud: &Cloud,
        session: &Session,
        assembly: &AssemblyRef,
        source: &AssemblySource,
    ) -> Result<bool, String> {
        let function = match &self.part {
            Part::Job(name) => {
                let name = JobName::parse(name).map_err(|error| error.to_string())?;
                if !source.jobs().iter().any(|job| job.name == name) {
                    let listed = listed(source);
                    return Err(format!("The assembly has no job {name}. {listed}"));
                }
                return self.run_job(cloud, session, assembly, name).await;
            }
            Part::Function(name) => FunctionName::parse(name).map_err(|error| error.to_string())?,
            Part::Only => match source.api_functions() {
                [only] => only.name.clone(),
                _ => return Err(format!("Which one? {}", listed(source))),
            },
        };
        let request =
            CallRequest::from_json(&self.request).map_err(|error| format!("--request: {error}"))?;
        let answer = cloud
            .call_function(session, assembly, &function, &request)
            .await;
        if let Some(run) = last_run(cloud, session).await? {
            report(&run);
        }
        match answer {
            Ok(answer) => {
                say(&answer.body);
                Ok(!answer.is_error)
            }
            Err(pinyto_core::Error::UnknownFunction) => Err(format!(
                "The assembly has no function {function}. {}",
                listed(source)
            )),
            Err(error) => {
                complain(&error.to_string());
                Ok(false)
            }
        }
    }

    async fn run_job(
        &self,
        cloud: &Cloud,
        session: &Session,
        assembly: &AssemblyRef,
        name: JobName,
    ) -> Result<bool, String> {
        let job = JobRef {
            assembly: assembly.clone(),
            name,
        };
        let queued = cloud.run_job_now(session, &job).await;
        queued.map_err(|error| error.to_string())?;
        // Told to stop at once, it finishes what it has claimed before: the one run that is due,
        // not what that queues.
        cloud.scheduler().run(future::ready(())).await;
        let Some(run) = last_run(cloud, session).await? else {
            return Err(format!("The job {} has not been run.", job.name));
        };
        report(&run);
        Ok(run.outcome == RunOutcome::Succeeded)
    }
}

fn listed(source: &AssemblySource) -> String {
    let functions = source.api_functions().iter().map(|part| &part.name);
    let jobs = source.jobs().iter().map(|part| &part.name);
    format!(
        "It has the functions {:?} and the jobs {:?}.",
        functions.collect::<Vec<_>>(),
        jobs.collect::<Vec<_>>()
    )
}

async fn last_run(cloud: &Cloud, session: &Session) -> Result<Option<Run>, String> {
    let runs = cloud.list_runs(session, None, Page::first(1)).await;
    Ok(runs.map_err(|error| error.to_string())?.pop())
}

/// What was printed, and how it went, on stderr.
fn report(run: &Run) {
    if !run.output.text.is_empty() {
        complain(run.output.text.trim_end_matches('\n'));
    }
    let outcome = match run.outcome.error() {
        None => "succeeded".to_owned(),
        Some(error) => {
            let line = error
                .line()
                .map_or_else(String::new, |line| format!(" in line {line}"));
            format!("failed{line}: {}: {}", error.kind(), error.message())
        }
    };
    complain(&format!(
        "{} {} {outcome} ({:.1} ms of CPU time)",
        run.part.kind().name(),
        run.part.name(),
        run.cpu_time.as_secs_f64() * 1000.0
    ));
}
