//! Whatever happens at the same time, nobody waits in a circle.

use std::sync::Arc;

use pinyto_core::{
    assembly::{AssemblyRef, AssemblyRepository, AssemblySource},
    document::{DocumentRepository, NewEntry, QueuedJob, Replacement, Scope},
    job::{Claim, Completion, JobRef, JobRepository, LeaseId},
    key::{KeyRepository, KeyState},
    keyserver::KeyserverRepository,
    run::{CpuBooking, RunBatch, RunRepository, RunRetention},
    session::{NewSession, ReplaceOutcome, SessionRepository},
    testing::{given, random::Dice},
    user::User,
};
use serde_json::json;

use super::{super::PostgresStore, number, store};

const TASKS: u64 = 8;
const ROUNDS: u64 = 60;

/// Two versions of an assembly that differ in everything that users have a part in.
fn source(version: usize) -> AssemblySource {
    let jobs: &[(&str, &str, u64)] = [
        &[("tidy", "pass", 60)][..],
        &[("tidy", "1", 30), ("other", "", 0)],
    ][version];
    let paths: &[&str] = [&["data.a"][..], &["data.b", "data.c"]][version];
    given::source_with_jobs("Notes", jobs)
        .into_builder()
        .indexes(paths.iter().map(|path| given::path(path)))
        .build()
        .unwrap()
}

struct Task {
    store: Arc<PostgresStore>,
    users: Vec<User>,
    notes: AssemblyRef,
    number: u64,
    dice: Dice,
}

impl Task {
    async fn run(mut self) {
        for round in 0..ROUNDS {
            self.step(self.number * ROUNDS + round).await;
        }
    }

    /// Something by chance. What becomes of it doesn't matter, but that it ends without an error.
    async fn step(&mut self, unique: u64) {
        let store = self.store.as_ref();
        let at = given::at(i64::try_from(unique).unwrap());
        let user = self.dice.one_of(&self.users).clone();
        let other = self.dice.one_of(&self.users).clone();
        let scope = Scope::all_of(user.id);
        let job = JobRef {
            assembly: self.notes.clone(),
            name: given::job_name("tidy"),
        };
        let hash = given::hash_of(user.id.get().unsigned_abs());
        match self.dice.roll(16) {
            0 => {
                let source = source(self.dice.roll(2));
                let author = self.users[0].id;
                let saved = AssemblyRepository::save(
                    store,
                    author,
                    Some(source.name()),
                    &source,
                    given::NO_LIMITS,
                    at,
                );
                saved.await.unwrap();
            }
            1 | 2 => {
                store.install(user.id, &self.notes, 9, at).await.unwrap();
            }
            3 => {
                store.uninstall(user.id, &self.notes).await.unwrap();
            }
            4..=7 => {
                let data = json!({"a": unique, "b": [1, 2]});
                let document = given::document(unique, &self.notes, data);
                let queued = QueuedJob {
                    job,
                    limit: 5,
                    hold: None,
                };
                let entry = NewEntry {
                    document,
                    at,
                    max_bytes: Some(10_000),
                    job: (self.dice.roll(2) == 0).then_some(queued),
                };
                store.insert(user.id, &entry).await.unwrap();
            }
            8 => {
                let id = given::document_id(unique.saturating_sub(3));
                let fields = json!({"type": "test", "data": {"c": unique}});
                let new = Replacement {
                    fields: fields.as_object().unwrap().clone(),
                    time: None,
                    at,
                    max_bytes: None,
                };
                DocumentRepository::save(store, scope, id, &new)
                    .await
                    .unwrap();
                store.remove(scope, id, at).await.unwrap();
            }
            9 | 10 => {
                let mut lease = [0; 16];
                lease[..8].copy_from_slice(&unique.to_be_bytes());
                let claim = Claim {
                    lease: LeaseId::from_bytes(lease),
                    now: at,
                    until: given::at(1_000_000),
                    limit: 3,
                };
                for claimed in store.claim_due(&claim).await.unwrap() {
                    store.extend(claimed.lease, claim.until).await.unwrap();
                    let done = Completion::Succeeded;
                    store.complete(claimed.lease, &done, at).await.unwrap();
                }
            }
            11 => {
                store.run_now(user.id, &job, 5, at).await.unwrap();
            }
            12 => {
                let keys = store.list(user.id).await.unwrap();
                let session = NewSession {
                    user: user.id,
                    key: keys[0].id,
                    token_hash: given::token_hash(unique),
                    at,
                };
                let opened = store.replace(&session).await.unwrap();
                if let ReplaceOutcome::Opened(session) = opened {
                    store.renew(user.id, session, at).await.unwrap();
                    store.end(user.id, session).await.unwrap();
                }
                let token = given::login_token(unique / 2);
                store.spend(&token, at).await.unwrap();
                store.forget_spent(at).await.unwrap();
            }
            13 => {
                let active = self.dice.roll(2) == 0;
                let changed = store
                    .set_state(
                        user.id.into(),
                        &hash,
                        KeyState::from_active(active),
                        given::at(0),
                    )
                    .await;
                changed.unwrap();
                let changed = store.set_password_login(user.id.into(), !active, at);
                changed.await.unwrap();
                store.end_unused_since(given::at(5)).await.unwrap();
            }
            14 => {
                let cpu = [&user, &other].map(|user| CpuBooking {
                    user: user.id,
                    hour: 1,
                    used: std::time::Duration::from_millis(1),
                });
                let runs = vec![given::run(unique, other.id, "ann/Notes")];
                let batch: RunBatch = given::batch(runs, cpu.to_vec());
                let retention = RunRetention::new(3, RunRetention::default().max_age);
                store.record(&batch, retention, at).await.unwrap();
            }
            _ => {
                RunRepository::sweep(store, given::at(2)).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_two_servers_do_at_once_there_is_no_deadlock() {
    let Some((store, database)) = store().await else {
        return;
    };
    let second = Arc::new(PostgresStore::open(database.url()).await.unwrap());
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let before = number(&store, deadlocks).await;
    let mut users = Vec::new();
    for (name, n) in [("ann", 1), ("bob", 2), ("cid", 3)] {
        let user = given::account(store.as_ref(), name, n).await.user;
        given::key(store.as_ref(), &user, n + 10).await;
        users.push(user);
    }
    let (first, limits, at) = (source(0), given::NO_LIMITS, given::at(0));
    let saved = AssemblyRepository::save(store.as_ref(), users[0].id, None, &first, limits, at);
    saved.await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let task = Task {
                store: Arc::clone([&store, &second][usize::try_from(number % 2).unwrap()]),
                users: users.clone(),
                notes: given::assembly_ref("ann/Notes"),
                number,
                dice: Dice::new(number),
            };
            tokio::spawn(task.run())
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // What the triggers keep is what the entries say.
    let wrong = "
        SELECT count(*) FROM (
            SELECT user_id, assembly_id, job, coalesce(
                max(due_at) FILTER (WHERE lease IS NOT NULL), min(due_at)) AS due_at
            FROM pinyto.job_entries GROUP BY user_id, assembly_id, job) AS entries
        FULL JOIN pinyto.claimable_jobs c USING (user_id, assembly_id, job)
        WHERE c.due_at IS DISTINCT FROM entries.due_at";
    assert_eq!(number(&store, wrong).await, 0);
    // And so is what users have stored.
    let wrong = "
        SELECT count(*) FROM pinyto.users u WHERE u.bytes <> coalesce((
            SELECT sum(size) FROM pinyto.documents d WHERE d.user_id = u.id), 0)";
    assert_eq!(number(&store, wrong).await, 0);
    // Told when a connection has been idle for a moment.
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(number(&store, deadlocks).await, before);
    second.close().await;
}
