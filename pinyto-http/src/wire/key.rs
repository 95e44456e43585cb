//! Keys.

use pinyto_core::{
    clock::Timestamp,
    key::{InvalidPublicKey, ListedKey, OpenPgpKey, PublicKey},
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};

use super::{
    Digits, EXPONENT, KEY_HASH, MODULUS, OPENPGP_KEY, Object, PUBLIC_KEY, Request, Undecodable,
    field::{as_optional_text, as_text, not_null},
};

/// An RSA public key of 4096 to 8192 bits.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublicKeyNumbers {
    /// The modulus in plain decimal digits.
    #[serde(rename = "N")]
    pub n: String,
    /// The exponent in plain decimal digits, or as a JSON number: odd, at least 3, below 2^33.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "65537"))]
    pub e: Digits,
}

impl PublicKeyNumbers {
    /// Checks the numbers.
    ///
    /// # Errors
    ///
    /// [`InvalidPublicKey`] tells which rule they break.
    pub fn to_key(&self) -> Result<PublicKey, InvalidPublicKey> {
        PublicKey::from_decimal(&self.n, &self.e.0)
    }
}

/// Registers another key of the user.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterNewKey {
    /// The new device's public key. `key_data` is another name of this field.
    #[serde(alias = "key_data", default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "openapi", schema(value_type = PublicKeyNumbers, required = false))]
    pub public_key: Option<Object<PublicKeyNumbers>>,
    /// In its place: an OpenPGP public key, ASCII-armored, if the server offers gpgAuth.
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub openpgp_key: Option<String>,
    /// What the user calls the device: 1 to 100 characters.
    pub label: Option<String>,
}

impl Request for RegisterNewKey {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("public_key", PUBLIC_KEY),
        ("key_data", PUBLIC_KEY),
        ("public_key.N", MODULUS),
        ("key_data.N", MODULUS),
        ("public_key.e", EXPONENT),
        ("key_data.e", EXPONENT),
        ("openpgp_key", OPENPGP_KEY),
        ("label", "a string of 1 to 100 characters"),
    ];
}

/// Which key is to be registered.
pub enum KeyToRegister {
    /// A device's.
    Rsa(PublicKeyNumbers),
    /// An OpenPGP key, ASCII-armored.
    OpenPgp(String),
}

impl RegisterNewKey {
    /// The one key that is there.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] if there is none, or both.
    pub fn key(&mut self) -> Result<KeyToRegister, Undecodable> {
        match (self.public_key.take(), self.openpgp_key.take()) {
            (Some(Object(numbers)), None) => Ok(KeyToRegister::Rsa(numbers)),
            (None, Some(armored)) => Ok(KeyToRegister::OpenPgp(armored)),
            (None, None) => Err(Undecodable::Missing {
                field: "public_key".to_owned(),
                expected: PUBLIC_KEY,
            }),
            (Some(_), Some(_)) => Err(Undecodable::Invalid {
                field: "openpgp_key".to_owned(),
                expected: "left out where public_key is sent",
            }),
        }
    }
}

/// What registering a key gives.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registered<'a> {
    /// Always `true`: what fails has an error status.
    pub success: bool,
    /// Of an OpenPGP key whose holder hasn't proved to have it: an ASCII-armored message to it, whose
    /// text is the answer for `/prove_openpgp_key`, within five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<&'a str>,
}

/// Proves that the user has one of her OpenPGP keys.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProveOpenPgpKey {
    /// Which key: the first 10 to 64 digits of its fingerprint.
    pub key_hash: String,
    /// The text of the challenge, or only the code at its end.
    pub answer: String,
}

impl Request for ProveOpenPgpKey {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("key_hash", KEY_HASH),
        ("answer", "the decrypted challenge as a string"),
    ];
}

/// Activates or deactivates one of the user's keys.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetKeyActive {
    /// Which key: the first 10 to 64 digits of its fingerprint.
    pub key_hash: String,
    /// Whether one can log in with it from now on. Deactivating a key ends its session.
    pub active_state: bool,
}

impl Request for SetKeyActive {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("key_hash", KEY_HASH), ("active_state", "true or false")];
}

/// Deletes one of the user's keys.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeleteKey {
    /// Which key: the first 10 to 64 digits of its fingerprint.
    pub key_hash: String,
}

impl Request for DeleteKey {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("key_hash", KEY_HASH)];
}

/// One of the user's keys.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyEntry<'a> {
    /// The first 10 hexadecimal digits of the fingerprint.
    pub key_hash: &'a str,
    /// Whether one can log in with it.
    pub active: bool,
    /// What kind of key it is: `rsa` or `openpgp`.
    pub kind: &'static str,
    /// Of an RSA key SHA-256 over its `N` followed by `e`, in 64 hexadecimal digits; an OpenPGP
    /// key's own one, usually 40 digits.
    pub fingerprint: &'a str,
    /// What the user calls the device, or null.
    pub label: Option<&'a str>,
    /// When it was registered (RFC 3339, UTC).
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created: Timestamp,
    /// When a session of it was last opened or renewed, or it was last proven (RFC 3339, UTC), or null.
    #[serde(serialize_with = "as_optional_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used: Option<Timestamp>,
    /// Whether it is the key of the session that asks.
    pub current: bool,
    /// Of an OpenPGP key: whether its holder has proved to have it. It can't be active before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven: Option<bool>,
    /// Of an OpenPGP key: who it says to belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ids: Option<&'a [String]>,
    /// Of an OpenPGP key: what its primary key is, and what encrypts, as `ed25519, cv25519`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<&'a str>,
    /// Of an OpenPGP key that expires: from when on it opens nothing (RFC 3339, UTC).
    #[serde(
        serialize_with = "as_optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires: Option<Timestamp>,
}

/// The user's keys, oldest first: an array of [`KeyEntry`].
pub struct KeyList(pub Vec<ListedKey>);

impl Serialize for KeyList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for ListedKey { key, current, .. } in &self.0 {
            let fingerprint = key.material.fingerprint();
            let (digits, length) = hex(fingerprint.as_bytes());
            // Only ASCII digits, so neither can fail.
            let digits = digits.get(..length).unwrap_or_default();
            let fingerprint = std::str::from_utf8(digits).unwrap_or_default();
            list.serialize_element(&KeyEntry {
                key_hash: fingerprint.get(..10).unwrap_or_default(),
                active: key.active,
                kind: key.material.kind(),
                fingerprint,
                label: key.label.as_ref().map(|label| label.as_str()),
                created: key.created_at,
                last_used: key.last_used_at,
                current: *current,
                proven: key.material.needs_proof().then(|| !key.is_unproven()),
                user_ids: key.material.as_openpgp().map(OpenPgpKey::user_ids),
                algorithm: key.material.as_openpgp().map(OpenPgpKey::algorithm),
                expires: key.material.expires_at(),
            })?;
        }
        list.end()
    }
}

/// Several times as fast as formatting the bytes one by one, which shows in this hottest of calls.
fn hex(bytes: &[u8]) -> ([u8; 64], usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    (text, 2 * bytes.len())
}
