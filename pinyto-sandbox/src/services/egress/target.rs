//! Which URLs may be fetched, before anything is resolved or connected to.

use std::net::{IpAddr, Ipv4Addr};

use pinyto_core::egress::{EgressError, HostPattern, is_host_name};
use url::{Host, Url};

use super::address::AddressRules;

/// The longest URL in bytes.
const MAX_URL: usize = 8192;

/// Ports from 1024 on that browsers refuse as well, since other protocols take a request for
/// theirs: the "bad ports" of the Fetch standard, and usual ports of databases and the like.
const NOT_FOR_THE_WEB: [u16; 28] = [
    1719, 1720, 1723, 2049, 2375, 2379, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 6000, 6379,
    6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9092, 10080, 11211, 27017,
];

/// Names that are not on the public internet (RFC 6761, 6762, 7686, 8375; ICANN's `internal`).
const INTERNAL_NAMES: [&str; 5] = ["localhost", "local", "internal", "home.arpa", "onion"];

/// What an URL leads to. An address still has to be checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As in the URL, but without a final dot or brackets.
    pub(super) host: String,
    /// If the host is an address.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) is_https: bool,
}

/// Everything an operator decides about hosts.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) allowed: Option<Vec<HostPattern>>,
    pub(super) denied: Vec<HostPattern>,
    pub(super) addresses: AddressRules,
}

/// Reads an URL as the code wrote it.
pub(super) fn parse(text: &str) -> Result<Url, EgressError> {
    if text.len() > MAX_URL {
        return Err(invalid(format!("it is longer than {MAX_URL} bytes")));
    }
    let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    match url.host() {
        Some(Host::Ipv4(address)) if !is_plain(text, address) => Err(forbidden_address(&url)),
        _ => Ok(url),
    }
}

/// Where a redirect leads to.
pub(super) fn follow(url: &Url, location: &str) -> Result<Url, EgressError> {
    if location.len() > MAX_URL {
        return Err(EgressError::Unreadable);
    }
    url.join(location).map_err(|_| EgressError::Unreadable)
}

/// Whether the address stands in the text as four decimal numbers. Who writes it in octal, as one
/// number or with other digits wants to get past somebody.
fn is_plain(text: &str, address: Ipv4Addr) -> bool {
    text.trim()
        .split_once("://")
        .map(|(_, rest)| rest.split(['/', '?', '#', ':']).next().unwrap_or(rest))
        .is_some_and(|host| host == address.to_string())
}

impl Rules {
    /// Checks everything about the URL but the addresses its name leads to.
    pub(super) fn check(
        &self,
        url: &Url,
        declared: Option<&[HostPattern]>,
    ) -> Result<Target, EgressError> {
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(EgressError::ForbiddenScheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it has a user name or password".to_owned()));
        }
        let (host, address) = match url.host() {
            Some(Host::Ipv4(address)) => (address.to_string(), Some(address.into())),
            Some(Host::Ipv6(address)) => (address.to_string(), Some(address.into())),
            Some(Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                if !is_host_name(name) {
                    return Err(invalid("its host is no name".to_owned()));
                }
                (name.to_owned(), None)
            }
            None => return Err(invalid("it has no host".to_owned())),
        };
        let port = url
            .port_or_known_default()
            .ok_or(EgressError::ForbiddenScheme)?;
        if !(matches!(port, 80 | 443) || (port >= 1024 && !NOT_FOR_THE_WEB.contains(&port))) {
            return Err(EgressError::ForbiddenPort { port });
        }
        self.check_host(&host, declared)?;
        match address {
            Some(address) if !self.addresses.allow(address) => Err(forbidden_address(url)),
            None if is_internal(&host) && !self.is_allowed_by_name(&host) => {
                Err(forbidden_address(url))
            }
            _ => Ok(Target {
                host,
                address,
                port,
                is_https,
            }),
        }
    }

    fn check_host(&self, host: &str, declared: Option<&[HostPattern]>) -> Result<(), EgressError> {
        let listed = |list: &[HostPattern]| list.iter().any(|pattern| pattern.matches(host));
        if listed(&self.denied) || self.allowed.as_deref().is_some_and(|list| !listed(list)) {
            return Err(EgressError::ForbiddenHost {
                host: host.to_owned(),
            });
        }
        if declared.is_some_and(|list| !listed(list)) {
            return Err(EgressError::UndeclaredHost {
                host: host.to_owned(),
            });
        }
        Ok(())
    }

    fn is_allowed_by_name(&self, host: &str) -> bool {
        self.allowed
            .as_deref()
            .is_some_and(|list| list.iter().any(|pattern| pattern.matches(host)))
    }
}

/// Whether the name is one of a local network. It isn't even resolved then, so that code can't
/// find out which names there are.
fn is_internal(name: &str) -> bool {
    !name.contains('.')
        || INTERNAL_NAMES.iter().any(|internal| {
            name.strip_suffix(internal)
                .is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
}

fn forbidden_address(url: &Url) -> EgressError {
    EgressError::ForbiddenAddress {
        host: url.host_str().unwrap_or_default().to_owned(),
    }
}

fn invalid(reason: String) -> EgressError {
    EgressError::InvalidUrl { reason }
}
