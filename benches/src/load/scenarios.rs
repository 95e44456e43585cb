//! What is measured, and how it is told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pinyto_core::{challenge::Challenge, testing::keys};
use serde_json::{Value, json};

use crate::{
    baseline,
    client::{Connection, Load, repeat},
    code, gpgauth,
    process::Process,
    targets::Targets,
};

const KEY_STOCK: usize = 8;

/// Runs the scenario named `only`, or all.
pub(crate) async fn run(duration: Duration, only: Option<&str>) -> Targets {
    let mut targets = Targets::default();
    let wanted = |name| only.is_none_or(|only| only == name);
    let folder = tempfile::tempdir().unwrap();
    let server = Process::pinyto(folder.path(), KEY_STOCK);
    server.wait_until_idle();
    targets.at_most("idle server, resident", server.resident_mib(), 40.0, "MiB");
    register(&server, USER).await;
    if wanted("keyserver_register") {
        keyserver_register(&server, &mut targets).await;
        server.wait_until_idle();
    }
    if wanted("authenticate") {
        authenticate(&server, duration, &mut targets).await;
    }
    // Every authentication replaces the session, so log in after that.
    let token = log_in(&server, USER).await;
    if wanted("list_keys") {
        list_keys(&server, &token, duration, &mut targets).await;
    }
    if wanted("store") {
        store(&server, &token, folder.path(), duration, &mut targets).await;
    }
    if wanted("code") {
        code::run(&server, &token, duration, &mut targets).await;
    }
    if wanted("gpgauth") {
        gpgauth::run(&server, duration).await;
    }
    println!("after all that: {:.1} MiB resident", server.resident_mib());
    targets
}

pub(crate) const USER: &str = "bench";

/// Registers device 0 for the user.
pub(crate) async fn register(server: &Process, user: &str) {
    let device = keys::device(0);
    let key = device.public_key();
    let public_key = json!({"N": key.n_decimal(), "e": key.e().to_string()});
    let mut connection = Connection::open(server.address).await;
    let body = json!({"username": user, "public_key": public_key});
    connection.post_json("/register", &body).await;
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Device 0 does the challenge.
pub(crate) async fn log_in(server: &Process, user: &str) -> String {
    let device = keys::device(0);
    let mut connection = Connection::open(server.address).await;
    let login = json!({"username": user, "key_hash": device.key_hash().as_str()});
    let challenge = connection.post_json("/authenticate", &login).await;
    let challenge: Challenge = serde_json::from_value(challenge).unwrap();
    let token = device
        .answer(&challenge, keys::server().public_key())
        .unwrap();
    token.expose().to_owned()
}

async fn keyserver_register(server: &Process, targets: &mut Targets) {
    let mut connection = Connection::open(server.address).await;
    let (mut stocked, mut empty) = (Vec::new(), Vec::new());
    for number in 0..KEY_STOCK + 4 {
        let begin = Instant::now();
        let account = json!({"username": format!("web{number}"), "password": "correct horse"});
        connection.post_json("/keyserver/register", &account).await;
        if number < KEY_STOCK {
            &mut stocked
        } else {
            &mut empty
        }
        .push(begin.elapsed());
    }
    stocked.sort_unstable();
    empty.sort_unstable();
    let middle = millis(stocked[stocked.len() / 2]);
    println!(
        "/keyserver/register: p50 {middle:.0} ms, worst {:.0} ms while the stock of {KEY_STOCK} lasts; p50 {:.0} ms after it",
        millis(*stocked.last().unwrap()),
        millis(empty[empty.len() / 2]),
    );
    targets.at_most("p50 while the stock lasts", middle, 250.0, "ms");
}

async fn measured(
    server: &Process,
    connections: usize,
    duration: Duration,
    path: &'static str,
    body: Bytes,
) -> (Load, Duration) {
    repeat(
        server.address,
        connections,
        Duration::from_millis(500),
        path,
        body.clone(),
    )
    .await;
    let before = server.cpu_time();
    let load = repeat(server.address, connections, duration, path, body).await;
    let cpu = (server.cpu_time() - before).div_f64(load.requests as f64);
    (load, cpu)
}

pub(crate) fn tell(name: &str, load: &Load, cpu: Duration) {
    println!(
        "{name}: {:.0}/s, {:.3} ms CPU each, p50 {:.2} ms, p99 {:.2} ms",
        load.per_second(),
        millis(cpu),
        millis(load.percentile(50)),
        millis(load.percentile(99)),
    );
}

async fn authenticate(server: &Process, duration: Duration, targets: &mut Targets) {
    let private = baseline::private_operation(duration);
    println!("RSA-4096 private operation: {:.3} ms CPU", millis(private));
    let body = json!({"username": "bench", "key_hash": keys::device(0).key_hash().as_str()});
    let body = body.to_string().into();
    let (load, cpu) = measured(server, 16, duration, "/authenticate", body).await;
    tell("authenticate, 16 connections", &load, cpu);
    let ratio = cpu.as_secs_f64() / private.as_secs_f64();
    targets.at_most("CPU time", ratio, 1.3, "x the private operation");
}

async fn list_keys(server: &Process, token: &str, duration: Duration, targets: &mut Targets) {
    let body = Bytes::from(json!({"token": token}).to_string());
    let echo = Process::echo();
    let (echo_load, echo_cpu) = measured(&echo, 16, duration, "/list_keys", body.clone()).await;
    tell("bare warp echo, 16 connections", &echo_load, echo_cpu);
    let (load, cpu) = measured(server, 16, duration, "/list_keys", body).await;
    tell("list_keys, 16 connections", &load, cpu);
    let ratio = load.per_second() / echo_load.per_second();
    targets.at_least("requests per second", ratio, 0.5, "x the echo's");
    targets.at_most("CPU time", millis(cpu), 0.1, "ms");
}

async fn store(
    server: &Process,
    token: &str,
    folder: &std::path::Path,
    duration: Duration,
    targets: &mut Targets,
) {
    let mut connection = Connection::open(server.address).await;
    let todo = json!({"token": token, "author": "pinyto", "name": "Todo"});
    connection.post_json("/install_assembly", &todo).await;
    let document = json!({"token": token, "type": "t", "data": "x".repeat(240)});
    let batch = baseline::plain_batch(folder, 64, duration).await;
    println!("plain batch of the same inserts, 64 to a transaction: {batch:.0} rows/s");
    let before: Value = connection
        .post_json("/statistics", &json!({"token": token}))
        .await;
    let body = Bytes::from(document.to_string());
    let (load, cpu) = measured(server, 64, duration, "/pinyto/Todo/store", body).await;
    tell("store, 64 connections, 300 bytes", &load, cpu);
    let after: Value = connection
        .post_json("/statistics", &json!({"token": token}))
        .await;
    let target = 5000_f64.min(0.8 * batch).round();
    targets.at_least("durable documents", load.per_second(), target, "a second");
    println!(
        "  current_storage {} -> {} bytes",
        before["current_storage"], after["current_storage"],
    );
}
