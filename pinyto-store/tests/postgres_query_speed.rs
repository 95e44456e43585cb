//! How fast queries are in large stores on PostgreSQL. Fails where a figure misses its target, which
//! takes a quiet machine, many minutes and 12 GB of disk, so it runs only on demand:
//!
//! ```sh
//! cargo test --release -p pinyto-store --features postgres --test postgres_query_speed -- --ignored --nocapture
//! ```
//!
//! `PINYTO_DOCUMENTS` says how many documents the one user has (a million), `PINYTO_USERS` how many
//! users have a thousand each (10,000).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that panics fails"
)]

mod query_speed;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pinyto_core::{
    assembly::AssemblyRef, document::Scope, id::UserId, query::Direction, store::Store as _,
    testing::given, user::User,
};
use pinyto_postgres_cluster::Instance;
use pinyto_store::postgres::PostgresStore;
use query_speed::{NONE, book, count, first, is_indexed, median, save, scattered, search};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const PATHS: [&str; 4] = ["data.isbn", "data.year", "data.authors", "data.title"];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// A store in a cluster of its own. Commits don't wait for the disk, which would hide what else an
/// insert costs.
async fn store() -> Option<(Instance, Arc<PostgresStore>)> {
    let postgres = Instance::start().await?;
    postgres
        .execute("ALTER SYSTEM SET synchronous_commit = off")
        .await;
    postgres
        .execute("ALTER SYSTEM SET max_wal_size = '1GB'")
        .await;
    postgres.execute("SELECT pg_reload_conf()").await;
    let store = PostgresStore::open(postgres.url("postgres")).await.unwrap();
    Some((postgres, Arc::new(store)))
}

fn isbn(n: u64) -> String {
    format!("978{:010}", scattered(n) % 10_000_000_000)
}

/// Puts documents there, without entries in indexes, which the store makes afterwards.
async fn load(postgres: &Instance, user: &User, books: &AssemblyRef, total: u64) {
    let mut db = PgConnection::connect(&postgres.url("postgres"))
        .await
        .unwrap();
    for from in (0..total).step_by(5_000) {
        let books = (from..total.min(from + 5_000)).map(|n| book(n, books));
        let (mut ids, mut times, mut sizes, mut bodies) = (vec![], vec![], vec![], vec![]);
        for book in books {
            ids.push(book.id.as_bytes().to_vec());
            times.push(book.time.unix_millis());
            sizes.push(i64::try_from(book.size()).unwrap());
            bodies.push(serde_json::to_string(&book.fields).unwrap());
        }
        let insert = "
            INSERT INTO pinyto.documents (user_id, id, assembly, assembly_id, time, size, body)
            SELECT $1, n.id, $2, a.id, n.time, n.size, n.body::json
            FROM unnest($3::bytea[], $4::bigint[], $5::bigint[], $6::text[])
                AS n (id, time, size, body), pinyto.assemblies a WHERE a.name = 'Books'";
        let inserted = sqlx::query(insert)
            .bind(user.id.get())
            .bind(books_name(user))
            .bind(ids)
            .bind(times)
            .bind(sizes)
            .bind(bodies)
            .execute(&mut db)
            .await;
        inserted.unwrap();
    }
    let account = format!(
        "UPDATE pinyto.users SET bytes =
            (SELECT sum(size) FROM pinyto.documents WHERE user_id = {user}) WHERE id = {user};
        UPDATE pinyto.indexes SET state = 'building', built_to = '' WHERE user_id = {user}",
        user = user.id.get()
    );
    postgres.execute(&account).await;
}

fn books_name(user: &User) -> String {
    format!("{}/Books", user.name)
}

async fn wait_for_indexes(store: &PostgresStore, scope: Scope, paths: &[&str]) -> Duration {
    let started = Instant::now();
    for path in paths {
        while !is_indexed(store, scope, path).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    started.elapsed()
}

/// The middle of how long inserts take, one after the other, in milliseconds.
async fn inserts(store: &PostgresStore, users: &[User], books: &AssemblyRef, from: u64) -> f64 {
    let mut times = Vec::new();
    for n in 0..2_000 {
        let user = &users[usize::try_from(n).unwrap() % users.len()];
        let document = book(from + n, books);
        let started = Instant::now();
        given::stored(store, user, &document).await;
        times.push(started.elapsed());
    }
    let (middle, worst) = median(times);
    println!("insert: p50 {middle:.3?}, worst {worst:.3?}");
    middle.as_secs_f64() * 1e3
}

fn compare(with: f64, without: f64) {
    let ratio = with / without;
    println!("an insert with one index takes {ratio:.2} x the time of one without");
    assert!(ratio <= 2.0, "more than twice");
}

fn of_type_and_isbn(n: u64) -> Value {
    json!({"type": "book", "data.isbn": isbn(n * 5)})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and a quiet machine"]
async fn a_million_documents_of_one_user() {
    let Some((postgres, store)) = store().await else {
        return;
    };
    let total = number("PINYTO_DOCUMENTS", 1_000_000);
    let s = store.as_ref();
    let ann = given::user(s, "ann", 1).await;
    let books = save(s, &ann, &[]).await;
    given::installed(s, &ann, &books).await;
    let started = Instant::now();
    load(&postgres, &ann, &books, total).await;
    println!("{total} documents put there in {:.1?}", started.elapsed());

    // Saving it wakes who makes the entries.
    save(s, &ann, &[]).await;
    let scope = Scope::all_of(ann.id);
    let took = wait_for_indexes(s, scope, &["type"]).await;
    println!("an index of `type` of {total} documents: {took:.1?}");
    postgres.execute("VACUUM ANALYZE").await;
    let without = inserts(s, std::slice::from_ref(&ann), &books, total).await;
    save(s, &ann, &PATHS[..1]).await;
    let took = wait_for_indexes(s, scope, &PATHS[..1]).await;
    println!("an index of a path of {total} documents: {took:.1?}");
    let with = inserts(s, std::slice::from_ref(&ann), &books, total + 10_000).await;
    compare(with, without);
    save(s, &ann, &PATHS).await;
    wait_for_indexes(s, scope, &PATHS).await;
    println!("with four declared indexes:");
    inserts(s, std::slice::from_ref(&ann), &books, total + 20_000).await;
    postgres.execute("VACUUM ANALYZE").await;

    let books_id = s.assemblies().find(&books).await.unwrap().unwrap().id;
    let own = Scope::stored_by(ann.id, books_id);
    let (up, down) = (Direction::Ascending, Direction::Descending);
    search(s, scope, "find type and indexed value", Some(5.0), |n| {
        first(&of_type_and_isbn(n), None)
    })
    .await;
    search(s, own, "the same of one assembly", Some(5.0), |n| {
        first(&of_type_and_isbn(n), None)
    })
    .await;
    count(s, scope, "count type and indexed value", Some(5.0), |n| {
        given::query(&of_type_and_isbn(n))
    })
    .await;
    count(s, scope, "count indexed value (8,000 fit)", NONE, |n| {
        given::query(&json!({"data.year": 1900 + n % 120}))
    })
    .await;
    count(s, scope, "count type (800,000 fit)", NONE, |_| {
        given::query(&json!({"type": "book"}))
    })
    .await;
    for (what, query, sort) in [
        (
            "sorted by an indexed path, first 20",
            json!({}),
            ("data.title", up),
        ),
        (
            "type, sorted by an indexed path downwards, first 20",
            json!({"type": "book"}),
            ("data.title", down),
        ),
        (
            "type, sorted by an indexed array, first 20",
            json!({"type": "book"}),
            ("data.authors", down),
        ),
        ("type, last 20", json!({"type": "book"}), ("_id", down)),
        ("the latest 20", json!({}), ("time", down)),
    ] {
        search(s, scope, what, Some(10.0), |_| first(&query, Some(sort))).await;
    }
    search(
        s,
        scope,
        "range of an indexed path, sorted by it, first 20",
        Some(10.0),
        |n| {
            let range = json!({"data.year": {"$gte": 1950 + n % 20, "$lt": 2000}});
            first(&range, Some(("data.year", up)))
        },
    )
    .await;
    search(s, scope, "type and time range, first 20", Some(10.0), |n| {
        let from = given::at(i64::try_from(n * 500).unwrap()).to_string();
        let query = json!({"type": "book", "time": {"$gte": from}});
        first(&query, Some(("time", up)))
    })
    .await;
    count(s, scope, "count without index, told by SQL", NONE, |n| {
        given::query(&json!({"data.place.room": n % 7}))
    })
    .await;
    store.close().await;
}

/// Gives `count` users what the user `pattern` has: documents, indexes, entries.
async fn copy(postgres: &Instance, pattern: UserId, prefix: &str, count: u64) {
    let pattern = pattern.get();
    postgres
        .execute(&format!(
            "SET session_replication_role = replica;
            INSERT INTO pinyto.users (name, created_at, calculated_at, bytes, setup)
            SELECT '{prefix}' || n, created_at, calculated_at, bytes, setup
            FROM pinyto.users, generate_series(1, {count}) n WHERE id = {pattern};
            CREATE UNLOGGED TABLE copied AS
                SELECT id FROM pinyto.users WHERE name LIKE '{prefix}%' AND id <> {pattern};
            INSERT INTO pinyto.installations (user_id, assembly_id, installed_at)
            SELECT c.id, i.assembly_id, i.installed_at
            FROM copied c, pinyto.installations i WHERE i.user_id = {pattern};
            INSERT INTO pinyto.indexes (user_id, path, state, built_to, traits)
            SELECT c.id, x.path, x.state, x.built_to, x.traits
            FROM copied c, pinyto.indexes x WHERE x.user_id = {pattern};
            INSERT INTO pinyto.documents (user_id, id, assembly, assembly_id, time, size, body)
            SELECT c.id, d.id, d.assembly, d.assembly_id, d.time, d.size, d.body
            FROM (SELECT id FROM copied ORDER BY id) c
            CROSS JOIN (SELECT * FROM pinyto.documents WHERE user_id = {pattern}) d;
            INSERT INTO pinyto.index_entries (index_id, key, document_id, assembly_id, role)
            SELECT n.id, e.key, e.document_id, e.assembly_id, e.role
            FROM (SELECT x.* FROM pinyto.indexes x JOIN copied c ON c.id = x.user_id ORDER BY x.id) n
            JOIN pinyto.indexes o ON o.user_id = {pattern} AND o.path = n.path
            JOIN pinyto.index_entries e ON e.index_id = o.id;
            DROP TABLE copied"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes, a quiet machine and 12 GB"]
async fn many_users_with_a_thousand_documents_each() {
    let Some((postgres, store)) = store().await else {
        return;
    };
    let (users, each) = (number("PINYTO_USERS", 10_000), 1_000);
    let s = store.as_ref();
    let ann = given::user(s, "ann", 1).await;
    let plain = given::user(s, "plain", 2).await;
    let books = save(s, &ann, &PATHS[..1]).await;
    let unindexed = save(s, &plain, &[]).await;
    given::installed(s, &ann, &books).await;
    given::installed(s, &plain, &unindexed).await;
    for n in 0..each {
        given::stored(s, &ann, &book(n, &books)).await;
        given::stored(s, &plain, &book(n, &unindexed)).await;
    }
    wait_for_indexes(s, Scope::all_of(ann.id), &PATHS[..1]).await;
    let started = Instant::now();
    copy(&postgres, plain.id, "plain", 100).await;
    copy(&postgres, ann.id, "ann", users).await;
    println!(
        "{users} users with {each} documents each: {:.0?}",
        started.elapsed()
    );
    let started = Instant::now();
    postgres.execute("VACUUM ANALYZE").await;
    println!("vacuumed and analyzed in {:.0?}", started.elapsed());
    let sizes = "SELECT relname || ': ' || pg_size_pretty(pg_total_relation_size(c.oid))
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname = 'pinyto' AND relname IN ('documents', 'index_entries')";
    println!("{:?}", postgres.texts(sizes).await);

    let mut some = Vec::new();
    let mut others = Vec::new();
    for n in 1..=users.min(1_000) {
        let name = given::name(&format!("ann{}", scattered(n) % users + 1));
        some.push(s.users().find(&name).await.unwrap().unwrap());
    }
    for n in 1..=100 {
        let name = given::name(&format!("plain{n}"));
        others.push(s.users().find(&name).await.unwrap().unwrap());
    }
    // Each query asks about another user.
    let mut scopes = some.iter().map(|user| Scope::all_of(user.id)).cycle();
    for round in ["", ", again"] {
        let mut finds = Vec::new();
        let mut counts = Vec::new();
        let mut sorted = Vec::new();
        for n in 0..200 {
            let scope = scopes.next().unwrap();
            let query = of_type_and_isbn(n % 200);
            let (documents, started) = (s.documents(), Instant::now());
            let search = first(&query, None);
            let found = documents.search(scope, &search, given::NO_SCAN_LIMITS);
            assert_eq!(query_speed::found(found.await.unwrap()).len(), 1);
            finds.push(started.elapsed());
            let (scope, started) = (scopes.next().unwrap(), Instant::now());
            let query = given::query(&query);
            let counted = documents.count(scope, &query, given::NO_SCAN_LIMITS);
            assert_eq!(query_speed::found(counted.await.unwrap()), 1);
            counts.push(started.elapsed());
            let (scope, started) = (scopes.next().unwrap(), Instant::now());
            let by_isbn = first(&json!({}), Some((PATHS[0], Direction::Ascending)));
            let found = documents.search(scope, &by_isbn, given::NO_SCAN_LIMITS);
            assert_eq!(query_speed::found(found.await.unwrap()).len(), 20);
            sorted.push(started.elapsed());
        }
        for (what, target, times) in [
            ("find", 5.0, finds),
            ("count", 5.0, counts),
            ("sorted, first 20", 10.0, sorted),
        ] {
            let (middle, worst) = median(times);
            println!("{what} of {users} users{round}: p50 {middle:.3?}, worst {worst:.3?}");
            assert!(middle.as_secs_f64() * 1e3 < target, "not below {target} ms");
        }
    }
    println!("one declared index, 1,000 users:");
    inserts(s, &some, &books, each).await;
    println!("none, 100 users:");
    let without = inserts(s, &others, &unindexed, each).await;
    // The same users, with one index.
    save(s, &plain, &PATHS[..1]).await;
    let last = Scope::all_of(others[99].id);
    wait_for_indexes(s, last, &PATHS[..1]).await;
    println!("one, the same users:");
    let with = inserts(s, &others, &unindexed, each + 10_000).await;
    compare(with, without);
    store.close().await;
}
