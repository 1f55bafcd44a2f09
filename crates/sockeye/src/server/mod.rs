//! A server of endpoints over HTTP/1.1. hyper parses and serves HTTP; an upgraded connection leaves it.
//!
//! [`Server::builder`] sets the options. The server serves when it is bound:
//!
//! ```no_run
//! use sockeye::{Endpoint, Server, endpoint};
//!
//! struct Silent;
//!
//! impl Endpoint for Silent {}
//!
//! # async fn example() -> sockeye::Result {
//! let server = Server::builder()
//!     .endpoint(endpoint("/silent/{name}", |_handshake| Silent))
//!     .max_connections(10_000)
//!     .bind("127.0.0.1:8080")
//!     .await?;
//! let handle = server.handle();
//! tokio::spawn(server.serve());
//! println!("{} sessions are open", handle.stats().open_sessions);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Container`] serves the same endpoints inside another HTTP server, such as axum's. An [`Acceptor`] opens plain
//! connections, on a stream or inside another HTTP server.

use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sockeye_proto::handshake::OriginPolicy;
use sockeye_proto::{Config, DeflateConfig, DeflatePool, Role};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::watch;

use self::accept::Serving;
pub use self::acceptor::{Acceptor, AcceptorBuilder, accept, upgrade};
use self::admission::Admission;
pub use self::body::ResponseBody;
#[cfg(feature = "test-util")]
pub(crate) use self::container::Opening;
pub use self::container::{Container, Responding};
use self::deployment::Deployment;
#[cfg(feature = "topics")]
use self::error::Contradiction;
pub use self::error::{AcceptError, BindError, DeploymentError};
#[cfg(feature = "axum")]
pub(crate) use self::foreign::ForeignRequest;
pub use self::handle::ServerHandle;
use self::reception::Reception;
use self::shared::{HeadLimits, HttpService, Shared};
use self::stage::Stage;
pub use self::upgrading::Upgrading;
use crate::connection::budget::AssemblyBudget;
use crate::connection::direct::Mailbox;
use crate::endpoint::{EndpointConfig, Mounted, ServerEndpoint};
use crate::router::Router;
use crate::stats::Counters;
pub use crate::stats::Stats;
use crate::sync::Arc;
#[cfg(feature = "tls")]
use crate::tls::{TlsAcceptor, rustls::ServerConfig};
#[cfg(feature = "topics")]
use crate::topics::Topics;
use crate::transport::Stream;

mod accept;
mod accepting;
mod acceptor;
mod admission;
mod answer;
mod body;
mod container;
mod deployment;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod foreign;
mod handle;
mod listen;
mod options;
mod reception;
mod rules;
mod shared;
mod stage;
mod stall;
mod unread;
mod upgrade;
mod upgrading;

/// A server that is bound to an address and ready to serve.
///
/// ```no_run
/// # async fn example() -> sockeye::Result {
/// # struct Chat;
/// # impl sockeye::Endpoint for Chat {}
/// use sockeye::{Server, endpoint};
///
/// let server = Server::builder()
///     .endpoint(endpoint("/chat/{room}", |_handshake| Chat))
///     .bind("127.0.0.1:8080")
///     .await?;
/// println!("ws://{}/chat/lobby", server.local_addr());
/// server.serve().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    stage: watch::Sender<Stage>,
}

impl Server {
    /// Creates a builder of a server without endpoints.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            endpoints: Vec::new(),
            http: None,
            config: Arc::new(Config::new(Role::Server)),
            compression: None,
            outbox_limit: Mailbox::DEFAULT_LIMIT,
            max_assembling: None,
            origins: OriginPolicy::default(),
            any_host: false,
            head_limits: HeadLimits::default(),
            #[cfg(feature = "tls")]
            tls: None,
            max_connections: None,
            max_pending_handshakes: 1024,
            handshake_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(10),
            counters: Arc::default(),
            #[cfg(feature = "topics")]
            topics: Topics::default(),
        }
    }

    /// Returns the address that the server is bound to. If it was bound to port 0, the port is the one that the system
    /// chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts and serves connections, until the future is dropped.
    ///
    /// # Errors
    ///
    /// None today: a failure to accept a connection is logged, and the server tries again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops accepting; open connections go on.
    pub async fn serve(self) -> io::Result<()> {
        self.serve_until(pending()).await
    }

    /// Serves until `stop` completes, then stops in order. The server accepts no more connections. Each session sends what
    /// is queued for it, and a Close with 1001. The server waits for them until the stop timeout, and then drops the
    /// sessions that are left, with the handlers that still run. At last it drops its endpoints.
    ///
    /// # Errors
    ///
    /// None today: a failure to accept a connection is logged, and the server tries again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops accepting; open connections go on.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        tokio::select! {
            () = self.serving().accept(self.listener) => {}
            () = stop => {}
        }
        self.stage.send_replace(Stage::Stopping);
        let dropping = || {
            self.stage.send_replace(Stage::Dropping);
        };
        let all_gone = self.admission.all_gone();
        self.shared
            .reception
            .deployment
            .stop(all_gone, dropping)
            .await;
        Ok(())
    }

    /// Serves a connection that the caller brings: a Unix socket, a tunnel, memory in a test. The limits and deadlines of
    /// this server hold for it too; TLS is the caller's. When the server stops, the connection ends with the others.
    ///
    /// Completes when the connection speaks HTTP no more: it has ended, or a session has it, in a task of its own.
    ///
    /// ```no_run
    /// # async fn example() -> sockeye::Result {
    /// use sockeye::Server;
    /// use sockeye::transport::Stream;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").await?;
    /// let (near, far) = tokio::io::duplex(64 * 1024);
    /// tokio::spawn(server.serve_stream(Stream::new(near)));
    /// // A client that speaks to `far` gets what one over TCP gets.
    /// # drop(far);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops the connection, unless a session has it.
    pub fn serve_stream<S: Into<Stream>>(
        &self,
        stream: S,
    ) -> impl Future<Output = ()> + Send + 'static + use<S> {
        self.serving().serve_brought(stream.into())
    }

    /// Returns a handle, which reaches the sessions, and adds endpoints, while the server serves.
    ///
    /// ```no_run
    /// # async fn example() -> sockeye::Result {
    /// # struct Chat;
    /// # impl sockeye::Endpoint for Chat {}
    /// use sockeye::{Server, endpoint};
    ///
    /// let server = Server::builder().bind("127.0.0.1:8080").await?;
    /// let handle = server.handle();
    /// tokio::spawn(server.serve());
    /// handle.add_endpoint(endpoint("/chat", |_handshake| Chat))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(&self.shared)
    }

    /// Returns the topics that the sessions use.
    #[cfg(feature = "topics")]
    pub fn topics(&self) -> &Topics {
        &self.shared.reception.deployment.topics
    }

    fn serving(&self) -> Serving {
        Serving {
            shared: Arc::clone(&self.shared),
            stage: self.stage.subscribe(),
            admission: Arc::clone(&self.admission),
        }
    }
}

/// Builds a [`Server`] or a [`Container`].
#[must_use]
pub struct ServerBuilder {
    endpoints: Vec<EndpointConfig>,
    http: Option<HttpService>,
    config: Arc<Config>,
    compression: Option<(DeflateConfig, DeflatePool)>,
    outbox_limit: usize,
    max_assembling: Option<u64>,
    origins: OriginPolicy,
    any_host: bool,
    head_limits: HeadLimits,
    #[cfg(feature = "tls")]
    tls: Option<TlsAcceptor>,
    max_connections: Option<usize>,
    max_pending_handshakes: usize,
    handshake_timeout: Duration,
    stop_timeout: Duration,
    counters: Arc<Counters>,
    #[cfg(feature = "topics")]
    topics: Topics,
}

impl ServerBuilder {
    /// Adds an endpoint.
    pub fn endpoint(mut self, endpoint: EndpointConfig) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Adds an annotated endpoint, whose objects are made by [`Default`].
    pub fn default_endpoint<E: ServerEndpoint + Default>(self) -> Self {
        self.endpoint(EndpointConfig::of::<E, E>(|_| E::default()))
    }

    /// Sets the topics that the sessions of the server use. By default they are topics in memory, without patterns.
    #[cfg(feature = "topics")]
    pub fn topics(mut self, topics: Topics) -> Self {
        self.topics = topics;
        self
    }

    /// Sets the service that answers every request that is not a WebSocket handshake. Without one the answer is 404. At
    /// the path of an endpoint it is 426, or 405 for another method than GET. The service gets bodies up to 1 MiB.
    pub fn http<F, Fut>(mut self, service: F) -> Self
    where
        F: Fn(http::Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = http::Response<Bytes>> + Send + 'static,
    {
        self.http = Some(Arc::new(move |request| Box::pin(service(request))));
        self
    }

    /// Sets the limits and deadlines of each connection.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Compresses messages for clients that offer it (RFC 7692). By default no message is compressed. A message for many
    /// sessions, such as one of [`OpenSessions::broadcast`](crate::endpoint::OpenSessions::broadcast), is compressed once.
    ///
    /// Compression shows an eavesdropper how well two texts compress together. Send a secret as
    /// [`Outgoing::uncompressed`](crate::proto::Outgoing::uncompressed) if others choose text in the same message. With
    /// context takeover that holds for all messages of the connection.
    pub fn compression(mut self, config: DeflateConfig) -> Self {
        self.compression = Some((config, DeflatePool::default()));
        self
    }

    /// Sets how many bytes of payload, before compression, may wait to be sent on a connection. By default 1 MiB. A
    /// message of less than 64 bytes counts as 64. An empty queue takes a message of any size.
    pub fn outbox_limit(mut self, bytes: usize) -> Self {
        self.outbox_limit = bytes;
        self
    }

    /// Sets how many bytes the unfinished messages of all connections may take together, beyond the first 64 KiB of
    /// each connection, which are free. By default it is the smaller of 256 MiB and a quarter of the memory that the
    /// process may take (`RLIMIT_AS`, a cgroup's `memory.max`).
    ///
    /// The limit counts the buffers of unfinished messages, in steps of 64 KiB, and the inflater (48 KiB) of a compressed
    /// message that waits for its peer. A message that its handler takes in parts has no such buffer. While no memory is
    /// left, connections that want more are not read. After 5 s the connection whose message made the least progress is
    /// closed with 1013. So are those whose messages make none, as far as the others need their memory.
    pub fn max_assembling(mut self, bytes: u64) -> Self {
        self.max_assembling = Some(bytes);
        self
    }

    /// Sets which pages may connect (RFC 6455 §10.2). By default the pages of the server's own host may, and clients that
    /// send no Origin. Others get 403. A list has no wildcards: a rule for all hosts of a domain is code, in
    /// [`Configurator::check_origin`](crate::endpoint::Configurator::check_origin).
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = policy;
        self
    }

    /// Accepts any `Host` on a loopback address. By default a server that is bound to a loopback address accepts only the
    /// names of the loopback. So a page cannot reach it by its own name, made to resolve to the loopback (DNS rebinding).
    pub fn any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    /// Sets how many bytes the head of a request may have, its first line and the empty last one included. By default
    /// 16 KiB. A larger one is answered 431. Cookies of single sign-on may need more.
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.head_limits.bytes = bytes;
        self
    }

    /// Sets how many header fields a request may have. By default 100. One with more is answered 431.
    pub fn max_header_fields(mut self, fields: usize) -> Self {
        self.head_limits.fields = fields;
        self
    }

    /// Serves over TLS: `wss:` and `https:`. The server replaces the ALPN list of `config` with the protocols that it
    /// speaks. [`tls::server_config`](crate::tls::server_config) makes a configuration of a certificate's files.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: ServerConfig) -> Self {
        self.tls = Some(TlsAcceptor::new(config));
        self
    }

    /// Sets how many TCP connections there may be at once. A session is one of them; so are connections that owe their
    /// request, or wait for another one. By default they and the connections that are being refused have nine tenths of
    /// the descriptors that the process may have open when the server is bound. A [`Container`] knows no TCP connections:
    /// there the limit counts sessions and handshakes.
    ///
    /// At the limit, the oldest connection that has sent no byte is dropped for a new one. If there is none, the
    /// connection that has waited longest for another request of HTTP is dropped. If there is neither, the new connection
    /// waits while others owe their request, and then is answered 503. A sixteenth of the limit, from 1 to 64, may be
    /// answered 503 at once.
    ///
    /// When the system has no descriptor left, the oldest tenth of the silent connections is dropped.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Sets how many connections may owe their first request at once. By default 1,024. They count as connections too. At the limit,
    /// the oldest connection that has sent no byte is dropped for a new one. If all have sent something, no more are
    /// accepted, and those that take longer than a tenth of the handshake timeout are dropped. With a small limit it is
    /// less than a tenth, but a fiftieth at least.
    pub fn max_pending_handshakes(mut self, connections: usize) -> Self {
        self.max_pending_handshakes = connections;
        self
    }

    /// Sets how long a client may take for the head of a request. By default 10 s. For the first request that includes TLS. A
    /// [`Configurator`](crate::endpoint::Configurator) has as long.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets how long sessions may take to end when the server stops. By default 10 s. The server does not wait
    /// for a handler whose peer has left: that handler ends with the runtime.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout;
        self
    }

    /// Binds to an address, and makes the server: [`Server::serve`] accepts connections. With port 0 the system chooses
    /// a free port.
    ///
    /// # Errors
    ///
    /// [`BindError::Deployment`] if two endpoints claim the same paths, or if a path is not a template;
    /// [`BindError::Io`] if the address cannot be bound.
    pub async fn bind(self, addr: impl ToSocketAddrs) -> Result<Server, BindError> {
        let router = self.router()?;
        let listener = listen::listen(addr).await?;
        let is_bound_to_one = !listener.local_addr()?.ip().is_unspecified();
        self.start(router, listener, is_bound_to_one)
    }

    /// Makes the server on a listener that is bound already: [`Server::serve`] accepts connections.
    ///
    /// # Errors
    ///
    /// [`BindError::Deployment`] if two endpoints claim the same paths, or if a path is not a template;
    /// [`BindError::Io`] if the listener does not know its address.
    pub fn listen(self, listener: TcpListener) -> Result<Server, BindError> {
        let router = self.router()?;
        // The listener may be that of a transparent proxy, which accepts connections to other addresses.
        self.start(router, listener, false)
    }

    /// Makes a container: the endpoints without a listener, for another HTTP server. Settings of connections that speak
    /// HTTP have no effect there: TLS, the HTTP service, pending handshakes, the limits of a request's head. The handshake
    /// timeout holds for configurators alone.
    ///
    /// # Errors
    ///
    /// [`DeploymentError`] if two endpoints claim the same paths, or if a path is not a template.
    pub fn container(self) -> Result<Container, DeploymentError> {
        let router = self.router()?;
        let max_connections = self.max_connections.unwrap_or_else(default_connections);
        Ok(Container::new(self.reception(router), max_connections))
    }

    fn router(&self) -> Result<Router<Arc<Mounted>>, DeploymentError> {
        #[cfg(feature = "topics")]
        self.check_histories()?;
        let mut router = Router::new();
        for endpoint in &self.endpoints {
            let mounted = Mounted::new(endpoint.clone(), &self.config, &self.counters);
            #[cfg(feature = "topics")]
            mounted.set_topics(Arc::new(self.topics.clone()));
            router.insert(endpoint.path(), Arc::new(mounted))?;
        }
        Ok(router)
    }

    /// A session must be able to take a whole history at once.
    #[cfg(feature = "topics")]
    fn check_histories(&self) -> Result<(), DeploymentError> {
        let limit = self.outbox_limit;
        match self.topics.largest_history() {
            Some((pattern, bytes)) if bytes > limit / 2 => Err(Contradiction::History {
                pattern,
                bytes,
                limit,
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn reception(self, router: Router<Arc<Mounted>>) -> Reception {
        let deployment = Deployment {
            router: router.into(),
            config: self.config,
            outbox_limit: self.outbox_limit,
            budget: self
                .max_assembling
                .map_or_else(AssemblyBudget::of_process, AssemblyBudget::new),
            stop_timeout: self.stop_timeout,
            counters: self.counters,
            #[cfg(feature = "topics")]
            topics: self.topics,
        };
        #[cfg(feature = "topics")]
        deployment.topics.run();
        Reception {
            deployment,
            origins: self.origins,
            any_host: self.any_host,
            compression: self.compression,
            handshake_timeout: self.handshake_timeout,
        }
    }

    fn start(
        mut self,
        router: Router<Arc<Mounted>>,
        listener: TcpListener,
        is_bound_to_one: bool,
    ) -> Result<Server, BindError> {
        let local_addr = listener.local_addr()?;
        let max_connections = self.max_connections.unwrap_or_else(default_connections);
        let counters = Arc::clone(&self.counters);
        let admission = Admission::new(max_connections, self.max_pending_handshakes, counters);
        let shared = Shared {
            http: self.http.take(),
            head_limits: self.head_limits,
            #[cfg(feature = "tls")]
            tls: self.tls.take(),
            reception: self.reception(router),
            local_addr,
            is_bound_to_one,
        };
        Ok(Server {
            listener,
            local_addr,
            shared: Arc::new(shared),
            admission: Arc::new(admission),
            stage: watch::Sender::new(Stage::Serving),
        })
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("endpoints", &self.endpoints)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Returns the default of the limit on connections. A tenth of the descriptors is left for files, other listeners and
/// outgoing connections. Of the nine tenths, a part is for connections that are answered 503.
#[cfg(unix)]
fn default_connections() -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE);
    let descriptors = limit.map_or(u64::MAX, |(soft, _hard)| soft);
    let all = usize::try_from(descriptors / 10 * 9).unwrap_or(usize::MAX);
    all.saturating_sub(admission::refusals(all)).max(1)
}

#[cfg(not(unix))]
fn default_connections() -> usize {
    usize::MAX
}
