//! A worker whose interpreter was taken over, and says what it wants.

use std::time::{Duration, Instant};

use pinyto_core::runtime::{CodeError, CodeRuntime};
use rustix::{io::write, stdio::stdin};

use crate::given::*;

crate::tests! {
    a_forged_frame_ends_the_worker_and_nothing_else,
    a_worker_that_ends_is_a_crash,
    a_worker_that_ends_while_a_service_works_is_told_from_one_that_talks,
    a_worker_that_says_nothing_ends_at_its_limits,
    a_forged_answer_is_one_that_the_code_could_have_given,
}

/// Runs in the worker: writes what it wants to the socket.
pub(crate) fn forge(what: &str) -> String {
    let frame = |content: &[u8]| {
        let mut bytes = u32::try_from(content.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes
    };
    // As postcard: the variant, then its fields; texts with their length in front.
    let call = |service: u8, arguments: &str| {
        let mut content = vec![2, service, u8::try_from(arguments.len()).unwrap()];
        content.extend_from_slice(arguments.as_bytes());
        frame(&content)
    };
    let bytes = match what {
        "endless length" => vec![255; 4],
        "garbage" => frame(&[77; 100]),
        "empty frame" => frame(&[]),
        "ready again" => frame(&[0, 1, 1, 1]),
        "failed" => frame(&[1, 1, b'x']),
        "unknown service" => call(200, "{}"),
        "no object" => call(3, "[]"),
        "deep object" => call(3, &format!("{{\"a\":{}}}", "[".repeat(90))),
        "call in a call" => [call(3, r#"{"query":{"wait":50}}"#), call(3, "{}")].concat(),
        "print nothing" => frame(&[3, 0]).repeat(10),
        "text that is no text" => frame(&[3, 2, 0xff, 0xff]),
        "finished twice" => frame(&[4, 0, 1, b'1', 0]).repeat(2),
        "flood" => loop {
            send(&frame(&[3, 1, b'x']).repeat(1000));
        },
        "exit" => std::process::exit(0),
        "call and exit" => {
            send(&call(3, r#"{"query":{"wait":100}}"#));
            std::process::exit(0)
        }
        "call and exit as if out of memory" => {
            send(&call(3, r#"{"query":{"wait":100}}"#));
            std::process::exit(65)
        }
        "call, talk and exit" => {
            send(&[call(3, r#"{"query":{"wait":100}}"#), frame(&[3, 1, b'x'])].concat());
            std::process::exit(0)
        }
        "exit as if out of memory" => std::process::exit(65),
        "abort" => std::process::abort(),
        "panic" => panic!("as wanted"),
        "overflow" => return overflow(u64::from(std::process::id())).to_string(),
        "silence" => loop {
            std::hint::spin_loop();
        },
        "answer" => frame(&[4, 0, 3, b'a', b'b', b'c', 0]),
        other => panic!("{other}"),
    };
    send(&bytes);
    loop {
        std::hint::spin_loop();
    }
}

fn send(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(stdin(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(_) => std::process::exit(1),
        }
    }
}

fn overflow(depth: u64) -> u64 {
    let large = std::hint::black_box([depth; 4096]);
    if depth == 0 {
        0
    } else {
        overflow(depth + 1) + large[7]
    }
}

async fn a_forged_frame_ends_the_worker_and_nothing_else() {
    let runtime = runtime().await;
    for what in [
        "endless length",
        "garbage",
        "empty frame",
        "ready again",
        "failed",
        "unknown service",
        "no object",
        "deep object",
        "call in a call",
        "print nothing",
        "text that is no text",
        "flood",
    ] {
        let breaches = runtime.metrics().killed_breach;
        let began = Instant::now();
        let execution = run(&runtime, &format!("forge: {what}")).await;
        assert_eq!(execution.outcome, Err(CodeError::Crashed), "{what}");
        assert_eq!(runtime.metrics().killed_breach, breaches + 1, "{what}");
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        assert_eq!(
            run(&runtime, "return 1").await.outcome.unwrap(),
            "1",
            "{what}"
        );
    }
    assert!(peak_memory() < 300);
}

async fn a_worker_that_ends_is_a_crash() {
    let runtime = runtime().await;
    let began = Instant::now();
    for what in ["exit", "abort", "panic", "overflow"] {
        let execution = run(&runtime, &format!("forge: {what}")).await;
        assert_eq!(execution.outcome, Err(CodeError::Crashed), "{what}");
        assert!(execution.cpu_time < Duration::from_secs(1), "{what}");
    }
    let execution = run(&runtime, "forge: exit as if out of memory").await;
    assert_eq!(limit(&execution), "memory");
    assert_eq!(runtime.metrics().crashed, 4);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(peak_memory() < 300);
    assert_eq!(run(&runtime, "return 1").await.outcome.unwrap(), "1");
}

async fn a_worker_that_ends_while_a_service_works_is_told_from_one_that_talks() {
    let runtime = runtime().await;
    let execution = run(&runtime, "forge: call and exit").await;
    assert_eq!(execution.outcome, Err(CodeError::Crashed));
    let execution = run(&runtime, "forge: call and exit as if out of memory").await;
    assert_eq!(limit(&execution), "memory");
    let metrics = runtime.metrics();
    assert_eq!((metrics.crashed, metrics.killed_memory), (1, 1));
    assert_eq!(metrics.killed_breach, 0);
    let execution = run(&runtime, "forge: call, talk and exit").await;
    assert_eq!(execution.outcome, Err(CodeError::Crashed));
    assert_eq!(runtime.metrics().killed_breach, 1);
    assert_eq!(run(&runtime, "return 1").await.outcome.unwrap(), "1");
}

async fn a_worker_that_says_nothing_ends_at_its_limits() {
    let runtime = runtime().await;
    let execution = run(&runtime, "forge: silence").await;
    assert_eq!(limit(&execution), "cpu_time");
    assert!(execution.cpu_time >= limits().cpu_time);
    assert!(peak_memory() < 300);
}

async fn a_forged_answer_is_one_that_the_code_could_have_given() {
    let runtime = runtime().await;
    for (what, answer) in [("answer", "abc"), ("finished twice", "1")] {
        let execution = run(&runtime, &format!("forge: {what}")).await;
        assert_eq!(execution.outcome.unwrap(), answer);
        // It never reaches anybody else; the same user may find her worker useless.
        for _ in 0..3 {
            let other = runtime.run(&call(2, "return 'honest'"), &Scripted).await;
            assert_eq!(other.outcome.unwrap(), "honest");
        }
        match run(&runtime, "return 'honest'").await.outcome {
            Ok(answer) => assert_eq!(answer, "honest"),
            Err(error) => assert!(matches!(error, CodeError::LimitReached { .. })),
        }
    }
}
