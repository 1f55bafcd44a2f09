//! An open connection: messages out, messages in. The calls of the application drive a [`Connection`]. A task drives
//! a split connection, and each session.
//!
//! ```no_run
//! # async fn example() -> sockeye::Result {
//! let ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
//! let (sender, mut receiver) = ws.split();
//! tokio::spawn(async move {
//!     for number in 1..=10 {
//!         sender.send(format!("message {number}")).await?;
//!     }
//!     sender.close(sockeye::CloseCode::NORMAL, "").await
//! });
//! while let Some(message) = receiver.recv().await? {
//!     println!("{message}");
//! }
//! # Ok(())
//! # }
//! ```

// - `link`: one protocol machine on one transport.
// - `turn`: one look at a link, for each owner that drives one.
// - `driver`: drives a link for its owner, in one task. Other tasks reach it through its mailbox (`sockeye_mailbox`).
// - `direct`: the way of a deliverer to the socket, past a parked driver.
// - `pool`: the buffers that the connections of a thread share.

mod adapter;
pub(crate) mod assembly;
mod bridge;
pub(crate) mod budget;
pub(crate) mod direct;
pub(crate) mod driver;
mod event;
#[cfg(feature = "json")]
pub(crate) mod json;
pub(crate) mod link;
mod machine;
mod opening;
pub(crate) mod permit;
mod plain;
pub(crate) mod pool;
mod reader;
pub(crate) mod reply;
mod round_trip;
mod sinking;
mod split;
#[cfg(test)]
pub(crate) mod tests;
mod turn;
mod turn_budget;
mod writer;

pub use self::adapter::SenderSink;
pub use self::bridge::{BridgeEnd, BridgeError, BridgeSide, bridge};
pub use self::event::ConnectionEvent;
pub(crate) use self::machine::{Compression, client_machine, server_machine};
pub use self::opening::{Opening, Timings};
pub use self::plain::Connection;
pub use self::reader::MessageReader;
pub use self::split::{Receiver, Sender};
pub(crate) use self::split::{SplitState, check_control};
pub use self::writer::MessageWriter;
pub(crate) use self::writer::writer;
