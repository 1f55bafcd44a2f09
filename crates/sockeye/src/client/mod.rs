//! The client: it opens connections over TCP, TLS, a Unix socket or a proxy. hyper does the HTTP of the opening
//! handshake, and gives the stream back.
//!
//! [`connect`] opens a connection with the defaults. [`Client::builder`] sets other options:
//!
//! ```no_run
//! use sockeye::Client;
//! use sockeye::client::{ConnectError, Proxy};
//!
//! # async fn example() -> sockeye::Result {
//! let proxy: Proxy = "http://proxy.example:3128".parse()?;
//! let client = Client::builder().subprotocols(["chat.v1"]).proxy(proxy).build();
//! match client.connect("wss://chat.example/river").await {
//!     Ok(mut ws) => ws.send("hello").await?,
//!     Err(ConnectError::Refused(response)) => println!("refused: {}", response.status()),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```

// `builder` holds a client's options and `attempt` opens a connection; `turn` serialises attempts. The layers
// below are `dial` (TCP), `proxy`, `socks` and `exchange` (HTTP).

use crate::connection::Connection;

mod attempt;
mod builder;
mod cookie;
mod dial;
mod environment;
mod error;
mod exchange;
mod observer;
mod proxy;
mod redirect;
mod route;
mod socks;
mod target;
mod turn;
mod unix;

pub use self::builder::{Client, ClientBuilder};
pub use self::cookie::CookieJar;
pub(crate) use self::error::ConnectErrorForLog;
pub use self::error::{ConnectError, InvalidUrl, ProxyError};
pub use self::exchange::HttpError;
pub use self::observer::OpeningEvent;
pub(crate) use self::observer::{AttemptStep, Observer, are_tls};
pub use self::proxy::Proxy;
pub(crate) use self::redirect::Redirects;
pub(crate) use self::route::{Route, host_for_proxy};
pub use self::socks::SocksError;
pub(crate) use self::socks::SocksStep;
pub use self::target::Target;
pub(crate) use self::turn::Turn;
pub(crate) use self::unix::connect_blocking as connect_unix_blocking;

/// Connects to a WebSocket server with the defaults of [`Client`].
///
/// # Errors
///
/// [`ConnectError`] names the step that failed.
///
/// # Cancel safety
///
/// Dropping the future ends the attempt.
///
/// ```no_run
/// # async fn example() -> sockeye::Result {
/// let mut ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
/// ws.send("hello").await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: impl AsRef<str>) -> Result<Connection, ConnectError> {
    Client::new().connect(url.as_ref()).await
}
