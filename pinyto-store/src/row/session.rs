use pinyto_core::{
    challenge::SessionTokenHash,
    clock::Timestamp,
    id::{KeyId, SessionId},
    session::Session,
};

use super::{Corrupt, corrupt, user::user};

#[derive(sqlx::FromRow)]
pub(crate) struct SessionRow {
    pub(crate) id: i64,
    pub(crate) key_id: i64,
    pub(crate) token_hash: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: i64,
    pub(crate) user_id: i64,
    pub(crate) user_name: String,
}

impl TryFrom<SessionRow> for Session {
    type Error = Corrupt;

    fn try_from(row: SessionRow) -> Result<Self, Corrupt> {
        let token_hash = <[u8; 32]>::try_from(row.token_hash.as_slice())
            .map_err(corrupt("pinyto_sessions.token_hash"))?;
        let mut session = Self::new(
            SessionId::new(row.id),
            user(row.user_id, &row.user_name)?,
            KeyId::new(row.key_id),
            SessionTokenHash::from_bytes(token_hash),
            Timestamp::from_unix_millis(row.created_at),
        );
        session.last_used_at = Timestamp::from_unix_millis(row.last_used_at);
        Ok(session)
    }
}
