//! What a call costs: time and CPU time on both sides, memory, and who waits for whom.
//!
//! `cargo bench -p pinyto-sandbox --bench calls`; numbers go to standard output.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench ends when anything fails"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use pinyto_core::{
    assembly::{AssemblyRef, FunctionName},
    id::{AssemblyId, UserId},
    run::RunPart,
    runtime::{CodeCall, CodeRuntime, Service, ServiceError, Services},
    user::{User, UserName},
};
use pinyto_sandbox::PythonRuntime;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: pinyto_sandbox::Allocator = pinyto_sandbox::Allocator;

struct Counting;

#[async_trait]
impl Services for Counting {
    async fn call(&self, _: Service, _: &str) -> Result<String, ServiceError> {
        Ok("42".to_owned())
    }
}

fn main() {
    pinyto_sandbox::run_worker_if_asked();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        starting().await;
        one_after_another().await;
        many_at_once().await;
        fairness().await;
    });
}

fn call(user: i64, code: &str) -> CodeCall {
    let alice = User::new(UserId::new(user), UserName::parse("alice").unwrap());
    let assembly = (
        AssemblyId::new(1),
        AssemblyRef::parse("alice/Notes").unwrap(),
    );
    let part = RunPart::Function(FunctionName::parse("get").unwrap());
    CodeCall::new(code, alice, assembly, part)
}

/// CPU time of this process, the server.
fn own_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

async fn starting() {
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let runtime = PythonRuntime::builder()
            .ready_workers(1)
            .start()
            .await
            .unwrap();
        times.push(began.elapsed());
        drop(runtime);
    }
    println!(
        "start of a runtime with its first worker: p50 {:?}",
        percentile(&mut times, 50)
    );
    let runtime = PythonRuntime::builder()
        .ready_workers(4)
        .start()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let name = std::fs::read(path.join("cmdline")).unwrap_or_default();
        if name.starts_with(b"pinyto-code-worker") {
            let rollup = std::fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
            let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
            let ticks: Vec<_> = stat.split(' ').skip(13).take(2).collect();
            let wanted = ["Rss:", "Pss:", "Private_Dirty:"];
            let lines: Vec<_> = rollup
                .lines()
                .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            println!("idle worker: {lines:?}, CPU ticks (10 ms) {ticks:?}");
        }
    }
    drop(runtime);
}

async fn one_after_another() {
    let runtime = PythonRuntime::builder().start().await.unwrap();
    for (what, code) in [
        ("empty call", "return 1"),
        ("one service", "return db.count({})"),
        ("ten services", "for _ in range(10): db.count({})"),
    ] {
        let (mut times, mut cpu) = (Vec::new(), Duration::ZERO);
        let call = call(1, code);
        for _ in 0..200 {
            runtime.run(&call, &Counting).await;
        }
        let own = own_cpu();
        for _ in 0..5000 {
            let began = Instant::now();
            let execution = runtime.run(&call, &Counting).await;
            times.push(began.elapsed());
            cpu += execution.cpu_time;
            execution.outcome.unwrap();
        }
        println!(
            "{what}: p50 {:?}, p99 {:?}; CPU of the worker {:?}, of the server {:?}",
            percentile(&mut times, 50),
            percentile(&mut times, 99),
            cpu / 5000,
            (own_cpu() - own) / 5000,
        );
    }
}

async fn many_at_once() {
    let runtime = PythonRuntime::builder().start().await.unwrap();
    let began = Instant::now();
    let own = own_cpu();
    let mut tasks = Vec::new();
    for user in 0..16 {
        let runtime = runtime.clone();
        tasks.push(tokio::spawn(async move {
            let call = call(user % 4, "return db.count({})");
            for _ in 0..1000 {
                runtime.run(&call, &Counting).await.outcome.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let took = began.elapsed();
    println!(
        "16 at once, one service each: {:.0} calls/s; CPU of the server {:?} a call",
        16_000.0 / took.as_secs_f64(),
        (own_cpu() - own) / 16_000,
    );
}

/// 1,000 short calls a second of one user, 16 at once, while four others loop.
async fn fairness() {
    for loopers in [0, 4] {
        let runtime = PythonRuntime::builder().start().await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for user in 0..loopers {
            // Each has several calls under way, and a new one for each that has ended.
            for _ in 0..4 {
                let (runtime, stop) = (runtime.clone(), stop.clone());
                tasks.push(tokio::spawn(async move {
                    let call = call(100 + user, "while True: pass");
                    while !stop.load(Ordering::Relaxed) {
                        runtime.run(&call, &Counting).await.outcome.unwrap_err();
                    }
                }));
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let mut honest = Vec::new();
        for part in 0..16_u32 {
            let runtime = runtime.clone();
            honest.push(tokio::spawn(async move {
                let call = call(1, "return db.count({})");
                let mut times = Vec::new();
                for turn in 0..300 {
                    let due =
                        began + Duration::from_millis(16) * turn + Duration::from_millis(1) * part;
                    tokio::time::sleep_until(due.into()).await;
                    let execution = runtime.run(&call, &Counting).await;
                    execution.outcome.unwrap();
                    // From when it was due: a server that is late has no excuse.
                    times.push(due.elapsed());
                }
                times
            }));
        }
        let mut times = Vec::new();
        for task in honest {
            times.extend(task.await.unwrap());
        }
        let took = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        println!(
            "{loopers} users loop: {:.0} honest calls/s, p50 {:?}, p90 {:?}, p99 {:?}, most {:?}; {:?}",
            times.len() as f64 / took.as_secs_f64(),
            percentile(&mut times, 50),
            percentile(&mut times, 90),
            percentile(&mut times, 99),
            percentile(&mut times, 100),
            runtime.metrics(),
        );
        runtime.close(Duration::ZERO).await;
        for task in tasks {
            task.abort();
        }
    }
}
