//! TLS over another transport, by rustls: configurations from files or from the system's roots, and the two
//! handshakes. Knows nothing of HTTP except its ALPN name.
//!
//! A client needs no configuration for servers with certificates of public authorities. A server, and a client that
//! trusts another authority, have one:
//!
//! ```no_run
//! use sockeye::{Client, Server, tls};
//!
//! # async fn example() -> sockeye::Result {
//! let config = tls::server_config("chat.example.pem", "chat.example.key")?;
//! let server = Server::builder().tls(config).bind("0.0.0.0:443").await?;
//!
//! let config = tls::client_config_trusting("authority.pem")?;
//! let client = Client::builder().tls(config).build();
//! # Ok(())
//! # }
//! ```

mod alpn;
mod client;
mod error;
mod explain;
mod file;
mod provider;
mod server;

pub use self::client::{ClientOptions, client_config, client_config_trusting};
pub(crate) use self::client::{anonymous, connect, for_client, given_or_system};
pub use self::error::{FileProblem, TlsError};
pub(crate) use self::server::TlsAcceptor;
pub use self::server::server_config;

/// The TLS library, for programs that build a configuration of their own.
pub use tokio_rustls::rustls;
