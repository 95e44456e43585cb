//! Jobs, as the scheduler runs them.

use std::time::Duration;

use pinyto_core::{
    Page,
    job::{JobRef, JobState, MAX_ATTEMPTS},
    run::{RunOutcome, RunPart},
    runtime::{CodeError, CodeLimit},
    session::Session,
    testing::given,
};
use tokio::sync::oneshot;

use crate::{
    scripted::{Scripted, exception},
    support::{World, code, settings},
};

const MINUTE: Duration = Duration::from_secs(60);

fn job(name: &str) -> JobRef {
    JobRef {
        assembly: given::assembly_ref("hugo/Notes"),
        name: given::job_name(name),
    }
}

async fn state(world: &World, user: &Session) -> JobState {
    let mut states = world.cloud.list_jobs(user, Page::first(9)).await.unwrap();
    assert_eq!(states.len(), 1, "{states:?}");
    states.remove(0)
}

/// Until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    while !is_so().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_job_runs_for_each_user_who_has_it_when_it_is_due() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    world.hugo_with_jobs(&[("tidy", "tidy up", 10)]).await;
    let erna = world.session_of_new("erna").await;
    world.session_of_new("karl").await;
    world.install(&erna).await;
    assert_eq!(world.run_due().await, 2);
    let mut calls = script.calls();
    calls.sort();
    let of = |user: &str| ("tidy up".to_owned(), user.to_owned());
    assert_eq!(calls, [of("erna"), of("hugo")]);
    assert_eq!(world.run_due().await, 0);
    world.clock.advance(MINUTE * 10);
    assert_eq!(world.run_due().await, 2);
    // A long downtime, one run.
    world.clock.advance(MINUTE * 1000);
    assert_eq!(world.run_due().await, 2);
    assert_eq!(world.run_due().await, 0);
}

#[tokio::test]
async fn a_run_leaves_its_history_and_its_bill() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 10)]).await;
    assert_eq!(world.run_due().await, 1);
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].outcome, RunOutcome::Succeeded);
    assert_eq!(runs[0].part, RunPart::Job(given::job_name("tidy")));
    assert_eq!(runs[0].output.text, "for hugo");
    assert_eq!(runs[0].attempt, 1);
    let statistics = world.cloud.statistics(&hugo).await.unwrap();
    assert_eq!(statistics.usage.cpu_time, crate::scripted::CPU);
}

#[tokio::test]
async fn failing_runs_are_tried_again_after_growing_pauses_then_parked_with_the_error() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("once", "bad", 0)]).await;
    script.fails("bad", exception());
    let mut expected = MINUTE;
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(world.run_due().await, 1, "{attempt}");
        let state = state(&world, &hugo).await;
        let failure = state.last_failure.unwrap();
        assert_eq!(failure.error.kind(), "ValueError");
        assert_eq!(failure.error.line(), Some(3));
        assert_eq!(state.parked, attempt == MAX_ATTEMPTS);
        let Some(next) = state.next_run else {
            break;
        };
        let pause = next.saturating_since(failure.at);
        assert!(
            pause >= expected / 2 && pause <= expected * 3 / 2,
            "{pause:?}"
        );
        world
            .clock
            .set(next.saturating_sub(Duration::from_millis(1)));
        assert_eq!(world.run_due().await, 0, "not before its time");
        world.clock.set(next);
        expected *= 4;
    }
    world.clock.advance(MINUTE * 10_000);
    assert_eq!(world.run_due().await, 0);
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    let attempts: Vec<u32> = runs.iter().map(|run| run.attempt).collect();
    assert_eq!(attempts, [5, 4, 3, 2, 1]);

    script.succeeds("bad");
    world.cloud.run_job_now(&hugo, &job("once")).await.unwrap();
    assert_eq!(world.run_due().await, 1);
    let state = state(&world, &hugo).await;
    assert!(!state.parked && state.last_failure.is_none());
}

#[tokio::test]
async fn what_was_not_run_for_want_of_a_place_is_no_failure() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("once", "busy", 0)]).await;
    let retry_after = Duration::from_secs(7);
    for error in [CodeError::Busy { retry_after }, CodeError::Unavailable] {
        script.fails("busy", error);
        assert_eq!(world.run_due().await, 1);
        let state = state(&world, &hugo).await;
        assert_eq!((state.attempts, state.last_failure), (0, None));
        world.clock.set(state.next_run.unwrap());
    }
    assert_eq!(
        world
            .cloud
            .list_runs(&hugo, None, Page::first(9))
            .await
            .unwrap(),
        []
    );
    script.fails(
        "busy",
        CodeError::LimitReached {
            limit: CodeLimit::Memory(5),
        },
    );
    assert_eq!(world.run_due().await, 1);
    let failure = state(&world, &hugo).await.last_failure.unwrap();
    assert_eq!(failure.error.kind(), "memory");
}

#[tokio::test]
async fn what_loses_its_place_while_it_runs_has_failed_and_is_billed() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("once", "demoted", 0)]).await;
    let retry_after = Duration::from_secs(7);
    let errors = [CodeError::Busy { retry_after }, CodeError::Unavailable];
    for (attempt, (error, kind)) in (1..).zip(errors.into_iter().zip(["busy", "unavailable"])) {
        script.fails("demoted", error);
        assert_eq!(world.run_due().await, 1);
        let state = state(&world, &hugo).await;
        assert_eq!(state.attempts, attempt);
        assert_eq!(state.last_failure.unwrap().error.kind(), kind);
        world.clock.set(state.next_run.unwrap());
    }
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 2);
    let statistics = world.cloud.statistics(&hugo).await.unwrap();
    assert_eq!(statistics.usage.cpu_time, crate::scripted::CPU * 2);
}

#[tokio::test]
async fn several_servers_run_each_due_job_once() {
    let script = Scripted::new();
    let one = World::scripted(&script);
    let jobs: Vec<String> = (0..40).map(|n| format!("job{n}")).collect();
    let jobs: Vec<_> = jobs.iter().map(|n| (n.as_str(), n.as_str(), 5)).collect();
    one.hugo_with_jobs(&jobs).await;
    let servers: Vec<World> = (0..4)
        .map(|_| one.another_server(&script, settings()))
        .collect();
    let mut count = 0;
    for result in futures(servers.iter().map(|server| server.run_due())).await {
        count += result;
    }
    assert_eq!(count, 40);
    let mut calls = script.calls();
    calls.sort();
    calls.dedup();
    assert_eq!(calls.len(), 40);
}

/// All of them, in turns.
async fn futures<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut results = Vec::new();
    std::future::poll_fn(move |context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() {
            std::task::Poll::Ready(std::mem::take(&mut results))
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_allowed() {
    let script = Scripted::new();
    let mut few = settings();
    few.scheduler.concurrent = 3;
    let world = World::scripted_with(&script, few);
    let jobs: Vec<String> = (0..20).map(|n| format!("job{n}")).collect();
    let jobs: Vec<_> = jobs.iter().map(|n| (n.as_str(), n.as_str(), 5)).collect();
    world.hugo_with_jobs(&jobs).await;
    assert_eq!(world.run_due().await, 20);
    assert_eq!(script.most_running(), 3);
}

#[tokio::test]
async fn a_run_that_breaks_off_leaves_its_lease_to_expire() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("once", "panic", 0)]).await;
    assert_eq!(world.run_due().await, 1);
    assert!(state(&world, &hugo).await.running_since.is_some());
    world.clock.advance(MINUTE);
    assert_eq!(world.run_due().await, 1);
    let state = state(&world, &hugo).await;
    assert_eq!(state.attempts, 2);
    assert_eq!(state.last_failure.unwrap().error.kind(), "lost");
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 1, "the second one is not known to be lost yet");
    let RunOutcome::Failed(error) = &runs[0].outcome else {
        panic!("{runs:?}");
    };
    assert_eq!((error.kind(), runs[0].attempt), ("lost", 1));
    assert_eq!(
        (runs[0].started_at, runs[0].duration),
        (given::at(0), MINUTE)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_while_its_job_runs() {
    let script = Scripted::new();
    let (one, hugo) = {
        let world = World::scripted(&script);
        let hugo = world.hugo_with_jobs(&[("slow", "wait", 5)]).await;
        (world, hugo)
    };
    let other = one.another_server(&script, settings());
    let scheduler = one.cloud.scheduler();
    let running = tokio::spawn(async move { scheduler.run_due().await });
    until(async || script.running() == 1).await;
    for _ in 0..20 {
        // A third of a lease, on both clocks.
        one.clock.advance(MINUTE / 3);
        tokio::time::sleep(MINUTE / 3).await;
        assert_eq!(other.run_due().await, 0);
    }
    script.permits.add_permits(1);
    assert_eq!(running.await.unwrap().unwrap(), 1);
    let state = state(&one, &hugo).await;
    assert_eq!(state.attempts, 0, "{state:?}");
    assert_eq!(script.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_job_is_uninstalled_goes_on_to_its_end_and_is_billed() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.hugo_with_jobs(&[("slow", "wait", 5)]).await;
    let scheduler = world.cloud.scheduler();
    let running = tokio::spawn(async move { scheduler.run_due().await });
    until(async || script.running() == 1).await;
    let notes = given::assembly_ref("hugo/Notes");
    world.cloud.uninstall_assembly(&hugo, &notes).await.unwrap();
    // Long after somebody noticed.
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(script.running(), 1);
    script.permits.add_permits(1);
    assert_eq!(running.await.unwrap().unwrap(), 1);
    assert_eq!(script.running(), 0);
    let runs = world
        .cloud
        .list_runs(&hugo, None, Page::first(9))
        .await
        .unwrap();
    assert_eq!(runs.len(), 1);
    let statistics = world.cloud.statistics(&hugo).await.unwrap();
    assert_eq!(statistics.usage.cpu_time, crate::scripted::CPU);
}

#[tokio::test(start_paused = true)]
async fn a_job_does_not_stand_still_while_the_store_does() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("slow", "wait", 0)]).await;
    store.extend.set(true);
    let scheduler = world.cloud.scheduler();
    let running = tokio::spawn(async move { scheduler.run_due().await });
    until(async || script.running() == 1).await;
    // The first extension hangs.
    tokio::time::sleep(MINUTE / 2).await;
    script.permits.add_permits(1);
    let before = tokio::time::Instant::now();
    assert_eq!(running.await.unwrap().unwrap(), 1);
    assert_eq!(before.elapsed(), Duration::ZERO);
    let state = state(&world, &hugo).await;
    assert_eq!((state.running_since, state.next_run), (None, None));
}

#[tokio::test(start_paused = true)]
async fn the_scheduler_starts_what_is_queued_at_once_and_what_is_due_in_time() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let (stop, stopped) = oneshot::channel::<()>();
    let scheduler = world.cloud.scheduler();
    let serving = tokio::spawn(scheduler.run(async { drop(stopped.await) }));
    // Installed by this process.
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    let before = tokio::time::Instant::now();
    until(async || script.calls().len() == 1).await;
    until(async || state(&world, &hugo).await.next_run.is_some()).await;
    world.cloud.run_job_now(&hugo, &job("tidy")).await.unwrap();
    until(async || script.calls().len() == 1).await;
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody slept");
    // By the clock.
    world.clock.advance(MINUTE);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(script.calls().len(), 1);
    // By another process: found within half a minute.
    let other = world.another_server(&script, settings());
    other.cloud.run_job_now(&hugo, &job("tidy")).await.unwrap();
    tokio::time::sleep(MINUTE / 2).await;
    assert_eq!(script.calls().len(), 1);
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_runs_may_finish_and_the_rest_is_put_back_at_once() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world
        .hugo_with_jobs(&[("one", "wait", 0), ("two", "wait", 0)])
        .await;
    let (stop, stopped) = oneshot::channel::<()>();
    let scheduler = world.cloud.scheduler();
    let serving = tokio::spawn(scheduler.run(async { drop(stopped.await) }));
    until(async || script.running() == 2).await;
    stop.send(()).unwrap();
    tokio::task::yield_now().await;
    world.cloud.run_job_now(&hugo, &job("one")).await.unwrap();
    // One finishes in time, the other doesn't.
    script.permits.add_permits(1);
    let before = tokio::time::Instant::now();
    serving.await.unwrap();
    assert_eq!(before.elapsed(), settings().scheduler.grace);
    assert_eq!(script.running(), 0);
    let states = world.cloud.list_jobs(&hugo, Page::first(9)).await.unwrap();
    let waiting: Vec<_> = states.iter().filter(|s| s.next_run.is_some()).collect();
    assert_eq!(waiting.len(), 2, "{states:?}");
    for state in waiting {
        assert_eq!((state.attempts, state.running_since), (0, None));
        assert_eq!(state.last_failure, None);
    }
    // Another server takes over at once.
    script.permits.add_permits(2);
    let other = world.another_server(&script, settings());
    assert_eq!(other.run_due().await, 2);
}

#[tokio::test]
async fn without_a_runtime_nothing_is_claimed() {
    let world = World::toy();
    let hugo = world.hugo_with_jobs(&[("tidy", "", 5)]).await;
    assert_eq!(world.run_due().await, 0);
    assert!(state(&world, &hugo).await.next_run.is_some());
    let refused = world.cloud.run_job_now(&hugo, &job("tidy")).await;
    assert_eq!(code(refused), "code_execution_disabled");
}

#[tokio::test]
async fn what_cannot_run_now_is_told() {
    let script = Scripted::new();
    let mut few = settings();
    few.max_queued_jobs = 1;
    let world = World::scripted_with(&script, few);
    let hugo = world.hugo_with_jobs(&[("a", "", 5), ("b", "", 5)]).await;
    let erna = world.session_of_new("erna").await;
    let run = async |user, name| code(world.cloud.run_job_now(user, &job(name)).await);
    assert_eq!(run(&hugo, "missing").await, "unknown_job");
    assert_eq!(run(&erna, "a").await, "assembly_not_installed");
    assert_eq!(run(&hugo, "a").await, "ok");
    assert_eq!(run(&hugo, "a").await, "ok");
    assert_eq!(run(&hugo, "b").await, "limit_reached");
}

#[tokio::test]
async fn who_is_over_her_quota_waits_for_the_next_hour() {
    let script = Scripted::new();
    let mut tight = settings();
    tight.quotas.cpu_per_hour = Some(Duration::from_millis(15));
    let world = World::scripted_with(&script, tight);
    let hugo = world.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    let erna = world.session_of_new("erna").await;
    // The hour begins with the test: 10 ms, 20 ms, over.
    for expected in [1, 1, 0] {
        let claimed = world.run_due().await;
        assert_eq!(script.calls().len(), expected, "{claimed} were claimed");
        world.clock.advance(MINUTE);
    }
    let waits = state(&world, &hugo).await;
    assert_eq!(waits.next_run, Some(given::at(3600)));
    assert_eq!((waits.attempts, waits.last_failure), (0, None));
    world.install(&erna).await;
    world.run_due().await;
    let for_erna = vec![("tidy up".to_owned(), "erna".to_owned())];
    assert_eq!(script.calls(), for_erna);
    world.clock.set(given::at(3600));
    world.run_due().await;
    assert_eq!(script.calls().len(), 2);
}

#[tokio::test]
async fn servers_that_share_a_database_share_the_quota() {
    let script = Scripted::new();
    let mut tight = settings();
    tight.quotas.cpu_per_hour = Some(Duration::from_millis(5));
    let one = World::scripted_with(&script, tight.clone());
    one.hugo_with_jobs(&[("tidy", "tidy up", 1)]).await;
    one.run_due().await;
    assert_eq!(script.calls().len(), 1);
    one.cloud.flush_runs().await.unwrap();
    let other = one.another_server(&script, tight);
    one.clock.advance(MINUTE);
    other.run_due().await;
    assert_eq!(script.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_is_noted_as_soon_as_the_store_is_back() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    let hugo = world.hugo_with_jobs(&[("once", "x", 0)]).await;
    store.complete.set(true);
    let scheduler = world.cloud.scheduler();
    let running = tokio::spawn(async move { scheduler.run_due().await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(state(&world, &hugo).await.running_since.is_some());
    store.complete.set(false);
    assert_eq!(running.await.unwrap().unwrap(), 1);
    let state = state(&world, &hugo).await;
    assert_eq!((state.running_since, state.next_run), (None, None));
    assert_eq!(script.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_end_could_not_be_noted_is_tried_again_when_its_lease_is_over() {
    let script = Scripted::new();
    let (world, store) = World::faulty_scripted(&script, settings());
    world.hugo_with_jobs(&[("once", "x", 0)]).await;
    store.complete.set(true);
    assert_eq!(world.run_due().await, 1);
    store.complete.set(false);
    assert_eq!(world.run_due().await, 0);
    world.clock.advance(MINUTE);
    assert_eq!(world.run_due().await, 1);
    assert_eq!(script.calls().len(), 2);
}
