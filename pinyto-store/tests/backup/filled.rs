//! A store that has something of everything.

use std::time::Duration;

use pinyto_core::{
    clock::Timestamp,
    document::{Document, QueuedJob},
    egress::HostPattern,
    job::{Claim, ClaimedJob, Completion, Hold, JobRef, LeaseId},
    key::{KeyLabel, KeyState, NewKey, OpenPgpKey, OpenPgpParts},
    run::{CpuBooking, RunError, RunOutcome, RunRetention},
    store::Store,
    testing::{given, keys},
};
use serde_json::json;

/// How many documents Ann has at first.
pub(crate) const DOCUMENTS: u64 = 1_300;

pub(crate) fn document(n: u64) -> Document {
    let notes = given::assembly_ref("ann/Notes");
    let data = json!({
        "n": n, "half": n as f64 / 2.0, "zero": -0.0, "large": u64::MAX,
        "text": "\u{0}\"\\ü\u{1f600}\n\u{2028}", "list": [n % 7, {"deep": [[null]]}],
        "group": n % 10,
    });
    let mut document = given::document(n, &notes, data);
    document.time = given::at(i64::try_from(n).unwrap());
    document
        .fields
        .insert("own".to_owned(), json!([1e300, 0.1]));
    document
}

pub(crate) fn job(assembly: &str, name: &str) -> JobRef {
    JobRef {
        assembly: given::assembly_ref(assembly),
        name: given::job_name(name),
    }
}

pub(crate) async fn claim(
    store: &dyn Store,
    n: u8,
    now: Timestamp,
    limit: usize,
) -> Vec<ClaimedJob> {
    let claim = Claim {
        lease: LeaseId::from_bytes([n; 16]),
        now,
        until: now.saturating_add(Duration::from_secs(60)),
        limit,
    };
    store.jobs().claim_due(&claim).await.unwrap()
}

/// Puts it all there.
pub(crate) async fn fill(store: &dyn Store) {
    let ann = given::user(store, "ann", 1).await;
    let bob = given::account(store, "bob", 2).await;
    // Numbers that were given and are no longer there.
    let gone = given::user(store, "gone", 3).await;
    let unused = given::key(store, &gone, 4).await;
    given::session(store, &gone, unused, 9).await;
    given::key(store, &ann, 5).await;
    let label = KeyLabel::parse("Ann's \"phone\" ü").unwrap();
    let new_key = NewKey::new(keys::synthetic(6)).labelled(label);
    let keys = store.keys();
    keys.add(ann.id.into(), &new_key, 9, given::at(7))
        .await
        .unwrap();
    let hash = given::hash_of(5);
    keys.set_state(ann.id.into(), &hash, KeyState::Inactive, given::at(0))
        .await
        .unwrap();
    let fingerprint = keys::openpgp(1).fingerprint();
    let openpgp = OpenPgpKey::new(OpenPgpParts {
        certificate: (0..=255).cycle().take(5_000).collect(),
        user_ids: vec!["Änn \"A\" <ann@example.org>".to_owned(), String::new()],
        expires_at: Some(given::at(5_000)),
        ..keys::openpgp_parts(fingerprint)
    });
    let openpgp = given::added(store, &ann, &NewKey::new(openpgp)).await;
    given::session(store, &ann, openpgp, 3).await;
    // Is carried by no backup.
    let spent = given::login_token(1);
    assert!(
        store
            .sessions()
            .spend(&spent, given::at(300))
            .await
            .unwrap()
    );
    let first = given::first_key(store, &ann).await;
    given::session(store, &ann, first, 1).await;
    given::session(store, &bob.user, bob.key, 2).await;

    let old = given::source("Old");
    given::saved(store, &gone, &old).await;
    let notes = given::source_with(
        "Notes",
        "ü\n\"",
        &[("get", "return 1"), ("put", "\tpass\r\n")],
    );
    let paths = ["data.group", "data.list", "data.n"].map(given::path);
    let hosts = vec![HostPattern::parse("*.example.org").unwrap()];
    let notes = notes.into_builder().indexes(paths).http_hosts(hosts);
    let notes = notes.build().unwrap();
    let notes = given::saved(store, &ann, &notes).await;
    let old = given::assembly_ref("gone/Old");
    for user in [&ann, &bob.user] {
        given::installed(store, user, &notes).await;
    }
    given::installed(store, &bob.user, &old).await;
    let jobs = given::source_with_jobs("Chores", &[("often", "pass", 5), ("once", "pass", 0)]);
    let chores = given::saved(store, &gone, &jobs).await;
    given::installed(store, &ann, &chores).await;
    given::installed(store, &gone, &chores).await;

    for n in 0..DOCUMENTS {
        given::stored(store, &ann, &document(n)).await;
    }
    let mut of_bob = given::document(1, &old, json!({"a": "b".repeat(100_000)}));
    of_bob.time = given::at(50);
    given::stored(store, &bob.user, &of_bob).await;
    // A document whose assembly is gone stays.
    let name = given::assembly_name("Old");
    let gone_for_good = store.assemblies().delete(gone.id, &name);
    assert!(gone_for_good.await.unwrap());

    // Runs, CPU time, and failures.
    let mut failed = given::run(2, ann.id, "ann/Notes");
    failed.outcome = RunOutcome::Failed(RunError::new("ValueError", "ü", Some(3)));
    failed.output.text = "line\nline".to_owned();
    failed.output.truncated = true;
    let booking = CpuBooking {
        user: ann.id,
        hour: 500_001,
        used: Duration::from_nanos(123_456_789),
    };
    let batch = given::batch(
        vec![given::run(1, ann.id, "ann/Notes"), failed],
        vec![booking],
    );
    let retention = RunRetention::default();
    given::recorded(store, batch, retention, given::at(20)).await;

    // Jobs: one that has failed, one that runs, one that is queued by a document, one that is held.
    let now = given::at(100);
    let [failing] = claim(store, 1, now, 1).await.try_into().unwrap();
    let completion = Completion::Failed {
        error: RunError::new("KeyError", "'a'", None),
        retry_at: Some(given::at(400)),
    };
    let completed = store
        .jobs()
        .complete(failing.lease, &completion, given::at(101));
    assert!(completed.await.unwrap());
    let chore = job("gone/Chores", "often");
    let mut queuing = given::document(5_001, &given::assembly_ref("ann/Notes"), json!(1));
    let queued = given::queued(store, &ann, &queuing, &chore, 9);
    queued.await;
    queuing.id = given::document_id(5_002);
    let held = QueuedJob {
        job: chore,
        limit: 9,
        hold: Some(Hold {
            by: given::run_id(77),
            until: given::at(9_000),
        }),
    };
    given::queued_with(store, &ann, &queuing, held).await;
    let running = claim(store, 2, given::at(4_990), 1).await;
    assert_eq!(running.len(), 1);
}
