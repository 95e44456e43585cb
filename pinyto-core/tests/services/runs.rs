//! What becomes of runs: who sees what of them, and how they are written.

use std::{sync::atomic::Ordering, time::Duration};

use pinyto_core::{
    Cloud, Page,
    run::{AuthorOutcome, RunId, RunOutcome},
    session::Session,
    testing::given,
};
use tokio::sync::oneshot;

use crate::{
    scripted::{CPU, Scripted, exception},
    support::{World, code, settings},
};

/// `hugo/Notes` has a job that fails and prints; hugo and erna have it installed, and it ran.
async fn ran_for_both() -> (World, Session, Session) {
    let script = Scripted::new();
    let world = World::scripted(&script);
    script.fails("bad", exception());
    let hugo = world.hugo_with_jobs(&[("tidy", "bad", 60)]).await;
    world.run_due().await;
    world.clock.advance(Duration::from_secs(1));
    let erna = world.session_of_new("erna").await;
    world.install(&erna).await;
    world.run_due().await;
    (world, hugo, erna)
}

#[tokio::test]
async fn a_user_sees_all_of_her_runs_and_no_others() {
    let (world, hugo, erna) = ran_for_both().await;
    let runs = world
        .cloud
        .list_runs(&erna, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].output.text, "for erna");
    let RunOutcome::Failed(error) = &runs[0].outcome else {
        panic!("{runs:?}");
    };
    assert_eq!(
        (error.kind(), error.message()),
        ("ValueError", "her secret")
    );
    let found = world.cloud.find_run(&erna, runs[0].id).await.unwrap();
    assert_eq!(found, runs[0]);
    for (user, run) in [(&hugo, runs[0].id), (&erna, RunId::from_bytes([0; 12]))] {
        assert_eq!(code(world.cloud.find_run(user, run).await), "unknown_run");
    }
    let other = given::assembly_ref("hugo/Other");
    let none = world
        .cloud
        .list_runs(&erna, Some(&other), Page::first(9))
        .await;
    assert_eq!(none.unwrap(), []);
}

#[tokio::test]
async fn an_author_sees_the_error_and_its_line_but_nothing_of_others_data() {
    let (world, hugo, erna) = ran_for_both().await;
    let notes = given::assembly_name("Notes");
    let list = |cloud: &Cloud, user: &Session| {
        let (cloud, user, notes) = (cloud.clone(), user.clone(), notes.clone());
        async move {
            cloud
                .list_runs_of_own_assembly(&user, &notes, Page::first(9))
                .await
        }
    };
    let runs = list(&world.cloud, &hugo).await.unwrap();
    let [of_erna, own] = &*runs else {
        panic!("{runs:?}");
    };
    assert!(of_erna.started_at > own.started_at);
    assert_eq!((of_erna.attempt, of_erna.cpu_time), (1, CPU));
    let failed = |message: Option<&str>| AuthorOutcome::Failed {
        kind: "ValueError".to_owned(),
        line: Some(3),
        message: message.map(str::to_owned),
    };
    assert_eq!(of_erna.outcome, failed(None));
    assert_eq!(of_erna.output, None);
    assert!(!format!("{of_erna:?}").contains("erna"));
    assert_eq!(own.outcome, failed(Some("her secret")));
    assert_eq!(own.output.as_ref().unwrap().text, "for hugo");
    assert_eq!(code(list(&world.cloud, &erna).await), "unknown_assembly");
}

#[tokio::test]
async fn what_was_used_a_moment_ago_is_in_the_statistics() {
    let (world, hugo, erna) = ran_for_both().await;
    for user in [&hugo, &erna] {
        let usage = world.cloud.statistics(user).await.unwrap().usage;
        assert_eq!(usage.cpu_time, CPU);
    }
}

#[tokio::test]
async fn only_so_many_runs_are_kept_and_only_so_long() {
    let script = Scripted::new();
    let mut few = settings();
    few.run_retention.per_user = 3;
    few.run_retention.max_age = Duration::from_secs(3600);
    let world = World::scripted_with(&script, few);
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    let count = async || {
        let runs = world
            .cloud
            .list_runs(&hugo, None, Page::first(99))
            .await
            .unwrap();
        runs.len()
    };
    for n in 1..6 {
        world.run_due().await;
        assert_eq!(count().await, n.min(3));
        world.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(world.cloud.sweep_runs().await.unwrap(), 0);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(world.cloud.sweep_runs().await.unwrap(), 3);
    assert_eq!(count().await, 0);
    assert_eq!(world.cloud.dropped_runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn runs_are_written_every_second_and_at_the_end() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let cloud = world.cloud.clone();
    let keeping = tokio::spawn(async move {
        cloud.keep_runs(async { drop(stopped.await) }).await;
    });
    let written = async || {
        let runs = world.store().runs();
        let listed = runs.list_of_user(hugo.user.id, None, Page::first(9)).await;
        listed.unwrap().len()
    };
    world.run_due().await;
    assert_eq!(written().await, 0);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(written().await, 1);
    world.clock.advance(Duration::from_secs(60));
    world.run_due().await;
    stop.send(()).unwrap();
    keeping.await.unwrap();
    assert_eq!(written().await, 2);
}

#[tokio::test]
async fn runs_that_end_while_others_are_written_gather_for_the_next_time() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    let run = async || {
        world.run_due().await;
        world.clock.advance(Duration::from_secs(60));
    };
    run().await;
    let held_up = store.recording.acquire().await.unwrap();
    let cloud = world.cloud.clone();
    let writing = tokio::spawn(async move { cloud.flush_runs().await });
    while store.batches.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    run().await;
    run().await;
    drop(held_up);
    writing.await.unwrap().unwrap();
    assert_eq!(*store.batches.lock().unwrap(), [1], "it is not chased");
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!(*store.batches.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn what_could_not_be_written_waits_for_the_store_to_be_back() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    store.record.set(true);
    for _ in 0..3 {
        world.run_due().await;
        world.clock.advance(Duration::from_secs(60));
        let usage = world.cloud.statistics(&hugo).await.unwrap().usage;
        assert_eq!(usage.cpu_time, Duration::ZERO);
        let runs = world
            .cloud
            .list_runs(&hugo, None, Page::first(9))
            .await
            .unwrap();
        assert_eq!(runs, [], "what is there can be read");
    }
    store.record.set(false);
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 3);
    let usage = world.cloud.statistics(&hugo).await.unwrap().usage;
    assert_eq!(usage.cpu_time, CPU * 3, "each booked once");
}

#[tokio::test]
async fn what_was_written_though_it_seemed_not_is_booked_once() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    store.recorded.set(true);
    for _ in 0..3 {
        world.run_due().await;
        world.clock.advance(Duration::from_secs(60));
        // The first batch, and that once.
        let usage = world.cloud.statistics(&hugo).await.unwrap().usage;
        assert_eq!(usage.cpu_time, CPU);
    }
    store.recorded.set(false);
    let usage = world.cloud.statistics(&hugo).await.unwrap().usage;
    assert_eq!(usage.cpu_time, CPU * 3);
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_runs_that_cannot_be_written() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    let erna = world.session_of_new("erna").await;
    store.record_waits.set(true);
    world.run_due().await;
    // The first one begins to write, the others wait for it.
    for user in [&hugo, &erna, &erna] {
        let begun = tokio::time::Instant::now();
        world.cloud.statistics(user).await.unwrap();
        world
            .cloud
            .list_runs(user, None, Page::first(9))
            .await
            .unwrap();
        assert!(begun.elapsed() < Duration::from_millis(600));
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_busy_keeps_back_her_own_runs_only_until_a_batch_has_waited_for_her() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    let erna = world.session_of_new("erna").await;
    world.install(&erna).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let cloud = world.cloud.clone();
    let keeping = tokio::spawn(async move {
        cloud.keep_runs(async { drop(stopped.await) }).await;
    });
    let busy = |users: &[&Session]| {
        *store.busy.lock().unwrap() = users.iter().map(|session| session.user.id).collect();
    };
    let written = async |session: &Session| {
        let usage = world.store().users().usage(session.user.id).await.unwrap();
        usage.unwrap().cpu_time
    };
    busy(&[&hugo]);
    for round in 1..=5 {
        world.run_due().await;
        world.clock.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(written(&erna).await, CPU * round);
        assert_eq!(written(&hugo).await, Duration::ZERO);
        // Her own list is shown at once, with what is there.
        let begun = tokio::time::Instant::now();
        assert_eq!(
            world
                .cloud
                .list_runs(&hugo, None, Page::first(9))
                .await
                .unwrap(),
            []
        );
        assert!(begun.elapsed() < Duration::from_millis(300));
    }
    let waited = store.waited.load(Ordering::SeqCst);
    assert!((3..=11).contains(&waited), "again and again: {waited}");
    busy(&[]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(written(&hugo).await, CPU * 5);
    // And when there is no more time to wait.
    busy(&[&hugo, &erna]);
    world.run_due().await;
    let begun = tokio::time::Instant::now();
    stop.send(()).unwrap();
    keeping.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(written(&hugo).await, CPU * 5);
    busy(&[]);
    world.cloud.flush_runs().await.unwrap();
    for session in [&hugo, &erna] {
        assert_eq!(written(session).await, CPU * 6);
    }
}
