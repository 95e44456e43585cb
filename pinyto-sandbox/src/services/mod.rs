//! What `factory.create` makes: HTML parsing, in the process of the code, and fetching, in the
//! server.

pub(crate) mod egress;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the worker that uses it comes with the engine")
)]
pub(crate) mod html;
