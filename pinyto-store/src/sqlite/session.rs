use std::collections::HashMap;

use async_trait::async_trait;
use pinyto_core::{
    challenge::SessionTokenHash,
    clock::Timestamp,
    id::{SessionId, UserId},
    session::{Actor, LoginTokenHash, NewSession, ReplaceOutcome, Session, SessionRepository},
    store::StoreError,
};
use sqlx::SqliteConnection;

use super::{
    Intent, SqliteStore,
    error::{Corrupt, Failure},
    lookup::{Find, json_array},
    pool::Readers,
};
use crate::row::session::SessionRow;

macro_rules! select_sessions {
    ($from:literal) => {
        concat!(
            "SELECT s.id, s.key_id, s.token_hash, s.created_at, s.last_used_at,
                    u.id AS user_id, u.name AS user_name
             FROM ",
            $from,
            " JOIN pinyto_keys k ON k.id = s.key_id JOIN pinyto_users u ON u.id = k.user_id"
        )
    };
}

/// 1 if the session lives and is the user's.
pub(super) const MAY_ACT: &str = "
    SELECT count(*) FROM pinyto_sessions s JOIN pinyto_keys k ON k.id = s.key_id
    WHERE s.id = ?1 AND k.user_id = ?2";

/// Whether the actor's session lives and is the user's, or the program acts on its own.
pub(super) async fn may_act(db: &mut SqliteConnection, actor: Actor) -> Result<bool, Failure> {
    let Some(session) = actor.session else {
        return Ok(true);
    };
    let (living,): (i64,) = sqlx::query_as(MAY_ACT)
        .bind(session.get())
        .bind(actor.user.get())
        .fetch_one(db)
        .await?;
    Ok(living == 1)
}

pub(super) const FIND: &str =
    select_sessions!("json_each(?1) wanted CROSS JOIN pinyto_sessions s ON s.id = wanted.value");

/// Sessions by their identifiers, for [`Lookup`](super::lookup::Lookup).
pub(super) enum SessionById {}

#[async_trait]
impl Find for SessionById {
    type Wanted = SessionId;
    type Found = Session;

    fn size(_: &Session) -> u64 {
        256
    }

    async fn find(
        readers: &Readers,
        wanted: &[SessionId],
    ) -> Result<HashMap<SessionId, Result<Session, Corrupt>>, sqlx::Error> {
        let wanted = json_array(wanted.iter().map(|session| session.get()));
        let query = sqlx::query_as::<_, SessionRow>(FIND).bind(wanted);
        let rows = readers.all_or_error(query).await?;
        Ok(rows
            .into_iter()
            .map(|row| (SessionId::new(row.id), Session::try_from(row)))
            .collect())
    }
}

pub(super) const FIND_BY_TOKEN: &str = concat!(
    select_sessions!("pinyto_sessions s"),
    " WHERE s.token_hash = ?1"
);

struct Replace(NewSession);

pub(super) const NOTE_LOGIN: &str = "
    UPDATE pinyto_keys SET last_used_at = max(coalesce(last_used_at, ?2), ?2)
    WHERE id = ?1 AND user_id = ?3 AND active = 1";

pub(super) const REPLACE: &str = "
    DELETE FROM pinyto_sessions WHERE key_id = ?1;
    INSERT INTO pinyto_sessions (key_id, created_at, last_used_at, token_hash)
    VALUES (?1, ?2, ?2, ?3)";

#[async_trait]
impl Intent for Replace {
    type Outcome = ReplaceOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<ReplaceOutcome, Failure> {
        let Self(new) = self;
        let (key, at) = (new.key.get(), new.at.unix_millis());
        let noted = sqlx::query(NOTE_LOGIN)
            .bind(key)
            .bind(at)
            .bind(new.user.get())
            .execute(&mut *db)
            .await?;
        if noted.rows_affected() == 0 {
            return Ok(ReplaceOutcome::KeyNotActive);
        }
        let opened = sqlx::query(REPLACE)
            .bind(key)
            .bind(at)
            .bind(new.token_hash.as_bytes().to_vec())
            .execute(db)
            .await?;
        let session = SessionId::new(opened.last_insert_rowid());
        Ok(ReplaceOutcome::Opened(session))
    }
}

struct Renew {
    user: UserId,
    session: SessionId,
    at: Timestamp,
}

pub(super) const RENEW: &str = "
    UPDATE pinyto_sessions SET last_used_at = max(last_used_at, ?2)
    WHERE id = ?1 AND (SELECT user_id FROM pinyto_keys k WHERE k.id = key_id) = ?3;
    UPDATE pinyto_keys SET last_used_at = max(coalesce(last_used_at, ?2), ?2)
    WHERE id = (SELECT key_id FROM pinyto_sessions WHERE id = ?1) AND user_id = ?3";

#[async_trait]
impl Intent for Renew {
    type Outcome = ();

    async fn run(&self, db: &mut SqliteConnection) -> Result<(), Failure> {
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

pub(super) const END: &str = "
    DELETE FROM pinyto_sessions
    WHERE id = ?1 AND (SELECT user_id FROM pinyto_keys k WHERE k.id = key_id) = ?2";

#[async_trait]
impl Intent for End {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
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

pub(super) const SPEND: &str = "
    INSERT INTO pinyto_spent_tokens (hash, expires_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

#[async_trait]
impl Intent for Spend {
    type Outcome = bool;

    async fn run(&self, db: &mut SqliteConnection) -> Result<bool, Failure> {
        let noted = sqlx::query(SPEND)
            .bind(self.token.as_bytes().as_slice())
            .bind(self.expires_at.unix_millis())
            .execute(db)
            .await?;
        Ok(noted.rows_affected() > 0)
    }
}

struct ForgetSpent(Timestamp);

pub(super) const FORGET_SPENT: &str = "DELETE FROM pinyto_spent_tokens WHERE expires_at < ?1";

#[async_trait]
impl Intent for ForgetSpent {
    type Outcome = u64;

    async fn run(&self, db: &mut SqliteConnection) -> Result<u64, Failure> {
        let now = self.0.unix_millis();
        let forgotten = sqlx::query(FORGET_SPENT).bind(now).execute(db).await?;
        Ok(forgotten.rows_affected())
    }
}

struct EndUnusedSince(Timestamp);

pub(super) const END_UNUSED: &str = "DELETE FROM pinyto_sessions WHERE last_used_at < ?1";

#[async_trait]
impl Intent for EndUnusedSince {
    type Outcome = u64;

    async fn run(&self, db: &mut SqliteConnection) -> Result<u64, Failure> {
        let moment = self.0.unix_millis();
        let ended = sqlx::query(END_UNUSED).bind(moment).execute(db).await?;
        Ok(ended.rows_affected())
    }
}

#[async_trait]
impl SessionRepository for SqliteStore {
    async fn replace(&self, session: &NewSession) -> Result<ReplaceOutcome, StoreError> {
        self.write(Replace(session.clone())).await
    }

    async fn find(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        self.sessions_by_id.find(session).await
    }

    async fn find_by_token(&self, token: &SessionTokenHash) -> Result<Option<Session>, StoreError> {
        let query =
            sqlx::query_as::<_, SessionRow>(FIND_BY_TOKEN).bind(token.as_bytes().as_slice());
        let row = self.readers.one(query).await?;
        Ok(row.map(Session::try_from).transpose()?)
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
