//! The queue of messages that wait for a connection, shared with its senders. Knows nothing of connections.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Waker};
use std::time::Duration;

use sockeye_mailbox::SendError;
use sockeye_proto::{CloseCode, CloseReason, Outgoing};
use tokio::sync::{Notify, oneshot};

use crate::sync::{self, Arc, Mutex, MutexGuard};

/// Sends messages over the current connection of a [`Reconnecting`](super::Reconnecting). Clones share one queue.
#[derive(Clone)]
pub struct ReconnectSender(pub(super) Arc<Queue>);

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Tells the senders that wait for room.
    room: Notify,
}

/// The senders that wait for the Pong of one Ping.
pub(super) type PingWaiters = Vec<oneshot::Sender<Duration>>;

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    limit: usize,
    close: Option<CloseReason>,
    // The `Reconnecting` has ended: it takes no more messages.
    is_over: bool,
    // There is a connection, so a Ping may be sent.
    is_connected: bool,
    pings: PingWaiters,
    taker: Option<Waker>,
}

/// The bytes that a message counts beside its payload.
const OVERHEAD: usize = 64;

impl ReconnectSender {
    /// Queues a message behind those that wait. It is sent when there is a connection.
    ///
    /// # Errors
    ///
    /// [`QueueError`], which holds the message: the queue is full, or the client is closing or has ended.
    pub fn send(&self, message: impl Into<Outgoing>) -> Result<(), QueueError> {
        self.0.lock().push(message.into())
    }

    /// Queues a message behind those that wait, as soon as the queue has room for it. Messages of one task keep their
    /// order. Tasks that wait for room are served in any order.
    ///
    /// # Errors
    ///
    /// [`QueueError`], which holds the message: the client is closing or has ended, or the message alone exceeds the
    /// queue's limit.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room queues the message. If the future is dropped before, the message is not queued.
    pub async fn feed(&self, message: impl Into<Outgoing>) -> Result<(), QueueError> {
        let mut message = message.into();
        loop {
            // Before the look: room that is made meanwhile counts.
            let room = self.0.room.notified();
            {
                let mut waiting = self.0.lock();
                let fits = size(&message) <= waiting.limit;
                match waiting.push(message) {
                    Err(QueueError::Full(back)) if fits => message = back,
                    pushed => return pushed,
                }
            }
            room.await;
        }
    }

    /// Sends a Ping over the current connection, ahead of the messages that wait, and completes with the time until its
    /// Pong. `None` if there is no connection, or if it ends before.
    ///
    /// The Ping leaves, and the Pong is taken, while [`Reconnecting::next`](super::Reconnecting::next) is polled: the time
    /// in which it is not counts too. Calls at one time share a Ping.
    ///
    /// ```no_run
    /// use sockeye::Client;
    ///
    /// # async fn example() -> sockeye::Result {
    /// let mut feed = Client::new().reconnecting("wss://feed.example/")?;
    /// let sender = feed.sender();
    /// tokio::spawn(async move {
    ///     println!("the server is {:?} away", sender.ping().await);
    /// });
    /// while let Some(event) = feed.next().await {
    ///     println!("{event:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// The first poll asks for the Ping, which is then sent even if the future is dropped.
    pub async fn ping(&self) -> Option<Duration> {
        let measured = {
            let mut waiting = self.0.lock();
            if !waiting.is_connected {
                return None;
            }
            let (waiter, measured) = oneshot::channel();
            waiting.pings.push(waiter);
            waiting.wake();
            measured
        };
        measured.await.ok()
    }

    /// The bytes that wait: the payloads, and 64 bytes for each message.
    pub fn queued_bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Closes the client. With a connection, a Close is sent behind the messages that wait. Without one, the client
    /// ends at once. The reason of the first call counts.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let reason = CloseReason::new(code, reason)?;
        let mut waiting = self.0.lock();
        waiting.close.get_or_insert(reason);
        waiting.wake();
        drop(waiting);
        self.0.room.notify_waiters();
        Ok(())
    }
}

impl fmt::Debug for ReconnectSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectSender").finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                limit,
                ..Waiting::default()
            }),
            room: Notify::new(),
        }
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
    }

    /// Returns the first message, which stays until it is [popped](Self::pop). Without a message, the task is woken
    /// by the next one.
    pub(super) fn front(&self, cx: &Context<'_>) -> Option<Outgoing> {
        let mut waiting = self.lock();
        let front = waiting.messages.front().cloned();
        if front.is_none() {
            waiting.watch(cx);
        }
        front
    }

    pub(super) fn pop(&self) {
        let mut waiting = self.lock();
        if let Some(message) = waiting.messages.pop_front() {
            waiting.bytes -= size(&message);
        }
        drop(waiting);
        self.room.notify_waiters();
    }

    /// Notes whether there is a connection. Without one no sender waits for a Pong.
    pub(super) fn set_connected(&self, is_connected: bool) {
        let mut waiting = self.lock();
        waiting.is_connected = is_connected;
        waiting.pings = Vec::new();
    }

    /// Takes the senders that have asked for a Ping. Without any, the task is woken by the next one.
    pub(super) fn take_pings(&self, cx: &Context<'_>) -> PingWaiters {
        let mut waiting = self.lock();
        waiting.watch(cx);
        std::mem::take(&mut waiting.pings)
    }

    /// Returns the reason to close with, if a sender has asked for a Close. The task is woken by that.
    pub(super) fn closing(&self, cx: &Context<'_>) -> Option<CloseReason> {
        let mut waiting = self.lock();
        waiting.watch(cx);
        waiting.close.clone()
    }

    /// Ends the queue, and returns the messages that are left.
    pub(super) fn end(&self) -> Vec<Outgoing> {
        let mut waiting = self.lock();
        waiting.is_over = true;
        waiting.bytes = 0;
        waiting.is_connected = false;
        waiting.pings = Vec::new();
        let unsent = std::mem::take(&mut waiting.messages);
        drop(waiting);
        self.room.notify_waiters();
        unsent.into()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        sync::lock(&self.waiting)
    }
}

impl Waiting {
    /// Queues a message, or gives it back.
    fn push(&mut self, message: Outgoing) -> Result<(), QueueError> {
        if self.is_over || self.close.is_some() {
            return Err(QueueError::Closed(message));
        }
        let bytes = self.bytes.saturating_add(size(&message));
        if bytes > self.limit {
            return Err(QueueError::Full(message));
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        self.wake();
        Ok(())
    }

    fn watch(&mut self, cx: &Context<'_>) {
        match &mut self.taker {
            Some(taker) => taker.clone_from(cx.waker()),
            None => self.taker = Some(cx.waker().clone()),
        }
    }

    fn wake(&mut self) {
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }
}

pub(super) fn size(message: &Outgoing) -> usize {
    message.message().as_bytes().len().saturating_add(OVERHEAD)
}

/// The error for a message that was not queued. It holds the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The client is closing or has ended.
    #[error("the reconnecting client is closing or has ended")]
    Closed(Outgoing),
    /// The message would exceed the queue's limit.
    #[error("the queue of messages is full")]
    Full(Outgoing),
}

impl QueueError {
    /// Returns the message that was not queued.
    pub fn into_message(self) -> Outgoing {
        match self {
            Self::Closed(message) | Self::Full(message) => message,
        }
    }
}
