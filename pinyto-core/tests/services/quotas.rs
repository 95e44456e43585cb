//! What a user may use, while much of hers waits and runs at once.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use pinyto_core::{Page, assembly::CallRequest, testing::given};

use crate::{
    scripted::{CPU, Scripted},
    support::{World, code, settings},
};

const WAITS: &str = "wait for a turn";

/// A world in which a user may use as much as one run and a half.
fn world(script: &Arc<Scripted>) -> World {
    let mut tight = settings();
    tight.quotas.cpu_per_hour = Some(CPU * 3 / 2);
    tight.scheduler.concurrent = 9;
    World::scripted_with(script, tight)
}

async fn until_waiting(script: &Scripted, count: usize) {
    while script.waiting.load(Ordering::SeqCst) != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_that_wait_are_refused_when_those_before_them_have_used_up_the_quota() {
    let script = Scripted::new();
    let world = world(&script);
    let hugo = world.session_of_new("hugo").await;
    let source = given::source_with("Notes", "", &[("slow", WAITS)]);
    world
        .cloud
        .save_assembly(&hugo, None, &source)
        .await
        .unwrap();
    world.install(&hugo).await;
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let (cloud, hugo) = (world.cloud.clone(), hugo.clone());
            tokio::spawn(async move {
                let (notes, request) = (given::assembly_ref("hugo/Notes"), CallRequest::empty());
                let slow = given::function_name("slow");
                cloud.call_function(&hugo, &notes, &slow, &request).await
            })
        })
        .collect();
    until_waiting(&script, 6).await;
    // Each takes its turn when the one before has ended.
    for waiting in (0..6).rev() {
        script.permits.add_permits(1);
        until_waiting(&script, waiting).await;
        while script.running() > 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
    let mut refused = 0;
    for call in calls {
        let answer = call.await.unwrap();
        let error = answer.unwrap_err();
        if error.code() == "quota_exceeded" {
            refused += 1;
            assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
        }
    }
    assert_eq!(refused, 4);
    assert_eq!(script.calls().len(), 2);
    let usage = world.cloud.statistics(&hugo).await.unwrap().usage;
    assert_eq!(usage.cpu_time, CPU * 2);
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 2, "what was refused is no run");
    let (notes, request) = (given::assembly_ref("hugo/Notes"), CallRequest::empty());
    let slow = given::function_name("slow");
    let tried = world.cloud.call_function(&hugo, &notes, &slow, &request);
    assert_eq!(code(tried.await), "quota_exceeded");
}

#[tokio::test]
async fn jobs_that_wait_are_put_back_when_those_before_them_have_used_up_the_quota() {
    let script = Scripted::new();
    let world = world(&script);
    let names = ["a", "b", "c", "d"];
    let hugo = world
        .hugo_with_jobs(&names.map(|name| (name, WAITS, 0)))
        .await;
    let scheduler = world.cloud.scheduler();
    let running = tokio::spawn(async move { scheduler.run_due().await.unwrap() });
    until_waiting(&script, 4).await;
    for waiting in (0..4).rev() {
        script.permits.add_permits(1);
        until_waiting(&script, waiting).await;
        while script.running() > 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(running.await.unwrap(), 4);
    assert_eq!(script.calls().len(), 2);
    let states = world.cloud.list_jobs(&hugo, Page::first(9)).await.unwrap();
    let waiting = states.iter().filter(|state| state.next_run.is_some());
    let waiting: Vec<_> = waiting.collect();
    assert_eq!(waiting.len(), 2);
    for state in waiting {
        assert_eq!(state.next_run, Some(given::at(3600)));
        assert_eq!((state.attempts, &state.last_failure), (0, &None));
    }
}
