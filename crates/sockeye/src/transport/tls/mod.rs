//! TLS over another transport, by rustls: configurations from files or from the system's roots, and the two
//! handshakes. Knows nothing of HTTP except its ALPN name.

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
pub(crate) use self::server::Acceptor;
pub use self::server::server_config;

/// The TLS library, for programs that build a configuration of their own.
pub use tokio_rustls::rustls;
