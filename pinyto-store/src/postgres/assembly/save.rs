//! What authors change.

use async_trait::async_trait;
use pinyto_core::{
    assembly::{AssemblyName, AssemblySource, AuthorLimits, SaveOutcome},
    clock::Timestamp,
    id::UserId,
    query::Path,
};
use sqlx::PgConnection;

use super::{
    super::{Intent, document::index, error::Failure, job, lock::Lock},
    count, reached,
};
use crate::row::corrupt;

/// Locks the author ($1) and whoever has installed her assembly $2, in the order of their numbers.
/// Tells who has installed it.
const LOCK_USERS: &str = "
    SELECT u.id, EXISTS (
        SELECT 1 FROM pinyto.assemblies a JOIN pinyto.installations i ON i.assembly_id = a.id
        WHERE a.author_id = $1 AND a.name = $2 AND i.user_id = u.id)
    FROM pinyto.users u
    WHERE u.id IN (
        SELECT $1::bigint UNION ALL SELECT i.user_id
        FROM pinyto.assemblies a JOIN pinyto.installations i ON i.assembly_id = a.id
        WHERE a.author_id = $1 AND a.name = $2)
    ORDER BY u.id FOR NO KEY UPDATE OF u";

/// The users who have it installed. What the author has written has to be locked, so that nobody
/// installs it meanwhile.
async fn lock_users(
    db: &mut PgConnection,
    author: UserId,
    name: &str,
) -> Result<Vec<i64>, Failure> {
    let users: Vec<(i64, bool)> = sqlx::query_as(LOCK_USERS)
        .bind(author.get())
        .bind(name)
        .fetch_all(db)
        .await?;
    let installers = users.into_iter().filter(|(_, installed)| *installed);
    Ok(installers.map(|(user, _)| user).collect())
}

pub(super) struct Save {
    pub(super) author: UserId,
    pub(super) replaces: Option<AssemblyName>,
    pub(super) source: AssemblySource,
    pub(super) limits: AuthorLimits,
    pub(super) at: Timestamp,
}

const NAMESAKES: &str = "
    SELECT (SELECT id FROM pinyto.assemblies WHERE author_id = $1 AND name = $2),
           (SELECT id FROM pinyto.assemblies WHERE author_id = $1 AND name = $3),
           (SELECT count(*) FROM pinyto.assemblies WHERE author_id = $1),
           (SELECT coalesce(sum(size), 0)::bigint FROM pinyto.assemblies
            WHERE author_id = $1 AND name <> $2)";

const INSERT: &str = "
    INSERT INTO pinyto.assemblies (author_id, name, description, only_own_data, saved_at, size,
        http_hosts)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";

const REPLACE: &str = "
    UPDATE pinyto.assemblies SET name = $2, description = $3, only_own_data = $4, saved_at = $5,
        size = $6, http_hosts = $7
    WHERE id = $1 RETURNING id";

const DELETE_PARTS: &str = "
    WITH functions AS (DELETE FROM pinyto.functions WHERE assembly_id = $1),
    jobs AS (DELETE FROM pinyto.jobs WHERE assembly_id = $1)
    DELETE FROM pinyto.assembly_indexes WHERE assembly_id = $1";

const INSERT_PARTS: &str = "
    WITH functions AS (
        INSERT INTO pinyto.functions (assembly_id, position, name, code)
        SELECT $1, position, name, code
        FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS part (name, code, position)),
    jobs AS (
        INSERT INTO pinyto.jobs (assembly_id, position, name, code, schedule)
        SELECT $1, position, name, code, schedule
        FROM unnest($4::text[], $5::text[], $6::bigint[]) WITH ORDINALITY
            AS part (name, code, schedule, position))
    INSERT INTO pinyto.assembly_indexes (assembly_id, position, path)
    SELECT $1, position, path FROM unnest($7::text[]) WITH ORDINALITY AS part (path, position)";

#[async_trait]
impl Intent for Save {
    type Outcome = SaveOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::Writings(self.author)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<SaveOutcome, Failure> {
        let source = &self.source;
        // No assembly has an empty name.
        let replaces = self.replaces.as_ref().map_or("", AssemblyName::as_str);
        let installers = lock_users(db, self.author, replaces).await?;
        type Namesakes = (Option<i64>, Option<i64>, i64, i64);
        let (original, namesake, own, others_bytes): Namesakes = sqlx::query_as(NAMESAKES)
            .bind(self.author.get())
            .bind(replaces)
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
        if let Some(replaced) = original {
            job::revive_changed(db, replaced, source.jobs(), self.at).await?;
            sqlx::query(DELETE_PARTS)
                .bind(replaced)
                .execute(&mut *db)
                .await?;
        }
        let assembly = self.write(db, original).await?;
        self.write_parts(db, assembly).await?;
        if original.is_some() {
            job::replan(db, assembly, self.at).await?;
            index::refresh(db, &installers).await?;
            return Ok(SaveOutcome::Replaced);
        }
        Ok(SaveOutcome::Created)
    }
}

impl Save {
    async fn write(&self, db: &mut PgConnection, original: Option<i64>) -> Result<i64, Failure> {
        let source = &self.source;
        let statement = match original {
            Some(_) => REPLACE,
            None => INSERT,
        };
        // Texts always become JSON.
        let hosts = source.http_hosts().map(serde_json::to_string).transpose();
        let hosts = hosts.map_err(corrupt("pinyto_assemblies.http_hosts"))?;
        let (assembly,): (i64,) = sqlx::query_as(statement)
            .bind(original.unwrap_or(self.author.get()))
            .bind(source.name().as_str())
            .bind(source.description())
            .bind(source.only_own_data())
            .bind(self.at.unix_millis())
            .bind(i64::try_from(source.size()).unwrap_or(i64::MAX))
            .bind(hosts)
            .fetch_one(db)
            .await?;
        Ok(assembly)
    }

    async fn write_parts(&self, db: &mut PgConnection, assembly: i64) -> Result<(), Failure> {
        let functions = self.source.api_functions().iter();
        let (names, codes): (Vec<&str>, Vec<&str>) = functions
            .map(|part| (part.name.as_str(), part.code.as_str()))
            .unzip();
        let jobs = self.source.jobs();
        let paths: Vec<&str> = self.source.indexes().iter().map(Path::as_str).collect();
        sqlx::query(INSERT_PARTS)
            .bind(assembly)
            .bind(names)
            .bind(codes)
            .bind(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>())
            .bind(jobs.iter().map(|job| job.code.as_str()).collect::<Vec<_>>())
            .bind(
                jobs.iter()
                    .map(|job| i64::from(job.schedule.minutes()))
                    .collect::<Vec<_>>(),
            )
            .bind(paths)
            .execute(db)
            .await?;
        Ok(())
    }
}

pub(super) struct Delete {
    pub(super) author: UserId,
    pub(super) name: AssemblyName,
}

/// Functions, jobs and installations go with it (foreign keys).
const DELETE: &str = "DELETE FROM pinyto.assemblies WHERE author_id = $1 AND name = $2";

#[async_trait]
impl Intent for Delete {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::Writings(self.author)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let installers = lock_users(db, self.author, self.name.as_str()).await?;
        let deleted = sqlx::query(DELETE)
            .bind(self.author.get())
            .bind(self.name.as_str())
            .execute(&mut *db)
            .await?;
        index::refresh(db, &installers).await?;
        Ok(deleted.rows_affected() > 0)
    }
}
