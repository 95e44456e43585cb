use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    id::{SessionId, UserId},
    keyserver::{
        Account, ChangePasswordOutcome, KeyserverRepository, NewCredentials, PasswordHash,
        SealedKey,
    },
    session::Actor,
    store::StoreError,
    user::{NewUser, RegisterOutcome, UserName},
};
use sqlx::PgConnection;

use super::{
    Intent, PostgresStore,
    error::Failure,
    key::{NewKeyValues, key_values},
    lock::Lock,
    session::may_act,
    user::{new_key, new_user, registered},
};
use crate::row::{keyserver::AccountRow, user::UserRow};

const FIND: &str = "
    SELECT u.id AS user_id, u.name AS user_name, a.key_id, a.password_hash, a.sealed_key
    FROM pinyto.users u JOIN pinyto.keyserver_accounts a ON a.user_id = u.id
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
        SELECT new_user.id, new_key.id, $7, $8 FROM new_user, new_key)
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
        let NewKeyValues {
            label,
            fingerprint,
            modulus,
            exponent,
        } = key_values(&new.key)?;
        let row: Option<UserRow> = sqlx::query_as(REGISTER)
            .bind(new.name.as_str())
            .bind(new.at.unix_millis())
            .bind(label)
            .bind(fingerprint)
            .bind(modulus)
            .bind(exponent)
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

/// Nothing if the user has no account.
const NEW_KEY: &str = "
    INSERT INTO pinyto.keys (user_id, active, created_at, label, fingerprint, modulus, exponent)
    SELECT $1, true, $2, $3, $4, $5, $6 FROM pinyto.keyserver_accounts WHERE user_id = $1
    RETURNING id, (SELECT key_id FROM pinyto.keyserver_accounts WHERE user_id = $1)";

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
        let NewKeyValues {
            label,
            fingerprint,
            modulus,
            exponent,
        } = key_values(&self.credentials.key)?;
        let keys: Option<(i64, i64)> = sqlx::query_as(NEW_KEY)
            .bind(self.user.get())
            .bind(self.at.unix_millis())
            .bind(label)
            .bind(fingerprint)
            .bind(modulus)
            .bind(exponent)
            .fetch_optional(&mut *db)
            .await?;
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
