//! The same bytes to Sockeye and to tungstenite.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::differential(data));
