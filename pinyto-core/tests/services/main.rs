//! The rules of the protocol at the level of [`Cloud`](pinyto_core::Cloud), one file per subject.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may panic, their helpers too"
)]

mod assemblies;
mod audit;
mod background;
mod call_services;
mod challenge_login;
mod documents;
mod egress;
mod faults;
#[cfg(feature = "gpgauth")]
mod gpgauth;
mod jobs;
mod key_stock;
mod keys;
mod keyserver;
mod own_documents;
mod portable;
mod queued_jobs;
mod quotas;
mod runs;
mod scripted;
mod session_model;
mod sessions;
mod support;
mod throttling;
mod throttling_together;
mod tickets;
