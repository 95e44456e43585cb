mod function;

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
    query::Path,
    store::StoreError,
};
use sqlx::SqliteConnection;

#[cfg(test)]
pub(super) use function::FIND_FUNCTION;
pub(super) use function::FunctionOfUser;
use function::Wanted;

use super::{
    Intent, SqliteStore,
    document::index,
    error::{Corrupt, Failure, corrupt},
    job,
};
use crate::row::assembly::{AssemblyRow, SummaryRow};

/// An assembly with everything it lists, in one row; `$from` names it `a` and its author `u`.
macro_rules! select_assemblies {
    ($from:literal) => {
        concat!(
            "SELECT a.id, a.name, u.name AS author, a.description, a.only_own_data,
                    (SELECT json_group_array(json_array(position, json_array(name, code)))
                     FROM pinyto_functions WHERE assembly_id = a.id) AS functions,
                    (SELECT json_group_array(json_array(position, json_array(name, code, schedule)))
                     FROM pinyto_jobs WHERE assembly_id = a.id) AS jobs,
                    (SELECT json_group_array(json_array(position, path))
                     FROM pinyto_assembly_indexes WHERE assembly_id = a.id) AS indexes,
                    a.http_hosts
             FROM ",
            $from
        )
    };
}

macro_rules! select_summaries {
    ($from:literal) => {
        concat!(
            "SELECT a.name, u.name AS author, a.description FROM ",
            $from
        )
    };
}

pub(super) const FIND: &str = select_assemblies!(
    "pinyto_users u JOIN pinyto_assemblies a ON a.author_id = u.id
     WHERE u.name = ?1 AND a.name = ?2"
);

pub(super) const LIST_OF_AUTHOR: &str = select_assemblies!(
    "pinyto_assemblies a JOIN pinyto_users u ON u.id = a.author_id
     WHERE a.author_id = ?1 ORDER BY a.id"
);

pub(super) const LIST_ALL: &str = select_summaries!(
    "pinyto_assemblies a JOIN pinyto_users u ON u.id = a.author_id
     ORDER BY a.id LIMIT ?2 + 0 OFFSET ?1"
);

pub(super) const LIST_INSTALLED: &str = select_summaries!(
    "pinyto_installations i JOIN pinyto_assemblies a ON a.id = i.assembly_id
     JOIN pinyto_users u ON u.id = a.author_id
     WHERE i.user_id = ?1 ORDER BY i.assembly_id"
);

pub(super) const COUNTS: &str = "
    SELECT (SELECT count(*) FROM pinyto_assemblies WHERE author_id = ?1),
           (SELECT count(*) FROM pinyto_installations WHERE user_id = ?1),
           (SELECT count(*) FROM pinyto_assemblies)";

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn reached(number: i64, limit: usize) -> bool {
    usize::try_from(number).unwrap_or(usize::MAX) >= limit
}

struct Save {
    author: UserId,
    replaces: Option<AssemblyName>,
    source: AssemblySource,
    limits: AuthorLimits,
    at: Timestamp,
}

pub(super) const NAMESAKES: &str = "
    SELECT (SELECT id FROM pinyto_assemblies WHERE author_id = ?1 AND name = ?2),
           (SELECT id FROM pinyto_assemblies WHERE author_id = ?1 AND name = ?3),
           (SELECT count(*) FROM pinyto_assemblies WHERE author_id = ?1),
           (SELECT coalesce(sum(size), 0) FROM pinyto_assemblies
            WHERE author_id = ?1 AND name <> ?2)";

const INSERT: &str = "
    INSERT INTO pinyto_assemblies (author_id, name, description, only_own_data, saved_at, size,
        http_hosts)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const REPLACE: &str = "
    UPDATE pinyto_assemblies SET name = ?2, description = ?3, only_own_data = ?4, saved_at = ?5,
        size = ?6, http_hosts = ?7
    WHERE id = ?1;
    DELETE FROM pinyto_functions WHERE assembly_id = ?1;
    DELETE FROM pinyto_jobs WHERE assembly_id = ?1;
    DELETE FROM pinyto_assembly_indexes WHERE assembly_id = ?1";

const INSERT_PARTS: &str = "
    INSERT INTO pinyto_functions (assembly_id, position, name, code)
    SELECT ?1, key, value ->> 'name', value ->> 'code' FROM json_each(?2);
    INSERT INTO pinyto_jobs (assembly_id, position, name, code, schedule)
    SELECT ?1, key, value ->> 'name', value ->> 'code', value ->> 'schedule' FROM json_each(?3);
    INSERT INTO pinyto_assembly_indexes (assembly_id, position, path)
    SELECT ?1, key, value FROM json_each(?4)";

#[async_trait]
impl Intent for Save {
    type Outcome = SaveOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<SaveOutcome, Failure> {
        let source = &self.source;
        type Namesakes = (Option<i64>, Option<i64>, i64, i64);
        let (original, namesake, own, others_bytes): Namesakes = sqlx::query_as(NAMESAKES)
            .bind(self.author.get())
            // No assembly has an empty name.
            .bind(self.replaces.as_ref().map_or("", AssemblyName::as_str))
            .bind(source.name().as_str())
            .fetch_one(&mut *db)
            .await?;
        if namesake.is_some() && namesake != original {
            return Ok(SaveOutcome::NameTaken);
        }
        if original.is_none() && reached(own, self.limits.assemblies) {
            return Ok(SaveOutcome::LimitReached);
        }
        if count(others_bytes).saturating_add(source.size()) > self.limits.bytes {
            return Ok(SaveOutcome::TooManyBytes);
        }
        let jobs = json(source.jobs())?;
        if let Some(replaced) = original {
            job::revive_changed(db, replaced, &jobs, self.at).await?;
        }
        let (statement, outcome) = match original {
            Some(_) => (REPLACE, SaveOutcome::Replaced),
            None => (INSERT, SaveOutcome::Created),
        };
        let saved = sqlx::query(statement)
            .bind(original.unwrap_or(self.author.get()))
            .bind(source.name().as_str())
            .bind(source.description())
            .bind(source.only_own_data())
            .bind(self.at.unix_millis())
            .bind(i64::try_from(source.size()).unwrap_or(i64::MAX))
            .bind(source.http_hosts().map(json).transpose()?)
            .execute(&mut *db)
            .await?;
        let indexes: Vec<&str> = source.indexes().iter().map(Path::as_str).collect();
        sqlx::query(INSERT_PARTS)
            .bind(original.unwrap_or(saved.last_insert_rowid()))
            .bind(json(source.api_functions())?)
            .bind(jobs)
            .bind(json(&indexes)?)
            .execute(&mut *db)
            .await?;
        if let Some(replaced) = original {
            job::replan(db, replaced, self.at).await?;
            index::refresh_of_assembly(db, replaced).await?;
        }
        Ok(outcome)
    }
}

fn json(parts: &[impl serde::Serialize]) -> Result<String, Failure> {
    // Texts and numbers always become JSON.
    Ok(serde_json::to_string(parts).map_err(corrupt("an assembly to be saved"))?)
}

struct Delete {
    author: UserId,
    name: AssemblyName,
}

/// Functions, jobs and installations go with it (foreign keys).
pub(super) const DELETE: &str = "DELETE FROM pinyto_assemblies WHERE author_id = ?1 AND name = ?2";

#[async_trait]
impl Intent for Delete {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        index::forget_assembly(db, self.author, &self.name).await?;
        let deleted = sqlx::query(DELETE)
            .bind(self.author.get())
            .bind(self.name.as_str())
            .execute(db)
            .await?;
        Ok(deleted.rows_affected() > 0)
    }
}

struct Install {
    user: UserId,
    assembly: AssemblyRef,
    limit: usize,
    at: Timestamp,
}

pub(super) const INSTALLABLE: &str = "
    SELECT a.id,
           EXISTS (SELECT 1 FROM pinyto_installations WHERE user_id = ?3 AND assembly_id = a.id),
           (SELECT count(*) FROM pinyto_installations WHERE user_id = ?3)
    FROM pinyto_users u JOIN pinyto_assemblies a ON a.author_id = u.id
    WHERE u.name = ?1 AND a.name = ?2";

const INSTALL: &str = "
    INSERT INTO pinyto_installations (user_id, assembly_id, installed_at) VALUES (?1, ?2, ?3)";

#[async_trait]
impl Intent for Install {
    type Outcome = InstallOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<InstallOutcome, Failure> {
        let found: Option<(i64, bool, i64)> = sqlx::query_as(INSTALLABLE)
            .bind(self.assembly.author.as_str())
            .bind(self.assembly.name.as_str())
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
        index::refresh_of_user(db, self.user).await?;
        Ok(InstallOutcome::Installed)
    }
}

struct Uninstall {
    user: UserId,
    assembly: AssemblyRef,
}

pub(super) const UNINSTALL: &str = "
    DELETE FROM pinyto_installations WHERE user_id = ?3 AND assembly_id = (
        SELECT a.id FROM pinyto_users u JOIN pinyto_assemblies a ON a.author_id = u.id
        WHERE u.name = ?1 AND a.name = ?2)";

#[async_trait]
impl Intent for Uninstall {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        let uninstalled = sqlx::query(UNINSTALL)
            .bind(self.assembly.author.as_str())
            .bind(self.assembly.name.as_str())
            .bind(self.user.get())
            .execute(&mut *db)
            .await?;
        index::refresh_of_user(db, self.user).await?;
        Ok(uninstalled.rows_affected() > 0)
    }
}

impl SqliteStore {
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
impl AssemblyRepository for SqliteStore {
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
        let query = sqlx::query_as::<_, AssemblyRow>(FIND)
            .bind(assembly.author.as_str())
            .bind(assembly.name.as_str());
        let row = self.readers.one(query).await?;
        Ok(row.map(Assembly::try_from).transpose()?)
    }

    async fn find_function(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        function: &FunctionName,
    ) -> Result<Option<InstalledFunction>, StoreError> {
        let (assembly, function) = (assembly.clone(), function.clone());
        let wanted = Wanted {
            user,
            assembly,
            function,
        };
        self.functions_of_users.find(wanted.into()).await
    }

    async fn list_of_author(&self, author: UserId) -> Result<Vec<AssemblySource>, StoreError> {
        let query = sqlx::query_as::<_, AssemblyRow>(LIST_OF_AUTHOR).bind(author.get());
        let rows = self.readers.all(query).await?;
        let sources = rows
            .into_iter()
            .map(|row| Ok(Assembly::try_from(row)?.source));
        Ok(sources.collect::<Result<_, Corrupt>>()?)
    }

    async fn list_all(&self, page: Page) -> Result<Vec<AssemblySummary>, StoreError> {
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let query = sqlx::query_as::<_, SummaryRow>(LIST_ALL)
            .bind(number(page.skip))
            .bind(number(page.count));
        summaries(self.readers.all(query).await?)
    }

    async fn list_installed(&self, user: UserId) -> Result<Vec<AssemblySummary>, StoreError> {
        let query = sqlx::query_as::<_, SummaryRow>(LIST_INSTALLED).bind(user.get());
        summaries(self.readers.all(query).await?)
    }

    async fn counts(&self, user: UserId) -> Result<AssemblyCounts, StoreError> {
        let query = sqlx::query_as::<_, (i64, i64, i64)>(COUNTS).bind(user.get());
        let counts = self.readers.one(query).await?;
        let (own, installed, all) = counts.unwrap_or_default();
        let mut counts = AssemblyCounts::default();
        counts.own = count(own);
        counts.installed = count(installed);
        counts.all = count(all);
        Ok(counts)
    }

    async fn install(
        &self,
        user: UserId,
        assembly: &AssemblyRef,
        limit: usize,
        at: Timestamp,
    ) -> Result<InstallOutcome, StoreError> {
        let assembly = assembly.clone();
        let installed = self.write(Install {
            user,
            assembly,
            limit,
            at,
        });
        self.then_index(installed).await
    }

    async fn uninstall(&self, user: UserId, assembly: &AssemblyRef) -> Result<bool, StoreError> {
        let assembly = assembly.clone();
        self.then_index(self.write(Uninstall { user, assembly }))
            .await
    }
}

fn summaries(rows: Vec<SummaryRow>) -> Result<Vec<AssemblySummary>, StoreError> {
    let summaries = rows.into_iter().map(AssemblySummary::try_from);
    Ok(summaries.collect::<Result<_, Corrupt>>()?)
}
