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
use sqlx::SqliteConnection;

use super::{
    Intent, SqliteStore,
    error::Failure,
    key::{insert_key, others_active, set_active},
    session::may_act,
    user::insert_user,
};
use crate::row::keyserver::AccountRow;

pub(super) const FIND: &str = "
    SELECT u.id AS user_id, u.name AS user_name, a.key_id, k.active, a.password_hash, a.sealed_key
    FROM pinyto_users u JOIN pinyto_keyserver_accounts a ON a.user_id = u.id
    JOIN pinyto_keys k ON k.id = a.key_id
    WHERE u.name = ?1";

struct Register {
    user: NewUser,
    password_hash: PasswordHash,
    sealed_key: SealedKey,
}

const INSERT: &str = "
    INSERT INTO pinyto_keyserver_accounts (user_id, key_id, password_hash, sealed_key)
    VALUES (?1, ?2, ?3, ?4)";

#[async_trait]
impl Intent for Register {
    type Outcome = RegisterOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<RegisterOutcome, Failure> {
        let new = &self.user;
        let Some(user) = insert_user(db, &new.name, new.at).await? else {
            return Ok(RegisterOutcome::NameTaken);
        };
        let key = insert_key(db, user.id, &new.key, new.at).await?;
        for key in &new.further_keys {
            insert_key(&mut *db, user.id, key, new.at).await?;
        }
        sqlx::query(INSERT)
            .bind(user.id.get())
            .bind(key.get())
            .bind(self.password_hash.as_str())
            .bind(self.sealed_key.as_bytes())
            .execute(db)
            .await?;
        Ok(RegisterOutcome::Registered(user))
    }
}

struct ChangePassword {
    user: UserId,
    session: SessionId,
    credentials: NewCredentials,
    at: Timestamp,
}

pub(super) const KEY_OF_ACCOUNT: &str =
    "SELECT key_id FROM pinyto_keyserver_accounts WHERE user_id = ?1";

/// What still hangs on the old key (?2) goes with it (foreign keys).
pub(super) const CHANGE: &str = "
    UPDATE pinyto_keys SET active = (SELECT active FROM pinyto_keys WHERE id = ?2) WHERE id = ?3;
    UPDATE pinyto_sessions SET key_id = ?3 WHERE id = ?4 AND key_id = ?2;
    UPDATE pinyto_keyserver_accounts SET key_id = ?3, password_hash = ?5, sealed_key = ?6
    WHERE user_id = ?1;
    DELETE FROM pinyto_keys WHERE id = ?2";

#[async_trait]
impl Intent for ChangePassword {
    type Outcome = ChangePasswordOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<ChangePasswordOutcome, Failure> {
        let actor = Actor {
            user: self.user,
            session: Some(self.session),
        };
        if !may_act(db, actor).await? {
            return Ok(ChangePasswordOutcome::SessionEnded);
        }
        let account: Option<(i64,)> = sqlx::query_as(KEY_OF_ACCOUNT)
            .bind(self.user.get())
            .fetch_optional(&mut *db)
            .await?;
        let Some((old_key,)) = account else {
            return Ok(ChangePasswordOutcome::NoAccount);
        };
        let new_key = insert_key(db, self.user, &self.credentials.key, self.at).await?;
        sqlx::query(CHANGE)
            .bind(self.user.get())
            .bind(old_key)
            .bind(new_key.get())
            .bind(self.session.get())
            .bind(self.credentials.password_hash.as_str())
            .bind(self.credentials.sealed_key.as_bytes())
            .execute(db)
            .await?;
        Ok(ChangePasswordOutcome::Changed)
    }
}

struct SetPasswordLogin {
    actor: Actor,
    allowed: bool,
    at: Timestamp,
}

pub(super) const PASSWORD_KEY: &str = concat!(
    "SELECT k.id, k.active, ",
    others_active!("?2"),
    ", EXISTS (SELECT 1 FROM pinyto_sessions s WHERE s.id = ?3 AND s.key_id = k.id) AS own_session",
    " FROM pinyto_keyserver_accounts a JOIN pinyto_keys k ON k.id = a.key_id WHERE a.user_id = ?1"
);

#[async_trait]
impl Intent for SetPasswordLogin {
    type Outcome = PasswordLoginOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<PasswordLoginOutcome, Failure> {
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

pub(super) const REHASH: &str = "
    UPDATE pinyto_keyserver_accounts SET password_hash = ?3, sealed_key = ?4
    WHERE user_id = ?1 AND password_hash = ?2";

#[async_trait]
impl Intent for Rehash {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
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
impl KeyserverRepository for SqliteStore {
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
        let query = sqlx::query_as::<_, AccountRow>(FIND).bind(name.as_str());
        let row = self.readers.one(query).await?;
        Ok(row.map(Account::try_from).transpose()?)
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
