//! One call over HTTP: sent, answered within limits, repeated where that is safe.

use std::{borrow::Cow, error::Error as StdError, fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use pinyto_core::challenge::RequestToken;
use reqwest::Response;
use rustls::CertificateError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    error::{Error, Refusal, Sentence},
    retry::{Repeat, Retries},
    types::Exception,
};

/// An error's body is two sentences and an exception.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// A call of the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) repeat: Repeat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// The body of a request. It may have a password in it, so it is wiped after the last try.
#[derive(Clone)]
pub(super) struct Body(Bytes);

impl Body {
    /// `value` as JSON, which has to be an object.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Error> {
        // Room for most, so that growing leaves no copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer(&mut *bytes, value).map_err(Error::invalid)?;
        Ok(Self(Bytes::from_owner(bytes)))
    }

    pub(super) fn empty_object() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    /// Without a slash at the end.
    base: String,
    max_answer_bytes: usize,
    retries: Retries,
}

impl Transport {
    pub(super) fn new(
        http: reqwest::Client,
        base: String,
        max_answer_bytes: usize,
        retries: Retries,
    ) -> Self {
        Self {
            http,
            base,
            max_answer_bytes,
            retries,
        }
    }

    /// The answer to a call whose path has no parameters.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        call: Call,
        body: Option<&Body>,
        token: Option<&RequestToken>,
    ) -> Result<T, Error> {
        decode(&self.exchange(call, call.path, body, token).await?)
    }

    /// The bytes of a successful answer.
    pub(super) async fn exchange(
        &self,
        call: Call,
        path: &str,
        body: Option<&Body>,
        token: Option<&RequestToken>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut pauses = self.retries.pauses();
        loop {
            let error = match self.try_once(call.method, path, body, token).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = pauses.after(&error, call.repeat) else {
                return Err(error);
            };
            tracing::debug!(path, code = error.code(), ?pause, "a call is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Body>,
        token: Option<&RequestToken>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let url = format!("{}{path}", self.base);
        let mut request = match method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
        };
        if let Some(Body(bytes)) = body {
            let request_with_type = request.header(CONTENT_TYPE, "application/json");
            request = request_with_type.body(bytes.clone());
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        let answer = request.send().await.map_err(failure)?;
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            return read(answer, self.max_answer_bytes).await;
        }
        let retry_after = retry_after(answer.headers());
        let body = match read(answer, MAX_ERROR_BYTES.min(self.max_answer_bytes)).await {
            Ok(body) => body,
            // Its status is what matters of a page of a proxy.
            Err(Error::AnswerTooLarge { .. }) => Zeroizing::default(),
            Err(error) => return Err(error),
        };
        Err(refusal(status, retry_after, &body))
    }
}

/// `answer` as a `T`.
pub(super) fn decode<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Error> {
    let decoded = serde_json::from_slice(answer);
    decoded.map_err(|error| Error::unexpected(Undecodable::from(&error)))
}

/// What serde says, without the values of the user's that it quotes.
#[derive(Debug, thiserror::Error)]
#[error("{what}, at line {line}, column {column}")]
struct Undecodable {
    what: &'static str,
    line: usize,
    column: usize,
}

impl From<&serde_json::Error> for Undecodable {
    fn from(error: &serde_json::Error) -> Self {
        let what = match error.is_data() {
            true => "it is JSON of another shape",
            false => "it is no JSON",
        };
        let (line, column) = (error.line(), error.column());
        Self { what, line, column }
    }
}

fn bearer(token: &RequestToken) -> Result<HeaderValue, Error> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose()));
    let strange = |_| Error::unexpected(Sentence("the token can't be sent"));
    let mut value = HeaderValue::from_str(&text).map_err(strange)?;
    value.set_sensitive(true);
    Ok(value)
}

fn failure(error: reqwest::Error) -> Error {
    // It has been told where the server is; a path may say more than a log should know.
    let error = error.without_url();
    if let Some(reason) = untrusted(&error) {
        Error::UntrustedCertificate(Arc::new(reason))
    } else if error.is_connect() {
        Error::Unreachable(Arc::new(Chain(error)))
    } else if error.is_timeout() {
        Error::TimedOut
    } else {
        Error::Interrupted(Arc::new(Chain(error)))
    }
}

/// What is wrong with the server's certificate, if there is no connection because of that.
fn untrusted(error: &reqwest::Error) -> Option<Untrusted> {
    let mut cause: &(dyn StdError + 'static) = error;
    loop {
        if let Some(rustls::Error::InvalidCertificate(reason)) = cause.downcast_ref() {
            return Some(Untrusted(reason.clone()));
        }
        // What an `io::Error` is made of is not its source.
        let inner = cause.downcast_ref().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => inner,
            None => cause.source()?,
        };
    }
}

/// What is wrong with a certificate, which is an error here and in rustls only a part of one.
#[derive(Debug)]
struct Untrusted(CertificateError);

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificateError as Wrong;
        f.write_str(match &self.0 {
            Wrong::UnknownIssuer => "it is signed by an authority that isn't trusted",
            Wrong::Expired | Wrong::ExpiredContext { .. } => {
                "it has expired, or the clock of this machine is wrong"
            }
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "it is not valid yet, or the clock of this machine is wrong"
            }
            Wrong::NotValidForName => "it is for another name",
            Wrong::NotValidForNameContext {
                expected,
                presented,
            } => return write_names(f, &expected.to_str(), presented),
            Wrong::Revoked => "it has been revoked",
            Wrong::UnknownRevocationStatus
            | Wrong::ExpiredRevocationList
            | Wrong::ExpiredRevocationListContext { .. } => {
                "it can't be told whether it has been revoked"
            }
            Wrong::BadSignature => "it is not signed by the authority that it names",
            Wrong::BadEncoding => "it is damaged",
            Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => "it is not for servers",
            other => return write!(f, "it was refused ({other})"),
        })
    }
}

impl StdError for Untrusted {}

/// How many names of a certificate are told.
const TOLD_NAMES: usize = 4;

/// For which names a certificate is. They come as `DnsName("example.org")`.
fn write_names(f: &mut fmt::Formatter<'_>, expected: &str, presented: &[String]) -> fmt::Result {
    write!(f, "it is not for {expected} but for ")?;
    if presented.is_empty() {
        return f.write_str("no name at all");
    }
    for (n, name) in presented.iter().take(TOLD_NAMES).enumerate() {
        let inner = name.split_once('(').map_or(&**name, |(_, inner)| inner);
        let inner = inner.trim_end_matches(')').trim_matches('"');
        let comma = if n == 0 { "" } else { ", " };
        write!(f, "{comma}{inner}")?;
    }
    match presented.len().saturating_sub(TOLD_NAMES) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// An error of the HTTP client, whose own text doesn't say what led to it.
#[derive(Debug)]
struct Chain(reqwest::Error);

impl fmt::Display for Chain {
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

impl StdError for Chain {}

async fn read(mut answer: Response, limit: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let too_large = Err(Error::AnswerTooLarge { limit });
    let announced = answer.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return too_large;
    }
    let mut whole = Zeroizing::new(Vec::new());
    while let Some(part) = answer.chunk().await.map_err(failure)? {
        if part.len() > limit - whole.len() {
            return too_large;
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

/// Only seconds, which is what the server sends; not a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(Duration::from_secs)
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    error: Cow<'a, str>,
    #[serde(borrow)]
    code: Cow<'a, str>,
    exception: Option<Exception>,
}

fn refusal(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Error {
    let said: Option<Failure<'_>> = serde_json::from_slice(body).ok();
    let (code, message, exception) = match said {
        Some(said) => (
            Some(said.code.into_owned()),
            said.error.into_owned(),
            said.exception,
        ),
        // A function's own error; who has called it reads that.
        None if status == 400 => match serde_json::from_slice(body) {
            Ok(answer @ serde_json::Value::Object(_)) => {
                return Error::Function(Arc::new(super::error::FunctionError { answer }));
            }
            _ => (None, String::new(), None),
        },
        None => (None, String::new(), None),
    };
    Error::Refused(Arc::new(Refusal {
        status,
        code,
        message,
        exception,
        retry_after,
    }))
}
