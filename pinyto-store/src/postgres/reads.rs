//! What is read for a session: one statement each, which looks the session up and reads for its user.
//!
//! So a request that only reads costs one round trip, and a session that any server has ended is in
//! force nowhere from the next request on.

use async_trait::async_trait;
use pinyto_core::{
    Page,
    assembly::{
        Assembly, AssemblyCounts, AssemblyName, AssemblyRef, AssemblySource, AssemblySummary,
        FunctionName, InstalledFunction,
    },
    clock::Timestamp,
    id::SessionId,
    job::JobState,
    key::Key,
    run::{Run, RunId},
    session::{ReadFor, SessionReads},
    store::{Store, StoreError},
    usage::Usage,
};
use sqlx::{FromRow, Row as _, postgres::PgRow};

use super::{
    PostgresStore,
    assembly::{
        CountsRow, all_assemblies, assemblies_of_author, assembly_counts, find_assembly,
        find_function, installed_assemblies, sources, summaries,
    },
    error::Failure,
    job::{StateRow, jobs_of_user, states},
    key::{find_key, keys, list_keys},
    pool::{Query, Row},
    run::{find_run, number, runs, runs_of_assembly, runs_of_user},
    session::found,
    user::usage_columns,
};
use crate::row::{
    assembly::{AssemblyRow, InstalledRow, SummaryRow},
    key::KeyRow,
    run::RunRow,
    session::SessionRow,
    user::UsageRow,
};

/// The session $1 with each row that `$read` has for its user, `s.user_id`, in the order `$order`;
/// with nulls if it has none.
macro_rules! for_session {
    ($order:literal, $read:expr) => {
        concat!(
            "SELECT s.session_id, s.key_id AS session_key, s.token_hash AS session_token,
                    s.created_at AS session_created_at, s.last_used_at AS session_used_at,
                    s.user_id AS session_user, s.user_name AS session_user_name, r.*
             FROM (
                 SELECT s.id AS session_id, s.key_id, s.token_hash, s.created_at, s.last_used_at,
                        k.user_id, u.name AS user_name
                 FROM pinyto.sessions s JOIN pinyto.keys k ON k.id = s.key_id
                 JOIN pinyto.users u ON u.id = k.user_id WHERE s.id = $1) AS s
             LEFT JOIN LATERAL (SELECT true AS is_there, found.* FROM (",
            $read,
            ") AS found) AS r ON true ORDER BY ",
            $order
        )
    };
}

const KEYS: &str = for_session!("r.id", list_keys!("s.user_id"));

const KEY: &str = for_session!("1", find_key!("s.key_id"));

const STATISTICS: &str = for_session!(
    "1",
    concat!(
        "SELECT ",
        usage_columns!(),
        ", ",
        assembly_counts!("s.user_id"),
        " FROM pinyto.users WHERE id = s.user_id"
    )
);

const OWN_ASSEMBLIES: &str = for_session!("r.id", assemblies_of_author!("s.user_id"));

const ALL_ASSEMBLIES: &str = for_session!("r.id", all_assemblies!("$2", "$3"));

const INSTALLED_ASSEMBLIES: &str = for_session!("r.id", installed_assemblies!("s.user_id"));

const ASSEMBLY: &str = for_session!("1", find_assembly!("$2", "$3"));

const FUNCTION: &str = for_session!("1", find_function!("s.user_id"));

const JOBS: &str = for_session!("r.place", jobs_of_user!("s.user_id"));

const RUNS: &str = for_session!("r.id DESC", runs_of_user!("s.user_id"));

const RUN: &str = for_session!("1", find_run!("s.user_id"));

/// One row with nulls if the assembly has no runs, none if she has no such assembly.
const RUNS_OF_OWN_ASSEMBLY: &str = for_session!(
    "r.id DESC",
    concat!(
        "SELECT run.* FROM pinyto.assemblies a LEFT JOIN LATERAL (",
        runs_of_assembly!("a.id", "$3", "$4"),
        ") AS run ON true WHERE a.author_id = s.user_id AND a.name = $2"
    )
);

/// A session, and a row that was read for it.
struct ForSession<R> {
    session: SessionRow,
    row: Option<R>,
}

impl<'r, R: FromRow<'r, PgRow>> FromRow<'r, PgRow> for ForSession<R> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let session = SessionRow {
            id: row.try_get("session_id")?,
            key_id: row.try_get("session_key")?,
            token_hash: row.try_get("session_token")?,
            created_at: row.try_get("session_created_at")?,
            last_used_at: row.try_get("session_used_at")?,
            user_id: row.try_get("session_user")?,
            user_name: row.try_get("session_user_name")?,
        };
        let is_there: Option<bool> = row.try_get("is_there")?;
        let row = is_there.map(|_| R::from_row(row)).transpose()?;
        Ok(Self { session, row })
    }
}

/// What may have been joined to a row without matching anything.
struct Joined<R>(Option<R>);

impl<'r, R: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Joined<R> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let id: Option<Vec<u8>> = row.try_get("id")?;
        Ok(Self(id.map(|_| R::from_row(row)).transpose()?))
    }
}

#[derive(FromRow)]
struct StatisticsRow {
    #[sqlx(flatten)]
    usage: UsageRow,
    #[sqlx(flatten)]
    counts: CountsRow,
}

impl PostgresStore {
    /// Reads for a session, and makes something of the rows.
    async fn read_for<'q, R: Row, T>(
        &self,
        make: impl Fn() -> Query<'q, ForSession<R>> + Send + Sync,
        read: impl FnOnce(Vec<R>) -> Result<T, StoreError> + Send,
    ) -> Result<ReadFor<T>, StoreError> {
        let mut of_session = None;
        let mut rows = Vec::new();
        for ForSession { session, row } in self.database.all(make).await? {
            of_session.get_or_insert(session);
            rows.extend(row);
        }
        let Some(session) = found(of_session)? else {
            return Ok(None);
        };
        Ok(Some((session, read(rows)?)))
    }
}

fn query<'q, R: Row>(statement: &'static str, session: SessionId) -> Query<'q, ForSession<R>> {
    sqlx::query_as(statement).bind(session.get())
}

/// The only row.
fn one<R, T: TryFrom<R>>(rows: Vec<R>) -> Result<Option<T>, StoreError>
where
    Failure: From<T::Error>,
{
    let row = rows.into_iter().next();
    Ok(row.map(T::try_from).transpose().map_err(Failure::from)?)
}

#[async_trait]
impl SessionReads for PostgresStore {
    fn store(&self) -> &dyn Store {
        self
    }

    async fn list_keys(&self, session: SessionId) -> Result<ReadFor<Vec<Key>>, StoreError> {
        self.read_for(|| query::<KeyRow>(KEYS, session), keys).await
    }

    async fn key(&self, session: SessionId) -> Result<ReadFor<Key>, StoreError> {
        let find = || query::<KeyRow>(KEY, session);
        let read = self.read_for(find, one::<KeyRow, Key>).await?;
        // A session has a key.
        Ok(read.and_then(|(session, key)| Some((session, key?))))
    }

    async fn statistics(
        &self,
        session: SessionId,
    ) -> Result<ReadFor<(Usage, AssemblyCounts)>, StoreError> {
        let find = || query::<StatisticsRow>(STATISTICS, session);
        let read = self.read_for(find, |rows| {
            let row = rows.into_iter().next();
            let read = row.map(|row| Ok((Usage::try_from(row.usage)?, row.counts.into())));
            Ok(read.transpose().map_err(Failure::Corrupt)?)
        });
        // A session has a user.
        Ok(read
            .await?
            .and_then(|(session, read)| Some((session, read?))))
    }

    async fn own_assemblies(
        &self,
        session: SessionId,
    ) -> Result<ReadFor<Vec<AssemblySource>>, StoreError> {
        let list = || query::<AssemblyRow>(OWN_ASSEMBLIES, session);
        self.read_for(list, sources).await
    }

    async fn all_assemblies(
        &self,
        session: SessionId,
        page: Page,
    ) -> Result<ReadFor<Vec<AssemblySummary>>, StoreError> {
        let list = || {
            query::<SummaryRow>(ALL_ASSEMBLIES, session)
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        self.read_for(list, summaries).await
    }

    async fn installed_assemblies(
        &self,
        session: SessionId,
    ) -> Result<ReadFor<Vec<AssemblySummary>>, StoreError> {
        let list = || query::<SummaryRow>(INSTALLED_ASSEMBLIES, session);
        self.read_for(list, summaries).await
    }

    async fn assembly(
        &self,
        session: SessionId,
        assembly: &AssemblyRef,
    ) -> Result<ReadFor<Option<Assembly>>, StoreError> {
        let find = || {
            query::<AssemblyRow>(ASSEMBLY, session)
                .bind(assembly.author.as_str())
                .bind(assembly.name.as_str())
        };
        self.read_for(find, one).await
    }

    async fn function(
        &self,
        session: SessionId,
        assembly: &AssemblyRef,
        function: &FunctionName,
    ) -> Result<ReadFor<Option<InstalledFunction>>, StoreError> {
        let find = || {
            query::<InstalledRow>(FUNCTION, session)
                .bind(assembly.author.as_str())
                .bind(assembly.name.as_str())
                .bind(function.as_str())
        };
        self.read_for(find, one).await
    }

    async fn list_jobs(
        &self,
        session: SessionId,
        now: Timestamp,
        page: Page,
    ) -> Result<ReadFor<Vec<JobState>>, StoreError> {
        let list = || {
            query::<StateRow>(JOBS, session)
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        self.read_for(list, |rows| states(rows, now)).await
    }

    async fn list_runs(
        &self,
        session: SessionId,
        assembly: Option<&AssemblyRef>,
        page: Page,
    ) -> Result<ReadFor<Vec<Run>>, StoreError> {
        let list = || {
            query::<RunRow>(RUNS, session)
                .bind(assembly.map(ToString::to_string))
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        self.read_for(list, runs).await
    }

    async fn find_run(
        &self,
        session: SessionId,
        run: RunId,
    ) -> Result<ReadFor<Option<Run>>, StoreError> {
        let find = || query::<RunRow>(RUN, session).bind(run.as_bytes().as_slice());
        self.read_for(find, one).await
    }

    async fn runs_of_own_assembly(
        &self,
        session: SessionId,
        assembly: &AssemblyName,
        page: Page,
    ) -> Result<ReadFor<Option<Vec<Run>>>, StoreError> {
        let list = || {
            query::<Joined<RunRow>>(RUNS_OF_OWN_ASSEMBLY, session)
                .bind(assembly.as_str())
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        let read = |rows: Vec<Joined<RunRow>>| {
            let is_hers = !rows.is_empty();
            let found = rows.into_iter().filter_map(|Joined(run)| run).collect();
            is_hers.then(|| runs(found)).transpose()
        };
        self.read_for(list, read).await
    }
}
