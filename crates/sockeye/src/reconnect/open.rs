//! An open connection of a reconnecting client.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use sockeye_mailbox::SendError;
use sockeye_proto::{CloseReason, Message, Outgoing};

use super::queue::{self, PingWaiters, Queue};
use super::retry::Interruption;
use crate::connection::Connection;
use crate::error::Error;

/// The protocol that is spoken over a connection: it has frames of its own to send, and frames for the messages of the
/// application.
pub(super) trait Protocol {
    /// Returns the next frame of the protocol. It counts as sent.
    fn next_frame(&mut self) -> Option<Outgoing>;

    /// Returns whether [`next_frame`](Self::next_frame) may have a frame.
    fn has_frames(&self) -> bool;

    /// Makes the frame of a message of the application.
    fn frame_of(&self, message: Outgoing) -> Outgoing;
}

/// No protocol: a message is a frame.
pub(super) struct Plain;

impl Protocol for Plain {
    fn next_frame(&mut self) -> Option<Outgoing> {
        None
    }

    fn has_frames(&self) -> bool {
        false
    }

    fn frame_of(&self, message: Outgoing) -> Outgoing {
        message
    }
}

/// An open connection, and what it is to send.
pub(super) struct Open {
    pub(super) connection: Connection,
    greeting: VecDeque<Outgoing>,
    /// The messages of the application that the connection took and may not have written yet.
    pub(super) unwritten: Vec<Outgoing>,
    unwritten_bytes: usize,
    /// The senders that wait for the Pong of the Ping that was sent.
    pinged: PingWaiters,
    /// Whether this side has begun to close the connection.
    pub(super) is_closing: bool,
    /// Why it has, if not because the application asked for it.
    failure: Option<Interruption>,
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
            pinged: Vec::new(),
            is_closing: false,
            failure: None,
        }
    }

    /// Closes the connection. The reason for the end of the client is `failure`; `None` if the application asked.
    pub(super) fn begin_close(&mut self, reason: &CloseReason, failure: Option<Interruption>) {
        self.is_closing = true;
        self.failure = failure;
        let (code, text) = (reason.code(), reason.reason());
        let started = self.connection.start_closing_handshake(code, text);
        debug_assert!(started.is_ok(), "a reason that a Close may carry");
    }

    /// Returns why the client has ended with this connection, after [`poll`](Self::poll) has said how that ended.
    pub(super) fn take_failure(&mut self) -> Option<Interruption> {
        self.failure.take()
    }

    /// Gives the connection the messages that wait, as far as it has room, and receives a message.
    pub(super) fn poll(
        &mut self,
        protocol: &mut impl Protocol,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        loop {
            self.begin_ping(queue, cx);
            let fed = self.poll_feed(protocol, queue, cx)?;
            let received = pin!(self.connection.recv()).poll(cx);
            // A Ping that was asked for meanwhile is sent now.
            if self.end_ping() && received.is_pending() {
                continue;
            }
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

    /// Sends a Ping if a sender has asked for one, and none is on its way.
    fn begin_ping(&mut self, queue: &Queue, cx: &Context<'_>) {
        if !self.pinged.is_empty() {
            return;
        }
        self.pinged = queue.take_pings(cx);
        if self.pinged.is_empty() {
            return;
        }
        // A connection that is closing takes none: then the waiters learn that there is no Pong.
        let payload: [u8; 8] = rand::random();
        if self.connection.push_ping(&payload).is_err() {
            self.pinged = Vec::new();
        }
    }

    /// Tells the waiters the time of the round trip, if the Pong has come. Returns whether it has.
    fn end_ping(&mut self) -> bool {
        if self.pinged.is_empty() {
            return false;
        }
        let Some(time) = self.connection.round_trip() else {
            return false;
        };
        for waiter in self.pinged.drain(..) {
            // A waiter that is gone wants nothing.
            let _ = waiter.send(time);
        }
        true
    }

    /// Gives messages to the connection. Ready when no message waits.
    fn poll_feed(
        &mut self,
        protocol: &mut impl Protocol,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        while !self.is_closing {
            let next = if let Some(message) = self.greeting.front() {
                Next::Greeting(message.clone())
            } else if protocol.has_frames() {
                Next::Frame
            } else if let Some(message) = queue.front(cx) {
                Next::Queued(message)
            } else {
                if let Some(reason) = queue.closing(cx) {
                    self.begin_close(&reason, None);
                }
                break;
            };
            if self.unwritten_bytes >= UNWRITTEN_MARK {
                return Poll::Pending;
            }
            ready!(self.connection.poll_room(cx))?;
            // A frame of the protocol cannot be taken back, so it is not made when the connection takes none.
            if self.connection.close_received().is_some() {
                break;
            }
            let frame = match &next {
                Next::Greeting(message) | Next::Queued(message) => {
                    protocol.frame_of(message.clone())
                }
                Next::Frame => match protocol.next_frame() {
                    Some(frame) => frame,
                    None => continue,
                },
            };
            let bytes = queue::size(&frame);
            match self.connection.push(frame) {
                Ok(()) => {}
                // The cause of the closing is received next. The message waits for another connection.
                Err(Error::Send(SendError::Closed)) => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
            match next {
                Next::Greeting(_) => drop(self.greeting.pop_front()),
                Next::Frame => self.unwritten_bytes += bytes,
                Next::Queued(message) => {
                    queue.pop();
                    self.unwritten_bytes += bytes;
                    self.unwritten.push(message);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What the connection is to take next.
enum Next {
    Greeting(Outgoing),
    Frame,
    Queued(Outgoing),
}
