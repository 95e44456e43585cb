//! A client of the protocol: keys, sessions and every call (feature `client`).
//!
//! - A [`KeyFile`] keeps the device's private key, readable by its owner alone and encrypted if
//!   there is a passphrase.
//! - A [`Client`] knows one server, by its address and by the key that is pinned in a [`PinStore`].
//! - A [`Session`] is what a user can call. It opens itself again when the server has ended it.
//!
//! All are `Send` and `Sync`; clients and sessions are cheap to clone.
//!
//! # A device
//!
//! ```no_run
//! use pinyto_core::{assembly::AssemblyRef, user::UserName};
//! use pinyto_http::client::{Client, KeyFile, Login, NewDocument, PinFile};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = KeyFile::new("pinyto-key.pem");
//! let client = Client::builder("https://example.org", PinFile::beside(&file)).build()?;
//! let ada = UserName::parse("ada")?;
//!
//! // Once:
//! let key = file.generate(None)?;
//! client.register(&ada, key.public_key()).await?;
//!
//! // At each start:
//! let key = file.read(None)?;
//! let session = client.log_in(Login::key(ada, key)).await?;
//!
//! let todo = AssemblyRef::parse("pinyto/Todo").ok_or("no name")?;
//! session.install_assembly(&todo).await?;
//! let document = NewDocument::new("todo", &json!({"title": "Read the docs"}))?;
//! session.store(&todo, &document).await?;
//! let list: serde_json::Value = session.call_function(&todo, "get_list", &json!({})).await?;
//! # drop(list);
//! # Ok(())
//! # }
//! ```
//!
//! # Which server it is
//!
//! The client believes nobody but the server whose key is pinned: a challenge with another's
//! signature is not answered, nor is a password sent to a server that shows another key. The key
//! is pinned on first use, or known beforehand (a [`PublicKey`] is a [`PinStore`]). If it changes,
//! calls fail with [`Error::ServerKeyChanged`], and go on failing until somebody removes the pin.
//!
//! # What is tried again
//!
//! [`Retries`] says how often and when; what, the kind of the call:
//!
//! | | reads, logins | changes | functions |
//! |---|---|---|---|
//! | no connection: nothing was sent | yes | yes | yes |
//! | 429 `throttled` | yes | yes | yes |
//! | other 429: too busy to begin | yes | yes | no: the code may have begun |
//! | 502, 503, 504 | yes | no | no |
//! | the connection broke, no answer in time | yes | no | no |
//!
//! Anything else is not, as a certificate that isn't trusted. `Retry-After` is honoured, within [`Retries::longest_pause`].
//!
//! [`PublicKey`]: pinyto_core::key::PublicKey

mod builder;
mod calls;
mod error;
mod key_file;
mod login;
mod pin;
mod retry;
mod session;
mod transport;
mod types;

use std::{fmt, sync::Arc};

use pinyto_core::{
    challenge::{Challenge, ChallengeError, RequestToken},
    key::{KeyHash, PublicKey},
};
use secrecy::ExposeSecret as _;
pub use secrecy::SecretString;
use serde_json::json;
use tokio::sync::OnceCell;

pub use self::{
    builder::ClientBuilder,
    error::{Error, FunctionError, InvalidSettings, PinError, Refusal, ServerKeyChanged},
    key_file::{KeyFile, KeyFileError},
    login::Login,
    pin::{PinFile, PinStore},
    retry::Retries,
    session::Session,
    types::{
        AssemblyData, AssemblyFunction, AssemblyJob, AssemblyParts, AssemblySummary, AuthorRun,
        Exception, JobFailure, JobState, ListedKey, NewDocument, Page, Run, RunError, Statistics,
        Ticket, WhoAmI,
    },
};
use self::{
    login::Proof,
    transport::{Body, Transport},
};

/// One server, as somebody sees it who hasn't logged in. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Parts>);

struct Parts {
    transport: Transport,
    pin: Arc<dyn PinStore>,
    /// What is in the pin, once it has been read.
    pinned: OnceCell<PublicKey>,
}

impl Client {
    /// Begins a client of the server at `url`, whose key is pinned in `pin`.
    pub fn builder(url: impl Into<String>, pin: impl PinStore + 'static) -> ClientBuilder {
        ClientBuilder::new(url.into(), Arc::new(pin))
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's code `authentication_failed`, `wrong_password` or
    /// `throttled`; [`Error::ServerKeyChanged`]; that the server can't be reached.
    pub async fn log_in(&self, login: Login) -> Result<Session, Error> {
        let session = self.session(login);
        session.open().await?;
        Ok(session)
    }

    /// The same, but without asking the server: the first call opens the session.
    #[must_use]
    pub fn session(&self, login: Login) -> Session {
        Session::new(self.clone(), login)
    }

    /// The server's key as it is pinned. If it isn't yet, this asks the server for it and pins it.
    ///
    /// # Errors
    ///
    /// That the pin can't be read or kept, or the server not be asked.
    pub async fn pinned_key(&self) -> Result<PublicKey, Error> {
        let pinned = self.0.pinned.get_or_try_init(|| self.pin());
        pinned.await.cloned()
    }

    async fn pin(&self) -> Result<PublicKey, Error> {
        let pin = Arc::clone(&self.0.pin);
        if let Some(key) = blocking(move || pin.load()).await?? {
            return Ok(key);
        }
        let offered = self.offered_key().await?;
        let (pin, key) = (Arc::clone(&self.0.pin), offered.clone());
        let kept = blocking(move || pin.keep(&key)).await??;
        // Somebody else has pinned meanwhile.
        self.compare(&kept, &offered)?;
        tracing::info!(fingerprint = %kept.fingerprint(), place = self.0.pin.place(), "the server's key is pinned");
        Ok(kept)
    }

    /// Asks whether the server still is the one that is pinned.
    async fn same_server(&self) -> Result<(), Error> {
        self.compare(&self.pinned_key().await?, &self.offered_key().await?)
    }

    fn compare(&self, pinned: &PublicKey, offered: &PublicKey) -> Result<(), Error> {
        // The numbers, since different keys can share a fingerprint.
        if pinned == offered {
            return Ok(());
        }
        Err(Error::ServerKeyChanged(Arc::new(ServerKeyChanged {
            pinned: pinned.fingerprint(),
            offered: offered.fingerprint(),
            place: self.0.pin.place(),
        })))
    }

    /// A new session's token.
    async fn open(&self, login: &Login) -> Result<RequestToken, Error> {
        let pinned = self.pinned_key().await?;
        let device = match &login.proof {
            Proof::Key(device) => device.clone(),
            Proof::Password(password) => {
                // Proves nothing, but tells before the password is gone that the pin is old.
                self.compare(&pinned, &self.offered_key().await?)?;
                let name = login.user.as_str();
                return self.password_token(name, password.expose_secret()).await;
            }
        };
        let key_hash = KeyHash::from(device.public_key().fingerprint());
        let body = json!({"username": login.user.as_str(), "key_hash": key_hash.as_str()});
        let body = Body::json(&body)?;
        let challenge: Challenge = {
            let call = calls::AUTHENTICATE;
            self.transport().call(call, Some(&body), None).await?
        };
        let server = pinned.clone();
        let answer = blocking(move || device.answer(&challenge, &server)).await?;
        if answer.as_ref().err() == Some(&ChallengeError::BadSignature)
            && let Ok(offered) = self.offered_key().await
        {
            self.compare(&pinned, &offered)?;
        }
        Ok(answer?)
    }

    fn transport(&self) -> &Transport {
        &self.0.transport
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("transport", &self.0.transport)
            .field("pin", &self.0.pin)
            .finish_non_exhaustive()
    }
}

/// RSA takes milliseconds, and files are read by waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::ShuttingDown)
}
