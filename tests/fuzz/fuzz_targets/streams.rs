//! See `mailguard::fuzz::streams`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailguard::fuzz::streams(octets));
