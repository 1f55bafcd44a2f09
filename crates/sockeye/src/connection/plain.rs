//! A connection that has no task: a method's future reads, writes and keeps the deadlines while its caller polls it.
//! Nothing of a connection moves between those polls.

use std::fmt;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sockeye_proto::{
    Cause, CloseCode, CloseReason, Config, Connection as Machine, Message, MessageBuffer,
    MessageKind, Outgoing, WholeMessage,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::budget::AssemblyBudget;
use super::driver::{Driver, Ending};
use super::link::{Link, Received, Whole};
use super::machine::{client_machine, server_machine};
use super::opening::Opening;
use super::outbox::Outbox;
use super::pool;
use crate::error::{Error, SendError};
use crate::sync::Arc;
use crate::transport::Stream;

/// An open WebSocket connection over any transport.
///
/// It has no task of its own: keep-alive, pongs and deadlines go on while one of its methods is being
/// polled. [`split`](Self::split) gives it a task.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
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
    round_trip: RoundTrip,
    pub(super) end: End,
}

/// How far the connection's end has come.
#[derive(Debug)]
pub(super) enum End {
    Open,
    /// What is left is to end the transport in order; then this is told.
    Lingering(Option<Error>),
    Done,
}

/// What is known of the time that a Ping and its Pong take.
#[derive(Debug)]
enum RoundTrip {
    Unknown,
    Pinged { payload: Vec<u8>, at: Instant },
    Measured(Duration),
}

/// Output beyond this waits for the transport before more is taken.
const FEED_MARK: usize = 64 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// The server's end of a connection whose opening handshake is done, on `stream`.
    pub fn server(stream: T, config: impl Into<Arc<Config>>) -> Self {
        let machine = server_machine(config, None);
        Self::new(stream, machine, &[], None, AssemblyBudget::of_others())
    }

    /// The client's end of a connection whose opening handshake is done, on `stream`. Its masking keys
    /// come from the thread's cryptographically secure generator (RFC 6455 §10.3).
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
            round_trip: RoundTrip::Unknown,
            end: End::Open,
        }
    }

    pub(crate) fn with_opening(mut self, opening: Opening) -> Self {
        self.opening = Some(Box::new(opening));
        self
    }

    /// The subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// What the opening handshake said, where [`Client`](crate::Client) made it.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_deref()
    }

    /// The peer's Close, once it has come.
    pub fn close_received(&self) -> Option<&CloseReason> {
        self.link.machine().close_received()
    }

    /// Whether the transport has taken all that was sent.
    pub(crate) fn has_written(&mut self) -> bool {
        self.link.machine_mut().output().is_empty()
    }

    /// The bytes of memory that this connection's buffers take.
    pub fn retained_bytes(&self) -> usize {
        self.link.retained_bytes()
    }

    /// Receives the next message; `None` once the connection is closed in order. Pings are answered
    /// and the closing handshake is finished here.
    ///
    /// # Errors
    ///
    /// Once, what ended the connection out of order: [`Error::Protocol`], [`Error::UnexpectedEnd`],
    /// [`Error::PeerDead`], [`Error::WriteStalled`] or [`Error::Io`]. Then `None`.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it is ready, it has taken nothing.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        if let Some(message) = self.take_plain(|lent| lent.into()) {
            return Ok(Some(message));
        }
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Receives the next message into a buffer that is used again, in the place of the one before; false once the
    /// connection is closed in order. Where [`recv`](Self::recv) makes each message anew, this asks for memory only
    /// for one that is longer than those before it.
    ///
    /// ```no_run
    /// # async fn example(mut ws: sockeye::Connection) -> Result<(), sockeye::Error> {
    /// use sockeye::MessageBuffer;
    ///
    /// let mut message = MessageBuffer::default();
    /// while ws.recv_into(&mut message).await? {
    ///     // What is fed here goes out in one write, when all is answered that was read at once.
    ///     match &message {
    ///         MessageBuffer::Text(text) => ws.feed_text(text).await?,
    ///         MessageBuffer::Binary(bytes) => ws.feed_binary(bytes).await?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A message that lies complete in what was read is copied into the buffer. Any other (of several reads or
    /// fragments, or compressed) comes in the buffer that it was put together in, and this one is used for another:
    /// its capacity may become that of the longest message that may come ([`Config::max_message`]). While there is
    /// no message, what it holds stays as it is.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it is ready, it has taken nothing, and the buffer is as it was.
    // Here and in `feed_text`: an `async fn` around it would be one more state to look at for each message.
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

    /// The fast path of [`recv`](Self::recv): a message that lies complete in what was read.
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
    /// The first poll that finds room takes the message: from then on it is sent once, by whichever
    /// method is polled next, whether or not this future is dropped. Dropped before, it is not sent.
    pub async fn send(&mut self, message: impl Into<Outgoing>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Takes a message without writing it, as long as no more than 64 KiB wait. [`flush`](Self::flush),
    /// or any other method, writes it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Outgoing>) -> Result<(), Error> {
        let message = message.into();
        if self.is_full() {
            self.room().await?;
        }
        let sent = self.link.sending().send_message(message, Cause::Push);
        sent.map_err(|error| Error::Send(error.into()))
    }

    /// Whether so much waits that the transport has to take some of it before more is taken.
    #[inline]
    fn is_full(&mut self) -> bool {
        self.link.machine_mut().output().len() >= FEED_MARK
    }

    async fn room(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// As [`feed`](Self::feed), of a text that is lent: it is copied to where it is written from.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it is ready, it has taken nothing.
    #[inline]
    pub fn feed_text(&mut self, text: &str) -> impl Future<Output = Result<(), Error>> {
        poll_fn(move |cx| self.poll_feed(cx, |machine| machine.send_text(text, Cause::Push)))
    }

    /// As [`feed_text`](Self::feed_text), of a binary message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`feed_text`](Self::feed_text).
    #[inline]
    pub fn feed_binary(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> {
        poll_fn(move |cx| self.poll_feed(cx, |machine| machine.send_binary(bytes, Cause::Push)))
    }

    /// Lets the machine send as soon as there is room.
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

    /// Writes what waits.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Safe: what is not written waits for the next call.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends a Ping of at most 125 bytes. It keeps the connection alive; its Pong is not given, but
    /// measured: see [`round_trip`](Self::round_trip).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::ControlPayloadTooLong`].
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.room().await?;
        let sent = self.link.sending().send_ping(payload);
        sent.map_err(|error| Error::Send(error.into()))?;
        self.round_trip = RoundTrip::Pinged {
            payload: payload.to_vec(),
            at: Instant::now(),
        };
        self.flush().await
    }

    /// How long the Pong took that answered the last [`ping`](Self::ping); `None` until it has come.
    /// [`recv`](Self::recv) takes it: while nobody calls that, time passes that is not the peer's.
    pub fn round_trip(&self) -> Option<Duration> {
        match self.round_trip {
            RoundTrip::Measured(time) => Some(time),
            _ => None,
        }
    }

    /// Starts the closing handshake: takes a Close behind what was sent before, and nothing after it.
    /// Whichever method is polled next writes it. Unlike [`close`](Self::close), this lets
    /// [`recv`](Self::recv) give what the peer sends until its own Close, for which it has the close
    /// timeout. Does nothing when a Close is sent already.
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
        // Refused when this side's Close is sent already.
        let _ = self.link.machine_mut().send_close(&reason, now);
        Ok(())
    }

    /// Closes the connection: sends a Close behind what was sent before, waits for the peer's, and ends
    /// the transport; messages that still come are dropped. It takes the close timeout at most, and
    /// does nothing more when it is called again.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the Close; dropped then, [`recv`](Self::recv) or another
    /// `close` finishes.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let reason = CloseReason::new(code, reason).map_err(SendError::from)?;
        if matches!(self.end, End::Open) {
            self.begin_close(&reason, Instant::now());
        }
        poll_fn(|cx| self.poll_end(cx)).await;
        self.end = End::Done;
        Ok(())
    }

    /// Takes messages of these lengths at most from now on, where it is said.
    pub(crate) fn limit_messages(&mut self, text: Option<u64>, binary: Option<u64>) {
        let machine = self.link.machine_mut();
        for (kind, limit) in [(MessageKind::Text, text), (MessageKind::Binary, binary)] {
            if let Some(bytes) = limit {
                machine.limit_messages(kind, bytes);
            }
        }
    }

    /// The same connection, driven by a task for those who send through `outbox`.
    pub(crate) fn into_driver(mut self, outbox: Arc<Outbox>) -> Driver<T> {
        self.link.give_whole();
        let reason = self.close_received().cloned();
        let driver = Driver::new(self.link, outbox);
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
        let message = ready!(self.poll_piece(cx, to_keep))?;
        Poll::Ready(Ok(message.map(|(message, _)| message)))
    }

    fn poll_recv_into(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut MessageBuffer,
    ) -> Poll<Result<bool, Error>> {
        self.link.give_whole();
        let came = ready!(self.poll_piece(cx, |whole| whole.put_into(message)))?;
        Poll::Ready(Ok(came.is_some()))
    }

    /// The next message or part of one, by `take`, and whether it is the last part.
    pub(super) fn poll_piece<M>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Whole<'_>) -> M,
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
            if self.link.ends_turn() {
                return self.poll_yield(cx);
            }
            match self.link.pull(&mut take) {
                Ok(Some(Received::Message(message))) => {
                    // The connection cannot know for how long the caller is busy with the message.
                    self.link.park();
                    return Poll::Ready(Ok(Some((message, true))));
                }
                Ok(Some(Received::Part(part, is_last))) => {
                    self.link.park();
                    return Poll::Ready(Ok(Some((part, is_last))));
                }
                Ok(Some(Received::Ping)) => continue,
                Ok(Some(Received::Pong(answer))) => {
                    if let RoundTrip::Pinged { payload, at } = &self.round_trip
                        && *payload == *answer
                    {
                        self.round_trip = RoundTrip::Measured(at.elapsed());
                    }
                    continue;
                }
                Ok(Some(Received::Close(_))) => {
                    self.end = End::Lingering(None);
                    continue;
                }
                // Fragments are counted when they have been read, together.
                Ok(None) if self.link.ends_turn() => return self.poll_yield(cx),
                Ok(None) => {}
                Err(error) => {
                    self.end = End::Lingering(Some(error.into()));
                    continue;
                }
            }
            // What is left of the input waits for the output that this input caused.
            let gated = self.link.machine().is_gated() || self.link.lacks_memory();
            if let Poll::Ready(Err(error)) = self.link.poll_write(cx) {
                self.lose(error.into());
                continue;
            }
            if gated {
                if !self.link.machine().is_gated() && !self.link.is_starved() {
                    continue;
                }
                // The peer has to read first, or other messages have to end: the peer's silence is not its own.
                self.link.pause_reading();
                if self.link.poll_memory(cx).is_ready() {
                    continue;
                }
            } else {
                self.link.resume_reading();
                if let Poll::Ready(read) = self.link.poll_read(cx) {
                    match read {
                        Ok(0) => self.lose(Error::UnexpectedEnd),
                        Ok(_) => {}
                        Err(error) => self.lose(error.into()),
                    }
                    continue;
                }
            }
            match ready_or_park(&mut self.link, cx) {
                Poll::Ready(Some(error)) => self.expire(error),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Lets the neighbours run, after writing what there is.
    fn poll_yield<R>(&mut self, cx: &mut Context<'_>) -> Poll<R> {
        if let Poll::Ready(Err(error)) = self.link.poll_write(cx) {
            self.lose(error.into());
        } else if let Poll::Ready(Some(expired)) = self.link.poll_timer(cx, |_| false) {
            self.expire(expired.into());
        }
        self.link.park();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn expire(&mut self, error: Error) {
        match error {
            // Its Close is owed, as after any broken rule.
            Error::Protocol(_) => self.end = End::Lingering(Some(error)),
            _ => self.lose(error),
        }
    }

    #[inline(always)]
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_full() {
            return self.poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }

    #[inline(never)]
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match self.link.poll_write(cx) {
                Poll::Ready(Ok(())) => {
                    self.link.park();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => {
                    self.link.lose();
                    self.end = End::Done;
                    return Poll::Ready(Err(error.into()));
                }
                Poll::Pending => {}
            }
            // Of the deadlines only the write's can pass: while the caller does not read, silence is
            // not the peer's own.
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
        // Refused when this side's Close is sent already: then there is only to wait.
        let _ = self.link.machine_mut().send_close(reason, now.into_std());
        self.end = End::Lingering(None);
    }

    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.end, End::Done) {
            return Poll::Ready(());
        }
        self.link.machine_mut().conclude(Instant::now().into_std());
        let polled = self.link.poll_linger(cx, |_| false);
        self.link.park();
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

/// A message to keep: one that lies among others is copied, so that it does not pin their buffer.
pub(super) fn to_keep(whole: Whole<'_>) -> Message {
    match whole {
        Whole::Lent(lent) => lent.into(),
        Whole::Assembled(buffer) => pool::into_message(buffer),
    }
}

fn ready_or_park<T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<T>,
    cx: &mut Context<'_>,
) -> Poll<Option<Error>> {
    let polled = link.poll_timer(cx, |_| false);
    if polled.is_pending() {
        link.park();
    }
    polled.map(|expired| expired.map(Error::from))
}
