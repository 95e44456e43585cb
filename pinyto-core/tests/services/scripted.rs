//! A runtime that does what a test has told it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    Settings,
    assembly::AssemblyRef,
    challenge::ServerKey,
    id::UserId,
    memory::MemoryStore,
    runtime::{Checked, CodeCall, CodeError, CodeRuntime, Execution, Output, Service, Services},
    session::Session,
    testing::{
        ManualClock, given,
        rsa::{Counting, Toy},
    },
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{World, settings};

/// Does by the text of the code what it was told to; succeeds otherwise. Every run uses 10 ms of
/// CPU time and prints for whom it is; but the code `busy` isn't run when it fails. `wait for a
/// turn` waits before it begins, `wait` after that. `queue` queues the job `hugo/Notes/later` and
/// then does as `wait`.
pub(crate) struct Scripted {
    outcomes: Mutex<HashMap<String, CodeError>>,
    /// Code and user of each call so far.
    calls: Mutex<Vec<(String, String)>>,
    /// Who runs code that waits needs one of these.
    pub(crate) permits: Semaphore,
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// How many runs of the code `wait for a turn` do so.
    pub(crate) waiting: AtomicUsize,
    /// How many jobs the code `queue` has queued.
    pub(crate) queued: AtomicUsize,
    /// Code that is refused when it is looked at.
    refused: Mutex<HashSet<String>>,
}

pub(crate) const CPU: Duration = Duration::from_millis(10);

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            outcomes: Mutex::default(),
            calls: Mutex::default(),
            permits: Semaphore::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            refused: Mutex::default(),
        })
    }

    /// From now on the code fails.
    pub(crate) fn fails(&self, code: &str, error: CodeError) {
        self.outcomes.lock().unwrap().insert(code.to_owned(), error);
    }

    /// From now on the code can't be saved.
    pub(crate) fn cant_run(&self, code: &str) {
        self.refused.lock().unwrap().insert(code.to_owned());
    }

    /// From now on the code succeeds.
    pub(crate) fn succeeds(&self, code: &str) {
        self.outcomes.lock().unwrap().remove(code);
    }

    /// Code and user of each call since this was asked for last.
    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub(crate) fn most_running(&self) -> usize {
        self.most_running.load(Ordering::SeqCst)
    }
}

pub(crate) fn exception() -> CodeError {
    CodeError::exception("ValueError", "her secret").at_line(3)
}

/// Counts down also if its future is dropped.
struct Running<'a>(&'a Scripted);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl CodeRuntime for Scripted {
    async fn check(&self, _author: UserId, code: &str) -> Checked {
        let outcome = match self.refused.lock().unwrap().contains(code) {
            true => Err(CodeError::syntax("invalid syntax")),
            false => Ok(()),
        };
        Checked::new(outcome, Duration::ZERO)
    }

    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution {
        if &*call.code == "wait for a turn" {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.unwrap().forget();
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        if let Err(refused) = services.begin().await {
            return Execution::new(Err(refused), Duration::ZERO);
        }
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(self);
        self.most_running.fetch_max(now, Ordering::SeqCst);
        let user = call.user_name.to_string();
        let of = (call.code.to_string(), user.clone());
        self.calls.lock().unwrap().push(of);
        match &*call.code {
            "queue" => {
                let arguments = json!({"document": {"type": "job", "data": {
                    "assembly_user": "hugo", "assembly_name": "Notes", "job_name": "later",
                }}});
                let arguments = arguments.to_string();
                services.call(Service::Insert, &arguments).await.unwrap();
                self.queued.fetch_add(1, Ordering::SeqCst);
                self.permits.acquire().await.unwrap().forget();
            }
            "wait" => self.permits.acquire().await.unwrap().forget(),
            "panic" => panic!("as told"),
            _ => tokio::task::yield_now().await,
        }
        let outcome = self.outcomes.lock().unwrap().get(&*call.code).cloned();
        let is_run = &*call.code != "busy" || outcome.is_none();
        let outcome = outcome.map_or_else(|| Ok(String::new()), Err);
        let cpu_time = if is_run { CPU } else { Duration::ZERO };
        Execution::new(outcome, cpu_time).with_output(Output::new(format!("for {user}")))
    }
}

impl World {
    /// A world whose assemblies are run by the script.
    pub(crate) fn scripted(script: &Arc<Scripted>) -> Self {
        Self::scripted_with(script, settings())
    }

    /// The same, set otherwise.
    pub(crate) fn scripted_with(script: &Arc<Scripted>, mut settings: Settings) -> Self {
        // Longer than jobs wait.
        settings.session_idle = Settings::default().session_idle;
        let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
        Self::running(script, store, clock, settings)
    }

    /// Another process on the same database.
    pub(crate) fn another_server(&self, script: &Arc<Scripted>, settings: Settings) -> Self {
        Self::running(script, self.store.clone(), self.clock.clone(), settings)
    }

    fn running(
        script: &Arc<Scripted>,
        store: Arc<MemoryStore>,
        clock: ManualClock,
        settings: Settings,
    ) -> Self {
        let rsa = Counting::new(Toy::new());
        let server_key = ServerKey::generate(rsa.clone()).unwrap();
        let cloud = pinyto_core::Cloud::builder(store.clone(), server_key)
            .clock(Arc::new(clock.clone()))
            .settings(settings)
            .runtime(script.clone())
            .build()
            .unwrap();
        Self {
            store,
            clock,
            rsa,
            cloud,
        }
    }

    /// A user who has written and installed `hugo/Notes` with these jobs (name, code, minutes).
    pub(crate) async fn hugo_with_jobs(&self, jobs: &[(&str, &str, u64)]) -> Session {
        let hugo = self.session_of_new("hugo").await;
        let source = given::source_with_jobs("Notes", jobs);
        self.cloud
            .save_assembly(&hugo, None, &source)
            .await
            .unwrap();
        self.install(&hugo).await;
        hugo
    }

    /// Installs `hugo/Notes`.
    pub(crate) async fn install(&self, user: &Session) {
        let notes: AssemblyRef = given::assembly_ref("hugo/Notes");
        self.cloud.install_assembly(user, &notes).await.unwrap();
    }

    /// Runs everything that is due; says how many runs that took.
    pub(crate) async fn run_due(&self) -> usize {
        self.cloud.scheduler().run_due().await.unwrap()
    }
}
