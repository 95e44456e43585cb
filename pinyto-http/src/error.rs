//! Every error a client can get, and which status it has: the one table.

use std::{borrow::Cow, error::Error as StdError, fmt};

use http::{
    HeaderValue, StatusCode,
    header::{ALLOW, RETRY_AFTER},
};
use pinyto_core::{Error, runtime::CodeError, store::StoreError};
use warp::reply::{Reply, Response};

use crate::{
    prefix::PathPrefix,
    reply,
    wire::{Exception, Failure, Undecodable},
};

/// A kind of error as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorKind {
    /// The stable name, the field `code` of the answer.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// When it happens.
    pub meaning: &'static str,
}

macro_rules! errors {
    ($($code:literal $status:literal $meaning:literal)+) => {
        &[$(ErrorKind { code: $code, status: $status, meaning: $meaning }),+]
    };
}

/// All kinds of errors there are, each with its status.
#[rustfmt::skip]
pub const ERRORS: &[ErrorKind] = errors! {
    "unknown_token" 401 "No session with that token lives: it is none, has expired, was replaced or ended."
    "malformed_json" 400 "The body is no JSON object in UTF-8, or nested deeper than 127 levels."
    "missing_field" 400 "A field is missing; the sentence names it."
    "invalid_field" 400 "A field has the wrong type, a number out of range, or is there twice; the sentence names it."
    "body_incomplete" 400 "The body ended before it was complete."
    "invalid_user_name" 400 "The user name is none."
    "reserved_user_name" 400 "The user name is part of a fixed route, or reserved by the operator."
    "invalid_public_key" 400 "The public key's numbers break a rule; the sentence tells which."
    "invalid_openpgp_key" 400 "The OpenPGP key can't be used; the sentence tells why."
    "gpgauth_unknown_key" 400 "Nobody has that OpenPGP key, or it is not active."
    "gpgauth_unusable_key" 400 "The OpenPGP key can't be used (any more); the sentence tells why."
    "gpgauth_not_armored" 400 "The token is no ASCII-armored OpenPGP message."
    "gpgauth_undecryptable" 400 "The token is no message to the server's OpenPGP key."
    "gpgauth_no_nonce" 400 "The decrypted token is no nonce of gpgAuth."
    "gpgauth_invalid_token" 400 "The decrypted token is none, was used or has expired; which is not told."
    "invalid_key_hash" 400 "The key hash is not 10 to 64 hexadecimal digits."
    "invalid_key_label" 400 "The label is empty, too long or has control characters."
    "invalid_password" 400 "The password is too short or too long."
    "invalid_assembly_name" 400 "The name is none of an assembly, function or job."
    "invalid_assembly" 400 "The assembly can't be saved as it is; the sentence tells why."
    "invalid_audience" 400 "The audience is neither an absolute URI nor a name."
    "invalid_document_type" 400 "The document's type is empty, or neither a text nor a number."
    "document_too_deep" 400 "The document's data is nested deeper than is kept."
    "query_given_up" 400 "The query would cost more than is allowed; the sentence tells what to change. Only routes that a server has added tell it."
    "code_exception" 400 "The function raised an exception; the field exception has its type, message and line."
    "code_invalid" 400 "The function can't be run: its code has a mistake, or uses what the interpreter doesn't know."
    "code_limit_reached" 400 "The function was stopped because it used more than it was given; the sentence names the limit."
    "code_crashed" 400 "The function made its interpreter crash."
    "code_answer_invalid" 400 "The function returned a text that is no JSON."
    "authentication_failed" 401 "No such user with such an active key; which part is wrong is not told."
    "wrong_password" 403 "No such account with that password; which part is wrong is not told."
    "code_execution_disabled" 403 "This server does not run the code of assemblies."
    "unknown_route" 404 "There is nothing at that path."
    "unknown_key" 404 "The user has no key with that hash."
    "unknown_assembly" 404 "There is no such assembly."
    "assembly_not_installed" 404 "The user has not installed that assembly, or there is none."
    "unknown_function" 404 "The assembly has no such function."
    "unknown_job" 404 "The assembly has no such job."
    "unknown_document" 404 "The user has no such document. Only routes that a server has added tell it."
    "unknown_run" 404 "There is no such run for the user (any more)."
    "gpgauth_disabled" 404 "This server does not offer gpgAuth."
    "no_keyserver_account" 404 "The user has no password at the keyserver."
    "method_not_allowed" 405 "The route is called with another method; the header Allow names it."
    "body_too_slow" 408 "Sending the body took too long."
    "user_name_taken" 409 "Somebody has that user name."
    "author_has_keys" 409 "Somebody can log in as the author of a program's own assemblies. Only routes that a server has added tell it."
    "key_already_registered" 409 "The account has that key already."
    "ambiguous_key_hash" 409 "Several keys of the user begin with that hash. Send more digits."
    "last_active_key" 409 "The last active key can be neither deactivated nor deleted."
    "older_openpgp_key" 409 "The user has a certificate of that OpenPGP key that is valid longer."
    "unproven_key" 409 "Nobody has proved to have that OpenPGP key, so it can't be active."
    "password_session" 409 "The password has opened the session; another key's has to forbid it."
    "assembly_name_taken" 409 "The author has another assembly of that name."
    "limit_reached" 409 "The user has as many of them as allowed."
    "too_many_values" 413 "The document has more values than the server has room for."
    "body_too_large" 413 "The body is larger than the server reads."
    "throttled" 429 "Too many failed tries. The header Retry-After tells how long to wait."
    "quota_exceeded" 429 "The user has used up what she may. The header Retry-After and the sentence tell when there is more."
    "busy" 429 "Too much to do for now. The header Retry-After tells how long to wait."
    "storage_full" 507 "The user has stored as many bytes as allowed; the sentence tells how many."
    "database_unavailable" 503 "The database is away. The header Retry-After tells when to try again."
    "code_runtime_unavailable" 503 "The code of assemblies can't be run now. The header Retry-After tells when to try again."
    "shutting_down" 503 "The server is shutting down. The header Retry-After tells when to try again."
    "timeout" 503 "The server could not finish the request in time."
    "database_inconsistent" 500 "The database holds something that was not written by this server."
    "internal" 500 "The server failed."
};

const FAILED: &str = "The server failed on this request. Please tell the operator, who finds the reason in the server's log.";

/// An error as a client gets it: JSON with a sentence and a code.
///
/// Made from [`Error`] by the table [`ERRORS`]. A cause with a status of 5xx is logged when it is
/// made, with everything that led to it; the client is told a neutral sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    sentence: Cow<'static, str>,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
    exception: Option<Box<Exception>>,
}

impl ApiError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable name of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    #[cfg(feature = "gpgauth")]
    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// In seconds.
    #[cfg(feature = "gpgauth")]
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    fn new(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        // A code that is missing in the table is a bug of ours.
        let listed = ERRORS.iter().find(|kind| kind.code == code);
        let status = listed.and_then(|kind| StatusCode::from_u16(kind.status).ok());
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            sentence: sentence.into(),
            retry_after: None,
            allow: None,
            exception: None,
        }
    }

    pub(crate) fn internal(cause: &dyn StdError) -> Self {
        tracing::error!(code = "internal", error = %Chain(cause), "a request failed");
        Self::new("internal", FAILED)
    }

    /// The answer to those who watch: with the reason, where the store has one for everybody.
    pub(crate) fn not_ready(error: Error) -> Self {
        let sentence = match &error {
            Error::Store(StoreError::NotReady { reason }) => {
                Some(format!("The database is not available: {reason}."))
            }
            _ => None,
        };
        let answer = Self::from(error);
        match sentence {
            Some(sentence) => Self {
                sentence: sentence.into(),
                ..answer
            },
            None => answer,
        }
    }

    pub(crate) fn unknown_route(prefix: &PathPrefix) -> Self {
        let sentence = format!("There is nothing at this path. GET {prefix}/docs lists all calls.");
        Self::new("unknown_route", sentence)
    }

    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let sentence = format!("This path can't be called with that method, only with {allow}.");
        Self {
            allow: Some(allow),
            ..Self::new("method_not_allowed", sentence)
        }
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let sentence = format!("The body is too large. At most {limit} bytes are read.");
        Self::new("body_too_large", sentence)
    }

    pub(crate) fn body_too_slow() -> Self {
        Self::new(
            "body_too_slow",
            "Sending the body took too long. Send it faster, or in smaller parts.",
        )
    }

    pub(crate) fn body_incomplete() -> Self {
        Self::new(
            "body_incomplete",
            "The body ended before it was complete. Send it again.",
        )
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let new = Self {
            retry_after: error.retry_after().map(|wait| wait.as_secs()),
            exception: exception(&error),
            ..Self::new(error.code(), error.to_string())
        };
        // Nothing failed if somebody has stored as much as she may.
        if !new.status.is_server_error() || new.status == StatusCode::INSUFFICIENT_STORAGE {
            return new;
        }
        tracing::error!(code = new.code, error = %Chain(&error), "a request failed");
        if new.status == StatusCode::INTERNAL_SERVER_ERROR {
            return Self {
                sentence: FAILED.into(),
                ..new
            };
        }
        new
    }
}

/// What an assembly's code raised, if that is what the error is about.
fn exception(error: &Error) -> Option<Box<Exception>> {
    let Error::CodeFailed(CodeError::Exception {
        kind,
        message,
        line,
        ..
    }) = error
    else {
        return None;
    };
    let exception = Exception {
        kind: kind.clone(),
        message: message.clone(),
        line: *line,
    };
    Some(exception.into())
}

impl From<Undecodable> for ApiError {
    fn from(reason: Undecodable) -> Self {
        let code = match reason {
            Undecodable::NotObject(_) | Undecodable::NotJson(_) => "malformed_json",
            Undecodable::Missing { .. } => "missing_field",
            Undecodable::Invalid { .. }
            | Undecodable::OutOfRange { .. }
            | Undecodable::Twice { .. } => "invalid_field",
        };
        Self::new(code, reason.to_string())
    }
}

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Self {
        let body = Failure {
            error: &error.sentence,
            code: error.code,
            exception: error.exception.as_deref(),
        };
        let mut answer = reply::with_status(error.status, &body);
        let headers = answer.headers_mut();
        if let Some(allow) = error.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = error.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        answer
    }
}

impl Reply for ApiError {
    fn into_response(self) -> Response {
        self.into()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl StdError for ApiError {}

/// An error and what led to it, in one line.
struct Chain<'a>(&'a dyn StdError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
