//! What is compressed, and how both ends may have agreed to do it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::deflate(data));
