//! Registration and sessions.

use serde::Deserialize;

use super::{
    EXPONENT, KEY_HASH, MODULUS, Object, PUBLIC_KEY, Request, USER_NAME, key::PublicKeyNumbers,
};

/// Registers a user with her first key.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Register {
    /// 1 to 30 ASCII letters, digits and `_`; compared exactly. Names of fixed routes are reserved.
    pub username: String,
    /// The device's public key. `key_data` is another name of this field.
    #[serde(alias = "key_data")]
    #[cfg_attr(feature = "openapi", schema(value_type = PublicKeyNumbers))]
    pub public_key: Object<PublicKeyNumbers>,
}

impl Request for Register {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("username", USER_NAME),
        ("public_key", PUBLIC_KEY),
        ("key_data", PUBLIC_KEY),
        ("public_key.N", MODULUS),
        ("key_data.N", MODULUS),
        ("public_key.e", EXPONENT),
        ("key_data.e", EXPONENT),
    ];
}

/// Asks for the challenge that opens a session.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Authenticate {
    /// Who wants to log in.
    pub username: String,
    /// The first 10 to 64 hexadecimal digits of SHA-256 over the key's `N` followed by `e`.
    pub key_hash: String,
}

impl Request for Authenticate {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("username", "a string"), ("key_hash", KEY_HASH)];
}

/// The challenge: a task that only the device's private key solves.
#[derive(serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChallengeAnswer {
    /// The session token, encrypted for the device's key (RSA-OAEP, SHA-1, MGF1-SHA-1, empty
    /// label), in base64. Decrypt it and encrypt the result for the server's key in the same way:
    /// the base64 of that is the `token` of every request of the session.
    pub encrypted_token: String,
    /// The server's signature over the text of `encrypted_token` (RSA-PSS, SHA-256, MGF1-SHA-256,
    /// longest salt), in base64. Check it before anything else.
    pub signature: String,
}

impl From<pinyto_core::challenge::Challenge> for ChallengeAnswer {
    fn from(challenge: pinyto_core::challenge::Challenge) -> Self {
        Self {
            encrypted_token: challenge.encrypted_token,
            signature: challenge.signature,
        }
    }
}
