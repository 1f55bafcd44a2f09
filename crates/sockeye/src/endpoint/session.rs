//! The session: the application's handle of one connection, and the open sessions of an endpoint.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use sockeye_proto::handshake::Extension;
use sockeye_proto::{CloseCode, CloseReason, InvalidCloseReason};

use super::handler::{HandlerExists, Handlers, MessageHandler, Running};
use super::handshake::Handshake;
use super::incoming::Incoming;
use super::open_sessions::OpenSessions;
use super::properties::Properties;
use super::remote::{AsyncRemote, BasicRemote};
use crate::connection::outbox::Outbox;
use crate::router::PathParameters;
use crate::sync::{Arc, Mutex, lock};

/// One connection of an endpoint. A handle: cheap to clone, usable from any task, and dropping it never
/// closes the connection. What it tells of the handshake stays readable after the close.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    id: SessionId,
    handshake: Handshake,
    outbox: Arc<Outbox>,
    open_sessions: OpenSessions,
    // Its place among them.
    place: usize,
    // Most sessions have no handlers of their own: the flag spares each message the lock.
    has_handlers: AtomicBool,
    handlers: Mutex<Handlers>,
}

/// A session's random, hence unguessable, name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl Session {
    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The request that opened the connection.
    pub fn request(&self) -> &Handshake {
        &self.0.handshake
    }

    /// The decoded value of a variable of the endpoint's path template.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.0.handshake.path_parameter(name)
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.handshake.subprotocol()
    }

    /// The extensions that were agreed on: permessage-deflate, or none. Parameters that have their default
    /// are left out.
    pub fn extensions(&self) -> Vec<Extension> {
        self.0.handshake.extensions()
    }

    /// Who the peer is, if the endpoint's [`Configurator`](super::Configurator) has said so.
    pub fn principal(&self) -> Option<&str> {
        self.0.handshake.principal()
    }

    /// The application's own values of this session.
    pub fn properties(&self) -> &Properties {
        self.0.handshake.properties()
    }

    /// Whether messages are still taken to be sent.
    pub fn is_open(&self) -> bool {
        self.0.outbox.is_open()
    }

    /// The open sessions of the endpoint, this one included.
    pub fn open_sessions(&self) -> &OpenSessions {
        &self.0.open_sessions
    }

    /// The peer, for those who wait until what they send is written.
    pub fn basic_remote(&self) -> BasicRemote<'_> {
        BasicRemote::new(&self.0.outbox)
    }

    /// The peer, for those who do not wait.
    pub fn async_remote(&self) -> AsyncRemote<'_> {
        AsyncRemote::new(&self.0.outbox)
    }

    /// Adds a handler for one kind of message, made by [`whole`](super::whole). Messages of its kind go
    /// to it, and no more to [`Endpoint::on_message`](super::Endpoint::on_message).
    ///
    /// # Errors
    ///
    /// [`HandlerExists`] when there is one of its kind already, which stays.
    pub fn add_message_handler(&self, handler: MessageHandler) -> Result<(), HandlerExists> {
        lock(&self.0.handlers).add(handler)?;
        self.0.has_handlers.store(true, Ordering::Release);
        Ok(())
    }

    /// Closes the connection behind what was sent before. Messages that come after it are dropped, the
    /// handler that runs goes on, then `on_close` follows. Only the first call counts.
    ///
    /// # Errors
    ///
    /// [`InvalidCloseReason`] for a code or reason that no Close may carry.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), InvalidCloseReason> {
        self.0.outbox.close(CloseReason::new(code, reason)?);
        Ok(())
    }

    /// Drops the connection now, without a Close and with it the handler that runs.
    pub fn abort(&self) {
        self.0.outbox.abort();
    }

    /// Completes when the transport is gone, with what the connection was closed for.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn closed(&self) -> CloseReason {
        self.0.outbox.ended().await
    }

    #[inline]
    pub(super) fn has_handlers(&self) -> bool {
        self.0.has_handlers.load(Ordering::Acquire)
    }

    /// Starts the handler that was added for what came; gives it back where there is none.
    // By value, both ways: what borrows it would keep it in the task's memory.
    #[inline]
    pub(super) fn start_handler<'m>(
        &self,
        incoming: Incoming<'m>,
    ) -> Result<Running, Incoming<'m>> {
        if self.has_handlers() {
            self.start_added(incoming)
        } else {
            Err(incoming)
        }
    }

    fn start_added<'m>(&self, incoming: Incoming<'m>) -> Result<Running, Incoming<'m>> {
        // A message keeps the handler that it started with.
        let handler = lock(&self.0.handlers).of(incoming.kind());
        match handler {
            Some(handler) => Ok(lock(&handler).call(incoming)),
            None => Err(incoming),
        }
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.0.outbox
    }

    pub(crate) fn parameters(&self) -> &PathParameters {
        self.0.handshake.parameters()
    }

    /// No message comes any more: the session is none of the open ones, and its handlers are dropped.
    pub(crate) fn retire(&self) {
        self.0.open_sessions.remove(self.0.place, self.0.id);
        let handlers = lock(&self.0.handlers).retire();
        drop(handlers);
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Session {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.id)
            .field("uri", self.0.handshake.uri())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// The session as the task has it that serves it. However that task ends (it may panic, or be dropped with
/// its runtime), the session is none of the open ones then, and who waits for its end is told.
pub(crate) struct Tenure(Session);

impl Tenure {
    /// A session that is open from now on.
    pub(crate) fn new(
        handshake: Handshake,
        outbox: Arc<Outbox>,
        open_sessions: OpenSessions,
        place: usize,
    ) -> Self {
        let session = Session(Arc::new(Inner {
            id: SessionId(rand::random()),
            handshake,
            outbox,
            open_sessions,
            place,
            has_handlers: AtomicBool::new(false),
            handlers: Mutex::default(),
        }));
        session.0.open_sessions.insert(place, session.clone());
        Self(session)
    }
}

impl Deref for Tenure {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.0.retire();
        // Told already, unless the task did not come to it.
        let cause = "the connection's task was dropped";
        self.0.outbox().end(CloseReason::abnormal(cause));
    }
}
