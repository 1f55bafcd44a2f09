//! `Stream` and `Sink` of the futures crates for connections and their halves. Their own methods do the same, and need no
//! traits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use sockeye_mailbox::{Item, SendError};
use sockeye_proto::{CloseCode, CloseReason, Message};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::plain::{Connection, End};
use super::sinking::poll_stored;
use super::split::{Receiver, Sender};
use crate::error::Error;

/// The messages of [`recv`](Connection::recv). The stream ends when the connection is closed in order, and after an error.
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for Connection<T> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = self.take_plain(|lent| lent.into()) {
            return Poll::Ready(Some(Ok(message)));
        }
        self.poll_recv(cx).map(Result::transpose)
    }
}

/// Sends by [`feed`](Connection::feed) and [`flush`](Connection::flush), and closes with 1000. It is a sink of messages
/// alone, so that a call such as `SinkExt::close` needs no type: [`feed`](Connection::feed) takes an
/// [`Outgoing`](sockeye_proto::Outgoing).
impl<T: AsyncRead + AsyncWrite + Unpin> Sink<Message> for Connection<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.push(message.into())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if matches!(self.end, End::Open) {
            let reason = CloseReason::new(CloseCode::NORMAL, "").map_err(SendError::from)?;
            self.begin_close(&reason, Instant::now());
        }
        ready!(self.poll_end(cx));
        self.end = End::Done;
        Poll::Ready(Ok(()))
    }
}

/// The messages of [`recv`](Receiver::recv).
impl Stream for Receiver {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

/// Sends by [`feed`](Sender::feed) and [`flush`](Sender::flush), and closes with 1000.
///
/// It holds at most one message for which the connection has no room yet. Dropping the sender drops that message.
impl Sink<Message> for Sender {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.sinking {
            Some(sinking) => sinking.poll_feeding(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// # Errors
    ///
    /// [`SendError::Full`] if the sink was not ready.
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        let Self {
            mailbox, sinking, ..
        } = &mut *self;
        let sinking = sinking.get_or_insert_default();
        if sinking.feeding.is_some() {
            return Err(SendError::Full.into());
        }
        sinking.feeding = Some(mailbox.send(Item::Message(message.into())).until_taken());
        // The next flush has to include this message.
        sinking.flushing = None;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self {
            mailbox, sinking, ..
        } = &mut *self;
        let sinking = sinking.get_or_insert_default();
        ready!(sinking.poll_feeding(cx))?;
        sinking.flushing.get_or_insert_with(|| mailbox.flush());
        let flushed = ready!(poll_stored(&mut sinking.flushing, cx));
        Poll::Ready(flushed.unwrap_or(Ok(())).map_err(Error::Send))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self {
            mailbox, sinking, ..
        } = &mut *self;
        let sinking = sinking.get_or_insert_default();
        ready!(sinking.poll_feeding(cx))?;
        if sinking.closing.is_none() {
            mailbox.close(CloseReason::new(CloseCode::NORMAL, "").map_err(SendError::from)?);
        }
        let closing = sinking.closing.get_or_insert_with(|| mailbox.ended());
        ready!(Future::poll(Pin::new(closing), cx));
        Poll::Ready(Ok(()))
    }
}

/// A [`Sender`] that is a `Sink` alone, made by [`Sender::into_sink`]: the methods of `SinkExt` have no rivals here.
#[derive(Debug)]
pub struct SenderSink(Sender);

impl Sender {
    /// Turns this sender into a `Sink`. Other clones of the sender stay as they are.
    ///
    /// ```no_run
    /// use futures_util::SinkExt;
    ///
    /// # async fn example() -> sockeye::Result {
    /// let ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
    /// let (sender, _receiver) = ws.split();
    /// let mut sink = sender.into_sink();
    /// sink.send("hello".into()).await?;
    /// sink.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_sink(self) -> SenderSink {
        SenderSink(self)
    }
}

/// The sink of the [`Sender`].
impl Sink<Message> for SenderSink {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.0).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        Pin::new(&mut self.0).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
