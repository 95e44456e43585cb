//! Users: who they are and how they register.

mod repository;
mod service;

use std::{fmt, str::FromStr};

pub use repository::{NewUser, RegisterOutcome, UserRepository};

use crate::id::UserId;

/// A user's name: 1 to 30 ASCII letters, digits and `_`; comparison is exact.
///
/// Only ASCII, because the name stands in URLs and two names that look alike must be alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// Why a text is no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A user name has 1 to {max} characters, each an ASCII letter, a digit or _.", max = UserName::MAX_LENGTH)]
#[non_exhaustive]
pub struct InvalidUserName;

impl InvalidUserName {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_user_name"
    }
}

/// The author of the assemblies that come with the server. It has no key: nobody logs in as it.
pub const BUNDLED_AUTHOR: &str = "pinyto";

/// Names that nobody can register, because they are the first segments of fixed routes (present
/// or foreseeable) or the bundled author's. Compared without regard to case.
const RESERVED: &[&str] = &[
    BUNDLED_AUTHOR,
    "admin",
    "api",
    "assets",
    "auth",
    "authenticate",
    "delete_assembly",
    "delete_key",
    "docs",
    "favicon",
    "get_assembly_source",
    "get_run",
    "healthz",
    "index",
    "install_assembly",
    "keyserver",
    "list_all_assemblies",
    "list_assembly_runs",
    "list_installed_assemblies",
    "list_jobs",
    "list_keys",
    "list_own_assemblies",
    "list_runs",
    "login",
    "logout",
    "me",
    "metrics",
    "openapi",
    "prove_openpgp_key",
    "public",
    "public_key",
    "readyz",
    "register",
    "register_new_key",
    "run_job",
    "save_assembly",
    "set_key_active",
    "static",
    "statistics",
    "ticket",
    "uninstall_assembly",
    "users",
    "webapps",
    "whoami",
];

impl UserName {
    /// The most characters a name may have.
    pub const MAX_LENGTH: usize = 30;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`InvalidUserName`] if it is empty, too long or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidUserName> {
        if is_identifier(text, Self::MAX_LENGTH) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidUserName)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nobody may register this name (it is part of a fixed route, or the bundled author's).
    /// A program reserves names of its own with
    /// [`Settings::reserved_user_names`](crate::Settings::reserved_user_names).
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        RESERVED
            .iter()
            .any(|reserved| self.0.eq_ignore_ascii_case(reserved))
    }

    /// Whether a program that reserves these names reserves this one, in any case.
    pub(crate) fn is_among(&self, reserved: &[Self]) -> bool {
        reserved
            .iter()
            .any(|reserved| self.0.eq_ignore_ascii_case(&reserved.0))
    }

    pub(crate) fn bundled_author() -> Self {
        Self(BUNDLED_AUTHOR.to_owned())
    }
}

/// Whether `text` is 1 to `max` ASCII letters, digits and `_`.
pub(crate) fn is_identifier(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The store's identifier.
    pub id: UserId,
    /// The name, unique in the store.
    pub name: UserName,
}

impl User {
    /// The user whom the store knows under that identifier.
    #[must_use]
    pub const fn new(id: UserId, name: UserName) -> Self {
        Self { id, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_to_thirty_letters_digits_and_underscores() {
        for good in ["a", "Z_9", "_", "x".repeat(30).as_str()] {
            assert_eq!(UserName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a b",
            "a/b",
            "a%2fb",
            "a\0",
            "Jürgen",
            "\u{202e}ab",
            "a\u{200f}",
            "a-b",
            "a.b",
            "x".repeat(31).as_str(),
        ] {
            assert_eq!(UserName::parse(bad), Err(InvalidUserName), "{bad:?}");
        }
    }

    #[test]
    fn first_segments_of_routes_are_reserved_in_any_case() {
        for name in ["keyserver", "Authenticate", "webapps", "pinyto", "Users"] {
            assert!(UserName::parse(name).unwrap().is_reserved(), "{name}");
        }
        assert!(!UserName::parse("keyservers").unwrap().is_reserved());
    }
}
