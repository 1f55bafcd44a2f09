//! HTTP servers of others, axum's and hyper's, with Sockeye inside. Each has a WebSocket at `/`, and an empty page at `/page`.

use std::convert::Infallible;
use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::response::Html;
use axum::routing::{any, get};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sockeye::Connection;
use sockeye::axum::WebSocketUpgrade;
use sockeye::proto::DeflateConfig;
use sockeye::server::{Acceptor, ResponseBody};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::Result;

/// The server of others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host {
    /// The extractor is in a handler of axum's.
    Axum,
    /// An acceptor is in a service of hyper's.
    Hyper,
}

impl Host {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Hyper => "hyper",
        }
    }
}

/// A running server.
pub(crate) struct Inside {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Inside {
    /// Starts a server. Its connections go to `serve`.
    pub(crate) async fn start(
        host: Host,
        compression: DeflateConfig,
        max_message: u64,
        serve: impl Fn(Connection) + Clone + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = match host {
            Host::Axum => {
                let handler = async move |upgrade: WebSocketUpgrade| {
                    let upgrade = upgrade.compression(compression).max_message(max_message);
                    upgrade.on_upgrade(async move |ws| serve(ws))
                };
                let page = async || Html(PAGE);
                let router = Router::new()
                    .route("/", any(handler))
                    .route("/page", get(page));
                tokio::spawn(async move {
                    let _ = axum::serve(listener, router).await;
                })
            }
            Host::Hyper => {
                let acceptor = Acceptor::builder()
                    .compression(compression)
                    .max_message(max_message)
                    .build();
                tokio::spawn(by_hyper(listener, acceptor, serve))
            }
        };
        Ok(Self { address, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn by_hyper(
    listener: TcpListener,
    acceptor: Acceptor,
    serve: impl Fn(Connection) + Clone + Send + 'static,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            if request.uri().path() == "/page" {
                return ready(Ok::<_, Infallible>(page()));
            }
            let (response, upgrading) = acceptor.upgrade(&mut request);
            let serve = serve.clone();
            tokio::spawn(async move {
                if let Ok(ws) = upgrading.await {
                    serve(ws);
                }
            });
            ready(Ok(response))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(tcp), service)
            .with_upgrades();
        tokio::spawn(connection);
    }
}

fn page() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(Bytes::from_static(PAGE.as_bytes())));
    let html = HeaderValue::from_static("text/html");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

const PAGE: &str = "<!doctype html><title>A page</title>";
