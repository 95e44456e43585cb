use pinyto_core::{
    clock::Timestamp,
    id::{KeyId, UserId},
    key::{Key, KeyChange, KeyFingerprint, KeyHash, KeyLabel, PublicKey},
    user::User,
};

use super::{Corrupt, corrupt, user::user};

#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    pub(crate) id: i64,
    pub(crate) user_id: i64,
    active: bool,
    created_at: i64,
    last_used_at: Option<i64>,
    label: Option<String>,
    fingerprint: String,
    modulus: Vec<u8>,
    exponent: i64,
}

impl TryFrom<KeyRow> for Key {
    type Error = Corrupt;

    fn try_from(row: KeyRow) -> Result<Self, Corrupt> {
        let fingerprint = KeyFingerprint::parse(&row.fingerprint);
        let fingerprint = fingerprint.map_err(corrupt("pinyto_keys.fingerprint"))?;
        let exponent = u64::try_from(row.exponent).map_err(corrupt("pinyto_keys.exponent"))?;
        let public_key = PublicKey::from_stored(&row.modulus, exponent, fingerprint);
        let label = row.label.as_deref().map(KeyLabel::parse).transpose();
        Ok(Self {
            id: KeyId::new(row.id),
            user: UserId::new(row.user_id),
            public_key: public_key.map_err(corrupt("pinyto_keys.modulus"))?,
            label: label.map_err(corrupt("pinyto_keys.label"))?,
            active: row.active,
            created_at: Timestamp::from_unix_millis(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_unix_millis),
        })
    }
}

/// A key of a user who was asked for by name.
#[derive(sqlx::FromRow)]
pub(crate) struct MatchingRow {
    user_name: String,
    #[sqlx(flatten)]
    key: KeyRow,
}

/// One or two of the keys that were found, active ones first.
pub(crate) fn matching(mut rows: Vec<MatchingRow>) -> Result<Vec<(User, Key)>, Corrupt> {
    rows.sort_by_key(|row| !row.key.active);
    let keys = rows
        .into_iter()
        .take(2)
        .map(|MatchingRow { user_name, key }| {
            let owner = user(key.user_id, &user_name)?;
            Ok((owner, Key::try_from(key)?))
        });
    keys.collect()
}

/// A key that is to be changed, and whether its user has others that are active.
#[derive(sqlx::FromRow)]
pub(crate) struct SelectedRow {
    others_active: bool,
    #[sqlx(flatten)]
    key: KeyRow,
}

/// The one key that a hash has selected, if its change is allowed. `rows` has one more than is
/// wanted, if there are so many.
pub(crate) fn selected(
    mut rows: Vec<SelectedRow>,
    stays_active: bool,
) -> Result<Result<Key, KeyChange>, Corrupt> {
    let Some(SelectedRow { others_active, key }) = rows.pop() else {
        return Ok(Err(KeyChange::NotFound));
    };
    if !rows.is_empty() {
        return Ok(Err(KeyChange::Ambiguous));
    }
    if key.active && !stays_active && !others_active {
        return Ok(Err(KeyChange::LastActive));
    }
    Key::try_from(key).map(Ok)
}

/// What is above every fingerprint that begins with `hash`, and below all others above it.
pub(crate) fn end_of(hash: &KeyHash) -> String {
    format!("{hash}g")
}
