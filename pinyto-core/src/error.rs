//! What a service answers when it can't do what it was asked to.

use std::{fmt, time::Duration};

#[cfg(feature = "gpgauth")]
use crate::gpgauth::{GpgAuthError, InvalidOpenPgpKey, OpenPgpError};
use crate::{
    assembly::{InvalidAssembly, InvalidAssemblyName},
    clock::Timestamp,
    crypto::CryptoError,
    document::{NewDocument, QueryGivenUp},
    key::{InvalidKeyHash, InvalidKeyLabel, InvalidPublicKey},
    keyserver::InvalidPassword,
    quota::Quota,
    randomness::RandomnessUnavailable,
    runtime::CodeError,
    store::StoreError,
    ticket::InvalidAudience,
    user::{InvalidUserName, UserName},
};

/// Why a service refused or failed. The text tells the author of a client what to do; nothing in
/// it is secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No living session has that token. The sentence is part of the protocol.
    #[error("Unknown token. Please authenticate.")]
    UnknownToken,
    /// No user of that name has such an active key; which part is wrong is not told.
    #[error(
        "There is no user with that name and an active key with that key_hash. Check both, or register."
    )]
    AuthenticationFailed,
    /// No keyserver account with that name and password; which part is wrong is not told.
    #[error("User name or password is wrong.")]
    WrongPassword,

    /// The user name is none.
    #[error(transparent)]
    InvalidUserName(#[from] InvalidUserName),
    /// The user name can't be registered: it is part of a fixed route, or [the program reserves
    /// it](crate::Settings::reserved_user_names).
    #[error("That user name is reserved. Choose another one.")]
    ReservedUserName,
    /// The public key is none, or too weak.
    #[error(transparent)]
    InvalidPublicKey(#[from] InvalidPublicKey),
    /// The OpenPGP key can't be used.
    #[cfg(feature = "gpgauth")]
    #[error(transparent)]
    InvalidOpenPgpKey(#[from] InvalidOpenPgpKey),
    /// A login by gpgAuth came to nothing.
    #[cfg(feature = "gpgauth")]
    #[error(transparent)]
    GpgAuth(#[from] GpgAuthError),
    /// The key hash is none.
    #[error(transparent)]
    InvalidKeyHash(#[from] InvalidKeyHash),
    /// The label is none.
    #[error(transparent)]
    InvalidKeyLabel(#[from] InvalidKeyLabel),
    /// The password can't be used.
    #[error(transparent)]
    InvalidPassword(#[from] InvalidPassword),
    /// The name is none of an assembly, a function or a job.
    #[error(transparent)]
    InvalidAssemblyName(#[from] InvalidAssemblyName),
    /// The audience is none.
    #[error(transparent)]
    InvalidAudience(#[from] InvalidAudience),
    /// The assembly can't be saved as it is.
    #[error(transparent)]
    InvalidAssembly(#[from] InvalidAssembly),
    /// A document needs a type.
    #[error("A document's type is a text or a number and not empty.")]
    InvalidDocumentType,
    /// A document's data can't be nested any deeper.
    #[error(
        "The document's data is nested too deeply. At most {} levels are kept.",
        NewDocument::MAX_DEPTH
    )]
    DocumentTooDeep,
    /// The document has so many values that the server has no room for them.
    #[error("The document has too many values. Store fewer of them, or store them as a text.")]
    TooManyValues,
    /// The query would have cost too much.
    #[error(transparent)]
    QueryGivenUp(#[from] QueryGivenUp),

    /// Somebody has that user name.
    #[error("That user name is taken. Choose another one.")]
    UserNameTaken,
    /// Somebody can log in as the author by whom the program publishes assemblies of its own
    /// ([`Cloud::publish_assembly`](crate::Cloud::publish_assembly),
    /// [`Cloud::install_bundled_assemblies`](crate::Cloud::install_bundled_assemblies)).
    #[error(
        "Somebody can log in as {author}, so the program's own assemblies can't be published by that name. Let the program publish by another name."
    )]
    AuthorHasKeys {
        /// The name of the account.
        author: UserName,
    },
    /// The user has that key.
    #[error("This account has that key already.")]
    KeyAlreadyRegistered,
    /// The key hash fits several keys of the user.
    #[error("Several of your keys begin with that key_hash. Send more of its 64 digits.")]
    AmbiguousKeyHash,
    /// The key is the last one that opens the account.
    #[error("That is your last active key. Register or activate another one first.")]
    LastActiveKey,
    /// The user has a certificate of that OpenPGP key that is valid longer.
    #[error(
        "This account has a certificate of that key that is valid longer. Delete it first to register this one."
    )]
    OlderOpenPgpKey,
    /// Nobody has proved to have the OpenPGP key.
    #[error("Prove first that you have that key: register it again and decrypt the challenge.")]
    UnprovenKey,
    /// The password itself has opened the session that would forbid it.
    #[error("Your password opened this session. Forbid it from a session of another of your keys.")]
    PasswordSession,
    /// The author has another assembly of that name.
    #[error("You have another assembly of that name. Choose another name.")]
    AssemblyNameTaken,
    /// The user has as many of them as allowed.
    #[error("You may have at most {limit} {things}. Delete some first.")]
    LimitReached {
        /// What there are too many of.
        things: Limited,
        /// How many are allowed.
        limit: u64,
    },
    /// The user has stored as much as allowed.
    #[error("You may store at most {limit} bytes. Delete some documents first.")]
    StorageFull {
        /// How many bytes are allowed.
        limit: u64,
    },

    /// The user has no such key.
    #[error("You have no key with that key_hash. The call list_keys lists yours.")]
    UnknownKey,
    /// There is no such assembly.
    #[error("There is no such assembly. The call list_all_assemblies lists all.")]
    UnknownAssembly,
    /// The assembly is not installed by the user (or does not exist).
    #[error("You have not installed that assembly. Install it with the call install_assembly.")]
    AssemblyNotInstalled,
    /// The assembly has no such function.
    #[error("The assembly has no such function. The call get_assembly_source shows those it has.")]
    UnknownFunction,
    /// The assembly has no such job.
    #[error("The assembly has no such job. The call get_assembly_source shows those it has.")]
    UnknownJob,
    /// There is no such document for the user.
    #[error("You have no document with that _id.")]
    UnknownDocument,
    /// There is no such run for the user.
    #[error("There is no such run of yours (any more). The call list_runs lists them.")]
    UnknownRun,
    /// The user has no password to change.
    #[error("This account has no password at the keyserver, so there is none to change.")]
    NoKeyserverAccount,
    /// The cloud has no OpenPGP key.
    #[error("This server does not offer gpgAuth, so OpenPGP keys can't be used.")]
    GpgAuthDisabled,
    /// This server doesn't run the code of assemblies.
    #[error("This server does not run the code of assemblies.")]
    CodeExecutionDisabled,

    /// The code of the assembly gave no answer.
    #[error("{0}")]
    CodeFailed(CodeError),
    /// The function returned a text that is no JSON.
    #[error(
        "The function returned a text that is no JSON. It has to return a dict, or json.dumps of something."
    )]
    InvalidAnswer,
    /// The code can't be run at present.
    #[error("The code of assemblies can't be run now. Try again later.")]
    RuntimeUnavailable,

    /// Too many failed tries.
    #[error("Too many failed tries. Wait {} seconds, then try again.", seconds(*.retry_after))]
    Throttled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The user has used up what she may use within a time.
    #[error("You have used up your {limit}. There is more at {reset}.")]
    QuotaExceeded {
        /// What she may use.
        limit: Quota,
        /// When there is more.
        reset: Timestamp,
        /// How long that takes.
        retry_after: Duration,
    },
    /// Too much to do, also for the queue.
    #[error("The server is busy. Wait {} seconds, then try again.", seconds(*.retry_after))]
    Busy {
        /// How long to wait.
        retry_after: Duration,
    },

    /// The store is away or inconsistent.
    #[error("The database is not available. Try again later.")]
    Store(#[source] StoreError),
    /// [`Settings::hash_cost`](crate::Settings::hash_cost) is out of range.
    #[error("Passwords can't be hashed at that cost: it is at least 8 KiB of memory and one pass.")]
    InvalidHashCost,
    /// [`Settings::ticket_lifetime`](crate::Settings::ticket_lifetime) is out of range.
    #[error("Tickets can't be good for that long: it is 1 second to an hour.")]
    InvalidTicketLifetime,
    /// The RSA backend failed in what it has to be able to do.
    #[error("The server failed in a cryptographic operation.")]
    Crypto(#[from] CryptoError),
    /// What does OpenPGP failed in what it has to be able to do.
    #[cfg(feature = "gpgauth")]
    #[error("The server failed in an OpenPGP operation.")]
    OpenPgp(#[from] OpenPgpError),
    /// The source of randomness gave nothing.
    #[error("The server has no randomness.")]
    Randomness(#[from] RandomnessUnavailable),
    /// A background computation ended without a result: the process is shutting down, or a bug.
    #[error("The server is shutting down. Try again later.")]
    ShuttingDown,
}

/// What a user may have so many of only: see [`Error::LimitReached`]. `Display` names it for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limited {
    /// [`Settings::max_keys`](crate::Settings::max_keys).
    Keys,
    /// [`AuthorLimits::assemblies`](crate::assembly::AuthorLimits::assemblies).
    Assemblies,
    /// [`AuthorLimits::bytes`](crate::assembly::AuthorLimits::bytes).
    AssemblyBytes,
    /// [`Settings::max_installed`](crate::Settings::max_installed).
    InstalledAssemblies,
    /// [`Settings::max_queued_jobs`](crate::Settings::max_queued_jobs).
    QueuedJobs,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "keys",
            Self::Assemblies => "assemblies",
            Self::AssemblyBytes => "bytes of assemblies",
            Self::InstalledAssemblies => "installed assemblies",
            Self::QueuedJobs => "queued runs of jobs",
        })
    }
}

/// Whole seconds, rounded up, at least one: as `Retry-After` wants them.
#[must_use]
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0))
        .max(1)
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy { retry_after } => Self::Busy { retry_after },
            failed => Self::Store(failed),
        }
    }
}

impl From<CodeError> for Error {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Busy { retry_after } => Self::Busy { retry_after },
            CodeError::Unavailable => Self::RuntimeUnavailable,
            CodeError::QuotaExceeded {
                limit,
                reset,
                retry_after,
            } => Self::QuotaExceeded {
                limit,
                reset,
                retry_after,
            },
            failed => Self::CodeFailed(failed),
        }
    }
}

impl Error {
    /// A stable name of the error for programs, in `snake_case`. Names are added, never changed; a
    /// new one may take the place of `internal` only. What stands behind an error may have a finer
    /// name of its own, like [`InvalidAssembly::code`].
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown_token",
            Self::AuthenticationFailed => "authentication_failed",
            Self::WrongPassword => "wrong_password",
            Self::InvalidUserName(error) => error.code(),
            Self::ReservedUserName => "reserved_user_name",
            Self::InvalidPublicKey(_) => "invalid_public_key",
            Self::InvalidKeyHash(_) => "invalid_key_hash",
            Self::InvalidKeyLabel(error) => error.code(),
            Self::InvalidPassword(error) => error.code(),
            Self::InvalidAssemblyName(error) => error.code(),
            Self::InvalidAssembly(_) => "invalid_assembly",
            Self::InvalidAudience(invalid) => invalid.code(),
            Self::InvalidDocumentType => "invalid_document_type",
            Self::DocumentTooDeep => "document_too_deep",
            Self::TooManyValues => "too_many_values",
            Self::QueryGivenUp(given_up) => given_up.code(),
            Self::UserNameTaken => "user_name_taken",
            Self::AuthorHasKeys { .. } => "author_has_keys",
            Self::KeyAlreadyRegistered => "key_already_registered",
            Self::AmbiguousKeyHash => "ambiguous_key_hash",
            Self::LastActiveKey => "last_active_key",
            Self::OlderOpenPgpKey => "older_openpgp_key",
            Self::UnprovenKey => "unproven_key",
            Self::PasswordSession => "password_session",
            Self::AssemblyNameTaken => "assembly_name_taken",
            Self::LimitReached { .. } => "limit_reached",
            Self::StorageFull { .. } => "storage_full",
            Self::UnknownKey => "unknown_key",
            Self::UnknownAssembly => "unknown_assembly",
            Self::AssemblyNotInstalled => "assembly_not_installed",
            Self::UnknownFunction => "unknown_function",
            Self::UnknownJob => "unknown_job",
            Self::UnknownDocument => "unknown_document",
            Self::UnknownRun => "unknown_run",
            Self::NoKeyserverAccount => "no_keyserver_account",
            Self::CodeExecutionDisabled => "code_execution_disabled",
            Self::CodeFailed(error) => error.code(),
            Self::InvalidAnswer => "code_answer_invalid",
            Self::RuntimeUnavailable => "code_runtime_unavailable",
            Self::Throttled { .. } => "throttled",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::Busy { .. } => "busy",
            Self::Store(error) => error.code(),
            Self::InvalidHashCost
            | Self::InvalidTicketLifetime
            | Self::Crypto(_)
            | Self::Randomness(_) => "internal",
            Self::ShuttingDown => "shutting_down",
            Self::GpgAuthDisabled => "gpgauth_disabled",
            #[cfg(feature = "gpgauth")]
            Self::InvalidOpenPgpKey(_) => "invalid_openpgp_key",
            #[cfg(feature = "gpgauth")]
            Self::GpgAuth(error) => error.code(),
            #[cfg(feature = "gpgauth")]
            Self::OpenPgp(_) => "internal",
        }
    }

    /// How long the caller had better wait before trying again, where waiting helps. Whole
    /// seconds, at least one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after }
            | Self::QuotaExceeded { retry_after, .. }
            | Self::Busy { retry_after }
            | Self::Store(StoreError::Busy { retry_after }) => {
                Some(Duration::from_secs(seconds(*retry_after)))
            }
            Self::Store(StoreError::Unavailable { .. } | StoreError::NotReady { .. })
            | Self::RuntimeUnavailable
            | Self::ShuttingDown => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}
