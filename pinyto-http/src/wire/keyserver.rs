//! The keyserver's calls.

use std::fmt;

use pinyto_core::keyserver::{InvalidPassword, Password};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use super::{Request, USER_NAME};

const PASSWORD: &str = "a string";

/// A password that is tried, copied once from the body to where it is wiped after use.
pub struct TriedPassword(pub Password);

/// A password that is chosen, as [`TriedPassword`]; or why it can't be.
pub struct ChosenPassword(pub Result<Password, InvalidPassword>);

struct Text<T>(fn(&str) -> T);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PASSWORD)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

impl<'de> Deserialize<'de> for TriedPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|text| Self(Password::attempt(text))))
    }
}

impl<'de> Deserialize<'de> for ChosenPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|text| Self(Password::choose(text))))
    }
}

/// Registers a user who has a password instead of a device.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyserverRegister {
    /// 1 to 30 ASCII letters, digits and `_`; compared exactly. `name` is another name of this
    /// field.
    #[serde(alias = "name")]
    pub username: String,
    /// 8 to 1024 characters (after Unicode normalisation, NFKC).
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub password: ChosenPassword,
}

impl Request for KeyserverRegister {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("username", USER_NAME),
        ("name", USER_NAME),
        ("password", PASSWORD),
    ];
}

/// Logs in with a password.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyserverAuthenticate {
    /// Who wants to log in. `name` is another name of this field.
    #[serde(alias = "name")]
    pub username: String,
    /// Her password.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub password: TriedPassword,
}

impl Request for KeyserverAuthenticate {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("username", "a string"),
        ("name", "a string"),
        ("password", PASSWORD),
    ];
}

/// Gives the account another password and a fresh key pair.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangePassword {
    /// The new password: 8 to 1024 characters (after Unicode normalisation, NFKC).
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub password: ChosenPassword,
}

impl Request for ChangePassword {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("password", PASSWORD)];
}

/// Allows or forbids that the password opens the account.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetPasswordLogin {
    /// Whether the password opens the account from now on. Forbidding ends the session that it has
    /// opened.
    pub allowed: bool,
}

impl Request for SetPasswordLogin {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("allowed", "true or false")];
}

/// What opens a session at once.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenAnswer<'a> {
    /// Ready to use as `token` of every request of the session.
    pub token: &'a str,
}
