//! The counts of one process.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hkdf::Hkdf;
use sha2::Sha256;

use super::{
    Attempt, Settled, Subject, ThrottleSettings,
    failures::{Failures, Refusal, Tries},
};
use crate::{
    challenge::ServerKey,
    clock::{Clock, Timestamp},
    user::UserName,
};

/// Whose failures count: the name that was tried (whether anybody has it or not), or none.
pub(crate) type Account<'a> = Option<&'a UserName>;

pub(crate) struct Throttle {
    settings: ThrottleSettings,
    clock: Arc<dyn Clock>,
    subjects: Subjects,
    counts: Mutex<Counts>,
}

struct Counts {
    accounts: Failures<UserName>,
    addresses: Failures<IpAddr>,
}

impl Throttle {
    pub(crate) fn new(
        settings: &ThrottleSettings,
        clock: Arc<dyn Clock>,
        server_key: &ServerKey,
    ) -> Self {
        Self {
            settings: settings.clone(),
            clock,
            subjects: Subjects::new(server_key),
            counts: Mutex::new(Counts {
                accounts: Failures::new(settings.account),
                addresses: Failures::new(settings.address),
            }),
        }
    }

    pub(super) fn check(
        &self,
        account: Account<'_>,
        address: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        self.with(|counts, now| counts.check(Tries::Failed, account, address, now))
            .unwrap_or(Ok(()))
    }

    /// Checks and counts in one go, so that of many who come at once no more get through than may
    /// fail.
    pub(super) fn begin(
        &self,
        account: Account<'_>,
        address: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        self.with(|counts, now| {
            counts.check(Tries::FailedOrRunning, account, address, now)?;
            counts.count(account, address, now, 1);
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    pub(super) fn end(&self, account: Account<'_>, address: Option<IpAddr>, forgiven: bool) {
        self.with(|counts, _| {
            if let Some(name) = account {
                counts.accounts.end(name, forgiven);
            }
            if let Some(address) = address {
                counts.addresses.end(&network(address), forgiven);
            }
        });
    }

    pub(super) fn count(&self, account: Account<'_>, address: Option<IpAddr>) {
        self.with(|counts, now| counts.count(account, address, now, 0));
    }

    /// A try that has ended, as the store is to know it; nothing if it counts for nobody.
    pub(super) fn attempt(
        &self,
        account: Account<'_>,
        address: Option<IpAddr>,
        failed: bool,
    ) -> Option<Attempt> {
        if !self.settings.enabled {
            return None;
        }
        let account = account.map(|name| {
            let subject = self.subjects.of_account(name);
            (subject, self.settings.account)
        });
        let address = address.map(|address| {
            let subject = self.subjects.of_address(network(address));
            (subject, self.settings.address)
        });
        let subjects: Vec<_> = account.into_iter().chain(address).collect();
        (!subjects.is_empty()).then(|| Attempt {
            subjects,
            failed,
            at: self.clock.now(),
        })
    }

    /// Takes over what the store knows of those for whom the try counts.
    pub(super) fn learn(
        &self,
        account: Account<'_>,
        address: Option<IpAddr>,
        Settled {
            is_allowed,
            paid_at,
        }: &Settled,
    ) -> Result<(), Refusal> {
        self.with(|counts, now| {
            // In the order of the attempt's subjects.
            let mut paid_at = paid_at.iter().copied();
            if let Some(name) = account
                && let Some(paid_at) = paid_at.next()
            {
                counts.accounts.learn(name, paid_at, now);
            }
            if let Some(address) = address
                && let Some(paid_at) = paid_at.next()
            {
                counts.addresses.learn(&network(address), paid_at, now);
            }
            if *is_allowed {
                return Ok(());
            }
            // The moment may just have passed.
            counts.check(Tries::Failed, account, address, now)?;
            Err(Refusal {
                wait: Duration::from_millis(1),
                is_news: false,
            })
        })
        .unwrap_or(Ok(()))
    }

    /// No code panics while it holds the lock.
    fn with<T>(&self, change: impl FnOnce(&mut Counts, Timestamp) -> T) -> Option<T> {
        self.settings.enabled.then(|| {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut counts, self.clock.now())
        })
    }
}

impl Counts {
    fn check(
        &mut self,
        tries: Tries,
        account: Account<'_>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let account = account.map_or(Ok(()), |name| self.accounts.check(tries, name, now));
        let address = address.map_or(Ok(()), |address| {
            self.addresses.check(tries, &network(address), now)
        });
        match (account, address) {
            (Err(account), Err(address)) => Err(account.and(address)),
            (account, address) => account.and(address),
        }
    }

    fn count(
        &mut self,
        account: Account<'_>,
        address: Option<IpAddr>,
        now: Timestamp,
        running: u32,
    ) {
        if let Some(name) = account {
            self.accounts.count(name, now, running);
        }
        if let Some(address) = address {
            self.addresses.count(&network(address), now, running);
        }
    }
}

/// The part of an address that one party controls: a /64 of IPv6, all of IPv4.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Makes digests of names and addresses that all servers with one key have in common, and that
/// tell nothing to who has the database alone.
struct Subjects(Hkdf<Sha256>);

impl Subjects {
    /// A key that keeps its private half to itself (in hardware, say) gives its public one:
    /// servers still count together, but who has the database can try names and addresses out.
    fn new(server_key: &ServerKey) -> Self {
        let salt = Some(b"pinyto failed tries".as_slice());
        Self(match server_key.secret() {
            Ok(secret) => Hkdf::new(salt, &secret),
            Err(_) => Hkdf::new(salt, server_key.public_key().key_hash().as_str().as_bytes()),
        })
    }

    fn of_account(&self, name: &UserName) -> Subject {
        self.digest(b"account", name.as_str().as_bytes())
    }

    fn of_address(&self, network: IpAddr) -> Subject {
        match network {
            IpAddr::V4(v4) => self.digest(b"address", &v4.octets()),
            IpAddr::V6(v6) => self.digest(b"address", &v6.octets()),
        }
    }

    fn digest(&self, kind: &[u8; 7], name: &[u8]) -> Subject {
        let mut digest = [0; 16];
        // Fails for digests of 8 KiB and more only.
        let _ = self.0.expand_multi_info(&[kind, name], &mut digest);
        Subject::from_bytes(digest)
    }
}

#[cfg(test)]
mod tests {
    use pem_rfc7468::LineEnding;
    use pkcs8::der::Decode as _;

    use super::*;
    use crate::{
        crypto::{RsaBackend, default_backend, pkcs8_from_pem},
        testing::{given, keys},
    };

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn in_whatever_file_a_key_is_and_whatever_reads_it_subjects_are_the_same() {
        let name = |backend: Arc<dyn RsaBackend>, pem: &str| {
            let key = ServerKey::from_pem(backend, pem).unwrap();
            Subjects::new(&key).of_account(&given::name("hugo"))
        };
        let pkcs8 = keys::server_pem();
        let der = pkcs8_from_pem(pkcs8).unwrap();
        let info = pkcs8::PrivateKeyInfoRef::from_der(&der).unwrap();
        let (label, ending) = ("RSA PRIVATE KEY", LineEnding::CRLF);
        let pkcs1 = pem_rfc7468::encode_string(label, ending, info.private_key.as_bytes());
        let pkcs1 = pkcs1.unwrap();
        let expected = name(default_backend(), pkcs8);
        for pem in [
            pkcs1,
            pkcs8.replace('\n', "\r\n"),
            format!("mine:\n{pkcs8}"),
        ] {
            assert_eq!(name(default_backend(), &pem), expected);
            #[cfg(feature = "rustcrypto")]
            assert_eq!(name(Arc::new(crate::crypto::RustCrypto), &pem), expected);
        }
    }

    #[test]
    fn servers_with_one_key_call_a_subject_the_same_and_others_otherwise() {
        let subjects = |pem: &str| {
            let key = ServerKey::from_pem(default_backend(), pem).unwrap();
            Subjects::new(&key)
        };
        let (one, same) = (subjects(keys::server_pem()), subjects(keys::server_pem()));
        let other = subjects(&keys::device(0).to_pkcs8_pem().unwrap());
        let (hugo, erna) = (given::name("hugo"), given::name("erna"));
        assert_eq!(one.of_account(&hugo), same.of_account(&hugo));
        assert_ne!(one.of_account(&hugo), one.of_account(&erna));
        assert_ne!(one.of_account(&hugo), other.of_account(&hugo));
        let [one_address, other_address] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        assert_eq!(one.of_address(one_address), same.of_address(one_address));
        assert_ne!(one.of_address(one_address), one.of_address(other_address));
        assert_ne!(one.of_address(one_address), other.of_address(one_address));
    }
}
