use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    id::{KeyId, SessionId, UserId},
    keyserver::{
        Account, ChangePasswordOutcome, KeyserverRepository, NewCredentials, PasswordHash,
        PasswordLoginOutcome, SealedKey,
    },
    session::Actor,
    store::StoreError,
    user::{NewUser, RegisterOutcome, UserName},
};
use sqlx::PgConnection;

use super::{
    Intent, PostgresStore,
    error::Failure,
    key::{new_key_columns, new_key_values, others_active, set_active},
    lock::Lock,
    session::may_act,
    user::{new_key, new_user, registered},
};
use crate::row::{
    key::{KeyColumns, bind_key},
    keyserver::AccountRow,
    user::UserRow,
};

const FIND: &str = "
    SELECT u.id AS user_id, u.name AS user_name, a.key_id, k.active, a.password_hash, a.sealed_key
    FROM pinyto.users u JOIN pinyto.keyserver_accounts a ON a.user_id = u.id
    JOIN pinyto.keys k ON k.id = a.key_id
    WHERE u.name = $1";

struct Register {
    user: NewUser,
    password_hash: PasswordHash,
    sealed_key: SealedKey,
}

const REGISTER: &str = concat!(
    new_user!(),
    new_key!(),
    ", new_account AS (
        INSERT INTO pinyto.keyserver_accounts (user_id, key_id, password_hash, sealed_key)
        SELECT new_user.id, new_key.id, $11, $12 FROM new_user, new_key)
    SELECT id, name FROM new_user"
);

#[async_trait]
impl Intent for Register {
    type Outcome = RegisterOutcome;

    /// None, but a transaction: the second time the name would be taken.
    fn locks(&self) -> Option<Vec<Lock>> {
        Some(Vec::new())
    }

    async fn run(&self, db: &mut PgConnection) -> Result<RegisterOutcome, Failure> {
        let new = &self.user;
        let register = sqlx::query_as(REGISTER)
            .bind(new.name.as_str())
            .bind(new.at.unix_millis());
        let row: Option<UserRow> = bind_key!(register, KeyColumns::try_from(&new.key)?)
            .bind(self.password_hash.as_str())
            .bind(self.sealed_key.as_bytes())
            .fetch_optional(&mut *db)
            .await?;
        registered(db, row, new).await
    }
}

struct ChangePassword {
    user: UserId,
    session: SessionId,
    credentials: NewCredentials,
    at: Timestamp,
}

/// As active as the old one. Nothing if the user has no account.
const NEW_KEY: &str = concat!(
    "INSERT INTO pinyto.keys (",
    new_key_columns!(),
    ") SELECT $1, old.active, ",
    new_key_values!(),
    " FROM pinyto.keyserver_accounts a JOIN pinyto.keys old ON old.id = a.key_id
    WHERE a.user_id = $1
    RETURNING id, (SELECT key_id FROM pinyto.keyserver_accounts WHERE user_id = $1)"
);

const MOVE_SESSION: &str = "
    UPDATE pinyto.sessions SET key_id = $3 WHERE id = $1 AND key_id = $2";

const MOVE_ACCOUNT: &str = "
    UPDATE pinyto.keyserver_accounts SET key_id = $2, password_hash = $3, sealed_key = $4
    WHERE user_id = $1";

/// What still hangs on the old key goes with it (foreign keys).
const DELETE_KEY: &str = "DELETE FROM pinyto.keys WHERE id = $1";

#[async_trait]
impl Intent for ChangePassword {
    type Outcome = ChangePasswordOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<ChangePasswordOutcome, Failure> {
        let actor = Actor {
            user: self.user,
            session: Some(self.session),
        };
        if !may_act(db, actor).await? {
            return Ok(ChangePasswordOutcome::SessionEnded);
        }
        let new_key = sqlx::query_as(NEW_KEY)
            .bind(self.user.get())
            .bind(self.at.unix_millis());
        let new_key = bind_key!(new_key, KeyColumns::try_from(&self.credentials.key)?);
        let keys: Option<(i64, i64)> = new_key.fetch_optional(&mut *db).await?;
        let Some((new_key, old_key)) = keys else {
            return Ok(ChangePasswordOutcome::NoAccount);
        };
        sqlx::query(MOVE_SESSION)
            .bind(self.session.get())
            .bind(old_key)
            .bind(new_key)
            .execute(&mut *db)
            .await?;
        sqlx::query(MOVE_ACCOUNT)
            .bind(self.user.get())
            .bind(new_key)
            .bind(self.credentials.password_hash.as_str())
            .bind(self.credentials.sealed_key.as_bytes())
            .execute(&mut *db)
            .await?;
        sqlx::query(DELETE_KEY).bind(old_key).execute(db).await?;
        Ok(ChangePasswordOutcome::Changed)
    }
}

struct SetPasswordLogin {
    actor: Actor,
    allowed: bool,
    at: Timestamp,
}

const PASSWORD_KEY: &str = concat!(
    "SELECT k.id, k.active, ",
    others_active!("$2"),
    ", EXISTS (SELECT 1 FROM pinyto.sessions s WHERE s.id = $3 AND s.key_id = k.id) AS own_session",
    " FROM pinyto.keyserver_accounts a JOIN pinyto.keys k ON k.id = a.key_id WHERE a.user_id = $1"
);

#[async_trait]
impl Intent for SetPasswordLogin {
    type Outcome = PasswordLoginOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.actor.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<PasswordLoginOutcome, Failure> {
        if !may_act(db, self.actor).await? {
            return Ok(PasswordLoginOutcome::SessionEnded);
        }
        let key: Option<(i64, bool, bool, bool)> = sqlx::query_as(PASSWORD_KEY)
            .bind(self.actor.user.get())
            .bind(self.at.unix_millis())
            .bind(self.actor.session.map(|session| session.get()))
            .fetch_optional(&mut *db)
            .await?;
        let Some((key, active, others_active, is_own_session)) = key else {
            return Ok(PasswordLoginOutcome::NoAccount);
        };
        if active && !self.allowed && !others_active {
            return Ok(PasswordLoginOutcome::LastActive);
        }
        if is_own_session && !self.allowed {
            return Ok(PasswordLoginOutcome::OwnSession);
        }
        set_active(db, KeyId::new(key), self.allowed).await?;
        Ok(PasswordLoginOutcome::Done)
    }
}

struct Rehash {
    user: UserId,
    old: PasswordHash,
    password_hash: PasswordHash,
    sealed_key: SealedKey,
}

const REHASH: &str = "
    UPDATE pinyto.keyserver_accounts SET password_hash = $3, sealed_key = $4
    WHERE user_id = $1 AND password_hash = $2";

#[async_trait]
impl Intent for Rehash {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let changed = sqlx::query(REHASH)
            .bind(self.user.get())
            .bind(self.old.as_str())
            .bind(self.password_hash.as_str())
            .bind(self.sealed_key.as_bytes())
            .execute(db)
            .await?;
        Ok(changed.rows_affected() > 0)
    }
}

#[async_trait]
impl KeyserverRepository for PostgresStore {
    async fn register(
        &self,
        user: &NewUser,
        password_hash: &PasswordHash,
        sealed_key: &SealedKey,
    ) -> Result<RegisterOutcome, StoreError> {
        let register = Register {
            user: user.clone(),
            password_hash: password_hash.clone(),
            sealed_key: sealed_key.clone(),
        };
        self.write(register).await
    }

    async fn find(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        let find = || sqlx::query_as::<_, AccountRow>(FIND).bind(name.as_str());
        let row = self.database.one(find).await?;
        Ok(row
            .map(Account::try_from)
            .transpose()
            .map_err(Failure::from)?)
    }

    async fn change_password(
        &self,
        user: UserId,
        session: SessionId,
        credentials: &NewCredentials,
        at: Timestamp,
    ) -> Result<ChangePasswordOutcome, StoreError> {
        let change = ChangePassword {
            user,
            session,
            credentials: credentials.clone(),
            at,
        };
        self.write(change).await
    }

    async fn set_password_login(
        &self,
        actor: Actor,
        allowed: bool,
        at: Timestamp,
    ) -> Result<PasswordLoginOutcome, StoreError> {
        self.write(SetPasswordLogin { actor, allowed, at }).await
    }

    async fn rehash(
        &self,
        user: UserId,
        old: &PasswordHash,
        password_hash: &PasswordHash,
        sealed_key: &SealedKey,
    ) -> Result<bool, StoreError> {
        let rehash = Rehash {
            user,
            old: old.clone(),
            password_hash: password_hash.clone(),
            sealed_key: sealed_key.clone(),
        };
        self.write(rehash).await
    }
}
