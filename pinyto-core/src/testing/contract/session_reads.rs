use std::sync::Arc;

use serde_json::json;

use crate::{
    Page,
    id::SessionId,
    session::{ReadFor, Session},
    store::{Store, StoreError},
    testing::given,
};

/// Reads everything there is to read for a session, and compares with what the repositories say;
/// says whether the session lives.
async fn read_all(store: &dyn Store, session: &Session) -> bool {
    let (reads, id, user) = (store.reads(), session.id, session.user.id);
    let (notes, name) = (given::assembly_ref("ann/Notes"), given::function_name("f"));
    let (other, another) = (given::assembly_name("f"), given::function_name("Notes"));
    let (own, run) = (given::assembly_name("Notes"), given::run_id(1));
    let mut lives = Vec::new();
    macro_rules! same {
        ($read:expr, $expected:expr) => {
            let expected = $expected.await.unwrap();
            lives.push(check(session, $read.await, &expected));
        };
    }
    let (keys, assemblies) = (store.keys(), store.assemblies());
    let (jobs, runs) = (store.jobs(), store.runs());
    same!(reads.list_keys(id), keys.list(user));
    same!(reads.key(id), async {
        let mut keys = keys.list(user).await?.into_iter();
        Ok::<_, StoreError>(keys.find(|key| key.id == session.key).unwrap())
    });
    same!(reads.statistics(id), async {
        let usage = store.users().usage(user).await?.unwrap();
        Ok::<_, StoreError>((usage, assemblies.counts(user).await?))
    });
    same!(reads.own_assemblies(id), assemblies.list_of_author(user));
    same!(
        reads.all_assemblies(id, Page::first(9)),
        assemblies.list_all(Page::first(9))
    );
    same!(
        reads.all_assemblies(id, Page::first(1).after(1)),
        assemblies.list_all(Page::first(1).after(1))
    );
    same!(
        reads.installed_assemblies(id),
        assemblies.list_installed(user)
    );
    same!(reads.assembly(id, &notes), assemblies.find(&notes));
    same!(
        reads.function(id, &notes, &name),
        assemblies.find_function(user, &notes, &name)
    );
    same!(
        reads.function(id, &notes, &another),
        assemblies.find_function(user, &notes, &another)
    );
    for (skip, count) in [(0, 9), (1, 1), (9, 9)] {
        let now = given::at(1);
        same!(
            reads.list_jobs(id, now, Page::first(count).after(skip)),
            jobs.list_of_user(user, now, Page::first(count).after(skip))
        );
        for assembly in [None, Some(&notes)] {
            same!(
                reads.list_runs(id, assembly, Page::first(count).after(skip)),
                runs.list_of_user(user, assembly, Page::first(count).after(skip))
            );
        }
        same!(
            reads.runs_of_own_assembly(id, &own, Page::first(count).after(skip)),
            runs.list_of_author(user, &own, Page::first(count).after(skip))
        );
    }
    same!(
        reads.runs_of_own_assembly(id, &other, Page::first(9)),
        runs.list_of_author(user, &other, Page::first(9))
    );
    same!(reads.find_run(id, run), runs.find(user, run));
    let all = lives.iter().all(|lives| *lives);
    assert_eq!(all, lives.contains(&true), "{lives:?}");
    all
}

fn check<T: PartialEq + std::fmt::Debug>(
    session: &Session,
    read: Result<ReadFor<T>, StoreError>,
    expected: &T,
) -> bool {
    let Some((found, read)) = read.unwrap() else {
        return false;
    };
    assert_eq!(found, *session);
    assert_eq!(read, *expected);
    true
}

pub async fn what_is_read_for_a_session_is_its_users_and_with_the_session_it_ends(
    store: Arc<dyn Store>,
) {
    let store = &*store;
    let ann = given::user(store, "ann", 1).await;
    let bob = given::user(store, "bob", 2).await;
    given::key(store, &ann, 3).await;
    let jobs = given::source_with_jobs("Notes", &[("j", "pass", 5), ("k", "pass", 5)]);
    let notes = given::saved(store, &ann, &jobs).await;
    let functions = given::source_with("Todo", "", &[("f", "return 1")]);
    let todo = given::saved(store, &ann, &functions).await;
    let empty = given::assembly(store, &bob, "Empty").await;
    for (user, assembly) in [
        (&ann, &notes),
        (&bob, &notes),
        (&bob, &todo),
        (&bob, &empty),
    ] {
        given::installed(store, user, assembly).await;
    }
    let found = store.assemblies().find(&notes).await.unwrap().unwrap();
    let run = |n, user| crate::run::Run {
        assembly: found.id,
        ..given::run(n, user, "ann/Notes")
    };
    let runs = vec![
        run(1, ann.id),
        run(2, bob.id),
        run(3, bob.id),
        run(4, ann.id),
    ];
    let batch = given::batch(runs, Vec::new());
    given::recorded(store, batch, Default::default(), given::at(9)).await;
    given::stored(store, &bob, &given::document(1, &notes, json!([1]))).await;
    let mut sessions = Vec::new();
    for (n, user) in [(1, &ann), (2, &bob)] {
        let key = given::first_key(store, user).await;
        sessions.push(given::session(store, user, key, n).await);
    }
    for session in &sessions {
        assert!(read_all(store, session).await);
    }
    store.sessions().end(ann.id, sessions[0].id).await.unwrap();
    assert!(!read_all(store, &sessions[0]).await);
    assert!(read_all(store, &sessions[1]).await);
    let nobodys = SessionId::new(sessions[1].id.get() + 1000);
    assert_eq!(store.reads().list_keys(nobodys).await.unwrap(), None);
}
