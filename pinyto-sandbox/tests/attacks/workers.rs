//! Processes: who shares one, who waits, and when they end.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use pinyto_core::{
    id::{AssemblyId, UserId},
    runtime::{CodeError, CodeRuntime},
};
use pinyto_sandbox::PythonRuntime;

use crate::given::*;

crate::tests! {
    a_user_meets_the_same_worker_again_and_nobody_elses,
    the_code_of_one_assembly_meets_no_worker_of_another,
    a_user_with_many_assemblies_keeps_nobody_waiting,
    nothing_is_left_of_a_call_in_the_next_one,
    a_worker_is_replaced_after_so_many_calls_and_after_a_limit,
    a_dead_worker_is_replaced_before_it_is_used,
    dropping_a_call_ends_its_worker,
    too_many_calls_are_refused,
    others_run_while_some_users_loop,
    calls_that_wait_for_services_keep_nobody_waiting,
    closing_waits_and_then_ends_what_runs,
    dropping_the_runtime_ends_the_workers,
    workers_end_when_the_server_is_killed,
    workers_start_although_the_programs_file_is_gone,
    the_cpu_time_is_counted_from_outside,
}

async fn a_user_meets_the_same_worker_again_and_nobody_elses() {
    let runtime = runtime().await;
    for _ in 0..20 {
        runtime
            .run(&call(1, "return 1"), &Scripted)
            .await
            .outcome
            .unwrap();
    }
    eventually("one used, one ready", || {
        runtime.metrics().idle_workers == 2
    })
    .await;
    assert_eq!(runtime.metrics().started, 2);
    for user in 2..6 {
        runtime
            .run(&call(user, "return 1"), &Scripted)
            .await
            .outcome
            .unwrap();
        eventually("a ready one", || {
            runtime.metrics().started == 1 + user as u64
        })
        .await;
    }
}

async fn the_code_of_one_assembly_meets_no_worker_of_another() {
    let runtime = small()
        .idle_workers(3, Duration::from_secs(60))
        .start()
        .await
        .unwrap();
    let of = |user: i64, assembly: i64| {
        let mut call = call(user, "return 1");
        call.assembly = AssemblyId::new(assembly);
        call
    };
    let settled = async |idle: usize| {
        eventually("the used ones and a ready one", || {
            runtime.metrics().idle_workers == idle + 1
        })
        .await;
    };
    // A neighbour, and then her with more assemblies than workers are kept.
    runtime.run(&of(2, 1), &Scripted).await.outcome.unwrap();
    settled(1).await;
    for assembly in 1..=6 {
        let started = runtime.metrics().started;
        runtime
            .run(&of(1, assembly), &Scripted)
            .await
            .outcome
            .unwrap();
        settled(usize::try_from(assembly + 1).unwrap().min(3)).await;
        assert_eq!(runtime.metrics().started, started + 1, "{assembly}");
    }
    // Looking at code is another purpose.
    let started = runtime.metrics().started;
    runtime
        .check(UserId::new(1), "return 1")
        .await
        .outcome
        .unwrap();
    settled(3).await;
    assert_eq!(runtime.metrics().started, started + 1);
    // The neighbour's worker is still there, and so is the one of the last assembly.
    for call in [of(2, 1), of(1, 6)] {
        runtime.run(&call, &Scripted).await.outcome.unwrap();
    }
    settled(3).await;
    assert_eq!(runtime.metrics().started, started + 1);
    assert_eq!(workers_of_this_process().len(), 4);
}

async fn a_user_with_many_assemblies_keeps_nobody_waiting() {
    let runtime = runtime().await;
    let calls = (0..64).map(|number| {
        let runtime = runtime.clone();
        tokio::spawn(async move {
            let mut call = call(100, "return db.count({'wait': 5})");
            call.assembly = AssemblyId::new(number % 16);
            runtime.run(&call, &Scripted).await.outcome
        })
    });
    let greedy: Vec<_> = calls.collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    for _ in 0..5 {
        let execution = runtime.run(&call(1, "return 1"), &Scripted).await;
        assert_eq!(execution.outcome.unwrap(), "1");
        assert!(workers_of_this_process().len() <= 8 + 8 + 1 + 4);
    }
    let took = began.elapsed();
    assert!(
        greedy.iter().any(|call| !call.is_finished()),
        "all are done after {took:?}"
    );
    for call in greedy {
        assert_eq!(call.await.unwrap().unwrap(), "42");
    }
}

async fn nothing_is_left_of_a_call_in_the_next_one() {
    let runtime = runtime().await;
    let hides = "json.secret = 1\nreturn 1";
    let _ = run(&runtime, hides).await;
    let seeks = "try:\n    return str(json.secret)\nexcept Exception:\n    return 'nothing'";
    assert_eq!(run(&runtime, seeks).await.outcome.unwrap(), "nothing");
    let _ = run(&runtime, "global kept\nkept = 1\nreturn 1").await;
    assert!(run(&runtime, "return kept").await.outcome.is_err());
}

async fn a_worker_is_replaced_after_so_many_calls_and_after_a_limit() {
    let runtime = small().calls_per_worker(3).start().await.unwrap();
    for _ in 0..9 {
        assert!(run(&runtime, "return 1").await.outcome.is_ok());
    }
    eventually("three worn out, one ready", || {
        runtime.metrics().started == 4
    })
    .await;
    let _ = run(&runtime, "return 'x' * 5000000").await;
    assert!(run(&runtime, "return 1").await.outcome.is_ok());
    eventually("one more", || runtime.metrics().started >= 6).await;
}

async fn a_dead_worker_is_replaced_before_it_is_used() {
    let runtime = runtime().await;
    run(&runtime, "return 1").await.outcome.unwrap();
    eventually("one used, one ready", || {
        runtime.metrics().idle_workers == 2
    })
    .await;
    for worker in workers_of_this_process() {
        let pid = rustix::process::Pid::from_raw(worker as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    eventually("they are gone", || workers_of_this_process().is_empty()).await;
    assert_eq!(run(&runtime, "return 2").await.outcome.unwrap(), "2");
}

async fn dropping_a_call_ends_its_worker() {
    let runtime = runtime().await;
    eventually("one ready", || runtime.metrics().idle_workers == 1).await;
    let ready = workers_of_this_process();
    let mut call = call(1, "while True: pass");
    call.limits.cpu_time = Duration::from_secs(60);
    let running = runtime.run(&call, &Scripted);
    let given_up = tokio::time::timeout(Duration::from_millis(200), running).await;
    assert!(given_up.is_err());
    eventually("it is gone", || {
        let workers = workers_of_this_process();
        ready.iter().all(|worker| !workers.contains(worker))
    })
    .await;
    assert_eq!(runtime.metrics().running, 0);
}

async fn too_many_calls_are_refused() {
    let runtime = small().at_once(2).waiting(8).start().await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..5 {
        let runtime = runtime.clone();
        calls.push(tokio::spawn(async move {
            let slow = call(1, "return db.count({'wait': 10})");
            runtime.run(&slow, &Scripted).await.outcome
        }));
    }
    let mut refused = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(answer) => assert_eq!(answer, "42"),
            Err(CodeError::Busy { retry_after }) => {
                assert!(retry_after > Duration::ZERO);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 3, "one runs and one may wait");
    assert_eq!(runtime.metrics().refused, 3);
    assert!(run(&runtime, "return 1").await.outcome.is_ok());
}

/// A weak form of what the bench measures, for a machine that does other things too.
async fn others_run_while_some_users_loop() {
    let runtime = runtime().await;
    let mut looping = Vec::new();
    for user in 100..104 {
        for _ in 0..3 {
            let runtime = runtime.clone();
            looping.push(tokio::spawn(async move {
                let mut call = call(user, "while True: pass");
                call.limits.cpu_time = Duration::from_millis(400);
                runtime.run(&call, &Scripted).await.outcome
            }));
        }
    }
    let began = Instant::now();
    for _ in 0..50 {
        let execution = runtime
            .run(&call(1, "return db.count({})"), &Scripted)
            .await;
        assert_eq!(execution.outcome.unwrap(), "42");
    }
    let took = began.elapsed();
    assert!(
        looping.iter().any(|looping| !looping.is_finished()),
        "they still loop after {took:?}"
    );
    for looping in looping {
        assert!(looping.await.unwrap().is_err());
    }
    assert_eq!(runtime.metrics().running, 0);
}

async fn calls_that_wait_for_services_keep_nobody_waiting() {
    let runtime = small().at_once(2).start().await.unwrap();
    let mut waiting = Vec::new();
    for user in 100..104 {
        let runtime = runtime.clone();
        waiting.push(tokio::spawn(async move {
            let slow = call(user, "return db.count({'wait': 2000})");
            runtime.run(&slow, &Scripted).await.outcome
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let execution = runtime.run(&call(1, "return 1"), &Scripted).await;
    assert_eq!(execution.outcome.unwrap(), "1");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap(), "42");
    }
}

async fn closing_waits_and_then_ends_what_runs() {
    let runtime = runtime().await;
    let start = |code: &'static str| {
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.run(&call(1, code), &Scripted).await.outcome })
    };
    let (short, long) = (
        start("return db.count({'wait': 100})"),
        start("return db.count({'wait': 60000})"),
    );
    eventually("both run", || runtime.metrics().running == 2).await;
    runtime.close(Duration::from_millis(500)).await;
    assert_eq!(short.await.unwrap().unwrap(), "42");
    assert_eq!(long.await.unwrap(), Err(CodeError::Unavailable));
    let late = runtime.run(&call(1, "return 1"), &Scripted).await;
    assert_eq!(late.outcome, Err(CodeError::Unavailable));
    eventually("no process is left", || {
        workers_of_this_process().is_empty()
    })
    .await;
}

async fn dropping_the_runtime_ends_the_workers() {
    let runtime = runtime().await;
    run(&runtime, "return 1").await.outcome.unwrap();
    drop(runtime);
    eventually("no process is left", || {
        workers_of_this_process().is_empty()
    })
    .await;
}

/// A server that runs what it reads, for tests that end it or take its file away.
pub(crate) async fn serve() {
    let runtime = PythonRuntime::builder().start().await.unwrap();
    for line in std::io::stdin().lines() {
        let mut call = call(1, &line.unwrap());
        call.limits.cpu_time = Duration::from_secs(60);
        call.limits.wall_time = Duration::from_secs(60);
        let runtime = runtime.clone();
        tokio::spawn(async move {
            let execution = runtime.run(&call, &Scripted).await;
            println!("{}", execution.outcome.unwrap_or_default());
        });
    }
}

struct Server {
    process: Child,
}

impl Server {
    fn start(executable: &Path) -> Self {
        let process = Command::new(executable)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process }
    }

    fn run(&mut self, code: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{code}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        let output = self.process.stdout.as_mut().unwrap();
        BufReader::with_capacity(1, output)
            .read_line(&mut line)
            .unwrap();
        line.trim_end().to_owned()
    }

    /// The workers among the processes, told by their parent.
    fn workers(&self) -> Vec<u32> {
        children_of(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn workers_end_when_the_server_is_killed() {
    let mut server = Server::start(&std::env::current_exe().unwrap());
    server.run("return 1");
    assert_eq!(server.answer(), "1");
    server.run("while True: pass");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let workers = server.workers();
    assert!(!workers.is_empty());
    drop(server);
    eventually("no worker is left", || {
        workers.iter().all(|worker| !is_worker(*worker))
    })
    .await;
}

async fn workers_start_although_the_programs_file_is_gone() {
    let folder = std::env::temp_dir().join(format!("pinyto-attacks-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let copy = folder.join("server");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut server = Server::start(&copy);
    server.run("return 1");
    assert_eq!(server.answer(), "1");
    let before = server.workers();
    std::fs::remove_dir_all(&folder).unwrap();
    // It ends its worker and needs another one.
    server.run("return 'x' * 5000000");
    assert_eq!(server.answer(), "");
    server.run("return 2");
    assert_eq!(server.answer(), "2");
    eventually("a new one", || {
        server
            .workers()
            .iter()
            .any(|worker| !before.contains(worker))
    })
    .await;
}

async fn the_cpu_time_is_counted_from_outside() {
    let runtime = runtime().await;
    let nothing = run(&runtime, "return 1").await.cpu_time;
    let much = run(&runtime, "n = 0\nfor i in range(200000): n += i\nreturn n").await;
    assert!(much.outcome.is_ok());
    assert!(much.cpu_time > 3 * nothing, "{nothing:?} {much:?}");
    let waits = run(&runtime, "return db.count({'wait': 300})").await;
    assert!(waits.cpu_time < Duration::from_millis(100));
}
