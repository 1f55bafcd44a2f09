//! Endpoints inside another HTTP server: hyper's, axum's, whatever gives requests that hyper can upgrade. Knows
//! no listener: whose the connections are, those deadlines and limits hold for HTTP.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

use super::reception::{self, Asked, Reception, Unavailable};
use super::{DeploymentError, Stage};
use crate::connection::permit::SessionPermit;
use crate::endpoint::{ConnectionInfo, EndpointConfig, Properties};
use crate::stats::Stats;
use crate::sync::Arc;
use crate::transport::Stream;

/// Endpoints that another HTTP server gives requests to, made by
/// [`ServerBuilder::container`](crate::ServerBuilder::container). An endpoint does not know in which it is.
///
/// A handle: cheap to clone. It is a `tower` service, such as axum's `Router` takes; and
/// [`upgrade`](Self::upgrade) is for a handler of one's own.
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
/// # Ok::<(), sockeye::DeploymentError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Container(Arc<Inner>);

struct Inner {
    reception: Reception,
    /// One for each session.
    permits: Arc<Semaphore>,
    max_connections: u32,
    stage: watch::Sender<Stage>,
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

    /// Answers a request: with 101 where it is the handshake of an endpoint, which then has the connection,
    /// else with a refusal and its reason. The endpoint is found by the request's path, as that is when it
    /// comes here: a router may have cut off a prefix.
    ///
    /// The request has to bring what hyper puts among its extensions, so that the connection can be taken over;
    /// else the answer is 500. Of the extensions a [`ConnectionInfo`] is looked at too, which says what is known of the
    /// transport, and a [`Properties`] becomes the session's own.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done it has done nothing, but for what a [`Configurator`](crate::Configurator) did.
    pub fn upgrade<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send + 'static + use<B> {
        let (parts, _no_body) = request.into_parts();
        let inner = Arc::clone(&self.0);
        async move {
            let response = match inner.answer(parts).await {
                Ok(switching) => switching.map(|()| Bytes::new()),
                Err(refusal) => refusal,
            };
            response.map(|body| ResponseBody(Full::new(body)))
        }
    }

    /// Adds an endpoint, for the requests that come from now on. The connections that there are stay where they are,
    /// also where its path would be theirs now.
    ///
    /// # Errors
    ///
    /// [`DeploymentError`] when another endpoint claims the same paths or the path is no template. Nothing has
    /// changed then.
    pub fn add_endpoint(&self, endpoint: EndpointConfig) -> Result<(), DeploymentError> {
        self.0.reception.deployment.add(endpoint)
    }

    /// Returns what the endpoints have counted since they were built. It costs as much as
    /// [`ServerHandle::stats`](crate::ServerHandle::stats).
    pub fn stats(&self) -> Stats {
        self.0.reception.deployment.stats()
    }

    /// Ends what there is in order: from now on requests get 503, every session what is queued for it and a Close
    /// with 1001. Completes when all are gone, or at the stop timeout, when they are dropped. An HTTP server
    /// that stops does not wait for connections that were upgraded: call this beside it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, sessions go on to end, and none is dropped.
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
    // By value: what takes the connection over has it too.
    async fn answer(self: Arc<Self>, mut parts: Parts) -> Result<Response<()>, Response<Bytes>> {
        let target = self.reception.find(&parts)?;
        let permit = self.permit().map_err(Unavailable::to_response)?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let info = parts
            .extensions
            .remove::<ConnectionInfo>()
            .unwrap_or_default();
        let local_addr = info.local_addr.map(|addr| addr.ip().to_canonical());
        let asked = Asked {
            request: &parts,
            target,
            info,
            on_loopback: local_addr.is_some_and(|ip| ip.is_loopback()),
            properties: parts
                .extensions
                .get::<Properties>()
                .cloned()
                .unwrap_or_default(),
        };
        let (response, agreed) = self.reception.answer(asked).await?;
        let Some(on_upgrade) = on_upgrade else {
            let counters = &self.reception.deployment.counters;
            if let Some(left_out) = counters.log.not_upgradable.admit_now() {
                let text = "cannot upgrade a connection: the request has no extension of hyper's";
                tracing::error!(left_out, "{text}");
            }
            let reason = "this connection cannot be upgraded";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Err(reception::refusal(status, reason));
        };
        let inner = Arc::clone(&self);
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => {
                    let (stream, read_ahead) = raw(upgraded);
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

    fn permit(&self) -> Result<SessionPermit, Unavailable> {
        if *self.stage.borrow() > Stage::Serving {
            return Err(Unavailable::Stopping);
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.map(Into::into).map_err(|_| Unavailable::Full)
    }
}

/// What is below HTTP, where it is known, so that nothing of HTTP is kept and each read and write goes to it
/// directly; else what hyper gives. And what was read behind the request.
fn raw(upgraded: Upgraded) -> (Stream, Bytes) {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => (Stream::from(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => (Stream::new(TokioIo::new(upgraded)), Bytes::new()),
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

/// The body of what a [`Container`] answers: empty for a 101, the reason of a refusal. As an
/// `http_body::Body` it is one frame at most.
#[derive(Clone, Debug, Default)]
pub struct ResponseBody(Full<Bytes>);

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
