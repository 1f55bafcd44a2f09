//! What must hold for each engine of topics.
//!
//! - [`checker`]: judges the logs of clients, publishers and an observer of the engine, after a simulation or a real run.

#![allow(
    clippy::exhaustive_enums,
    reason = "the crate is not published, and its users handle each case"
)]

pub mod checker;
