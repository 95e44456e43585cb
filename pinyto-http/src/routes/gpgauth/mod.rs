//! gpgAuth: `/auth/verify.json`, `/auth/login.json` and what belongs to them.
//!
//! These routes speak as the clients of gpgAuth 1.3.0 expect it, not as all others here: the
//! protocol is in headers, every answer's body is an envelope, and the session is a cookie, too.
//! That cookie is good for these routes only: everything else wants the token in the request,
//! which no foreign page can have a browser send.

mod answer;
mod cookies;
mod form;

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE};
use pinyto_core::{Cloud, Error, gpgauth::GpgAuthError, key::KeyFingerprint, session::Session};
use serde_json::{Value, json};
use uuid::Uuid;
use warp::{Filter, Rejection, filters::BoxedFilter, reply::Response};

use crate::{
    api::Api, body, client_address::ClientAddress, cors::ForOrigins as _, error::ApiError,
    prefix::PathPrefix,
};
use answer::{Answer, Progress};
use form::Login;

pub use cookies::{CookieName, InvalidCookieName};

/// How gpgAuth is served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpgAuthHttp {
    /// What the session's cookie is called.
    pub cookie: CookieName,
    /// Whether browsers may send the cookies over TLS only. Default: yes.
    pub secure_cookies: bool,
}

impl Default for GpgAuthHttp {
    fn default() -> Self {
        Self {
            cookie: CookieName::default(),
            secure_cookies: true,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// The server's key, or stage 0; with a method each.
    Verify,
    /// Stages 0 to 2.
    Login,
    /// Whether there is a session.
    Check,
    Logout,
    /// Who has the session.
    Me,
}

impl Page {
    /// The path without its first segment.
    fn of(group: &str, name: &str) -> Option<Self> {
        Some(match (group, name) {
            ("auth", "verify" | "verify.json") => Self::Verify,
            ("auth", "login" | "login.json") => Self::Login,
            (
                "auth",
                "is-authenticated" | "is-authenticated.json" | "checkSession" | "checkSession.json",
            ) => Self::Check,
            ("auth", "logout" | "logout.json") => Self::Logout,
            ("users", "me" | "me.json") => Self::Me,
            _ => return None,
        })
    }

    const fn methods(self) -> &'static [Method] {
        const READ: &[Method] = &[Method::GET, Method::HEAD];
        const POST: &[Method] = &[Method::POST];
        const ALL: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
        match self {
            Self::Verify => ALL,
            Self::Login | Self::Logout => POST,
            Self::Check | Self::Me => READ,
        }
    }

    /// Identifies what was done, in the envelope.
    const fn action(self) -> Uuid {
        Uuid::from_u128(
            match self {
                Self::Verify => 1,
                Self::Login => 2,
                Self::Check => 3,
                Self::Logout => 4,
                Self::Me => 5,
            } | 0x7069_6e79_746f_4067_8000_0000_0000_0000,
        )
    }
}

/// A request for one of the pages.
struct Asked {
    page: Page,
    method: Method,
    path: String,
    headers: HeaderMap,
    cloud: Cloud,
    settings: Arc<GpgAuthHttp>,
    prefix: Arc<PathPrefix>,
}

/// Logging in with an OpenPGP key. Rejects everything if the cloud has none of its own.
#[must_use]
pub fn gpgauth(api: Api) -> BoxedFilter<(Response,)> {
    let origins = api.origins();
    asked(api.clone())
        .and(warp::body::stream())
        .then(move |asked: Asked, stream| {
            let api = api.clone();
            async move {
                let answer = match (asked.page, &asked.method) {
                    (Page::Verify | Page::Login, &Method::POST) => {
                        match body::read(stream, &api).await {
                            Ok(body) => asked.log_in(body).await,
                            Err(error) => failed(Progress::None, &error),
                        }
                    }
                    (Page::Verify | Page::Login, _) => asked.server_key(),
                    (Page::Check, _) => asked.check().await,
                    (Page::Logout, _) => asked.log_out().await,
                    (Page::Me, _) => asked.me().await,
                };
                answer.into_response(&asked)
            }
        })
        .for_origins(origins)
}

fn asked(api: Api) -> impl Filter<Extract = (Asked,), Error = Rejection> + Clone + Send + Sync {
    warp::path::param()
        .and(warp::path::param())
        .and(warp::path::end())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<ClientAddress>())
        .and_then(
            move |group: String, name: String, method: Method, headers, address| {
                let page = Page::of(&group, &name).filter(|page| page.methods().contains(&method));
                let asked = page
                    .filter(|_| api.cloud().openpgp().is_ok())
                    .map(|page| Asked {
                        page,
                        method,
                        path: format!("{}/{group}/{name}", api.prefix()),
                        headers,
                        cloud: api.cloud_for(address),
                        settings: Arc::clone(api.gpgauth_settings()),
                        prefix: Arc::clone(api.prefix()),
                    });
                async move { asked.ok_or_else(warp::reject::not_found) }
            },
        )
}

impl Asked {
    /// The session that the cookie belongs to, if it lives.
    async fn session(&self) -> Result<Option<Session>, Error> {
        let Some(token) = cookies::token(&self.headers, self.settings.cookie.as_str()) else {
            return Ok(None);
        };
        match self.cloud.session(&token).await {
            Ok(session) => Ok(Some(session)),
            Err(Error::UnknownToken) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn server_key(&self) -> Answer {
        match self.cloud.openpgp() {
            Ok(openpgp) => Answer::success(
                "The operation was successful.",
                json!({
                    "fingerprint": openpgp.fingerprint().to_hex().to_uppercase(),
                    "keydata": openpgp.public_key(),
                }),
            ),
            Err(error) => failed(Progress::None, &error.into()),
        }
    }

    /// All stages: which one is told by the fields.
    async fn log_in(&self, body: body::Body) -> Answer {
        match self.session().await {
            Ok(None) => {}
            Ok(Some(_)) => {
                return Answer::error(StatusCode::CONFLICT, "You are logged in already.");
            }
            Err(error) => return failed(Progress::None, &error.into()),
        }
        let content_type = self.headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let login = match form::read(content_type, body.bytes.clone()).await {
            Ok(login) => login,
            Err(error) => {
                return Answer::error(StatusCode::BAD_REQUEST, error.to_string())
                    .at(Progress::Stage0);
            }
        };
        drop(body);
        let Login {
            keyid,
            server_verify_token,
            user_token_result,
        } = login;
        let keyid = keyid.as_deref().map(KeyFingerprint::parse);
        let Some(Ok(fingerprint)) = keyid else {
            let error = Error::from(GpgAuthError::UnknownKey);
            return failed(Progress::Stage0, &error.into());
        };
        match (server_verify_token, user_token_result) {
            (Some(message), _) => self.verify(message).await,
            (None, None) => self.begin(&fingerprint).await,
            (None, Some(token)) => self.complete(&fingerprint, &token).await,
        }
    }

    async fn verify(&self, message: String) -> Answer {
        match self.cloud.gpgauth_verify(message).await {
            Ok(nonce) => Answer::success("The server holds its key.", Value::Null)
                .at(Progress::Stage0)
                .with_verify_response(nonce.expose()),
            Err(error) => failed(Progress::Stage0, &error.into()),
        }
    }

    /// It is no success yet: a client looks for this very message.
    async fn begin(&self, fingerprint: &KeyFingerprint) -> Answer {
        match self.cloud.gpgauth_begin(fingerprint).await {
            Ok(message) => Answer::error(StatusCode::OK, "The authentication failed.")
                .without_error_header()
                .at(Progress::Stage1)
                .with_user_token(&message),
            Err(error) => failed(Progress::Stage1, &error.into()),
        }
    }

    async fn complete(&self, fingerprint: &KeyFingerprint, token: &str) -> Answer {
        match self.cloud.gpgauth_complete(fingerprint, token).await {
            Ok(login) => {
                let body = json!({
                    "username": login.user.name.as_str(),
                    "token": login.token.expose(),
                });
                Answer::success("You are logged in.", body)
                    .at(Progress::Complete)
                    .with_session(login.token.expose())
            }
            Err(error) => failed(Progress::Stage2, &error.into()),
        }
    }

    async fn check(&self) -> Answer {
        match self.session().await {
            Ok(Some(_)) => Answer::success("You are logged in.", Value::Null).authenticated(),
            Ok(None) => Answer::error(StatusCode::UNAUTHORIZED, "You are not logged in."),
            Err(error) => failed(Progress::None, &error.into()),
        }
    }

    async fn me(&self) -> Answer {
        match self.session().await {
            Ok(Some(session)) => {
                let id = u64::try_from(session.user.id.get()).unwrap_or_default();
                let id =
                    Uuid::from_u128(u128::from(id) | 0x7069_6e79_746f_4000_8000_0000_0000_0000);
                let name = session.user.name.as_str();
                Answer::success(
                    "That is you.",
                    json!({"id": id.to_string(), "username": name}),
                )
                .authenticated()
                .with_csrf_token()
            }
            Ok(None) => Answer::error(StatusCode::UNAUTHORIZED, "You are not logged in."),
            Err(error) => failed(Progress::None, &error.into()),
        }
    }

    async fn log_out(&self) -> Answer {
        let logged_out = || {
            Answer::success("You are logged out.", Value::Null)
                .at(Progress::Logout)
                .without_session()
        };
        let session = match self.session().await {
            Ok(Some(session)) => session,
            Ok(None) => return logged_out(),
            Err(error) => return failed(Progress::None, &error.into()),
        };
        // Browsers send the cookie along whoever has them post.
        if !cookies::csrf_token_is_doubled(&self.headers) {
            let message = "The header X-CSRF-Token has to be the cookie csrfToken.";
            return Answer::error(StatusCode::FORBIDDEN, message);
        }
        match self.cloud.logout(&session).await {
            Ok(()) => logged_out(),
            Err(error) => failed(Progress::None, &error.into()),
        }
    }
}

/// The answer to what went wrong at a stage.
fn failed(stage: Progress, error: &ApiError) -> Answer {
    let (status, progress) = match error.code() {
        "gpgauth_unknown_key" => (error.status(), Progress::Stage0),
        "gpgauth_not_armored" => (error.status(), Progress::None),
        // The stage was passed, and came to nothing.
        "gpgauth_undecryptable" | "gpgauth_no_nonce" => (StatusCode::OK, stage),
        "gpgauth_unusable_key" if stage == Progress::Stage1 => (StatusCode::OK, stage),
        _ => (error.status(), stage),
    };
    Answer::error(status, error.sentence().to_owned())
        .at(progress)
        .retry_after(error.retry_after())
}
