//! See `mailguard::fuzz::sequences`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailguard::fuzz::sequences(octets));
