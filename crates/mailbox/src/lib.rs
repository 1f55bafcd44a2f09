//! What other tasks share with the driver of a WebSocket connection, and the fan-out of one message to many connections.
//!
//! - A [`Mailbox`] belongs to one connection. Senders put items in, the driver takes them out by its [`DriverSide`]. One
//!   atomic word says whether there is something for the driver, and whether the driver is parked.
//! - A [`Channel`] brings one message to many mailboxes. The message is framed once, and each mailbox reads it at its own
//!   position. An endpoint has one channel for its broadcasts. A channel may keep the newest message only.
//! - A [`Deliverer`] writes the messages of channels past parked drivers, through [`DirectWrite`].
//!
//! This crate is a part of `sockeye`, and makes no promise of stability. It knows no runtime, no socket and no clock.
//! It is the one crate that loom checks: with `--cfg loom` its locks and atomics are loom's.

mod direct;
mod error;
mod fanout;
mod fault;
mod mailbox;
pub mod sync;

pub use self::direct::DirectWrite;
pub use self::error::SendError;
pub use self::fanout::budget::Budget;
pub use self::fanout::channel::Channel;
pub use self::fanout::config::ChannelConfig;
pub use self::fanout::delivery::{Deliver, Deliverer, Delivery};
pub use self::fanout::log::{Copied, LOG_LIMIT, Subscription};
pub use self::mailbox::Mailbox;
pub use self::mailbox::driver::{DriverSide, WakeReason};
pub use self::mailbox::ending::Ended;
pub use self::mailbox::item::{Item, Part, Reached, Receipt, Taken, Ticket};
pub use self::mailbox::part::{Parts, UNFINISHED};
pub use self::mailbox::policy::{Overflow, OverflowPolicy, Overflowed};
pub use self::mailbox::send::Sending;
pub use self::mailbox::signal::Look;
pub use self::mailbox::state::Directive;
