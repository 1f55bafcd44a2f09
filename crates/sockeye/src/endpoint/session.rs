//! The session: the application's handle of one connection, and the open sessions of an endpoint.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sockeye_proto::handshake::Extension;
use sockeye_proto::{CloseCode, CloseReason, InvalidCloseReason};

use super::handler::{HandlerExists, Handlers, MessageHandler, Running};
use super::handshake::Handshake;
use super::idle::Idle;
use super::incoming::{Incoming, MessageKind};
use super::open_sessions::OpenSessions;
use super::properties::Properties;
use super::remote::{AsyncRemote, BasicRemote};
use crate::connection::link::InParts;
use crate::connection::outbox::{Outbox, Overflow};
use crate::router::PathParameters;
use crate::stats::Counters;
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
    slot: u32,
    // Of the bits below. Most sessions have none of them: so each message looks at one word, and takes no lock.
    flags: AtomicU8,
    handlers: Mutex<Handlers>,
}

/// The session has a handler of its own.
const ANY: u8 = 1;
/// It has one for text, or binary messages; of parts.
const TEXT: u8 = 2;
const TEXT_PARTS: u8 = 4;
const BINARY: u8 = 8;
const BINARY_PARTS: u8 = 16;
/// All that tell of handlers.
const HANDLERS: u8 = ANY | TEXT | TEXT_PARTS | BINARY | BINARY_PARTS;
/// The session has a limit for being idle, or had one.
const IDLE: u8 = 32;

/// What the word says of these handlers.
fn handler_flags(handlers: &Handlers) -> u8 {
    let of = |kind, exists, takes_parts| match handlers.takes_parts(kind) {
        Some(true) => exists | takes_parts,
        Some(false) => exists,
        None => 0,
    };
    let any = if handlers.kinds().is_empty() { 0 } else { ANY };
    let text = of(MessageKind::Text, TEXT, TEXT_PARTS);
    any | text | of(MessageKind::Binary, BINARY, BINARY_PARTS)
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
        AsyncRemote::new(self)
    }

    /// Adds a handler for one kind of message, made by [`whole`](super::whole) or
    /// [`partial`](super::partial). Messages of its kind go
    /// to it, and no more to [`Endpoint::on_message`](super::Endpoint::on_message).
    ///
    /// # Errors
    ///
    /// [`HandlerExists`] when there is one of its kind already, which stays.
    pub fn add_message_handler(&self, handler: MessageHandler) -> Result<(), HandlerExists> {
        let mut handlers = lock(&self.0.handlers);
        handlers.add(handler)?;
        self.update_handler_flags(&handlers);
        Ok(())
    }

    /// Removes the handler that was added for a kind of message, and says whether there was one. A handler
    /// that runs goes on; later messages of its kind go to
    /// [`Endpoint::on_message`](super::Endpoint::on_message) again. Of a message that it was given in parts the
    /// rest is dropped, unless another handler of parts is added before.
    pub fn remove_message_handler(&self, kind: MessageKind) -> bool {
        let mut handlers = lock(&self.0.handlers);
        let removed = handlers.remove(kind);
        self.update_handler_flags(&handlers);
        drop(handlers);
        removed.is_some()
    }

    /// The kinds of messages for which handlers were added, in the order in which they were. None once the
    /// connection has ended.
    pub fn message_handlers(&self) -> Vec<MessageKind> {
        lock(&self.0.handlers).kinds()
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
    /// A callback of the session itself may await it too. When the peer closes, ends or resets the connection, the transport
    /// goes although the callback has not returned: after a Close, within the close timeout for the answer and once more
    /// for the peer's end. `on_close` follows when the callback has returned. A callback that never returns keeps no
    /// more than its task's memory. The peer's end is not seen while it lies behind a message that waits for the callback.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn closed(&self) -> CloseReason {
        self.0.outbox.ended().await
    }

    /// Sets for how long the session may be idle, from now on; `None` for ever. It is idle while nothing comes and
    /// nothing is sent: no message, and no ping or pong but those of the keep-alive. A message counts when it is
    /// whole; while a handler runs the session is not idle.
    ///
    /// Then the peer is told 1001, and `on_close` 1006 with its cause, as with Tomcat. It is looked at each second:
    /// that is never too early, and up to two seconds late.
    pub fn set_max_idle_timeout(&self, timeout: Option<Duration>) {
        self.0.handshake.idle().set_limit(timeout);
        self.0.flags.fetch_or(IDLE, Ordering::Release);
    }

    /// For how long the session may be idle.
    pub fn max_idle_timeout(&self) -> Option<Duration> {
        self.0.handshake.known_idle()?.limit()
    }

    /// Sets what becomes of messages of the asynchronous remote that find no room in the outbox, from now on. It
    /// replaces what [`EndpointConfig::overflow`](super::EndpointConfig::overflow) says.
    pub fn set_overflow(&self, overflow: Overflow) {
        self.0.outbox.set_overflow(overflow);
    }

    /// Sets what becomes of broadcasts that find no room in the outbox, from now on. It replaces what
    /// [`EndpointConfig::broadcast_overflow`](super::EndpointConfig::broadcast_overflow) says.
    pub fn set_broadcast_overflow(&self, overflow: Overflow) {
        self.0.outbox.set_broadcast_overflow(overflow);
    }

    /// Hands no message on, and no Pong, from now on until [`resume`](Self::resume). The handler that runs goes on,
    /// and what it [reads](super::BinaryReader) of its message still comes to it.
    ///
    /// It holds the peer back as a handler does that waits: one message is read ahead, then nothing is
    /// read, and TCP tells the peer. Pings before it are answered, and sends go on. [`close`](Self::close),
    /// [`abort`](Self::abort) and the idle timeout end a paused session, and so does a transport that fails to
    /// take what is sent. The peer's end does unless it lies behind a message that is kept.
    pub fn pause(&self) {
        self.0.outbox.pause();
    }

    /// Hands messages on again, those that came meanwhile first.
    pub fn resume(&self) {
        self.0.outbox.resume();
    }

    /// Whether messages are held back.
    pub fn is_paused(&self) -> bool {
        self.0.outbox.is_paused()
    }

    /// Notes which handlers there are now; they are locked.
    fn update_handler_flags(&self, handlers: &Handlers) {
        let now = |flags: u8| Some(flags & !HANDLERS | handler_flags(handlers));
        let flags = &self.0.flags;
        let _ = flags.fetch_update(Ordering::Release, Ordering::Acquire, now);
    }

    #[inline]
    fn has(&self, flags: u8) -> bool {
        self.0.flags.load(Ordering::Acquire) & flags != 0
    }

    #[inline]
    pub(super) fn has_handlers(&self) -> bool {
        self.has(HANDLERS)
    }

    /// Of which kinds messages are to come in parts, where the endpoint itself takes those of `endpoint` so.
    #[inline]
    pub(super) fn in_parts(&self, endpoint: InParts) -> InParts {
        let handled = self.0.flags.load(Ordering::Acquire) & HANDLERS;
        if handled == 0 {
            return endpoint;
        }
        let of = |exists, takes_parts, by_endpoint| match handled & exists {
            0 => by_endpoint,
            _ => handled & takes_parts != 0,
        };
        InParts {
            text: of(TEXT, TEXT_PARTS, endpoint.text),
            binary: of(BINARY, BINARY_PARTS, endpoint.binary),
        }
    }

    /// A message came that may be answered where it lies. Says whether the session has a handler of its own for it.
    #[inline]
    pub(super) fn note_message(&self) -> bool {
        let flags = self.0.flags.load(Ordering::Acquire);
        flags != 0 && self.note_message_by_flags(flags)
    }

    // Apart, so that what each message runs through stays small.
    #[cold]
    #[inline(never)]
    fn note_message_by_flags(&self, flags: u8) -> bool {
        if flags & IDLE != 0 {
            self.0.handshake.idle().touch();
        }
        flags & HANDLERS != 0
    }

    #[cold]
    #[inline(never)]
    fn hold(&self) {
        self.0.handshake.idle().hold();
    }

    #[cold]
    #[inline(never)]
    fn touch(&self) {
        self.0.handshake.idle().touch();
    }

    /// A handler starts: the session is not idle until [`rest`](Self::rest).
    #[inline]
    pub(super) fn mark_busy(&self) {
        if self.has(IDLE) {
            self.hold();
        }
    }

    /// No handler runs any more.
    #[inline]
    pub(super) fn mark_idle(&self) {
        if self.has(IDLE) {
            self.touch();
        }
    }

    /// Closes the session if it was idle for longer than it may be, `elapsed` after somebody has looked.
    /// `broadcasts` is how many there were.
    pub(super) fn close_if_idle(&self, elapsed: Duration, broadcasts: u64) {
        if !self.has(IDLE) || !self.is_open() {
            return;
        }
        let counted = self.0.outbox.activity().wrapping_add(broadcasts);
        if self.0.handshake.idle().is_over(elapsed, counted) {
            let closed = self.close(CloseCode::GOING_AWAY, IDLE_FOR_TOO_LONG);
            debug_assert!(closed.is_ok(), "1001 may be sent");
        }
    }

    /// What `on_close` is told of a Close.
    pub(super) fn reason_for_on_close(&self, reason: CloseReason) -> CloseReason {
        let idle = self.0.handshake.known_idle();
        let is_ours =
            reason.code() == CloseCode::GOING_AWAY && reason.reason() == IDLE_FOR_TOO_LONG;
        if is_ours && idle.is_some_and(Idle::is_expired) {
            return CloseReason::abnormal(IDLE_FOR_TOO_LONG);
        }
        reason
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
        let handler = lock(&self.0.handlers).of(incoming.kind(), incoming.is_part());
        match handler {
            Some(handler) => Ok(lock(&handler).call(incoming)),
            None => Err(incoming),
        }
    }

    /// The counters of the server that the session belongs to.
    pub(super) fn counters(&self) -> &Counters {
        self.0.open_sessions.counters()
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.0.outbox
    }

    pub(crate) fn parameters(&self) -> &PathParameters {
        self.0.handshake.parameters()
    }

    /// No message comes any more: the session is none of the open ones, and its handlers are dropped.
    pub(crate) fn retire(&self) {
        self.0.open_sessions.remove(self.0.slot, self.0.id);
        let handlers = lock(&self.0.handlers).retire();
        drop(handlers);
    }
}

const IDLE_FOR_TOO_LONG: &str = "the session was idle for too long";

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
pub(crate) struct SessionGuard(Session);

impl SessionGuard {
    /// A session that is open from now on.
    pub(crate) fn new(
        handshake: Handshake,
        outbox: Arc<Outbox>,
        open_sessions: OpenSessions,
        slot: u32,
    ) -> Self {
        let limited = handshake.known_idle().and_then(Idle::limit).is_some();
        let session = Session(Arc::new(Inner {
            id: SessionId(rand::random()),
            handshake,
            outbox,
            open_sessions,
            slot,
            flags: AtomicU8::new(if limited { IDLE } else { 0 }),
            handlers: Mutex::default(),
        }));
        session.0.open_sessions.insert(slot, session.clone());
        Self(session)
    }
}

impl Deref for SessionGuard {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.retire();
        // Told already, unless the task did not come to it.
        let cause = "the connection's task was dropped";
        self.0.outbox().end(CloseReason::abnormal(cause));
    }
}
