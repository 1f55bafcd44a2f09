//! The configuration of a server's endpoint: its path, its factory, its limits, and the pages that may connect.

use std::fmt;
use std::time::Duration;

use sockeye_mailbox::{Overflow, OverflowPolicy};
use sockeye_proto::handshake::OriginPolicy;

use sockeye_proto::Config;

use super::Endpoint;
use super::configurator::{Configurator, Configure};
use super::envelope::SUBPROTOCOL;
use super::incoming::IncomingKind;
use super::life::{self, Launch, Opened};
#[cfg(feature = "topics")]
use super::seam::SharedTopics;
use super::session::OpenSessions;
#[cfg(feature = "topics")]
use super::session::Session;
use crate::handshake::Handshake;
use crate::stats::Counters;
use crate::sync::Arc;

/// The configuration of an endpoint at a path, for [`ServerBuilder::endpoint`](crate::server::ServerBuilder::endpoint).
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
    // Whether clients may agree on the subprotocol of topics.
    topics: bool,
    launch: Arc<dyn Launch>,
}

/// An endpoint that knows its path. `#[server_endpoint("…")]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no path at which a server can serve it",
    note = "put `#[server_endpoint(\"/path\")]` on the `impl` block of its callbacks",
    note = "`#[client_endpoint]` makes a client's endpoint, for `Client::connect_endpoint`"
)]
pub trait ServerEndpoint: Endpoint {
    /// The path template.
    const PATH: &'static str;
    /// The subprotocols that it speaks.
    const SUBPROTOCOLS: &'static [&'static str] = &[];

    /// Adds further settings to the configuration, such as a [`Configurator`].
    fn configure(config: EndpointConfig) -> EndpointConfig {
        config
    }
}

/// Creates the configuration of an endpoint at a path. For each connection `factory` makes an endpoint object; it gets
/// the handshake, and may hold state that the connections share. For one object that serves all connections it returns
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
    /// Creates the configuration of an endpoint at a path. See [`endpoint`].
    pub fn new<E: Endpoint>(
        path: &str,
        factory: impl Fn(&Handshake) -> E + Send + Sync + 'static,
    ) -> Self {
        Self {
            path: path.to_owned(),
            subprotocols: Vec::new(),
            max_text: IncomingKind::Text.limit_among(E::MAX_MESSAGES),
            max_binary: IncomingKind::Binary.limit_among(E::MAX_MESSAGES),
            origins: None,
            configurator: None,
            max_idle_timeout: None,
            overflow: OverflowPolicy::default(),
            topics: false,
            launch: Arc::new(life::Factory(factory)),
        }
    }

    /// Creates the configuration of an annotated endpoint, with the path and the settings of its attribute. `factory`
    /// returns objects of that type, or of an `Arc` of it.
    #[doc(hidden)]
    pub fn of<S: ServerEndpoint, E: Endpoint>(
        factory: impl Fn(&Handshake) -> E + Send + Sync + 'static,
    ) -> Self {
        let subprotocols = S::SUBPROTOCOLS.iter().copied();
        S::configure(Self::new(S::PATH, factory).subprotocols(subprotocols))
    }

    /// Sets the subprotocols that the endpoint speaks. The first one in the client's list that the endpoint speaks is
    /// agreed on. If there is none, the connection has no subprotocol.
    pub fn subprotocols<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the longest message of a kind that this endpoint takes, in bytes, inclusive. A longer message closes the
    /// connection with 1009. This replaces [`Endpoint::MAX_MESSAGES`] and the server's [`Config::max_message`], and may
    /// be lower or higher. A Ping and a Pong have no limit here: the protocol's is 125 bytes.
    pub fn max_message(mut self, kind: IncomingKind, bytes: u64) -> Self {
        match kind {
            IncomingKind::Text => self.max_text = Some(bytes),
            IncomingKind::Binary => self.max_binary = Some(bytes),
            IncomingKind::Ping | IncomingKind::Pong => {}
        }
        self
    }

    /// Sets which pages may connect to this endpoint (RFC 6455 §10.2), in place of
    /// [`ServerBuilder::origins`](crate::server::ServerBuilder::origins).
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = Some(policy);
        self
    }

    /// Sets the configurator that decides about this endpoint's opening handshakes.
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

    /// Sets what happens to a message of the [asynchronous remote](super::AsyncRemote) while the session's outbox is
    /// full. The default is [`Overflow::Refuse`]: the send fails. The outbox has the size of
    /// [`ServerBuilder::outbox_limit`](crate::server::ServerBuilder::outbox_limit).
    /// [`Session::set_overflow`](super::Session::set_overflow) sets it for one session.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow.remote = overflow;
        self
    }

    /// Sets what happens to a [broadcast](super::OpenSessions::broadcast) for a session whose outbox is full. The
    /// default is [`Overflow::Close`]: the session is closed with 1013, so that its client knows that it missed a
    /// message. [`Session::set_broadcast_overflow`](super::Session::set_broadcast_overflow) sets it for one session.
    ///
    /// ```
    /// use sockeye::endpoint::Overflow;
    /// use sockeye::{Endpoint, endpoint};
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

    /// Lets clients agree on the subprotocol `sockeye.topics.v0`, besides the subprotocols of the endpoint. Such a client
    /// uses topics, and its messages and those to it are in the envelope of the subprotocol. The endpoint and the session
    /// get and take messages without it. Other clients see no difference.
    ///
    /// Such a session gives each message whole, also to handlers that take parts and readers. The limits of messages stay
    /// those of the endpoint. A [`Configurator`] sees the subprotocol among those that the endpoint speaks.
    #[cfg(feature = "topics-wire")]
    pub fn topics(mut self) -> Self {
        self.topics = true;
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

/// A deployed endpoint, with its open sessions.
#[derive(Debug)]
pub(crate) struct Mounted {
    config: EndpointConfig,
    // The limits of its connections: the server's, unless the endpoint has limits of its own.
    limits: Arc<Config>,
    open_sessions: OpenSessions,
}

impl Mounted {
    pub(crate) fn new(
        mut config: EndpointConfig,
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
        let counters = Arc::clone(counters);
        let open_sessions = if config.topics {
            let spoken = &mut config.subprotocols;
            if spoken.iter().all(|name| name != SUBPROTOCOL) {
                spoken.push(SUBPROTOCOL.to_owned());
            }
            OpenSessions::with_topics(counters)
        } else {
            OpenSessions::counted_by(counters)
        };
        Self {
            config,
            limits,
            open_sessions,
        }
    }

    /// Sets the topics that the sessions use.
    #[cfg(feature = "topics")]
    pub(crate) fn set_topics(&self, topics: Arc<dyn SharedTopics<Session>>) {
        self.open_sessions.set_topics(topics);
    }

    /// Returns the path template.
    pub(crate) fn path(&self) -> &str {
        &self.config.path
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

    pub(crate) fn max_idle_timeout(&self) -> Option<Duration> {
        self.config.max_idle_timeout
    }

    pub(crate) fn open_sessions(&self) -> &OpenSessions {
        &self.open_sessions
    }

    /// Starts the endpoint's task.
    pub(crate) fn launch(&self, opened: Opened) {
        self.config.launch.launch(opened, &self.open_sessions);
    }
}
