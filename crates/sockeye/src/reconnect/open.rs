//! An open connection of a reconnecting client.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use sockeye_mailbox::SendError;
use sockeye_proto::{Message, Outgoing};

use super::queue::{self, Queue};
use crate::connection::Connection;
use crate::error::Error;

/// An open connection, and what it is to send.
pub(super) struct Open {
    pub(super) connection: Connection,
    greeting: VecDeque<Outgoing>,
    /// The messages that the connection took and may not have written yet.
    pub(super) unwritten: Vec<Outgoing>,
    unwritten_bytes: usize,
    pub(super) is_closing: bool,
}

/// The number of unwritten bytes from which on the connection gets no more messages.
const UNWRITTEN_MARK: usize = 64 * 1024;

impl Open {
    pub(super) fn new(connection: Connection, greeting: Vec<Outgoing>) -> Self {
        Self {
            connection,
            greeting: greeting.into(),
            unwritten: Vec::new(),
            unwritten_bytes: 0,
            is_closing: false,
        }
    }

    /// Gives the connection the messages that wait, as far as it has room, and receives a message.
    pub(super) fn poll(
        &mut self,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        loop {
            let fed = self.poll_feed(queue, cx)?;
            let received = pin!(self.connection.recv()).poll(cx);
            // When the connection has ended, its unwritten messages are lost: they stay in `unwritten`.
            let is_open = matches!(received, Poll::Pending | Poll::Ready(Ok(Some(_))));
            if is_open && self.connection.has_written() {
                self.unwritten.clear();
                self.unwritten_bytes = 0;
                // Now there is room for the messages that had none.
                if fed.is_pending() && received.is_pending() {
                    continue;
                }
            }
            return received;
        }
    }

    /// Gives messages to the connection. Ready when no message waits.
    fn poll_feed(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.is_closing {
            let greeting = self.greeting.front().cloned();
            let is_greeting = greeting.is_some();
            let Some(message) = greeting.or_else(|| queue.front(cx)) else {
                if let Some(reason) = queue.closing(cx) {
                    self.is_closing = true;
                    let (code, text) = (reason.code(), reason.reason());
                    let started = self.connection.start_closing_handshake(code, text);
                    debug_assert!(started.is_ok(), "checked when it was asked for");
                }
                break;
            };
            if self.unwritten_bytes >= UNWRITTEN_MARK {
                return Poll::Pending;
            }
            match ready!(pin!(self.connection.feed(message.clone())).poll(cx)) {
                Ok(()) if is_greeting => drop(self.greeting.pop_front()),
                Ok(()) => {
                    queue.pop();
                    self.unwritten_bytes += queue::size(&message);
                    self.unwritten.push(message);
                }
                // The cause of the closing is received next. The message waits for another connection.
                Err(Error::Send(SendError::Closed)) => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
