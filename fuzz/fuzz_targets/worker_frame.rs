//! Whatever a worker says: nothing panics, and the limits hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(pinyto_sandbox::testing::hear(bytes) <= 1000);
});
