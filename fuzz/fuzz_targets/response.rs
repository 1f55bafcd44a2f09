//! What a server may answer to that.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::response(data));
