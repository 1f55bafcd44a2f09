//! A connection in two halves, with a task that drives it.

use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll};

use sockeye_mailbox::{Item, SendError};
use sockeye_proto::{
    CloseCode, CloseReason, FrameHeader, Message, MessageBuffer, MessageKind, Outgoing,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{SetOnce, mpsc};

use super::Connection;
use super::driver::{Driver, Ending, Next};
use super::pool;
use super::writer::{MessageWriter, writer};
use crate::connection::direct::Mailbox;
use crate::error::{Error, ErrorChain};
use crate::sync::Arc;

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<T> {
    /// Splits the connection into a sender, which can be cloned, and a receiver. Spawns the task that drives the
    /// connection: it answers pings and keeps deadlines, even if the application polls neither half. The task reads one
    /// message ahead of the receiver. Then it stops reading, which is the backpressure.
    ///
    /// After the receiver is dropped, the task discards what comes, and sending goes on. When the receiver and all senders
    /// are dropped, the connection closes with 1000.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn split(self) -> (Sender, Receiver) {
        let (sender, receiver, _) = self.split_with_end();
        (sender, receiver)
    }

    /// Splits the connection, and reports its end too.
    pub(crate) fn split_with_end(self) -> (Sender, Receiver, Arc<SetOnce<SplitEnd>>) {
        let mailbox = Mailbox::new(Mailbox::DEFAULT_LIMIT);
        let (messages, receiver) = mpsc::channel(1);
        let driver = self.into_driver(Arc::clone(&mailbox));
        let end = Arc::new(SetOnce::new());
        tokio::spawn(drive(
            driver,
            messages,
            Arc::clone(&mailbox),
            Arc::clone(&end),
        ));
        let guard = Arc::new(CloseOnDrop(mailbox));
        let sender = Sender {
            mailbox: Arc::clone(&guard.0),
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
    /// The error that ended the connection out of order.
    pub(crate) failure: Option<String>,
    /// The peer's Close.
    pub(crate) received: Option<CloseReason>,
    /// Whether every message that was taken was written.
    pub(crate) all_written: bool,
}

/// The sending half of a split connection. Clones send through the same connection, in fair order.
#[derive(Clone, Debug)]
pub struct Sender {
    pub(super) mailbox: Arc<Mailbox>,
    _guard: Arc<CloseOnDrop>,
}

impl Sender {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Sends a message, and completes when it is written.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing, or if it closes before the message is written.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the message. From then on the message is sent once, even if this future is
    /// dropped. If the future is dropped before, the message is not sent.
    pub async fn send(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        self.mailbox.send(Item::Message(message.into())).await
    }

    /// Queues a message, and completes before it is written. It waits only while more than 1 MiB is queued.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the message, as with [`send`](Self::send).
    pub async fn feed(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        let sending = self.mailbox.send(Item::Message(message.into()));
        sending.until_taken().await
    }

    /// Queues a message if there is room now.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], or [`SendError::Closed`] once the connection is closing.
    pub fn try_send(&self, message: impl Into<Outgoing>) -> Result<(), SendError> {
        self.mailbox.offer(Item::Message(message.into()), drop)?;
        Ok(())
    }

    /// Waits until every message that was queued before is written.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] if the connection closes before.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.mailbox.flush().await
    }

    /// Begins a text message that is sent in parts. It enters the queue with its first part.
    pub fn text_writer(&self) -> MessageWriter<'_> {
        writer(&self.mailbox, MessageKind::Text)
    }

    /// Begins a binary message that is sent in parts. It enters the queue with its first part.
    pub fn binary_writer(&self) -> MessageWriter<'_> {
        writer(&self.mailbox, MessageKind::Binary)
    }

    /// Sends a Ping of at most 125 bytes, ahead of messages that wait.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send), and [`SendError::ControlPayloadTooLong`].
    ///
    /// # Cancel safety
    ///
    /// The first poll takes the Ping, as with [`send`](Self::send).
    pub async fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        check_control(payload)?;
        self.mailbox.send(Item::Ping(payload.to_vec())).await
    }

    /// Closes the connection behind the messages sent before, and completes when the transport has ended: after the close
    /// timeout at most. The code and reason of the first call count.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    ///
    /// # Cancel safety
    ///
    /// The first poll asks for the Close. Dropping the future then does not take it back.
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.mailbox.close(CloseReason::new(code, reason)?);
        self.mailbox.ended().await;
        Ok(())
    }
}

/// The receiving half of a split connection.
pub struct Receiver {
    messages: mpsc::Receiver<Result<Message, Error>>,
    _guard: Arc<CloseOnDrop>,
}

impl Receiver {
    /// Receives the next message. `None` once the connection is closed in order.
    ///
    /// # Errors
    ///
    /// The error that ended the connection out of order, once. Then `None`.
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken no message.
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
struct CloseOnDrop(Arc<Mailbox>);

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
    mailbox: Arc<Mailbox>,
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
            Next::Part(_) | Next::Pong(_) | Next::Notice | Next::AnswerFailed(_) => {}
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
    let all_written = !driver.left_unwritten() && mailbox.unsent() == 0;
    drop(driver);
    drop(messages);
    mailbox.end(reason);
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
