//! See `mailguard::fuzz::options`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailguard::fuzz::options(octets));
