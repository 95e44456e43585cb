//! Everything the reference server is besides its routes.
//!
//! | module | what it is about |
//! |---|---|
//! | [`config`] | [`Settings`](config::Settings) from command line, environment and file |
//! | [`listener`] | the accept loop: limits, TLS, graceful shutdown |
//! | [`layers`] | around every request: its id, its log line, its time limit, panics |
//! | [`tls`] | certificate and key from PEM files, replaced without dropping connections |
//! | [`key_file`] | reading the server's private key, or writing a new one safely |
//! | [`logging`] | where the log goes and in which form |
//! | [`metrics`] | what the operator's monitoring reads |
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use pinyto_http::server::{listener::Listener, layers::from_filter};
//! use warp::Filter;
//!
//! let routes = warp::path!("healthz").map(|| "ok");
//! let listener = Listener::bind("127.0.0.1:8080".parse().expect("an address")).await?;
//! let shutdown = std::future::pending();
//! listener.serve(from_filter(routes), shutdown).await;
//! # Ok(())
//! # }
//! ```

pub mod config;
mod connection;
pub mod key_file;
pub mod layers;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod tls;
