//! What `Sec-WebSocket-Extensions` may hold, in both directions.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::extension(data));
