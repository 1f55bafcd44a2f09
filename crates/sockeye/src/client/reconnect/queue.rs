//! What waits for a connection, shared with those who send. Knows nothing of connections.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Waker};

use sockeye_proto::{CloseCode, CloseReason, Outgoing};

use crate::error::SendError;
use crate::sync::{self, Arc, Mutex, MutexGuard};

/// Sends messages over whatever connection a [`Reconnecting`](super::Reconnecting) has. Clones share one queue.
#[derive(Clone)]
pub struct ReconnectSender(pub(super) Arc<Queue>);

pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    limit: usize,
    close: Option<CloseReason>,
    // Nobody takes anything any more.
    is_over: bool,
    taker: Option<Waker>,
}

/// What a message takes beside its payload.
const OVERHEAD: usize = 64;

impl ReconnectSender {
    /// Takes a message to be sent when there is a connection, in order behind those that wait.
    ///
    /// # Errors
    ///
    /// [`QueueError`], with the message: the queue is full, or there will be no connection any more.
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

    /// The bytes that wait: payloads, and 64 for each message.
    pub fn queued_bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Ends it: with a Close behind what waits where there is a connection, at once where there is none. The
    /// first reason given counts.
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

    /// The first message, which stays until it is [popped](Self::pop); who takes is woken for a later one.
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

    /// Whether and how it is to end; who takes is woken when it is.
    pub(super) fn closing(&self, cx: &Context<'_>) -> Option<CloseReason> {
        let mut waiting = self.lock();
        waiting.watch(cx);
        waiting.close.clone()
    }

    /// Takes no more, and gives what is left.
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

/// Why a message was not taken; it is in here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// It is closing, or has ended.
    #[error("there will be no connection any more")]
    Closed(Outgoing),
    /// With it more bytes would wait than the limit allows.
    #[error("as many bytes wait for a connection as the limit allows")]
    Full(Outgoing),
}

impl QueueError {
    /// The message that was not taken.
    pub fn into_message(self) -> Outgoing {
        match self {
            Self::Closed(message) | Self::Full(message) => message,
        }
    }
}
