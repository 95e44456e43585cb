//! Answers: the protocol is in their headers, and an envelope is around every body.

use std::borrow::Cow;

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ACCESS_CONTROL_EXPOSE_HEADERS, RETRY_AFTER, SET_COOKIE},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pinyto_core::{Error, randomness::RandomnessUnavailable};
use serde::Serialize;
use serde_json::Value;
use warp::reply::Response;

use super::{
    Asked,
    cookies::{self, random_uuid},
};
use crate::{error::ApiError, reply};

/// How far a login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing is said about it.
    None,
    Stage0,
    Stage1,
    Stage2,
    Complete,
    Logout,
}

impl Progress {
    const fn text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Stage0 => Some("stage0"),
            Self::Stage1 => Some("stage1"),
            Self::Stage2 => Some("stage2"),
            Self::Complete => Some("complete"),
            Self::Logout => Some("logout"),
        }
    }
}

/// What becomes of the cookies.
enum Cookies {
    Kept,
    Session(String),
    Csrf,
    Forgotten,
}

/// An answer before it is written.
pub(super) struct Answer {
    status: StatusCode,
    is_success: bool,
    has_error_header: bool,
    is_authenticated: bool,
    progress: Progress,
    message: Cow<'static, str>,
    body: Value,
    more: Vec<(HeaderName, HeaderValue)>,
    cookies: Cookies,
}

/// Around every body.
#[derive(Serialize)]
struct Envelope<'a> {
    header: Header<'a>,
    body: &'a Value,
}

#[derive(Serialize)]
struct Header<'a> {
    id: String,
    status: &'static str,
    servertime: i64,
    action: String,
    message: &'a str,
    url: &'a str,
    code: u16,
}

const VERSION: HeaderName = HeaderName::from_static("x-gpgauth-version");
const AUTHENTICATED: HeaderName = HeaderName::from_static("x-gpgauth-authenticated");
const PROGRESS: HeaderName = HeaderName::from_static("x-gpgauth-progress");
const ERROR: HeaderName = HeaderName::from_static("x-gpgauth-error");
const REFER: HeaderName = HeaderName::from_static("x-gpgauth-refer");
const VERIFY_RESPONSE: HeaderName = HeaderName::from_static("x-gpgauth-verify-response");
const USER_TOKEN: HeaderName = HeaderName::from_static("x-gpgauth-user-auth-token");

/// Where clients find what; after the prefix.
const PLACES: [(HeaderName, &str); 4] = [
    (
        HeaderName::from_static("x-gpgauth-login-url"),
        "/auth/login",
    ),
    (
        HeaderName::from_static("x-gpgauth-logout-url"),
        "/auth/logout",
    ),
    (
        HeaderName::from_static("x-gpgauth-verify-url"),
        "/auth/verify",
    ),
    (
        HeaderName::from_static("x-gpgauth-pubkey-url"),
        "/auth/verify.json",
    ),
];

/// What scripts of other origins may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "retry-after, x-request-id, x-gpgauth-version, x-gpgauth-authenticated, x-gpgauth-progress, \
     x-gpgauth-error, x-gpgauth-refer, x-gpgauth-verify-response, x-gpgauth-user-auth-token, \
     x-gpgauth-login-url, x-gpgauth-logout-url, x-gpgauth-verify-url, x-gpgauth-pubkey-url",
);

const TRUE: HeaderValue = HeaderValue::from_static("true");

impl Answer {
    fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            is_success: true,
            has_error_header: false,
            is_authenticated: false,
            progress: Progress::None,
            message: message.into(),
            body: Value::Null,
            more: Vec::new(),
            cookies: Cookies::Kept,
        }
    }

    pub(super) fn success(message: &'static str, body: Value) -> Self {
        Self {
            body,
            ..Self::new(StatusCode::OK, message)
        }
    }

    pub(super) fn error(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            is_success: false,
            has_error_header: true,
            ..Self::new(status, message)
        }
    }

    pub(super) fn without_error_header(mut self) -> Self {
        self.has_error_header = false;
        self
    }

    pub(super) fn at(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    pub(super) fn authenticated(mut self) -> Self {
        self.is_authenticated = true;
        self
    }

    pub(super) fn retry_after(self, seconds: Option<u64>) -> Self {
        match seconds {
            Some(seconds) => self.with(RETRY_AFTER, seconds.into()),
            None => self,
        }
    }

    pub(super) fn with_verify_response(self, nonce: &str) -> Self {
        self.with_text(VERIFY_RESPONSE, nonce)
    }

    pub(super) fn with_user_token(self, message: &str) -> Self {
        self.with_text(USER_TOKEN, &encode(message))
    }

    pub(super) fn with_session(mut self, token: &str) -> Self {
        self.cookies = Cookies::Session(token.to_owned());
        self.authenticated()
    }

    pub(super) fn with_csrf_token(mut self) -> Self {
        self.cookies = Cookies::Csrf;
        self
    }

    pub(super) fn without_session(mut self) -> Self {
        self.cookies = Cookies::Forgotten;
        self
    }

    /// Nonces and encoded messages are ASCII, so nothing is left out.
    fn with_text(self, name: HeaderName, text: &str) -> Self {
        match HeaderValue::from_str(text) {
            Ok(value) => self.with(name, value),
            Err(_) => self,
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.push((name, value));
        self
    }

    pub(super) fn into_response(self, asked: &Asked) -> Response {
        let response = self.write(asked).unwrap_or_else(|error| {
            // Without randomness there is no token for the cookie, and no session without it.
            ApiError::from(Error::from(error)).into()
        });
        reply::for_method(&asked.method, response)
    }

    fn write(self, asked: &Asked) -> Result<Response, RandomnessUnavailable> {
        let randomness = asked.cloud.randomness().as_ref();
        let envelope = Envelope {
            header: Header {
                id: random_uuid(randomness)?.to_string(),
                status: if self.is_success { "success" } else { "error" },
                servertime: asked.cloud.clock().now().unix_seconds(),
                action: asked.page.action().to_string(),
                message: &self.message,
                url: &asked.path,
                code: self.status.as_u16(),
            },
            body: &self.body,
        };
        let mut response = reply::with_status(self.status, &envelope);
        let headers = response.headers_mut();
        headers.insert(VERSION, HeaderValue::from_static("1.3.0"));
        for (name, path) in PLACES {
            let place = HeaderValue::try_from(format!("{}{path}", asked.prefix));
            if let Ok(place) = place {
                headers.insert(name, place);
            }
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        let authenticated = if self.is_authenticated {
            "true"
        } else {
            "false"
        };
        headers.insert(AUTHENTICATED, HeaderValue::from_static(authenticated));
        if let Some(progress) = self.progress.text() {
            headers.insert(PROGRESS, HeaderValue::from_static(progress));
        }
        if self.has_error_header {
            headers.insert(ERROR, TRUE);
        }
        if self.progress == Progress::Complete
            && let Ok(front_page) = HeaderValue::try_from(format!("{}/", asked.prefix))
        {
            headers.insert(REFER, front_page);
        }
        headers.extend(self.more);
        let csrf = || random_uuid(randomness).map(|token| cookies::csrf(asked, Some(token)));
        let set = match &self.cookies {
            Cookies::Kept => [None, None],
            Cookies::Session(token) => [cookies::session(asked, Some(token)), csrf()?],
            Cookies::Csrf => [None, csrf()?],
            Cookies::Forgotten => [cookies::session(asked, None), cookies::csrf(asked, None)],
        };
        for cookie in set.into_iter().flatten() {
            headers.append(SET_COOKIE, cookie);
        }
        Ok(response)
    }
}

/// What clients undo with PHP's `stripslashes` and `urldecode`.
fn encode(message: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    let encoded = utf8_percent_encode(message, ENCODED).to_string();
    let mut quoted = String::with_capacity(encoded.len() + 64);
    for c in encoded.replace("%20", "+").chars() {
        if matches!(
            c,
            '.' | '\\' | '+' | '*' | '?' | '[' | '^' | ']' | '$' | '(' | ')'
        ) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_encoded_as_clients_undo_it() {
        let message = "-----BEGIN PGP MESSAGE-----\n\nwV4D/+=.\n-----END PGP MESSAGE-----\n";
        let encoded = encode(message);
        assert_eq!(
            encoded,
            r"-----BEGIN\+PGP\+MESSAGE-----%0A%0AwV4D%2F%2B%3D\.%0A-----END\+PGP\+MESSAGE-----%0A"
        );
        let unquoted = encoded.replace('\\', "").replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&unquoted);
        assert_eq!(decoded.decode_utf8().unwrap(), message);
    }
}
