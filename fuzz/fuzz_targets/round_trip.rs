//! What one end sends, in any form, and the other receives.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::round_trip(data));
