//! What the triggers keep about jobs is what their entries say.

use pinyto_core::{
    document::Scope,
    job::{Claim, ClaimedJob, Completion, JobRef, JobRepository as _, LeaseId},
    run::RunError,
    store::Store as _,
    testing::given,
    user::User,
};

use super::{super::SqliteStore, store};

/// Whatever differs from what it should be.
const DIFFERENCES: &str = "
    WITH expected AS (
        SELECT user_id, assembly_id, job,
               coalesce(max(CASE WHEN lease IS NOT NULL THEN due_at END), min(due_at)) AS due_at
        FROM pinyto_job_entries WHERE due_at IS NOT NULL GROUP BY user_id, assembly_id, job)
    SELECT 'missing ' || job FROM (
        SELECT * FROM expected EXCEPT
        SELECT user_id, assembly_id, job, due_at FROM pinyto_claimable_jobs)
    UNION ALL SELECT 'left over ' || job FROM (
        SELECT user_id, assembly_id, job, due_at FROM pinyto_claimable_jobs EXCEPT
        SELECT * FROM expected)
    UNION ALL SELECT 'user ' || id FROM pinyto_users u
    LEFT JOIN pinyto_job_users j ON j.user_id = u.id
    WHERE j.due_at IS NOT (SELECT min(due_at) FROM expected e WHERE e.user_id = u.id)";

async fn assert_kept(store: &SqliteStore, after: &str) {
    let query = sqlx::query_as::<_, (String,)>(DIFFERENCES);
    let differences = store.readers.all(query).await.unwrap();
    assert!(differences.is_empty(), "{differences:?} after {after}");
}

async fn save(store: &SqliteStore, author: &User, jobs: &[(&str, &str, u64)], second: i64) {
    let source = given::source_with_jobs("Notes", jobs);
    let (assemblies, at) = (store.assemblies(), given::at(second));
    let saved = assemblies.save(
        author.id,
        Some(source.name()),
        &source,
        given::NO_LIMITS,
        at,
    );
    saved.await.unwrap();
}

#[tokio::test]
async fn whatever_becomes_of_jobs_what_can_be_claimed_is_kept() {
    let (store, _directory) = store(|options| options).await;
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let all = [("a", "x", 0), ("b", "x", 5), ("c", "x", 60)];
    save(&store, &hugo, &all, 0).await;
    let notes = given::assembly_ref("hugo/Notes");
    let mut held: Vec<ClaimedJob> = Vec::new();
    // Numbers that look like chance, and are the same each time.
    let mut state = 12345_u64;
    let mut dice = move |sides: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % sides
    };
    let mut done = [0; 9];
    for step in 0..600 {
        let second = step * 20;
        let now = given::at(second);
        let user = if dice(2) == 0 { &hugo } else { &erna };
        let job = JobRef {
            assembly: notes.clone(),
            name: given::job_name(["a", "b", "c"][usize::try_from(dice(3)).unwrap()]),
        };
        let what = usize::try_from(dice(9)).unwrap();
        done[what] += 1;
        match what {
            0 => drop(
                store
                    .assemblies()
                    .install(user.id, &notes, 9, now)
                    .await
                    .unwrap(),
            ),
            1 if dice(4) == 0 => drop(store.assemblies().uninstall(user.id, &notes).await.unwrap()),
            2 => drop(store.run_now(user.id, &job, 5, now).await.unwrap()),
            3 => {
                let n = u64::try_from(step).unwrap();
                let document = given::document(n, &notes, 1.into());
                given::queued(&*store, user, &document, &job, 5).await;
            }
            4 => {
                let n = u64::try_from(step).unwrap().saturating_sub(dice(20));
                let id = given::document(n, &notes, 1.into()).id;
                let all = Scope::all_of(user.id);
                store.documents().remove(all, id, now).await.unwrap();
            }
            5 => {
                let few = &all[..usize::try_from(dice(4)).unwrap()];
                save(&store, &hugo, few, second).await;
            }
            6 => {
                for lease in held.iter().map(|job| job.lease) {
                    store.extend(lease, given::at(second + 50)).await.unwrap();
                }
            }
            7 => {
                let completion = match dice(3) {
                    0 => Completion::Succeeded,
                    1 => Completion::PutBack { until: now },
                    _ => Completion::Failed {
                        error: RunError::new("ValueError", "", None),
                        retry_at: (dice(2) == 0).then_some(given::at(second + 30)),
                    },
                };
                for job in held.drain(..) {
                    store.complete(job.lease, &completion, now).await.unwrap();
                }
            }
            _ => {
                let claim = Claim {
                    lease: LeaseId::from_bytes(u128::try_from(step).unwrap().to_be_bytes()),
                    now,
                    until: given::at(second + 45),
                    limit: 3,
                };
                held.extend(store.claim_due(&claim).await.unwrap());
            }
        }
        assert_kept(&store, &format!("step {step}, {what}")).await;
    }
    assert!(done.iter().all(|count| *count > 30), "{done:?}");
}
