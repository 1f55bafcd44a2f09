//! What must hold for each engine of topics.
//!
//! - [`checks`]: named checks of an engine. The caller brings a [`Backend`] with engines, and runs the futures. The test
//!   `tests/all/memory.rs` shows how.
//! - [`checker`]: judges the logs of clients, publishers and an observer of the engine, after a simulation or a real run.
//! - [`schedule`]: fault schedules from seeds.

#![allow(
    clippy::exhaustive_enums,
    reason = "the crate is not published, and its users handle each case"
)]

mod backend;
pub mod checker;
pub mod checks;
pub mod schedule;

pub use self::backend::{Backend, Capability, Wait};
