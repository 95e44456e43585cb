use pinyto_core::{
    clock::Timestamp,
    id::{KeyId, UserId},
    key::{
        Key, KeyChange, KeyFingerprint, KeyHash, KeyLabel, KeyMaterial, NewKey, OpenPgpKey,
        OpenPgpParts, PublicKey,
    },
    user::User,
};
use serde::{Deserialize, Serialize};

use super::{Corrupt, corrupt, user::user};

/// A key's own columns, as they are written.
pub(crate) struct KeyColumns {
    pub(crate) label: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) fingerprint: String,
    pub(crate) modulus: Option<Vec<u8>>,
    pub(crate) exponent: Option<i64>,
    pub(crate) material: Option<Vec<u8>>,
    pub(crate) description: Option<String>,
    pub(crate) expires_at: Option<i64>,
}

/// Binds a key's own columns, in their order.
macro_rules! bind_key {
    ($query:expr, $columns:expr) => {{
        let columns = $columns;
        $query
            .bind(columns.label)
            .bind(columns.kind)
            .bind(columns.fingerprint)
            .bind(columns.modulus)
            .bind(columns.exponent)
            .bind(columns.material)
            .bind(columns.description)
            .bind(columns.expires_at)
    }};
}
pub(crate) use bind_key;

/// What is kept of an OpenPGP key beside its packets.
#[derive(Deserialize, Serialize)]
struct Description {
    user_ids: Vec<String>,
    algorithm: String,
}

impl TryFrom<&NewKey> for KeyColumns {
    type Error = Corrupt;

    fn try_from(new: &NewKey) -> Result<Self, Corrupt> {
        let columns = Self {
            label: new.label.as_ref().map(|label| label.as_str().to_owned()),
            kind: new.material.kind(),
            fingerprint: new.material.fingerprint().to_hex(),
            modulus: None,
            exponent: None,
            material: None,
            description: None,
            expires_at: new.material.expires_at().map(|at| at.unix_millis()),
        };
        match &new.material {
            KeyMaterial::Rsa(key) => Ok(Self {
                modulus: Some(key.modulus_be().to_vec()),
                exponent: Some(i64::try_from(key.e()).map_err(corrupt("pinyto_keys.exponent"))?),
                ..columns
            }),
            KeyMaterial::OpenPgp(key) => {
                let description = serde_json::to_string(&Description {
                    user_ids: key.user_ids().to_vec(),
                    algorithm: key.algorithm().to_owned(),
                });
                Ok(Self {
                    material: Some(key.certificate().to_vec()),
                    description: Some(description.map_err(corrupt("pinyto_keys.description"))?),
                    ..columns
                })
            }
            other => Err(corrupt("pinyto_keys.kind")(other.kind())),
        }
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    pub(crate) id: i64,
    pub(crate) user_id: i64,
    active: bool,
    created_at: i64,
    last_used_at: Option<i64>,
    label: Option<String>,
    kind: String,
    fingerprint: String,
    modulus: Option<Vec<u8>>,
    exponent: Option<i64>,
    material: Option<Vec<u8>>,
    description: Option<String>,
    expires_at: Option<i64>,
}

impl KeyRow {
    fn material(&mut self) -> Result<KeyMaterial, Corrupt> {
        let fingerprint = KeyFingerprint::parse(&self.fingerprint);
        let fingerprint = fingerprint.map_err(corrupt("pinyto_keys.fingerprint"))?;
        match self.kind.as_str() {
            "rsa" => {
                let modulus = self.modulus.take().unwrap_or_default();
                let exponent = self.exponent.unwrap_or_default();
                let exponent = u64::try_from(exponent).map_err(corrupt("pinyto_keys.exponent"))?;
                let key = PublicKey::from_stored(&modulus, exponent, fingerprint);
                Ok(key.map_err(corrupt("pinyto_keys.modulus"))?.into())
            }
            "openpgp" => {
                let description = self.description.as_deref().unwrap_or_default();
                let Description {
                    user_ids,
                    algorithm,
                } = serde_json::from_str(description)
                    .map_err(corrupt("pinyto_keys.description"))?;
                Ok(OpenPgpKey::new(OpenPgpParts {
                    certificate: self.material.take().unwrap_or_default().into(),
                    fingerprint,
                    user_ids,
                    algorithm,
                    expires_at: self.expires_at.map(Timestamp::from_unix_millis),
                })
                .into())
            }
            _ => Err(corrupt("pinyto_keys.kind")("an unknown kind")),
        }
    }
}

impl TryFrom<KeyRow> for Key {
    type Error = Corrupt;

    fn try_from(mut row: KeyRow) -> Result<Self, Corrupt> {
        let label = row.label.as_deref().map(KeyLabel::parse).transpose();
        let label = label.map_err(corrupt("pinyto_keys.label"))?;
        let (id, user) = (KeyId::new(row.id), UserId::new(row.user_id));
        let created_at = Timestamp::from_unix_millis(row.created_at);
        let mut key = Self::new(id, user, row.material()?, created_at);
        key.label = label;
        key.active = row.active;
        key.last_used_at = row.last_used_at.map(Timestamp::from_unix_millis);
        Ok(key)
    }
}

/// A key of a user who was asked for by name.
#[derive(sqlx::FromRow)]
pub(crate) struct MatchingRow {
    user_name: String,
    #[sqlx(flatten)]
    key: KeyRow,
}

impl MatchingRow {
    pub(crate) fn key_of_user(self) -> Result<(User, Key), Corrupt> {
        let owner = user(self.key.user_id, &self.user_name)?;
        Ok((owner, Key::try_from(self.key)?))
    }
}

/// One or two of the keys that were found, active ones first.
pub(crate) fn matching(mut rows: Vec<MatchingRow>) -> Result<Vec<(User, Key)>, Corrupt> {
    rows.sort_by_key(|row| !row.key.active);
    let two = rows.into_iter().take(2);
    two.map(MatchingRow::key_of_user).collect()
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
