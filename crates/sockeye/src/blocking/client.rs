//! The blocking client: it performs TCP, TLS and the opening handshake, each within its deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use http::HeaderValue;
use socket2::Socket;

use super::connection::Connection;
use super::handshake::{self, Opened};
use super::proxy;
use super::stream::Stream;
use crate::client::{
    self, AttemptStep, ConnectError, Proxy, ProxyError, Redirects, Route, Target, Turn,
    connect_unix_blocking, host_for_proxy,
};
use crate::connection::client_machine;
use crate::sync::Arc;
#[cfg(feature = "tls")]
use crate::tls::{self, TlsError, rustls};

/// A client with blocking sockets, which opens connections. [`new`](Self::new) makes one with the default options,
/// [`builder`](Self::builder) one with others: it has each option of the asynchronous [`Client`](crate::Client), of which
/// one can be made too. One client opens any number of connections.
///
/// ```no_run
/// use sockeye::blocking::Client;
///
/// let client = Client::builder().bearer_auth("a-token")?.subprotocols(["chat"]).build();
/// let ws = client.connect("wss://chat.example/river")?;
/// assert_eq!(ws.subprotocol(), Some("chat"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Client(client::Client);

/// The builder of a blocking client: that of the asynchronous one.
pub type ClientBuilder = client::ClientBuilder<Client>;

/// Connects with the defaults of [`Client`].
///
/// # Errors
///
/// [`ConnectError`] names the step that failed.
pub fn connect(url: impl AsRef<str>) -> Result<Connection, ConnectError> {
    Client::new().connect(url.as_ref())
}

/// A blocking client with the options of an asynchronous one.
impl From<client::Client> for Client {
    fn from(client: client::Client) -> Self {
        Self(client)
    }
}

impl Client {
    /// Makes a client with the defaults: no header fields of its own, no subprotocols, no proxy and no redirects. It has
    /// 10 s to connect to each address, and 10 s for the handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a builder, which has the defaults of [`new`](Self::new) until they are set.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
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
        let route = self.find_route(target)?;
        // Held until the handshake is over.
        let mut turn = self.0.turns.as_ref().map(|turns| {
            let (connect, handshake) = (self.0.connect_timeout, self.0.handshake_timeout);
            turns.wait_blocking(route.peers(target), connect.saturating_add(handshake))
        });
        let stream = self.reach(target, route, &mut turn).map_err(|error| {
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
                let store = |cookie: &HeaderValue| {
                    if let Some(jar) = &self.0.cookies {
                        jar.store(&target.http_url(), cookie);
                    }
                };
                let opened =
                    handshake::shake_hands(&mut stream, &handshake, deadline, observer, store)?;
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

    /// Finds the route to the server, and resolves its addresses.
    fn find_route(&self, target: &Target) -> Result<Route, ConnectError> {
        if let Some(path) = &self.0.unix {
            return Ok(Route::Unix(path.clone()));
        }
        let (host, port) = (target.bare_host(), target.port());
        let Some(proxy) = self.0.proxy_for(target)? else {
            let addresses = self.addresses_of(host, port);
            return Ok(Route::Direct(addresses.map_err(ConnectError::Connect)?));
        };
        let addresses = self.addresses_of(proxy.host(), proxy.port());
        let addresses = addresses.map_err(ProxyError::Connect)?;
        let server = match proxy.wants_address() {
            true => self.addresses_of(host, port),
            false => Ok(Vec::new()),
        };
        let server = server.map_err(ConnectError::Connect)?;
        Ok(Route::Proxy(proxy, addresses, server.first().copied()))
    }

    /// Opens a transport to the server, through a proxy if one is set.
    fn reach(
        &self,
        target: &Target,
        route: Route,
        turn: &mut Option<Turn>,
    ) -> Result<Stream, ConnectError> {
        let (proxy, addresses, server) = match route {
            Route::Direct(addresses) => {
                let (socket, address) = self.dial(&addresses).map_err(ConnectError::Connect)?;
                if let Some(turn) = turn {
                    turn.keep(address);
                }
                return Ok(Stream::Plain(socket));
            }
            Route::Unix(path) => {
                let started = Instant::now();
                let socket = connect_unix_blocking(&path, self.0.connect_timeout);
                let socket = socket.map_err(ConnectError::Connect)?;
                let step = AttemptStep::Connected(&path.display());
                self.0.observer.step(step, started.elapsed());
                return Ok(Stream::Plain(socket));
            }
            Route::Proxy(proxy, addresses, server) => (proxy, addresses, server),
        };
        let (socket, _) = self.dial(&addresses).map_err(ProxyError::Connect)?;
        let mut stream = Stream::Plain(socket);
        let deadline = Instant::now() + self.0.connect_timeout;
        if proxy.is_secure() {
            stream = self.secure_proxy(stream, &proxy, deadline)?;
        }
        let host = host_for_proxy(server, target);
        let started = Instant::now();
        let observer = &self.0.observer;
        proxy::tunnel(
            &proxy,
            &mut stream,
            &host,
            target.port(),
            deadline,
            observer,
        )?;
        observer.step(AttemptStep::Tunneled(proxy.host()), started.elapsed());
        Ok(stream)
    }

    /// Tries the addresses in order. If all fail, returns the last error.
    fn dial(&self, addresses: &[SocketAddr]) -> io::Result<(Socket, SocketAddr)> {
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            let started = Instant::now();
            let dialer = &self.0.dialer;
            match dialer.connect_blocking(*address, self.0.connect_timeout) {
                Ok(socket) => {
                    // So small messages are sent at once.
                    let _ = socket.set_tcp_nodelay(true);
                    let step = AttemptStep::Connected(address);
                    self.0.observer.step(step, started.elapsed());
                    return Ok((socket, *address));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn addresses_of(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let started = Instant::now();
        let addresses = self.0.dialer.resolve_blocking(host, port)?;
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
            let name = self.0.server_name.as_deref();
            let host = name.filter(|_| !target.is_foreign);
            let host = host.unwrap_or(target.bare_host());
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
