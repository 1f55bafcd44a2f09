//! The subprotocol of topics: its frames, and the machines of both ends.
#![cfg(feature = "wire")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot build its input fails"
)]

mod client;
mod conversations;
mod crowd;
mod envelope;
mod headers;
mod properties;
mod server;
mod storm;
mod support;
