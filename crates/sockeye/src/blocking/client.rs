//! Connecting: TCP, TLS, the handshake, each within its deadline.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use sockeye_proto::Config;

use super::connection::Connection;
use super::handshake::{self, Opened};
use super::stream::Stream;
use crate::client::{self, ConnectError, Target};
#[cfg(feature = "tls")]
use crate::transport::tls::{self, TlsError, rustls};

/// How to connect, with a socket that blocks. It connects as often as it is asked to.
///
/// ```no_run
/// use sockeye::blocking::Client;
///
/// let client = Client::builder().subprotocols(["chat"]);
/// let ws = client.connect("wss://chat.example/river")?;
/// assert_eq!(ws.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::ConnectError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Client(client::Client);

/// Connects with the defaults of [`Client`].
///
/// # Errors
///
/// As [`Client::connect`].
pub fn connect(url: impl AsRef<str>) -> Result<Connection, ConnectError> {
    Client::builder().connect(url.as_ref())
}

impl Client {
    /// The defaults: no header fields of its own, no subprotocols, 10 s to connect to each address and 10 s
    /// for the handshake.
    pub fn builder() -> Self {
        Self(client::Client::builder().compression(None))
    }

    /// Adds a header field to the request.
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self(self.0.header(name, value))
    }

    /// Offers subprotocols, the preferred first.
    pub fn subprotocols<I, S>(self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self(self.0.subprotocols(names))
    }

    /// Sets the limits and deadlines of the connection.
    pub fn config(self, config: Config) -> Self {
        Self(self.0.config(config))
    }

    /// Sets how `wss:` URLs are connected to; by default as [`tls::client_config`] says.
    #[cfg(feature = "tls")]
    pub fn tls(self, config: rustls::ClientConfig) -> Self {
        Self(self.0.tls(config))
    }

    /// Sets how long it may take to connect to one address of the host; 10 s. Finding the addresses takes as
    /// long as the system takes.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self(self.0.connect_timeout(timeout))
    }

    /// Sets how long the opening handshake may take, TLS included; 10 s.
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        Self(self.0.handshake_timeout(timeout))
    }

    /// Connects to a `ws:` or `wss:` URL, or as a request says that has one; see [`Target`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which says how far it came.
    pub fn connect(
        &self,
        target: impl TryInto<Target, Error = ConnectError>,
    ) -> Result<Connection, ConnectError> {
        let target = target.try_into()?;
        if target.is_secure() && cfg!(not(feature = "tls")) {
            return Err(ConnectError::TlsUnsupported);
        }
        let handshake = self.0.handshake(&target)?;
        let tcp = self.reach(&target)?;
        let timeout = self.0.handshake_timeout;
        let deadline = Instant::now() + timeout;
        let opened = self.secure(tcp, &target).and_then(|mut stream| {
            let opened = handshake::shake_hands(&mut stream, &handshake, deadline)?;
            Ok((stream, opened))
        });
        let (stream, opened) = opened.map_err(|error| match error {
            ConnectError::Connect(error) if error.kind() == io::ErrorKind::TimedOut => {
                ConnectError::HandshakeTimeout(timeout)
            }
            error => error,
        })?;
        let Opened {
            accepted,
            read_ahead,
        } = opened;
        let config = self.0.config.clone();
        Ok(Connection::new(
            stream,
            config,
            read_ahead,
            accepted.subprotocol,
        ))
    }

    /// One address after another; the last error is told.
    fn reach(&self, target: &Target) -> Result<TcpStream, ConnectError> {
        let addresses = (target.bare_host(), target.port()).to_socket_addrs();
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses.map_err(ConnectError::Connect)? {
            match TcpStream::connect_timeout(&address, self.0.connect_timeout) {
                Ok(tcp) => {
                    // Small messages leave at once.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Err(error) => failed = error,
            }
        }
        Err(ConnectError::Connect(failed))
    }

    /// TLS shakes hands when the first bytes are written.
    fn secure(&self, tcp: TcpStream, target: &Target) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        if target.is_secure() {
            let config = match &self.0.tls {
                Some(config) => std::sync::Arc::clone(config),
                None => tls::for_client(tls::client_config()?),
            };
            let name = target.bare_host().to_owned();
            let name = rustls::pki_types::ServerName::try_from(name).map_err(TlsError::from)?;
            let session = rustls::ClientConnection::new(config, name).map_err(TlsError::from)?;
            let stream = rustls::StreamOwned::new(session, tcp);
            return Ok(Stream::Secure(Box::new(stream)));
        }
        debug_assert!(!target.is_secure(), "refused before");
        Ok(Stream::Plain(tcp))
    }
}
