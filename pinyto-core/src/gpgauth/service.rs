use std::sync::Arc;

use super::{
    EncryptionError, GpgAuth, GpgAuthError, MAX_MESSAGE, Nonce, OpenPgp,
    nonce::{ProofTokens, Shown},
};
use crate::{
    audit::Event,
    challenge::{RequestToken, SessionToken},
    clock::Timestamp,
    cloud::Cloud,
    error::Error,
    id::KeyId,
    key::{Key, KeyFingerprint, OpenPgpKey},
    user::User,
};

/// A login that was completed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GpgAuthLogin {
    /// Who has logged in.
    pub user: User,
    /// What to send with requests, as after any other login.
    pub token: RequestToken,
}

impl Cloud {
    /// What does OpenPGP here, and has the server's key.
    ///
    /// # Errors
    ///
    /// [`Error::GpgAuthDisabled`] if nothing does.
    pub fn openpgp(&self) -> Result<&Arc<dyn OpenPgp>, Error> {
        Ok(&self.gpgauth()?.openpgp)
    }

    pub(super) fn gpgauth(&self) -> Result<&Arc<GpgAuth>, Error> {
        self.gpgauth_if_any().ok_or(Error::GpgAuthDisabled)
    }

    /// Does something with OpenPGP where that may take its time.
    pub(super) async fn with_openpgp<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&dyn OpenPgp) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let gpgauth = self.gpgauth()?;
        let openpgp = gpgauth.openpgp.clone();
        gpgauth.workers.run(move || operation(&*openpgp)).await
    }

    /// Stage 0: decrypts a nonce that a client has encrypted for the server, which proves the
    /// server to her. Asks and changes nothing.
    ///
    /// Only what has the form of a nonce is ever given out, or anybody could have the server
    /// decrypt what others have sent it.
    ///
    /// # Errors
    ///
    /// [`GpgAuthError::InvalidMessage`], [`GpgAuthError::NoNonce`]; [`Error::GpgAuthDisabled`];
    /// [`Error::Throttled`] after too many failures from one address; [`Error::Busy`].
    pub async fn gpgauth_verify(&self, message: String) -> Result<Nonce, Error> {
        self.refuse_guessing(None)?;
        if message.len() > MAX_MESSAGE {
            return Err(GpgAuthError::from(super::InvalidMessage::NotArmored).into());
        }
        let cloud = self.clone();
        self.with_openpgp(move |openpgp| {
            let begun = cloud.begin_try(None)?;
            let text = openpgp.decrypt(&message).map_err(GpgAuthError::from)?;
            let nonce = str::from_utf8(&text).map(Nonce::parse);
            let Ok(Ok(nonce)) = nonce else {
                return Err(GpgAuthError::NoNonce.into());
            };
            begun.forgive();
            Ok(nonce)
        })
        .await?
    }

    /// Stage 1: a fresh nonce as a message that only the holder of the key with that fingerprint
    /// can decrypt, signed by the server; ASCII-armored.
    ///
    /// Nothing is remembered of it, however many are asked for. If nobody has registered the key it
    /// is a message that nobody can decrypt, unless
    /// [`GpgAuthSettings::tells_unknown_keys`](super::GpgAuthSettings::tells_unknown_keys) is set.
    ///
    /// # Errors
    ///
    /// [`GpgAuthError::UnknownKey`], [`GpgAuthError::UnusableKey`] if it has expired, say;
    /// [`Error::GpgAuthDisabled`]; [`Error::Throttled`] after too many failures from one address;
    /// [`Error::Busy`].
    pub async fn gpgauth_begin(&self, fingerprint: &KeyFingerprint) -> Result<String, Error> {
        self.refuse_guessing(None)?;
        let gpgauth = self.gpgauth()?;
        let found = self.store().keys().find_openpgp(fingerprint).await?;
        let (now, fingerprint) = (self.now(), *fingerprint);
        let key = openpgp_of(found.as_ref());
        let id = key.map_or(KeyId::new(0), |(key, _)| key.id);
        let randomness = self.randomness().as_ref();
        let nonce = gpgauth.tokens.issue(id, &fingerprint, now, randomness)?;
        let Some((_, key)) = key else {
            // Not counted as a failure: beginning with a key that somebody has is none either, and
            // being slowed down would tell the two apart.
            if gpgauth.settings.tells_unknown_keys {
                return Err(GpgAuthError::UnknownKey.into());
            }
            let message = self.with_openpgp(move |openpgp| {
                openpgp.encrypt_for_nobody(&fingerprint, nonce.expose(), now)
            });
            return Ok(message.await??);
        };
        let key = key.clone();
        let message = self
            .with_openpgp(move |openpgp| openpgp.encrypt(&key, nonce.expose(), now))
            .await?;
        message.map_err(not_encrypted)
    }

    /// Stage 2: opens a session of the key for who gives back the nonce that was encrypted for it.
    /// Whatever comes of it, that nonce is worth nothing from then on.
    ///
    /// # Errors
    ///
    /// [`GpgAuthError::InvalidToken`], the same whether it is none, another key's, used, expired,
    /// or nobody has the key; [`GpgAuthError::UnusableKey`] if the key has expired meanwhile;
    /// [`Error::GpgAuthDisabled`]; [`Error::Throttled`] after too many failures from one address;
    /// [`Error::Busy`].
    pub async fn gpgauth_complete(
        &self,
        fingerprint: &KeyFingerprint,
        token: &str,
    ) -> Result<GpgAuthLogin, Error> {
        self.refuse_guessing(None)?;
        let gpgauth = self.gpgauth()?.clone();
        let completed = self.complete(&gpgauth, fingerprint, token).await;
        if let Err(Error::GpgAuth(GpgAuthError::InvalidToken)) = &completed {
            self.audit(Event::GpgAuthLoginFailed, None, Some(*fingerprint));
            // Afterwards is soon enough: nobody guesses a token, however many he tries at once.
            self.count_failure(None).await;
        }
        completed
    }

    /// Whether the token is good, which it is once at most, whoever shows it for which key.
    pub(super) async fn spend(
        &self,
        token: &Nonce,
        shown: Shown,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if shown == Shown::Guess {
            return Ok(false);
        }
        let expires_at = ProofTokens::all_expired_at(now);
        let sessions = self.store().sessions();
        let is_first = sessions.spend(&token.hash(), expires_at).await?;
        Ok(is_first && shown == Shown::Good)
    }

    async fn complete(
        &self,
        gpgauth: &GpgAuth,
        fingerprint: &KeyFingerprint,
        token: &str,
    ) -> Result<GpgAuthLogin, Error> {
        let invalid = || Error::from(GpgAuthError::InvalidToken);
        let token = Nonce::parse(token).map_err(|_| invalid())?;
        let now = self.now();
        let found = self.store().keys().find_openpgp(fingerprint).await?;
        let key = openpgp_of(found.as_ref());
        // Also if nobody has the key, so that it takes as long.
        let id = key.map_or(KeyId::new(0), |(key, _)| key.id);
        let shown = gpgauth.tokens.recognise(&token, id, fingerprint, now);
        let is_good = self.spend(&token, shown, now).await?;
        let key = key.filter(|_| is_good);
        let (&Key { user: owner, .. }, openpgp) = key.ok_or_else(invalid)?;
        let (checked, server_key, randomness) = (
            openpgp.clone(),
            self.server_key().clone(),
            self.randomness().clone(),
        );
        let made = self.with_openpgp(move |openpgp| {
            let judged = openpgp.check(&checked, now);
            judged.map_err(|reason| Error::from(GpgAuthError::UnusableKey(reason)))?;
            let token = SessionToken::generate(randomness.as_ref())?;
            let request_token = server_key.seal(&token)?;
            Ok::<_, Error>((token, request_token))
        });
        let (session_token, request_token) = made.await??;
        let session = self.replace_session(owner, id, &session_token).await?;
        let (session, (user, _)) = session.zip(found).ok_or_else(invalid)?;
        self.remembered().insert(request_token.digest(), session);
        self.audit(Event::GpgAuthLoginOk, Some(&user.name), Some(*fingerprint));
        Ok(GpgAuthLogin {
            user,
            token: request_token,
        })
    }
}

pub(super) fn not_encrypted(error: EncryptionError) -> Error {
    match error {
        EncryptionError::Key(reason) => GpgAuthError::UnusableKey(reason).into(),
        EncryptionError::Failed(error) => error.into(),
    }
}

fn openpgp_of(found: Option<&(User, Key)>) -> Option<(&Key, &OpenPgpKey)> {
    let (_, key) = found?;
    Some((key, key.material.as_openpgp()?))
}
