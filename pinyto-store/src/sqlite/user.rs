use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    id::UserId,
    store::StoreError,
    usage::Usage,
    user::{NewUser, RegisterOutcome, User, UserName, UserRepository},
};
use sqlx::SqliteConnection;

use super::{Intent, SqliteStore, error::Failure, key::insert_key};
use crate::row::user::{UsageRow, UserRow};

const INSERT: &str = "
    INSERT INTO pinyto_users (name, created_at, calculated_at) VALUES (?1, ?2, ?2)
    ON CONFLICT (name) DO NOTHING RETURNING id, name";

/// What every user has an index of.
const INSERT_INDEX: &str = "
    INSERT INTO pinyto_indexes (user_id, path, state) VALUES (?1, 'type', 'ready')";

/// A new user without keys, unless the name is taken.
pub(super) async fn insert_user(
    db: &mut SqliteConnection,
    name: &UserName,
    at: Timestamp,
) -> Result<Option<User>, Failure> {
    let row: Option<UserRow> = sqlx::query_as(INSERT)
        .bind(name.as_str())
        .bind(at.unix_millis())
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    sqlx::query(INSERT_INDEX).bind(row.id).execute(db).await?;
    Ok(Some(row.try_into()?))
}

struct Register(NewUser);

#[async_trait]
impl Intent for Register {
    type Outcome = RegisterOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<RegisterOutcome, Failure> {
        let Self(new) = self;
        let Some(user) = insert_user(db, &new.name, new.at).await? else {
            return Ok(RegisterOutcome::NameTaken);
        };
        for key in [&new.key].into_iter().chain(&new.further_keys) {
            insert_key(&mut *db, user.id, key, new.at).await?;
        }
        Ok(RegisterOutcome::Registered(user))
    }
}

struct EnsureKeyless {
    name: UserName,
    at: Timestamp,
}

#[async_trait]
impl Intent for EnsureKeyless {
    type Outcome = User;

    async fn run(&self, db: &mut SqliteConnection) -> Result<User, Failure> {
        if let Some(user) = insert_user(db, &self.name, self.at).await? {
            return Ok(user);
        }
        let row: UserRow = sqlx::query_as(FIND)
            .bind(self.name.as_str())
            .fetch_one(db)
            .await?;
        Ok(row.try_into()?)
    }
}

pub(super) const FIND: &str = "SELECT id, name FROM pinyto_users WHERE name = ?1";

pub(super) const USAGE: &str = "
    SELECT cpu_nanos, byte_seconds, bytes, calculated_at FROM pinyto_users WHERE id = ?1";

#[async_trait]
impl UserRepository for SqliteStore {
    async fn register(&self, user: &NewUser) -> Result<RegisterOutcome, StoreError> {
        self.write(Register(user.clone())).await
    }

    async fn ensure_keyless(&self, name: &UserName, at: Timestamp) -> Result<User, StoreError> {
        // Asked at every start, so don't write then.
        if let Some(user) = UserRepository::find(self, name).await? {
            return Ok(user);
        }
        let name = name.clone();
        self.write(EnsureKeyless { name, at }).await
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let query = sqlx::query_as::<_, UserRow>(FIND).bind(name.as_str());
        let row = self.readers.one(query).await?;
        Ok(row.map(User::try_from).transpose()?)
    }

    async fn usage(&self, user: UserId) -> Result<Option<Usage>, StoreError> {
        let query = sqlx::query_as::<_, UsageRow>(USAGE).bind(user.get());
        let row = self.readers.one(query).await?;
        Ok(row.map(Usage::try_from).transpose()?)
    }
}
