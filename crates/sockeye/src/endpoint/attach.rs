//! Attaches an endpoint to a connection that is open already, usually a client's.

use sockeye_mailbox::OverflowPolicy;
use tokio::io::{AsyncRead, AsyncWrite};

use super::life::spawn;
use super::session::{OpenSessions, Session, SessionGuard};
use super::{Endpoint, Handshake, IncomingKind};
use crate::connection::Connection;
use crate::connection::direct::Mailbox;
use crate::connection::driver::Driver;
use crate::handshake::ConnectionInfo;
use crate::router::PathParameters;
use crate::sync::Arc;

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<T> {
    /// Gives the connection to an endpoint, and spawns the task that calls the endpoint, from `on_open` to `on_close`,
    /// as for an endpoint of a server. The task runs until one side closes the connection. To drop the session does not
    /// end it.
    ///
    /// [`Session::request`] is the request of the [`Client`](crate::Client) that opened the connection, or the one that an
    /// [`Acceptor`](crate::server::Acceptor) accepted; it is empty for other connections. There are no path parameters. The session is the only one of its
    /// [`open_sessions`](Session::open_sessions). The endpoint's [limits](Endpoint::MAX_MESSAGES) replace the
    /// connection's. An endpoint that is annotated for a server works here too, and its path is ignored.
    ///
    /// # Panics
    ///
    /// If the caller is not in a tokio runtime.
    pub fn serve<E: Endpoint>(mut self, endpoint: E) -> Session {
        self.limit_messages(
            IncomingKind::Text.limit_among(E::MAX_MESSAGES),
            IncomingKind::Binary.limit_among(E::MAX_MESSAGES),
        );
        let handshake = self.handshake();
        let open_sessions = OpenSessions::uncounted();
        // A client masks each frame with a key of its own, so it cannot share frames: it takes broadcasts as items.
        let (slot, _) = open_sessions.reserve_slot(&handshake);
        let mailbox = Mailbox::of_session(
            Mailbox::DEFAULT_LIMIT,
            OverflowPolicy::default(),
            None,
            None,
        );
        let driver: Box<Driver<T>> = Box::new(self.into_driver(Arc::clone(&mailbox)));
        let guard = SessionGuard::new(handshake, None, mailbox, open_sessions, slot);
        let session = Session::clone(&guard);
        spawn(endpoint, guard, driver);
        session
    }

    fn handshake(&self) -> Handshake {
        if let Some(request) = self.request() {
            return request.clone();
        }
        let opening = self.opening();
        let request = opening.map(|opening| opening.request.clone());
        let (request, ()) = request.unwrap_or_default().into_parts();
        let secure = opening.is_some_and(|opening| opening.timings.tls.is_some());
        let info = ConnectionInfo::default().secure(secure);
        let mut handshake = Handshake::new(&request, PathParameters::default(), info);
        let deflate = opening.and_then(|opening| opening.deflate);
        handshake.agree(self.subprotocol(), deflate);
        handshake
    }
}
