//! What the payload of a compressed message may be.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::inflate(data));
