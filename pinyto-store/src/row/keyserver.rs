use pinyto_core::{
    id::KeyId,
    keyserver::{Account, PasswordHash, SealedKey},
};

use super::{Corrupt, user::user};

#[derive(sqlx::FromRow)]
pub(crate) struct AccountRow {
    user_id: i64,
    user_name: String,
    key_id: i64,
    active: bool,
    password_hash: String,
    sealed_key: Vec<u8>,
}

impl TryFrom<AccountRow> for Account {
    type Error = Corrupt;

    fn try_from(row: AccountRow) -> Result<Self, Corrupt> {
        let mut account = Self::new(
            user(row.user_id, &row.user_name)?,
            KeyId::new(row.key_id),
            PasswordHash::from_phc(row.password_hash),
            SealedKey::from_bytes(row.sealed_key),
        );
        account.active = row.active;
        Ok(account)
    }
}
