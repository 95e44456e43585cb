//! Whose pages may call: cross-origin resource sharing.

use http::{
    HeaderMap, HeaderValue,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, VARY},
};
use warp::{Filter, Rejection, filters::BoxedFilter, reply::Response};

/// Whose pages' scripts may call and read the answers, as browsers enforce it.
///
/// It keeps no program out but pages in a browser, and these hold no right that they weren't given:
/// the token is never a cookie, but for gpgAuth's, which no foreign page can have sent.
///
/// All routes follow it. What a `listener` answers itself follows
/// `Listener::with_allowed_origins`, and your own routes what you have them say: an
/// [`ApiError`](crate::ApiError) as their answer is made for everybody.
///
/// ```
/// use pinyto_http::{AllowedOrigins, HttpSettings, Origin};
///
/// let mut settings = HttpSettings::default();
/// settings.allowed_origins = AllowedOrigins::Only(vec![Origin::parse("https://app.example")?]);
/// # drop(settings);
/// # Ok::<_, pinyto_http::InvalidOrigin>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllowedOrigins {
    /// Everybody's.
    #[default]
    Any,
    /// Pages of these origins; without any, only the server's own.
    Only(Vec<Origin>),
}

impl AllowedOrigins {
    /// A sentence for who writes clients.
    #[cfg(feature = "openapi")]
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Any => "Pages of any origin may call.".to_owned(),
            Self::Only(origins) if origins.is_empty() => {
                "No pages of other origins may call.".to_owned()
            }
            Self::Only(origins) => {
                let origins: Vec<&str> = origins.iter().map(Origin::as_str).collect();
                format!("Pages of these origins may call: {}.", origins.join(", "))
            }
        }
    }
}

impl AllowedOrigins {
    /// Where the page comes from that asks, if that matters.
    #[cfg(feature = "listener")]
    pub(crate) fn page(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Self::Any => None,
            Self::Only(_) => headers.get(ORIGIN).cloned(),
        }
    }

    /// Lets only pages of these origins read an answer that was made for everybody. Those without a
    /// header of that kind, as the server's own pages, stay as they are.
    pub(crate) fn restrict(&self, headers: &mut HeaderMap, page: Option<HeaderValue>) {
        let Self::Only(allowed) = self else {
            return;
        };
        if headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN).is_none() {
            return;
        }
        headers.append(VARY, HeaderValue::from(ORIGIN));
        if let Some(page) = page.filter(|page| allowed.iter().any(|origin| origin.0 == *page)) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
        }
    }
}

/// Where a page comes from, as browsers write it: `https://app.example`, `http://localhost:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// A text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is as browsers write it, such as https://app.example or http://localhost:8080: in \
     lower case, without a path, a slash at the end or the scheme's own port, at most 256 bytes"
)]
#[non_exhaustive]
pub struct InvalidOrigin;

impl InvalidOrigin {
    /// The stable name of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_origin"
    }
}

impl Origin {
    /// The most bytes it has.
    pub const MAX_LENGTH: usize = 256;

    /// Checks `text`. Other schemes than those of the web are for apps, as `capacitor://localhost`.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`], also for what browsers would write otherwise, since that would never match.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidOrigin);
        }
        let (scheme, place) = text.split_once("://").ok_or(InvalidOrigin)?;
        // An IPv6 address has colons of its own, in brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        if is_scheme(scheme) && is_host(host) && port.is_none_or(|port| is_port(scheme, port)) {
            HeaderValue::from_str(text)
                .map(Self)
                .map_err(|_| InvalidOrigin)
        } else {
            Err(InvalidOrigin)
        }
    }

    /// The origin as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was parsed from ASCII.
        self.0.to_str().unwrap_or_default()
    }
}

fn is_scheme(text: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c);
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(is_inner)
}

fn is_host(text: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    let in_brackets = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match in_brackets {
        Some(address) => {
            let parsed: Option<std::net::Ipv6Addr> = address.parse().ok();
            parsed.is_some_and(|parsed| parsed.to_string() == address)
        }
        None => !text.is_empty() && text.bytes().all(is_plain),
    }
}

/// A port that is not the scheme's own, which browsers leave out.
fn is_port(scheme: &str, text: &str) -> bool {
    let own = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let parsed: Option<u16> = text.parse().ok();
    parsed.is_some_and(|port| port.to_string() == text && Some(port) != own)
}

/// Lets only pages of some origins read what a filter answers.
pub(crate) trait ForOrigins: Filter<Extract = (Response,)> {
    /// Boxed, with the answers as pages of these origins may read them.
    fn for_origins(self, origins: AllowedOrigins) -> BoxedFilter<(Response,)>
    where
        Self: Sized + Send + Sync + 'static,
        Self::Error: Into<Rejection>;
}

impl<F: Filter<Extract = (Response,)>> ForOrigins for F {
    fn for_origins(self, origins: AllowedOrigins) -> BoxedFilter<(Response,)>
    where
        Self: Sized + Send + Sync + 'static,
        Self::Error: Into<Rejection>,
    {
        let filter = self.boxed();
        // Answers are made for everybody.
        if origins == AllowedOrigins::Any {
            return filter;
        }
        warp::header::value("origin")
            .map(Some)
            .or(warp::any().map(|| None))
            .unify()
            .and(filter)
            .map(move |page: Option<HeaderValue>, mut answer: Response| {
                origins.restrict(answer.headers_mut(), page);
                answer
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_write() {
        for good in [
            "https://app.example",
            "http://localhost:8080",
            "https://192.0.2.1:8443",
            "http://[::1]:3000",
            "https://[2001:db8::1]",
            "http://a.example:443",
            "capacitor://localhost",
            "moz-extension://0f6d-11",
        ] {
            assert_eq!(Origin::parse(good).unwrap().as_str(), good);
        }
        let long = format!("https://{}", "a".repeat(249));
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://App.example",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example:443",
            "http://app.example:80",
            "http://app.example:080",
            "http://app.example:",
            "http://app.example:65536",
            "http://[::0:1]",
            "http://[app]",
            "http://::1",
            "https://a b",
            "https://ä.example",
            "https://ada@app.example",
            "https://app.example\r\nx: y",
            &long,
        ] {
            assert_eq!(Origin::parse(bad), Err(InvalidOrigin), "{bad}");
        }
    }
}
