//! A connection without a task. The future of a method reads, writes and keeps the deadlines while the caller polls it.
//! Between two polls nothing moves.

use std::fmt;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sockeye_mailbox::SendError;
use sockeye_proto::{
    Cause, CloseCode, CloseReason, Config, Connection as Machine, Expired, Message, MessageBuffer,
    MessageKind, Outgoing, WholeMessage,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::budget::AssemblyBudget;
use super::driver::{Driver, Ending};
use super::link::{Link, Received};
use super::machine::{client_machine, server_machine};
use super::opening::Opening;
use super::pool;
use super::round_trip::RoundTrip;
use super::turn::{Host, Look, look};
use crate::connection::direct::Mailbox;
use crate::error::Error;
use crate::handshake::Handshake;
use crate::sync::Arc;
use crate::transport::Stream;

/// An open WebSocket connection over any transport.
///
/// It has no task of its own. Keep-alive, pongs and deadlines go on while the caller polls one of its methods.
/// [`split`](Self::split) gives it a task.
///
/// ```no_run
/// # async fn example() -> sockeye::Result {
/// let mut ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
/// ws.send("hello").await?;
/// while let Some(message) = ws.recv().await? {
///     println!("{message}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct Connection<T = Stream> {
    pub(super) link: Link<T>,
    subprotocol: Option<String>,
    opening: Option<Box<Opening>>,
    request: Option<Box<Handshake>>,
    round_trip: RoundTrip,
    pub(super) end: End,
}

/// How far the connection's end has come.
#[derive(Debug)]
pub(super) enum End {
    Open,
    /// The transport is being ended in order. Then the caller gets the error, if there is one.
    Lingering(Option<Error>),
    Done,
}

/// When so many bytes of output wait, the connection takes no more before the transport has taken some.
const FEED_MARK: usize = 64 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Makes the server's end of a connection on `stream`, whose opening handshake is over: this function sends none.
    pub fn server(stream: T, config: impl Into<Arc<Config>>) -> Self {
        let machine = server_machine(config, None);
        Self::new(stream, machine, &[], None, AssemblyBudget::of_others())
    }

    /// Makes the client's end of a connection on `stream`, whose opening handshake is over: this function sends none.
    /// The masking keys come from the thread's cryptographically secure generator (RFC 6455 §10.3).
    pub fn client(stream: T, config: impl Into<Arc<Config>>) -> Self {
        let machine = client_machine(config, None);
        Self::new(stream, machine, &[], None, AssemblyBudget::of_others())
    }

    pub(crate) fn new(
        stream: T,
        machine: Machine,
        read_ahead: &[u8],
        subprotocol: Option<String>,
        budget: Arc<AssemblyBudget>,
    ) -> Self {
        Self {
            link: Link::new(stream, machine, read_ahead, budget),
            subprotocol,
            opening: None,
            request: None,
            round_trip: RoundTrip::Unknown,
            end: End::Open,
        }
    }

    pub(crate) fn with_opening(mut self, opening: Opening) -> Self {
        self.opening = Some(Box::new(opening));
        self
    }

    pub(crate) fn with_request(mut self, request: Handshake) -> Self {
        self.request = Some(Box::new(request));
        self
    }

    /// The subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The opening handshake, if [`Client`](crate::Client) made the connection.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_deref()
    }

    /// The request that opened the connection, if an [`Acceptor`](crate::server::Acceptor) accepted it: its target, its
    /// header fields, the addresses, and what the acceptor's hook has set.
    pub fn request(&self) -> Option<&Handshake> {
        self.request.as_deref()
    }

    /// The peer's Close, once it has come.
    pub fn close_received(&self) -> Option<&CloseReason> {
        self.link.machine().close_received()
    }

    /// Whether the transport has taken everything that was sent.
    pub(crate) fn has_written(&mut self) -> bool {
        self.link.machine_mut().output().is_empty()
    }

    /// The bytes of memory that this connection's buffers take.
    pub fn retained_bytes(&self) -> usize {
        self.link.retained_bytes()
    }

    /// Receives the next message. `None` once the connection is closed in order. This method also answers pings and
    /// finishes the closing handshake.
    ///
    /// # Errors
    ///
    /// The reason for which the connection ended out of order, once: [`Error::Protocol`], [`Error::UnexpectedEnd`],
    /// [`Error::PeerDead`], [`Error::WriteStalled`] or [`Error::Io`]. Then `None`.
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        if let Some(message) = self.take_plain(|lent| lent.into()) {
            return Ok(Some(message));
        }
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Receives the next message into a buffer that is used again, in place of the message before. `false` once the
    /// connection is closed in order. [`recv`](Self::recv) allocates each message. This method allocates only for a message
    /// that is longer than all before it.
    ///
    /// ```no_run
    /// # async fn example(mut ws: sockeye::Connection) -> Result<(), sockeye::Error> {
    /// use sockeye::proto::MessageBuffer;
    ///
    /// let mut message = MessageBuffer::default();
    /// while ws.recv_into(&mut message).await? {
    ///     // The answers to all messages of one read go out in one write.
    ///     match &message {
    ///         MessageBuffer::Text(text) => ws.feed_text(text).await?,
    ///         MessageBuffer::Binary(bytes) => ws.feed_binary(bytes).await?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A message that one read brought is copied into the buffer. Any other message (of several reads or fragments, or
    /// compressed) comes in the buffer in which it was assembled, and the connection uses the given buffer for another
    /// message. So the capacity may grow to that of the longest message allowed ([`Config::max_message`]). While no message
    /// comes, the buffer stays as it is.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message, and the buffer is as it was.
    // Not an `async fn`, here and in `feed_text`: its state would cost instructions for each message.
    #[inline]
    pub fn recv_into(
        &mut self,
        message: &mut MessageBuffer,
    ) -> impl Future<Output = Result<bool, Error>> {
        poll_fn(move |cx| {
            if self
                .take_plain(|lent| pool::set_message(message, lent))
                .is_some()
            {
                return Poll::Ready(Ok(true));
            }
            self.poll_recv_into(cx, message)
        })
    }

    /// The fast path of [`recv`](Self::recv): a message that lies complete in the input.
    #[inline]
    pub(super) fn take_plain<M>(&mut self, take: impl FnOnce(WholeMessage<'_>) -> M) -> Option<M> {
        if !matches!(self.end, End::Open) || self.link.has_had_its_turn() {
            return None;
        }
        let message = take(self.link.pull_whole()?);
        // The connection cannot know for how long the caller is busy with the message.
        self.link.give_back();
        Some(message)
    }

    /// Sends a message, and completes when it is written.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing; else what ended it.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the message. From then on the message is sent once, even if this future is
    /// dropped: any method that is polled next writes it. If the future is dropped before, the message is not sent.
    pub async fn send(&mut self, message: impl Into<Outgoing>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message. [`flush`](Self::flush) or the next call of any other method writes it. While 64 KiB or more
    /// wait, `feed` writes first.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the message, as with [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Outgoing>) -> Result<(), Error> {
        let message = message.into();
        if self.is_full() {
            self.room().await?;
        }
        self.push(message)
    }

    /// Puts a message into the output, without a look at the room.
    pub(crate) fn push(&mut self, message: Outgoing) -> Result<(), Error> {
        let sent = self.link.sending().send_message(message, Cause::Push);
        sent.map_err(|error| Error::Send(error.into()))
    }

    /// Puts bytes into the output as they are. Only a server can.
    #[cfg(feature = "test-util")]
    pub(crate) fn push_frames(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.link.sending().send_frames(bytes, Cause::Push);
        sent.map_err(|error| Error::Send(error.into()))
    }

    /// Whether the transport has to take output before the connection takes another message.
    #[inline]
    pub(super) fn is_full(&mut self) -> bool {
        self.link.machine_mut().output().len() >= FEED_MARK
    }

    pub(super) async fn room(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Queues a borrowed text as a message. The text is copied into the output. Otherwise this is
    /// [`feed`](Self::feed).
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message.
    #[inline]
    pub fn feed_text(&mut self, text: &str) -> impl Future<Output = Result<(), Error>> {
        poll_fn(move |cx| self.poll_feed(cx, |machine| machine.send_text(text, Cause::Push)))
    }

    /// Queues borrowed bytes as a binary message. The bytes are copied into the output. Otherwise this is
    /// [`feed`](Self::feed).
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message.
    #[inline]
    pub fn feed_binary(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> {
        poll_fn(move |cx| self.poll_feed(cx, |machine| machine.send_binary(bytes, Cause::Push)))
    }

    /// Calls `send` as soon as the output has room.
    #[inline]
    fn poll_feed(
        &mut self,
        cx: &mut Context<'_>,
        send: impl FnOnce(&mut Machine) -> Result<(), sockeye_proto::SendError>,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_room(cx))?;
        let sent = send(self.link.sending());
        Poll::Ready(sent.map_err(|error| Error::Send(error.into())))
    }

    /// Writes the messages that [`feed`](Self::feed) queued.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Safe: the rest of the output waits for the next call.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends a Ping of at most 125 bytes, for [`round_trip`](Self::round_trip). The keep-alive sends its own Pings.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send), and [`SendError::ControlPayloadTooLong`].
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the Ping, as with [`send`](Self::send).
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.room().await?;
        self.push_ping(payload)?;
        self.flush().await
    }

    /// Puts a Ping into the output, without a look at the room, and begins to measure the round trip.
    pub(crate) fn push_ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        let sent = self.link.sending().send_ping(payload);
        sent.map_err(|error| Error::Send(error.into()))?;
        self.round_trip = RoundTrip::Pinged {
            payload: payload.to_vec(),
            at: Instant::now(),
        };
        Ok(())
    }

    /// The time from the last [`ping`](Self::ping) to its Pong. `None` until the Pong has come. [`recv`](Self::recv)
    /// takes the Pong, so time in which the application does not receive counts too.
    pub fn round_trip(&self) -> Option<Duration> {
        match self.round_trip {
            RoundTrip::Measured(time) => Some(time),
            _ => None,
        }
    }

    /// Starts the closing handshake. The connection takes a Close behind the messages sent before, and no message after
    /// it. The method that is polled next writes the Close. Then [`recv`](Self::recv) still returns the peer's
    /// messages, until the peer's own Close or the close timeout. [`close`](Self::close) drops them. Does nothing if a
    /// Close was sent before.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    pub fn start_closing_handshake(
        &mut self,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), SendError> {
        let reason = CloseReason::new(code, reason)?;
        let now = Instant::now().into_std();
        // Refused if this side's Close was sent before.
        let _ = self.link.machine_mut().send_close(&reason, now);
        Ok(())
    }

    /// Closes the connection: sends a Close behind the messages sent before, waits for the peer's Close, and ends the
    /// transport. Messages that still come are dropped. It takes the close timeout at most. Another call does nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    ///
    /// # Cancel safety
    ///
    /// The first poll takes the Close. If the future is dropped then, [`recv`](Self::recv) or another `close` finishes.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let reason = CloseReason::new(code, reason).map_err(SendError::from)?;
        if matches!(self.end, End::Open) {
            self.begin_close(&reason, Instant::now());
        }
        poll_fn(|cx| self.poll_end(cx)).await;
        self.end = End::Done;
        Ok(())
    }

    /// Limits the length of the messages that begin from now on. `None` leaves the limit of a kind as it is.
    pub(crate) fn limit_messages(&mut self, text: Option<u64>, binary: Option<u64>) {
        let machine = self.link.machine_mut();
        for (kind, limit) in [(MessageKind::Text, text), (MessageKind::Binary, binary)] {
            if let Some(bytes) = limit {
                machine.limit_messages(kind, bytes);
            }
        }
    }

    /// Turns the connection into a driver, for a task. Other tasks send through the `mailbox`.
    pub(crate) fn into_driver(mut self, mailbox: Arc<Mailbox>) -> Driver<T> {
        self.link.give_whole();
        let reason = self.close_received().cloned();
        let driver = Driver::new(self.link, mailbox);
        match (self.end, reason) {
            (End::Lingering(Some(error)), _) => driver.ended(Ending::Failed(error)),
            (_, Some(reason)) => driver.ended(Ending::ClosedByPeer(reason)),
            (End::Done, None) => driver.ended(Ending::Aborted),
            (End::Open | End::Lingering(None), None) => driver,
        }
    }

    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        self.link.give_whole();
        let message = ready!(self.poll_piece(cx, |received| received.into_message()))?;
        Poll::Ready(Ok(message.map(|(message, _)| message)))
    }

    fn poll_recv_into(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Poll<Result<bool, Error>> {
        self.link.give_whole();
        let came =
            ready!(self.poll_piece(cx, |received| received.put_into(message).then_some(())))?;
        Poll::Ready(Ok(came.is_some()))
    }

    /// The next message or part, as `take` makes it, and whether it is the last part of its message. `take` makes nothing
    /// of a control frame.
    pub(super) fn poll_piece<M>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Received<'_>) -> Option<M>,
    ) -> Poll<Result<Option<(M, bool)>, Error>> {
        loop {
            if !matches!(self.end, End::Open) {
                ready!(self.poll_end(cx));
                let end = std::mem::replace(&mut self.end, End::Done);
                return Poll::Ready(match end {
                    End::Lingering(Some(error)) => Err(error),
                    _ => Ok(None),
                });
            }
            let (connection, take) = (&mut *self, &mut take);
            match look(Receiving { connection, take }, cx) {
                Look::Event(piece) => {
                    // The connection cannot know for how long the caller is busy with the message.
                    self.link.release_buffers();
                    return Poll::Ready(Ok(Some(piece)));
                }
                Look::Again => {}
                Look::Idle { .. } => {
                    self.link.release_buffers();
                    return Poll::Pending;
                }
                Look::Yield => return Poll::Pending,
            }
        }
    }

    fn expire(&mut self, error: Error) {
        match error {
            // The machine owes a Close, as after any broken rule.
            Error::Protocol(_) => self.end = End::Lingering(Some(error)),
            _ => self.lose(error),
        }
    }

    #[inline(always)]
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_full() {
            return self.poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all output, within the deadline for writing.
    // A loop apart from `look`: it ends once all is written. While the caller only sends, an unfinished message must not
    // take memory from others.
    #[inline(never)]
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match self.link.poll_write(cx) {
                Poll::Ready(Ok(())) => {
                    self.link.release_buffers();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => {
                    self.link.lose();
                    self.end = End::Done;
                    return Poll::Ready(Err(error.into()));
                }
                Poll::Pending => {}
            }
            // Only the deadline for writing can pass here. While the caller does not receive, the peer is not to blame for
            // its silence.
            self.link.pause_reading();
            let expired = self.link.poll_timer(cx, |_| false);
            self.link
                .machine_mut()
                .resume_reading(Instant::now().into_std());
            if let Some(expired) = ready!(expired) {
                self.link.lose();
                self.end = End::Done;
                return Poll::Ready(Err(expired.into()));
            }
        }
    }

    pub(super) fn begin_close(&mut self, reason: &CloseReason, now: Instant) {
        // Refused if this side's Close was sent before. Then only the peer's end is missing.
        let _ = self.link.machine_mut().send_close(reason, now.into_std());
        self.end = End::Lingering(None);
    }

    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.end, End::Done) {
            return Poll::Ready(());
        }
        self.link.machine_mut().conclude(Instant::now().into_std());
        let polled = self.link.poll_linger(cx, |_| false);
        self.link.release_buffers();
        polled
    }

    fn lose(&mut self, error: Error) {
        self.link.lose();
        self.end = End::Lingering(Some(error));
    }
}

impl<T> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("link", &self.link)
            .field("subprotocol", &self.subprotocol)
            .field("end", &self.end)
            .finish()
    }
}

/// A connection that receives, and the function that takes its messages.
struct Receiving<'c, T, F> {
    connection: &'c mut Connection<T>,
    take: &'c mut F,
}

impl<T, F, M> Host<T> for Receiving<'_, T, F>
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(Received<'_>) -> Option<M>,
{
    type Event = (M, bool);

    #[inline(always)]
    fn link(&mut self) -> &mut Link<T> {
        &mut self.connection.link
    }

    #[inline(always)]
    fn pull(&mut self) -> Option<Look<(M, bool)>> {
        let Connection {
            link,
            round_trip,
            end,
            ..
        } = &mut *self.connection;
        let take = &mut *self.take;
        // Apart from `pull_any`: here the compiler knows the variant, and leaves little of `take`.
        if let Some(whole) = link.pull_whole() {
            return Some(piece(take(Received::Message(whole)), true));
        }
        let pulled = link.pull_any(|received| {
            match &received {
                Received::Pong(answer) => round_trip.measure(answer),
                Received::Close(_) => *end = End::Lingering(None),
                _ => {}
            }
            let is_last = !received.is_unfinished();
            piece(take(received), is_last)
        });
        pulled.unwrap_or_else(|error| Some(self.fail(error.into())))
    }

    #[inline(always)]
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.connection.link.poll_write(cx).map_err(Error::from)
    }

    #[inline(always)]
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Expired>> {
        self.connection.link.poll_timer(cx, |_| false)
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Look<(M, bool)> {
        self.connection.expire(error);
        Look::Again
    }
}

#[inline(always)]
fn piece<M>(taken: Option<M>, is_last: bool) -> Look<(M, bool)> {
    taken.map_or(Look::Again, |taken| Look::Event((taken, is_last)))
}
