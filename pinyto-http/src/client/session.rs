//! What a user who has logged in can call, for as long as she likes.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use pinyto_core::{challenge::RequestToken, user::UserName};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{
    Client,
    error::Error,
    login::Login,
    transport::{Body, Call, decode},
};

/// What one user can call. Cheap to clone; clones are the same session.
///
/// If the server has ended the session (it expired, the key was used elsewhere, the server lost
/// it), the call that finds out opens a new one and is sent once more: to an unknown token the
/// server does nothing. However many calls find out at the same time, one new session is opened.
///
/// Calls that change something are not repeated where the server may have got them; see
/// [the module](super#what-is-tried-again).
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    client: Client,
    state: Mutex<State>,
}

struct State {
    login: Login,
    /// Counts what was opened.
    generation: u64,
    held: Option<Held>,
    /// The session that is being opened, which all who need one wait for.
    opening: Option<WeakShared<Opening>>,
    /// That the password is wrong: to try it again would use up the tries of whoever has the right
    /// one.
    refused: Option<Error>,
    is_over: bool,
}

type Opening = BoxFuture<'static, Result<Held, Error>>;

/// A session as it was opened.
#[derive(Clone)]
struct Held {
    token: Arc<RequestToken>,
    generation: u64,
}

impl Session {
    pub(super) fn new(client: Client, login: Login) -> Self {
        let state = State {
            login,
            generation: 0,
            held: None,
            opening: None,
            refused: None,
            is_over: false,
        };
        Self(Arc::new(Inner {
            client,
            state: Mutex::new(state),
        }))
    }

    /// The client that has logged in.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Whose session it is.
    #[must_use]
    pub fn user(&self) -> UserName {
        self.state().login.user.clone()
    }

    /// Opens the session now, if it is not open.
    pub(super) async fn open(&self) -> Result<(), Error> {
        self.held(None).await.map(|_| ())
    }

    /// Sends a call whose path has no parameters.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        call: Call,
        body: &Body,
    ) -> Result<T, Error> {
        decode(&self.exchange(call, call.path, body).await?)
    }

    /// Sends a call in the session, and if that is dead once more in a new one.
    pub(super) async fn exchange(
        &self,
        call: Call,
        path: &str,
        body: &Body,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let held = self.held(None).await?;
        let transport = self.0.client.transport();
        let answer = transport.exchange(call, path, Some(body), Some(&held.token));
        match answer.await {
            Err(error) if error.is_unknown_token() => {
                let held = self.held(Some(held.generation)).await?;
                let token = Some(&*held.token);
                transport.exchange(call, path, Some(body), token).await
            }
            answered => answered,
        }
    }

    /// Ends the session for good: its calls, and its clones', fail from now on.
    ///
    /// # Errors
    ///
    /// That the server couldn't be told. For this client the session is over even then; the
    /// server ends it when it has not been used for long enough.
    pub async fn logout(&self) -> Result<(), Error> {
        let held = {
            let mut state = self.state();
            state.is_over = true;
            state.opening = None;
            state.held.take()
        };
        match held {
            Some(held) => self.0.client.end(&self.state_login(), &held.token).await,
            None => Ok(()),
        }
    }

    /// A session other than the one `dead`, opened if there is none.
    async fn held(&self, dead: Option<u64>) -> Result<Held, Error> {
        let opening = {
            let mut state = self.state();
            if state.is_over {
                return Err(Error::LoggedOut);
            }
            if let Some(held) = &state.held
                && Some(held.generation) != dead
            {
                return Ok(held.clone());
            }
            if let Some(refused) = &state.refused {
                return Err(refused.clone());
            }
            let joined = state.opening.as_ref().and_then(WeakShared::upgrade);
            joined.unwrap_or_else(|| {
                let opening = Arc::clone(&self.0).reopen().boxed().shared();
                state.opening = Shared::downgrade(&opening);
                opening
            })
        };
        opening.await
    }

    /// From now on logs in with this.
    pub(super) fn replace_login(&self, change: impl FnOnce(&mut Login) + Send) {
        let mut state = self.state();
        change(&mut state.login);
        state.refused = None;
    }

    fn state_login(&self) -> Login {
        self.state().login.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and no half of a change is possible.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs once for all who wait. If all of them are gone it is dropped.
    async fn reopen(self: Arc<Self>) -> Result<Held, Error> {
        let login = self.state().login.clone();
        let opened = self.client.open(&login).await;
        let token = {
            let mut state = self.state();
            // Who comes later asks anew, also after a failure.
            state.opening = None;
            if let Err(error) = &opened
                && error.server_code() == Some("wrong_password")
            {
                state.refused = Some(error.clone());
            }
            let token = Arc::new(opened?);
            if !state.is_over {
                state.generation += 1;
                let held = Held {
                    token,
                    generation: state.generation,
                };
                state.held = Some(held.clone());
                return Ok(held);
            }
            token
        };
        // Logged out meanwhile, so nobody would use or end it.
        let _ = self.client.end(&login, &token).await;
        Err(Error::LoggedOut)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("login", &self.state().login)
            .finish_non_exhaustive()
    }
}
