//! A bridge between two connections: what one peer sends goes to the other, both ways. It has no task and no queue of its
//! own: the output of a connection is the queue, and a full one stops the reading of the other connection.
//!
//! ```text
//!               its peer closed           the other side is done
//!   Carrying ──────────────────▶ Answering ──────────────────┐
//!      │                                                     ▼
//!      └── a side failed, or both peers have closed ──▶ Lingering ──▶ Over
//! ```

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use sockeye_proto::{
    Cause, CloseCode, CloseReason, Connection as Machine, Expired, MessageBuffer, MessageKind,
    Role, SendError, WholeMessage,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::link::{Link, Received, Wanted};
use super::plain::{Connection, End};
use super::pool;
use super::turn::{Host, Look, look};
use crate::error::Error;

/// One side of a [`bridge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a bridge has two sides")]
pub enum BridgeSide {
    /// The first argument of [`bridge`].
    First,
    /// The second argument of [`bridge`].
    Second,
}

/// The end of a [`bridge`] in order: one peer closed, and the other peer was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BridgeEnd {
    /// The side whose peer closed first.
    pub side: BridgeSide,
    /// The Close of that peer.
    pub reason: CloseReason,
}

/// The error of a [`bridge`] of which one connection failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct BridgeError {
    /// The side that failed.
    pub side: BridgeSide,
    /// What failed.
    pub error: Error,
}

/// Carries messages between two connections, in both directions, until both have ended.
///
/// - **Messages** keep their kind and their order. A message of up to 64 KiB leaves as one frame. A longer one leaves in
///   fragments while it comes, so a bridge needs little memory for a message of any length. Each connection compresses
///   as its own handshake agreed. What its peer sends has the limit
///   [`Config::max_message`](crate::proto::Config::max_message): by default 1 MiB from a client, 16 MiB from a server.
/// - **Backpressure.** While 64 KiB or more wait for one peer, the other peer is not read. A peer that takes nothing is
///   given up after [`Config::write_timeout`](crate::proto::Config::write_timeout).
/// - **Closes.** The other peer gets the same code and reason, behind the messages that came before. An empty Close stays
///   empty. What the other peer still sends is carried until its own Close, which is the answer to the first.
/// - **Failures.** If a connection is lost, or its peer breaks a rule, the other peer gets a Close. Its code is 1001 if a
///   client was lost, and 1014 if a server was.
///
/// Pings and Pongs are not carried: each connection answers its peer's, and has its own keep-alive.
///
/// ```
/// use sockeye::Client;
/// use sockeye::connection::{Connection, bridge};
///
/// async fn proxy(client: Connection) -> sockeye::Result {
///     let upstream = Client::new().connect("ws://127.0.0.1:9000/").await?;
///     let end = bridge(client, upstream).await?;
///     println!("{:?} closed with {}", end.side, end.reason);
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// [`BridgeError`] when one connection failed. The other one has been closed in order by then.
///
/// # Cancel safety
///
/// Dropping the future drops both connections, without a Close.
pub async fn bridge<A, B>(
    first: Connection<A>,
    second: Connection<B>,
) -> Result<BridgeEnd, BridgeError>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = Side::new(first, BridgeSide::First);
    let mut second = Side::new(second, BridgeSide::Second);
    let mut outcome = None;
    poll_fn(|cx| poll_both(&mut first, &mut second, &mut outcome, cx)).await;
    outcome.unwrap_or_else(|| {
        debug_assert!(false, "a side ends for a reason");
        Err(BridgeError {
            side: BridgeSide::First,
            error: Error::UnexpectedEnd,
        })
    })
}

type Outcome = Option<Result<BridgeEnd, BridgeError>>;

/// One connection of a bridge.
struct Side<T> {
    connection: Connection<T>,
    which: BridgeSide,
    phase: Phase,
    unfinished: Unfinished,
}

/// What has come of a message that is not complete yet.
#[derive(Default)]
struct Unfinished {
    // Not carried yet: less than a fragment.
    held: MessageBuffer,
    // Whether a part was carried before.
    is_begun: bool,
}

/// The least bytes of a fragment that is not the last of its message.
const FRAGMENT: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What its peer sends is carried to the other side.
    Carrying,
    /// Its peer has closed. The other side's messages still go to it.
    Answering,
    /// Its transport is being ended in order.
    Lingering,
    Over,
}

/// What a look at a side came to.
enum Carried {
    /// A message or a part is in the other side's output.
    Piece,
    Closed(CloseReason),
    Failed(Error),
}

/// Whether there may be more to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Idle,
    Moved,
    /// The task's turn is over. The task is woken already.
    Yielded,
}

/// Ready when both sides are over.
fn poll_both<A, B>(
    first: &mut Side<A>,
    second: &mut Side<B>,
    outcome: &mut Outcome,
    cx: &mut Context<'_>,
) -> Poll<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let (first_was_full, second_was_full) = (first.is_full(), second.is_full());
        let progress = [
            step(first, second, outcome, cx),
            step(second, first, outcome, cx),
        ];
        if first.phase == Phase::Over && second.phase == Phase::Over {
            return Poll::Ready(());
        }
        // A side that was not read, because the other one was full, is read again.
        let has_room = first_was_full && !first.is_full() || second_was_full && !second.is_full();
        let is_idle = progress == [Progress::Idle; 2] && !has_room;
        if is_idle || progress.contains(&Progress::Yielded) {
            first.connection.link.release_buffers();
            second.connection.link.release_buffers();
            return Poll::Pending;
        }
    }
}

/// Moves what there is to move from one side to the other.
fn step<A, B>(
    side: &mut Side<A>,
    other: &mut Side<B>,
    outcome: &mut Outcome,
    cx: &mut Context<'_>,
) -> Progress
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut progress = Progress::Idle;
    loop {
        let looked = match side.phase {
            Phase::Carrying => side.carry(other, cx),
            Phase::Answering => side.write(cx),
            Phase::Lingering => {
                if side.connection.poll_end(cx).is_ready() {
                    side.phase = Phase::Over;
                }
                return progress;
            }
            Phase::Over => return progress,
        };
        match looked {
            // What has been carried leaves in one write.
            Look::Event(Carried::Piece) | Look::Again => progress = Progress::Moved,
            Look::Event(Carried::Closed(reason)) => {
                side.closed(other, reason, outcome);
                return Progress::Moved;
            }
            Look::Event(Carried::Failed(error)) => {
                side.failed(other, error, outcome);
                return Progress::Moved;
            }
            Look::Idle { .. } => return progress,
            Look::Yield => return Progress::Yielded,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Side<T> {
    fn new(mut connection: Connection<T>, which: BridgeSide) -> Self {
        // Skips the rest of a message whose reader was dropped.
        connection.link.give_whole();
        connection.link.give(Wanted::ALL_PARTS);
        Self {
            connection,
            which,
            phase: Phase::Carrying,
            unfinished: Unfinished::default(),
        }
    }

    fn is_full(&mut self) -> bool {
        self.connection.is_full()
    }

    /// Looks at a side whose messages go to the other one.
    fn carry<U: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        other: &mut Side<U>,
        cx: &mut Context<'_>,
    ) -> Look<Carried> {
        if !matches!(self.connection.end, End::Open) {
            return Look::Event(self.had_ended());
        }
        let is_full = other.is_full();
        let carrying = Carrying {
            link: &mut self.connection.link,
            unfinished: &mut self.unfinished,
            to: &mut other.connection.link,
            is_full,
        };
        look(carrying, cx)
    }

    /// The end of a connection that had ended before the bridge was made.
    fn had_ended(&mut self) -> Carried {
        let received = self.connection.close_received().cloned();
        match (
            std::mem::replace(&mut self.connection.end, End::Open),
            received,
        ) {
            (End::Lingering(Some(error)), _) => Carried::Failed(error),
            (_, Some(reason)) => Carried::Closed(reason),
            (_, None) => Carried::Failed(Error::UnexpectedEnd),
        }
    }

    /// Looks at a side that is written alone.
    fn write(&mut self, cx: &mut Context<'_>) -> Look<Carried> {
        let link = &mut self.connection.link;
        look(Writing { link }, cx)
    }

    /// The peer of this side has closed.
    fn closed<U: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        other: &mut Side<U>,
        reason: CloseReason,
        outcome: &mut Outcome,
    ) {
        self.phase = Phase::Answering;
        match other.phase {
            Phase::Carrying => other.send_close(&reason),
            // The other peer closed first: this is its answer.
            Phase::Answering => {
                other.send_close(&reason);
                self.linger();
                other.linger();
            }
            Phase::Lingering | Phase::Over => self.linger(),
        }
        let side = self.which;
        outcome.get_or_insert(Ok(BridgeEnd { side, reason }));
    }

    /// This side has failed. The other side cannot be told the cause by a code of the failed one.
    fn failed<U: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        other: &mut Side<U>,
        error: Error,
        outcome: &mut Outcome,
    ) {
        // The machine owes a Close after a broken rule. After any other failure the peer is gone.
        if !matches!(error, Error::Protocol(_)) {
            self.connection.link.lose();
        }
        if other.phase == Phase::Carrying {
            let (code, reason) = match self.connection.link.machine().role() {
                Role::Server => (CloseCode::GOING_AWAY, "the client went away"),
                Role::Client => (CloseCode::BAD_GATEWAY, "the server behind this one failed"),
            };
            let reason = CloseReason::new(code, reason);
            debug_assert!(reason.is_ok(), "{reason:?}");
            if let Ok(reason) = reason {
                other.send_close(&reason);
            }
        }
        self.linger();
        other.linger();
        let side = self.which;
        outcome.get_or_insert(Err(BridgeError { side, error }));
    }

    fn send_close(&mut self, reason: &CloseReason) {
        let now = Instant::now().into_std();
        // Refused if this side has sent its Close already.
        let _ = self.connection.link.machine_mut().send_close(reason, now);
    }

    fn linger(&mut self) {
        if self.phase != Phase::Over {
            self.phase = Phase::Lingering;
            self.connection.end = End::Lingering(None);
        }
    }
}

/// A connection whose messages go to the output of another one.
struct Carrying<'b, T, U> {
    link: &'b mut Link<T>,
    unfinished: &'b mut Unfinished,
    to: &'b mut Link<U>,
    // Whether the other one takes no more now.
    is_full: bool,
}

impl<T, U> Host<T> for Carrying<'_, T, U>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    type Event = Carried;

    fn link(&mut self) -> &mut Link<T> {
        self.link
    }

    fn pull(&mut self) -> Option<Look<Carried>> {
        let Self {
            link,
            unfinished,
            to,
            ..
        } = self;
        let pulled = link.pull(|received| unfinished.carry(received, to.sending()));
        pulled.unwrap_or_else(|error| Some(Look::Event(Carried::Failed(error.into()))))
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.link.poll_write(cx).map_err(Error::from)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        self.link.poll_timer(cx, |_| false)
    }

    fn fail(&mut self, error: Error) -> Look<Carried> {
        Look::Event(Carried::Failed(error))
    }

    /// A side whose messages have no room is not read, even if it has nothing else to do.
    fn is_drained(&mut self) -> bool {
        !self.is_full && !self.link.has_had_its_turn() && self.link.is_drained()
    }

    fn is_gated(&mut self) -> bool {
        self.is_full || self.link.machine().is_gated() || self.link.is_starved()
    }
}

/// A connection whose peer has closed: it is written, and not read.
struct Writing<'b, T> {
    link: &'b mut Link<T>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Host<T> for Writing<'_, T> {
    type Event = Carried;

    fn link(&mut self) -> &mut Link<T> {
        self.link
    }

    fn pull(&mut self) -> Option<Look<Carried>> {
        None
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.link.poll_write(cx).map_err(Error::from)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        self.link.poll_timer(cx, |_| false)
    }

    fn fail(&mut self, error: Error) -> Look<Carried> {
        Look::Event(Carried::Failed(error))
    }

    fn is_drained(&mut self) -> bool {
        false
    }

    fn is_gated(&mut self) -> bool {
        true
    }
}

impl Unfinished {
    /// Puts what was received into the output of the other side.
    fn carry(&mut self, received: Received<'_>, to: &mut Machine) -> Look<Carried> {
        // Refused when this side's Close is sent: then the peer wants no more.
        let _ = match received {
            Received::Message(WholeMessage::Text(text)) => to.send_text(text, Cause::Push),
            Received::Message(WholeMessage::Binary(bytes)) => to.send_binary(bytes, Cause::Push),
            Received::Assembled(whole) => to.send_message(pool::into_message(whole), Cause::Push),
            Received::Part(part, is_last) => {
                self.hold(part);
                self.carry_held(is_last, to)
            }
            Received::Ping(_) | Received::Pong(_) => return Look::Again,
            Received::Close(reason) => return Look::Event(Carried::Closed(reason)),
        };
        Look::Event(Carried::Piece)
    }

    fn hold(&mut self, part: MessageBuffer) {
        if self.held.is_empty() {
            self.held = part;
            return;
        }
        match (&mut self.held, &part) {
            (MessageBuffer::Text(held), MessageBuffer::Text(text)) => held.push_str(text),
            (MessageBuffer::Binary(held), MessageBuffer::Binary(bytes)) => held.extend(bytes),
            _ => debug_assert!(false, "the parts of a message are of one kind"),
        }
    }

    /// Carries what is held, if it is a fragment or the end of its message.
    fn carry_held(&mut self, is_last: bool, to: &mut Machine) -> Result<(), SendError> {
        if !is_last && self.held.len() < FRAGMENT {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        let is_begun = std::mem::replace(&mut self.is_begun, !is_last);
        if is_last && !is_begun {
            return to.send_message(pool::into_message(held), Cause::Push);
        }
        let (kind, payload) = match &held {
            MessageBuffer::Text(text) => (MessageKind::Text, text.as_bytes()),
            MessageBuffer::Binary(bytes) => (MessageKind::Binary, &**bytes),
        };
        to.send_part(kind, payload, is_last, Cause::Push)
    }
}

impl fmt::Display for BridgeSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} connection of the bridge failed", self.side)
    }
}

impl std::error::Error for BridgeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The error of the connection that failed.
impl From<BridgeError> for Error {
    fn from(error: BridgeError) -> Self {
        error.error
    }
}
