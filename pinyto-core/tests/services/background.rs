//! What runs in the background for a cloud, and how that ends.

use std::{sync::Arc, time::Duration};

use pinyto_core::{Cloud, Page, assembly::CallRequest, store::Store, testing::given};
use tokio::{sync::oneshot, task::JoinHandle};

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

#[tokio::test]
async fn jobs_run_and_their_runs_are_written_before_it_ends() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 10)]).await;
    let (stop, background) = spawned(&world.cloud);
    until(async || script.calls().len() == 1).await;
    drop(stop);
    background.await.unwrap();
    let runs = world.store().runs();
    let written = runs.list_of_user(hugo.user.id, None, Page::first(9)).await;
    assert_eq!(written.unwrap().len(), 1);
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
