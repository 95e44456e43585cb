//! The one task that writes, many intents per transaction.
//!
//! SQLite has one writer at a time and, with `synchronous=FULL`, pays each commit with an `fsync`.
//! So all intents go through one queue to one task. It runs whatever is queued in one
//! `BEGIN IMMEDIATE` transaction and answers the callers after the `COMMIT`: durability costs one
//! `fsync` per group. A lone intent is never held back to wait for others.
//!
//! Intents run without savepoints, trusting that they don't fail: an intent that decides against
//! a change reports this as its outcome, not as an error. If one does fail, the transaction is
//! rolled back and each of the group runs again in a transaction of its own, so that nobody fails
//! by another's fault.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use pinyto_core::store::StoreError;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{Mutex, mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use super::error::{Failure, Trouble, of_shared, trouble};

/// How many intents may wait; more wait for a place in the queue.
const QUEUE: usize = 1024;

/// A group that ran so long takes nobody else on board.
const MAX_GROUP_TIME: Duration = Duration::from_millis(20);

/// A change with its precondition.
#[async_trait]
pub(super) trait Intent: Send + Sync + 'static {
    /// What becomes of it.
    type Outcome: Send + 'static;

    /// Decides first, then writes. Runs inside a transaction, perhaps more than once, each time
    /// as if for the first time.
    async fn run(&self, db: &mut SqliteConnection) -> Result<Self::Outcome, Failure>;
}

/// An intent with the caller who waits for its outcome.
struct Queued<I: Intent> {
    intent: I,
    outcome: Option<I::Outcome>,
    caller: oneshot::Sender<Result<I::Outcome, StoreError>>,
    since: Instant,
}

#[async_trait]
trait AnyQueued: Send {
    /// Runs the intent and keeps its outcome.
    async fn run(&mut self, db: &mut SqliteConnection) -> Result<(), Failure>;

    /// Tells the caller the outcome. To be called after the commit.
    fn succeed(self: Box<Self>);

    /// Tells the caller that nothing was changed.
    fn fail(self: Box<Self>, reason: StoreError);

    /// Whether somebody waits for the outcome (who hung up before the start gets nothing done).
    fn is_wanted(&self) -> bool;

    fn since(&self) -> Instant;
}

#[async_trait]
impl<I: Intent> AnyQueued for Queued<I> {
    async fn run(&mut self, db: &mut SqliteConnection) -> Result<(), Failure> {
        self.outcome = Some(self.intent.run(db).await?);
        Ok(())
    }

    fn succeed(self: Box<Self>) {
        let outcome = self.outcome.ok_or_else(closed);
        let _ = self.caller.send(outcome);
    }

    fn fail(self: Box<Self>, reason: StoreError) {
        let _ = self.caller.send(Err(reason));
    }

    fn is_wanted(&self) -> bool {
        !self.caller.is_closed()
    }

    fn since(&self) -> Instant {
        self.since
    }
}

type Group = Vec<Box<dyn AnyQueued>>;

fn closed() -> StoreError {
    StoreError::unavailable("the store is closed")
}

/// The callers' end.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn AnyQueued>>,
    patience: Duration,
    close: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<Option<SqliteConnection>>>>,
}

impl Writer {
    /// Starts the task. It ends when it is closed, or when the writer is dropped.
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        max_group: usize,
        patience: Duration,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (close, closing) = watch::channel(false);
        let task = Task {
            waiting,
            closing,
            connection: Some(connection),
            // A file that has vanished is an error, not to be replaced by an empty one.
            options: options.create_if_missing(false),
            max_group,
            patience,
        };
        Self {
            queue,
            patience,
            close,
            task: Mutex::new(Some(tokio::spawn(task.work()))),
        }
    }

    /// Runs the intent and answers when its outcome is durable.
    ///
    /// Cancel safe in so far as the intent then runs entirely or not at all.
    pub(super) async fn run<I: Intent>(&self, intent: I) -> Result<I::Outcome, StoreError> {
        let (caller, answer) = oneshot::channel();
        let queued = Queued {
            intent,
            outcome: None,
            caller,
            since: Instant::now(),
        };
        self.queue
            .send_timeout(Box::new(queued), self.patience)
            .await
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Whether the task takes intents.
    pub(super) fn is_serving(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Finishes what is queued, takes nothing more, and hands out the connection.
    pub(super) async fn close(&self) -> Option<SqliteConnection> {
        self.close.send_replace(true);
        let task = self.task.lock().await.take()?;
        task.await.ok().flatten()
    }
}

/// The task's end.
struct Task {
    waiting: mpsc::Receiver<Box<dyn AnyQueued>>,
    closing: watch::Receiver<bool>,
    /// `None` after it broke; opened again for the next group.
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    max_group: usize,
    patience: Duration,
}

/// At which step a transaction stopped. Nothing was written.
enum Stopped {
    /// Before anything ran.
    Begin(sqlx::Error),
    /// When the last member ran.
    Run(Failure),
    /// At the end, for all.
    Commit(sqlx::Error),
}

impl Task {
    async fn work(mut self) -> Option<SqliteConnection> {
        while let Some(first) = self.next().await {
            self.write(first).await;
        }
        self.connection
    }

    async fn next(&mut self) -> Option<Box<dyn AnyQueued>> {
        tokio::select! {
            biased;
            next = self.waiting.recv() => return next,
            // Also when the writer was dropped.
            _ = self.closing.wait_for(|closing| *closing) => self.waiting.close(),
        }
        self.waiting.recv().await
    }

    /// Writes `first` and whoever comes along, and answers them all.
    async fn write(&mut self, first: Box<dyn AnyQueued>) {
        let mut group = Group::new();
        match self.together(first, &mut group).await {
            Ok(()) => group.into_iter().for_each(|member| member.succeed()),
            Err(Stopped::Run(reason)) => {
                tracing::warn!(?reason, "a write failed");
                match group.pop() {
                    Some(alone) if group.is_empty() => alone.fail(reason.into()),
                    guilty => {
                        group.extend(guilty);
                        self.each_alone(group).await;
                    }
                }
            }
            Err(Stopped::Commit(error)) if trouble(&error) == Trouble::Full && group.len() > 1 => {
                self.each_alone(group).await;
            }
            Err(Stopped::Begin(error)) => self.fail_with_queued(group, error),
            // Nobody of them will fare better now. (After an I/O error it isn't even known what
            // the disk holds.)
            Err(Stopped::Commit(error)) => fail(group, error),
        }
    }

    /// Runs a group in one transaction. `group` is who has run, or was to.
    async fn together(
        &mut self,
        first: Box<dyn AnyQueued>,
        group: &mut Group,
    ) -> Result<(), Stopped> {
        let started = Instant::now();
        let Some(first) = self.still_due(first) else {
            return Ok(());
        };
        let begun = self.begin().await;
        let mut next = Some(first);
        let mut db = match begun {
            Ok(db) => db,
            Err(error) => {
                group.extend(next);
                return Err(Stopped::Begin(error));
            }
        };
        while let Some(member) = next {
            if let Some(mut member) = self.still_due(member) {
                let result = member.run(&mut db).await;
                group.push(member);
                if let Err(failure) = result {
                    self.roll_back(db, &failure).await;
                    return Err(Stopped::Run(failure));
                }
            }
            let full = group.len() >= self.max_group || started.elapsed() >= MAX_GROUP_TIME;
            next = if full {
                None
            } else {
                self.waiting.try_recv().ok()
            };
        }
        self.commit(db).await.map_err(Stopped::Commit)
    }

    async fn each_alone(&mut self, group: Group) {
        let mut members = group.into_iter();
        while let Some(member) = members.next() {
            let Some(mut member) = self.still_due(member) else {
                continue;
            };
            match self.alone(member.as_mut()).await {
                Ok(()) => member.succeed(),
                Err(Stopped::Run(failure)) => member.fail(failure.into()),
                Err(Stopped::Commit(error)) => member.fail(Failure::from(error).into()),
                Err(Stopped::Begin(error)) => {
                    let rest = std::iter::once(member).chain(members).collect();
                    return self.fail_with_queued(rest, error);
                }
            }
        }
    }

    /// The member, unless it has waited too long or nobody waits for it any more.
    fn still_due(&self, member: Box<dyn AnyQueued>) -> Option<Box<dyn AnyQueued>> {
        if member.since().elapsed() > self.patience {
            member.fail(StoreError::unavailable("waited too long for other writes"));
            return None;
        }
        member.is_wanted().then_some(member)
    }

    /// When no transaction can be begun. Those who are queued already would fare no better, and
    /// would wait for the lock one after the other to learn it.
    fn fail_with_queued(&mut self, mut group: Group, error: sqlx::Error) {
        let queued = self.waiting.len();
        group.extend((0..queued).map_while(|_| self.waiting.try_recv().ok()));
        fail(group, error);
    }

    async fn alone(&mut self, member: &mut dyn AnyQueued) -> Result<(), Stopped> {
        let mut db = self.begin().await.map_err(Stopped::Begin)?;
        if let Err(failure) = member.run(&mut db).await {
            self.roll_back(db, &failure).await;
            return Err(Stopped::Run(failure));
        }
        self.commit(db).await.map_err(Stopped::Commit)
    }

    /// Begins a transaction, on a new connection if the old one is broken.
    async fn begin(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        if let Some(mut db) = self.connection.take() {
            match execute(&mut db, "BEGIN IMMEDIATE").await {
                Ok(()) => return Ok(db),
                Err(error) if trouble(&error) == Trouble::Busy => {
                    self.connection = Some(db);
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, "the writing connection broke, opening another one");
                    let _ = db.close().await;
                }
            }
        }
        let mut db = self.options.connect().await?;
        execute(&mut db, "BEGIN IMMEDIATE").await?;
        Ok(db)
    }

    async fn commit(&mut self, mut db: SqliteConnection) -> Result<(), sqlx::Error> {
        let result = execute(&mut db, "COMMIT").await;
        match &result {
            Ok(()) => self.connection = Some(db),
            Err(error) => {
                tracing::warn!(%error, "a commit failed");
                // Closing a connection rolls back.
                let _ = db.close().await;
            }
        }
        result
    }

    /// Keeps the connection unless it may be what is broken.
    async fn roll_back(&mut self, mut db: SqliteConnection, reason: &Failure) {
        let broken = matches!(reason, Failure::Sql(error) if trouble(error) == Trouble::Away);
        // Some errors have rolled back already, which this reports as an error.
        let rolled_back =
            execute(&mut db, "ROLLBACK").await.is_ok() || !in_transaction(&mut db).await;
        if rolled_back && !broken {
            self.connection = Some(db);
        } else {
            let _ = db.close().await;
        }
    }
}

/// Whether a transaction runs, or can't be told not to.
async fn in_transaction(db: &mut SqliteConnection) -> bool {
    execute(db, "BEGIN; ROLLBACK").await.is_err()
}

fn fail(group: Group, error: sqlx::Error) {
    let error = Arc::new(error);
    for member in group {
        member.fail(of_shared(&error));
    }
}

async fn execute(db: &mut SqliteConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(db).await.map(drop)
}
