//! What the core shows to the outside, in one program.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot build its input fails"
)]

mod deflate;
mod deflate_negotiation;
mod deflate_state;
mod frames_fixtures;
mod handshake_client;
mod handshake_fixtures;
mod handshake_header;
mod handshake_origin;
mod handshake_server;
mod header_oracle;
mod pair;
mod properties;
mod values;
#[path = "../wire/mod.rs"]
mod wire;
