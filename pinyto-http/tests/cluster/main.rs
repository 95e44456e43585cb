//! Many servers on one PostgreSQL keep what they promise while servers are killed and the database is
//! restarted, or fails over to its standby.
//!
//! Clients behind a balancer note what was acknowledged (`journal.rs`); in the end `checker.rs` compares
//! that with what there is. `PINYTO_TEST_CLUSTER_SECONDS` says how long they work (15 by default):
//!
//! ```sh
//! PINYTO_TEST_CLUSTER_SECONDS=60 cargo test --workspace --ignore-rust-version --test cluster -- --nocapture
//! ```

#![cfg(all(feature = "server", feature = "postgres", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod assembly;
mod balancer;
mod checker;
mod client;
mod deployment;
mod dice;
mod doctored;
mod journal;
#[path = "../running_server/mod.rs"]
mod running_server;
mod witness;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pinyto_core::testing::keys;
use pinyto_postgres_cluster::Instance;
use serde_json::json;
use tokio::time::sleep;

use assembly::AUTHOR;
use balancer::Balancer;
use checker::{Observed, check, lapsed, missing};
use client::Client;
use deployment::{Deployment, JOBS, SERVERS};
use dice::Dice;
use journal::{Journal, Tally};
use running_server::numbers;
use witness::Event;

const CLIENTS: u64 = 32;

fn seconds(default: u64) -> Duration {
    let given = std::env::var("PINYTO_TEST_CLUSTER_SECONDS").ok();
    Duration::from_secs(given.map_or(default, |text| text.parse().unwrap()))
}

/// The clients at work.
struct Crowd {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Client>>,
}

impl Crowd {
    /// Saves the assembly, registers everybody, and sets them to work.
    async fn start(deployment: &Deployment, postgres: &Instance) -> Self {
        postgres.execute(witness::CREATE).await;
        let address = deployment.balancer.address;
        let mut author = running_server::Client::connect(address).await.unwrap();
        let device = keys::device(0);
        author.register(AUTHOR, device.public_key()).await;
        let token = author
            .log_in(AUTHOR, &device, keys::server().public_key())
            .await;
        let save = json!({"token": token, "original_name": "", "data": assembly::source()});
        author.expect("/save_assembly", save).await;
        let (stop, started) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let clients = (0..CLIENTS).map(|n| tokio::spawn(Client::register(n, address, started)));
        let clients: Vec<_> = clients.collect();
        let mut tasks = Vec::new();
        for client in clients {
            tasks.push(tokio::spawn(client.await.unwrap().work(stop.clone())));
        }
        Self { stop, tasks }
    }

    async fn stop(self) -> Vec<Client> {
        self.stop.store(true, Ordering::Relaxed);
        let mut clients = Vec::new();
        for task in self.tasks {
            clients.push(task.await.unwrap());
        }
        clients
    }
}

/// Waits until nothing is due or runs any more; what never ends is the checker's to find.
async fn settle(postgres: &Instance) {
    let unfinished = "SELECT count(*)::text FROM pinyto.job_entries
        WHERE lease IS NOT NULL OR held_by IS NOT NULL
           OR due_at <= extract(epoch FROM now()) * 1000";
    let until = Instant::now() + Duration::from_secs(60);
    while postgres.texts(unfinished).await != ["0"] && Instant::now() < until {
        sleep(Duration::from_millis(200)).await;
    }
}

/// Looks at everything, through every server and in the database, and checks it. So many servers were
/// killed, and so often all connections to the database broke.
async fn examine(
    deployment: &Deployment,
    postgres: &Instance,
    mut clients: Vec<Client>,
    (kills, breaks): (usize, usize),
) -> Tally {
    settle(postgres).await;
    let mut observed = Observed::default();
    for client in &mut clients {
        for server in deployment.addresses() {
            client.try_tokens(server).await;
        }
        observed.passwords.extend(client.try_passwords().await);
        let (documents, keys) = client.look().await;
        let user = client.journal.user.clone();
        observed.documents.insert(user.clone(), documents);
        observed.keys.insert(user, keys);
    }
    let owners = "SELECT u.name || ' ' || left(k.fingerprint, 10)
        FROM pinyto.users u JOIN pinyto.keys k ON k.user_id = u.id WHERE u.name LIKE 'race\\_%'";
    for row in postgres.texts(owners).await {
        let (name, hash) = row.split_once(' ').unwrap();
        let owners: &mut Vec<String> = observed.owners.entry(name.to_owned()).or_default();
        owners.push(hash.to_owned());
    }
    let events = postgres.texts(witness::READ).await;
    observed.events = events.iter().map(|row| Event::parse(row)).collect();
    let accounts = "SELECT u.name FROM pinyto.users u WHERE u.name LIKE 'client%' AND u.bytes <>
        (SELECT coalesce(sum(d.size), 0) FROM pinyto.documents d WHERE d.user_id = u.id)";
    observed.wrong_accounts = postgres.texts(accounts).await;

    let journals: Vec<Journal> = clients.into_iter().map(|client| client.journal).collect();
    let violations = check(&journals, &observed);
    let mut tally = Tally::default();
    for journal in &journals {
        tally.add(journal.tally);
    }
    summarize(&journals, &observed, tally);
    let lines = deployment.suspicious_lines();
    assert!(
        violations.is_empty() && lines.is_empty(),
        "{} violations: {violations:#?} {lines:#?}",
        violations.len(),
    );
    // Who is killed runs so many; and a claim may have been committed that its server doesn't know of.
    let most = kills * JOBS + breaks * SERVERS * JOBS;
    let lapsed = lapsed(&observed.events);
    assert!(lapsed <= most, "{lapsed} leases expired");
    let missing = missing(&journals, &observed.events);
    assert!(missing.is_empty(), "nobody could {missing:?}");
    tally
}

fn summarize(journals: &[Journal], observed: &Observed, tally: Tally) {
    let sum = |count: fn(&Journal) -> usize| journals.iter().map(count).sum::<usize>();
    println!("{tally:?}");
    println!(
        "{} documents known, {} of unknown fate, {} tokens ended, {} keys, {} passwords, {} jobs queued, \
        {} candidates for {} names",
        sum(|journal| journal.documents.len()),
        sum(|journal| journal.attempted.len()),
        sum(|journal| journal.dead.len()),
        sum(|journal| journal.keys.len()),
        sum(|journal| journal.passwords.values().map(|one| one.all.len()).sum()),
        sum(|journal| journal.queued.len()),
        sum(|journal| journal.candidates.len()),
        observed.owners.len(),
    );
    let mut events: BTreeMap<String, u64> = BTreeMap::new();
    for event in &observed.events {
        *events.entry(format!("{:?}", event.what)).or_default() += 1;
    }
    println!("jobs: {events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_servers_are_killed_and_the_database_restarted() {
    let Some(postgres) = Instance::start().await else {
        return;
    };
    let deployment = Deployment::start(postgres.url("postgres")).await;
    let crowd = Crowd::start(&deployment, &postgres).await;

    let (end, mut dice) = (Instant::now() + seconds(15), Dice::new(1));
    let (mut kills, mut restarts, mut turn) = (0, 0, 0);
    while Instant::now() < end || kills < 3 || restarts < 1 {
        // A part of the experiment: harm comes at another moment each time.
        sleep(Duration::from_millis(300 + dice.roll(900))).await;
        let first = dice.roll(SERVERS as u64) as usize;
        let victims = if dice.roll(3) == 0 { 2 } else { 1 };
        let victims: Vec<_> = (first..first + victims).map(|one| one % SERVERS).collect();
        for victim in &victims {
            deployment.kill_server(*victim);
            kills += 1;
        }
        turn += 1;
        if turn % 3 == 2 {
            postgres.restart_immediately().await;
            restarts += 1;
        }
        sleep(Duration::from_millis(dice.roll(1000))).await;
        for victim in victims {
            deployment.start_server(victim).await;
        }
    }
    let clients = crowd.stop().await;
    println!(
        "{kills} servers killed and started again, {restarts} immediate restarts of PostgreSQL"
    );
    let tally = examine(&deployment, &postgres, clients, (kills, restarts)).await;
    assert!(tally.acknowledged > 200, "hardly a request");
}

/// Waits until a change is possible.
async fn first_acknowledged(deployment: &Deployment) {
    let until = Instant::now() + Duration::from_secs(60);
    let register = json!({"username": "first", "public_key": numbers(&keys::synthetic(0))});
    loop {
        let client = running_server::Client::connect(deployment.balancer.address).await;
        if let Ok(mut client) = client
            && let Ok((200 | 409, _)) = client.try_post("/register", &register).await
        {
            return;
        }
        assert!(Instant::now() < until, "no change is possible any more");
        sleep(Duration::from_millis(20)).await;
    }
}

/// How servers find the PostgreSQL that can be written.
#[derive(Clone, Copy)]
enum Way {
    /// The URL names both.
    Both,
    /// Behind a proxy that is told who it is.
    Proxy,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_standby_takes_over() {
    fail_over(Way::Both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_standby_takes_over_behind_a_proxy() {
    fail_over(Way::Proxy).await;
}

async fn fail_over(way: Way) {
    let Some(primary) = Instance::start().await else {
        return;
    };
    let standby = primary.synchronous_standby().await;
    let proxy = Balancer::start().await;
    proxy.set(vec![primary.address()]);
    let hosts = match way {
        Way::Both => format!("{},{}", primary.address(), standby.address()),
        Way::Proxy => proxy.address.to_string(),
    };
    let database = format!("postgres://pinyto@{hosts}/postgres");
    let deployment = Deployment::start(database).await;
    let crowd = Crowd::start(&deployment, &primary).await;
    let half = seconds(8) / 2;
    sleep(half).await;
    // One of the servers goes with it.
    deployment.kill_server(0);
    primary.kill();
    let killed = Instant::now();
    standby.promote().await;
    proxy.set(vec![standby.address()]);
    let promoted = killed.elapsed();
    first_acknowledged(&deployment).await;
    println!(
        "the standby has taken over after {promoted:?}, the first change was acknowledged after {:?}",
        killed.elapsed()
    );
    deployment.start_server(0).await;
    sleep(half).await;
    let clients = crowd.stop().await;
    let tally = examine(&deployment, &standby, clients, (1, 1)).await;
    assert!(tally.acknowledged > 100, "hardly a request");
}
