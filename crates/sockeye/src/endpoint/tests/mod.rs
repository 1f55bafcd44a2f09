//! Endpoints on scripted transports, with paused time.

use sockeye_mailbox::{Overflow, OverflowPolicy};
use sockeye_proto::{Config, Role};
use tokio::sync::Semaphore;

use super::life::{Factory, Opened};
use super::{Endpoint, Handshake, OpenSessions, Session};
use crate::connection::budget::AssemblyBudget;
use crate::connection::tests::wire::{Peer, wire};
use crate::connection::tests::{idle, seconds};
use crate::handshake::ConnectionInfo;
use crate::router::PathParameters;
use crate::sync::Arc;

#[cfg(feature = "macros")]
mod annotated;
mod at_once;
mod backpressure;
mod delivery;
#[cfg(feature = "topics-wire")]
mod enveloped;
#[cfg(feature = "topics")]
mod gap;
mod idle;
mod large;
mod life;
mod overflow;
mod partial;
mod pause;
mod reader;
mod silence;
mod span;
mod stuck;
mod sweep;
mod writer;

fn handshake() -> Handshake {
    let (request, ()) = http::Request::new(()).into_parts();
    Handshake::new(
        &request,
        PathParameters::default(),
        ConnectionInfo::default(),
    )
}

/// The test's handles of a started endpoint.
struct Started {
    peer: Peer,
    session: Session,
    places: Arc<Semaphore>,
}

impl Started {
    /// Whether the endpoint's task has ended.
    fn is_gone(&self) -> bool {
        self.places.available_permits() == 1
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
    let (session, places) = start_on(stream, config, endpoint);
    Started {
        peer,
        session,
        places,
    }
}

fn start_on<E: Endpoint, T>(
    stream: T,
    config: Config,
    endpoint: impl Fn(&Handshake) -> E + Send + Sync + 'static,
) -> (Session, Arc<Semaphore>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let places = Arc::new(Semaphore::new(1));
    let sessions = OpenSessions::counted_by(Arc::default());
    let opened = opened(stream, config, &places);
    Factory(endpoint).start(opened, None, &sessions);
    (sessions.to_vec().remove(0), places)
}

/// A connection whose opening handshake is done, with one of the server's permits.
pub(crate) fn opened<T>(stream: T, config: Config, places: &Arc<Semaphore>) -> Opened<T> {
    Opened {
        stream,
        read_ahead: bytes::Bytes::new(),
        handshake: handshake(),
        config: config.into(),
        compression: None,
        outbox_limit: 1 << 20,
        overflow: OverflowPolicy::default(),
        max_idle_timeout: None,
        budget: AssemblyBudget::of_others(),
        permit: Arc::clone(places).try_acquire_owned().unwrap().into(),
    }
}
