//! A client that opens a lost connection again. [`Reconnecting`] owns the connection, [`Retry`] decides about further
//! attempts, and a queue holds the messages that wait.
//!
//! ```no_run
//! use sockeye::Client;
//! use sockeye::reconnect::{ReconnectEvent, Retry};
//!
//! # async fn example() -> sockeye::Result {
//! let mut feed = Client::new().reconnecting("wss://feed.example/")?.retry(Retry::default().limit(10));
//! while let Some(event) = feed.next().await {
//!     if let ReconnectEvent::Message(message) = event {
//!         println!("{message}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `topics-wire`, [`Reconnecting`] also makes a client of topics, in the module `topics`.
//!
//! ```text
//!              ┌────────── Waiting ◀──────────┐ worth another attempt
//!              ▼                              │
//!   Idle ─▶ Connecting ──────▶ Open ──────────┤
//!              │                              ▼
//!              └───────────────────────────▶ Over
//! ```

mod client;
mod log;
mod open;
mod queue;
mod retry;
#[cfg(feature = "topics-wire")]
pub mod topics;

pub use self::client::{ReconnectEvent, Reconnecting};
pub use self::queue::{QueueError, ReconnectSender};
pub use self::retry::{Interruption, Retry};
