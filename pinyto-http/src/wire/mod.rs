//! What travels: the JSON of requests and answers, one file per subject.
//!
//! [`decode`] reads a request's body strictly (a field has exactly the type that is documented) and
//! tolerantly (fields that nobody knows are ignored). What is wrong with a body is told by naming
//! the field; nothing that the client sent is repeated, since it may be secret.

mod decode;
mod field;

pub mod assembly;
pub mod document;
pub mod job;
pub mod key;
pub mod keyserver;
pub mod run;
pub mod server;
pub mod user;

#[cfg(all(test, feature = "openapi"))]
mod tests;

use serde::{Serialize, de::DeserializeOwned};

pub use decode::{Undecodable, decode};
pub use field::{Digits, Minutes, Object, TokenText};

/// The body of a request.
pub trait Request: DeserializeOwned {
    /// Each field's path, as in `data.api_functions[].name`, and what it has to be: the end of the
    /// sentence "It has to be ...". The token is not among them.
    const FIELDS: &'static [(&'static str, &'static str)];
}

/// A request that says nothing but who asks; every other field is ignored.
#[derive(serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OnlyToken {
    /// The request token, unless the header `Authorization: Bearer` has it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub token: Option<TokenText>,
}

impl Request for OnlyToken {
    const FIELDS: &'static [(&'static str, &'static str)] = &[];
}

/// The answer of calls that have nothing else to tell.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Success {
    /// Always `true`: what fails has an error status.
    pub success: bool,
}

impl Success {
    /// `{"success": true}`.
    pub const ANSWER: Self = Self { success: true };
}

/// What every answer with an error status looks like.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure<'a> {
    /// One English sentence or two that tell the author of the client what to do.
    pub error: &'a str,
    /// The stable name of the error, for programs.
    pub code: &'a str,
    /// What an assembly's code raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<&'a Exception>,
}

/// An exception that an assembly's code raised and didn't catch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Exception {
    /// Its type, as `ValueError`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The line of the function's code, counted from 1.
    pub line: Option<u32>,
}

const ANY_NAME: &str = "a string";
const COUNT: &str = "a whole number that is not negative";
const NAME: &str = "a string of 1 to 42 ASCII letters, digits and _";
const USER_NAME: &str = "a string of 1 to 30 ASCII letters, digits and _";
const PUBLIC_KEY: &str = "an object with the strings N and e";
const OPENPGP_KEY: &str = "a string: an ASCII-armored public key";
const MODULUS: &str = "a string of decimal digits";
const EXPONENT: &str = "a string of decimal digits or a whole number";
const KEY_HASH: &str = "a string of 10 to 64 hexadecimal digits";
