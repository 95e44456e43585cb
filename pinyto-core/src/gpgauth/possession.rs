//! Whether a user has the OpenPGP key that she registers.
//!
//! Everybody knows a public key, and a login names the key, not the account. So before a key opens an
//! account, the account's owner decrypts a challenge that names the account and the server. It isn't
//! of the form that a login decrypts, so nobody can have another's client answer it by posing as her
//! server; and who reads it sees if it is another's.

use zeroize::Zeroizing;

use super::{GpgAuthError, InvalidOpenPgpKey, MAX_KEY, Nonce, service::not_encrypted};
use crate::{
    audit::Event,
    cloud::Cloud,
    error::Error,
    key::{Key, KeyHash, KeyLabel, NewKey, OpenPgpKey, ProveKeyOutcome},
    session::Session,
};

impl Cloud {
    /// Registers an OpenPGP key of the user, ASCII-armored, or a newer certificate of one she has
    /// (with another expiry, say).
    ///
    /// A new key is not active, and what comes is a challenge: an armored message to it, whose text
    /// is the answer that [`prove_openpgp_key`](Self::prove_openpgp_key) wants within five minutes.
    /// Registering a key again gives a fresh one; who has it at several accounts so says at which
    /// she logs in from then on. None comes if a newer certificate of an active key was taken.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOpenPgpKey`] if it can't be used; [`Error::OlderOpenPgpKey`] if this account
    /// has a certificate of it that is valid longer; [`Error::LimitReached`];
    /// [`Error::UnknownToken`] if the session has ended; [`Error::GpgAuthDisabled`];
    /// [`Error::Busy`].
    pub async fn register_openpgp_key(
        &self,
        session: &Session,
        armored: String,
        label: Option<KeyLabel>,
    ) -> Result<Option<String>, Error> {
        let material = self.read_openpgp_key(armored).await?.into();
        let new = NewKey { material, label };
        let is_known = match self.register_new_key(session, &new).await {
            Ok(()) => false,
            Err(Error::KeyAlreadyRegistered) => true,
            Err(error) => return Err(error),
        };
        let fingerprint = new.material.fingerprint();
        let keys = self.store().keys().list(session.user.id).await?;
        let mut keys = keys.into_iter();
        let key = keys.find(|key| key.material.fingerprint() == fingerprint);
        let key = key.ok_or(Error::UnknownKey)?;
        if key.active && !is_known {
            return Ok(None);
        }
        self.challenge_holder(session, &key).await.map(Some)
    }

    /// Makes a key active whose holder has decrypted the challenge that
    /// [`register_openpgp_key`](Self::register_openpgp_key) gave. `answer` is its whole text, or
    /// only the code at its end. Whatever comes of it, that answer is worth nothing from then on.
    ///
    /// # Errors
    ///
    /// [`GpgAuthError::InvalidToken`] for a wrong answer, one that was given before or came too
    /// late; [`Error::UnknownKey`] if the user has no such OpenPGP key;
    /// [`Error::AmbiguousKeyHash`]; [`Error::UnknownToken`] if the session has ended;
    /// [`Error::GpgAuthDisabled`]; [`Error::Throttled`] after too many failures from one address.
    pub async fn prove_openpgp_key(
        &self,
        session: &Session,
        key_hash: &KeyHash,
        answer: &str,
    ) -> Result<(), Error> {
        self.refuse_guessing(None)?;
        let gpgauth = self.gpgauth()?;
        let key = self.openpgp_key_of(session, key_hash).await?;
        let (now, fingerprint) = (self.now(), key.material.fingerprint());
        let code = answer.split_whitespace().next_back().unwrap_or_default();
        let is_good = match Nonce::of(code) {
            Ok(code) => {
                let shown = gpgauth
                    .possession
                    .recognise(&code, key.id, &fingerprint, now);
                self.spend(&code, shown, now).await?
            }
            Err(_) => false,
        };
        if !is_good {
            let user = &session.user.name;
            self.audit(Event::KeyProofFailed, Some(user), Some(fingerprint));
            self.count_failure(None).await;
            return Err(GpgAuthError::InvalidToken.into());
        }
        let keys = self.store().keys();
        match keys.prove(session.into(), key.id, now).await? {
            ProveKeyOutcome::Proved => {
                let user = &session.user.name;
                self.audit(Event::KeyActivated, Some(user), Some(fingerprint));
                Ok(())
            }
            ProveKeyOutcome::NotFound => Err(Error::UnknownKey),
            ProveKeyOutcome::SessionEnded => Err(Error::UnknownToken),
        }
    }

    async fn read_openpgp_key(&self, armored: String) -> Result<OpenPgpKey, Error> {
        if armored.len() > MAX_KEY {
            return Err(InvalidOpenPgpKey::TooLong.into());
        }
        let now = self.now();
        let read = self.with_openpgp(move |openpgp| openpgp.read_key(&armored, now));
        Ok(read.await??)
    }

    async fn openpgp_key_of(&self, session: &Session, hash: &KeyHash) -> Result<Key, Error> {
        let found = self
            .store()
            .keys()
            .matching(&session.user.name, hash)
            .await?;
        let mut keys = found.into_iter().map(|(_, key)| key);
        match (keys.next(), keys.next()) {
            (Some(key), None) if key.material.as_openpgp().is_some() => Ok(key),
            (Some(_), Some(_)) => Err(Error::AmbiguousKeyHash),
            _ => Err(Error::UnknownKey),
        }
    }

    async fn challenge_holder(&self, session: &Session, key: &Key) -> Result<String, Error> {
        let openpgp = key.material.as_openpgp().ok_or(Error::UnknownKey)?.clone();
        let (now, randomness) = (self.now(), self.randomness().as_ref());
        let gpgauth = self.gpgauth()?;
        let code = gpgauth
            .possession
            .issue(key.id, &openpgp.fingerprint(), now, randomness)?;
        let text = Zeroizing::new(format!(
            "This OpenPGP key is to open the Pinyto account {} at the server with the key {}. If both are yours, send this code: {}",
            session.user.name,
            gpgauth.openpgp.fingerprint().to_hex().to_uppercase(),
            code.uuid(),
        ));
        let message = self
            .with_openpgp(move |implementation| implementation.encrypt(&openpgp, &text, now))
            .await?;
        message.map_err(not_encrypted)
    }
}
