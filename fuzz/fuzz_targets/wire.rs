//! The frames of topics, and the machines of both ends.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::wire(data));
