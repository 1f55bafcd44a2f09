//! Endpoints on scripted transports, with paused time.

use sockeye_proto::{Config, Role};
use tokio::sync::mpsc;

use super::life::{Factory, Opened};
use super::{Endpoint, Handshake, OpenSessions, Session};
use crate::connection::tests::wire::{Peer, wire};
use crate::connection::tests::{idle, seconds};
use crate::router::PathParameters;

#[cfg(feature = "macros")]
mod annotated;
mod life;

fn handshake() -> Handshake {
    let (request, ()) = http::Request::new(()).into_parts();
    Handshake::new(&request, PathParameters::default(), None, None, None)
}

/// What is left of an endpoint when it is started.
struct Started {
    peer: Peer,
    session: Session,
    alive: mpsc::Receiver<()>,
}

impl Started {
    /// Whether the endpoint's task has ended.
    fn is_gone(&mut self) -> bool {
        matches!(
            self.alive.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        )
    }
}

/// Starts an endpoint on a scripted transport.
fn start<E: Endpoint>(endpoint: impl Fn(&Handshake) -> E + Send + Sync + 'static) -> Started {
    start_with(Config::new(Role::Server), endpoint)
}

fn start_with<E: Endpoint>(
    config: Config,
    endpoint: impl Fn(&Handshake) -> E + Send + Sync + 'static,
) -> Started {
    let (stream, peer) = wire();
    let (session, alive) = start_on(stream, config, endpoint);
    Started {
        peer,
        session,
        alive,
    }
}

fn start_on<E: Endpoint, T>(
    stream: T,
    config: Config,
    endpoint: impl Fn(&Handshake) -> E + Send + Sync + 'static,
) -> (Session, mpsc::Receiver<()>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (alive, gone) = mpsc::channel(1);
    let sessions = OpenSessions::default();
    let opened = Opened {
        stream,
        read_ahead: bytes::Bytes::new(),
        handshake: handshake(),
        config,
        compression: None,
        outbox_limit: 1 << 20,
        alive,
    };
    Factory(endpoint).start(opened, &sessions);
    (sessions.to_vec().remove(0), gone)
}
