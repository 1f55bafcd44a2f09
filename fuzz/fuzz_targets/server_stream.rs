//! What a client may send to a server's end of an open connection.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::server_stream(data));
