//! See `mailguard::fuzz::fragments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailguard::fuzz::fragments(octets));
