//! Where Pinyto keeps things: implementations of [`Store`](pinyto_core::store::Store).
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use std::time::SystemTime;
//!
//! use pinyto_core::{store::Store, user::UserName};
//! use pinyto_store::sqlite::{SqliteOptions, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("pinyto.db");
//! # let url = format!("sqlite:{}?mode=rwc", path.display());
//! // let url = "sqlite:pinyto.db?mode=rwc";
//! let store = SqliteStore::open(SqliteOptions::new(url).readers(2)).await?;
//!
//! let name = UserName::parse("pinyto")?;
//! let made = store.users().ensure_keyless(&name, SystemTime::now().into()).await?;
//! let found = store.users().find(&name).await?;
//! assert_eq!(found, Some(made));
//!
//! // Finishes what is being written.
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! On PostgreSQL (feature `postgres`) it is
//! `PostgresStore::open("postgres://pinyto@localhost/pinyto").await?`.
//!
//! In an application the store goes into a [`Cloud`](pinyto_core::Cloud), which holds the rules;
//! there is none here. Neither is there an interface for queries of your own: for that open the
//! database with a driver (in SQLite all tables begin with `pinyto_`, in PostgreSQL they are in a
//! schema `pinyto`; so yours can be in the same database, with migrations of their own).
//!
//! # Map
//!
//! | item | what it is |
//! |---|---|
//! | [`sqlite`]: `SqliteStore`, `SqliteOptions` | for one server, in one file: the store, and how it is opened |
//! | `postgres`: `PostgresStore`, `PostgresOptions` | feature `postgres`: for several servers on one database; can share an application's pool of connections |
//! | `OpenError` of either | why a database can't be opened |
//! | [`DatabaseState`] | what opening it would come upon: the `inspect` of either |
//! | [`backup`] | everything in a file, for either database: the `backup` and `restore` of either |
//!
//! All futures are `Send`, and the stores `Send + Sync`. Stores share nothing, but for two things of
//! the process that show nowhere: the descriptors by which SQLite stores see commits (one for
//! each file, kept as long as the file is there, because POSIX drops all locks that a process has on
//! a file when it closes any descriptor of it), and a counter that tells databases in memory apart.
//!
//! # What it promises
//!
//! - **Acknowledged is durable.** A call that changes something returns after the commit, which
//!   by default is on the disk (SQLite: `Synchronous`; PostgreSQL: `synchronous_commit`). In
//!   PostgreSQL, failed tries are not in the write-ahead log and are forgotten if it crashes.
//! - **All or nothing.** Each call is one transaction. An error means that nothing was changed,
//!   with one exception that no database can avoid: when the disk fails, or the connection breaks,
//!   during a commit, what was written may come to light later. (A failed try that PostgreSQL
//!   refuses may count for its address or account for a moment.)
//! - **The truth of the moment.** What another process on the same database has changed is seen by
//!   the next call. SQLite: what was looked up is remembered only while nobody has committed
//!   anything. PostgreSQL: it is asked each time.
//! - **Nobody waits forever.** A call that doesn't get its turn fails as busy or unavailable. A
//!   full disk or a lock held by somebody else does the latter; the store works again as soon as they let it.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `sqlite` | yes | the store in a SQLite file |
//! | `postgres` | no | the store in a PostgreSQL database |
//! | `postgres-tls` | no | encrypted connections to it |
//!
//! Database files belong on a local disk: SQLite's locks don't work on network file systems. Don't
//! move or replace the file while a store has it open, and don't copy it: [`backup`] says how a
//! database is backed up while it is used, and how it is moved into another.
//!
//! # Rust version
//!
//! 1.95 or newer. To ask for a newer one takes a minor version, not a patch.
//!
//! # Inside
//!
//! `query/` is what both databases have in common: which SQL a query becomes, which way to the
//! documents it takes, when the evaluator is asked; `row/` is what rows mean. `postgres/` has a page
//! of its own. In `sqlite/`:
//!
//! | file | |
//! |---|---|
//! | `writer.rs` | one task writes, many changes per transaction: durability costs one `fsync` per group |
//! | `lookup.rs` | concurrent look-ups of sessions and keys, which each request needs, share one query and remember what it found |
//! | `changes.rs` | whether anybody has committed, told from the WAL index without asking SQLite |
//! | `pool.rs` | the connections that read |
//! | `../turns.rs` | whose query is next |
//! | `migration.rs` | opening a database, bringing its tables up to date |
//! | `document/` | documents: `change.rs` changes them together with usage and indexes, `plan.rs` makes statements of ways, `search.rs` goes them within limits, `index.rs` keeps the indexes |
//! | `user.rs`, `key.rs`, `session.rs`, `keyserver.rs`, `assembly/`, `run.rs`, `job/` | the statements, each beside the function that runs it |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod backup;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod migrations;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod query;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod turns;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use migrations::DatabaseState;

/// What is shared goes between threads, and so do futures: this compiles only if they do.
#[cfg(all(test, any(feature = "sqlite", feature = "postgres")))]
mod thread_tests {
    const fn shared<T: Send + Sync + 'static>() {}

    fn sent<T>(_: impl Future<Output = T> + Send) {}

    #[cfg(feature = "sqlite")]
    const _: fn(&crate::sqlite::SqliteStore) = |store| {
        shared::<crate::sqlite::SqliteStore>();
        shared::<crate::sqlite::SqliteOptions>();
        shared::<crate::sqlite::OpenError>();
        sent(crate::sqlite::SqliteStore::open(""));
        sent(store.close());
    };

    #[cfg(feature = "postgres")]
    const _: fn(&crate::postgres::PostgresStore) = |store| {
        shared::<crate::postgres::PostgresStore>();
        shared::<crate::postgres::PostgresOptions>();
        shared::<crate::postgres::OpenError>();
        sent(crate::postgres::PostgresStore::open(""));
        sent(store.close());
    };
}
