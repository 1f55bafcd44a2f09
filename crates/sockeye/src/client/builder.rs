//! The options of a client.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue, ORIGIN};
use sockeye_proto::{Config, DeflateConfig, DeflatePool, Role};

use super::cookie::CookieJar;
use super::dial::{Dialer, Family};
use super::environment::Proxies;
use super::proxy::Proxy;
use super::redirect::Redirects;
use super::target::{Target, basic};
use super::turn::Turns;
use super::{ConnectError, Observer, OpeningEvent};
use crate::connection::Connection;
use crate::connection::budget::AssemblyBudget;
use crate::endpoint::{Endpoint, Session};
use crate::secret;
#[cfg(feature = "tls")]
use crate::tls::{self, rustls};
use crate::transport::Stream;

/// A client, which opens connections. [`new`](Self::new) makes one with the default options,
/// [`builder`](Self::builder) one with others.
///
/// One client opens any number of connections. They share its compressors and its limit for unfinished messages.
///
/// ```no_run
/// use sockeye::Client;
///
/// # async fn example() -> sockeye::Result {
/// let client = Client::builder().subprotocols(["chat.v1"]).redirects(3).build();
/// let mut ws = client.connect("wss://chat.example/river").await?;
/// ws.send("hello").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) config: Config,
    pub(super) compression: Option<DeflateConfig>,
    pub(super) deflate_pool: DeflatePool,
    pub(crate) budget: Arc<AssemblyBudget>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) require_subprotocol: bool,
    pub(crate) dialer: Dialer,
    /// `None` if attempts do not take turns.
    pub(crate) turns: Option<Turns>,
    pub(super) proxies: Proxies,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) redirects: u32,
    pub(crate) cookies: Option<Arc<dyn CookieJar>>,
    pub(crate) observer: Observer,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    #[cfg(feature = "tls")]
    pub(crate) server_name: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
}

impl Default for Client {
    fn default() -> Self {
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
}

impl Client {
    /// Makes a client with the defaults: no header fields of its own, no subprotocols, no proxy and no redirects. It has
    /// 10 s to connect, and 10 s for the handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a builder, which has the defaults of [`new`](Self::new) until they are set.
    pub fn builder() -> ClientBuilder {
        ClientBuilder(Self::new(), PhantomData)
    }

    /// Connects to a target: a `ws:` or `wss:` URL, or a request with one. See [`Target`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names the step that failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt.
    pub async fn connect(
        &self,
        target: impl TryInto<Target, Error: Into<ConnectError>>,
    ) -> Result<Connection, ConnectError> {
        let target = target.try_into().map_err(Into::into)?;
        self.connect_to(target).await
    }

    /// Performs the client's opening handshake on a stream that is open already: a tunnel, a Unix socket, TLS of the caller's
    /// own, memory in a test. The target names the server in the request. It is the counterpart of
    /// [`Acceptor::accept`](crate::server::Acceptor::accept), which has an example.
    ///
    /// The client's header fields, subprotocols, compression, limits, cookies, credentials and handshake timeout hold. The
    /// settings of how to reach a server have no effect: proxies, addresses, turns, TCP options, TLS and the connect timeout. A
    /// `wss:` URL only says that the caller's stream is encrypted. No redirect is followed: the answer is
    /// [`ConnectError::Refused`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names the step that failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    pub async fn connect_over(
        &self,
        stream: impl Into<Stream>,
        target: impl TryInto<Target, Error: Into<ConnectError>>,
    ) -> Result<Connection, ConnectError> {
        let target = target.try_into().map_err(Into::into)?;
        // Boxed, as in `attempt`: the caller's future would have room for hyper's state.
        Box::pin(self.attempt_over(stream.into(), &target)).await
    }

    /// Connects to a target, and serves the connection with an endpoint: see [`Connection::serve`].
    ///
    /// ```no_run
    /// use sockeye::endpoint::{Incoming, Reply};
    /// use sockeye::{Client, CloseReason, Endpoint, HandlerResult, Session};
    ///
    /// struct Watch;
    ///
    /// impl Endpoint for Watch {
    ///     async fn on_open(&mut self, session: &Session) -> HandlerResult {
    ///         session.basic_remote().send_text("subscribe").await?;
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_message<'m>(&mut self, _: &Session, message: Incoming<'m>) -> HandlerResult<Reply<'m>> {
    ///         println!("{message:?}");
    ///         Ok(Reply::None)
    ///     }
    /// }
    ///
    /// # async fn example() -> sockeye::Result {
    /// let client = Client::new();
    /// let session = client.connect_endpoint("ws://127.0.0.1:8080/news", Watch).await?;
    /// let reason: CloseReason = session.closed().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names the step that failed. Then the endpoint is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt.
    pub async fn connect_endpoint(
        &self,
        target: impl TryInto<Target, Error: Into<ConnectError>>,
        endpoint: impl Endpoint,
    ) -> Result<Session, ConnectError> {
        Ok(self.connect(target).await?.serve(endpoint))
    }

    /// The proxy for this server; `None` for a direct connection.
    pub(crate) fn proxy_for(&self, target: &Target) -> Result<Option<Proxy>, ConnectError> {
        Ok(self.proxies.choose(target)?)
    }

    pub(crate) async fn connect_to(&self, mut target: Target) -> Result<Connection, ConnectError> {
        let mut redirects = Redirects::new(self.redirects, &self.observer);
        loop {
            match self.attempt(&target).await {
                Ok(connection) => return Ok(connection),
                Err(error) => target = redirects.follow(&target, error)?,
            }
        }
    }
}

/// Builds a [`Client`], or a [`blocking::Client`](crate::blocking::Client): both have all options. [`Client::builder`] and
/// [`blocking::Client::builder`](crate::blocking::Client::builder) make it.
///
/// ```
/// use std::time::Duration;
/// use sockeye::Client;
///
/// let client = Client::builder()
///     .subprotocols(["chat.v1"])
///     .connect_timeout(Duration::from_secs(5))
///     .build();
/// ```
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder<C = Client>(Client, PhantomData<fn() -> C>);

impl<C> Clone for ClientBuilder<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<C> ClientBuilder<C> {
    pub(crate) fn new() -> Self {
        Self(Client::new(), PhantomData)
    }

    /// Builds the client.
    pub fn build(self) -> C
    where
        C: From<Client>,
    {
        self.0.into()
    }

    /// Sets the most bytes that the unfinished messages of all connections of the client and of its clones hold
    /// together. The first 64 KiB of each connection do not count. The default is that of
    /// [`ServerBuilder::max_assembling`](crate::server::ServerBuilder::max_assembling).
    pub fn max_assembling(mut self, bytes: u64) -> Self {
        self.0.budget = AssemblyBudget::new(bytes);
        self
    }

    /// Adds a header field to the request. If the name of the field says that it holds a secret (`Cookie`,
    /// `Authorization`, `X-Api-Key` and the like), the value is marked as sensitive.
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        secret::mark(&name, &mut value);
        self.0.headers.push((name, value));
        self
    }

    /// Sets the field `Origin` (RFC 6455 §10.2), for example `https://chat.example`. By default the client sends none.
    pub fn origin(self, origin: HeaderValue) -> Self {
        self.header(ORIGIN, origin)
    }

    /// Sets a user name and a password for basic authentication (RFC 7617). The client sends them in each request to
    /// the target's origin, and to no other origin.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.header(AUTHORIZATION, basic(user.as_bytes(), password.as_bytes()))
    }

    /// Sets a bearer token (RFC 6750). The client sends it in each request to the target's origin, and to no other
    /// origin.
    ///
    /// # Errors
    ///
    /// The token has characters that a header field cannot hold.
    pub fn bearer_auth(self, token: &str) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(self.header(AUTHORIZATION, value))
    }

    /// Sets the jar that holds the cookies for requests and stores those of responses. If the caller sets a field
    /// `Cookie`, the client sends that instead.
    pub fn cookies(mut self, jar: Arc<dyn CookieJar>) -> Self {
        self.0.cookies = Some(jar);
        self
    }

    /// Sets a function that is called for each event of opening a connection. The events are each request, also to a
    /// proxy and after a redirect, each response, and bytes that are not a response. So a program can show both sides of
    /// a handshake that fails. The function is called in the task that connects, and must not block. A blocking client calls it in
    /// the caller's thread.
    ///
    /// ```
    /// use sockeye::Client;
    /// use sockeye::client::OpeningEvent;
    ///
    /// let client = Client::builder().on_opening(|event| match event {
    ///     OpeningEvent::Request(request) => println!("> {} {}", request.method(), request.uri()),
    ///     OpeningEvent::Response(response) => println!("< {}", response.status()),
    ///     OpeningEvent::Unreadable(bytes) => println!("< {} bytes that are not HTTP", bytes.len()),
    ///     _ => {}
    /// }).build();
    /// ```
    pub fn on_opening(
        mut self,
        callback: impl Fn(OpeningEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.0.observer = Observer::new(callback);
        self
    }

    /// Sets the most redirects that the client follows for one connection. The default is none, as in browsers.
    ///
    /// To another origin the client sends only the caller's fields `Origin`, `User-Agent` and `Accept-Language`. It
    /// sends no credentials, no client certificate, and not the name of [`server_name`](Self::server_name). It
    /// follows no redirect from `wss:` to `ws:`.
    pub fn redirects(mut self, limit: u32) -> Self {
        self.0.redirects = limit;
        self
    }

    /// Connects to all servers through this proxy.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.0.proxies = Proxies::One(proxy);
        self
    }

    /// Connects through the proxies that environment variables name, by the rules of curl. This call reads the
    /// variables; by default the client ignores them.
    ///
    /// For `wss:` the client uses the first of `wss_proxy`, `https_proxy` and `all_proxy` that is not empty. For
    /// `ws:` it uses the first of `ws_proxy`, `http_proxy` and `all_proxy`. Each name counts in lower case before
    /// upper case, but `http_proxy` in lower case only. A proxy without a scheme is an HTTP proxy. The default port
    /// is 1080, and 443 for `https:`.
    ///
    /// The client connects directly to the hosts in the list of `no_proxy` or `NO_PROXY`. A list that is only `*`
    /// covers all hosts. A name covers itself and all names below it, an address covers itself or with `/BITS` its
    /// network. Ports and other wildcards match nothing.
    pub fn proxy_from_env(mut self) -> Self {
        self.0.proxies = Proxies::from_env();
        self
    }

    /// Connects to the Unix socket at this path instead of the URL's host. The request and TLS still name that host. No proxy
    /// is used. A system without Unix sockets fails to connect.
    pub fn unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.unix = Some(path.into());
        self
    }

    /// Sets the addresses of a host, which the system then does not resolve. The name is in the ASCII form of URLs. The
    /// last call for a host counts.
    pub fn resolve(
        mut self,
        host: impl Into<String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let addresses = addresses.into_iter().collect();
        self.0.dialer.known.push((host.into(), addresses));
        self
    }

    /// Connects by IPv4 only. By default the client tries both families alternately, 250 ms apart (RFC 8305). A blocking
    /// client tries one address after the other.
    pub fn ipv4_only(mut self) -> Self {
        self.0.dialer.family = Family::V4;
        self
    }

    /// Connects by IPv6 only.
    pub fn ipv6_only(mut self) -> Self {
        self.0.dialer.family = Family::V6;
        self
    }

    /// Connects from this local address, and only to addresses of the same family.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.0.dialer.local_address = Some(address);
        self
    }

    /// Switches TCP's own keep-alive. It is off by default, because [`KeepAlive`](crate::proto::KeepAlive) does more.
    pub fn tcp_keepalive(mut self, on: bool) -> Self {
        self.0.dialer.keepalive = on;
        self
    }

    /// Sets the sizes of the socket's send and receive buffers in bytes. The system has limits of its own.
    pub fn tcp_buffers(mut self, send: u32, receive: u32) -> Self {
        self.0.dialer.send_buffer = Some(send);
        self.0.dialer.receive_buffer = Some(receive);
        self
    }

    /// Sets whether attempts to connect take turns: the client and its clones then open one connection to an address
    /// and port at a time (RFC 6455 §4.1). Turns are on by default.
    ///
    /// Attempts wait in the order of their arrival, before their own deadlines begin. Each waits no longer than the
    /// deadlines of the attempts in front of it allow. Attempts to other addresses do not wait. If a proxy resolves the
    /// address, each host name counts as an address, and at most eight connections are opened at a time.
    ///
    /// Without turns all connections are opened at once, for example for a load test of one's own server.
    pub fn in_turn(mut self, on: bool) -> Self {
        self.0.turns = on.then(Turns::default);
        self
    }

    /// Sets the subprotocols to offer, the preferred one first.
    pub fn subprotocols<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.0.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether the handshake fails when the server chooses none of the offered subprotocols, as in browsers. By
    /// default it does not fail, as RFC 6455 allows.
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.0.require_subprotocol = required;
        self
    }

    /// Sets the limits and deadlines of the connection.
    pub fn config(mut self, config: Config) -> Self {
        self.0.config = config;
        self
    }

    /// Sets the offer of compression (RFC 7692); `None` offers none. By default the client offers compression without
    /// context takeover.
    pub fn compression(mut self, config: impl Into<Option<DeflateConfig>>) -> Self {
        self.0.compression = config.into();
        self
    }

    /// Sets the TLS configuration for `wss:` URLs. The default is [`tls::client_config`]: the server's certificate
    /// must be for the URL's host, and from an authority that the system trusts. The client replaces the ALPN
    /// protocols of `config` by those that it speaks.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.0.tls = Some(tls::for_client(config));
        self
    }

    /// Sets the name that TLS asks the server for (SNI, RFC 6066 §3). The server's certificate must be for this name.
    /// The default is the URL's host.
    #[cfg(feature = "tls")]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.0.server_name = Some(name.into());
        self
    }

    /// Sets the time limit for resolving the host and connecting to it, also through a proxy. The default is 10 s. A blocking
    /// client has this time for each address, and again for the connection through a proxy; it has no limit for resolving.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.0.connect_timeout = timeout;
        self
    }

    /// Sets the time limit for the opening handshake, TLS included. The default is 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.0.handshake_timeout = timeout;
        self
    }

    /// Takes turns with all objects in the process that have no client of their own.
    pub(crate) fn in_turn_of_process(mut self) -> Self {
        self.0.turns = Some(Turns::of_process());
        self
    }
}
