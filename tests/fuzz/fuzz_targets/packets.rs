//! See `mailguard::fuzz::packets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailguard::fuzz::packets(octets));
