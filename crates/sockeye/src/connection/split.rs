//! A connection in two halves, with a task that drives it.

use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll};

use sockeye_proto::{
    CloseCode, CloseReason, FrameHeader, Message, MessageBuffer, MessageKind, Outgoing,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{SetOnce, mpsc};

use super::Connection;
use super::driver::{Driver, Ending, Next};
use super::outbox::{Item, Outbox};
use super::pool;
use super::writer::{MessageWriter, writer};
use crate::error::{Error, ErrorChain, SendError};
use crate::sync::Arc;

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<T> {
    /// Splits the connection into a sender, of which there may be many, and a receiver, and spawns the
    /// task that drives it: pings are answered and deadlines kept whether or not anybody polls. The
    /// receiver is one message behind the task; then reading stops, which is the backpressure.
    ///
    /// Dropping the receiver discards what comes and keeps the rest going; dropping all of both halves
    /// closes the connection with 1000.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn split(self) -> (Sender, Receiver) {
        let (sender, receiver, _) = self.split_with_end();
        (sender, receiver)
    }

    /// Tells how it ended as well.
    pub(crate) fn split_with_end(self) -> (Sender, Receiver, Arc<SetOnce<SplitEnd>>) {
        let outbox = Outbox::new(Outbox::DEFAULT_LIMIT);
        let (messages, receiver) = mpsc::channel(1);
        let driver = self.into_driver(Arc::clone(&outbox));
        let end = Arc::new(SetOnce::new());
        tokio::spawn(drive(
            driver,
            messages,
            Arc::clone(&outbox),
            Arc::clone(&end),
        ));
        let guard = Arc::new(CloseOnDrop(outbox));
        let sender = Sender {
            outbox: Arc::clone(&guard.0),
            _guard: Arc::clone(&guard),
        };
        let receiver = Receiver {
            messages: receiver,
            _guard: guard,
        };
        (sender, receiver, end)
    }
}

/// How a split connection ended.
#[derive(Debug)]
pub(crate) struct SplitEnd {
    /// What broke it.
    pub(crate) failure: Option<String>,
    /// The peer's Close.
    pub(crate) received: Option<CloseReason>,
    /// Whether all that was taken was written.
    pub(crate) all_written: bool,
}

/// The sending half of a split connection. Clones send through the same connection, in fair order.
#[derive(Clone, Debug)]
pub struct Sender {
    pub(super) outbox: Arc<Outbox>,
    _guard: Arc<CloseOnDrop>,
}

impl Sender {
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Sends a message, and completes when it is written.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing, also when it closes before the message is
    /// written.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the message: from then on it is sent once, whether or not
    /// this future is dropped. Dropped before, it is not sent.
    pub async fn send(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        self.outbox.send(Item::Message(message.into())).await
    }

    /// Takes a message to be written, waiting only while more than 1 MiB waits before it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn feed(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        self.outbox.feed(Item::Message(message.into())).await
    }

    /// Takes a message to be written, if there is room now.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], or [`SendError::Closed`] once the connection is closing.
    pub fn try_send(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        self.outbox.try_push(Item::Message(message.into()))?;
        Ok(())
    }

    /// Completes when everything that was taken before is written.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the connection closes before.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.outbox.flush().await
    }

    /// A text message to be sent in parts, as they are made. It takes its turn with its first part.
    pub fn text_writer(&self) -> MessageWriter<'_> {
        writer(&self.outbox, MessageKind::Text)
    }

    /// As [`text_writer`](Self::text_writer), of a binary message.
    pub fn binary_writer(&self) -> MessageWriter<'_> {
        writer(&self.outbox, MessageKind::Binary)
    }

    /// Sends a Ping of at most 125 bytes, ahead of messages that wait.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::ControlPayloadTooLong`].
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        check_control(payload)?;
        self.outbox.send(Item::Ping(payload.to_vec())).await
    }

    /// Closes the connection behind what was sent before, and completes when the transport has ended:
    /// after the close timeout at most. The first reason given counts.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    ///
    /// # Cancel safety
    ///
    /// The first poll asks for the Close; the rest is waiting.
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.outbox.close(CloseReason::new(code, reason)?);
        self.outbox.ended().await;
        Ok(())
    }
}

/// The receiving half of a split connection.
pub struct Receiver {
    messages: mpsc::Receiver<Result<Message, Error>>,
    _guard: Arc<CloseOnDrop>,
}

impl Receiver {
    /// Receives the next message; `None` once the connection is closed in order.
    ///
    /// # Errors
    ///
    /// Once, what ended the connection out of order; then `None`.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it is ready, it has taken nothing.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.messages.recv().await.transpose()
    }

    pub(super) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        self.messages.poll_recv(cx)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// Closes the connection when the last half is gone.
#[derive(Debug)]
struct CloseOnDrop(Arc<Outbox>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Ok(reason) = CloseReason::new(CloseCode::NORMAL, "") {
            self.0.close(reason);
        }
    }
}

async fn drive<T: AsyncRead + AsyncWrite + Unpin>(
    mut driver: Driver<T>,
    messages: mpsc::Sender<Result<Message, Error>>,
    outbox: Arc<Outbox>,
    end: Arc<SetOnce<SplitEnd>>,
) {
    let mut message = MessageBuffer::default();
    loop {
        match driver.next(&mut message).await {
            Next::Message => {
                let message = pool::into_message(std::mem::take(&mut message));
                // Fails when the receiver is gone: what comes is discarded then.
                let _ = driver.alongside(pin!(messages.send(Ok(message)))).await;
            }
            Next::Part(_) | Next::Pong(_) | Next::AnswerFailed(_) => {}
            Next::End => break,
        }
    }
    let ending = driver.take_ending();
    let reason = ending.reason();
    driver.settle();
    let mut failure = None;
    if let Ending::Failed(error) = ending {
        failure = Some(ErrorChain::new(&error).to_string());
        let _ = driver.alongside(pin!(messages.send(Err(error)))).await;
    }
    let received = driver.linger().await;
    let all_written = !driver.left_unwritten() && outbox.unsent() == 0;
    drop(driver);
    drop(messages);
    outbox.end(reason);
    // Only this task sets it.
    let _ = end.set(SplitEnd {
        failure,
        received,
        all_written,
    });
}

/// §5.5: a control frame carries 125 bytes at most.
pub(crate) fn check_control(payload: &[u8]) -> Result<(), SendError> {
    if payload.len() > FrameHeader::MAX_CONTROL_PAYLOAD {
        return Err(SendError::ControlPayloadTooLong { len: payload.len() });
    }
    Ok(())
}
