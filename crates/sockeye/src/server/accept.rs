//! Accepts connections, and serves HTTP/1.1 on them until they are upgraded.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::admission::{Admission, Guest};
use super::shared::Shared;
use super::stage::Stage;
use super::stall::StallGuard;
use super::{unread, upgrade};
use crate::handshake::ConnectionInfo;
use crate::observer::Event;
use crate::sync::Arc;
use crate::transport::Stream;

/// The longest timeout that hyper gets. It adds the timeout to the current time, and [`Duration::MAX`] would overflow.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// The handles that the task of each connection gets.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) shared: Arc<Shared>,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) admission: Arc<Admission>,
}

impl Serving {
    /// Accepts connections for ever. A failure concerns one connection, or ends by itself: descriptors run out until
    /// connections close.
    // By value: the listener is closed when this ends.
    pub(super) async fn accept(self, listener: TcpListener) {
        let mut pause = FIRST_PAUSE;
        loop {
            match listener.accept().await {
                Ok((tcp, peer_addr)) => {
                    pause = FIRST_PAUSE;
                    // While no connection gives way, this waits, and no more are accepted.
                    let guest = self.admission.admit().await;
                    tokio::spawn(self.clone().serve_tcp(tcp, peer_addr, guest));
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    let counters = &self.shared.reception.deployment.counters;
                    if let Some(left_out) = counters.log.accept.admit_now() {
                        tracing::error!(%error, ?pause, left_out, "cannot accept a connection");
                    }
                    // If no connection gives way, some have to end first.
                    if self.admission.make_room().await == 0 {
                        tokio::time::sleep(pause).await;
                        pause = LAST_PAUSE.min(pause * 2);
                    }
                }
            }
        }
    }

    /// Serves a connection that the caller brings.
    pub(super) async fn serve_brought(mut self, stream: Stream) {
        if *self.stage.borrow() >= Stage::Stopping {
            return;
        }
        let guest = tokio::select! {
            // The usual case first: there is room.
            biased;
            guest = self.admission.admit() => guest,
            () = reached(&mut self.stage, Stage::Stopping) => return,
        };
        // The stream is dropped before the guest.
        let mut stream = stream;
        let info = ConnectionInfo::of(&stream);
        let mut patience = pin!(
            self.admission
                .out_of_patience(self.shared.reception.handshake_timeout)
        );
        let mut first = [0];
        let mut is_asked = false;
        let read = loop {
            tokio::select! {
                biased;
                read = stream.read(&mut first) => break read.unwrap_or(0),
                () = ready(()), if is_asked => return,
                // Bytes may be there that tokio does not know of yet: its I/O driver runs first.
                () = guest.entry.asked() => {
                    tokio::task::yield_now().await;
                    is_asked = true;
                }
                () = patience.as_mut() => return self.shared.late(info.peer_addr),
                () = reached(&mut self.stage, Stage::Stopping) => return,
            }
        };
        if read == 0 {
            return;
        }
        guest.entry.engage();
        if is_asked {
            guest.entry.refuse();
        }
        let mut stream = self.shared.guard(stream);
        stream.put_back(first);
        let serving = self
            .shared
            .serve_http(stream, info, guest, patience, &mut self.stage);
        // Boxed: the future is large, and a silent connection does not need it.
        Box::pin(serving).await;
    }

    async fn serve_tcp(mut self, tcp: TcpStream, peer_addr: SocketAddr, guest: Guest) {
        // The socket is dropped before the guest: the admission goes on when the descriptor is free.
        let guest = guest;
        let tcp = tcp;
        // RFC 6455 has no deadlines. This one covers everything up to the end of the request's head, TLS included.
        let mut patience = pin!(
            self.admission
                .out_of_patience(self.shared.reception.handshake_timeout)
        );
        let mut first = [0];
        tokio::select! {
            biased;
            // `peek` asks the socket: tokio only supposes that a new socket is ready.
            peeked = tcp.peek(&mut first) => match peeked {
                Ok(count) if count > 0 => {}
                // The peer has ended the connection.
                _ => return,
            },
            () = guest.entry.asked() => {
                if !has_spoken(&tcp) {
                    return;
                }
                guest.entry.refuse();
            }
            () = patience.as_mut() => return self.shared.late(Some(peer_addr)),
            () = reached(&mut self.stage, Stage::Stopping) => return,
        }
        guest.entry.engage();
        let local_addr = self.shared.near_end(&tcp);
        let stream = tokio::select! {
            biased;
            stream = self.shared.secure(tcp) => stream,
            () = patience.as_mut() => Err("no TLS handshake in time".into()),
            () = reached(&mut self.stage, Stage::Stopping) => return,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                let counters = &self.shared.reception.deployment.counters;
                counters.observe(Event::TlsHandshakeFailed);
                tracing::debug!(%peer_addr, error, "a connection was not secured");
                return;
            }
        };
        let info = ConnectionInfo {
            peer_addr: Some(peer_addr),
            local_addr: Some(local_addr),
            secure: stream.is_secure(),
        };
        let stream = self.shared.guard(stream);
        let serving = self
            .shared
            .serve_http(stream, info, guest, patience, &mut self.stage);
        // Boxed: the future is large, and a silent connection does not need it.
        Box::pin(serving).await;
    }
}

impl Shared {
    /// Serves HTTP until the connection is upgraded or ends, or until `patience` completes before the first request. An
    /// upgraded stream leaves hyper here, and this task drops everything of HTTP.
    async fn serve_http(
        self: &Arc<Self>,
        mut stream: StallGuard<Stream>,
        info: ConnectionInfo,
        guest: Guest,
        mut patience: Pin<&mut impl Future<Output = ()>>,
        stage: &mut watch::Receiver<Stage>,
    ) {
        let peer = Arc::new(upgrade::Peer::new(Arc::clone(self), guest, info));
        stream.swallow_at_first(Arc::clone(peer.entry.standing()));
        let limits = self.head_limits;
        let service = {
            let peer = Arc::clone(&peer);
            service_fn(move |request| {
                let peer = Arc::clone(&peer);
                async move { Ok::<_, Infallible>(peer.respond(request).await) }
            })
        };
        let mut connection = limits
            .http()
            .header_read_timeout(self.reception.handshake_timeout.min(LONGEST))
            .serve_connection(TokioIo::new(stream), service);
        let mut awaited = Stage::Stopping;
        let mut is_giving_way = false;
        let result = loop {
            tokio::select! {
                // hyper first: the request may be there already.
                biased;
                result = &mut connection => break result,
                // hyper was polled since the connection was asked to give way, and still writes an answer.
                () = ready(()), if is_giving_way => {
                    peer.entry.refuse();
                    is_giving_way = false;
                }
                () = patience.as_mut(), if !peer.pending.has_ended() => {
                    if !peer.pending.has_ended() {
                        return self.late(info.peer_addr);
                    }
                }
                () = peer.entry.asked() => {
                    is_giving_way = true;
                    if peer.entry.is_idle() {
                        Pin::new(&mut connection).graceful_shutdown();
                    }
                }
                () = reached(stage, awaited) => {
                    if awaited == Stage::Dropping {
                        return;
                    }
                    Pin::new(&mut connection).graceful_shutdown();
                    awaited = Stage::Dropping;
                }
            }
        };
        match result {
            Ok(()) => {
                if let Some(agreed) = peer.take_agreed() {
                    let parts = connection.into_parts();
                    let stream = parts.io.into_inner().into_inner();
                    self.reception
                        .deployment
                        .open(stream, parts.read_buf, agreed, stage);
                }
            }
            Err(error) => {
                let counters = &self.reception.deployment.counters;
                counters.observe(Event::HttpConnectionFailed);
                tracing::debug!(peer = ?info.peer_addr, %error, "an HTTP connection failed");
                let parts = connection.into_parts();
                let mut stream = parts.io.into_inner();
                if stream.stop_swallowing() {
                    let timeout = self.reception.deployment.config.close_timeout;
                    let answer = unread::answer(&error, &parts.read_buf, limits);
                    // Boxed: its buffer would make the task of each connection larger.
                    let refusal = Box::pin(unread::refuse(stream, &answer, timeout));
                    // The connection still owes its request: it gets no more time than others.
                    tokio::select! {
                        biased;
                        () = refusal => {}
                        () = patience => {}
                    }
                }
            }
        }
    }

    fn guard(&self, stream: Stream) -> StallGuard<Stream> {
        StallGuard::new(stream, self.reception.deployment.config.write_timeout)
    }

    /// Counts a connection that sent no request in time.
    fn late(&self, peer: Option<SocketAddr>) {
        let counters = &self.reception.deployment.counters;
        counters.observe(Event::HttpConnectionFailed);
        tracing::debug!(?peer, "no request in time");
    }

    /// Returns the address that the peer has connected to. A server that is bound to one address does not ask the
    /// system.
    fn near_end(&self, tcp: &TcpStream) -> SocketAddr {
        if self.is_bound_to_one {
            return self.local_addr;
        }
        tcp.local_addr().unwrap_or(self.local_addr)
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, tcp: TcpStream) -> Result<Stream, String> {
        match &self.tls {
            // Boxed: the future is large, and otherwise the task of each connection would reserve memory for it.
            Some(tls) => Box::pin(tls.accept(tcp))
                .await
                .map_err(|error| crate::error::ErrorChain::new(&error).to_string()),
            None => Ok(Stream::from(tcp)),
        }
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(&self, tcp: TcpStream) -> Result<Stream, String> {
        Ok(Stream::from(tcp))
    }
}

/// Returns whether bytes have arrived, even if tokio's I/O driver does not know it yet.
fn has_spoken(tcp: &TcpStream) -> bool {
    let peeked = SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]);
    peeked.is_ok_and(|count| count > 0)
}

/// Completes when the server reaches `stage`. It never completes if the server is dropped before that: its connections
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
