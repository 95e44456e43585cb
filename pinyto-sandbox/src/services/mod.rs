//! What `factory.create` makes: HTML parsing, in the process of the code, and fetching, in the
//! server.

pub(crate) mod egress;
#[cfg(any(target_os = "linux", test))]
pub(crate) mod html;
