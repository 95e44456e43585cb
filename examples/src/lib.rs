//! Programs that show how to use Pinyto are in `examples/`. This library has nothing but the
//! READMEs and pages of `docs/`, so that their code is compiled with the documentation tests.

#![doc = include_str!("../../README.md")]

// Their links lead to other pages, so they are no documentation of a crate.
#[cfg(doctest)]
#[doc = include_str!("../../docs/client.md")]
pub mod page_client {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
pub mod page_embedding {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/gpgauth.md")]
pub mod page_gpgauth {}

#[doc = include_str!("../../pinyto-core/README.md")]
pub mod readme_of_core {}

#[doc = include_str!("../../pinyto-http/README.md")]
pub mod readme_of_http {}

#[doc = include_str!("../../pinyto-sandbox/README.md")]
pub mod readme_of_sandbox {}

#[doc = include_str!("../../pinyto-store/README.md")]
pub mod readme_of_store {}

#[doc = include_str!("../../docs/resource-servers.md")]
pub mod resource_servers {}
