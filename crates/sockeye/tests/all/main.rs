//! What the library shows to the outside. One program: each would be linked with all that it needs once more.

#[path = "../support/mod.rs"]
mod support;

mod accept;
mod adapter;
mod add_endpoint;
mod added_handler;
mod annotated;
mod attempt_log;
mod axum_upgrade;
mod blocking;
mod blocking_options;
mod bridge;
mod certificate;
mod client;
mod client_endpoint;
mod closing;
mod codec;
mod compression;
mod configurator;
mod connection;
mod connection_time;
mod control;
mod endpoint;
mod envelope;
mod examples;
mod facts;
mod filter;
mod handshake;
mod handshake_client;
#[cfg(feature = "json")]
mod json;
mod log;
mod opening_event;
mod overflow;
mod path;
mod readme;
mod reconnect;
mod same_answers;
mod serve_stream;
mod sessions;
mod span;
mod start_closing;
mod stats;
mod stop;
mod stopped;
#[cfg(feature = "test-util")]
mod test_util;
mod tls;
#[cfg(feature = "topics-wire")]
mod topic_client;
mod topic_examples;
mod topics;
mod turn;
mod upgrade;
mod upgrading;
mod websocket;
mod websocket_facts;
mod websocket_stream;
mod wrapper;
