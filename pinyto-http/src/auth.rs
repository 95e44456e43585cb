//! Who asks: from what came to a session.

use std::{convert::Infallible, mem};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use pinyto_core::{
    Cloud, Error, Room,
    assembly::{CallRequest, InvalidCallRequest},
    challenge::RequestToken,
    session::{Session, SessionClaim},
};
use warp::{Filter, Rejection};

use crate::{
    api::Api,
    body::{self, Body},
    client_address::ClientAddress,
    error::ApiError,
    wire::{OnlyToken, Request, TokenText, Undecodable, decode},
};

/// A request whose body has arrived.
pub(crate) struct Incoming {
    /// The cloud, for the address the request came from.
    pub(crate) cloud: Cloud,
    bearer: Option<RequestToken>,
    body: Body,
}

/// Reads the body; what went wrong with it is for the route to answer.
pub(crate) fn incoming(
    api: Api,
) -> impl Filter<Extract = (Result<Incoming, ApiError>,), Error = Rejection>
+ Clone
+ Send
+ Sync
+ 'static {
    warp::ext::optional::<ClientAddress>()
        .and(
            warp::header::value("authorization")
                .map(|header| bearer(&header))
                .or(warp::any().map(|| None))
                .unify(),
        )
        .and(warp::body::stream())
        .then(move |address, bearer, stream| {
            let api = api.clone();
            async move {
                Ok(Incoming {
                    body: body::read(stream, &api).await?,
                    cloud: api.cloud_for(address),
                    bearer,
                })
            }
        })
}

/// Who asks, for routes of your own beside Pinyto's: the session of `Authorization: Bearer`, or why
/// there is none. Never rejects; the error is an answer.
///
/// ```
/// use pinyto_http::{Api, ApiError, session};
/// use pinyto_core::session::Session;
/// use warp::{Filter, Rejection, Reply, reply::Response};
///
/// # fn greet(api: Api) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
/// warp::path!("hello")
///     .and(warp::get())
///     .and(session(api))
///     .map(|asking: Result<Session, ApiError>| match asking {
///         Ok(session) => format!("Hello {}!", session.user.name).into_response(),
///         Err(error) => error.into_response(),
///     })
/// # }
/// ```
pub fn session(
    api: Api,
) -> impl Filter<Extract = (Result<Session, ApiError>,), Error = Infallible>
+ Clone
+ Send
+ Sync
+ 'static {
    warp::header::headers_cloned()
        .and(warp::ext::optional::<ClientAddress>())
        .then(move |headers: HeaderMap, from| {
            let api = api.clone();
            async move { api.session_of(&headers, from).await }
        })
}

impl Api {
    /// Who asks, for handlers of your own beside Pinyto's: the session of `Authorization: Bearer`.
    ///
    /// The address is what [`ClientAddress`] among the request's extensions says; without one
    /// nothing is throttled by address. The error is an answer: `?` makes an
    /// [`Answer`](crate::Answer) of it, an [`http::Response`].
    ///
    /// ```
    /// use axum::extract::State;
    /// use http::HeaderMap;
    /// use pinyto_http::{Answer, Api};
    ///
    /// async fn hello(State(api): State<Api>, headers: HeaderMap) -> Result<String, Answer> {
    ///     let session = api.session_of(&headers, None).await?;
    ///     Ok(format!("Hello {}!", session.user.name))
    /// }
    /// # fn app(api: Api) -> axum::Router {
    /// # axum::Router::new().route("/hello", axum::routing::get(hello)).with_state(api)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `unknown_token` (401) without that header, and if no session with its token lives; what the
    /// store says if it can't be asked.
    pub async fn session_of(
        &self,
        headers: &HeaderMap,
        from: Option<ClientAddress>,
    ) -> Result<Session, ApiError> {
        let token = headers.get(AUTHORIZATION).and_then(bearer);
        let token = token.ok_or(Error::UnknownToken)?;
        Ok(self.cloud_for(from).session(&token).await?)
    }
}

impl Incoming {
    /// What a request without session says.
    pub(crate) fn decode<T: Request>(&mut self) -> Result<T, ApiError> {
        Ok(decode(&mem::take(&mut self.body).bytes)?)
    }

    /// Who asks, where nothing else matters.
    pub(crate) async fn identify(mut self) -> Result<Asked<()>, ApiError> {
        let OnlyToken { token } = self.decode()?;
        Ok(Asked {
            session: self.session(token).await?,
            cloud: self.cloud,
            request: (),
        })
    }

    /// Who asks, and what for. Who has no session learns that first, whatever else is wrong, and
    /// only for those with one more than the token is decoded.
    pub(crate) async fn authenticate<T: Request>(mut self) -> Result<Asked<T>, ApiError> {
        let OnlyToken { token } = decode(&self.body.bytes)?;
        let session = self.session(token).await?;
        Ok(Asked {
            request: self.decode()?,
            cloud: self.cloud,
            session,
        })
    }

    /// Who says to ask, where nothing else matters: for what is read for a session.
    pub(crate) async fn claim(mut self) -> Result<Asked<(), SessionClaim>, ApiError> {
        let OnlyToken { token } = self.decode()?;
        Ok(Asked {
            session: self.cloud.claim(self.token(token.as_ref())?).await?,
            cloud: self.cloud,
            request: (),
        })
    }

    /// Who says to ask, and what for; otherwise as [`Incoming::authenticate`].
    pub(crate) async fn claim_for<T: Request>(
        mut self,
    ) -> Result<Asked<T, SessionClaim>, ApiError> {
        let OnlyToken { token } = decode(&self.body.bytes)?;
        let session = self.cloud.claim(self.token(token.as_ref())?).await?;
        let request = self.decode();
        let cloud = self.cloud;
        match request {
            Ok(request) => Ok(Asked {
                request,
                cloud,
                session,
            }),
            Err(error) => Err(refusal(&cloud, session, error).await),
        }
    }

    /// As [`Incoming::authenticate`], for what may hold many values: there is room for them as long
    /// as the second part lives.
    pub(crate) async fn authenticate_large<T: Request>(
        mut self,
    ) -> Result<(Asked<T>, Room), ApiError> {
        let OnlyToken { token } = decode(&self.body.bytes)?;
        let session = self.session(token).await?;
        // What is no UTF-8 isn't read to values.
        let text = str::from_utf8(&self.body.bytes).unwrap_or_default();
        let room = self.cloud.room_for_values(session.user.id, text).await?;
        let asked = Asked {
            request: self.decode()?,
            cloud: self.cloud,
            session,
        };
        Ok((asked, room))
    }

    /// Who calls a function, and everything that was sent for it.
    pub(crate) async fn call(self) -> Result<Asked<CallRequest, SessionClaim>, ApiError> {
        let OnlyToken { token } = decode(&self.body.bytes)?;
        let session = self.cloud.claim(self.token(token.as_ref())?).await?;
        let request = str::from_utf8(&self.body.bytes)
            .map_err(|_| InvalidCallRequest)
            .and_then(CallRequest::from_json);
        let Ok(request) = request else {
            let error = Undecodable::NotObject("it is none".to_owned());
            return Err(refusal(&self.cloud, session, error).await);
        };
        Ok(Asked {
            request,
            cloud: self.cloud,
            session,
        })
    }

    async fn session(&self, in_body: Option<TokenText>) -> Result<Session, Error> {
        self.cloud.session(self.token(in_body.as_ref())?).await
    }

    fn token<'a>(&'a self, in_body: Option<&'a TokenText>) -> Result<&'a RequestToken, Error> {
        let in_body = in_body.map(|TokenText(token)| token);
        in_body.or(self.bearer.as_ref()).ok_or(Error::UnknownToken)
    }
}

/// What somebody with a session asks for, or with the claim to have one.
pub(crate) struct Asked<T, S = Session> {
    pub(crate) cloud: Cloud,
    pub(crate) session: S,
    pub(crate) request: T,
}

impl<T: Send> Asked<T, SessionClaim> {
    /// The answer where nothing has to be read to know that it can't be: `error`, but only to those
    /// with a session.
    pub(crate) async fn refusal(self, error: impl Into<ApiError> + Send) -> ApiError {
        refusal(&self.cloud, self.session, error).await
    }
}

async fn refusal(
    cloud: &Cloud,
    session: SessionClaim,
    error: impl Into<ApiError> + Send,
) -> ApiError {
    match cloud.session_of(session).await {
        Ok(_) => error.into(),
        Err(no_session) => no_session.into(),
    }
}

/// The token in a header `Authorization`, if it is `Bearer` and ASCII; any other is ignored.
fn bearer(header: &HeaderValue) -> Option<RequestToken> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| RequestToken::new(token.trim()))
}
