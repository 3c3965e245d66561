//! See `mailguard::fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailguard::fuzz::config(octets));
