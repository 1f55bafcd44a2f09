//! A connection in two halves, with a task that drives it.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use sockeye_mailbox::{Item, SendError};
use sockeye_proto::{
    CloseCode, CloseReason, FrameHeader, Message, MessageBuffer, MessageKind, Outgoing,
    WholeMessage,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{SetOnce, mpsc};

use super::Connection;
use super::driver::{Answer, AnswerAtOnce, Answered, Driver, Ending, Next};
use super::event::ConnectionEvent;
use super::link::Wanted;
use super::pool;
use super::sinking::Sinking;
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
    pub(crate) fn split_with_end(self) -> (Sender, Receiver, Arc<SplitState>) {
        let mailbox = Mailbox::new(Mailbox::DEFAULT_LIMIT);
        let (events, receiver) = mpsc::channel(1);
        let driver = self.into_driver(Arc::clone(&mailbox));
        let state = Arc::new(SplitState::default());
        tokio::spawn(drive(
            driver,
            events,
            Arc::clone(&mailbox),
            Arc::clone(&state),
        ));
        let guard = Arc::new(CloseOnDrop(mailbox));
        let sender = Sender {
            mailbox: Arc::clone(&guard.0),
            sinking: None,
            guard: Arc::clone(&guard),
        };
        let receiver = Receiver {
            events: receiver,
            state: Arc::clone(&state),
            guard,
        };
        (sender, receiver, state)
    }
}

/// What the halves of a split connection know of its task.
#[derive(Debug, Default)]
pub(crate) struct SplitState {
    pub(crate) end: SetOnce<SplitEnd>,
    // Whether the receiver wants Pings and Pongs.
    wants_control: AtomicBool,
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
///
/// It is a [`Sink`](futures_sink::Sink) of messages too, so that `receiver.forward(sender)` of the futures crates compiles.
/// As a sink it waits for its own messages: its clones do not know of them. Where the methods of `SinkExt` have the names
/// of this type's own, [`into_sink`](Self::into_sink) makes them reachable.
#[derive(Debug)]
pub struct Sender {
    pub(super) mailbox: Arc<Mailbox>,
    // What it waits for as a `Sink`.
    pub(super) sinking: Option<Box<Sinking>>,
    guard: Arc<CloseOnDrop>,
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        Self {
            mailbox: Arc::clone(&self.mailbox),
            sinking: None,
            guard: Arc::clone(&self.guard),
        }
    }
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

    /// Sends a Pong that answers no Ping, of at most 125 bytes, ahead of messages that wait. The connection answers the
    /// peer's Pings itself.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send), and [`SendError::ControlPayloadTooLong`].
    ///
    /// # Cancel safety
    ///
    /// The first poll takes the Pong, as with [`send`](Self::send).
    pub async fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        check_control(payload)?;
        self.mailbox.send(Item::Pong(payload.to_vec())).await
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
    events: mpsc::Receiver<Result<ConnectionEvent, Error>>,
    state: Arc<SplitState>,
    guard: Arc<CloseOnDrop>,
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
        poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// Receives the next message, Ping or Pong. `None` once the connection is closed in order.
    ///
    /// The first poll asks for Pings and Pongs: the task hands on those that come from then on, and
    /// [`recv`](Self::recv) skips them. Pings are answered in any case. The task reads no further than one message, Ping or
    /// Pong ahead of the receiver.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has taken nothing.
    pub async fn recv_event(&mut self) -> Result<Option<ConnectionEvent>, Error> {
        self.state.wants_control.store(true, Ordering::Relaxed);
        self.events.recv().await.transpose()
    }

    /// The reason for which the connection was closed: the peer's Close, or this side's if it was sent first. If there was
    /// no Close, the code is 1006, and the reason names the cause. `None` while the connection is open.
    ///
    /// It is known when [`recv`](Self::recv) returns `None` or an error, and may be known before, while a message waits.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.guard.0.end_reason()
    }

    pub(super) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        loop {
            match ready!(self.events.poll_recv(cx)) {
                Some(Ok(event)) => {
                    if let Some(message) = event.into_message() {
                        return Poll::Ready(Some(Ok(message)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Answers no message, and asks the receiver whether it wants Pings.
struct Unanswered<'s>(&'s SplitState);

impl AnswerAtOnce for Unanswered<'_> {
    fn wanted(&self) -> Wanted {
        Wanted {
            pings: self.0.wants_control.load(Ordering::Relaxed),
            ..Wanted::default()
        }
    }

    #[inline]
    fn answer(&mut self, _message: WholeMessage<'_>, _answer: Answer<'_, '_>) -> Answered {
        Answered::Declined
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
    events: mpsc::Sender<Result<ConnectionEvent, Error>>,
    mailbox: Arc<Mailbox>,
    state: Arc<SplitState>,
) {
    let mut message = MessageBuffer::default();
    loop {
        let unanswered = Unanswered(&state);
        let event = match driver.next_unanswered(&mut message, unanswered).await {
            Next::Message => {
                let message = pool::into_message(std::mem::take(&mut message));
                ConnectionEvent::Message(message)
            }
            Next::Ping(payload) => ConnectionEvent::Ping(payload.into()),
            Next::Pong(payload) if state.wants_control.load(Ordering::Relaxed) => {
                ConnectionEvent::Pong(payload.into())
            }
            Next::Part(_) | Next::Pong(_) | Next::Notice | Next::AnswerFailed(_) => continue,
            Next::End => break,
        };
        // Fails when the receiver is gone: what comes is discarded then.
        let _ = driver.alongside(pin!(events.send(Ok(event)))).await;
    }
    let ending = driver.take_ending();
    let reason = ending.reason();
    mailbox.note_end(reason.clone());
    driver.settle();
    let mut failure = None;
    if let Ending::Failed(error) = ending {
        failure = Some(ErrorChain::new(&error).to_string());
        let _ = driver.alongside(pin!(events.send(Err(error)))).await;
    }
    let received = driver.linger().await;
    let all_written = !driver.left_unwritten() && mailbox.unsent() == 0;
    drop(driver);
    drop(events);
    mailbox.end(reason);
    // Only this task sets it.
    let _ = state.end.set(SplitEnd {
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
