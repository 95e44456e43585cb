mod save;

use async_trait::async_trait;
use pinyto_core::{
    Page,
    assembly::{
        Assembly, AssemblyCounts, AssemblyName, AssemblyRef, AssemblyRepository, AssemblySource,
        AssemblySummary, AuthorLimits, FunctionName, InstallOutcome, InstalledFunction,
        SaveOutcome,
    },
    clock::Timestamp,
    id::UserId,
    store::StoreError,
    user::UserRepository,
};
use sqlx::PgConnection;

use super::{Intent, PostgresStore, document::index, error::Failure, job, lock::Lock};
use crate::row::assembly::{AssemblyRow, InstalledRow, SummaryRow};
use save::{Delete, Save};

/// An assembly with everything it lists, in one row; `$from` names it `a` and its author `u`.
macro_rules! select_assemblies {
    ($($from:tt)+) => {
        concat!(
            "SELECT a.id, a.name, u.name AS author, a.description, a.only_own_data,
                    coalesce((SELECT json_agg(json_build_array(position, json_build_array(name, code)))
                              FROM pinyto.functions WHERE assembly_id = a.id)::text, '[]')
                        AS functions,
                    coalesce((SELECT json_agg(json_build_array(position,
                                                               json_build_array(name, code, schedule)))
                              FROM pinyto.jobs WHERE assembly_id = a.id)::text, '[]') AS jobs,
                    coalesce((SELECT json_agg(json_build_array(position, path))
                              FROM pinyto.assembly_indexes WHERE assembly_id = a.id)::text, '[]')
                        AS indexes,
                    a.http_hosts
             FROM ",
            $($from)+
        )
    };
}
pub(super) use select_assemblies;

macro_rules! select_summaries {
    ($($from:tt)+) => {
        concat!(
            "SELECT a.id, a.name, u.name AS author, a.description FROM ",
            $($from)+
        )
    };
}
pub(super) use select_summaries;

/// The assembly `$name` of the author called `$author`.
macro_rules! find_assembly {
    ($author:literal, $name:literal) => {
        $crate::postgres::assembly::select_assemblies!(
            "pinyto.users u JOIN pinyto.assemblies a ON a.author_id = u.id
             WHERE u.name = ",
            $author,
            " AND a.name = ",
            $name
        )
    };
}
pub(super) use find_assembly;

/// Of the assembly $3 of the author called $2, which `$user` has installed, the function $4.
macro_rules! find_function {
    ($user:literal) => {
        concat!(
            "SELECT a.id AS assembly_id, a.only_own_data, a.http_hosts, f.code
             FROM pinyto.users u
             JOIN pinyto.assemblies a ON a.author_id = u.id AND a.name = $3
             JOIN pinyto.installations i ON i.assembly_id = a.id AND i.user_id = ",
            $user,
            " LEFT JOIN pinyto.functions f ON f.assembly_id = a.id AND f.name = $4
             WHERE u.name = $2"
        )
    };
}
pub(super) use find_function;

macro_rules! assemblies_of_author {
    ($author:literal) => {
        $crate::postgres::assembly::select_assemblies!(
            "pinyto.assemblies a JOIN pinyto.users u ON u.id = a.author_id
             WHERE a.author_id = ",
            $author,
            " ORDER BY a.id"
        )
    };
}
pub(super) use assemblies_of_author;

macro_rules! all_assemblies {
    ($skip:literal, $count:literal) => {
        $crate::postgres::assembly::select_summaries!(
            "pinyto.assemblies a JOIN pinyto.users u ON u.id = a.author_id
             ORDER BY a.id LIMIT ",
            $count,
            " OFFSET ",
            $skip
        )
    };
}
pub(super) use all_assemblies;

macro_rules! installed_assemblies {
    ($user:literal) => {
        $crate::postgres::assembly::select_summaries!(
            "pinyto.installations i JOIN pinyto.assemblies a ON a.id = i.assembly_id
             JOIN pinyto.users u ON u.id = a.author_id
             WHERE i.user_id = ",
            $user,
            " ORDER BY i.assembly_id"
        )
    };
}
pub(super) use installed_assemblies;

/// The columns of a [`CountsRow`].
macro_rules! assembly_counts {
    ($user:literal) => {
        concat!(
            "(SELECT count(*) FROM pinyto.assemblies WHERE author_id = ",
            $user,
            ") AS own,
            (SELECT count(*) FROM pinyto.installations WHERE user_id = ",
            $user,
            ") AS installed,
            (SELECT count(*) FROM pinyto.assemblies) AS all_there_are"
        )
    };
}
pub(super) use assembly_counts;

const FIND: &str = find_assembly!("$1", "$2");

const FIND_FUNCTION: &str = find_function!("$1");

const LIST_OF_AUTHOR: &str = assemblies_of_author!("$1");

const LIST_ALL: &str = all_assemblies!("$1", "$2");

const LIST_INSTALLED: &str = installed_assemblies!("$1");

const COUNTS: &str = concat!("SELECT ", assembly_counts!("$1"));

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[derive(Default, sqlx::FromRow)]
pub(super) struct CountsRow {
    own: i64,
    installed: i64,
    all_there_are: i64,
}

impl From<CountsRow> for AssemblyCounts {
    fn from(row: CountsRow) -> Self {
        let mut counts = Self::default();
        counts.own = count(row.own);
        counts.installed = count(row.installed);
        counts.all = count(row.all_there_are);
        counts
    }
}

fn reached(number: i64, limit: usize) -> bool {
    usize::try_from(number).unwrap_or(usize::MAX) >= limit
}

struct Install {
    user: UserId,
    author: UserId,
    name: AssemblyName,
    limit: usize,
    at: Timestamp,
}

const INSTALLABLE: &str = "
    SELECT a.id,
           EXISTS (SELECT 1 FROM pinyto.installations WHERE user_id = $3 AND assembly_id = a.id),
           (SELECT count(*) FROM pinyto.installations WHERE user_id = $3)
    FROM pinyto.assemblies a WHERE a.author_id = $1 AND a.name = $2";

const INSTALL: &str = "
    INSERT INTO pinyto.installations (user_id, assembly_id, installed_at) VALUES ($1, $2, $3)";

#[async_trait]
impl Intent for Install {
    type Outcome = InstallOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        // What the author saves at the same time would plan nothing for somebody it can't see yet.
        Some(vec![
            Lock::WritingsShared(self.author),
            Lock::User(self.user),
        ])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<InstallOutcome, Failure> {
        let found: Option<(i64, bool, i64)> = sqlx::query_as(INSTALLABLE)
            .bind(self.author.get())
            .bind(self.name.as_str())
            .bind(self.user.get())
            .fetch_optional(&mut *db)
            .await?;
        let assembly = match found {
            None => return Ok(InstallOutcome::NotFound),
            Some((_, true, _)) => return Ok(InstallOutcome::Installed),
            Some((_, _, installed)) if reached(installed, self.limit) => {
                return Ok(InstallOutcome::LimitReached);
            }
            Some((assembly, ..)) => assembly,
        };
        sqlx::query(INSTALL)
            .bind(self.user.get())
            .bind(assembly)
            .bind(self.at.unix_millis())
            .execute(&mut *db)
            .await?;
        job::plan(db, self.user, assembly, self.at).await?;
        index::refresh(db, &[self.user.get()]).await?;
        Ok(InstallOutcome::Installed)
    }
}

struct Uninstall {
    user: UserId,
    assembly: AssemblyRef,
}

const UNINSTALL: &str = "
    DELETE FROM pinyto.installations WHERE user_id = $3 AND assembly_id = (
        SELECT a.id FROM pinyto.users u JOIN pinyto.assemblies a ON a.author_id = u.id
        WHERE u.name = $1 AND a.name = $2)";

#[async_trait]
impl Intent for Uninstall {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let uninstalled = sqlx::query(UNINSTALL)
            .bind(self.assembly.author.as_str())
            .bind(self.assembly.name.as_str())
            .bind(self.user.get())
            .execute(&mut *db)
            .await?;
        index::refresh(db, &[self.user.get()]).await?;
        Ok(uninstalled.rows_affected() > 0)
    }
}

impl PostgresStore {
    /// What changes which indexes there are leaves the work to a task.
    async fn then_index<T>(
        &self,
        change: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let outcome = change.await?;
        self.indexer.wake();
        Ok(outcome)
    }
}

#[async_trait]
impl AssemblyRepository for PostgresStore {
    async fn save(
        &self,
        author: UserId,
        replaces: Option<&AssemblyName>,
        source: &AssemblySource,
        limits: AuthorLimits,
        at: Timestamp,
    ) -> Result<SaveOutcome, StoreError> {
        let saved = self.write(Save {
            author,
            replaces: replaces.cloned(),
            source: source.clone(),
            limits,
            at,
        });
        self.then_index(saved).await
    }

    async fn delete(&self, author: UserId, name: &AssemblyName) -> Result<bool, StoreError> {
        let name = name.clone();
        self.then_index(self.write(Delete { author, name })).await
    }

    async fn find(&self, assembly: &AssemblyRef) -> Result<Option<Assembly>, StoreError> {
        let find = || {
            sqlx::query_as::<_, AssemblyRow>(FIND)
                .bind(assembly.author.as_str())
                .bind(assembly.name.as_str())
        };
        let row = self.database.one(find).await?;
        Ok(row
            .map(Assembly::try_from)
            .transpose()
            .map_err(Failure::from)?)
    }

    async fn find_function(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        function: &FunctionName,
    ) -> Result<Option<InstalledFunction>, StoreError> {
        let find = || {
            sqlx::query_as::<_, InstalledRow>(FIND_FUNCTION)
                .bind(user.get())
                .bind(assembly.author.as_str())
                .bind(assembly.name.as_str())
                .bind(function.as_str())
        };
        let row = self.database.one(find).await?;
        let found = row.map(InstalledFunction::try_from).transpose();
        Ok(found.map_err(Failure::from)?)
    }

    async fn list_of_author(&self, author: UserId) -> Result<Vec<AssemblySource>, StoreError> {
        let list = || sqlx::query_as::<_, AssemblyRow>(LIST_OF_AUTHOR).bind(author.get());
        sources(self.database.all(list).await?)
    }

    async fn list_all(&self, page: Page) -> Result<Vec<AssemblySummary>, StoreError> {
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let list = || {
            sqlx::query_as::<_, SummaryRow>(LIST_ALL)
                .bind(number(page.skip))
                .bind(number(page.count))
        };
        summaries(self.database.all(list).await?)
    }

    async fn list_installed(&self, user: UserId) -> Result<Vec<AssemblySummary>, StoreError> {
        let list = || sqlx::query_as::<_, SummaryRow>(LIST_INSTALLED).bind(user.get());
        summaries(self.database.all(list).await?)
    }

    async fn counts(&self, user: UserId) -> Result<AssemblyCounts, StoreError> {
        let counts = || sqlx::query_as::<_, CountsRow>(COUNTS).bind(user.get());
        let counts = self.database.one(counts).await?;
        Ok(counts.unwrap_or_default().into())
    }

    async fn install(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<InstallOutcome, StoreError> {
        // Users keep their names.
        let Some(author) = UserRepository::find(self, &assembly.author).await? else {
            return Ok(InstallOutcome::NotFound);
        };
        let installed = self.write(Install {
            user,
            author: author.id,
            name: assembly.name.clone(),
            limit,
            at,
        });
        let installed = self.then_index(installed).await?;
        self.setups.forget(user);
        Ok(installed)
    }

    async fn uninstall(&self, user: UserId, assembly: &AssemblyRef) -> Result<bool, StoreError> {
        let assembly = assembly.clone();
        let uninstalled = self.write(Uninstall { user, assembly });
        let uninstalled = self.then_index(uninstalled).await?;
        self.setups.forget(user);
        Ok(uninstalled)
    }
}

pub(super) fn sources(rows: Vec<AssemblyRow>) -> Result<Vec<AssemblySource>, StoreError> {
    let sources = rows
        .into_iter()
        .map(|row| Ok(Assembly::try_from(row)?.source));
    Ok(sources.collect::<Result<_, Failure>>()?)
}

pub(super) fn summaries(rows: Vec<SummaryRow>) -> Result<Vec<AssemblySummary>, StoreError> {
    let summaries = rows.into_iter().map(AssemblySummary::try_from);
    Ok(summaries.collect::<Result<_, _>>().map_err(Failure::from)?)
}
