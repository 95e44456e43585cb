//! The challenge that proves possession of a private key: data in, decision out.
//!
//! 1. The server makes a [`SessionToken`], encrypts it for the device's public key and signs the
//!    result: [`ServerKey::issue`] gives a [`Challenge`].
//! 2. The device checks the signature, decrypts the token and encrypts it for the server:
//!    [`DeviceKey::answer`] gives a [`RequestToken`], which it sends with every request.
//! 3. The server decrypts that: [`ServerKey::open`] gives the session token again.
//!
//! Whether a session with that token lives is not decided here. Nothing here does input or output
//! or waits, but RSA computes for milliseconds: call it where blocking is allowed.
//!
//! # Examples
//!
//! A whole login. Keys are usually made with [`DeviceKey::generate`] and kept; a server's public
//! key is what its `GET /public_key` answers, pinned by the client.
//!
//! ```
//! use pinyto_core::{
//!     challenge::{DeviceKey, ServerKey, SessionToken},
//!     crypto::default_backend,
//!     randomness::OsRandomness,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let device_pem =
//! #     include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/keys/device0.pem"));
//! # let server_pem =
//! #     include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/keys/server.pem"));
//! let device = DeviceKey::from_pem(default_backend(), device_pem)?;
//! let server = ServerKey::from_pem(default_backend(), server_pem)?;
//!
//! // The server knows the device's public key since its registration:
//! let token = SessionToken::generate(&OsRandomness)?;
//! let challenge = server.issue(device.public_key(), &token)?;
//!
//! // The device trusts no challenge but those of the server that it knows:
//! let request_token = device.answer(&challenge, server.public_key())?;
//!
//! // The server, with every request:
//! let opened = server.open(&request_token)?;
//! assert_eq!(opened.hash(), token.hash());
//! # Ok(())
//! # }
//! ```

mod base64_text;
mod device;
mod server_key;
mod token;

use serde::{Deserialize, Serialize};

pub use device::{ChallengeError, DeviceKey};
pub use server_key::{InvalidRequestToken, ServerKey};
pub use token::{
    InvalidSessionToken, RequestToken, RequestTokenDigest, SessionToken, SessionTokenHash,
};

/// What the server answers to `authenticate`: a task that only the device's private key solves.
///
/// Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The session token, encrypted for the device's public key (RSA-OAEP), in base64.
    pub encrypted_token: String,
    /// The server's signature (RSA-PSS) over the text of `encrypted_token`, in base64.
    pub signature: String,
}
