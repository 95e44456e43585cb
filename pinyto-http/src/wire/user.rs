//! Registration and sessions.

use pinyto_core::{clock::Timestamp, session::WhoAmI, ticket::IssuedTicket};
use serde::{Deserialize, Serialize};

use super::{
    EXPONENT, KEY_HASH, MODULUS, Object, PUBLIC_KEY, Request, USER_NAME, field::as_text,
    key::PublicKeyNumbers,
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
#[derive(Serialize)]
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

/// Whose session it is.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmIAnswer<'a> {
    /// The user's name.
    pub username: &'a str,
    /// The first 10 hexadecimal digits of the fingerprint of the key that opened the session.
    pub key_hash: String,
    /// The whole fingerprint of that key, as `/list_keys` has it.
    pub fingerprint: String,
    /// When the session was opened (RFC 3339, UTC).
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created: Timestamp,
    /// When it was last used (RFC 3339, UTC), exact to an hour.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_used: Timestamp,
}

impl<'a> From<&'a WhoAmI> for WhoAmIAnswer<'a> {
    fn from(who: &'a WhoAmI) -> Self {
        Self {
            username: who.user.as_str(),
            key_hash: who.key.short(),
            fingerprint: who.key.to_hex(),
            created: who.created_at,
            last_used: who.last_used_at,
        }
    }
}

/// Asks for a ticket by which another service learns whose session it is.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssueTicket {
    /// The service, as it calls itself: an absolute URI or a name, 1 to 255 of the characters that
    /// URIs have. Compared exactly.
    pub audience: String,
}

impl Request for IssueTicket {
    const FIELDS: &'static [(&'static str, &'static str)] = &[(
        "audience",
        "a string: an absolute URI or a name of 1 to 255 characters",
    )];
}

/// A ticket. The service it is for takes whoever sends it for the user: send it to no other.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TicketAnswer<'a> {
    /// A JWT signed by the server's key (PS256), for `Authorization: Bearer` at the service.
    pub ticket: &'a str,
    /// When it expires (RFC 3339, UTC).
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires: Timestamp,
}

impl<'a> From<&'a IssuedTicket> for TicketAnswer<'a> {
    fn from(issued: &'a IssuedTicket) -> Self {
        Self {
            ticket: issued.ticket.expose(),
            expires: issued.expires_at,
        }
    }
}
