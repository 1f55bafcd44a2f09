//! What a server may send to a client's end of an open connection.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::client_stream(data));
