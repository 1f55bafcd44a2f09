//! Validation of text as it arrives, against the standard library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::utf8(data));
