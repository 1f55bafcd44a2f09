//! The subprotocol of topics: its frames, and the machines of both ends.
#![cfg(feature = "wire")]

mod envelope;
mod headers;
mod properties;
mod server;
mod support;
