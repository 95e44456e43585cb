use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    id::UserId,
    store::StoreError,
    usage::Usage,
    user::{NewUser, RegisterOutcome, User, UserName, UserRepository},
};
use sqlx::PgConnection;

use super::{
    Intent, PostgresStore,
    error::Failure,
    key::{new_key_columns, new_key_values},
    lock::Lock,
};
use crate::row::{
    key::{KeyColumns, bind_key},
    user::{UsageRow, UserRow},
};

/// A new user ($1, at $2) with an index of `type`, which everybody has, unless the name is taken:
/// the beginning of a statement.
macro_rules! new_user {
    () => {
        "WITH new_user AS (
            INSERT INTO pinyto.users (name, created_at, calculated_at) VALUES ($1, $2, $2)
            ON CONFLICT (name) DO NOTHING RETURNING id, name),
        new_index AS (
            INSERT INTO pinyto.indexes (user_id, path, state) SELECT id, 'type', 'ready' FROM new_user)"
    };
}
pub(super) use new_user;

/// The new user's first key: the next part of the statement.
macro_rules! new_key {
    () => {
        concat!(
            ", new_key AS (INSERT INTO pinyto.keys (",
            $crate::postgres::key::new_key_columns!(),
            ") SELECT id, $4 <> 'openpgp', ",
            $crate::postgres::key::new_key_values!(),
            " FROM new_user RETURNING id)"
        )
    };
}
pub(super) use new_key;

struct Register(NewUser);

const REGISTER: &str = concat!(new_user!(), new_key!(), " SELECT id, name FROM new_user");

#[async_trait]
impl Intent for Register {
    type Outcome = RegisterOutcome;

    /// None, but a transaction: the second time the name would be taken.
    fn locks(&self) -> Option<Vec<Lock>> {
        Some(Vec::new())
    }

    async fn run(&self, db: &mut PgConnection) -> Result<RegisterOutcome, Failure> {
        let Self(new) = self;
        let register = sqlx::query_as(REGISTER)
            .bind(new.name.as_str())
            .bind(new.at.unix_millis());
        let row: Option<UserRow> = bind_key!(register, KeyColumns::try_from(&new.key)?)
            .fetch_optional(&mut *db)
            .await?;
        registered(db, row, new).await
    }
}

const FURTHER_KEY: &str = concat!(
    "INSERT INTO pinyto.keys (",
    new_key_columns!(),
    ") VALUES ($1, $4 <> 'openpgp', ",
    new_key_values!(),
    ")"
);

/// Adds the further keys of who has registered.
pub(super) async fn registered(
    db: &mut PgConnection,
    row: Option<UserRow>,
    new: &NewUser,
) -> Result<RegisterOutcome, Failure> {
    let Some(row) = row else {
        return Ok(RegisterOutcome::NameTaken);
    };
    for key in &new.further_keys {
        let further = sqlx::query(FURTHER_KEY)
            .bind(row.id)
            .bind(new.at.unix_millis());
        bind_key!(further, KeyColumns::try_from(key)?)
            .execute(&mut *db)
            .await?;
    }
    Ok(RegisterOutcome::Registered(row.try_into()?))
}

struct EnsureKeyless {
    name: UserName,
    at: Timestamp,
}

const MAKE_KEYLESS: &str = concat!(new_user!(), " SELECT id, name FROM new_user");

#[async_trait]
impl Intent for EnsureKeyless {
    type Outcome = Option<User>;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<Option<User>, Failure> {
        let row: Option<UserRow> = sqlx::query_as(MAKE_KEYLESS)
            .bind(self.name.as_str())
            .bind(self.at.unix_millis())
            .fetch_optional(db)
            .await?;
        Ok(row.map(User::try_from).transpose()?)
    }
}

const FIND: &str = "SELECT id, name FROM pinyto.users WHERE name = $1";

/// The columns of a [`UsageRow`].
macro_rules! usage_columns {
    () => {
        "cpu_nanos, byte_seconds, bytes, calculated_at"
    };
}
pub(super) use usage_columns;

const USAGE: &str = concat!(
    "SELECT ",
    usage_columns!(),
    " FROM pinyto.users WHERE id = $1"
);

#[async_trait]
impl UserRepository for PostgresStore {
    async fn register(&self, user: &NewUser) -> Result<RegisterOutcome, StoreError> {
        self.write(Register(user.clone())).await
    }

    async fn ensure_keyless(&self, name: &UserName, at: Timestamp) -> Result<User, StoreError> {
        // Asked at every start, so don't write then.
        if let Some(user) = UserRepository::find(self, name).await? {
            return Ok(user);
        }
        let make = EnsureKeyless {
            name: name.clone(),
            at,
        };
        if let Some(user) = self.write(make).await? {
            return Ok(user);
        }
        // Somebody else has made it meanwhile; users don't go.
        let made = UserRepository::find(self, name).await?;
        made.ok_or_else(|| StoreError::unavailable("a user came and went"))
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let find = || sqlx::query_as::<_, UserRow>(FIND).bind(name.as_str());
        let row = self.database.one(find).await?;
        Ok(row.map(User::try_from).transpose().map_err(Failure::from)?)
    }

    async fn usage(&self, user: UserId) -> Result<Option<Usage>, StoreError> {
        let find = || sqlx::query_as::<_, UsageRow>(USAGE).bind(user.get());
        let row = self.database.one(find).await?;
        Ok(row
            .map(Usage::try_from)
            .transpose()
            .map_err(Failure::from)?)
    }
}
