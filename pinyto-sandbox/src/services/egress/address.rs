//! Which addresses are on the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// IANA's IPv4 special-purpose address registry, and one address more.
const NOT_PUBLIC_V4: [Ipv4Net; 17] = [
    // "This" network and the unspecified address.
    v4(0, 0, 0, 0, 8),
    // Private.
    v4(10, 0, 0, 0, 8),
    // Shared by a carrier's customers.
    v4(100, 64, 0, 0, 10),
    // Loopback.
    v4(127, 0, 0, 0, 8),
    // Link-local: where clouds answer with their metadata.
    v4(169, 254, 0, 0, 16),
    // Azure's own services have this one, although it is nobody's by the registry.
    v4(168, 63, 129, 16, 32),
    // Private.
    v4(172, 16, 0, 0, 12),
    // Protocol assignments.
    v4(192, 0, 0, 0, 24),
    // Documentation.
    v4(192, 0, 2, 0, 24),
    // Relays of 6to4.
    v4(192, 88, 99, 0, 24),
    // Private.
    v4(192, 168, 0, 0, 16),
    // Benchmarks.
    v4(198, 18, 0, 0, 15),
    // Documentation.
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // Multicast.
    v4(224, 0, 0, 0, 4),
    // Reserved, and broadcast.
    v4(240, 0, 0, 0, 4),
    v4(255, 255, 255, 255, 32),
];

/// All of IPv6 that is given out. Outside are loopback, unspecified, IPv4-mapped and -compatible,
/// local, unique local and multicast addresses.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What isn't public inside of [`GLOBAL_V6`].
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    // Protocol assignments: Teredo, benchmarks, ORCHID.
    v6(0x2001, 0, 23),
    // Documentation.
    v6(0x2001, 0xdb8, 32),
    // 6to4, which has an IPv4 address inside.
    v6(0x2002, 0, 16),
    // Documentation.
    v6(0x3fff, 0, 20),
];

/// NAT64 (RFC 6052): how a host without IPv4 reaches an IPv4 address, its last four bytes.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);

/// Which addresses code may reach.
#[derive(Debug)]
pub(super) struct AddressRules {
    /// Allowed although they are not public.
    pub(super) allowed: Vec<IpNet>,
    /// Never allowed.
    pub(super) denied: Vec<IpNet>,
}

impl AddressRules {
    pub(super) fn allow(&self, address: IpAddr) -> bool {
        let reached = behind_nat64(address);
        let within = |networks: &[IpNet]| {
            networks
                .iter()
                .any(|network| network.contains(&address) || network.contains(&reached))
        };
        !within(&self.denied) && (is_public(reached) || within(&self.allowed))
    }
}

fn behind_nat64(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => {
            GLOBAL_V6.contains(&v6) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&v6))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn public(text: &str) -> bool {
        AddressRules {
            allowed: Vec::new(),
            denied: Vec::new(),
        }
        .allow(text.parse().unwrap())
    }

    #[test]
    fn what_is_not_on_the_public_internet_is_refused() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:0:127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "4000::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn what_is_on_the_public_internet_is_allowed() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "168.63.129.17",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2600::1",
            "2a00::1",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn the_operator_may_allow_and_deny_networks() {
        let rules = AddressRules {
            allowed: vec!["10.1.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()],
            denied: vec![
                "10.1.2.0/24".parse().unwrap(),
                "8.8.8.0/24".parse().unwrap(),
            ],
        };
        let allow = |text: &str| rules.allow(text.parse().unwrap());
        for address in ["10.1.0.1", "fd00::1", "1.1.1.1", "64:ff9b::10.1.0.1"] {
            assert!(allow(address), "{address}");
        }
        for address in [
            "10.1.2.3",
            "8.8.8.8",
            "64:ff9b::8.8.8.8",
            "10.2.0.1",
            "::ffff:10.1.0.1",
        ] {
            assert!(!allow(address), "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv6_address_gets_nowhere_its_ipv4_address_does_not(octets: [u8; 4]) {
            let v4 = Ipv4Addr::from(octets);
            let [a, b, c, d] = octets.map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            prop_assert!(!is_public(v4.to_ipv6_mapped().into()));
            prop_assert!(!is_public(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into()));
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(public(&nat64.to_string()), is_public(v4.into()));
        }

        /// What the standard library knows for certain, against the tables.
        #[test]
        fn nothing_internal_is_public(octets: [u8; 4]) {
            let v4 = Ipv4Addr::from(octets);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified()
            {
                prop_assert!(!is_public(v4.into()));
            }
        }
    }
}
