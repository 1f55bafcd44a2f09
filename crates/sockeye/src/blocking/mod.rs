//! A client for programs without a runtime: the same protocol on a blocking socket, in the caller's thread.
//!
//! It has the features of a simple client: `ws:` and `wss:`, header fields, subprotocols, compression, proxies,
//! redirects, limits and deadlines. It tries the addresses of a host one after the other, and its threads do not take
//! turns at connecting. Other features need the asynchronous [`Client`](crate::Client).
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
mod proxy;
mod stream;

pub use self::client::{Client, ClientBuilder, connect};
pub use self::connection::Connection;
