//! Tickets: how another service learns whose session it is, without getting the session.
//!
//! Who has a [request token](crate::challenge::RequestToken) has the account, so a user gives hers to
//! nobody. Instead her client asks for a *ticket* for one service, its [`Audience`]:
//! [`Cloud::issue_ticket`](crate::Cloud::issue_ticket). The service checks it with a
//! [`TicketVerifier`], which needs nothing but the public key of the Pinyto server, and learns her
//! name. At the Pinyto server a ticket opens nothing.
//!
//! # Format
//!
//! A ticket is a JWT (RFC 7519) signed by PS256 (RFC 7518, 3.5): RSASSA-PSS with SHA-256, MGF1 with
//! SHA-256 and a salt of 32 bytes, by the server's key. Three parts in base64url without padding, with
//! dots between them: the header, which is always `{"alg":"PS256","typ":"pinyto-ticket+jwt"}`, the
//! claims, and the signature over the text of both.
//!
//! | claim | what it is |
//! |---|---|
//! | `iss` | the fingerprint of the server's key, 64 hexadecimal digits |
//! | `sub` | the user's name |
//! | `aud` | the audience, one string |
//! | `iat` | when it was issued, whole seconds of Unix time |
//! | `exp` | from when on it is good for nothing, likewise; at most an hour later |
//! | `jti` | 128 random bits in base64url: what tells it from any other |
//!
//! A ticket has all of these, each once, and nothing else. Whatever changes gets another `typ`, which
//! older verifiers refuse: nothing in a ticket chooses how it is checked.
//!
//! # Nothing else that the server's key does can be taken for a ticket
//!
//! The same key signs challenges and opens request tokens.
//!
//! - What is signed differs. Of a [challenge](crate::challenge::Challenge) it is padded base64, which
//!   has no dot; of a ticket it is two parts with a dot between them. So even for a client that doesn't
//!   check the length of the salt no signature is good as both.
//! - The salts differ, 32 bytes here and the longest possible there, at least 478. A signature determines
//!   its salt, and our verifiers accept one length only.
//! - A request token is decrypted, and what comes out is told to nobody. What is signed is always hashed
//!   with fresh salt before the key's private operation, so nobody has a ciphertext opened by asking for
//!   a ticket.
//!
//! # Examples
//!
//! ```
//! use pinyto_core::{
//!     Cloud,
//!     clock::{Clock as _, SystemClock},
//!     crypto::default_backend,
//!     key::PublicKey,
//!     session::Session,
//!     ticket::{Audience, TicketVerifier},
//! };
//!
//! # async fn show(cloud: Cloud, session: Session, pinned: PublicKey) -> Result<(), Box<dyn std::error::Error>> {
//! // The Pinyto server, for somebody with a session:
//! let photos = Audience::parse("https://photos.example")?;
//! let issued = cloud.issue_ticket(&session, &photos).await?;
//! let sent = issued.ticket.expose();
//!
//! // The service at photos.example, which has pinned the server's key:
//! let verifier = TicketVerifier::new(&*default_backend(), &pinned, photos)?;
//! let verified = verifier.verify(sent, SystemClock.now())?;
//! assert_eq!(verified.user, session.user.name);
//! # Ok(())
//! # }
//! ```

mod audience;
mod claims;
mod service;
mod verifier;

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};

pub use audience::{Audience, InvalidAudience};
pub use service::IssuedTicket;
pub use verifier::{InvalidTicket, TicketVerifier, Verified};

use crate::randomness::{Randomness, RandomnessUnavailable};

/// A signed ticket, as a client sends it to the service it is for.
///
/// Who has it is the user, for that service, until it expires: `Debug` shows nothing of it, and it is
/// wiped when dropped.
#[derive(Clone)]
pub struct Ticket(SecretString);

impl Ticket {
    /// A longer text, in bytes, is no ticket: there is room for the longest names and for the
    /// signature of a key of 8192 bits.
    pub const MAX_LENGTH: usize = 2048;

    /// The longest that a ticket can be good for.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);

    /// The text itself. Handle with care: whoever has it is the user, for its audience.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(..)")
    }
}

/// What tells a ticket from any other: a service that remembers those it has seen until they expire
/// can accept each only once.
///
/// Shown as 22 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketId([u8; 16]);

impl TicketId {
    fn generate(randomness: &dyn Randomness) -> Result<Self, RandomnessUnavailable> {
        let mut bytes = [0; 16];
        randomness.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The 16 random bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
