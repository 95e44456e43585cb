//! Programs that show how to use Pinyto are in `examples/`. This library has nothing but the
//! README, so that its code is compiled with the documentation tests.

#![doc = include_str!("../../README.md")]
