//! Pinyto over HTTP: the routes as [warp](https://docs.rs/warp) filters or as a tower service, and
//! what serves them.
//!
//! The crate translates: it reads a request, calls one method of
//! [`Cloud`](pinyto_core::Cloud), writes the answer. No rule about users, keys or documents lives
//! here, only what HTTP adds: limits on bodies, sentences about fields, statuses, CORS, and the
//! description of it all for programs and people. It knows no database: the cloud has its store.
//!
//! # A server
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use pinyto_core::{Cloud, challenge::ServerKey, crypto::default_backend, memory::MemoryStore};
//! use pinyto_http::{Api, HttpSettings, routes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Clients pin this key, so a real server keeps it.
//! let key = ServerKey::generate(default_backend())?;
//! let cloud = Cloud::builder(Arc::new(MemoryStore::new()), key).build()?;
//!
//! let mut settings = HttpSettings::default();
//! settings.max_body_bytes = 512 * 1024;
//! let api = Api::new(cloud).settings(settings);
//! warp::serve(routes::all(api)).run(([127, 0, 0, 1], 8080)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Beside routes of your own
//!
//! [`routes`] has one function per subject. What is not theirs they reject, so they mix with
//! others; [`routes::others`] answers the rest as the protocol wants it, and [`routes::all`] has
//! everything. Under a prefix say so with [`Api::mounted_at`], so that links lead there.
//!
//! ```no_run
//! use pinyto_http::{Api, PathPrefix, routes};
//! use warp::Filter;
//!
//! # fn mount(api: Api) -> Result<impl Filter, Box<dyn std::error::Error>> {
//! let api = api.mounted_at(PathPrefix::parse("/pinyto")?);
//! let pinyto = warp::path("pinyto").and(routes::all(api));
//! let app = warp::path!("hello").map(|| "world").or(pinyto);
//! # Ok(app)
//! # }
//! ```
//!
//! In axum, hyper and whatever else takes tower's services it is [`service()`]:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use pinyto_http::{Api, PathPrefix};
//!
//! # fn mount(api: Api) -> Result<Router, Box<dyn std::error::Error>> {
//! let api = api.mounted_at(PathPrefix::parse("/pinyto")?);
//! let app = Router::new()
//!     .route("/hello", get("world"))
//!     .nest_service("/pinyto", pinyto_http::service(api));
//! # Ok(app)
//! # }
//! ```
//!
//! Your own routes learn who asks from [`session()`] (a filter) or [`Api::session_of`]; the
//! [`ApiError`] they get otherwise is an answer in warp, and becomes one elsewhere by `?` or
//! [`Answer::from`].
//!
//! A listener that puts a [`ClientAddress`](client_address::ClientAddress) into the extensions of
//! its requests gets failed tries throttled by address; without one only accounts are.
//!
//! # Map
//!
//! | module | what it is about |
//! |---|---|
//! | [`routes`] | the protocol's calls, together or by subject, as filters of warp |
//! | [`service()`] | all of them as a tower service |
//! | [`session()`], [`Api::session_of`] | who asks, for routes of your own |
//! | [`PathPrefix`] | where they are mounted |
//! | [`ApiError`], [`ERRORS`] | every error with its status |
//! | `client` | the other side: keys, sessions and every call (feature `client`) |
//! | [`client_address`] | who is calling, as the routes see it |
//! | [`AllowedOrigins`] | whose pages may call (CORS) |
//! | `routes::gpgauth` | logging in with an OpenPGP key, and its cookies (feature `gpgauth`) |
//! | `openapi` | the description (feature `openapi`) |
//! | `listener` | a socket with limits, TLS and an orderly end, for any tower service (feature `listener`) |
//! | [`assembly_from_json`] | an assembly as clients send it, for tools |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `gpgauth` | yes | the routes for logging in with an OpenPGP key, and `pinyto-core`'s feature of that name |
//! | `openapi` | with `server` | `/openapi.json`, `/docs`, and the module that makes them |
//! | `listener` | with `server` | the module of that name: hyper, and rustls on aws-lc, which needs a C compiler |
//! | `server` | yes | the binary `pinyto-server`: command line, SQLite, the sandbox, metrics. Adds nothing to the library but `openapi`, `listener` and `pinyto-core`'s backend `aws-lc` |
//! | `postgres` | yes | lets the binary keep its data in PostgreSQL; does nothing without `server` |
//! | `client` | no | the module of that name; turns on `pinyto-core/aws-lc`, which needs a C compiler |
//!
//! All of them only add. Without them (`default-features = false`) the crate is the routes alone; for a
//! program that is only a client, `default-features = false, features = ["client"]`. Which RSA backend
//! there is, `pinyto-core`'s features say.
//!
//! # warp's types, and versions
//!
//! [`routes`] and [`session()`] give filters of warp 0.4, and [`ApiError`] is one of its replies: who
//! uses warp gets filters that fit. That makes warp a public dependency, and warp is not at 1.0: a newer
//! warp than 0.4 takes a new major version of this crate (before its 1.0: a new minor one). Whoever would rather not depend on that uses [`service()`], [`Api::session_of`],
//! [`Answer::from`] and `listener`: they have no type of warp in them, only of `http`, `http-body`,
//! `bytes`, `hyper` and `tower-service`, and stay as they are when warp changes.
//!
//! Not covered by that promise is what the binary is made of, which nobody else can reach, and the
//! wording of sentences; the `code` of an error stays.
//!
//! # Rust version
//!
//! 1.96 or newer, which the Python interpreter that `server` brings declares. To ask for a newer one
//! takes a minor version, not a patch.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod auth;
mod body;
#[cfg(feature = "client")]
pub mod client;
pub mod client_address;
mod cors;
mod error;
#[cfg(feature = "listener")]
pub mod listener;
#[cfg(feature = "openapi")]
pub mod openapi;
mod page;
mod prefix;
#[cfg(feature = "client")]
mod private_file;
mod reply;
pub mod routes;
mod service;
mod timeout;
// For the fuzz targets, which read every request; it is no part of the interface.
#[cfg(fuzzing)]
#[allow(missing_debug_implementations, reason = "requests may have secrets")]
pub mod wire;
#[cfg(not(fuzzing))]
#[expect(unreachable_pub, reason = "the fuzz targets reach it")]
mod wire;

pub use api::{Api, HttpSettings};
pub use auth::session;
pub use cors::{AllowedOrigins, InvalidOrigin, Origin};
pub use error::{ApiError, ERRORS, ErrorKind};
pub use prefix::{InvalidPathPrefix, PathPrefix};
pub use service::{Answer, AnswerBody, AnswerFuture, PinytoService, service};
pub use wire::assembly::assembly_from_json;
