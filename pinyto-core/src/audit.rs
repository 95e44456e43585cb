//! The audit log: one line for each event that matters to an account's security.
//!
//! The lines are `tracing` events with the target `pinyto::audit` and the fields `event`, `user`,
//! `address` and, where a key is concerned, `key_hash`. They never contain a token, a password or
//! a key.

use std::net::IpAddr;

use crate::{cloud::Cloud, key::KeyFingerprint, user::UserName};

/// The target of the audit log's lines.
pub const TARGET: &str = "pinyto::audit";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Registered,
    KeyserverRegistered,
    LoginOk,
    LoginFailed,
    KeyserverLoginOk,
    KeyserverLoginFailed,
    #[cfg(feature = "gpgauth")]
    GpgAuthLoginOk,
    #[cfg(feature = "gpgauth")]
    GpgAuthLoginFailed,
    LoggedOut,
    TicketIssued,
    KeyAdded,
    KeyRemoved,
    KeyActivated,
    KeyDeactivated,
    #[cfg(feature = "gpgauth")]
    KeyProofFailed,
    KeyRenewed,
    PasswordChanged,
    PasswordLoginAllowed,
    PasswordLoginForbidden,
    Throttled,
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::KeyserverRegistered => "keyserver_registered",
            Self::LoginOk => "login_ok",
            Self::LoginFailed => "login_failed",
            Self::KeyserverLoginOk => "keyserver_login_ok",
            Self::KeyserverLoginFailed => "keyserver_login_failed",
            #[cfg(feature = "gpgauth")]
            Self::GpgAuthLoginOk => "gpgauth_login_ok",
            #[cfg(feature = "gpgauth")]
            Self::GpgAuthLoginFailed => "gpgauth_login_failed",
            Self::LoggedOut => "logged_out",
            Self::TicketIssued => "ticket_issued",
            Self::KeyAdded => "key_added",
            Self::KeyRemoved => "key_removed",
            Self::KeyActivated => "key_activated",
            Self::KeyDeactivated => "key_deactivated",
            #[cfg(feature = "gpgauth")]
            Self::KeyProofFailed => "key_proof_failed",
            Self::KeyRenewed => "key_renewed",
            Self::PasswordChanged => "password_changed",
            Self::PasswordLoginAllowed => "password_login_allowed",
            Self::PasswordLoginForbidden => "password_login_forbidden",
            Self::Throttled => "throttled",
        }
    }

    const fn is_suspicious(self) -> bool {
        match self {
            Self::LoginFailed | Self::KeyserverLoginFailed | Self::Throttled => true,
            #[cfg(feature = "gpgauth")]
            Self::GpgAuthLoginFailed | Self::KeyProofFailed => true,
            _ => false,
        }
    }
}

impl Cloud {
    pub(crate) fn audit(&self, event: Event, user: Option<&UserName>, key: Option<KeyFingerprint>) {
        let event_name = event.name();
        let user = user.map(UserName::as_str);
        let address = self.address().map(|address: IpAddr| address.to_string());
        let key_hash = key.map(|key| key.short());
        if event.is_suspicious() {
            tracing::warn!(target: TARGET, event = event_name, user, address, key_hash);
        } else {
            tracing::info!(target: TARGET, event = event_name, user, address, key_hash);
        }
    }
}
