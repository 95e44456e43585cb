//! What the server says about itself.

use pinyto_core::key::PublicKey;
use serde::Serialize;

/// The server's public key, which clients pin.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublicKeyAnswer<'a> {
    /// The modulus in decimal digits.
    #[serde(rename = "N")]
    pub n: &'a str,
    /// The exponent in decimal digits.
    pub e: String,
    /// The first 10 hexadecimal digits of SHA-256 over `N` followed by `e`.
    pub key_hash: String,
    /// The key as PEM (SubjectPublicKeyInfo).
    pub pem: String,
}

impl<'a> From<&'a PublicKey> for PublicKeyAnswer<'a> {
    fn from(key: &'a PublicKey) -> Self {
        Self {
            n: key.n_decimal(),
            e: key.e().to_string(),
            key_hash: key.fingerprint().short(),
            pem: key.to_pem(),
        }
    }
}

/// How the server is.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusAnswer {
    /// `ok`.
    pub status: &'static str,
}
