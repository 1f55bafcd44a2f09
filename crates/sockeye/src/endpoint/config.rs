//! How an endpoint is deployed: its path, its factory, what it takes of whom.

use std::fmt;
use std::time::Duration;

use sockeye_proto::handshake::OriginPolicy;

use sockeye_proto::Config;

use super::Endpoint;
use super::configurator::{Configurator, Configure};
use super::handshake::Handshake;
use super::incoming::MessageKind;
use super::life::{self, Launch, Opened};
use super::open_sessions::OpenSessions;
use crate::connection::outbox::{Overflow, OverflowPolicy};
use crate::stats::Counters;
use crate::sync::Arc;

/// An endpoint at a path, to be given to [`ServerBuilder::endpoint`](crate::ServerBuilder::endpoint).
#[derive(Clone)]
pub struct EndpointConfig {
    path: String,
    subprotocols: Vec<String>,
    max_text: Option<u64>,
    max_binary: Option<u64>,
    origins: Option<OriginPolicy>,
    configurator: Option<Arc<dyn Configure>>,
    max_idle_timeout: Option<Duration>,
    overflow: OverflowPolicy,
    launch: Arc<dyn Launch>,
}

/// An endpoint that knows its path: what `#[server_endpoint("…")]` makes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say at which path a server has it",
    note = "`#[server_endpoint(\"/path\")]` on the `impl` block of its callbacks says so",
    note = "`#[client_endpoint]` makes a client's endpoint, for `Client::connect_endpoint`"
)]
pub trait ServerEndpoint: Endpoint {
    /// The path template.
    const PATH: &'static str;
    /// The subprotocols that it speaks.
    const SUBPROTOCOLS: &'static [&'static str] = &[];

    /// Adds what else it says of its place, such as its [`Configurator`].
    fn configure(config: EndpointConfig) -> EndpointConfig {
        config
    }
}

/// A programmatic endpoint at a path, made anew for each connection by `factory`, which sees the
/// handshake and holds what the application shares. For an object that serves all connections give
/// clones of an `Arc`: see [`SharedEndpoint`](super::SharedEndpoint).
///
/// ```
/// use sockeye::{Endpoint, Server, endpoint};
///
/// struct Silent;
///
/// impl Endpoint for Silent {}
///
/// let server = Server::builder().endpoint(endpoint("/silent/{name}", |_handshake| Silent));
/// ```
pub fn endpoint<E: Endpoint>(
    path: &str,
    factory: impl Fn(&Handshake) -> E + Send + Sync + 'static,
) -> EndpointConfig {
    EndpointConfig::new(path, factory)
}

impl EndpointConfig {
    /// As [`endpoint`].
    pub fn new<E: Endpoint>(
        path: &str,
        factory: impl Fn(&Handshake) -> E + Send + Sync + 'static,
    ) -> Self {
        Self {
            path: path.to_owned(),
            subprotocols: Vec::new(),
            max_text: MessageKind::Text.limit_among(E::MAX_MESSAGES),
            max_binary: MessageKind::Binary.limit_among(E::MAX_MESSAGES),
            origins: None,
            configurator: None,
            max_idle_timeout: None,
            overflow: OverflowPolicy::default(),
            launch: Arc::new(life::Factory(factory)),
        }
    }

    /// As [`EndpointConfig::new`], with all that an annotated endpoint says of its place. The objects are of that
    /// type, or share one of it.
    #[doc(hidden)]
    pub fn of<S: ServerEndpoint, E: Endpoint>(
        factory: impl Fn(&Handshake) -> E + Send + Sync + 'static,
    ) -> Self {
        let subprotocols = S::SUBPROTOCOLS.iter().copied();
        S::configure(Self::new(S::PATH, factory).subprotocols(subprotocols))
    }

    /// The subprotocols that the endpoint speaks. The first of the client's list that is one of them is
    /// agreed on; without one the connection has none.
    pub fn subprotocols<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The longest message of a kind that this endpoint takes, in bytes, inclusive, in the place of
    /// [`Endpoint::MAX_MESSAGES`] and of the server's [`Config::max_message`]: it may be less or more. A longer
    /// one closes the connection with 1009. A Pong has no limit of its own: 125 bytes are the protocol's.
    pub fn max_message(mut self, kind: MessageKind, bytes: u64) -> Self {
        match kind {
            MessageKind::Text => self.max_text = Some(bytes),
            MessageKind::Binary => self.max_binary = Some(bytes),
            MessageKind::Pong => {}
        }
        self
    }

    /// Sets which pages may connect to this endpoint (RFC 6455 §10.2), whatever
    /// [`ServerBuilder::origins`](crate::ServerBuilder::origins) says of others.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = Some(policy);
        self
    }

    /// Sets who decides of this endpoint's opening handshakes.
    pub fn configurator(mut self, configurator: impl Configurator) -> Self {
        self.configurator = Some(Arc::new(configurator));
        self
    }

    /// Sets for how long a session of this endpoint may be idle; by default there is no such limit. See
    /// [`Session::set_max_idle_timeout`](super::Session::set_max_idle_timeout).
    pub fn max_idle_timeout(mut self, timeout: Duration) -> Self {
        self.max_idle_timeout = Some(timeout);
        self
    }

    /// Sets what becomes of a message of the [asynchronous remote](super::AsyncRemote) that finds no room in the outbox of
    /// one of this endpoint's sessions. The default is [`Overflow::Refuse`]: the sender is told. The outbox has the size of
    /// [`ServerBuilder::outbox_limit`](crate::ServerBuilder::outbox_limit). For one session there is
    /// [`Session::set_overflow`](super::Session::set_overflow).
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow.remote = overflow;
        self
    }

    /// Sets what becomes of a [broadcast](super::OpenSessions::broadcast) that finds no room in the outbox of one of this
    /// endpoint's sessions. The default is [`Overflow::Close`]: the session is closed with 1013, so that a slow subscriber
    /// knows that it missed something. For one session there is
    /// [`Session::set_broadcast_overflow`](super::Session::set_broadcast_overflow).
    ///
    /// ```
    /// use sockeye::{Endpoint, Overflow, endpoint};
    ///
    /// struct Prices;
    ///
    /// impl Endpoint for Prices {}
    ///
    /// // Of a price only the newest counts: a slow subscriber misses older ones.
    /// let prices = endpoint("/prices", |_handshake| Prices).broadcast_overflow(Overflow::DropOldest);
    /// ```
    pub fn broadcast_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow.broadcast = overflow;
        self
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("path", &self.path)
            .field("subprotocols", &self.subprotocols)
            .finish_non_exhaustive()
    }
}

/// An endpoint in its place, with the sessions that it has.
#[derive(Debug)]
pub(crate) struct Mounted {
    config: EndpointConfig,
    // Of its connections: the server's own, unless the endpoint has limits of its own.
    limits: Arc<Config>,
    open_sessions: OpenSessions,
}

impl Mounted {
    pub(crate) fn new(
        config: EndpointConfig,
        servers: &Arc<Config>,
        counters: &Arc<Counters>,
    ) -> Self {
        let (max_text, max_binary) = (config.max_text, config.max_binary);
        let limits = if max_text.is_none() && max_binary.is_none() {
            Arc::clone(servers)
        } else {
            let limits = Config::clone(servers);
            let (text, binary) = (limits.max_text, limits.max_binary);
            let limits = limits.max_text(max_text.or(text));
            Arc::new(limits.max_binary(max_binary.or(binary)))
        };
        Self {
            config,
            limits,
            open_sessions: OpenSessions::counted_by(Arc::clone(counters)),
        }
    }

    pub(crate) fn subprotocols(&self) -> &[String] {
        &self.config.subprotocols
    }

    pub(crate) fn limits(&self) -> &Arc<Config> {
        &self.limits
    }

    pub(crate) fn origins(&self) -> Option<&OriginPolicy> {
        self.config.origins.as_ref()
    }

    pub(crate) fn configurator(&self) -> Option<&dyn Configure> {
        self.config.configurator.as_deref()
    }

    pub(crate) fn overflow(&self) -> OverflowPolicy {
        self.config.overflow
    }

    pub(crate) fn open_sessions(&self) -> &OpenSessions {
        &self.open_sessions
    }

    /// Starts the endpoint's task.
    pub(crate) fn launch(&self, opened: Opened) {
        if let Some(timeout) = self.config.max_idle_timeout {
            opened.handshake.idle().set_limit(Some(timeout));
        }
        self.config.launch.launch(opened, &self.open_sessions);
    }
}
