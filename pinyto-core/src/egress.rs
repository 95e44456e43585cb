//! What code may fetch from other servers.
//!
//! The core opens no connections. [`Egress`] is what does; `pinyto-sandbox` has one that keeps
//! code away from everything internal.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{id::UserId, runtime::ServiceException};

/// Fetches what code asks for, or refuses to.
#[async_trait]
pub trait Egress: Send + Sync {
    /// The text that the URL leads to, after redirects. Bounded in time and size. Users are served
    /// in turn, so that many fetches of one don't delay those of others.
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// [`EgressError`] for everything but an answer with status 200;
    /// [`EgressError::exception`] tells whether the code learns of it.
    async fn fetch(&self, request: &EgressRequest) -> Result<String, EgressError>;
}

/// What code wants to fetch.
#[derive(Clone)]
#[non_exhaustive]
pub struct EgressRequest {
    /// The user the code runs for.
    pub user: UserId,
    /// What the call may still send. The first request has been taken from it; each redirect that
    /// is followed takes one more.
    pub requests: Arc<RequestBudget>,
    /// As the code wrote it.
    pub url: String,
    /// The fields of a form to send with `POST`; without them it is a `GET`.
    pub form: Option<Vec<(String, String)>>,
    /// The hosts the assembly has declared. It can reach no others, also not by a redirect. With
    /// `None` only the operator's lists hold.
    pub allowed_hosts: Option<Vec<HostPattern>>,
}

impl EgressRequest {
    /// To get what is at a URL, for the code of a user; whatever its assembly has declared.
    #[must_use]
    pub fn get(user: UserId, url: impl Into<String>, requests: Arc<RequestBudget>) -> Self {
        Self {
            user,
            requests,
            url: url.into(),
            form: None,
            allowed_hosts: None,
        }
    }
}

/// Tells neither the URL nor the form: both may have secrets of the user.
impl fmt::Debug for EgressRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressRequest")
            .field("allowed_hosts", &self.allowed_hosts)
            .finish_non_exhaustive()
    }
}

/// How many requests one call may send, redirects included.
#[derive(Debug)]
pub struct RequestBudget {
    limit: usize,
    sent: AtomicUsize,
}

impl RequestBudget {
    /// Of which nothing is used up.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            sent: AtomicUsize::new(0),
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    ///
    /// [`EgressError::TooManyRequests`] if there is none left.
    pub fn take(&self) -> Result<(), EgressError> {
        let more = |sent: usize| (sent < self.limit).then(|| sent + 1);
        self.sent
            .fetch_update(Relaxed, Relaxed, more)
            .map(drop)
            .map_err(|_| EgressError::TooManyRequests(self.limit))
    }
}

/// Why nothing was fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// The text is no URL of another server.
    #[error("That URL can't be fetched: {reason}.")]
    InvalidUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The URL (or a redirect) asks for something else than HTTP.
    #[error("Only http and https URLs can be fetched.")]
    ForbiddenScheme,
    /// The URL (or a redirect) asks for a port that is not for the web.
    #[error("Port {port} can't be reached. Ports 80, 443 and most from 1024 on can.")]
    ForbiddenPort {
        /// Which one.
        port: u16,
    },
    /// The operator doesn't allow the host.
    #[error("The operator of this server doesn't allow the host {host}.")]
    ForbiddenHost {
        /// Which one.
        host: String,
    },
    /// The assembly hasn't declared the host.
    #[error("The assembly has not declared that it uses the host {host}.")]
    UndeclaredHost {
        /// Which one.
        host: String,
    },
    /// The host is internal by its name or by one of its addresses.
    #[error(
        "The host {host} is not on the public internet, or its address is not written plainly."
    )]
    ForbiddenAddress {
        /// Which one.
        host: String,
    },
    /// There is no such host, it refuses connections, or its certificate is not valid.
    #[error("The host can't be reached.")]
    Unreachable,
    /// The answer is no HTTP, ends early or is coded in a way that was not asked for.
    #[error("The answer can't be read.")]
    Unreadable,
    /// It took too long.
    #[error("The answer took longer than {} s.", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The answer is too large.
    #[error("The answer has more than {0} bytes.")]
    TooLarge(usize),
    /// Each redirect leads to another one.
    #[error("There are more than {0} redirects.")]
    TooManyRedirects(usize),
    /// The answer's status is not 200.
    #[error("The answer's status is {0}.")]
    Status(u16),
    /// The call has sent all the requests that it may.
    #[error("One call may send {0} requests by Http, redirects included.")]
    TooManyRequests(usize),
}

impl EgressError {
    /// What is raised in the code. `None`: the code gets an empty text, as for everything that may
    /// happen with a URL that it had every right to ask for.
    #[must_use]
    pub const fn exception(&self) -> Option<ServiceException> {
        match self {
            Self::InvalidUrl { .. } => Some(ServiceException::Value),
            Self::ForbiddenScheme
            | Self::ForbiddenPort { .. }
            | Self::ForbiddenHost { .. }
            | Self::UndeclaredHost { .. }
            | Self::ForbiddenAddress { .. } => Some(ServiceException::Permission),
            Self::TooManyRequests(_) => Some(ServiceException::Runtime),
            Self::Unreachable
            | Self::Unreadable
            | Self::TimedOut(_)
            | Self::TooLarge(_)
            | Self::TooManyRedirects(_)
            | Self::Status(_) => None,
        }
    }

    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl { .. } => "invalid_url",
            Self::ForbiddenScheme => "forbidden_scheme",
            Self::ForbiddenPort { .. } => "forbidden_port",
            Self::ForbiddenHost { .. } => "forbidden_host",
            Self::UndeclaredHost { .. } => "undeclared_host",
            Self::ForbiddenAddress { .. } => "forbidden_address",
            Self::Unreachable => "unreachable",
            Self::Unreadable => "unreadable_answer",
            Self::TimedOut(_) => "timed_out",
            Self::TooLarge(_) => "answer_too_large",
            Self::TooManyRedirects(_) => "too_many_redirects",
            Self::Status(_) => "unexpected_status",
            Self::TooManyRequests(_) => "too_many_requests",
        }
    }
}

/// Which hosts: `example.org` is that name alone, `*.example.org` all names below it (but not
/// itself), `192.0.2.1` or `2001:db8::1` an address as a URL may have it.
///
/// A pattern with a name says nothing about the addresses the name leads to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(Pattern);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Pattern {
    Name(String),
    /// With the dot that stands before it.
    Below(String),
    Address(IpAddr),
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "A host is a name like example.org, *.example.org for all names below it, or an IP address. Names beyond ASCII are written with xn--."
)]
#[non_exhaustive]
pub struct InvalidHostPattern;

impl InvalidHostPattern {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_host_pattern"
    }
}

impl HostPattern {
    /// Reads a pattern; capitals and a final dot don't matter.
    ///
    /// # Errors
    ///
    /// [`InvalidHostPattern`] if the text is none.
    pub fn parse(text: &str) -> Result<Self, InvalidHostPattern> {
        if let Some(address) = address(text) {
            return Ok(Self(Pattern::Address(address)));
        }
        let text = without_final_dot(text);
        let (name, is_below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if !is_host_name(name) {
            return Err(InvalidHostPattern);
        }
        let name = name.to_ascii_lowercase();
        Ok(Self(if is_below {
            Pattern::Below(format!(".{name}"))
        } else {
            Pattern::Name(name)
        }))
    }

    /// Whether it stands for this host of a URL, an IPv6 address with or without its brackets.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let name = without_final_dot(host);
        match &self.0 {
            Pattern::Name(wanted) => name.eq_ignore_ascii_case(wanted),
            Pattern::Below(ending) => name
                .len()
                .checked_sub(ending.len())
                .filter(|before| *before > 0)
                .and_then(|before| name.get(before..))
                .is_some_and(|end| end.eq_ignore_ascii_case(ending)),
            Pattern::Address(wanted) => address(host) == Some(*wanted),
        }
    }
}

fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn address(host: &str) -> Option<IpAddr> {
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Whether the text is a host's name in ASCII, without a final dot: at most 253 characters, labels
/// of 1 to 63 letters, digits, `-` and `_` (RFC 1123, and the `_` that some have), the last one no
/// number, since that would be an address.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253
        && text.split('.').all(is_label)
        && text.rsplit('.').next().is_some_and(|last| {
            !last.bytes().all(|byte| byte.is_ascii_digit())
                && !last.to_ascii_lowercase().starts_with("0x")
        })
}

/// As [`HostPattern::parse`] reads it.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Name(name) => f.write_str(name),
            Pattern::Below(ending) => write!(f, "*{ending}"),
            Pattern::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidHostPattern;

    fn try_from(text: String) -> Result<Self, InvalidHostPattern> {
        Self::parse(&text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, host: &str) -> bool {
        HostPattern::parse(pattern).unwrap().matches(host)
    }

    #[test]
    fn a_name_stands_for_itself_alone() {
        for host in ["example.org", "EXAMPLE.org", "example.org."] {
            assert!(matches("example.org", host), "{host}");
            assert!(matches("Example.ORG.", host), "{host}");
        }
        for host in ["www.example.org", "example.org.evil", "xample.org", "", "."] {
            assert!(!matches("example.org", host), "{host}");
        }
    }

    #[test]
    fn a_star_stands_for_all_names_below() {
        for host in ["www.example.org", "a.b.example.org", "WWW.example.ORG."] {
            assert!(matches("*.example.org", host), "{host}");
        }
        for host in [
            "example.org",
            ".example.org",
            "badexample.org",
            "example.com",
            "é.org",
        ] {
            assert!(!matches("*.example.org", host), "{host}");
        }
    }

    #[test]
    fn an_address_stands_for_all_its_spellings_in_urls() {
        assert!(matches("192.0.2.1", "192.0.2.1"));
        assert!(matches("2001:db8::1", "[2001:db8::1]"));
        assert!(matches("[2001:DB8:0::1]", "2001:db8::1"));
        assert!(!matches("2001:db8::1", "[2001:db8::2]"));
        assert!(!matches("192.0.2.1", "example.org"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.org", "a".repeat(64));
        for text in [
            "",
            ".",
            "*",
            "*.",
            "a..b",
            "*.*.org",
            "a*.org",
            "http://a.org",
            "a.org/",
            "a.org:80",
            "ä.org",
            "a b.org",
            "1.2.3",
            "127.1",
            "0x7f.0x1",
            "2130706433",
            "a@b.org",
            "[::1",
            &long,
        ] {
            assert_eq!(HostPattern::parse(text), Err(InvalidHostPattern), "{text}");
        }
    }

    #[test]
    fn only_what_the_code_had_no_right_to_ask_for_is_raised() {
        let host = || "example.org".to_owned();
        let raised = [
            (EgressError::InvalidUrl { reason: host() }, "ValueError"),
            (EgressError::ForbiddenScheme, "PermissionError"),
            (EgressError::ForbiddenPort { port: 25 }, "PermissionError"),
            (
                EgressError::ForbiddenHost { host: host() },
                "PermissionError",
            ),
            (
                EgressError::UndeclaredHost { host: host() },
                "PermissionError",
            ),
            (
                EgressError::ForbiddenAddress { host: host() },
                "PermissionError",
            ),
            (EgressError::TooManyRequests(10), "RuntimeError"),
        ];
        for (error, name) in raised {
            assert_eq!(error.exception().unwrap().name(), name, "{error}");
        }
        for error in [
            EgressError::Unreachable,
            EgressError::Unreadable,
            EgressError::TimedOut(Duration::from_secs(10)),
            EgressError::TooLarge(1),
            EgressError::TooManyRedirects(5),
            EgressError::Status(404),
        ] {
            assert_eq!(error.exception(), None, "{error}");
        }
    }

    #[test]
    fn so_many_requests_may_be_taken_and_no_more() {
        let budget = RequestBudget::new(2);
        assert_eq!(budget.take(), Ok(()));
        assert_eq!(budget.take(), Ok(()));
        for _ in 0..2 {
            assert_eq!(budget.take(), Err(EgressError::TooManyRequests(2)));
        }
    }

    #[test]
    fn neither_url_nor_form_is_shown() {
        let request = EgressRequest {
            user: UserId::new(1),
            requests: Arc::new(RequestBudget::new(1)),
            url: "https://example.org/?key=secret".to_owned(),
            form: Some(vec![("password".to_owned(), "secret".to_owned())]),
            allowed_hosts: Some(vec![HostPattern::parse("*.example.org").unwrap()]),
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("*.example.org"));
        assert!(!shown.contains("secret"));
    }

    proptest! {
        #[test]
        fn a_pattern_is_read_as_it_is_written(text in "(\\*\\.)?[a-zA-Z0-9_-]{1,10}(\\.[a-z0-9]{1,4}){0,3}\\.?") {
            if let Ok(pattern) = HostPattern::parse(&text) {
                let again = HostPattern::parse(&pattern.to_string()).unwrap();
                prop_assert_eq!(&again, &pattern);
                let json = serde_json::to_string(&pattern).unwrap();
                prop_assert_eq!(serde_json::from_str::<HostPattern>(&json).unwrap(), pattern);
            }
        }
    }
}
