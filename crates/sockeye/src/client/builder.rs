//! How a client connects: everything that may be set.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue, ORIGIN};
use sockeye_proto::{Config, DeflateConfig, DeflatePool, Role};

use super::cookie::CookieJar;
use super::dial::{Dialer, Family};
use super::proxy::{Proxies, Proxy};
use super::redirect::Redirects;
use super::target::{Target, basic};
use super::turn::Turns;
use super::{ConnectError, Observer, OpeningEvent, SyntaxError, WebSocket};
use crate::connection::Connection;
use crate::connection::budget::AssemblyBudget;
use crate::endpoint::{Endpoint, Session};
use crate::secret;
#[cfg(feature = "tls")]
use crate::transport::tls::{self, rustls};

/// How to connect. It connects as often as it is asked to.
#[derive(Clone, Debug)]
#[must_use]
pub struct Client {
    pub(crate) config: Config,
    pub(super) compression: Option<DeflateConfig>,
    pub(super) deflate_pool: DeflatePool,
    pub(crate) budget: Arc<AssemblyBudget>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) subprotocols: Vec<String>,
    pub(super) require_subprotocol: bool,
    pub(super) dialer: Dialer,
    /// `None` where nobody waits for another one.
    pub(super) turns: Option<Turns>,
    pub(super) proxies: Proxies,
    pub(super) unix: Option<PathBuf>,
    pub(crate) redirects: u32,
    pub(super) cookies: Option<Arc<dyn CookieJar>>,
    pub(crate) observer: Observer,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    #[cfg(feature = "tls")]
    pub(super) server_name: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
}

impl Client {
    /// The defaults: no header fields of its own, no subprotocols, no proxy, no redirects, 10 s to connect
    /// and 10 s for the handshake.
    pub fn builder() -> Self {
        Self {
            config: Config::new(Role::Client),
            compression: Some(DeflateConfig::default()),
            deflate_pool: DeflatePool::default(),
            budget: AssemblyBudget::of_process(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            require_subprotocol: false,
            dialer: Dialer::default(),
            turns: Some(Turns::default()),
            proxies: Proxies::None,
            unix: None,
            redirects: 0,
            cookies: None,
            observer: Observer::default(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            server_name: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
        }
    }

    /// Sets how many bytes the unfinished messages of all connections of this client and of its clones may take
    /// together, beyond the first 64 KiB of each connection: as
    /// [`ServerBuilder::max_assembling`](crate::ServerBuilder::max_assembling), by default too.
    pub fn max_assembling(mut self, bytes: u64) -> Self {
        self.budget = AssemblyBudget::new(bytes);
        self
    }

    /// Adds a header field to the request. The value of a field that holds a secret by its name (`Cookie`,
    /// `Authorization`, `X-Api-Key` and the like) is marked as sensitive.
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        secret::mark(&name, &mut value);
        self.headers.push((name, value));
        self
    }

    /// Sets the field `Origin` (RFC 6455 §10.2), as `https://chat.example`; who is no browser sends none by
    /// default.
    pub fn origin(self, origin: HeaderValue) -> Self {
        self.header(ORIGIN, origin)
    }

    /// Asks with a user name and a password (RFC 7617). They are sent in every request to the origin that
    /// is connected to, and to no other one.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.header(AUTHORIZATION, basic(user.as_bytes(), password.as_bytes()))
    }

    /// Asks with a token (RFC 6750), which goes where [`basic_auth`](Self::basic_auth)'s password would.
    ///
    /// # Errors
    ///
    /// The token has characters that no header field has.
    pub fn bearer_auth(self, token: &str) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(self.header(AUTHORIZATION, value))
    }

    /// Sets the jar that cookies come from, and that an answer's go to. A field `Cookie` of the caller's
    /// own is sent in place of them.
    pub fn cookies(mut self, jar: Arc<dyn CookieJar>) -> Self {
        self.cookies = Some(jar);
        self
    }

    /// Calls a function with each part of opening a connection as it happens: each request, to a proxy and after redirects
    /// too, each answer, and what came in the place of one. So both sides of a handshake that fails can be shown. The
    /// function is called in the task that connects, and must not block.
    ///
    /// ```
    /// use sockeye::{Client, OpeningEvent};
    ///
    /// let client = Client::builder().on_opening(|event| match event {
    ///     OpeningEvent::Request(request) => println!("> {} {}", request.method(), request.uri()),
    ///     OpeningEvent::Response(response) => println!("< {}", response.status()),
    ///     OpeningEvent::Unreadable(bytes) => println!("< {} bytes that are no answer", bytes.len()),
    ///     _ => {}
    /// });
    /// ```
    pub fn on_opening(mut self, tell: impl Fn(OpeningEvent<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(tell);
        self
    }

    /// Follows so many redirects; none by default, as browsers do. Of what the caller has set nothing
    /// crosses to another origin but the fields `Origin`, `User-Agent` and `Accept-Language`: neither
    /// credentials, nor the client's certificate, nor the name that [`server_name`](Self::server_name)
    /// sets. None is followed from `wss:` to `ws:`.
    pub fn redirects(mut self, most: u32) -> Self {
        self.redirects = most;
        self
    }

    /// Connects through a proxy, whatever the server is.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxies = Proxies::One(proxy);
        self
    }

    /// Connects through the proxies that the environment names, by the rules of curl. The variables are read now; by
    /// default they are not read.
    ///
    /// For `wss:` the first of `wss_proxy`, `https_proxy` and `all_proxy` counts that is not empty, in lower case before
    /// upper case; for `ws:` the first of `ws_proxy`, `http_proxy` (in lower case only) and `all_proxy`. A proxy
    /// without a scheme is an HTTP proxy, and one without a port at 1080, of `https:` at 443.
    ///
    /// Hosts in the list of `no_proxy` or `NO_PROXY` are connected to directly: `*` alone is all hosts, a name is itself
    /// and all below it, an address is itself or with `/BITS` a network. Ports and other wildcards match nothing.
    pub fn proxy_from_env(mut self) -> Self {
        self.proxies = Proxies::from_env();
        self
    }

    /// Connects to the Unix socket at this path, whatever host a URL names; that goes into the request, and
    /// TLS is for it.
    pub fn unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix = Some(path.into());
        self
    }

    /// Uses these addresses for a host, instead of asking the system. The host is named as in a URL's
    /// ASCII form. The last call for a host counts.
    pub fn resolve(
        mut self,
        host: impl Into<String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let addresses = addresses.into_iter().collect();
        self.dialer.known.push((host.into(), addresses));
        self
    }

    /// Uses IPv4 alone. By default both are tried, in turns, a quarter of a second apart (RFC 8305).
    pub fn ipv4_only(mut self) -> Self {
        self.dialer.family = Family::V4;
        self
    }

    /// Uses IPv6 alone.
    pub fn ipv6_only(mut self) -> Self {
        self.dialer.family = Family::V6;
        self
    }

    /// Connects from this address, and to addresses of its family alone.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.dialer.local_address = Some(address);
        self
    }

    /// Whether TCP's own keep-alive is on; off by default, as [`KeepAlive`](crate::KeepAlive) does more.
    pub fn tcp_keepalive(mut self, on: bool) -> Self {
        self.dialer.keepalive = on;
        self
    }

    /// Sets the sizes of the socket's buffers in bytes, to send and to receive. The system has its own
    /// limits.
    pub fn tcp_buffers(mut self, send: u32, receive: u32) -> Self {
        self.dialer.send_buffer = Some(send);
        self.dialer.receive_buffer = Some(receive);
        self
    }

    /// Whether connections to one address and port are opened one after the other, as RFC 6455 §4.1 has it; so they
    /// are by default, by this client and its clones together. They wait for one another in the order in which they
    /// came, before their own deadlines begin, and for no longer than the other one's allow; connections to
    /// other addresses do not wait.
    /// Where a proxy finds the address, each host's name counts as one, and eight connections at most are
    /// being opened at a time. Off, all are opened at once: to try a server of one's own under load.
    pub fn in_turn(mut self, on: bool) -> Self {
        self.turns = on.then(Turns::default);
        self
    }

    /// Offers subprotocols, the preferred first.
    pub fn subprotocols<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a server that chooses none of the subprotocols offered fails the handshake, as it does
    /// in browsers; RFC 6455 lets it pass, and so does the default.
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.require_subprotocol = required;
        self
    }

    /// Sets the limits and deadlines of the connection.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets what is offered about compression (RFC 7692); `None` offers none. By default it is offered, as
    /// browsers do, without context takeover.
    pub fn compression(mut self, config: impl Into<Option<DeflateConfig>>) -> Self {
        self.compression = config.into();
        self
    }

    /// Sets how `wss:` URLs are connected to; by default as [`tls::client_config`] says: the server's
    /// certificate must be for the URL's host and from an authority that the system trusts. Of ALPN
    /// this client offers what it speaks, whatever `config` says.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.tls = Some(tls::for_client(config));
        self
    }

    /// The name that TLS asks the server for (SNI, RFC 6066 §3), and that its certificate must be for; by
    /// default the URL's host.
    #[cfg(feature = "tls")]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets how long it may take to find the host, to connect to it, and through a proxy; 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long the opening handshake may take, TLS included; 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Connects to a `ws:` or `wss:` URL, or as a request says that has one; see [`Target`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which says how far it came.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the attempt ends.
    pub async fn connect(
        &self,
        target: impl TryInto<Target, Error = ConnectError>,
    ) -> Result<Connection, ConnectError> {
        self.connect_to(target.try_into()?).await
    }

    /// As [`connect`](Self::connect), for an endpoint: see [`Connection::serve`].
    ///
    /// ```no_run
    /// use sockeye::{Client, CloseReason, Endpoint, Incoming, Reply, Result, Session};
    ///
    /// struct Watch;
    ///
    /// impl Endpoint for Watch {
    ///     async fn on_open(&mut self, session: &Session) -> Result {
    ///         session.basic_remote().send_text("subscribe").await?;
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_message<'m>(&mut self, _: &Session, message: Incoming<'m>) -> Result<Reply<'m>> {
    ///         println!("{message:?}");
    ///         Ok(Reply::None)
    ///     }
    /// }
    ///
    /// # async fn example() -> Result {
    /// let client = Client::builder();
    /// let session = client.connect_endpoint("ws://127.0.0.1:8080/news", Watch).await?;
    /// let reason: CloseReason = session.closed().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which says how far it came. The endpoint is dropped then.
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_endpoint(
        &self,
        target: impl TryInto<Target, Error = ConnectError>,
        endpoint: impl Endpoint,
    ) -> Result<Session, ConnectError> {
        Ok(self.connect(target).await?.serve(endpoint))
    }

    /// The browser's object for a URL, which connects as this client does, but follows no redirects. See
    /// [`WebSocket::new`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::with_protocols`].
    pub fn websocket(self, url: &str) -> Result<WebSocket, SyntaxError> {
        WebSocket::with_client(url, self.redirects(0))
    }

    /// Takes turns with all in the process that have no client of their own.
    pub(super) fn in_turn_of_process(mut self) -> Self {
        self.turns = Some(Turns::of_process());
        self
    }

    /// The proxy on the way to this server.
    pub(crate) fn proxy_for(&self, target: &Target) -> Result<Option<Proxy>, ConnectError> {
        Ok(self.proxies.choose(target)?)
    }

    pub(super) async fn connect_to(&self, mut target: Target) -> Result<Connection, ConnectError> {
        let mut redirects = Redirects::new(self.redirects);
        loop {
            match self.attempt(&target).await {
                Ok(connection) => return Ok(connection),
                Err(error) => target = redirects.follow(&target, error)?,
            }
        }
    }
}
