//! The names of assemblies and of what they consist of: one rule, a type for each.

use std::fmt;

use serde::Serialize;

use crate::user::is_identifier;

/// The most characters a name may have.
const MAX_LENGTH: usize = 42;

/// Why a text is no name of an assembly, a function or a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Names of assemblies, functions and jobs have 1 to {MAX_LENGTH} characters, each an ASCII letter, a digit or _."
)]
#[non_exhaustive]
pub struct InvalidAssemblyName;

impl InvalidAssemblyName {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_assembly_name"
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The most characters a name may have.
            pub const MAX_LENGTH: usize = MAX_LENGTH;

            /// Checks `text`.
            ///
            /// # Errors
            ///
            /// [`InvalidAssemblyName`] if it is empty, too long or has another character.
            pub fn parse(text: &str) -> Result<Self, InvalidAssemblyName> {
                if is_identifier(text, Self::MAX_LENGTH) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidAssemblyName)
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// The name of an assembly: 1 to 42 ASCII letters, digits and `_`.
    AssemblyName
}
name! {
    /// The name of a function of an assembly: 1 to 42 ASCII letters, digits and `_`.
    FunctionName
}
name! {
    /// The name of a job of an assembly: 1 to 42 ASCII letters, digits and `_`.
    JobName
}
