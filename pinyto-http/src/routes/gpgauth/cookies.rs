//! The cookies of gpgAuth's clients.

use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header::COOKIE};
use pinyto_core::{
    challenge::RequestToken,
    randomness::{Randomness, RandomnessUnavailable},
};
use uuid::{Builder, Uuid};

use super::Asked;

/// What a page has to read from its cookie, and send back in this header.
const CSRF_COOKIE: &str = "csrfToken";
const CSRF_HEADER: &str = "x-csrf-token";

/// The name of the session's cookie: 1 to 64 letters, digits, `-` and `_`, and not that of another
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

/// A text is no name of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cookie's name has 1 to 64 letters, digits, - and _, and is not {CSRF_COOKIE}")]
#[non_exhaustive]
pub struct InvalidCookieName;

impl InvalidCookieName {
    /// The stable name of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_cookie_name"
    }
}

impl CookieName {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`InvalidCookieName`].
    pub fn parse(text: &str) -> Result<Self, InvalidCookieName> {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
        let is_right_long = (1..=64).contains(&text.len());
        if is_right_long && text.bytes().all(is_plain) && text != CSRF_COOKIE {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCookieName)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `passbolt_session`, because some clients insist on that.
impl Default for CookieName {
    fn default() -> Self {
        Self("passbolt_session".to_owned())
    }
}

/// The value of the first cookie of that name.
fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let texts = headers.get_all(COOKIE).iter();
    let mut cookies = texts
        .filter_map(|text| text.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find_map(|(found, value)| (found == name).then_some(value))
}

/// The request token in the session's cookie.
pub(super) fn token(headers: &HeaderMap, name: &str) -> Option<RequestToken> {
    value(headers, name)
        .filter(|value| !value.is_empty())
        .map(RequestToken::new)
}

/// Whether the request is a page's that can read our cookies: no foreign one can.
pub(super) fn csrf_token_is_doubled(headers: &HeaderMap) -> bool {
    let header = headers
        .get(CSRF_HEADER)
        .and_then(|value| value.to_str().ok());
    match (value(headers, CSRF_COOKIE), header) {
        (Some(cookie), Some(header)) => !cookie.is_empty() && cookie == header,
        _ => false,
    }
}

/// `Set-Cookie` for the session's token; to forget it if there is none.
pub(super) fn session(asked: &Asked, token: Option<&str>) -> Option<HeaderValue> {
    set(asked, asked.settings.cookie.as_str(), token, true)
}

/// `Set-Cookie` for a token of [`csrf_token_is_doubled`]; to forget it if there is none.
pub(super) fn csrf(asked: &Asked, token: Option<Uuid>) -> Option<HeaderValue> {
    let token = token.map(|token| token.to_string());
    set(asked, CSRF_COOKIE, token.as_deref(), false)
}

/// A UUID that nobody can predict.
pub(super) fn random_uuid(randomness: &dyn Randomness) -> Result<Uuid, RandomnessUnavailable> {
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes)?;
    Ok(Builder::from_random_bytes(bytes).into_uuid())
}

fn set(asked: &Asked, name: &str, value: Option<&str>, http_only: bool) -> Option<HeaderValue> {
    let path = match asked.prefix.as_str() {
        "" => "/",
        prefix => prefix,
    };
    let mut cookie = Cookie::build((name, value.unwrap_or_default()))
        .path(path)
        .same_site(SameSite::Strict)
        .secure(asked.settings.secure_cookies)
        .http_only(http_only)
        .build();
    if value.is_none() {
        cookie.make_removal();
    }
    HeaderValue::from_str(&cookie.to_string()).ok()
}
