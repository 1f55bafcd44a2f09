//! A client for programs without a runtime: the same protocol on a blocking socket, in the caller's thread.
//!
//! Its [`ClientBuilder`] is that of the asynchronous [`Client`](crate::Client), and each option has its effect here. Three
//! things differ, because there is no task beside the caller:
//!
//! - It tries the addresses of a host one after the other, and each has the whole of
//!   [`connect_timeout`](crate::client::ClientBuilder::connect_timeout). Resolving a name has no time limit.
//! - Pings are answered, and deadlines kept, only while the caller receives.
//! - There is no `split`: a thread cannot send while another one waits for a message of the same connection.
//!
//! ```no_run
//! use sockeye::{CloseCode, blocking};
//!
//! let mut ws = blocking::connect("ws://127.0.0.1:8080/echo")?;
//! ws.send("hello")?;
//! while let Some(message) = ws.recv()? {
//!     println!("{message}");
//! }
//! ws.close(CloseCode::NORMAL, "bye")?;
//! # Ok::<(), sockeye::Error>(())
//! ```

mod client;
mod connection;
mod handshake;
#[cfg(feature = "json")]
mod json;
mod proxy;
mod stream;

pub use self::client::{Client, ClientBuilder, connect};
pub use self::connection::Connection;
