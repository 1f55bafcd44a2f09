//! Accepting connections, and serving HTTP on them until they are upgraded.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::{Shared, Stage, upgrade};
use crate::sync::Arc;
use crate::transport::Stream;

/// The most bytes of a request's head, and the most header fields (RFC 6455 has no limits; a peer's
/// input needs some).
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;

/// What every connection's task is given.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) shared: Arc<Shared>,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) alive: mpsc::Sender<()>,
}

impl Acceptor {
    /// Accepts for ever. A failure concerns one connection, or passes: descriptors run out until some
    /// are closed.
    // By value: whoever stops the server waits until no acceptor is left either.
    pub(super) async fn accept(self, listener: TcpListener) {
        let mut pause = FIRST_PAUSE;
        loop {
            match listener.accept().await {
                Ok((tcp, peer_addr)) => {
                    pause = FIRST_PAUSE;
                    tokio::spawn(self.clone().serve(tcp, peer_addr));
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    tracing::error!(%error, ?pause, "cannot accept");
                    tokio::time::sleep(pause).await;
                    pause = LAST_PAUSE.min(pause * 2);
                }
            }
        }
    }

    async fn serve(mut self, tcp: TcpStream, peer_addr: SocketAddr) {
        let local_addr = tcp.local_addr().unwrap_or(self.shared.local_addr);
        let peer = upgrade::Peer {
            shared: Arc::clone(&self.shared),
            stage: self.stage.clone(),
            alive: self.alive.clone(),
            peer_addr,
            local_addr,
        };
        let service = service_fn(move |request| {
            let peer = peer.clone();
            async move { Ok::<_, std::convert::Infallible>(peer.respond(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.shared.handshake_timeout)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(Stream::from(tcp)), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = reached(&mut self.stage, Stage::Stopping) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection.as_mut() => result,
                    () = reached(&mut self.stage, Stage::Dropping) => return,
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer_addr, %error, "an HTTP connection failed");
        }
    }
}

/// Completes when the server has come so far; never when it was dropped before: then its connections
/// go on.
async fn reached(watched: &mut watch::Receiver<Stage>, stage: Stage) {
    if watched.wait_for(|now| *now >= stage).await.is_err() {
        pending::<()>().await;
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
