//! Why a call came to nothing.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use pinyto_core::{
    challenge::ChallengeError,
    key::{InvalidPublicKey, KeyFingerprint},
};
use serde_json::Value;

use super::types::Exception;
use crate::error::{ERRORS, ErrorKind};

/// What led to an error, kept so that errors can be cloned.
pub(super) type Cause = Arc<dyn StdError + Send + Sync>;

/// Why a call of the client came to nothing.
///
/// Nothing in it is secret, and it is cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused, with an error of the protocol or (a proxy in between) without one.
    #[error(transparent)]
    Refused(Arc<Refusal>),
    /// The function of an assembly ran, and says itself that it is an error what it answers.
    #[error(transparent)]
    Function(Arc<FunctionError>),
    /// No connection to the server: nothing was sent.
    #[error("the server can't be reached: {0}")]
    Unreachable(#[source] Cause),
    /// The server's certificate is not valid: another name's, out of date, of an authority that isn't
    /// trusted, revoked, wrongly signed, or whatever else the system finds. Nothing was sent. With a
    /// proxy that is itself reached over TLS it may be the proxy's certificate.
    #[error("the server's certificate is not trusted: {0}")]
    UntrustedCertificate(#[source] Cause),
    /// The connection broke after something had been sent: the server may have done what it was
    /// asked for, or not.
    #[error("the connection to the server broke: {0}")]
    Interrupted(#[source] Cause),
    /// There was no whole answer in time: the server may have done what it was asked for, or not.
    #[error("the server didn't answer in time")]
    TimedOut,
    /// The answer is larger than the client reads.
    #[error("the answer is larger than {limit} bytes")]
    AnswerTooLarge {
        /// How many bytes are read.
        limit: usize,
    },
    /// The answer is not what the protocol says, or not what the caller takes.
    #[error("the answer is not what was expected: {0}")]
    UnexpectedAnswer(#[source] Cause),
    /// The server has another key than the one that is pinned.
    #[error(transparent)]
    ServerKeyChanged(Arc<ServerKeyChanged>),
    /// The challenge is none of the pinned server's, or not for this device.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// What the server calls its public key is none.
    #[error("the server's public key can't be used: {0}")]
    InvalidServerKey(#[from] InvalidPublicKey),
    /// The pin can't be read or kept.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The call can't be made like this; nothing was sent.
    #[error("{0}")]
    InvalidRequest(Cause),
    /// The client can't be built like this.
    #[error(transparent)]
    InvalidSettings(#[from] InvalidSettings),
    /// The session was closed by [`Session::logout`](super::Session::logout); log in again.
    #[error("this session was logged out")]
    LoggedOut,
    /// A computation was dropped, because the async runtime is shutting down.
    #[error("the program is shutting down")]
    ShuttingDown,
}

impl Error {
    /// The stable name of this error. What the *server* calls its error is
    /// [`Error::server_code`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Function(error) => error.code(),
            Self::Unreachable(_) => "unreachable",
            Self::UntrustedCertificate(_) => "untrusted_certificate",
            Self::Interrupted(_) => "interrupted",
            Self::TimedOut => "timed_out",
            Self::AnswerTooLarge { .. } => "answer_too_large",
            Self::UnexpectedAnswer(_) => "unexpected_answer",
            Self::ServerKeyChanged(error) => error.code(),
            Self::Challenge(error) => error.code(),
            Self::InvalidServerKey(_) => "invalid_server_key",
            Self::Pin(error) => error.code(),
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidSettings(error) => error.code(),
            Self::LoggedOut => "logged_out",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// What the server calls the error, if it refused with one of the protocol's:
    /// `unknown_key`, `key_already_registered`; all are in [`ERRORS`].
    #[must_use]
    pub fn server_code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code(),
            _ => None,
        }
    }

    pub(super) fn unexpected(cause: impl StdError + Send + Sync + 'static) -> Self {
        Self::UnexpectedAnswer(Arc::new(cause))
    }

    pub(super) fn invalid(cause: impl StdError + Send + Sync + 'static) -> Self {
        Self::InvalidRequest(Arc::new(cause))
    }

    /// Whether no session has the token that was sent.
    pub(super) fn is_unknown_token(&self) -> bool {
        matches!(self, Self::Refused(refusal)
            if refusal.status == 401 && refusal.code() == Some("unknown_token"))
    }
}

/// An answer with an error status.
///
/// `Debug` doesn't show the sentence, which may quote what the code of an assembly raised.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) exception: Option<Exception>,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The stable name of the error, which [`ERRORS`] explains. `None` if the answer was no error
    /// of the protocol: a proxy's, or another server's.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What this version of the crate knows of the error.
    #[must_use]
    pub fn kind(&self) -> Option<&'static ErrorKind> {
        let code = self.code()?;
        ERRORS.iter().find(|kind| kind.code == code)
    }

    /// The server's sentence; empty if there was none.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the assembly's code raised, if it is about that.
    #[must_use]
    pub fn exception(&self) -> Option<&Exception> {
        self.exception.as_ref()
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("code", &self.code)
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.message, self.code()) {
            ("", _) => write!(f, "the server answered with status {}", self.status),
            (message, Some(code)) => write!(f, "{message} ({code})"),
            (message, None) => f.write_str(message),
        }
    }
}

impl StdError for Refusal {}

/// What a function of an assembly answered with the key `error`.
///
/// `Debug` and the text show nothing of it: it is the user's.
#[derive(Clone, PartialEq)]
pub struct FunctionError {
    pub(super) answer: Value,
}

impl FunctionError {
    /// The stable name of the error. What the function calls it, if anything, is in the answer.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "function_error"
    }

    /// The whole answer, an object with the key `error`.
    #[must_use]
    pub fn answer(&self) -> &Value {
        &self.answer
    }
}

impl fmt::Debug for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionError(..)")
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the function answered with an error of its own")
    }
}

impl StdError for FunctionError {}

/// The server has another key than the one that is pinned: it got a new one, or somebody is in
/// between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKeyChanged {
    pub(super) pinned: KeyFingerprint,
    pub(super) offered: KeyFingerprint,
    pub(super) place: String,
}

impl ServerKeyChanged {
    /// The stable name of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "server_key_changed"
    }

    /// The fingerprint of the key that the client trusts.
    #[must_use]
    pub fn pinned(&self) -> KeyFingerprint {
        self.pinned
    }

    /// The fingerprint of the key that the server shows now.
    #[must_use]
    pub fn offered(&self) -> KeyFingerprint {
        self.offered
    }

    /// Where the pin is, as its [`PinStore`](super::PinStore) says.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for ServerKeyChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server shows the key {}, but pinned is {} ({}). Somebody may be in between: ask the operator, by \
             another way than this server, which key is right. Only if it is the new one remove the pin",
            self.offered, self.pinned, self.place
        )
    }
}

impl StdError for ServerKeyChanged {}

/// The pin can't be read or kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the pin of the server's key can't be used: {0}")]
pub struct PinError(#[source] Cause);

impl PinError {
    /// The stable name of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "pin"
    }

    /// For stores of pins: what went wrong there.
    pub fn new(cause: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(cause))
    }
}

/// Why a client can't be built.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// The address is no URL such as `https://cloud.example.org` or `https://example.org/pinyto`.
    #[error("{0:?} is no address of a server: it has to be as https://example.org/pinyto")]
    Url(String),
    /// The address has a user name or a password in it, which would end up in logs.
    #[error("the address of the server has a user name or password in it")]
    UserInUrl,
    /// The address is not encrypted, and not on this machine.
    #[error(
        "{0} is reached without TLS, where whoever listens gets the session; \
         allow_plain_http() allows it"
    )]
    PlainHttp(String),
    /// A certificate is none.
    #[error("a root certificate can't be read: {0}")]
    Certificate(#[source] Cause),
    /// TLS can't be set up.
    #[error("the HTTP client can't be built: {0}")]
    Http(#[source] Cause),
}

impl InvalidSettings {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "invalid_url",
            Self::UserInUrl => "user_in_url",
            Self::PlainHttp(_) => "plain_http",
            Self::Certificate(_) => "invalid_certificate",
            Self::Http(_) => "http_client",
        }
    }
}

/// A sentence as an error.
#[derive(Debug)]
pub(super) struct Sentence(pub(super) &'static str);

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Sentence {}
