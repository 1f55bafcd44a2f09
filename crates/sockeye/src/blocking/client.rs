//! The blocking client: it performs TCP, TLS and the opening handshake, each within its deadline.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use sockeye_proto::{Config, DeflateConfig};

use super::connection::Connection;
use super::handshake::{self, Opened};
use super::proxy;
use super::stream::Stream;
use crate::client::{
    self, AttemptStep, ConnectError, OpeningEvent, Proxy, ProxyError, Redirects, Target,
};
use crate::connection::client_machine;
use crate::sync::Arc;
#[cfg(feature = "tls")]
use crate::tls::{self, TlsError, rustls};

/// A client with blocking sockets, which opens connections. [`new`](Self::new) makes one with the default options,
/// [`builder`](Self::builder) one with others. One client opens any number of connections.
///
/// ```no_run
/// use sockeye::blocking::Client;
///
/// let client = Client::builder().subprotocols(["chat"]).build();
/// let ws = client.connect("wss://chat.example/river")?;
/// assert_eq!(ws.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Client(client::Client);

/// Connects with the defaults of [`Client`].
///
/// # Errors
///
/// [`ConnectError`] names the step that failed.
pub fn connect(url: impl AsRef<str>) -> Result<Connection, ConnectError> {
    Client::new().connect(url.as_ref())
}

impl Client {
    /// Makes a client with the defaults: no header fields of its own, no subprotocols, no proxy and no redirects. It has
    /// 10 s to connect to each address, and 10 s for the handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a builder, which has the defaults of [`new`](Self::new) until they are set.
    pub fn builder() -> ClientBuilder {
        ClientBuilder(client::Client::builder())
    }

    /// Connects to a target: a `ws:` or `wss:` URL, or a request with one. See [`Target`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names the step that failed.
    pub fn connect(
        &self,
        target: impl TryInto<Target, Error: Into<ConnectError>>,
    ) -> Result<Connection, ConnectError> {
        let mut target = target.try_into().map_err(Into::into)?;
        let mut redirects = Redirects::new(self.0.redirects, &self.0.observer);
        loop {
            match self.attempt(&target) {
                Ok(connection) => return Ok(connection),
                Err(error) => target = redirects.follow(&target, error)?,
            }
        }
    }

    fn attempt(&self, target: &Target) -> Result<Connection, ConnectError> {
        if target.is_secure() && cfg!(not(feature = "tls")) {
            return Err(ConnectError::TlsUnsupported);
        }
        let handshake = self.0.handshake(target)?;
        let stream = self.reach(target).map_err(|error| {
            let is_late = proxy::is_late(&error);
            let late = ConnectError::ConnectTimeout(self.0.connect_timeout);
            if is_late { late } else { error }
        })?;
        let timeout = self.0.handshake_timeout;
        let deadline = Instant::now() + timeout;
        let opened = self
            .secure(stream, target, deadline)
            .and_then(|mut stream| {
                let started = Instant::now();
                let observer = &self.0.observer;
                let opened = handshake::shake_hands(&mut stream, &handshake, deadline, observer)?;
                observer.step(AttemptStep::Accepted, started.elapsed());
                Ok((stream, opened))
            });
        let (stream, opened) = opened.map_err(|error| {
            let is_late = proxy::is_late(&error);
            let late = ConnectError::HandshakeTimeout(timeout);
            if is_late { late } else { error }
        })?;
        let Opened {
            accepted,
            read_ahead,
        } = opened;
        let compression = self.0.agreed_compression(&accepted.extensions)?;
        let machine = client_machine(self.0.config.clone(), compression);
        let subprotocol = accepted.subprotocol;
        let budget = Arc::clone(&self.0.budget);
        Ok(Connection::new(
            stream,
            machine,
            read_ahead,
            subprotocol,
            budget,
        ))
    }

    /// Opens a transport to the server, through a proxy if one is set.
    fn reach(&self, target: &Target) -> Result<Stream, ConnectError> {
        let (host, port) = (target.bare_host(), target.port());
        let Some(proxy) = self.0.proxy_for(target)? else {
            let tcp = self.dial(host, port).map_err(ConnectError::Connect)?;
            return Ok(Stream::Plain(tcp));
        };
        let tcp = self.dial(proxy.host(), proxy.port());
        let mut stream = Stream::Plain(tcp.map_err(ProxyError::Connect)?);
        let deadline = Instant::now() + self.0.connect_timeout;
        if proxy.is_secure() {
            stream = self.secure_proxy(stream, &proxy, deadline)?;
        }
        let host = match proxy.wants_address() {
            true => {
                let addresses = self
                    .addresses_of(host, port)
                    .map_err(ConnectError::Connect)?;
                first_address(&addresses).map_err(ConnectError::Connect)?
            }
            false => target.host().to_owned(),
        };
        let started = Instant::now();
        let observer = &self.0.observer;
        proxy::tunnel(&proxy, &mut stream, &host, port, deadline, observer)?;
        observer.step(AttemptStep::Tunneled(proxy.host()), started.elapsed());
        Ok(stream)
    }

    /// Tries the addresses in order. If all fail, returns the last error.
    fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses_of(host, port)? {
            let started = Instant::now();
            match TcpStream::connect_timeout(&address, self.0.connect_timeout) {
                Ok(tcp) => {
                    // So small messages are sent at once.
                    let _ = tcp.set_nodelay(true);
                    let step = AttemptStep::Connected(&address);
                    self.0.observer.step(step, started.elapsed());
                    return Ok(tcp);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn addresses_of(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let started = Instant::now();
        let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
        let step = AttemptStep::Resolved(host, &addresses);
        self.0.observer.step(step, started.elapsed());
        Ok(addresses)
    }

    fn secure(
        &self,
        stream: Stream,
        target: &Target,
        deadline: Instant,
    ) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        if target.is_secure() {
            let config = self.0.tls_for(target);
            let host = target.bare_host();
            return Ok(self.shake_tls(config.as_ref(), stream, host, deadline)?);
        }
        debug_assert!(!target.is_secure(), "refused before");
        let _ = deadline;
        Ok(stream)
    }

    fn secure_proxy(
        &self,
        stream: Stream,
        proxy: &Proxy,
        deadline: Instant,
    ) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        {
            let config = self.0.tls.as_ref();
            let secured = self.shake_tls(config, stream, proxy.host(), deadline);
            Ok(secured.map_err(ProxyError::Tls)?)
        }
        #[cfg(not(feature = "tls"))]
        {
            let _ = (stream, proxy, deadline);
            Err(ConnectError::TlsUnsupported)
        }
    }

    #[cfg(feature = "tls")]
    fn shake_tls(
        &self,
        config: Option<&Arc<rustls::ClientConfig>>,
        stream: Stream,
        host: &str,
        deadline: Instant,
    ) -> Result<Stream, TlsError> {
        let started = Instant::now();
        let config = tls::given_or_system(config)?;
        let name = rustls::pki_types::ServerName::try_from(host.to_owned())?;
        let session = rustls::ClientConnection::new(config, name)?;
        let stream = rustls::StreamOwned::new(session, stream);
        let mut stream = Stream::Secure(Box::new(stream));
        let secured = stream.secure_until(deadline);
        secured.map_err(TlsError::handshake)?;
        let step = AttemptStep::Secured(host);
        self.0.observer.step(step, started.elapsed());
        Ok(stream)
    }
}

/// Builds a [`Client`]. [`Client::builder`] makes it.
///
/// ```
/// use std::time::Duration;
/// use sockeye::blocking::Client;
///
/// let client = Client::builder().handshake_timeout(Duration::from_secs(5)).build();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder(client::ClientBuilder);

impl ClientBuilder {
    /// Builds the client.
    pub fn build(self) -> Client {
        Client(self.0.build())
    }

    /// Adds a header field to the request.
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self(self.0.header(name, value))
    }

    /// Sets the subprotocols to offer, the preferred one first.
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

    /// Sets the most bytes that the unfinished messages of this client's connections hold together; see
    /// [`ClientBuilder::max_assembling`](crate::client::ClientBuilder::max_assembling).
    pub fn max_assembling(self, bytes: u64) -> Self {
        Self(self.0.max_assembling(bytes))
    }

    /// Sets the offer of compression; see [`ClientBuilder::compression`](crate::client::ClientBuilder::compression).
    pub fn compression(self, config: impl Into<Option<DeflateConfig>>) -> Self {
        Self(self.0.compression(config))
    }

    /// Sets a function that is called for each event of opening a connection; see
    /// [`ClientBuilder::on_opening`](crate::client::ClientBuilder::on_opening).
    pub fn on_opening(self, callback: impl Fn(OpeningEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(self.0.on_opening(callback))
    }

    /// Sets the most redirects that the client follows for one connection. The default is none. See
    /// [`ClientBuilder::redirects`](crate::client::ClientBuilder::redirects).
    pub fn redirects(self, limit: u32) -> Self {
        Self(self.0.redirects(limit))
    }

    /// Connects to all servers through this proxy.
    pub fn proxy(self, proxy: Proxy) -> Self {
        Self(self.0.proxy(proxy))
    }

    /// Connects through the proxies that environment variables name; see
    /// [`ClientBuilder::proxy_from_env`](crate::client::ClientBuilder::proxy_from_env).
    pub fn proxy_from_env(self) -> Self {
        Self(self.0.proxy_from_env())
    }

    /// Sets the TLS configuration for `wss:` URLs. The default is [`tls::client_config`].
    #[cfg(feature = "tls")]
    pub fn tls(self, config: rustls::ClientConfig) -> Self {
        Self(self.0.tls(config))
    }

    /// Sets the time limit for connecting to one address of the host or the proxy. The same limit counts again for the
    /// connection through the proxy. The default is 10 s. There is no limit for resolving addresses.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self(self.0.connect_timeout(timeout))
    }

    /// Sets the time limit for the opening handshake, TLS included. The default is 10 s.
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        Self(self.0.handshake_timeout(timeout))
    }
}

/// The first of a host's addresses, in the form for a proxy: an IPv6 address is in brackets.
fn first_address(addresses: &[SocketAddr]) -> io::Result<String> {
    let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
    Ok(match addresses.first().ok_or_else(none)?.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    })
}
