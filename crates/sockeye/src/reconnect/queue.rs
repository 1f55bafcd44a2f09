//! The queue of messages that wait for a connection, shared with its senders. Knows nothing of connections.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Waker};

use sockeye_mailbox::SendError;
use sockeye_proto::{CloseCode, CloseReason, Outgoing};

use crate::sync::{self, Arc, Mutex, MutexGuard};

/// Sends messages over the current connection of a [`Reconnecting`](super::Reconnecting). Clones share one queue.
#[derive(Clone)]
pub struct ReconnectSender(pub(super) Arc<Queue>);

pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    limit: usize,
    close: Option<CloseReason>,
    // The `Reconnecting` has ended: it takes no more messages.
    is_over: bool,
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
        let message = message.into();
        let mut waiting = self.0.lock();
        if waiting.is_over || waiting.close.is_some() {
            return Err(QueueError::Closed(message));
        }
        let bytes = waiting.bytes.saturating_add(size(&message));
        if bytes > waiting.limit {
            return Err(QueueError::Full(message));
        }
        waiting.bytes = bytes;
        waiting.messages.push_back(message);
        waiting.wake();
        Ok(())
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
        Self(Mutex::new(Waiting {
            limit,
            ..Waiting::default()
        }))
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
        std::mem::take(&mut waiting.messages).into()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        sync::lock(&self.0)
    }
}

impl Waiting {
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
