//! See `mailguard::fuzz::dialogue`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailguard::fuzz::dialogue(octets));
