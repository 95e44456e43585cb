use async_trait::async_trait;
use pinyto_core::{
    challenge::SessionTokenHash,
    clock::Timestamp,
    id::{SessionId, UserId},
    session::{Actor, LoginTokenHash, NewSession, ReplaceOutcome, Session, SessionRepository},
    store::StoreError,
};
use sqlx::PgConnection;

use super::{Intent, PostgresStore, error::Failure, lock::Lock};
use crate::row::session::SessionRow;

macro_rules! select_sessions {
    ($where:literal) => {
        concat!(
            "SELECT s.id, s.key_id, s.token_hash, s.created_at, s.last_used_at,
                    u.id AS user_id, u.name AS user_name
             FROM pinyto.sessions s JOIN pinyto.keys k ON k.id = s.key_id
             JOIN pinyto.users u ON u.id = k.user_id WHERE ",
            $where
        )
    };
}

/// Keeps the session from being ended before the transaction is.
const MAY_ACT: &str = "
    SELECT 1 FROM pinyto.sessions s JOIN pinyto.keys k ON k.id = s.key_id
    WHERE s.id = $1 AND k.user_id = $2 FOR KEY SHARE OF s";

/// Whether the actor's session lives and is the user's, or the program acts on its own. The user
/// has to be locked.
pub(super) async fn may_act(db: &mut PgConnection, actor: Actor) -> Result<bool, Failure> {
    let Some(session) = actor.session else {
        return Ok(true);
    };
    let living: Option<(i32,)> = sqlx::query_as(MAY_ACT)
        .bind(session.get())
        .bind(actor.user.get())
        .fetch_optional(db)
        .await?;
    Ok(living.is_some())
}

const FIND: &str = select_sessions!("s.id = $1");

const FIND_BY_TOKEN: &str = select_sessions!("s.token_hash = $1");

struct Replace(NewSession);

/// The lock of the user, then her key, then its session.
const REPLACE: &str = "
    WITH owner AS MATERIALIZED (
        SELECT u.id FROM pinyto.users u JOIN pinyto.keys k ON k.user_id = u.id
        WHERE k.id = $1 AND u.id = $4 FOR NO KEY UPDATE OF u),
    used_key AS (
        UPDATE pinyto.keys k SET last_used_at = greatest(k.last_used_at, $2)
        FROM owner WHERE k.id = $1 AND k.active RETURNING k.id)
    INSERT INTO pinyto.sessions (key_id, created_at, last_used_at, token_hash)
    SELECT id, $2, $2, $3 FROM used_key
    ON CONFLICT (key_id) DO UPDATE SET id = excluded.id, created_at = excluded.created_at,
        last_used_at = excluded.last_used_at, token_hash = excluded.token_hash
    RETURNING id";

#[async_trait]
impl Intent for Replace {
    type Outcome = ReplaceOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    fn user(&self) -> Option<UserId> {
        Some(self.0.user)
    }

    async fn run(&self, db: &mut PgConnection) -> Result<ReplaceOutcome, Failure> {
        let Self(new) = self;
        let opened: Option<(i64,)> = sqlx::query_as(REPLACE)
            .bind(new.key.get())
            .bind(new.at.unix_millis())
            .bind(new.token_hash.as_bytes().as_slice())
            .bind(new.user.get())
            .fetch_optional(db)
            .await?;
        Ok(match opened {
            Some((session,)) => ReplaceOutcome::Opened(SessionId::new(session)),
            None => ReplaceOutcome::KeyNotActive,
        })
    }
}

struct Renew {
    user: UserId,
    session: SessionId,
    at: Timestamp,
}

const RENEW: &str = "
    WITH owner AS MATERIALIZED (
        SELECT u.id, k.id AS key_id FROM pinyto.users u JOIN pinyto.keys k ON k.user_id = u.id
        JOIN pinyto.sessions s ON s.key_id = k.id
        WHERE s.id = $1 AND u.id = $3 FOR NO KEY UPDATE OF u),
    used_key AS (
        UPDATE pinyto.keys k SET last_used_at = greatest(k.last_used_at, $2)
        FROM owner WHERE k.id = owner.key_id RETURNING k.id)
    UPDATE pinyto.sessions s SET last_used_at = greatest(s.last_used_at, $2)
    FROM used_key WHERE s.id = $1";

#[async_trait]
impl Intent for Renew {
    type Outcome = ();

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }

    async fn run(&self, db: &mut PgConnection) -> Result<(), Failure> {
        sqlx::query(RENEW)
            .bind(self.session.get())
            .bind(self.at.unix_millis())
            .bind(self.user.get())
            .execute(db)
            .await?;
        Ok(())
    }
}

struct End {
    user: UserId,
    session: SessionId,
}

const END: &str = "
    WITH owner AS MATERIALIZED (
        SELECT u.id FROM pinyto.users u JOIN pinyto.keys k ON k.user_id = u.id
        JOIN pinyto.sessions s ON s.key_id = k.id
        WHERE s.id = $1 AND u.id = $2 FOR NO KEY UPDATE OF u)
    DELETE FROM pinyto.sessions s USING owner WHERE s.id = $1";

#[async_trait]
impl Intent for End {
    type Outcome = bool;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let ended = sqlx::query(END)
            .bind(self.session.get())
            .bind(self.user.get())
            .execute(db)
            .await?;
        Ok(ended.rows_affected() > 0)
    }
}

struct Spend {
    token: LoginTokenHash,
    expires_at: Timestamp,
}

const SPEND: &str = "
    INSERT INTO pinyto.spent_tokens (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";

#[async_trait]
impl Intent for Spend {
    type Outcome = bool;

    /// Tried again after a connection broke, it may find what it has noted itself and say that the
    /// token was shown before. So a good login fails, and never do two succeed.
    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<bool, Failure> {
        let noted = sqlx::query(SPEND)
            .bind(self.token.as_bytes().as_slice())
            .bind(self.expires_at.unix_millis())
            .execute(db)
            .await?;
        Ok(noted.rows_affected() > 0)
    }
}

struct ForgetSpent(Timestamp);

/// Waits for nobody: whatever is locked is being forgotten just now.
const FORGET_SPENT: &str = "
    DELETE FROM pinyto.spent_tokens WHERE hash IN (
        SELECT hash FROM pinyto.spent_tokens WHERE expires_at < $1 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Intent for ForgetSpent {
    type Outcome = u64;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<u64, Failure> {
        let now = self.0.unix_millis();
        let forgotten = sqlx::query(FORGET_SPENT).bind(now).execute(db).await?;
        Ok(forgotten.rows_affected())
    }
}

struct EndUnusedSince(Timestamp);

/// Waits for nobody: whatever is locked is being used or ended just now.
const END_UNUSED: &str = "
    DELETE FROM pinyto.sessions WHERE id IN (
        SELECT id FROM pinyto.sessions WHERE last_used_at < $1 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Intent for EndUnusedSince {
    type Outcome = u64;

    fn locks(&self) -> Option<Vec<Lock>> {
        None
    }

    async fn run(&self, db: &mut PgConnection) -> Result<u64, Failure> {
        let moment = self.0.unix_millis();
        let ended = sqlx::query(END_UNUSED).bind(moment).execute(db).await?;
        Ok(ended.rows_affected())
    }
}

pub(super) fn found(row: Option<SessionRow>) -> Result<Option<Session>, StoreError> {
    Ok(row
        .map(Session::try_from)
        .transpose()
        .map_err(Failure::from)?)
}

#[async_trait]
impl SessionRepository for PostgresStore {
    async fn replace(&self, session: &NewSession) -> Result<ReplaceOutcome, StoreError> {
        self.write(Replace(session.clone())).await
    }

    async fn find(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        let find = || sqlx::query_as::<_, SessionRow>(FIND).bind(session.get());
        found(self.database.one(find).await?)
    }

    async fn find_by_token(&self, token: &SessionTokenHash) -> Result<Option<Session>, StoreError> {
        let token = token.as_bytes().as_slice();
        let find = || sqlx::query_as::<_, SessionRow>(FIND_BY_TOKEN).bind(token);
        found(self.database.one(find).await?)
    }

    async fn renew(
        &self,
        user: UserId,
        session: SessionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(Renew { user, session, at }).await
    }

    async fn end(&self, user: UserId, session: SessionId) -> Result<bool, StoreError> {
        self.write(End { user, session }).await
    }

    async fn spend(
        &self,
        token: &LoginTokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let token = *token;
        self.write(Spend { token, expires_at }).await
    }

    async fn forget_spent(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(ForgetSpent(now)).await
    }

    async fn end_unused_since(&self, moment: Timestamp) -> Result<u64, StoreError> {
        self.write(EndUnusedSince(moment)).await
    }
}
