//! `Stream` and `Sink` of the futures crates for connections and their halves. Their own methods do the same, and need no
//! traits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use sockeye_mailbox::{Item, SendError};
use sockeye_proto::{Cause, CloseCode, CloseReason, Message, Outgoing};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::plain::{Connection, End};
use super::split::{Receiver, Sender};
use crate::connection::direct::{Ended, Sending};
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

/// Sends by [`feed`](Connection::feed) and [`flush`](Connection::flush), and closes with 1000.
impl<T: AsyncRead + AsyncWrite + Unpin, M: Into<Outgoing>> Sink<M> for Connection<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), Error> {
        let sent = self
            .link
            .sending()
            .send_message(message.into(), Cause::Push);
        sent.map_err(|error| Error::Send(error.into()))
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

/// A [`Sender`] as a `Sink`, made by [`Sender::into_sink`].
///
/// It holds at most one message for which the connection has no room yet. Dropping the sink drops that message.
#[derive(Debug)]
pub struct SenderSink {
    sender: Sender,
    feeding: Option<Sending>,
    flushing: Option<Sending>,
    closing: Option<Ended>,
}

impl Sender {
    /// Turns this sender into a `Sink`, which waits for its own messages. Other clones of the sender stay as they are.
    ///
    /// ```no_run
    /// # async fn example() -> sockeye::Result {
    /// # async fn forward(_: impl futures_sink::Sink<String>) {}
    /// let ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
    /// let (sender, _receiver) = ws.split();
    /// forward(sender.clone().into_sink()).await;
    /// sender.send("and this").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_sink(self) -> SenderSink {
        SenderSink {
            sender: self,
            feeding: None,
            flushing: None,
            closing: None,
        }
    }
}

impl SenderSink {
    fn poll_feeding(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let fed = poll_stored(&mut self.feeding, cx);
        fed.map(|fed| fed.unwrap_or(Ok(())))
    }
}

/// Sends by [`feed`](Sender::feed) and [`flush`](Sender::flush), and closes with 1000.
impl<M: Into<Outgoing>> Sink<M> for SenderSink {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_feeding(cx)
    }

    /// # Errors
    ///
    /// [`SendError::Full`] if the sink was not ready.
    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), SendError> {
        if self.feeding.is_some() {
            return Err(SendError::Full);
        }
        let item = Item::Message(message.into());
        self.feeding = Some(self.sender.mailbox.send(item).until_taken());
        // The next flush has to include this message.
        self.flushing = None;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        ready!(self.poll_feeding(cx))?;
        let this = &mut *self;
        let mailbox = &this.sender.mailbox;
        this.flushing.get_or_insert_with(|| mailbox.flush());
        let flushed = ready!(poll_stored(&mut this.flushing, cx));
        Poll::Ready(flushed.unwrap_or(Ok(())))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        ready!(self.poll_feeding(cx))?;
        let this = &mut *self;
        let mailbox = &this.sender.mailbox;
        if this.closing.is_none() {
            mailbox.close(CloseReason::new(CloseCode::NORMAL, "")?);
        }
        let closing = this.closing.get_or_insert_with(|| mailbox.ended());
        ready!(Future::poll(Pin::new(closing), cx));
        Poll::Ready(Ok(()))
    }
}

/// Polls the stored future, if there is one, and drops it when it is ready.
fn poll_stored<F: Future + Unpin>(
    stored: &mut Option<F>,
    cx: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    let Some(future) = stored else {
        return Poll::Ready(None);
    };
    let output = ready!(Pin::new(future).poll(cx));
    *stored = None;
    Poll::Ready(Some(output))
}
