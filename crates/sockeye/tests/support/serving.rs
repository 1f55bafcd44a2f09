//! Servers of one kind behind one face: Sockeye's own, and a container inside of hyper's.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sockeye::Session;
use sockeye::endpoint::{EndpointConfig, OpenSessions, SessionId};
use sockeye::server::{Container, DeploymentError, ResponseBody, ServerBuilder, ServerHandle};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A serving server, or a container inside another server.
#[derive(Clone)]
pub(crate) enum Serving {
    Server(ServerHandle),
    Container(Container),
}

impl Serving {
    pub(crate) fn add(&self, endpoint: EndpointConfig) -> Result<(), DeploymentError> {
        match self {
            Self::Server(handle) => handle.add_endpoint(endpoint),
            Self::Container(container) => container.add_endpoint(endpoint),
        }
    }

    pub(crate) fn open_sessions(&self, path: &str) -> Option<OpenSessions> {
        match self {
            Self::Server(handle) => handle.open_sessions(path),
            Self::Container(container) => container.open_sessions(path),
        }
    }

    pub(crate) fn sessions(&self) -> Vec<Session> {
        match self {
            Self::Server(handle) => handle.sessions(),
            Self::Container(container) => container.sessions(),
        }
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<Session> {
        match self {
            Self::Server(handle) => handle.session(id),
            Self::Container(container) => container.session(id),
        }
    }
}

/// A server, and where it is; then a container inside of hyper's. Each with what stops it.
pub(crate) async fn both(
    builder: impl Fn() -> ServerBuilder,
) -> [(Serving, SocketAddr, oneshot::Sender<()>, JoinHandle<()>); 2] {
    let server = builder().bind("127.0.0.1:0").await.expect("a free port");
    let (addr, serving) = (server.local_addr(), Serving::Server(server.handle()));
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        server.serve_until(stopped).await.expect("serves");
    });
    let first = (serving, addr, stop, task);

    let container = builder().container().expect("no two are the same");
    let inside = container.clone();
    let addr = hyper(move |request| inside.upgrade(request)).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopping = container.clone();
    let task = tokio::spawn(async move {
        drop(stopped.await);
        stopping.stop().await;
    });
    [first, (Serving::Container(container), addr, stop, task)]
}

/// A listener on a free port of the loopback, and its address.
pub(crate) async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

/// hyper's own server, whose requests go to `answer`.
pub(crate) async fn hyper<F>(
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    let (listener, addr) = bind().await;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answering = answer(request);
                async { Ok::<_, Infallible>(answering.await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), service)
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    addr
}
