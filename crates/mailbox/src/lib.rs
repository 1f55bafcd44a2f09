//! What other tasks share with the driver of a WebSocket connection, and the fan-out of one message to many connections.
//!
//! - A [`Mailbox`] belongs to one connection. Senders put items in, the driver takes them out. One atomic word says
//!   whether there is something for the driver, and whether the driver is parked.
//! - A [`Log`] holds the broadcasts of one endpoint. Each is framed once, and each mailbox reads it at its own position.
//! - A deliverer writes the broadcasts of a parked driver past it, through [`DirectWrite`].
//!
//! This crate is a part of `sockeye`, and makes no promise of stability. It knows no runtime, no socket and no clock.
//! It is the one crate that loom checks: with `--cfg loom` its locks and atomics are loom's.

mod direct;
mod error;
mod fanout;
mod mailbox;
pub mod sync;

pub use self::direct::DirectWrite;
pub use self::error::SendError;
pub use self::fanout::log::{Copied, Log, Pushed, Seat};
pub use self::mailbox::{
    BroadcastOutcome, Directive, Ended, Item, Mailbox, Overflow, OverflowPolicy, Overflowed, Part,
    Parts, Reached, Sending, SessionOutcome, Taken, Ticket, UNFINISHED, WakeReason,
};
