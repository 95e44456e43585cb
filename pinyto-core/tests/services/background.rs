//! What runs in the background for a cloud, and how that ends.

use std::{sync::Arc, time::Duration};

use pinyto_core::{
    Cloud, Page, assembly::CallRequest, session::Session, store::Store, testing::given,
};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    scripted::Scripted,
    support::{IDLE, World, settings},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn spawned(cloud: &Cloud) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let background = cloud.background().run(async {
        let _ = stopped.await;
    });
    (stop, tokio::spawn(background))
}

/// Waits until something is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}

/// How many runs of hers are in the store.
async fn written_runs(world: &World, user: &Session) -> usize {
    let runs = world.store().runs();
    let runs = runs.list_of_user(user.user.id, None, Page::first(9));
    runs.await.unwrap().len()
}

#[tokio::test]
async fn jobs_run_and_their_runs_are_written_before_it_ends() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 10)]).await;
    let (stop, background) = spawned(&world.cloud);
    until(async || script.calls().len() == 1).await;
    drop(stop);
    background.await.unwrap();
    assert_eq!(written_runs(&world, &hugo).await, 1);
}

#[tokio::test]
async fn it_sweeps_also_without_a_runtime_and_ends_when_told_to() {
    let world = World::toy();
    let session = world.session_of_new("hugo").await;
    world.clock.advance(IDLE * 2);
    let (stop, background) = spawned(&world.cloud);
    let sessions = world.store().sessions();
    until(async || sessions.find(session.id).await.unwrap().is_none()).await;
    drop(stop);
    background.await.unwrap();
}

#[tokio::test]
async fn a_cloud_closes_when_the_calls_that_nobody_waits_for_have_ended() {
    let script = Scripted::new();
    let world = World::scripted_with(&script, settings());
    let hugo = world.session_of_new("hugo").await;
    let source = given::source_with("Notes", "", &[("slow", "wait")]);
    world
        .cloud
        .save_assembly(&hugo, None, &source)
        .await
        .unwrap();
    world.install(&hugo).await;
    let call = tokio::spawn({
        let (cloud, hugo) = (world.cloud.clone(), hugo.clone());
        async move {
            let (notes, slow) = (
                given::assembly_ref("hugo/Notes"),
                given::function_name("slow"),
            );
            let request = CallRequest::empty();
            cloud.call_function(&hugo, &notes, &slow, &request).await
        }
    });
    until(async || script.running() == 1).await;
    call.abort();
    assert!(call.await.is_err());

    let closed = world.cloud.close(Duration::from_millis(5)).await;
    assert_eq!(closed.unfinished, 1);
    let store: Arc<dyn Store> = world.store.clone();
    let written = async || {
        let runs = store.runs();
        let runs = runs.list_of_user(hugo.user.id, None, Page::first(9)).await;
        runs.unwrap().len()
    };
    assert_eq!(written().await, 0);

    script.permits.add_permits(1);
    let closed = world.cloud.close(PATIENCE).await;
    assert_eq!((closed.unfinished, closed.is_written), (0, true));
    assert_eq!(written().await, 1);
}

#[tokio::test(start_paused = true)]
async fn each_part_survives_its_own_panics_and_then_does_what_it_is_for() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 10)]).await;
    let old = world.session_of_new("erna").await;
    world.clock.advance(IDLE * 2);
    let all = ["next_due", "record", "end_unused_since"];
    store.panics.lock().unwrap().extend(all.map(|one| (one, 2)));
    let begun = Instant::now();
    let (stop, background) = spawned(&world.cloud);
    let written = async || written_runs(&world, &hugo).await;
    until(async || written().await == 1).await;
    // The scheduler has paused for 1 s and for 2 s, and so has what writes runs.
    assert!(begun.elapsed() >= Duration::from_secs(6));
    assert_eq!(script.calls().len(), 1);
    let sessions = world.store().sessions();
    until(async || sessions.find(old.id).await.unwrap().is_none()).await;
    let left: usize = store.panics.lock().unwrap().values().sum();
    assert_eq!(left, 0);

    // One that never gets over it neither keeps the others from their work nor all from ending.
    store.panics.lock().unwrap().insert("next_due", usize::MAX);
    let late = world.session_of_new("fred").await;
    world.clock.advance(IDLE * 2);
    sleep(Duration::from_secs(2 * 3600)).await;
    assert!(sessions.find(late.id).await.unwrap().is_none());
    drop(stop);
    background.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn old_runs_are_swept_also_if_sweeping_sessions_always_panics() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 0)]).await;
    store
        .panics
        .lock()
        .unwrap()
        .insert("end_unused_since", usize::MAX);
    let (stop, background) = spawned(&world.cloud);
    let written = async || written_runs(&world, &hugo).await;
    until(async || written().await == 1).await;
    let age = settings().run_retention.max_age;
    world.clock.advance(age + Duration::from_secs(1));
    sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(written().await, 0);
    drop(stop);
    background.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn jobs_that_run_go_on_when_the_scheduler_panics() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("slow", "wait", 10)]).await;
    let (stop, background) = spawned(&world.cloud);
    until(async || script.running() == 1).await;
    store.panics.lock().unwrap().insert("next_due", 3);
    // Has the scheduler look.
    world.install(&hugo).await;
    until(async || store.panics.lock().unwrap()["next_due"] == 0).await;
    assert_eq!(script.running(), 1);
    script.permits.add_permits(1);
    until(async || script.running() == 0).await;
    drop(stop);
    background.await.unwrap();
    assert_eq!(written_runs(&world, &hugo).await, 1);
    assert_eq!(script.calls().len(), 1);
}
