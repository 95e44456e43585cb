use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    Account, ChangePasswordOutcome, NewCredentials, Password, PasswordHash, PasswordLoginOutcome,
    key_stock::KEY_BITS,
    password::HashError,
    sealed_key::{SealError, SealedKey, SealingKey},
};
use crate::{
    audit::Event,
    challenge::{DeviceKey, RequestToken, SessionToken},
    cloud::Cloud,
    crypto::{CryptoError, RsaPrivateKey},
    error::Error,
    key::NewKey,
    session::Session,
    store::StoreError,
    user::{NewUser, RegisterOutcome, User, UserName},
};

/// A challenge that was posed and answered here.
struct Answered {
    device: DeviceKey,
    session_token: SessionToken,
    request_token: RequestToken,
}

impl Cloud {
    /// Registers a user who has a password instead of a device: makes a key pair for her and
    /// keeps it under the password.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedUserName`], [`Error::UserNameTaken`] (by whomever), [`Error::Busy`] if
    /// too many key pairs are waited for. Nothing is left behind then.
    pub async fn keyserver_register(
        &self,
        name: UserName,
        password: Password,
    ) -> Result<User, Error> {
        self.refuse_reserved(&name)?;
        if self.store().users().find(&name).await?.is_some() {
            return Err(Error::UserNameTaken);
        }
        let NewCredentials {
            key,
            password_hash,
            sealed_key,
        } = self.new_credentials(name.clone(), password).await?;
        let user = NewUser {
            name,
            key,
            further_keys: Vec::new(),
            at: self.now(),
        };
        match self
            .store()
            .keyserver()
            .register(&user, &password_hash, &sealed_key)
            .await?
        {
            RegisterOutcome::Registered(registered) => {
                let key = user.key.material.fingerprint();
                self.audit(Event::KeyserverRegistered, Some(&user.name), Some(key));
                Ok(registered)
            }
            RegisterOutcome::NameTaken => Err(Error::UserNameTaken),
        }
    }

    /// Logs in with a password: does the device's half of the challenge, the check of the
    /// server's signature included, and gives the token to send with requests.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPassword`], the same whether there is no such account, the password is wrong
    /// or may not be used, because the account's key is not active; [`Error::Throttled`] after too many failures for this
    /// account or from this address; [`Error::Busy`].
    pub async fn keyserver_authenticate(
        &self,
        name: &UserName,
        password: Password,
    ) -> Result<RequestToken, Error> {
        self.refuse_guessing(Some(name))?;
        let account = self.store().keyserver().find(name).await?;
        let cost = self.settings().hash_cost;
        let hash = match &account {
            Some(account) => account.password_hash.clone(),
            None => PasswordHash::decoy(cost, self.randomness().as_ref()).map_err(hash_error)?,
        };
        let rehash = hash.costs_other_than(cost).then(|| password.clone());
        let (cloud, guessed) = (self.clone(), name.clone());
        // A password that is right but forbidden is a wrong one, in what it costs as well.
        let is_allowed = account.as_ref().is_some_and(|account| account.active);
        let sealing_key = self
            .password_workers()
            .run(move || {
                let begun = cloud.begin_try(Some(&guessed))?;
                let sealing_key = password.verify(&hash);
                let sealing_key = sealing_key.map(|key| key.filter(|_| is_allowed));
                if !matches!(sealing_key, Ok(None)) {
                    // Here, because the caller may have gone away.
                    begun.forgive();
                }
                sealing_key.map_err(hash_error)
            })
            .await??;
        self.settle(Some(name), sealing_key.is_none()).await?;
        let (Some(account), Some(sealing_key)) = (account, sealing_key) else {
            self.audit(Event::KeyserverLoginFailed, Some(name), None);
            return Err(Error::WrongPassword);
        };
        // All that can fail comes before the former session's end.
        let Answered {
            device,
            session_token,
            request_token: token,
        } = self.answer_challenge(&account, sealing_key).await?;
        let opened = self.replace_session(account.user.id, account.key, &session_token);
        let Some(session) = opened.await? else {
            self.audit(Event::KeyserverLoginFailed, Some(name), None);
            self.count_failure(Some(name)).await;
            return Err(Error::WrongPassword);
        };
        self.remembered().insert(token.digest(), session);
        self.audit(
            Event::KeyserverLoginOk,
            Some(name),
            Some(device.public_key().fingerprint()),
        );
        if let Some(password) = rehash
            && let Err(error) = self.rehash(&account, &device, password).await
        {
            // The next login will try again.
            tracing::warn!(?error, "can't hash a password at its present cost");
        }
        Ok(token)
    }

    /// Gives the account another password and, because nobody knows the old one here, a fresh
    /// key pair: the old key is removed, `session` is moved to the new one if it was the old
    /// key's. Keys and sessions of devices are untouched.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeyserverAccount`] if the user has none; [`Error::Busy`] if too many key pairs
    /// are waited for.
    pub async fn change_password(
        &self,
        session: &Session,
        password: Password,
    ) -> Result<(), Error> {
        let user = &session.user;
        if self.store().keyserver().find(&user.name).await?.is_none() {
            return Err(Error::NoKeyserverAccount);
        }
        let credentials = self.new_credentials(user.name.clone(), password).await?;
        let accounts = self.store().keyserver();
        match accounts
            .change_password(user.id, session.id, &credentials, self.now())
            .await?
        {
            ChangePasswordOutcome::Changed => {
                let key = credentials.key.material.fingerprint();
                self.audit(Event::PasswordChanged, Some(&user.name), Some(key));
                Ok(())
            }
            ChangePasswordOutcome::NoAccount => Err(Error::NoKeyserverAccount),
            ChangePasswordOutcome::SessionEnded => Err(Error::UnknownToken),
        }
    }

    /// Allows again that the password opens the account.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeyserverAccount`] if the user has none; [`Error::UnknownToken`] if the session has
    /// ended.
    pub async fn allow_password_login(&self, session: &Session) -> Result<(), Error> {
        self.set_password_login(session, true).await
    }

    /// Forbids that the password opens the account. It is answered like a wrong one then, and the
    /// session that it opened, if there is one, ends at once; only the user's other keys open the
    /// account, and a session of theirs may [allow](Self::allow_password_login) it again. Only such
    /// a session can forbid it: it shows that one of them does open the account.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeyserverAccount`] if the user has none; [`Error::LastActiveKey`] if no other key
    /// could open her account; [`Error::PasswordSession`]; [`Error::UnknownToken`] if the session
    /// has ended.
    pub async fn forbid_password_login(&self, session: &Session) -> Result<(), Error> {
        self.set_password_login(session, false).await
    }

    async fn set_password_login(&self, session: &Session, allowed: bool) -> Result<(), Error> {
        let (accounts, now) = (self.store().keyserver(), self.now());
        match accounts
            .set_password_login(session.into(), allowed, now)
            .await?
        {
            PasswordLoginOutcome::Done => {
                let event = if allowed {
                    Event::PasswordLoginAllowed
                } else {
                    Event::PasswordLoginForbidden
                };
                self.audit(event, Some(&session.user.name), None);
                Ok(())
            }
            PasswordLoginOutcome::NoAccount => Err(Error::NoKeyserverAccount),
            PasswordLoginOutcome::LastActive => Err(Error::LastActiveKey),
            PasswordLoginOutcome::OwnSession => Err(Error::PasswordSession),
            PasswordLoginOutcome::SessionEnded => Err(Error::UnknownToken),
        }
    }

    /// A fresh key pair, from the stock if it has one, sealed under the password.
    async fn new_credentials(
        &self,
        name: UserName,
        password: Password,
    ) -> Result<NewCredentials, Error> {
        let private_key = self.new_key_pair().await?;
        let public_key = private_key.public_key().clone();
        let der = private_key.to_pkcs8_der()?;
        let (password_hash, sealed_key) = self.seal(name, password, der).await?;
        let key = NewKey {
            material: public_key.into(),
            label: None,
        };
        Ok(NewCredentials {
            key,
            password_hash,
            sealed_key,
        })
    }

    async fn new_key_pair(&self) -> Result<Arc<dyn RsaPrivateKey>, Error> {
        if let Some(ready) = self.key_stock().take() {
            return Ok(ready);
        }
        let rsa = self.rsa().clone();
        Ok(self
            .keygen_workers()
            .run(move || rsa.generate(KEY_BITS))
            .await??)
    }

    async fn seal(
        &self,
        name: UserName,
        password: Password,
        private_key: Zeroizing<Vec<u8>>,
    ) -> Result<(PasswordHash, SealedKey), Error> {
        let (cost, randomness) = (self.settings().hash_cost, self.randomness().clone());
        self.password_workers()
            .run(move || {
                let randomness = randomness.as_ref();
                let (hash, sealing_key) = password.hash(cost, randomness).map_err(hash_error)?;
                let sealed = sealing_key
                    .seal(&name, &private_key, randomness)
                    .map_err(seal_error)?;
                Ok((hash, sealed))
            })
            .await?
    }

    /// Opens the account's key and does both halves of the challenge with it, the server's and
    /// the device's, up to the token that a new session would have.
    async fn answer_challenge(
        &self,
        account: &Account,
        sealing_key: SealingKey,
    ) -> Result<Answered, Error> {
        let (cloud, account) = (self.clone(), account.clone());
        self.rsa_workers()
            .run(move || {
                let der = sealing_key
                    .open(&account.user.name, &account.sealed_key)
                    .map_err(seal_error)?;
                let device = DeviceKey::from_pkcs8_der(cloud.rsa().clone(), &der)?;
                let session_token = SessionToken::generate(cloud.randomness().as_ref())?;
                let challenge = cloud
                    .server_key()
                    .issue(device.public_key(), &session_token)?;
                let request_token = device
                    .answer(&challenge, cloud.server_public_key())
                    .map_err(|_| CryptoError::Backend {
                        operation: "answer the server's own challenge",
                    })?;
                Ok(Answered {
                    device,
                    session_token,
                    request_token,
                })
            })
            .await?
    }

    /// Hashes the password at the present cost and seals the key under the result.
    async fn rehash(
        &self,
        account: &Account,
        device: &DeviceKey,
        password: Password,
    ) -> Result<(), Error> {
        let der = device.to_pkcs8_der()?;
        let (hash, sealed) = self.seal(account.user.name.clone(), password, der).await?;
        let accounts = self.store().keyserver();
        accounts
            .rehash(account.user.id, &account.password_hash, &hash, &sealed)
            .await?;
        Ok(())
    }
}

fn hash_error(error: HashError) -> Error {
    match error {
        HashError::Corrupt => {
            StoreError::corrupt("keyserver account, password hash", "no hash of ours").into()
        }
        HashError::Resources => CryptoError::Backend {
            operation: "hash a password",
        }
        .into(),
    }
}

fn seal_error(error: SealError) -> Error {
    match error {
        SealError::Broken => {
            StoreError::corrupt("keyserver account, sealed key", "can't be opened").into()
        }
        SealError::Randomness(error) => error.into(),
    }
}
