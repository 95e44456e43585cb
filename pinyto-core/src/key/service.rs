#[cfg(not(feature = "gpgauth"))]
use super::KeyLabel;
use super::{AddKeyOutcome, Key, KeyChange, KeyHash, KeyState, NewKey};
use crate::{
    audit::Event,
    cloud::Cloud,
    error::{Error, Limited},
    session::{Session, SessionClaim},
};

/// A key as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListedKey {
    /// The key.
    pub key: Key,
    /// Whether it is the key of the session that asks.
    pub current: bool,
}

impl Cloud {
    /// The user's keys, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn list_keys(
        &self,
        session: impl Into<SessionClaim> + Send,
    ) -> Result<Vec<ListedKey>, Error> {
        let claim = session.into();
        let read = self.store().reads().list_keys(claim.id);
        let (session, keys) = self.admitted(claim, read.await?).await?;
        let listed = |key: Key| ListedKey {
            current: key.id == session.key,
            key,
        };
        Ok(keys.into_iter().map(listed).collect())
    }

    /// As with the feature `gpgauth`, for a cloud without an OpenPGP key.
    ///
    /// # Errors
    ///
    /// [`Error::GpgAuthDisabled`].
    #[cfg(not(feature = "gpgauth"))]
    pub async fn register_openpgp_key(
        &self,
        _session: &Session,
        _armored: String,
        _label: Option<KeyLabel>,
    ) -> Result<Option<String>, Error> {
        Err(Error::GpgAuthDisabled)
    }

    /// As with the feature `gpgauth`, for a cloud without an OpenPGP key.
    ///
    /// # Errors
    ///
    /// [`Error::GpgAuthDisabled`].
    #[cfg(not(feature = "gpgauth"))]
    pub async fn prove_openpgp_key(
        &self,
        _session: &Session,
        _key_hash: &KeyHash,
        _answer: &str,
    ) -> Result<(), Error> {
        Err(Error::GpgAuthDisabled)
    }

    /// Registers another key of the user; it is active, unless it
    /// [needs a proof](super::KeyMaterial::needs_proof).
    ///
    /// # Errors
    ///
    /// [`Error::KeyAlreadyRegistered`] if this account has it, [`Error::LimitReached`].
    pub async fn register_new_key(&self, session: &Session, key: &NewKey) -> Result<(), Error> {
        let limit = self.settings().max_keys;
        match self
            .store()
            .keys()
            .add(session.into(), key, limit, self.now())
            .await?
        {
            outcome @ (AddKeyOutcome::Added(_) | AddKeyOutcome::Renewed(_)) => {
                let event = match outcome {
                    AddKeyOutcome::Renewed(_) => Event::KeyRenewed,
                    _ => Event::KeyAdded,
                };
                let fingerprint = key.material.fingerprint();
                self.audit(event, Some(&session.user.name), Some(fingerprint));
                Ok(())
            }
            AddKeyOutcome::Outlasted => Err(Error::OlderOpenPgpKey),
            AddKeyOutcome::AlreadyRegistered => Err(Error::KeyAlreadyRegistered),
            AddKeyOutcome::SessionEnded => Err(Error::UnknownToken),
            AddKeyOutcome::LimitReached => Err(Error::LimitReached {
                things: Limited::Keys,
                limit: limit as u64,
            }),
        }
    }

    /// Activates one of the user's keys: one can log in with it again.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`], [`Error::AmbiguousKeyHash`], [`Error::UnprovenKey`].
    pub async fn activate_key(&self, session: &Session, key_hash: &KeyHash) -> Result<(), Error> {
        self.set_key_state(session, key_hash, KeyState::Active)
            .await
    }

    /// Deactivates one of the user's keys. Its session ends at once.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`], [`Error::AmbiguousKeyHash`], [`Error::LastActiveKey`].
    pub async fn deactivate_key(&self, session: &Session, key_hash: &KeyHash) -> Result<(), Error> {
        self.set_key_state(session, key_hash, KeyState::Inactive)
            .await
    }

    async fn set_key_state(
        &self,
        session: &Session,
        key_hash: &KeyHash,
        state: KeyState,
    ) -> Result<(), Error> {
        let change = self
            .store()
            .keys()
            .set_state(session.into(), key_hash, state, self.now())
            .await?;
        let event = match state {
            KeyState::Active => Event::KeyActivated,
            KeyState::Inactive => Event::KeyDeactivated,
        };
        self.key_changed(session, change, event)
    }

    /// Deletes one of the user's keys. Its session ends at once, and if it is the keyserver's
    /// key, so does the keyserver account: its password opens nothing any more.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`], [`Error::AmbiguousKeyHash`], [`Error::LastActiveKey`].
    pub async fn delete_key(&self, session: &Session, key_hash: &KeyHash) -> Result<(), Error> {
        let keys = self.store().keys();
        let change = keys.delete(session.into(), key_hash, self.now()).await?;
        self.key_changed(session, change, Event::KeyRemoved)
    }

    fn key_changed(&self, session: &Session, change: KeyChange, event: Event) -> Result<(), Error> {
        match change {
            KeyChange::Done(key) => {
                self.audit(
                    event,
                    Some(&session.user.name),
                    Some(key.material.fingerprint()),
                );
                Ok(())
            }
            KeyChange::SessionEnded => Err(Error::UnknownToken),
            KeyChange::NotFound => Err(Error::UnknownKey),
            KeyChange::Ambiguous => Err(Error::AmbiguousKeyHash),
            KeyChange::LastActive => Err(Error::LastActiveKey),
            KeyChange::Unproven => Err(Error::UnprovenKey),
        }
    }
}
