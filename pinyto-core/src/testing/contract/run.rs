use std::{sync::Arc, time::Duration};

use super::race;
use crate::{
    Page,
    assembly::AssemblyRef,
    id::{AssemblyId, UserId},
    run::{
        CpuBooking, HourUsage, Run, RunBatch, RunError, RunOutcome, RunPart, RunRetention,
        WRITER_MEMORY,
    },
    runtime::Output,
    store::Store,
    testing::given,
    user::User,
};

const ALL: u64 = u64::MAX;

async fn record(store: &dyn Store, runs: &[Run]) {
    record_within(store, runs, RunRetention::default(), 0).await;
}

async fn record_within(store: &dyn Store, runs: &[Run], retention: RunRetention, now: i64) {
    let batch = given::batch(runs.to_vec(), Vec::new());
    given::recorded(store, batch, retention, given::at(now)).await;
}

async fn ids(store: &dyn Store, user: &User) -> Vec<crate::run::RunId> {
    let runs = store
        .runs()
        .list_of_user(user.id, None, Page::first(ALL))
        .await;
    runs.unwrap().into_iter().map(|run| run.id).collect()
}

async fn id_of(store: &dyn Store, assembly: &AssemblyRef) -> AssemblyId {
    let found = store.assemblies().find(assembly).await.unwrap();
    found.unwrap().id
}

pub async fn a_recorded_run_comes_back_exactly(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let plain = given::run(1, hugo.id, "hugo/Notes");
    let failed = Run {
        assembly: AssemblyId::new(i64::MAX),
        part: RunPart::Function(given::function_name("get")),
        duration: Duration::from_nanos(1_234_567_891),
        cpu_time: Duration::from_nanos(7),
        outcome: RunOutcome::Failed(RunError::new(
            "ValueError",
            "\"Ödön\" \\ \u{1f4d6}\n",
            Some(u32::MAX),
        )),
        output: Output {
            text: "a\tb\r\n\"\\\u{2028}ß".to_owned(),
            truncated: true,
        },
        attempt: 5,
        ..given::run(2, hugo.id, "hugo/Notes")
    };
    let nowhere = Run {
        outcome: RunOutcome::Failed(RunError::new("cpu_time", "", None)),
        ..given::run(3, hugo.id, "hugo/Notes")
    };
    let runs = [plain, failed, nowhere];
    record(&*store, &runs).await;
    for run in &runs {
        let found = store.runs().find(hugo.id, run.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(run));
    }
    let listed = store
        .runs()
        .list_of_user(hugo.id, None, Page::first(1).after(1))
        .await;
    assert_eq!(listed.unwrap(), [runs[1].clone()]);
}

pub async fn runs_are_listed_newest_first_for_their_user_alone(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let of_hugo = |n| given::run(n, hugo.id, "hugo/Notes");
    record(
        &*store,
        &[of_hugo(2), given::run(3, erna.id, "hugo/Notes"), of_hugo(4)],
    )
    .await;
    record(&*store, &[of_hugo(1)]).await;
    assert_eq!(ids(&*store, &hugo).await, [4, 2, 1].map(given::run_id));
    assert_eq!(ids(&*store, &erna).await, [given::run_id(3)]);
    let runs = store.runs();
    assert_eq!(runs.find(hugo.id, given::run_id(3)).await.unwrap(), None);
    let page = runs
        .list_of_user(hugo.id, None, Page::first(ALL).after(2))
        .await
        .unwrap();
    assert_eq!(page, [of_hugo(1)]);
    assert_eq!(
        runs.list_of_user(hugo.id, None, Page::first(1).after(3))
            .await
            .unwrap(),
        []
    );
}

pub async fn a_list_of_runs_may_be_of_one_assembly(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let of = |n, assembly| given::run(n, hugo.id, assembly);
    let runs = [
        of(1, "hugo/Notes"),
        of(2, "erna/Notes"),
        of(3, "hugo/Notes"),
    ];
    record(&*store, &runs).await;
    let notes = given::assembly_ref("hugo/Notes");
    let listed = async |skip, count| {
        let runs = store.runs();
        let listed = runs
            .list_of_user(hugo.id, Some(&notes), Page::first(count).after(skip))
            .await;
        listed.unwrap()
    };
    assert_eq!(listed(0, ALL).await, [runs[2].clone(), runs[0].clone()]);
    assert_eq!(listed(1, 1).await, [runs[0].clone()]);
}

pub async fn of_each_user_the_newest_runs_stay(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    record(&*store, &[given::run(1, erna.id, "hugo/Notes")]).await;
    let few = RunRetention {
        per_user: 3,
        ..RunRetention::default()
    };
    let run = |n| given::run(n, hugo.id, "hugo/Notes");
    record_within(&*store, &[run(1), run(2)], few, 0).await;
    assert_eq!(ids(&*store, &hugo).await.len(), 2);
    record_within(&*store, &[run(5), run(3), run(4)], few, 0).await;
    assert_eq!(ids(&*store, &hugo).await, [5, 4, 3].map(given::run_id));
    assert_eq!(ids(&*store, &erna).await.len(), 1);
}

pub async fn runs_that_are_too_old_go(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    record(&*store, &[given::run(10, erna.id, "hugo/Notes")]).await;
    let short = RunRetention {
        max_age: Duration::from_secs(100),
        ..RunRetention::default()
    };
    let run = |n| given::run(n, hugo.id, "hugo/Notes");
    record_within(&*store, &[run(10), run(11)], short, 20).await;
    record_within(&*store, &[run(12)], short, 111).await;
    assert_eq!(ids(&*store, &hugo).await, [12, 11].map(given::run_id));
    assert_eq!(ids(&*store, &erna).await, [given::run_id(10)]);

    assert_eq!(store.runs().sweep(given::at(12)).await.unwrap(), 2);
    assert_eq!(ids(&*store, &hugo).await, [given::run_id(12)]);
    assert_eq!(ids(&*store, &erna).await, []);
    assert_eq!(store.runs().sweep(given::at(12)).await.unwrap(), 0);
}

pub async fn an_author_lists_the_runs_of_her_assembly_alone(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let notes = given::assembly(&*store, &hugo, "Notes").await;
    let other = given::assembly(&*store, &hugo, "Other").await;
    let of_erna = given::assembly(&*store, &erna, "Notes").await;
    let (notes, other) = (id_of(&*store, &notes).await, id_of(&*store, &other).await);
    let of_erna = id_of(&*store, &of_erna).await;
    let run = |n, user: &User, assembly| Run {
        assembly,
        ..given::run(n, user.id, "hugo/Notes")
    };
    let runs = [
        run(1, &hugo, notes),
        run(2, &erna, notes),
        run(3, &erna, other),
        run(4, &erna, of_erna),
    ];
    record(&*store, &runs).await;
    // Also under another name.
    let (renamed, at) = (given::source("Diary"), given::at(1));
    let old = given::assembly_name("Notes");
    let assemblies = store.assemblies();
    let saved = assemblies.save(hugo.id, Some(&old), &renamed, given::NO_LIMITS, at);
    saved.await.unwrap();
    let listed = async |author: &User, name, skip| {
        let (runs, name) = (store.runs(), given::assembly_name(name));
        let listed = runs
            .list_of_author(author.id, &name, Page::first(ALL).after(skip))
            .await;
        listed.unwrap()
    };
    let both = Some(vec![runs[1].clone(), runs[0].clone()]);
    assert_eq!(listed(&hugo, "Diary", 0).await, both);
    assert_eq!(listed(&hugo, "Diary", 1).await, Some(vec![runs[0].clone()]));
    assert_eq!(listed(&hugo, "Notes", 0).await, None);
    assert_eq!(listed(&erna, "Diary", 0).await, None);
    assert_eq!(listed(&erna, "Notes", 0).await, Some(vec![runs[3].clone()]));
    let name = given::assembly_name("Diary");
    assemblies.delete(hugo.id, &name).await.unwrap();
    given::assembly(&*store, &hugo, "Diary").await;
    assert_eq!(listed(&hugo, "Diary", 0).await, Some(Vec::new()));
    assert_eq!(ids(&*store, &erna).await.len(), 3, "the user keeps hers");
}

pub async fn who_is_gone_is_skipped(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let nobody = UserId::new(999_999);
    let run = |n, user| given::run(n, user, "hugo/Notes");
    let booking = |user| CpuBooking {
        user,
        hour: 5,
        used: Duration::from_secs(1),
    };
    let batch = given::batch(
        vec![run(1, nobody), run(2, hugo.id)],
        vec![booking(nobody), booking(hugo.id)],
    );
    let runs = store.runs();
    let recorded = runs.record(&batch, RunRetention::default(), given::at(0));
    let figures = recorded.await.unwrap().figures;
    assert_eq!(figures.len(), 1);
    assert_eq!(figures[0].user, hugo.id);
    assert_eq!(ids(&*store, &hugo).await, [given::run_id(2)]);
    assert_eq!(runs.hour_usage(nobody).await.unwrap(), None);
}

async fn book(store: &dyn Store, user: UserId, bookings: &[(i64, u64)]) -> Vec<HourUsage> {
    let booking = |&(hour, millis): &(i64, u64)| CpuBooking {
        user,
        hour,
        used: Duration::from_millis(millis),
    };
    let batch = given::batch(Vec::new(), bookings.iter().map(booking).collect());
    let runs = store.runs();
    let recorded = runs.record(&batch, RunRetention::default(), given::at(0));
    recorded.await.unwrap().figures
}

pub async fn cpu_time_is_booked_in_all_and_for_its_hour(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let total = async |user: &User| {
        let usage = store.users().usage(user.id).await.unwrap();
        usage.unwrap().cpu_time
    };
    let figure = |hour, millis| HourUsage {
        user: hugo.id,
        hour,
        used: Duration::from_millis(millis),
    };
    assert_eq!(store.runs().hour_usage(hugo.id).await.unwrap(), None);
    let mut sum = 0;
    for (bookings, hour, used) in [
        ([(100, 30)].as_slice(), 100, 30),
        ([(100, 12)].as_slice(), 100, 42),
        ([(100, 8), (101, 5)].as_slice(), 101, 5),
        ([(100, 1)].as_slice(), 101, 5),
        ([(105, 7), (101, 1)].as_slice(), 105, 7),
    ] {
        let figures = book(&*store, hugo.id, bookings).await;
        assert_eq!(figures, [figure(hour, used)], "{bookings:?}");
        let read = store.runs().hour_usage(hugo.id).await.unwrap();
        assert_eq!(read, Some(figure(hour, used)));
        sum += bookings.iter().map(|(_, millis)| millis).sum::<u64>();
        assert_eq!(total(&hugo).await, Duration::from_millis(sum));
    }
    assert_eq!(total(&erna).await, Duration::ZERO);
}

pub async fn a_batch_that_comes_again_is_booked_once(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let booking = CpuBooking {
        user: hugo.id,
        hour: 3,
        used: Duration::from_millis(5),
    };
    let run = given::run(1, hugo.id, "hugo/Notes");
    let mut batch = given::batch(vec![run.clone()], vec![booking]);
    let record = async |batch: &RunBatch, now| {
        let runs = store.runs();
        let recorded = runs.record(batch, RunRetention::default(), given::at(now));
        let figures = recorded.await.unwrap().figures;
        assert_eq!(figures.len(), 1);
        let usage = store.users().usage(hugo.id).await.unwrap().unwrap();
        assert_eq!(figures[0].used, usage.cpu_time);
        usage.cpu_time.as_millis()
    };
    for _ in 0..3 {
        assert_eq!(record(&batch, 0).await, 5);
    }
    // The next one of the same writer, and then the first once more.
    let first = batch.clone();
    batch.id.number += 1;
    assert_eq!(record(&batch, 10).await, 10);
    assert_eq!(record(&batch, 11).await, 10);
    assert_eq!(record(&first, 12).await, 10);
    // The number 1 of another writer.
    let other = given::batch(Vec::new(), vec![booking]);
    assert_eq!(record(&other, 13).await, 15);
    assert_eq!(ids(&*store, &hugo).await, [run.id]);
    // A batch that is repeated doesn't bring back what was swept meanwhile.
    store.runs().sweep(given::at(100)).await.unwrap();
    let memory = i64::try_from(WRITER_MEMORY.as_secs()).unwrap();
    assert_eq!(record(&batch, 10 + memory).await, 15);
    assert_eq!(ids(&*store, &hugo).await, []);
    // What was forgotten is new: a store remembers no longer than it says.
    assert_eq!(record(&batch, 11 + memory).await, 20);
}

pub async fn a_batch_that_waits_is_recorded_as_any_other(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let booking = CpuBooking {
        user: hugo.id,
        hour: 3,
        used: Duration::from_millis(5),
    };
    let run = given::run(1, hugo.id, "hugo/Notes");
    let mut batch = given::batch(vec![run.clone()], vec![booking]);
    batch.waits = true;
    let figure = HourUsage {
        user: hugo.id,
        hour: 3,
        used: Duration::from_millis(5),
    };
    for _ in 0..2 {
        let runs = store.runs();
        let recorded = runs.record(&batch, RunRetention::default(), given::at(0));
        let recorded = recorded.await.unwrap();
        assert_eq!(recorded.figures, [figure]);
        assert!(recorded.kept_back.is_empty());
        assert_eq!(ids(&*store, &hugo).await, [run.id]);
    }
}

/// Who may be busy are the users of the batch, and nothing of theirs is recorded then.
pub async fn of_one_batch_recorded_by_many_at_once_one_counts(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await.id;
    let booking = CpuBooking {
        user: hugo,
        hour: 3,
        used: Duration::from_millis(1),
    };
    let mut batch = given::batch(Vec::new(), vec![booking]);
    let recorded = race((0..6).map(|_| {
        let (store, batch) = (store.clone(), batch.clone());
        async move {
            let runs = store.runs();
            let recorded = runs.record(&batch, RunRetention::default(), given::at(0));
            recorded.await.unwrap().kept_back
        }
    }))
    .await;
    let figure = store.runs().hour_usage(hugo).await.unwrap();
    for kept_back in recorded {
        assert_eq!(kept_back.contains(&hugo), figure.is_none());
    }
    if figure.is_none() {
        batch.id.number += 1;
        given::recorded(&*store, batch, RunRetention::default(), given::at(0)).await;
    }
    let figure = store.runs().hour_usage(hugo).await.unwrap().unwrap();
    assert_eq!(figure.used, Duration::from_millis(1));
}

pub async fn batches_recorded_by_many_at_once_are_exact(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    race((0..8).map(|task| {
        let (store, hugo) = (store.clone(), hugo.id);
        async move {
            for n in 0..10 {
                let booking = CpuBooking {
                    user: hugo,
                    hour: 3,
                    used: Duration::from_millis(1),
                };
                let run = given::run(task * 10 + n, hugo, "hugo/Notes");
                let batch = given::batch(vec![run], vec![booking]);
                given::recorded(&*store, batch, RunRetention::default(), given::at(0)).await;
            }
        }
    }))
    .await;
    assert_eq!(ids(&*store, &hugo).await.len(), 80);
    let figure = store.runs().hour_usage(hugo.id).await.unwrap().unwrap();
    assert_eq!(figure.used, Duration::from_millis(80));
}
