use super::{NewSession, ReadFor, ReplaceOutcome, Session, SessionClaim, WhoAmI};
use crate::{
    audit::Event,
    challenge::{
        Challenge, InvalidRequestToken, RequestToken, RequestTokenDigest, SessionToken,
        SessionTokenHash,
    },
    cloud::Cloud,
    error::Error,
    id::{KeyId, UserId},
    key::{KeyHash, PublicKey},
    store::StoreError,
    user::UserName,
};

impl Cloud {
    /// Poses the challenge that opens a session: a fresh session token, encrypted for the key and
    /// signed by the server. The key's former session is dead from now on.
    ///
    /// # Errors
    ///
    /// [`Error::AuthenticationFailed`], the same whether there is no such user, no such key or it
    /// is not active; [`Error::AmbiguousKeyHash`] if the hash fits several of the user's keys, one
    /// of them active;
    /// [`Error::Throttled`] after too many failures from one address; [`Error::Busy`].
    pub async fn authenticate(
        &self,
        user: &UserName,
        key_hash: &KeyHash,
    ) -> Result<Challenge, Error> {
        self.refuse_guessing(None)?;
        let mut keys = self.store().keys().matching(user, key_hash).await?;
        if keys.len() > 1 && keys.iter().any(|(_, key)| key.active) {
            return Err(Error::AmbiguousKeyHash);
        }
        let active = keys.pop().filter(|(_, key)| key.active);
        let usable =
            active.and_then(|(_, key)| Some((key.user, key.id, key.material.as_rsa()?.clone())));
        if let Some((owner, key, public_key)) = usable {
            let fingerprint = public_key.fingerprint();
            let (challenge, token) = self.challenge(public_key).await?;
            let opened = self.replace_session(owner, key, &token).await?;
            if opened.is_some() {
                self.audit(Event::LoginOk, Some(user), Some(fingerprint));
                return Ok(challenge);
            }
        } else {
            // Counted first, so that it counts also if the caller goes away.
            drop(self.begin_try(None)?);
            // The same work as for a user who exists.
            self.challenge(self.server_public_key().clone()).await?;
            self.settle(None, true).await?;
        }
        self.audit(Event::LoginFailed, Some(user), None);
        Err(Error::AuthenticationFailed)
    }

    /// Opens a session of the key, if it is (still) active, and ends its former one.
    pub(crate) async fn replace_session(
        &self,
        user: UserId,
        key: KeyId,
        token: &SessionToken,
    ) -> Result<Option<SessionClaim>, StoreError> {
        let session = NewSession {
            user,
            key,
            token_hash: token.hash(),
            at: self.now(),
        };
        Ok(match self.store().sessions().replace(&session).await? {
            ReplaceOutcome::Opened(id) => Some(SessionClaim {
                id,
                token_hash: session.token_hash,
            }),
            ReplaceOutcome::KeyNotActive => None,
        })
    }

    /// A fresh token and the challenge that tells it to the key's owner only.
    async fn challenge(&self, recipient: PublicKey) -> Result<(Challenge, SessionToken), Error> {
        let token = SessionToken::generate(self.randomness().as_ref())?;
        let server_key = self.server_key().clone();
        self.rsa_workers()
            .run(move || {
                server_key
                    .issue(&recipient, &token)
                    .map(|challenge| (challenge, token))
            })
            .await?
            .map_err(Error::from)
    }

    /// The session that a request token belongs to; renews it.
    ///
    /// Asks the store each time, so that what ended a session is in force at once, whoever did it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if there is none (any more); [`Error::Throttled`] after too many
    /// tokens from one address that were none; [`Error::Busy`].
    pub async fn session(&self, token: &RequestToken) -> Result<Session, Error> {
        if let Some(claim) = self.known_session(token)? {
            return self.session_of(claim).await;
        }
        let found = self.session_by_decryption(token).await?;
        self.admit(found.ok_or(Error::UnknownToken)?).await
    }

    /// What a request token claims: the session whose token it is, which may have ended. Asks the
    /// store for tokens only whose text is not remembered.
    ///
    /// # Errors
    ///
    /// As [`Cloud::session`].
    pub async fn claim(&self, token: &RequestToken) -> Result<SessionClaim, Error> {
        if let Some(claim) = self.known_session(token)? {
            return Ok(claim);
        }
        let found = self.session_by_decryption(token).await?;
        Ok(SessionClaim::from(&found.ok_or(Error::UnknownToken)?))
    }

    /// The session that is claimed, if it lives; renews it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if it doesn't.
    pub async fn session_of(&self, claim: SessionClaim) -> Result<Session, Error> {
        let found = self.store().sessions().find(claim.id).await?;
        let found = found.filter(|session| claim.is_of(session));
        self.admit(found.ok_or(Error::UnknownToken)?).await
    }

    /// Whose session it is, and which key opened it; renews it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn who_am_i(&self, session: impl Into<SessionClaim> + Send) -> Result<WhoAmI, Error> {
        let claim = session.into();
        let read = self.store().reads().key(claim.id);
        let (session, key) = self.admitted(claim, read.await?).await?;
        Ok(WhoAmI {
            user: session.user.name,
            key: key.material.fingerprint(),
            created_at: session.created_at,
            last_used_at: session.last_used_at,
        })
    }

    /// What was read for the session that is claimed, if that lives; renews it.
    pub(crate) async fn admitted<T: Send>(
        &self,
        claim: SessionClaim,
        read: ReadFor<T>,
    ) -> Result<(Session, T), Error> {
        let read = read.filter(|(session, _)| claim.is_of(session));
        let (session, read) = read.ok_or(Error::UnknownToken)?;
        Ok((self.admit(session).await?, read))
    }

    /// The session whose token's text is remembered.
    fn known_session(&self, token: &RequestToken) -> Result<Option<SessionClaim>, Error> {
        if token.expose().len() > RequestToken::MAX_LENGTH {
            return Err(Error::UnknownToken);
        }
        Ok(self.remembered().get(&token.digest()))
    }

    /// Refuses a session of the store's that has expired, and renews any other.
    async fn admit(&self, session: Session) -> Result<Session, Error> {
        let (now, settings) = (self.now(), self.settings());
        let unused = now.saturating_since(session.last_used_at);
        if unused
            > settings
                .session_idle
                .saturating_add(settings.session_renewal())
        {
            return Err(Error::UnknownToken);
        }
        if unused >= settings.session_renewal() && !unused.is_zero() {
            let sessions = self.store().sessions();
            match sessions.renew(session.user.id, session.id, now).await {
                Ok(()) => {
                    return Ok(Session {
                        last_used_at: now,
                        ..session
                    });
                }
                // The next use will try again.
                Err(error) => tracing::warn!(?error, "can't note the use of a session"),
            }
        }
        Ok(session)
    }

    /// The session of a token whose text is not remembered. Remembers it.
    async fn session_by_decryption(&self, token: &RequestToken) -> Result<Option<Session>, Error> {
        self.refuse_guessing(None)?;
        let (cloud, sealed) = (self.clone(), token.clone());
        let opened = self
            .rsa_workers()
            .run(move || {
                let begun = cloud.begin_try(None)?;
                let opened = cloud.server_key().open(&sealed);
                if !matches!(&opened, Err(error) if error.was_costly()) {
                    begun.forgive();
                }
                // A task, so that it is judged even if the caller goes away.
                Ok::<_, Error>(opened.map(|opened| {
                    let judging = cloud
                        .clone()
                        .session_by_opened(sealed.digest(), opened.hash());
                    cloud.tasks().spawn(judging)
                }))
            })
            .await??;
        match opened {
            Ok(found) => Ok(found.await.map_err(|_| Error::ShuttingDown)??),
            Err(InvalidRequestToken::Unavailable(error)) => Err(error.into()),
            Err(error) => {
                if error.was_costly() {
                    self.share_failure(None).await;
                }
                Ok(None)
            }
        }
    }

    /// Looks the session up and counts a failure if there was no good reason to decrypt: no
    /// session has the token, or one that has sent so many texts that an older one is forgotten.
    async fn session_by_opened(
        self,
        text: RequestTokenDigest,
        token: SessionTokenHash,
    ) -> Result<Option<Session>, StoreError> {
        let found = self.store().sessions().find_by_token(&token).await?;
        let displaces = |session: &Session| self.remembered().insert(text, session.into());
        if found.as_ref().is_none_or(displaces) {
            self.count_failure(None).await;
        }
        Ok(found)
    }

    /// Ends the session. A token that is used again after that is unknown.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store failed; the session may then still live.
    pub async fn logout(&self, session: &Session) -> Result<(), Error> {
        self.store()
            .sessions()
            .end(session.user.id, session.id)
            .await?;
        self.remembered().forget(session.into());
        self.audit(Event::LoggedOut, Some(&session.user.name), None);
        Ok(())
    }

    /// Deletes the sessions that have expired, and says how many, the failed tries that no longer
    /// count, and the login tokens that have expired. None has any effect; call this now and then so
    /// that they don't pile up.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store failed.
    pub async fn sweep_sessions(&self) -> Result<u64, Error> {
        let settings = self.settings();
        let lifetime = settings
            .session_idle
            .saturating_add(settings.session_renewal());
        let now = self.now();
        let moment = now.saturating_sub(lifetime);
        let ended = self.store().sessions().end_unused_since(moment).await?;
        self.store().failures().forget_paid(now).await?;
        self.store().sessions().forget_spent(now).await?;
        Ok(ended)
    }
}
