//! Hostile code against the whole server: each attack costs its own call, and nobody else's.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    running_server::{Client, RunningServer},
    support::{install, with_device, with_functions},
};

/// What the server may take, workers not counted.
const MOST_MEMORY: u64 = 300 * 1024 * 1024;

/// Far more than an honest call or the end of an attack takes, also where other tests run.
const LONG: Duration = Duration::from_secs(30);

/// What hostile functions do.
const ATTACKS: [(&str, &str); 12] = [
    (
        "loop_in_try",
        "while True:\n    try:\n        while True: pass\n    except: pass",
    ),
    ("memory", "l = ['x' * 1000]\nwhile True: l = l + l"),
    ("text", "t = 'x'\nwhile True: t = t + t"),
    ("power", "return 10 ** 10 ** 10"),
    ("flood", "while True: print('x' * 1000)"),
    ("small_calls", "for i in range(1000000): db.count({})"),
    (
        "small_calls_in_try",
        "for i in range(1000000):\n    try:\n        db.count({})\n    except: pass",
    ),
    ("huge", "return db.insert({'data': 'x' * 5000000})"),
    (
        "deep",
        "value = 1\nfor i in range(98): value = [value]\nreturn db.insert({'data': value})",
    ),
    (
        "deep_answer",
        "value = 1\nfor i in range(5000): value = [value]\nreturn value",
    ),
    // Word boundaries of letters beyond ASCII are what takes a regular expression longest.
    (
        "regex",
        r"return db.count({'type': 'text', 'data': {'$regex': r'ä{1,100}\b1|\b2'}})",
    ),
    ("find", "return len(db.find({'type': 'numbers'}))"),
];

/// Calls a function all the time and says how often and how long the longest call took.
async fn honest(mut client: Client, token: String, over: Arc<AtomicBool>) -> (u32, Duration) {
    let (mut calls, mut longest) = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let list = client.expect("/pinyto/Todo/get_list", json!({"token": token}));
        assert_eq!(list.await, json!({"result": []}));
        longest = longest.max(begin.elapsed());
        calls += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (calls, longest)
}

/// The most memory that the process ever had, in bytes.
fn high_water_mark(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// The processes that another one has started, each with its CPU time in ticks.
fn workers(server: u32) -> Vec<(u32, u64)> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // After the name, which may hold anything: state, parent, ..., utime, stime.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let time = |at: usize| fields[at].parse::<u64>().unwrap();
        (fields[1] == server.to_string()).then(|| (id, time(11) + time(12)))
    });
    processes.collect()
}

/// The worker that computes right now.
async fn busy_worker(server: u32) -> u32 {
    let deadline = Instant::now() + LONG;
    loop {
        let before = workers(server);
        tokio::time::sleep(Duration::from_millis(150)).await;
        let worked = |&(id, time): &(u32, u64)| {
            let then = before.iter().find(|(other, _)| *other == id);
            then.map_or(0, |(_, then)| time - then)
        };
        let busiest = workers(server).into_iter().max_by_key(worked);
        // Honest calls use less than that.
        if let Some(busiest) = busiest.filter(|busiest| worked(busiest) >= 5) {
            return busiest.0;
        }
        assert!(Instant::now() < deadline, "no worker computes");
    }
}

async fn store(client: &mut Client, token: &str, kind: &str, data: Value) -> (u16, Value) {
    let request = json!({"token": token, "type": kind, "data": data});
    client.post("/mallory/Attack/store", &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attack_costs_its_own_call_little_memory_and_nobody_elses_time() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        ["--code-cpu-seconds", "3"],
        ["--code-wall-seconds", "40"],
        ["--query-seconds", "0.5"],
    ]
    .concat();
    let server = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut client = server.client().await;
    let ada = with_device(&mut client, "ada", 0).await;
    install(&mut client, &ada, "pinyto", "Todo").await;
    let token = with_device(&mut client, "mallory", 1).await;
    with_functions(&mut client, &token, "mallory", "Attack", &ATTACKS).await;
    for _ in 0..4 {
        let text = "ä".repeat(400_000);
        assert_eq!(store(&mut client, &token, "text", text.into()).await.0, 200);
    }
    for _ in 0..8 {
        let numbers = vec![1; 200_000];
        let stored = store(&mut client, &token, "numbers", numbers.into()).await;
        assert_eq!(stored.0, 200);
    }
    let over = Arc::new(AtomicBool::new(false));
    let honest = tokio::spawn(honest(server.client().await, ada, over.clone()));

    for (attack, code, part) in [
        ("loop_in_try", "code_limit_reached", "CPU time"),
        ("memory", "code_limit_reached", "memory"),
        ("text", "code_limit_reached", "memory"),
        ("power", "code_limit_reached", ""),
        ("flood", "code_limit_reached", "CPU time"),
        ("small_calls", "code_limit_reached", "1000"),
        ("small_calls_in_try", "code_limit_reached", "1000"),
        ("huge", "code_limit_reached", "4"),
        ("deep", "code_exception", "ValueError"),
        ("deep_answer", "code_exception", "ValueError"),
        ("regex", "code_exception", "RuntimeError"),
    ] {
        let begin = Instant::now();
        let request = json!({"token": token});
        let path = format!("/mallory/Attack/{attack}");
        let (status, answer) = client.post(&path, &request).await;
        let taken = begin.elapsed();
        assert_eq!(
            (status, &answer["code"]),
            (400, &json!(code)),
            "{attack}: {answer}"
        );
        let sentence = answer["error"].as_str().unwrap();
        assert!(sentence.contains(part), "{attack}: {sentence}");
        assert!(taken < LONG, "{attack} took {taken:?}");
    }
    let request = json!({"token": token});
    let runs = client.expect("/list_runs", request.clone()).await;
    let mut runs = runs.as_array().unwrap().iter();
    let flood = runs.find(|run| run["name"] == "flood").unwrap();
    let output = flood["output"].as_str().unwrap().len();
    assert!(
        (1_000..20_000).contains(&output),
        "{output} bytes of output"
    );

    // Answers that take much more memory than bytes, several at once.
    let mut finds = Vec::new();
    for _ in 0..4 {
        let (mut client, request) = (server.client().await, request.clone());
        let find = async move { client.post("/mallory/Attack/find", &request).await };
        finds.push(tokio::spawn(find));
    }
    for find in finds {
        let (status, answer) = find.await.unwrap();
        // Whether that is too much for the worker is close; it mustn't be for the server.
        let fine = status == 200 && answer == 8;
        let code = answer["code"].as_str().unwrap_or_default();
        let refused = ["code_exception", "code_limit_reached"].contains(&code);
        assert!(fine || refused, "{status} {answer}");
    }

    // Documents too large, or nested too deeply, for the server to keep.
    let (status, answer) = store(&mut client, &token, "t", "x".repeat(3_000_000).into()).await;
    assert_eq!((status, &answer["code"]), (413, &json!("body_too_large")));
    let mut client = server.client().await;
    let nested = format!("{}1{}", "[".repeat(95), "]".repeat(95));
    let nested: Value = serde_json::from_str(&nested).unwrap();
    let (status, answer) = store(&mut client, &token, "t", nested).await;
    assert_eq!(
        (status, &answer["code"]),
        (400, &json!("document_too_deep"))
    );

    // Somebody whose worker dies gets that as an answer, and the next time another worker.
    let call = tokio::spawn({
        let (mut client, request) = (server.client().await, request.clone());
        async move { client.post("/mallory/Attack/loop_in_try", &request).await }
    });
    let worker = rustix::process::Pid::from_raw(busy_worker(server.id()).await.cast_signed());
    rustix::process::kill_process(worker.unwrap(), rustix::process::Signal::KILL).unwrap();
    let (status, answer) = call.await.unwrap();
    assert_eq!(
        (status, &answer["code"]),
        (400, &json!("code_crashed")),
        "{answer}"
    );
    let (_, answer) = client.post("/mallory/Attack/deep", &request).await;
    assert_eq!(answer["code"], "code_exception");

    over.store(true, Ordering::Relaxed);
    let (calls, longest) = honest.await.unwrap();
    assert!(calls > 20, "only {calls} honest calls");
    assert!(longest < LONG, "an honest call took {longest:?}");
    let memory = high_water_mark(server.id());
    println!("{calls} honest calls, the longest {longest:?}; {memory} bytes");
    assert!(memory < MOST_MEMORY, "the server had {memory} bytes");
    assert!(server.stop().success());
}
