//! The rules of Pinyto, a personal cloud database, without any I/O of their own.
//!
//! A user owns JSON documents. Every device of hers has an RSA key and proves it by a challenge;
//! web apps log in with a password at the keyserver, which does a device's part. Assemblies are
//! bundles of server-side code that users install. What a user consumes is metered.
//!
//! This crate has the types, the rules and the traits; it knows no SQL and no HTTP. Take it
//!
//! - alone for the device's half of the challenge in a client, for a service that takes Pinyto's
//!   users by [tickets](ticket), or to write a store or a runtime of your own;
//! - with `pinyto-store`, which keeps everything in SQLite or PostgreSQL, where your program itself
//!   calls [`Cloud`], or something else than HTTP is in front;
//! - with `pinyto-http`, which mounts everything on warp, axum or another tower server, and with
//!   `pinyto-sandbox`, if assemblies are to run: that is a server.
//!
//! ```
//! use std::sync::Arc;
//!
//! use pinyto_core::challenge::{DeviceKey, RequestToken, ServerKey};
//! use pinyto_core::{Cloud, crypto::default_backend, memory::MemoryStore, user::UserName};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // The server's side. Keep the key: clients pin its public half.
//!     let server_key = ServerKey::generate(default_backend())?;
//!     let cloud = Cloud::builder(Arc::new(MemoryStore::new()), server_key).build()?;
//!
//!     // A device's side: it knows its own key and the server's public one.
//!     let device = DeviceKey::generate(default_backend())?;
//!     let server = cloud.server_public_key().clone();
//!
//!     let ada = UserName::parse("ada")?;
//!     cloud.register(ada.clone(), device.public_key().clone()).await?;
//!     let challenge = cloud.authenticate(&ada, &device.key_hash()).await?;
//!     let token: RequestToken = device.answer(&challenge, &server)?;
//!
//!     let session = cloud.session(&token).await?;
//!     assert_eq!(cloud.list_keys(&session).await?.len(), 1);
//!     Ok(())
//! }
//! ```
//!
//! # Map
//!
//! | module | what it is about |
//! |---|---|
//! | [`user`], [`key`], [`session`], [`keyserver`], [`assembly`], [`document`] | the subjects: types, the trait of the repository, and (as methods of [`Cloud`]) the rules |
//! | [`Cloud`], [`Settings`], [`Background`], [`Error`] | what a program holds, what it may want otherwise, what it runs beside requests, and what it is told |
//! | [`store`] | what a store is, and how to write one |
//! | [`memory`] | a store in memory |
//! | [`challenge`] | both halves of the challenge: data in, decision out |
//! | `gpgauth` | feature `gpgauth`: logging in with an OpenPGP key |
//! | [`ticket`] | how another service learns whose session it is: tickets, and what verifies them |
//! | [`crypto`] | the RSA traits and their backends |
//! | [`job`], [`run`] | jobs and the scheduler; what became of calls and jobs |
//! | [`runtime`] | what runs the code of assemblies, and what that code may ask for |
//! | [`query`] | the language that documents are asked for in: what it means, and how documents are ordered |
//! | [`egress`] | what that code may fetch from other servers |
//! | [`clock`], [`randomness`] | time and randomness, handed in |
//! | [`throttle`] | how failed tries are slowed down, on all servers together |
//! | [`portable`] | one user's data as lines of JSON: out of one cloud, into another |
//! | [`usage`], [`audit`] | metering; the audit log |
//! | [`id`], [`json`], [`slots`], [`Page`], [`Room`] | what the others are made of; mostly for authors of stores and adapters |
//! | `testing` | feature `testing`: the contract suite for stores, fixed keys, a clock moved by hand |
//!
//! # What runs beside requests
//!
//! Everything needs a running tokio runtime. Building a [`Cloud`] starts nothing; a program spawns
//! [`Cloud::background`], and if it has a keyserver [`keyserver::KeyStock::start_refill`]. It ends
//! in this order: no more requests, the background, the runtime of code, [`Cloud::close`], the
//! store.
//!
//! # Threads and state
//!
//! All futures are `Send`, and everything that is shared is `Send + Sync`. A [`Cloud`] is a handle:
//! clones of it are the same cloud. There is no global state, so several clouds in one process have
//! nothing to do with each other. Time and randomness are handed in; [`clock`] and [`randomness`]
//! tell what is not drawn from them.
//!
//! # What may change
//!
//! In a minor version enums and structs marked so get variants and fields, and the traits of stores
//! and runtimes get methods with a default. Error codes are added, never changed. Settings are
//! changed field by field, beginning with their defaults.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `rustcrypto` | yes | the portable RSA backend |
//! | `aws-lc` | no | a faster RSA backend, constant time; needs a C compiler |
//! | `gpgauth` | no | `gpgauth`: logging in with an OpenPGP key |
//! | `testing` | no | what the tests of stores need |
//!
//! # Rust version
//!
//! 1.95 or newer. To ask for a newer one takes a minor version, not a patch.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod assembly;
pub mod audit;
mod background;
pub mod challenge;
pub mod clock;
mod cloud;
#[cfg(test)]
mod code_tests;
pub mod crypto;
#[cfg(test)]
mod debug_tests;
pub mod document;
pub mod egress;
mod error;
#[cfg(feature = "gpgauth")]
pub mod gpgauth;
pub mod id;
pub mod job;
pub mod json;
pub mod key;
pub mod keyserver;
pub mod memory;
mod page;
pub mod portable;
pub mod query;
mod quota;
pub mod randomness;
mod restart;
pub mod run;
pub mod runtime;
pub mod session;
pub mod slots;
pub mod store;
mod tasks;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod thread_tests;
pub mod throttle;
pub mod ticket;
pub mod usage;
pub mod user;
mod value_memory;
mod workers;

pub use background::{Background, Closed};
pub use cloud::{Cloud, CloudBuilder, Settings};
pub use error::{Error, Limited};
pub use page::Page;
pub use quota::{Quota, Quotas};
pub use throttle::{FailureQuota, ThrottleSettings};
pub use value_memory::Room;
