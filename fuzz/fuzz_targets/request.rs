//! What a client may send to open a connection.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::request(data));
