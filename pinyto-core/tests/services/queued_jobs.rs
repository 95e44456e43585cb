//! What code queues, and when that runs.

use std::{sync::atomic::Ordering, time::Duration};

use pinyto_core::{Page, session::Session};
use tokio::task::JoinHandle;

use crate::{
    scripted::Scripted,
    support::{World, settings},
};

/// Longer than any call takes.
const LONG: Duration = Duration::from_secs(41);

/// `hugo/Notes/first` runs and has queued `later`, which ran once before as planned.
async fn queuing(world: &World, script: &Scripted) -> (JoinHandle<usize>, Session) {
    let hugo = world
        .hugo_with_jobs(&[("first", "queue", 0), ("later", "later", 0)])
        .await;
    let scheduler = world.cloud.scheduler();
    let running = tokio::spawn(async move { scheduler.run_due().await.unwrap() });
    while script.queued.load(Ordering::SeqCst) == 0 || script.running() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(later(script), 1);
    (running, hugo)
}

/// How often the job `later` ran since this was asked for last.
fn later(script: &Scripted) -> usize {
    let calls = script.calls().into_iter();
    calls.filter(|(code, _)| code == "later").count()
}

#[tokio::test]
async fn a_queued_job_runs_right_after_the_run_that_queued_it() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let (running, hugo) = queuing(&world, &script).await;
    let other = world.another_server(&script, settings());
    for server in [&world, &other] {
        assert_eq!(server.run_due().await, 0, "it waits");
    }
    // The clock stands still.
    script.permits.add_permits(1);
    assert_eq!(running.await.unwrap(), 3);
    assert_eq!(later(&script), 1);
    let states = world.cloud.list_jobs(&hugo, Page::first(9)).await.unwrap();
    assert!(states.iter().all(|state| state.next_run.is_none()));
}

#[tokio::test]
async fn a_queued_job_is_not_lost_with_the_server_that_runs_what_queued_it() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let (running, _) = queuing(&world, &script).await;
    let other = world.another_server(&script, settings());
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(other.run_due().await, 0);
    world.clock.advance(LONG);
    assert_eq!(other.run_due().await, 1);
    assert_eq!(later(&script), 1);
}

#[tokio::test]
async fn a_queued_job_that_could_not_be_released_becomes_due_by_itself() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let (running, _) = queuing(&world, &script).await;
    store.release.set(true);
    script.permits.add_permits(1);
    assert_eq!(running.await.unwrap(), 2);
    assert_eq!(later(&script), 0);
    world.clock.advance(LONG);
    assert_eq!(world.run_due().await, 1);
    assert_eq!(later(&script), 1);
}
