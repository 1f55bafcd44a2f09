//! The extractor. It holds a copy of the request's head, and the acceptor's options.

use std::fmt;
use std::future::Future;

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use http::Response;
use http::request::Parts;
use sockeye_proto::handshake::OriginPolicy;
use sockeye_proto::{Config, DeflateConfig};

use super::rejection::WebSocketUpgradeRejection;
use crate::connection::Connection;
use crate::error::ErrorChain;
use crate::handshake::ConnectionInfo;
use crate::server::{AcceptError, Acceptor, AcceptorBuilder, Container, ForeignRequest};

/// An extractor of a WebSocket handshake. The handler returns the response that [`on_upgrade`](Self::on_upgrade) or
/// [`endpoint`](Self::endpoint) makes. The module `sockeye::axum` has examples.
///
/// It rejects what is not a valid handshake: see [`WebSocketUpgradeRejection`]. `Origin` is checked when the response is made:
/// a page of another host gets 403, unless [`origins`](Self::origins) lets it connect.
///
/// By default it speaks no subprotocol, compresses nothing, and takes messages of up to 1 MiB.
///
/// ```
/// use axum::response::Response;
/// use sockeye::axum::WebSocketUpgrade;
/// use sockeye::proto::DeflateConfig;
///
/// async fn echo(upgrade: WebSocketUpgrade) -> Response {
///     let upgrade = upgrade
///         .protocols(["echo2", "echo"])
///         .max_message(64 * 1024)
///         .compression(DeflateConfig::default())
///         .on_failed_upgrade(|error| eprintln!("no connection: {error}"));
///     upgrade.on_upgrade(|mut ws| async move {
///         while let Ok(Some(message)) = ws.recv().await {
///             if ws.send(message).await.is_err() {
///                 break;
///             }
///         }
///     })
/// }
/// # let _ = echo;
/// ```
#[must_use = "a handler answers with it: by `on_upgrade` or `endpoint`"]
pub struct WebSocketUpgrade {
    acceptor: AcceptorBuilder,
    request: ForeignRequest,
    requested: Vec<String>,
    selected: Option<String>,
    on_failed_upgrade: Option<OnFailedUpgrade>,
}

type OnFailedUpgrade = Box<dyn FnOnce(AcceptError) + Send>;

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let acceptor = Acceptor::of_process();
        let request = ForeignRequest::of(parts);
        match acceptor.examine(&request) {
            Ok(offer) => Ok(Self {
                requested: offer.subprotocols().map(str::to_owned).collect(),
                selected: None,
                acceptor: acceptor.to_builder(),
                request,
                on_failed_upgrade: None,
            }),
            Err(refusal) => Err(WebSocketUpgradeRejection(refusal)),
        }
    }
}

impl WebSocketUpgrade {
    /// Sets the subprotocols that are spoken, the preferred one first. The first one that the client offers is agreed on. If
    /// there is none, the connection has no subprotocol.
    pub fn protocols<I, N>(mut self, protocols: I) -> Self
    where
        I: IntoIterator<Item = N>,
        N: Into<String>,
    {
        let mut spoken = protocols.into_iter().map(Into::into);
        self.selected = spoken.find(|name| self.requested.contains(name));
        self
    }

    /// Returns the subprotocols that the client offers, the preferred one first. A handler that chooses by itself gives its
    /// choice to [`protocols`](Self::protocols).
    pub fn requested_protocols(&self) -> impl Iterator<Item = &str> {
        self.requested.iter().map(String::as_str)
    }

    /// Returns the subprotocol that [`protocols`](Self::protocols) has chosen.
    pub fn selected_protocol(&self) -> Option<&str> {
        self.selected.as_deref()
    }

    /// Sets which pages may connect (RFC 6455 §10.2). By default the pages of the request's own host may, and clients that
    /// send no Origin. Others get 403.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.acceptor = self.acceptor.origins(policy);
        self
    }

    /// Sets the limits and deadlines of the connection. It replaces what [`max_message`](Self::max_message) set before.
    pub fn config(mut self, config: Config) -> Self {
        self.acceptor = self.acceptor.config(config);
        self
    }

    /// Sets the longest message that the connection takes, in bytes, inclusive. By default 1 MiB. A longer one closes the
    /// connection with 1009.
    pub fn max_message(mut self, bytes: u64) -> Self {
        self.acceptor = self.acceptor.max_message(bytes);
        self
    }

    /// Compresses messages for clients that offer it (RFC 7692). By default no message is compressed. See
    /// [`ServerBuilder::compression`](crate::server::ServerBuilder::compression) about secrets.
    pub fn compression(mut self, config: impl Into<Option<DeflateConfig>>) -> Self {
        self.acceptor = self.acceptor.compression(config);
        self
    }

    /// Sets what is known of the transport: the peer's address, for example, which axum gives to a handler by
    /// `ConnectInfo`. It replaces a [`ConnectionInfo`] among the request's extensions.
    pub fn connection_info(mut self, info: ConnectionInfo) -> Self {
        self.request.facts.info = info;
        self
    }

    /// Sets the name of the peer, which [`Session::principal`](crate::Session::principal) of an endpoint's session returns.
    pub fn principal(mut self, name: impl Into<Box<str>>) -> Self {
        self.request.facts.known.principal = Some(name.into());
        self
    }

    /// Keeps a value for the connection, one of each type.
    /// [`Session::properties`](crate::Session::properties) of an endpoint's session has it, and the endpoint's factory
    /// sees it. It is added to a [`Properties`](crate::endpoint::Properties) among the request's extensions.
    pub fn property<T: Send + Sync + 'static>(self, value: T) -> Self {
        self.request.facts.known.properties.insert(value);
        self
    }

    /// Sets a function that is called with the error if no connection comes of the request. By default the error is logged
    /// at `debug`. Either this function or the callback of [`on_upgrade`](Self::on_upgrade) is called, once. Neither is called
    /// before the handler has returned the response, or the HTTP connection has ended.
    pub fn on_failed_upgrade(
        mut self,
        callback: impl FnOnce(AcceptError) + Send + 'static,
    ) -> Self {
        self.on_failed_upgrade = Some(Box::new(callback));
        self
    }

    /// Returns the response of the handler: a 101, or a 403 if the page may not connect. When the HTTP server has written
    /// the 101, `callback` is called with the connection, in a task of its own. So it outlives the handler and the request.
    ///
    /// The connection knows the request: [`Connection::request`] has the principal and the properties too.
    #[must_use = "the handler returns this response"]
    pub fn on_upgrade<C, F>(self, callback: C) -> Response<Body>
    where
        C: FnOnce(Connection) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self {
            acceptor,
            request,
            selected,
            on_failed_upgrade,
            ..
        } = self;
        let acceptor = acceptor.subprotocols(selected).build();
        let (response, upgrading) = acceptor.upgrade_foreign(request);
        tokio::spawn(async move {
            match upgrading.await {
                // A task of its own: in this one the connection would be stored twice, as long as it lives.
                Ok(connection) => drop(tokio::spawn(callback(connection))),
                Err(error) => match on_failed_upgrade {
                    Some(failed) => failed(error),
                    None => log_failure(&error),
                },
            }
        });
        response.map(Body::from)
    }

    /// Gives the request to a container, and returns the response of the handler. The endpoint is found by the path of the
    /// request, of which a router may have cut off a prefix. The endpoint's session gets what the handler knows:
    /// [`principal`](Self::principal), [`property`](Self::property) and [`connection_info`](Self::connection_info).
    ///
    /// The settings of the container and of the endpoint hold for the handshake and the connection, and not those of this
    /// extractor: subprotocols, origins, limits, compression and [`on_failed_upgrade`](Self::on_failed_upgrade).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has done nothing except what a [`Configurator`](crate::endpoint::Configurator) did.
    pub fn endpoint(
        self,
        container: &Container,
    ) -> impl Future<Output = Response<Body>> + Send + 'static + use<> {
        let answering = container.answer_foreign(self.request);
        async { answering.await.map(Body::from) }
    }
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("requested", &self.requested)
            .field("selected", &self.selected)
            .field("acceptor", &self.acceptor)
            .finish_non_exhaustive()
    }
}

fn log_failure(error: &AcceptError) {
    let error = ErrorChain::new(error);
    tracing::debug!(%error, "an upgrade failed");
}
