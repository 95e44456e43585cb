//! The address a request came from, as throttling and audit lines use it.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

/// The client's address; the listener puts it into every request's extensions.
///
/// A filter reads it with `warp::ext::optional::<ClientAddress>()`. An IPv4 client of a dual-stack
/// socket appears with its IPv4 address, never as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address of the connection itself: what cannot be forged.
    pub fn of_peer(peer: IpAddr) -> Self {
        Self(peer.to_canonical())
    }

    /// The address our own proxy reports: the last entry of the last `X-Forwarded-For`.
    ///
    /// Earlier entries are whatever the client claimed. Without the header, or when its last entry
    /// is no address, the peer counts. Only right behind a proxy that appends to the header.
    pub fn behind_proxy(peer: IpAddr, headers: &HeaderMap) -> Self {
        let reported = headers
            .get_all("x-forwarded-for")
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok())
            .and_then(|list| list.rsplit(',').next())
            .and_then(|entry| parse(entry.trim()));
        Self::of_peer(reported.unwrap_or(peer))
    }
}

/// Proxies write `a.b.c.d`, `a.b.c.d:port`, `v6`, `[v6]` or `[v6]:port`.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    bare.parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn behind_proxy(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        ClientAddress::behind_proxy(PEER, &headers).0.to_string()
    }

    #[test]
    fn only_the_last_entry_of_the_last_header_counts() {
        assert_eq!(behind_proxy(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(behind_proxy(&["6.6.6.6, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            behind_proxy(&["6.6.6.6", "7.7.7.7,192.0.2.1 "]),
            "192.0.2.1"
        );
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        assert_eq!(behind_proxy(&["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(behind_proxy(&["2001:db8::1"]), "2001:db8::1");
        assert_eq!(behind_proxy(&["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(behind_proxy(&["[2001:db8::1]:443"]), "2001:db8::1");
    }

    #[test]
    fn nonsense_falls_back_to_the_peer() {
        for nonsense in [
            &[][..],
            &[""],
            &["unknown"],
            &["192.0.2.1, "],
            &["192.0.2.1, _hidden"],
        ] {
            assert_eq!(behind_proxy(nonsense), "10.0.0.1", "{nonsense:?}");
        }
    }

    #[test]
    fn a_mapped_address_appears_as_ipv4() {
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(ClientAddress::of_peer(mapped).0.to_string(), "192.0.2.7");
    }
}
