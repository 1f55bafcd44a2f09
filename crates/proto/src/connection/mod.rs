//! One end of a WebSocket connection as a state machine (RFC 6455 §5 to §7). It knows no socket, no
//! clock and no task. Bytes and time come in as arguments; bytes and the next deadline go out.
//!
//! ```text
//!            send_close                      Close read
//!   Open ────────────────▶ CloseSent ───────────────────────────▶ Closed
//!    │ │                      │                                      ▲
//!    │ │ Close read           │ rule broken                          │ conclude: the answer
//!    │ └──────────▶ CloseReceived ───────────────────────────────────┘
//!    │ rule broken            ▼              conclude: one Close, unless sent
//!    └─────────────────▶ Failing ──────────────────────▶ Failed
//!
//!   Open, CloseSent ── the transport ends, or a deadline passes ──▶ Ended
//!   (CloseReceived and Failing go to Closed and Failed then: why it ended is remembered)
//! ```
//!
//! `CloseReceived` and `Failing` are separate states because the Close that they owe may have to wait.
//! It waits for the caller's reply to the message before it. When the caller asks for the next event,
//! that reply has been sent.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::close::CloseReason;
use crate::deflate::{DeflateConfig, DeflateParams, DeflatePool, Deflater, Inflater};
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, OpCode, Role};
use crate::mask::MaskingKey;
use crate::message::MessageKind;

use self::config::Config;
use self::deadline::Deadlines;
use self::output::{Cause, Output};
use self::receiver::Receiver;

mod close_body;
pub(crate) mod config;
mod deadline;
mod exchange;
mod outgoing;
pub(crate) mod output;
mod receive;
mod receiver;
mod send;
#[cfg(test)]
mod tests;
mod timeout;

pub use self::exchange::Exchange;
pub use self::outgoing::{Outgoing, PreparedMessage};
pub use self::receive::{Event, WholeMessage};
pub use self::timeout::Expired;

/// Source of a client's masking keys: it returns a new, unpredictable key for each frame (§10.3). It is `Sync` so that
/// a [`Connection`] is.
pub type MaskingKeys = Box<dyn FnMut() -> MaskingKey + Send + Sync>;

/// One end of an open connection.
///
/// Its methods are of four kinds. `receive` and `handle_*` take what comes from the network and the clock. `send_*` are
/// the application's commands. `output` and `poll_timeout` say what to write and when to call back. The rest are
/// getters. To drive it:
///
/// 1. read bytes from the transport, and call [`receive`](Self::receive) until it gives `None`;
/// 2. keep what it left of the input, put the next bytes behind it;
/// 3. write [`output`](Self::output), after events and commands alike;
/// 4. call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says;
/// 5. at the end of the transport call [`handle_end`](Self::handle_end).
///
/// ```
/// use std::time::Instant;
/// use bytes::Buf;
/// use sockeye_proto::{Cause, Config, Connection, Event, Role};
///
/// let now = Instant::now();
/// let mut server = Connection::server(Config::new(Role::Server), now);
/// let mut read = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// let mut input = &mut read[..];
/// assert_eq!(server.receive(&mut input, now), Ok(Some(Event::Text("Hello"))));
/// server.send_message("Hi", Cause::Input).unwrap();
/// assert_eq!(server.output().chunk(), b"\x81\x02Hi");
/// ```
pub struct Connection {
    role: Role,
    // Shared by all connections of a server.
    config: Arc<Config>,
    state: State,
    receiver: Receiver,
    frames_received: u64,
    sending: Option<Sending>,
    // The length up to which a whole, uncompressed message is within every limit.
    plain_limit: u16,
    masking_keys: Option<MaskingKeys>,
    compression: Option<Box<Compression>>,
    deadlines: Deadlines,
    output: Output,
    // Pongs that wait behind a full output: the newest `MAX_PONGS` (§5.5.3 lets older ones go).
    #[expect(clippy::box_collection, reason = "a pointer: as a rule there are none")]
    pongs: Option<Box<VecDeque<Box<[u8]>>>>,
}

/// The message that is being sent in parts (§5.4).
#[derive(Clone, Copy, Debug)]
struct Sending {
    kind: MessageKind,
    compressed: bool,
}

struct Compression {
    threshold: usize,
    deflater: Deflater,
    inflater: Inflater,
}

impl Compression {
    fn is_worth(&self, payload: &[u8]) -> bool {
        !payload.is_empty() && payload.len() >= self.threshold
    }
}

// The reasons are boxed: an open connection has no room for them.
#[derive(Debug)]
enum State {
    Open,
    CloseSent,
    CloseReceived(Box<CloseReason>),
    Closed(Box<CloseReason>),
    Failing {
        error: Box<ProtocolError>,
        close_sent: bool,
    },
    Failed(Box<ProtocolError>),
    Ended,
}

impl Connection {
    /// The largest number of pongs that wait for a peer that does not read. A newer pong replaces the oldest one.
    pub const MAX_PONGS: usize = 64;

    /// The server's end, open since `now`.
    pub fn server(config: impl Into<Arc<Config>>, now: Instant) -> Self {
        Self::new(Role::Server, config.into(), None, now)
    }

    /// The client's end, open since `now`.
    pub fn client(config: impl Into<Arc<Config>>, masking_keys: MaskingKeys, now: Instant) -> Self {
        Self::new(Role::Client, config.into(), Some(masking_keys), now)
    }

    fn new(
        role: Role,
        config: Arc<Config>,
        masking_keys: Option<MaskingKeys>,
        now: Instant,
    ) -> Self {
        Self {
            role,
            deadlines: Deadlines::new(now),
            plain_limit: config.plain_limit(),
            config,
            state: State::Open,
            receiver: Receiver::default(),
            frames_received: 0,
            sending: None,
            masking_keys,
            compression: None,
            output: Output::default(),
            pongs: None,
        }
    }

    /// Compresses messages as the handshake agreed (RFC 7692).
    pub fn with_deflate(
        mut self,
        params: DeflateParams,
        config: &DeflateConfig,
        pool: DeflatePool,
    ) -> Self {
        let server = (
            params.server_no_context_takeover,
            params.server_max_window_bits,
        );
        let client = (
            params.client_no_context_takeover,
            params.client_max_window_bits,
        );
        let ((no_takeover, bits), (peers_no_takeover, peers_bits)) = match self.role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        };
        self.compression = Some(Box::new(Compression {
            threshold: config.threshold,
            deflater: Deflater::new(pool.clone(), config.level, bits, !no_takeover),
            inflater: match params.client_is_in_doubt && self.role == Role::Server {
                true => Inflater::in_doubt(pool, peers_bits),
                false => Inflater::new(pool, peers_bits, !peers_no_takeover),
            },
        }));
        self
    }

    /// Limits messages of one kind to `bytes`, inclusive, in place of the limit of the [`Config`]. The limit holds at
    /// once, also for the rest of an open message.
    pub fn limit_messages(&mut self, kind: MessageKind, bytes: u64) {
        let config = Config::clone(&self.config);
        let config = match kind {
            MessageKind::Text => config.max_text(bytes),
            MessageKind::Binary => config.max_binary(bytes),
        };
        self.plain_limit = config.plain_limit();
        self.config = Arc::new(config);
    }

    /// Whether compression was agreed on.
    #[inline]
    pub fn compresses(&self) -> bool {
        self.compression.is_some()
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The limits and deadlines.
    #[inline]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether messages may still be sent: this side has not sent its Close.
    #[inline]
    pub fn can_send(&self) -> bool {
        matches!(self.state, State::Open) || self.owes_close()
    }

    /// Whether [`receive`](Self::receive) may still give events.
    #[inline]
    pub fn can_receive(&self) -> bool {
        matches!(self.state, State::Open | State::CloseSent)
    }

    /// The number of frames received. A caller that drives several connections can limit the frames of one turn:
    /// each frame costs work, even a frame that causes no event.
    #[inline]
    pub fn frames_received(&self) -> u64 {
        self.frames_received
    }

    /// Whether this side owes a Close: the peer sent one, or broke a rule.
    pub fn owes_close(&self) -> bool {
        matches!(
            self.state,
            State::CloseReceived(_)
                | State::Failing {
                    close_sent: false,
                    ..
                }
        )
    }

    /// Whether the closing handshake is over or impossible. The caller then writes the output and ends
    /// the transport (§7.1.1).
    pub fn is_finished(&self) -> bool {
        matches!(
            self.state,
            State::Closed(_) | State::Failed(_) | State::Ended
        )
    }

    /// The peer's Close, once it has come. [`CloseReason::no_status`] when it had no body.
    pub fn close_received(&self) -> Option<&CloseReason> {
        match &self.state {
            State::CloseReceived(reason) | State::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// The rule that the peer broke, if that is why the connection ended.
    pub fn failure(&self) -> Option<ProtocolError> {
        match &self.state {
            State::Failing { error, .. } | State::Failed(error) => Some(**error),
            _ => None,
        }
    }

    /// Whether events wait for the output to drain: more than [`Config::output_mark`] of it was
    /// caused by input. After this side's Close input causes nothing more, and nothing waits.
    #[inline]
    pub fn is_gated(&self) -> bool {
        let mark = self.config.output_mark;
        // The first comparison is usually enough.
        self.output.len() > mark && self.output.caused_by_input() > mark && self.can_send()
    }

    /// The bytes to write. Advance it by what was written.
    #[inline]
    pub fn output(&mut self) -> &mut Output {
        self.queue_pongs();
        &mut self.output
    }

    /// Takes the output's buffers from a connection that has nothing to write, so that another connection
    /// can use them. `None` while something waits to be written.
    pub fn take_output(&mut self) -> Option<Output> {
        (self.output.is_empty() && self.pongs.is_none()).then(|| std::mem::take(&mut self.output))
    }

    /// Lends the connection buffers for its output, if it has none yet.
    pub fn give_output(&mut self, output: Output) {
        if !self.output.is_lent() && output.is_empty() {
            self.output = output;
        }
    }

    /// Returns the compression states to the pool. With context takeover a connection keeps them from message to
    /// message, because the next message is likely to come at once. An idle connection does not need them. The
    /// caller may call this at any time.
    #[inline]
    pub fn rest(&mut self) {
        if let Some(compression) = &mut self.compression {
            compression.deflater.rest();
            compression.inflater.rest();
        }
    }

    /// The bytes of memory that buffers take.
    pub fn retained_bytes(&self) -> usize {
        let pongs = self.pongs.as_ref().map_or(0, |pongs| {
            let payload: usize = pongs.iter().map(|pong| pong.len()).sum();
            payload + pongs.capacity() * size_of::<Box<[u8]>>() + size_of_val(&**pongs)
        });
        let compression = self.compression.as_ref().map_or(0, |compression| {
            size_of::<Compression>()
                + compression.deflater.retained_bytes()
                + compression.inflater.retained_bytes()
        });
        compression + self.output.retained_bytes() + pongs
    }

    /// Notes the end of the transport: nothing more can be read or written.
    ///
    /// If the peer's Close has come, [`close_received`](Self::close_received) still returns it. Otherwise it
    /// returns `None`, and the close code is 1006 (§7.1.5).
    pub fn handle_end(&mut self) {
        self.deadlines.transport_ended();
        self.output.discard();
        self.pongs = None;
        self.compression = None;
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::CloseReceived(reason) | State::Closed(reason) => State::Closed(reason),
            State::Failing { error, .. } | State::Failed(error) => State::Failed(error),
            State::Open | State::CloseSent | State::Ended => State::Ended,
        };
    }

    /// Sends the Close that this side [owes](Self::owes_close), if any. The next call of [`receive`](Self::receive)
    /// does the same. So does [`handle_timeout`](Self::handle_timeout), after [`Config::close_timeout`].
    pub fn conclude(&mut self, now: Instant) {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::CloseReceived(reason) => {
                // §5.5.1: the answer usually repeats the code that it answers.
                self.push_close(&reason, now);
                self.compression = None;
                State::Closed(reason)
            }
            State::Failing { error, close_sent } => {
                if !close_sent {
                    // §7.1.7: a Close with a fitting code goes before the transport's end.
                    self.push_close(&error.close_reason(), now);
                }
                self.compression = None;
                State::Failed(error)
            }
            state => state,
        };
    }

    /// _Fail the WebSocket Connection_ (§7.1.7): the one way in which a broken rule ends it.
    fn fail_connection(&mut self, error: ProtocolError, now: Instant) {
        self.state = State::Failing {
            error: Box::new(error),
            close_sent: matches!(self.state, State::CloseSent),
        };
        self.stop_receiving();
        self.owe_close(now);
    }

    /// Gives the caller a limited time to answer the messages before the Close.
    fn owe_close(&mut self, now: Instant) {
        if self.owes_close() {
            let due = now.checked_add(self.config.close_timeout);
            self.deadlines.close_by(due);
        }
    }

    /// Drops the state of the receiver: no later input has any effect.
    fn stop_receiving(&mut self) {
        self.receiver = Receiver::default();
        if let Some(compression) = &mut self.compression {
            compression.inflater.release();
        }
    }

    fn push_close(&mut self, reason: &CloseReason, now: Instant) {
        self.queue_all_pongs();
        self.push_control(OpCode::Close, &close_body::write(reason));
        self.sending = None;
        self.deadlines
            .close_by(now.checked_add(self.config.close_timeout));
    }

    /// Moves waiting pongs to the output, while it has room.
    #[inline]
    fn queue_pongs(&mut self) {
        if self.pongs.is_some() {
            self.queue_some_pongs();
        }
    }

    #[cold]
    #[inline(never)]
    fn queue_some_pongs(&mut self) {
        while self.pongs.is_some() && self.output.len() < Output::SHARED_FROM {
            self.queue_pong();
        }
    }

    fn queue_all_pongs(&mut self) {
        while self.pongs.is_some() {
            self.queue_pong();
        }
    }

    fn queue_pong(&mut self) {
        let pong = self.pongs.as_mut().and_then(|pongs| pongs.pop_front());
        if self.pongs.as_ref().is_some_and(|pongs| pongs.is_empty()) {
            self.pongs = None;
        }
        if let Some(pong) = pong {
            self.push_control(OpCode::Pong, &pong);
        }
    }

    /// Answers a Ping by a Pong with the same payload (§5.5.2). After the peer's Close no Ping comes here.
    /// After our own Close no frame is sent (§5.5.1).
    fn answer_ping(&mut self, payload: &[u8]) {
        if !self.can_send() {
            return;
        }
        if self.pongs.is_none() && self.output.len() < Output::SHARED_FROM {
            self.push_control(OpCode::Pong, payload);
            return;
        }
        let pongs = self.pongs.get_or_insert_default();
        if pongs.len() == Self::MAX_PONGS {
            pongs.pop_front();
        }
        pongs.push_back(payload.into());
    }

    fn push_control(&mut self, opcode: OpCode, payload: &[u8]) {
        let header = self.header(opcode, payload.len());
        self.output.push_frame(&header, payload, Cause::Input);
    }

    #[inline]
    fn header(&mut self, opcode: OpCode, payload_len: usize) -> FrameHeader {
        FrameHeader {
            // §5.1, §5.3: a client masks each frame with a key of its own, a server none.
            masking_key: self.masking_keys.as_mut().map(|next| next()),
            ..FrameHeader::new(opcode, payload_len as u64)
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("receiver", &self.receiver)
            .field("output", &self.output.len())
            .finish_non_exhaustive()
    }
}
