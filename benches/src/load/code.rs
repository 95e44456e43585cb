//! Calls of functions: what they cost, and whether anybody can keep others waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;

use crate::{
    client::{Connection, Load, paced, repeat},
    process::Process,
    scenarios::{log_in, millis, register, tell},
    targets::Targets,
};

const FUNCTIONS: [(&str, &str); 3] = [
    ("empty", "return {}"),
    (
        "find",
        "return {'result': db.find({'type': 'book'}, limit=20)}",
    ),
    ("spin", "while True: pass"),
];

/// How many users spin, and how many calls of each at once.
const SPINNERS: (usize, usize) = (4, 4);

pub(crate) async fn run(server: &Process, token: &str, duration: Duration, targets: &mut Targets) {
    let mut connection = Connection::open(server.address).await;
    let functions = FUNCTIONS.map(|(name, code)| json!({"name": name, "code": code}));
    let data = json!({"name": "Bench", "description": "", "api_functions": functions});
    let save = json!({"token": token, "original_name": "", "data": data});
    connection.post_json("/save_assembly", &save).await;
    install(&mut connection, token).await;
    for number in 0..200 {
        let data = json!({"number": number, "text": "x".repeat(300)});
        let book = json!({"token": token, "type": "book", "data": data});
        connection.post_json("/bench/Bench/store", &book).await;
    }
    let resident = server.children_resident_mib();
    println!("workers: {resident:.1?} MiB resident");
    assert!(!resident.is_empty(), "no worker is ready");
    let largest = resident.into_iter().fold(0.0, f64::max);
    targets.at_most("largest worker, resident", largest, 15.0, "MiB");
    let body = Bytes::from(json!({"token": token}).to_string());
    for (name, path, target) in [
        ("empty function", "/bench/Bench/empty", 0.30),
        ("find of 20 documents", "/bench/Bench/find", 0.75),
    ] {
        for connections in [1, 16] {
            let (load, cpu) = measured(server, connections, duration, path, body.clone()).await;
            tell(&format!("{name}, {connections} connections"), &load, cpu);
            targets.at_most("CPU of server and worker", millis(cpu), target, "ms");
            if (name, connections) == ("empty function", 1) {
                let middle = millis(load.percentile(50));
                targets.at_most("p50", middle, 1.0, "ms");
            }
        }
    }
    fairness(server, body, duration, targets).await;
}

async fn install(connection: &mut Connection, token: &str) {
    let bench = json!({"token": token, "author": "bench", "name": "Bench"});
    connection.post_json("/install_assembly", &bench).await;
}

async fn measured(
    server: &Process,
    connections: usize,
    duration: Duration,
    path: &'static str,
    body: Bytes,
) -> (Load, Duration) {
    let warm_up = Duration::from_millis(500);
    repeat(server.address, connections, warm_up, path, body.clone()).await;
    let before = server.family_cpu_time();
    let load = repeat(server.address, connections, duration, path, body).await;
    let cpu = (server.family_cpu_time() - before).div_f64(load.requests as f64);
    (load, cpu)
}

/// A thousand calls a second while other users' functions spin until their limit.
async fn fairness(server: &Process, body: Bytes, duration: Duration, targets: &mut Targets) {
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicUsize::new(0));
    let mut spinning = Vec::new();
    let (users, calls) = SPINNERS;
    for user in 0..users {
        let user = format!("spinner{user}");
        register(server, &user).await;
        let token = log_in(server, &user).await;
        let mut connection = Connection::open(server.address).await;
        install(&mut connection, &token).await;
        let spin = Bytes::from(json!({"token": token}).to_string());
        for _ in 0..calls {
            let (stop, ended, spin) = (stop.clone(), ended.clone(), spin.clone());
            let address = server.address;
            spinning.push(tokio::spawn(async move {
                let mut connection = Connection::open(address).await;
                while !stop.load(Ordering::Relaxed) {
                    connection.try_post("/bench/Bench/spin", spin.clone()).await;
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let path = "/bench/Bench/empty";
    let load = paced(
        server.address,
        16,
        1000,
        duration.max(Duration::from_secs(5)),
        path,
        body,
    )
    .await;
    stop.store(true, Ordering::Relaxed);
    println!(
        "empty function, 1000/s on 16 connections while {users} users spin: {:.0}/s, p50 {:.1} ms, p99 {:.1} ms",
        load.per_second(),
        millis(load.percentile(50)),
        millis(load.percentile(99)),
    );
    targets.at_least("calls", load.per_second(), 950.0, "a second");
    targets.at_most("p99", millis(load.percentile(99)), 50.0, "ms");
    for task in spinning {
        task.await.unwrap();
    }
    println!(
        "  {} endless loops were stopped meanwhile",
        ended.load(Ordering::Relaxed)
    );
}
