//! Endpoints inside another HTTP server, such as axum's, if hyper can upgrade its requests. Knows no listener: the
//! deadlines and limits of HTTP are those of the other server.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
#[cfg(feature = "test-util")]
use http::request;
use http::{Request, Response};
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

use super::body::ResponseBody;
use super::error::DeploymentError;
use super::foreign::{Facts, ForeignRequest, into_stream, not_upgradable};
use super::reception::{Asked, Reception, Rejection};
#[cfg(feature = "test-util")]
use super::rules::Known;
use super::rules::on_loopback;
use super::stage::Stage;
use crate::connection::permit::SessionPermit;
use crate::endpoint::{EndpointConfig, OpenSessions, Session, SessionId};
use crate::stats::Stats;
use crate::sync::Arc;
#[cfg(feature = "topics")]
use crate::topics::Topics;
#[cfg(feature = "test-util")]
use crate::transport::Stream;

/// Endpoints inside another HTTP server, which gives its requests to them. Made by
/// [`ServerBuilder::container`](crate::server::ServerBuilder::container). The same endpoints run in a
/// [`Server`](crate::Server).
///
/// A container is a handle, and cheap to clone. It is a `tower` service, which axum's `Router` takes. A handler of the
/// application calls [`upgrade`](Self::upgrade). Any task reaches the open sessions by it.
///
/// ```
/// # struct Chat;
/// # impl sockeye::Endpoint for Chat {}
/// use sockeye::{Server, endpoint};
///
/// let container = Server::builder()
///     .endpoint(endpoint("/chat/{room}", |_handshake| Chat))
///     .container()?;
/// // axum::Router::new().route_service("/chat/{room}", container)
/// # Ok::<(), sockeye::server::DeploymentError>(())
/// ```
///
/// An endpoint may hold the state of its application, and the state its container: the endpoint is
/// [added](Self::add_endpoint) when both are there. [`stop`](Self::stop) drops the endpoints, so that all three are freed.
///
/// ```
/// # use sockeye::{Endpoint, Server, endpoint};
/// #[derive(Clone)]
/// struct App {
///     container: sockeye::server::Container,
/// }
///
/// struct Chat {
///     app: App,
/// }
///
/// impl Endpoint for Chat {}
///
/// let app = App { container: Server::builder().container()? };
/// let shared = app.clone();
/// let chat = endpoint("/chat/{room}", move |_handshake| Chat { app: shared.clone() });
/// app.container.add_endpoint(chat)?;
/// # Ok::<(), sockeye::server::DeploymentError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Container(Arc<Inner>);

struct Inner {
    reception: Reception,
    /// One for each session, taken before its handshake is answered.
    permits: Arc<Semaphore>,
    max_connections: u32,
    stage: watch::Sender<Stage>,
}

/// A handshake that comes without HTTP, with its stream.
#[cfg(feature = "test-util")]
pub(crate) struct Opening {
    pub(crate) request: request::Parts,
    pub(crate) info: crate::handshake::ConnectionInfo,
    pub(crate) properties: crate::handshake::Properties,
    /// The name of the peer, in place of the configurator's.
    pub(crate) principal: Option<Box<str>>,
    pub(crate) stream: Stream,
}

impl Container {
    pub(super) fn new(reception: Reception, max_connections: usize) -> Self {
        let max_connections = max_connections.min(Semaphore::MAX_PERMITS);
        let max_connections = u32::try_from(max_connections).unwrap_or(u32::MAX);
        Self(Arc::new(Inner {
            reception,
            permits: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            stage: watch::Sender::new(Stage::Serving),
        }))
    }

    /// Answers a request: 101 to a handshake that an endpoint accepts, else a refusal with its reason. After a 101 the
    /// endpoint has the connection. The endpoint is found by the path of the request, of which a router may have cut off
    /// a prefix.
    ///
    /// The request has to have hyper's extension, by which the connection is upgraded; else the answer is 500. Two more
    /// extensions are used: a [`ConnectionInfo`](crate::endpoint::ConnectionInfo) says what is known of the transport, and a
    /// [`Properties`](crate::endpoint::Properties) becomes the session's own.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has done nothing except what a [`Configurator`](crate::endpoint::Configurator) did.
    pub fn upgrade<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send + 'static + use<B> {
        let (head, _no_body) = request.into_parts();
        let answering = self.answer_foreign(head.into());
        async { answering.await.map(ResponseBody::from) }
    }

    /// Answers a request.
    pub(crate) fn answer_foreign(
        &self,
        request: ForeignRequest,
    ) -> impl Future<Output = Response<Bytes>> + Send + 'static + use<> {
        let inner = Arc::clone(&self.0);
        async move {
            match inner.answer(request).await {
                Ok(switching) => switching.map(|()| Bytes::new()),
                Err(refusal) => refusal,
            }
        }
    }

    /// Returns the open sessions of an endpoint. `path` is the endpoint's template, as it was given:
    /// `"/chat/{room}"`, not `"/chat/lobby"`. Returns `None` if there is no such endpoint.
    ///
    /// The returned handle stays valid, and knows the sessions that open later too.
    pub fn open_sessions(&self, path: &str) -> Option<OpenSessions> {
        self.0.reception.deployment.open_sessions(path)
    }

    /// Returns the open sessions of all endpoints.
    pub fn sessions(&self) -> Vec<Session> {
        self.0.reception.deployment.sessions()
    }

    /// Returns the open session of this name, whatever its endpoint is. It takes one short lock for each endpoint.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.0.reception.deployment.session(id)
    }

    /// Opens a session without HTTP. Returns the 101, and the open sessions of the endpoint.
    #[cfg(feature = "test-util")]
    pub(crate) async fn open(
        &self,
        opening: Opening,
    ) -> Result<(Response<()>, OpenSessions), Response<Bytes>> {
        self.0.open(opening).await
    }

    /// Adds an endpoint for the requests that come from now on. Open connections keep their endpoints, even if the new
    /// one would match their paths.
    ///
    /// # Errors
    ///
    /// [`DeploymentError`] if another endpoint claims the same paths, or if the path is not a template. Then nothing has
    /// changed.
    pub fn add_endpoint(&self, endpoint: EndpointConfig) -> Result<(), DeploymentError> {
        self.0.reception.deployment.add(endpoint)
    }

    /// Returns what the endpoints have counted since they were built. It costs as much as
    /// [`ServerHandle::stats`](crate::server::ServerHandle::stats).
    pub fn stats(&self) -> Stats {
        self.0.reception.deployment.stats()
    }

    /// Returns the topics that the sessions use.
    #[cfg(feature = "topics")]
    pub fn topics(&self) -> &Topics {
        &self.0.reception.deployment.topics
    }

    /// Stops in order. From now on handshakes are answered 503. Each session sends what is queued for it, and a Close with
    /// 1001. Completes when all sessions are gone; those that are left at the stop timeout are dropped. Then the endpoints
    /// are dropped too.
    ///
    /// An HTTP server that stops does not wait for upgraded connections: call this method too.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the sessions go on closing, and none is dropped.
    pub async fn stop(&self) {
        let inner = &*self.0;
        inner.stage.send_replace(Stage::Stopping);
        let all_gone = async {
            let gone = inner.permits.acquire_many(inner.max_connections).await;
            drop(gone.expect("never closed"));
        };
        let dropping = || {
            inner.stage.send_replace(Stage::Dropping);
        };
        inner.reception.deployment.stop(all_gone, dropping).await;
    }
}

impl Inner {
    // By value: the task that takes over the connection needs it too.
    async fn answer(
        self: Arc<Self>,
        request: ForeignRequest,
    ) -> Result<Response<()>, Response<Bytes>> {
        let ForeignRequest { head, facts } = request;
        let target = self.reception.find(&head).map_err(|rejection| {
            // The endpoints are dropped at the end of a stop.
            match rejection {
                Rejection::NoEndpoint { is_handshake: true } if self.is_stopping() => {
                    Rejection::Stopping
                }
                other => other,
            }
        })?;
        let permit = self.permit()?;
        let Facts {
            info,
            known,
            on_upgrade,
        } = facts;
        let asked = Asked {
            request: &head,
            target,
            info,
            on_loopback: on_loopback(info),
            known,
        };
        let (response, agreed) = self.reception.answer(asked).await?;
        let counters = &self.reception.deployment.counters;
        let on_upgrade = on_upgrade.ok_or_else(|| *not_upgradable(counters))?;
        let inner = Arc::clone(&self);
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => {
                    let (stream, read_ahead) = into_stream(upgraded);
                    let stage = inner.stage.subscribe();
                    let deployment = &inner.reception.deployment;
                    deployment.open(stream, read_ahead, (agreed, permit), &stage);
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was gone before it was upgraded")
                }
            }
        });
        Ok(response)
    }

    fn is_stopping(&self) -> bool {
        *self.stage.borrow() > Stage::Serving
    }

    /// Answers a handshake that came without HTTP, and gives its stream to the endpoint.
    #[cfg(feature = "test-util")]
    async fn open(
        &self,
        opening: Opening,
    ) -> Result<(Response<()>, OpenSessions), Response<Bytes>> {
        let target = self.reception.find(&opening.request)?;
        let permit = self.permit()?;
        let asked = Asked {
            request: &opening.request,
            target,
            info: opening.info,
            on_loopback: false,
            known: Known {
                principal: None,
                properties: opening.properties,
            },
        };
        let (response, mut agreed) = self.reception.answer(asked).await?;
        if let Some(principal) = opening.principal {
            agreed.agreement.handshake.set_principal(principal);
        }
        let open_sessions = agreed.mounted.open_sessions().clone();
        let stage = self.stage.subscribe();
        let deployment = &self.reception.deployment;
        deployment.open(opening.stream, Bytes::new(), (agreed, permit), &stage);
        Ok((response, open_sessions))
    }

    /// Takes the permit of one session.
    fn permit(&self) -> Result<SessionPermit, Rejection> {
        if self.is_stopping() {
            return Err(Rejection::Stopping);
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.map(Into::into).map_err(|_| Rejection::Full)
    }
}

impl<B> Service<Request<B>> for Container {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        // The body is dropped here: it need not be `Send`.
        let (parts, _no_body) = request.into_parts();
        Responding(Box::pin(self.upgrade(Request::from_parts(parts, ()))))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("reception", &self.reception)
            .finish_non_exhaustive()
    }
}

/// The future of a [`Container`] as a service.
#[must_use = "futures do nothing unless polled"]
pub struct Responding(Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>);

impl Future for Responding {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for Responding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responding").finish_non_exhaustive()
    }
}
