//! The session: the application's handle of one connection. [`OpenSessions`] is also defined here, because a session and
//! its `OpenSessions` refer to each other. The methods of `OpenSessions` are in `open_sessions`.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use sockeye_mailbox::Overflow;
use sockeye_proto::handshake::Extension;
use sockeye_proto::{CloseCode, CloseReason, Config, InvalidCloseReason};

use super::activity::{Activity, Busy, IDLE_FOR_TOO_LONG, Idle};
#[cfg(feature = "topics")]
use super::gap::Gap;
use super::handler::{HandlerExists, Handlers, MessageHandler, Running};
use super::incoming::{Incoming, IncomingKind};
#[cfg(feature = "topics")]
use super::seam::{SessionPart, SharedTopics};
use super::session_id::SessionId;
use super::span::SessionSpan;
use crate::connection::direct::{Channel, Mailbox};
use crate::connection::link::Wanted;
use crate::handshake::{Handshake, Properties};
use crate::router::PathParameters;
use crate::stats::Counters;
use crate::sync::{Arc, Mutex, lock};

/// A handle of one connection of an endpoint. It is cheap to clone, and usable from any task. To drop it does not close
/// the connection. The facts of the handshake stay readable after the close.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    id: SessionId,
    handshake: Handshake,
    mailbox: Arc<Mailbox>,
    open_sessions: OpenSessions,
    // Its slot among the open sessions.
    slot: u32,
    activity: Activity,
    // The bits below. Most sessions have none set: so a message costs a look at one word, and no lock.
    flags: AtomicU16,
    handlers: Mutex<Handlers>,
    extra: OnceLock<Box<Extra>>,
}

/// What few sessions have.
#[derive(Default)]
struct Extra {
    idle: Idle,
    // What topics keep of the session.
    #[cfg(feature = "topics")]
    part: OnceLock<Box<dyn SessionPart<Session>>>,
}

/// A handle of the open sessions of one endpoint, whatever the values of their path parameters are. A session is one of
/// them from before `on_open` until before `on_close`.
#[derive(Clone)]
pub struct OpenSessions(pub(super) Arc<SessionSet>);

#[derive(Default)]
pub(super) struct SessionSet {
    pub(super) broadcasts: Arc<Channel<Session>>,
    // The enveloped sessions, if clients may agree on the subprotocol of topics.
    pub(super) enveloped: Option<Box<EnvelopedSet>>,
    // Whether a sweeper watches the set. Lock order: this, then the members of the channels.
    pub(super) is_swept: Mutex<bool>,
    // The server's counters. A client's endpoint has none.
    pub(super) counters: Option<Arc<Counters>>,
    // The server's topics. A client's endpoint makes its own with the first use.
    #[cfg(feature = "topics")]
    pub(super) topics: OnceLock<Arc<dyn SharedTopics<Session>>>,
}

/// The enveloped sessions of an endpoint. They have a channel of their own, so that each broadcast is framed once in each
/// form.
#[derive(Default)]
pub(super) struct EnvelopedSet {
    pub(super) broadcasts: Arc<Channel<Session>>,
    // Held while a broadcast is published to both channels, so that both have one order. Lock order: this, then the
    // members of the channels.
    pub(super) order: Mutex<()>,
    // The limits of the sessions, with room for headers.
    pub(super) limits: OnceLock<Arc<Config>>,
}

/// The session has at least one added handler.
const ANY: u16 = 1;
/// The session has an added handler for text or binary messages, and takes them in parts.
const TEXT: u16 = 2;
const TEXT_PARTS: u16 = 4;
const BINARY: u16 = 8;
const BINARY_PARTS: u16 = 16;
/// The session has an added handler for Pings.
const PINGS: u16 = 256;
/// All bits about handlers.
const HANDLERS: u16 = ANY | TEXT | TEXT_PARTS | BINARY | BINARY_PARTS | PINGS;
/// The idle time of the session is measured: each message has to be noted.
const MEASURED: u16 = 32;
/// The handlers of the session run in a span, so no message is answered in the read buffer.
const SPANNED: u16 = 64;
/// The peer speaks the subprotocol of topics.
const ENVELOPED: u16 = 128;

/// Returns the bits for these handlers.
fn handler_flags(handlers: &Handlers) -> u16 {
    let of = |kind, exists, takes_parts| match handlers.takes_parts(kind) {
        Some(true) => exists | takes_parts,
        Some(false) => exists,
        None => 0,
    };
    let any = if handlers.kinds().is_empty() { 0 } else { ANY };
    let text = of(IncomingKind::Text, TEXT, TEXT_PARTS);
    let pings = of(IncomingKind::Ping, PINGS, 0);
    any | text | of(IncomingKind::Binary, BINARY, BINARY_PARTS) | pings
}

impl Session {
    /// Returns the session's name.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// Returns the request that opened the connection.
    pub fn request(&self) -> &Handshake {
        &self.0.handshake
    }

    /// Returns the decoded value of a variable of the endpoint's path template.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.0.handshake.path_parameter(name)
    }

    /// Returns the subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.handshake.subprotocol()
    }

    /// Returns the extensions that were agreed on: permessage-deflate, or none. Parameters with their default value are
    /// left out.
    pub fn extensions(&self) -> Vec<Extension> {
        self.0.handshake.extensions()
    }

    /// Returns the name of the peer, if the endpoint's [`Configurator`](super::Configurator) has set one.
    pub fn principal(&self) -> Option<&str> {
        self.0.handshake.principal()
    }

    /// Returns the application's own values of this session.
    pub fn properties(&self) -> &Properties {
        self.0.handshake.properties()
    }

    /// Returns whether the session still accepts messages to send.
    pub fn is_open(&self) -> bool {
        self.0.mailbox.is_open()
    }

    /// Returns the open sessions of the endpoint, this one included.
    pub fn open_sessions(&self) -> &OpenSessions {
        &self.0.open_sessions
    }

    /// Adds a handler for one kind of message, made by [`whole`](super::whole) or [`partial`](super::partial). It
    /// receives the messages of its kind in place of [`Endpoint::on_message`](super::Endpoint::on_message).
    ///
    /// # Errors
    ///
    /// [`HandlerExists`] if the session has a handler for this kind already. That handler stays.
    pub fn add_message_handler(&self, handler: MessageHandler) -> Result<(), HandlerExists> {
        let mut handlers = lock(&self.0.handlers);
        handlers.add(handler)?;
        self.update_handler_flags(&handlers);
        Ok(())
    }

    /// Removes the handler that was added for a kind of message, and returns whether there was one. A call of the
    /// handler that runs goes on. Later messages of its kind go to
    /// [`Endpoint::on_message`](super::Endpoint::on_message) again.
    ///
    /// If the handler takes parts, the remaining parts of its current message are dropped, unless another handler of
    /// parts is added before they arrive.
    pub fn remove_message_handler(&self, kind: IncomingKind) -> bool {
        let mut handlers = lock(&self.0.handlers);
        let removed = handlers.remove(kind);
        self.update_handler_flags(&handlers);
        drop(handlers);
        removed.is_some()
    }

    /// Returns the kinds of messages that have an added handler, in the order of their addition. It returns none when
    /// the connection has ended.
    pub fn message_handlers(&self) -> Vec<IncomingKind> {
        lock(&self.0.handlers).kinds()
    }

    /// Closes the connection behind the messages that were sent before. Messages that arrive later are dropped. The
    /// handler that runs goes on, and `on_close` follows it. Only the first call counts.
    ///
    /// # Errors
    ///
    /// [`InvalidCloseReason`] for a code or a reason that a Close may not carry.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), InvalidCloseReason> {
        self.0.mailbox.close(CloseReason::new(code, reason)?);
        Ok(())
    }

    /// Drops the connection now, without a Close, and drops the handler that runs.
    pub fn abort(&self) {
        self.0.mailbox.abort();
    }

    /// Completes when the transport is gone, with the reason for which the connection was closed.
    ///
    /// A callback of the session itself may await it too. If the peer closes, ends or resets the connection, the
    /// transport is dropped although the callback has not returned. After a Close that takes up to two close timeouts:
    /// one for the answer, and one for the peer's end. `on_close` follows when the callback has returned. A callback
    /// that never returns keeps only its task's memory. The peer's end is not seen while a message before it waits for
    /// the callback.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn closed(&self) -> CloseReason {
        self.0.mailbox.ended().await
    }

    /// Sets for how long the session may be idle, from now on; `None` means without limit. A session is idle while it
    /// neither receives nor sends a message, a ping or a pong. The pings and pongs of the keep-alive do not count. A
    /// message counts when it is complete. While a handler runs, the session is not idle.
    ///
    /// After that time the peer gets a Close with 1001, and `on_close` gets 1006 with the cause, as with Tomcat. The
    /// endpoint checks each second: never too early, and up to two seconds late.
    pub fn set_max_idle_timeout(&self, timeout: Option<Duration>) {
        let extra = self.0.extra.get_or_init(Box::default);
        self.0.activity.set_limit(&extra.idle, timeout);
        self.0.flags.fetch_or(MEASURED, Ordering::Release);
    }

    /// Returns for how long the session may be idle; `None` means without limit.
    pub fn max_idle_timeout(&self) -> Option<Duration> {
        self.0.extra.get()?.idle.limit()
    }

    /// Sets the [`Overflow`] of the asynchronous remote, from now on: what happens to its messages while the outbox is
    /// full. It replaces the value of [`EndpointConfig::overflow`](super::EndpointConfig::overflow).
    pub fn set_overflow(&self, overflow: Overflow) {
        self.0
            .mailbox
            .set_overflow(|policy| policy.remote = overflow);
    }

    /// Sets the [`Overflow`] of broadcasts, from now on: what happens to them while the outbox is full. It replaces the
    /// value of [`EndpointConfig::broadcast_overflow`](super::EndpointConfig::broadcast_overflow).
    pub fn set_broadcast_overflow(&self, overflow: Overflow) {
        self.0
            .mailbox
            .set_overflow(|policy| policy.broadcast = overflow);
    }

    /// Stops the delivery of messages and pongs until [`resume`](Self::resume). The handler that runs goes on, and a
    /// [reader](super::BinaryReader) still gets the rest of its message.
    ///
    /// A pause holds the peer back as a suspended handler does. The session reads one message ahead, then it stops
    /// reading, and TCP's flow control stops the peer. Pings before that message are answered, and sends go on.
    ///
    /// [`close`](Self::close), [`abort`](Self::abort), the idle timeout, and a write that fails or stalls end a paused
    /// session. The peer's end does too, unless it comes behind the message that was read ahead.
    pub fn pause(&self) {
        self.0.mailbox.set_paused(true);
    }

    /// Delivers messages again, the delayed ones first.
    pub fn resume(&self) {
        self.0.mailbox.set_paused(false);
    }

    /// Returns whether the delivery of messages is paused.
    pub fn is_paused(&self) -> bool {
        self.0.mailbox.look().is_paused()
    }

    /// Sets the bits for the handlers. The caller holds their lock.
    fn update_handler_flags(&self, handlers: &Handlers) {
        let now = |flags: u16| Some(flags & !HANDLERS | handler_flags(handlers));
        let flags = &self.0.flags;
        let _ = flags.fetch_update(Ordering::Release, Ordering::Acquire, now);
    }

    #[inline]
    pub(super) fn has_handlers(&self) -> bool {
        self.0.flags.load(Ordering::Acquire) & HANDLERS != 0
    }

    /// Returns what the session wants besides whole messages. `endpoint` is what its endpoint wants, which an added handler
    /// overrides for its kind.
    #[inline]
    pub(super) fn wanted(&self, endpoint: Wanted) -> Wanted {
        let handled = self.0.flags.load(Ordering::Acquire) & (HANDLERS | ENVELOPED);
        if handled == 0 {
            return endpoint;
        }
        // A header is looked at before its body is handed on.
        let pings = endpoint.pings || handled & PINGS != 0;
        if handled & ENVELOPED != 0 {
            return Wanted {
                pings,
                ..Wanted::default()
            };
        }
        let of = |exists, takes_parts, by_endpoint| match handled & exists {
            0 => by_endpoint,
            _ => handled & takes_parts != 0,
        };
        Wanted {
            text_parts: of(TEXT, TEXT_PARTS, endpoint.text_parts),
            binary_parts: of(BINARY, BINARY_PARTS, endpoint.binary_parts),
            pings,
        }
    }

    /// Notes the arrival of a message that may be answered in the read buffer. Returns whether it must not be answered
    /// there: the session has an added handler, of any kind, or a span, or it is enveloped.
    #[inline]
    pub(super) fn note_message(&self) -> bool {
        let flags = self.0.flags.load(Ordering::Acquire);
        flags != 0 && self.note_message_by_flags(flags)
    }

    // Out of line, so that the code for each message stays small.
    #[cold]
    #[inline(never)]
    fn note_message_by_flags(&self, flags: u16) -> bool {
        if flags & MEASURED != 0 {
            self.0.activity.note();
        }
        flags & (HANDLERS | SPANNED | ENVELOPED) != 0
    }

    /// Returns whether the session agreed on the subprotocol of topics: each message to or from the peer is in an envelope.
    #[inline]
    pub(crate) fn is_enveloped(&self) -> bool {
        cfg!(feature = "topics-wire") && self.0.flags.load(Ordering::Acquire) & ENVELOPED != 0
    }

    /// Notes that a handler starts. The session is not idle until the guard is dropped.
    #[inline]
    pub(super) fn busy(&self) -> Busy<'_> {
        self.0.activity.busy()
    }

    /// Closes the session if it was idle for too long. `elapsed` is the time since the last call.
    pub(super) fn close_if_idle(&self, elapsed: Duration) {
        if !self.is_open() {
            return;
        }
        let Some(extra) = self.0.extra.get() else {
            return;
        };
        let sent = || self.0.mailbox.activity();
        if self.0.activity.is_over(&extra.idle, elapsed, sent) {
            let closed = self.close(CloseCode::GOING_AWAY, IDLE_FOR_TOO_LONG);
            debug_assert!(closed.is_ok(), "1001 may be sent");
        }
    }

    /// Returns the reason that `on_close` gets for the end of the connection.
    pub(super) fn reason_for_on_close(&self, reason: CloseReason) -> CloseReason {
        match self.0.extra.get() {
            Some(extra) => extra.idle.reason_for_on_close(reason),
            None => reason,
        }
    }

    /// Starts the handler that was added to the session for this kind of message. Returns `incoming` if there is none.
    // `incoming` is moved in, and out again if it is not used: a borrowed one would stay in the caller's future.
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
        // The call keeps this handler to its end, also if the handler is removed meanwhile.
        let handler = lock(&self.0.handlers).of(incoming.kind(), incoming.is_part());
        match handler {
            Some(handler) => Ok(lock(&handler).call(incoming)),
            None => Err(incoming),
        }
    }

    /// Returns the counters of the server that the session belongs to.
    pub(super) fn counters(&self) -> &Counters {
        self.0.open_sessions.counters()
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.0.mailbox
    }

    pub(crate) fn parameters(&self) -> &PathParameters {
        self.0.handshake.parameters()
    }

    /// Takes the session out of the open sessions, and drops its handlers: no message is delivered any more.
    pub(crate) fn retire(&self) {
        self.0.open_sessions.remove(self.0.slot, self);
        let handlers = lock(&self.0.handlers).retire();
        drop(handlers);
        #[cfg(feature = "topics")]
        if let Some(part) = self.existing_part() {
            part.retire(self);
        }
    }

    /// Returns what topics keep of the session. `make` makes it with the first call. `None` if the session has ended
    /// without it.
    #[cfg(feature = "topics")]
    pub(crate) fn part(
        &self,
        make: impl FnOnce() -> Box<dyn SessionPart<Self>>,
    ) -> Option<&dyn SessionPart<Self>> {
        if let Some(part) = self.existing_part() {
            return Some(part);
        }
        // Under the lock with which the session retires, so that it retires this part too.
        let handlers = lock(&self.0.handlers);
        if handlers.is_retired() {
            return None;
        }
        let extra = self.0.extra.get_or_init(Box::default);
        Some(&**extra.part.get_or_init(make))
    }

    #[cfg(feature = "topics")]
    fn existing_part(&self) -> Option<&dyn SessionPart<Self>> {
        self.0.extra.get()?.part.get().map(|part| &**part)
    }

    /// Drops a handle. Returns the session if this was the last handle.
    #[cfg(feature = "topics")]
    pub(crate) fn into_last(self) -> Option<Self> {
        let inner = Arc::into_inner(self.0)?;
        Some(Self(Arc::new(inner)))
    }

    /// Takes the gaps that the endpoint has not been told of.
    #[cfg(feature = "topics")]
    pub(super) fn take_gaps(&self) -> Vec<Gap> {
        let part = self.existing_part();
        part.map_or_else(Vec::new, |part| part.take_gaps())
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

/// The session that its task holds. The drop of the guard takes the session out of the open sessions, and completes
/// [`Session::closed`]. So it does not matter whether the task returns, panics, or is dropped with its runtime.
pub(crate) struct SessionGuard {
    session: Session,
    span: SessionSpan,
}

impl SessionGuard {
    /// Creates a session, and puts it among the open sessions.
    pub(crate) fn new(
        handshake: Handshake,
        max_idle: Option<Duration>,
        mailbox: Arc<Mailbox>,
        open_sessions: OpenSessions,
        slot: u32,
    ) -> Self {
        let id = SessionId::random_at(slot);
        let span = SessionSpan::new(id, handshake.peer_addr());
        let spanned = if span.is_wanted() { SPANNED } else { 0 };
        let enveloped = if open_sessions.envelops(&handshake) {
            ENVELOPED
        } else {
            0
        };
        let session = Session(Arc::new(Inner {
            id,
            handshake,
            mailbox,
            open_sessions,
            slot,
            activity: Activity::default(),
            flags: AtomicU16::new(spanned | enveloped),
            handlers: Mutex::default(),
            extra: OnceLock::new(),
        }));
        if max_idle.is_some() {
            session.set_max_idle_timeout(max_idle);
        }
        session.0.open_sessions.insert(slot, session.clone());
        Self { session, span }
    }

    /// Returns the span for the callbacks of the session.
    pub(super) fn span(&self) -> &SessionSpan {
        &self.span
    }

    /// Takes the span for the last callbacks.
    pub(super) fn take_span(&mut self) -> SessionSpan {
        std::mem::take(&mut self.span)
    }
}

impl Deref for SessionGuard {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.retire();
        // Has an effect only if the task ended early.
        let cause = "the connection's task was dropped";
        self.mailbox().end(CloseReason::abnormal(cause));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// With the counts of its `Arc` a session takes 240 bytes, and an allocator gives it 256. Topics take nothing more.
    #[test]
    fn a_session_takes_no_more_than_its_share_of_an_idle_connection() {
        let size = size_of::<Inner>();
        assert!(size <= 224, "{size} bytes");
    }
}
