//! The random values that both sides prove themselves with.

use std::fmt;

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use uuid::{Builder, Uuid, Variant, Version};
use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    id::KeyId,
    key::KeyFingerprint,
    randomness::{Randomness, RandomnessUnavailable},
    session::LoginTokenHash,
};

/// A value that only who can decrypt a message learns: `gpgauthv1.3.0|36|<uuid>|gpgauthv1.3.0`.
///
/// `Debug` shows nothing of it, comparing takes the same time whatever differs, and it is wiped when
/// dropped.
#[derive(Clone)]
pub struct Nonce {
    text: Zeroizing<String>,
    uuid: Zeroizing<u128>,
}

/// A text is no nonce. It doesn't say which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce is gpgauthv1.3.0|36|<uuid>|gpgauthv1.3.0")]
#[non_exhaustive]
pub struct InvalidNonce;

impl InvalidNonce {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_nonce"
    }
}

const VERSION: &str = "gpgauthv1.3.0";

/// The characters of a UUID with its hyphens (RFC 9562, 4).
const UUID_LENGTH: usize = 36;

impl Nonce {
    /// Checks the form of `text`. Any version of UUID is accepted, in upper or lower case.
    ///
    /// # Errors
    ///
    /// [`InvalidNonce`] for any other text, also for one with a newline at its end.
    pub fn parse(text: &str) -> Result<Self, InvalidNonce> {
        let mut sections = text.split('|');
        let mut next = || sections.next().ok_or(InvalidNonce);
        let [first, length, uuid, last] = [next()?, next()?, next()?, next()?];
        let is_framed = first == VERSION && length == "36" && last == VERSION;
        if !is_framed || sections.next().is_some() {
            return Err(InvalidNonce);
        }
        Ok(Self {
            text: text.to_owned().into(),
            uuid: number(uuid).ok_or(InvalidNonce)?,
        })
    }

    fn new(uuid: u128) -> Self {
        let mut buffer = Zeroizing::new([0; UUID_LENGTH]);
        let digits = Uuid::from_u128(uuid)
            .hyphenated()
            .encode_lower(buffer.as_mut_slice());
        let text = Zeroizing::new(format!("{VERSION}|{UUID_LENGTH}|{digits}|{VERSION}"));
        Self {
            text,
            uuid: uuid.into(),
        }
    }

    /// The nonce with this UUID.
    pub(super) fn of(uuid: &str) -> Result<Self, InvalidNonce> {
        Ok(Self::new(*number(uuid).ok_or(InvalidNonce)?))
    }

    /// The UUID in it.
    pub(super) fn uuid(&self) -> &str {
        self.text.split('|').nth(2).unwrap_or_default()
    }

    /// The nonce as it was written. Handle with care: whoever has it is taken for who was to
    /// decrypt it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What a store remembers of it.
    #[must_use]
    pub fn hash(&self) -> LoginTokenHash {
        LoginTokenHash::from_bytes(Sha256::digest(self.uuid.to_be_bytes()).into())
    }
}

impl PartialEq for Nonce {
    fn eq(&self, other: &Self) -> bool {
        self.uuid
            .to_be_bytes()
            .ct_eq(&other.uuid.to_be_bytes())
            .into()
    }
}

impl Eq for Nonce {}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

fn number(uuid: &str) -> Option<Zeroizing<u128>> {
    // Other forms have other lengths.
    let uuid = Uuid::try_parse(uuid)
        .ok()
        .filter(|_| uuid.len() == UUID_LENGTH);
    uuid.map(|uuid| uuid.as_u128().into())
}

/// How exactly it is known when a token was made.
const PERIOD_MILLIS: i64 = 30_000;

/// In so many periods after that of its making a token is good: at least five minutes.
const PERIODS: i64 = 10;

/// Of the 122 free bits of a token 32 are random. How long the code is that says that it is one:
/// enough that hardly any guess of a stranger's is taken for one.
const OWN_BITS: u32 = 20;

/// How long the code is that says whose it is: who has one of his own knows everything else of
/// another's.
const OWNER_BITS: u32 = 70;

/// Makes the tokens that users prove themselves with, and knows them again.
///
/// Nothing is kept of a token that was made: 32 of its bits are random and the other 90 two codes
/// over these, which only the servers can compute: one with the time, one with the time and the key.
/// So logins that are begun and never finished take no room, none displaces another, and any server
/// finishes what another began. To who has not the secret all 122 bits are random.
///
/// What is kept is which tokens were shown, so that none is good twice, whoever showed it for which
/// key. That a stranger's guess is none is known by the first code, so these take no room either.
pub(super) struct ProofTokens(Hkdf<Sha256>);

/// What a token turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It wasn't made here, or not lately.
    Guess,
    /// It was made lately, but for another key, or is made up by somebody who has such a one.
    OfAnother,
    /// It was made lately for the holder of this key.
    Good,
}

impl ProofTokens {
    /// Tokens for one purpose are worth nothing for another.
    pub(super) fn new(secret: &[u8; 32], purpose: &[u8]) -> Self {
        Self(Hkdf::new(Some(purpose), secret))
    }

    /// A fresh token for the holder of the key.
    pub(super) fn issue(
        &self,
        key: KeyId,
        fingerprint: &KeyFingerprint,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<Nonce, RandomnessUnavailable> {
        let mut random = Zeroizing::new([0; 4]);
        randomness.fill(random.as_mut_slice())?;
        let token = self.token(*random, period(now), key, fingerprint);
        Ok(Nonce::new(*token))
    }

    /// Whether the token was made, for the holder of the key, and not long ago. Takes the same time
    /// whatever is wrong.
    pub(super) fn recognise(
        &self,
        shown: &Nonce,
        key: KeyId,
        fingerprint: &KeyFingerprint,
        now: Timestamp,
    ) -> Shown {
        let random = random_part(*shown.uuid);
        // Another server's clock may be ahead.
        let newest = period(now).saturating_add(1);
        let (mut is_own, mut is_good) = (Choice::from(0), Choice::from(0));
        let whole = Zeroizing::new(shown.uuid.to_be_bytes());
        let own = Zeroizing::new(own_part(*shown.uuid));
        for age in 0..=PERIODS + 1 {
            let token = self.token(random, newest.saturating_sub(age), key, fingerprint);
            is_own |= own_part(*token).ct_eq(&*own);
            is_good |= token.to_be_bytes().ct_eq(&*whole);
        }
        match (is_good.into(), is_own.into()) {
            (true, _) => Shown::Good,
            (false, true) => Shown::OfAnother,
            (false, false) => Shown::Guess,
        }
    }

    /// From when on the token is good no more, whenever it was made before `now`.
    pub(super) fn all_expired_at(now: Timestamp) -> Timestamp {
        let periods = u64::try_from(PERIODS + 3).unwrap_or(u64::MAX);
        let period = u64::try_from(PERIOD_MILLIS).unwrap_or(u64::MAX);
        now.saturating_add(std::time::Duration::from_millis(periods * period))
    }

    fn token(
        &self,
        random: [u8; 4],
        period: i64,
        key: KeyId,
        fingerprint: &KeyFingerprint,
    ) -> Zeroizing<u128> {
        let (period, key) = (period.to_be_bytes(), key.get().to_be_bytes());
        // All but the last have one length, so no two inputs are written alike.
        let own = self.code(&[&random, &period], OWN_BITS);
        let owner = self.code(
            &[&random, &period, &key, fingerprint.as_bytes()],
            OWNER_BITS,
        );
        let random = u128::from(u32::from_be_bytes(random));
        Zeroizing::new(uuid_of((random << OWN_BITS | *own) << OWNER_BITS | *owner))
    }

    fn code(&self, input: &[&[u8]], bits: u32) -> Zeroizing<u128> {
        let mut code = Zeroizing::new([0; 16]);
        // Fails for codes of 8 KiB and more only.
        let _ = self.0.expand_multi_info(input, code.as_mut_slice());
        Zeroizing::new(u128::from_be_bytes(*code) >> (u128::BITS - bits))
    }
}

fn period(at: Timestamp) -> i64 {
    at.unix_millis().div_euclid(PERIOD_MILLIS)
}

/// The UUID of version 4 with these 122 bits: the first 32 are its first.
fn uuid_of(free: u128) -> u128 {
    let (high, middle, low) = (free >> 74, free >> 62 & 0xfff, free & ((1 << 62) - 1));
    Builder::from_u128(high << 80 | middle << 64 | low)
        .with_version(Version::Random)
        .with_variant(Variant::RFC4122)
        .into_uuid()
        .as_u128()
}

fn random_part(uuid: u128) -> [u8; 4] {
    let [a, b, c, d, ..] = uuid.to_be_bytes();
    [a, b, c, d]
}

/// What of a token doesn't depend on the key: all but its last 70 free bits, among which are the two
/// of the variant.
fn own_part(uuid: u128) -> [u8; 16] {
    (uuid >> (OWNER_BITS + 2)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{randomness::OsRandomness, testing::given};

    const UUID: &str = "01234567-89ab-4def-8123-456789abcdef";

    fn fingerprint(byte: u8) -> KeyFingerprint {
        KeyFingerprint::from_openpgp_v4([byte; 20])
    }

    fn framed(uuid: &str) -> String {
        format!("gpgauthv1.3.0|36|{uuid}|gpgauthv1.3.0")
    }

    #[test]
    fn a_nonce_has_four_sections_and_a_uuid_of_whatever_version() {
        for good in [UUID, &UUID.to_uppercase(), &UUID.replace("-4d", "-3d")] {
            let nonce = Nonce::parse(&framed(good)).unwrap();
            assert_eq!(nonce.expose(), framed(good));
        }
        let one = Nonce::parse(&framed(UUID)).unwrap();
        let other = Nonce::parse(&framed(&UUID.to_uppercase())).unwrap();
        assert_eq!(one.hash(), other.hash());
        for bad in [
            "",
            UUID,
            &framed(&UUID[1..]),
            &framed(&format!("{UUID}0")),
            &framed(&UUID.replace('-', "")),
            &framed(&UUID.replace('0', "g")),
            &framed(&UUID.replace("01234567", "+1234567")),
            &format!("{}\n", framed(UUID)),
            &format!("\r\n{}", framed(UUID)),
            &format!("{}|", framed(UUID)),
            &framed(UUID).replace("|36|", "|37|"),
            &framed(UUID).replacen("v1.3.0", "v1.2.0", 1),
        ] {
            assert_eq!(Nonce::parse(bad), Err(InvalidNonce), "{bad:?}");
        }
    }

    #[test]
    fn a_nonce_shows_itself_to_nobody() {
        let nonce = Nonce::parse(&framed(UUID)).unwrap();
        assert_eq!(format!("{nonce:?}"), "Nonce(..)");
        assert!(!format!("{:?}", nonce.hash()).contains("01"));
    }

    #[test]
    fn a_token_is_good_for_five_minutes_for_its_key_and_on_servers_with_the_secret() {
        let tokens = ProofTokens::new(&[1; 32], b"logins");
        let (key, of_ann) = (KeyId::new(1), fingerprint(1));
        let token = tokens
            .issue(key, &of_ann, given::at(15), &OsRandomness)
            .unwrap();
        assert_eq!(Uuid::from_u128(*token.uuid).get_version_num(), 4);
        assert_eq!(Nonce::parse(token.expose()), Ok(token.clone()));
        let shown = |at: i64| tokens.recognise(&token, key, &of_ann, given::at(at));
        for second in [-15, 0, 15, 200, 315] {
            assert_eq!(shown(second), Shown::Good, "{second}");
        }
        for second in [-60, 345, 4000] {
            assert_eq!(shown(second), Shown::Guess, "{second}");
        }
        let expired = ProofTokens::all_expired_at(given::at(15));
        let after = tokens.recognise(&token, key, &of_ann, expired);
        assert_eq!(after, Shown::Guess);
        let now = given::at(15);
        let of_others = [(KeyId::new(2), of_ann), (key, fingerprint(2))];
        for (key, fingerprint) in of_others {
            let shown = tokens.recognise(&token, key, &fingerprint, now);
            assert_eq!(shown, Shown::OfAnother);
        }
        let other = ProofTokens::new(&[2; 32], b"logins");
        let purpose = ProofTokens::new(&[1; 32], b"another");
        for tokens in [other, purpose] {
            let shown = tokens.recognise(&token, key, &of_ann, now);
            assert_eq!(shown, Shown::Guess);
        }
        let same = ProofTokens::new(&[1; 32], b"logins");
        let shown = same.recognise(&token, key, &of_ann, now);
        assert_eq!(shown, Shown::Good);
        let foreign = Nonce::parse(&framed(UUID)).unwrap();
        let shown = tokens.recognise(&foreign, key, &of_ann, now);
        assert_eq!(shown, Shown::Guess);
    }

    proptest! {
        #[test]
        fn each_bit_of_a_token_counts(random: [u8; 4], bit in 0_u32..128, seconds in 0_i64..100_000) {
            let tokens = ProofTokens::new(&[1; 32], b"logins");
            let (key, of_ann, now) = (KeyId::new(7), fingerprint(3), given::at(seconds));
            let token = tokens.token(random, period(now), key, &of_ann);
            prop_assert_eq!(random_part(*token), random);
            let made = Nonce::new(*token);
            let shown = tokens.recognise(&made, key, &of_ann, now);
            prop_assert_eq!(shown, Shown::Good);
            prop_assert_eq!(Nonce::parse(made.expose()), Ok(made.clone()));
            let changed = Nonce::new(*token ^ (1 << bit));
            let expected = if bit < OWNER_BITS + 2 { Shown::OfAnother } else { Shown::Guess };
            let shown = tokens.recognise(&changed, key, &of_ann, now);
            prop_assert_eq!(shown, expected);
            prop_assert_ne!(changed.hash(), made.hash());
        }

        #[test]
        fn reading_never_panics(text: String, sections in prop::collection::vec(".{0,40}", 0..6)) {
            let _ = Nonce::parse(&text);
            let _ = Nonce::parse(&sections.join("|"));
            let _ = Nonce::parse(&framed(&text));
        }
    }

    #[test]
    fn tokens_are_remembered_longer_than_they_are_good() {
        let now = given::at(0);
        let ahead = now.saturating_add(Duration::from_secs(30));
        let tokens = ProofTokens::new(&[1; 32], b"logins");
        let (key, of_ann) = (KeyId::new(1), fingerprint(1));
        // Made by a server whose clock is ahead, shown at once.
        let token = tokens.issue(key, &of_ann, ahead, &OsRandomness).unwrap();
        let forgotten = ProofTokens::all_expired_at(now);
        let shown = tokens.recognise(&token, key, &of_ann, forgotten);
        assert_eq!(shown, Shown::Guess);
    }
}
