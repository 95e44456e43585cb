use std::time::Duration;

use pinyto_core::{
    clock::Timestamp,
    id::UserId,
    usage::Usage,
    user::{User, UserName},
};

use super::{Corrupt, corrupt};

#[derive(sqlx::FromRow)]
pub(crate) struct UserRow {
    pub(crate) id: i64,
    name: String,
}

impl TryFrom<UserRow> for User {
    type Error = Corrupt;

    fn try_from(row: UserRow) -> Result<Self, Corrupt> {
        user(row.id, &row.name)
    }
}

/// The user whom a row of `pinyto_users` describes.
pub(crate) fn user(id: i64, name: &str) -> Result<User, Corrupt> {
    let name = UserName::parse(name).map_err(corrupt("pinyto_users.name"))?;
    Ok(User::new(UserId::new(id), name))
}

#[derive(sqlx::FromRow)]
pub(crate) struct UsageRow {
    cpu_nanos: i64,
    byte_seconds: f64,
    bytes: i64,
    calculated_at: i64,
}

impl TryFrom<UsageRow> for Usage {
    type Error = Corrupt;

    fn try_from(row: UsageRow) -> Result<Self, Corrupt> {
        let cpu_nanos = u64::try_from(row.cpu_nanos).map_err(corrupt("pinyto_users.cpu_nanos"))?;
        Ok(Self {
            cpu_time: Duration::from_nanos(cpu_nanos),
            byte_seconds: row.byte_seconds,
            bytes: u64::try_from(row.bytes).map_err(corrupt("pinyto_users.bytes"))?,
            calculated_at: Timestamp::from_unix_millis(row.calculated_at),
        })
    }
}
