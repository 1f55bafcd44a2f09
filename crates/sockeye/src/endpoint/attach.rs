//! Endpoints on connections that are open already: the client's end as a rule.

use tokio::io::{AsyncRead, AsyncWrite};

use super::handshake::ConnectionInfo;
use super::life::spawn;
use super::open_sessions::OpenSessions;
use super::session::{Session, SessionGuard};
use super::{Endpoint, Handshake, MessageKind};
use crate::connection::Connection;
use crate::connection::driver::Driver;
use crate::connection::outbox::{Outbox, OverflowPolicy};
use crate::router::PathParameters;
use crate::sync::Arc;

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<T> {
    /// Gives the connection to an endpoint, and spawns the task that calls it: with all that an endpoint of a
    /// server has, from `on_open` to `on_close`. It goes on until one of the sides closes, whether or not anybody
    /// keeps the session.
    ///
    /// [`Session::request`] is what [`Client`](crate::Client) asked; of a connection that another has opened it is
    /// empty. There are no path parameters, and the session is the only one of its
    /// [`open_sessions`](Session::open_sessions). The endpoint's [limits](Endpoint::MAX_MESSAGES) go before the
    /// connection's. One that is annotated for a server serves here too: its path is of no account.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn serve<E: Endpoint>(mut self, endpoint: E) -> Session {
        self.limit_messages(
            MessageKind::Text.limit_among(E::MAX_MESSAGES),
            MessageKind::Binary.limit_among(E::MAX_MESSAGES),
        );
        let handshake = self.handshake();
        let open_sessions = OpenSessions::default();
        // What is masked anew for each message is nothing that many share: no seat at a log.
        let (slot, _) = open_sessions.reserve_slot();
        let outbox =
            Outbox::of_session(Outbox::DEFAULT_LIMIT, OverflowPolicy::default(), None, None);
        let driver: Box<Driver<T>> = Box::new(self.into_driver(Arc::clone(&outbox)));
        let guard = SessionGuard::new(handshake, outbox, open_sessions, slot);
        let session = Session::clone(&guard);
        spawn(endpoint, guard, driver);
        session
    }

    fn handshake(&self) -> Handshake {
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
