use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use crate::{
    randomness::{Randomness, RandomnessUnavailable},
    user::UserName,
};

/// A private key that only its owner's password opens.
///
/// Format: the byte 1, a nonce of 24 bytes, then the PKCS#8 DER under XChaCha20-Poly1305
/// (draft-irtf-cfrg-xchacha-03) with the account's name as associated data.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey(Vec<u8>);

const FORMAT: u8 = 1;
const NONCE_LENGTH: usize = 24;

/// A key derived from a password, that seals and opens a private key.
pub(crate) struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    pub(crate) const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }

    pub(crate) fn seal(
        &self,
        account: &UserName,
        private_key: &[u8],
        randomness: &dyn Randomness,
    ) -> Result<SealedKey, SealError> {
        let mut nonce = [0; NONCE_LENGTH];
        randomness.fill(&mut nonce)?;
        let payload = Payload {
            msg: private_key,
            aad: account.as_str().as_bytes(),
        };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Broken)?;
        Ok(SealedKey(
            [&[FORMAT], nonce.as_slice(), sealed.as_slice()].concat(),
        ))
    }

    pub(crate) fn open(
        &self,
        account: &UserName,
        sealed: &SealedKey,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (format, rest) = sealed.0.split_first().ok_or(SealError::Broken)?;
        let (nonce, msg) = rest
            .split_first_chunk::<NONCE_LENGTH>()
            .ok_or(SealError::Broken)?;
        if *format != FORMAT {
            return Err(SealError::Broken);
        }
        let payload = Payload {
            msg,
            aad: account.as_str().as_bytes(),
        };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| SealError::Broken)
    }
}

/// Why a key could not be sealed or opened.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error("the sealed key is not what was sealed")]
    Broken,
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
}

impl SealedKey {
    /// Wraps what a store has kept.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What a store has to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedKey({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::OsRandomness;

    #[test]
    fn only_the_same_key_and_account_open_what_was_sealed() {
        let key = |byte| SealingKey::new(Zeroizing::new([byte; 32]));
        let name = |text| UserName::parse(text).unwrap();
        let sealed = key(1)
            .seal(&name("hugo"), b"private", &OsRandomness)
            .unwrap();
        assert_eq!(
            key(1).open(&name("hugo"), &sealed).unwrap().as_slice(),
            b"private"
        );
        assert!(key(2).open(&name("hugo"), &sealed).is_err());
        assert!(key(1).open(&name("Hugo"), &sealed).is_err());
        for position in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[position] ^= 1;
            assert!(
                key(1)
                    .open(&name("hugo"), &SealedKey::from_bytes(bytes))
                    .is_err()
            );
        }
        for length in 0..sealed.as_bytes().len() {
            let cut = SealedKey::from_bytes(sealed.as_bytes()[..length].to_vec());
            assert!(key(1).open(&name("hugo"), &cut).is_err());
        }
    }
}
