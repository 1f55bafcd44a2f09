//! Drives one connection for an endpoint or a split connection: reads, hands on what came, coalesces
//! what is sent, and goes on with all of it while a handler is suspended. Knows nothing of endpoints:
//! it gives one [`Next`] after another, and runs a handler's future beside its own work. A handler that has no
//! future is called where a message lies, by way of [`AnswerAtOnce`]: so reading, answering and writing are one poll.
//!
//! ```text
//!          ┌────────────────────── no input left ──────────────────────┐
//!          ▼                                                           │
//!   events of the read ──▶ outbox to output, one write ──▶ read ───────┘
//!          │                                                 │ nothing to read
//!          ▼                                                 ▼
//!        Next                              park: no buffers, one waker in the outbox
//! ```
//!
//! While a handler is suspended the same loop runs until it has one `Next` ahead; then reading stops,
//! and that is the backpressure. A Close or a broken rule found ahead waits there too: it takes effect
//! when it is handed on, or when the machine's deadline for the Close that it owes passes.

use std::collections::VecDeque;
use std::fmt;
use std::task::Waker;
use std::time::Duration;

use sockeye_proto::{MessageBuffer, WholeMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::{InParts, Link, Whole};
use super::outbox::{Directive, News, Outbox, Reached};
use super::permit::SessionPermit;
use super::pool;
use crate::error::Error;
use crate::sync::Arc;

mod answer;
mod beside;
mod ending;
mod flush;
pub(crate) mod rest;
mod turn;

pub(crate) use self::answer::{Answer, AnswerAtOnce, Answered};
use self::ending::Ended;
pub(crate) use self::ending::Ending;

/// What a connection's owner has to act on.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is in the buffer that was given.
    Message,
    /// A part of a message is in the buffer that was given; the last one, or not.
    Part(bool),
    Pong(Vec<u8>),
    /// Why an [answer](AnswerAtOnce::answer) was not sent: the handler's error, or that of sending.
    AnswerFailed(Error),
    /// Nothing comes any more: [`Driver::ending`] says why.
    End,
}

// In this order, as `Link` too: what a task that is woken to send looks at lies side by side. Of many
// connections each line of the processor's cache has to be fetched.
#[repr(C)]
pub(crate) struct Driver<T> {
    link: Link<T>,
    outbox: Arc<Outbox>,
    ahead: Option<Box<(Next, MessageBuffer)>>,
    // A pointer: it comes once, and last.
    ended: Option<Box<Ended>>,
    directive: Option<Box<Directive>>,
    // What the replies count for that wait in the outbox, behind what was put there before them.
    replies: usize,
    // Whether the outbox has to be told that the driver runs again; and whom it wakes.
    parked: bool,
    waker: Option<Waker>,
    // Up to which bytes of the stream the outbox has been emptied how far.
    taken: VecDeque<(u64, Reached)>,
    // Until the transport is gone.
    permit: Option<SessionPermit>,
}

/// So much output is written before more is made.
const WRITE_AT: usize = 64 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    pub(crate) fn new(link: Link<T>, outbox: Arc<Outbox>) -> Self {
        if !link.machine().can_send() {
            outbox.shut();
        }
        Self {
            link,
            outbox,
            ahead: None,
            ended: None,
            directive: None,
            parked: false,
            waker: None,
            taken: VecDeque::new(),
            replies: 0,
            permit: None,
        }
    }

    /// Keeps the connection's permit until the transport is gone.
    pub(crate) fn holding(mut self, permit: SessionPermit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// The connection's permit, for an owner that outlives the driver.
    pub(crate) fn take_permit(&mut self) -> Option<SessionPermit> {
        self.permit.take()
    }

    /// The time that a peer has for its end of the closing.
    pub(crate) fn close_timeout(&self) -> Duration {
        self.link.machine().config().close_timeout
    }

    /// The driver of a connection of which nothing comes any more.
    pub(crate) fn ended(mut self, ending: Ending) -> Self {
        self.note_ending(ending);
        self
    }

    /// The bytes of memory that this connection takes, besides what waits in its outbox.
    #[cfg(test)]
    pub(crate) fn retained_bytes(&self) -> usize {
        let ahead = match self.ahead.as_deref() {
            Some((Next::Pong(payload), _)) => payload.len(),
            Some((_, message)) => message.capacity(),
            None => 0,
        };
        ahead + self.taken.capacity() * size_of::<(u64, Reached)>() + self.link.retained_bytes()
    }

    fn is_aborted(&self) -> bool {
        self.directive.as_deref() == Some(&Directive::Abort)
    }

    /// Says to the outbox that the driver runs, and looks at what is asked for.
    fn drive(&mut self) {
        self.parked = false;
        if let Some(news) = self.outbox.drive(&mut self.directive) {
            self.heed(&news);
        }
    }

    #[cold]
    fn heed(&mut self, news: &News) {
        if news.is_due {
            self.link.forget_alarm();
        }
        if !news.rest.is_empty() {
            self.link.send_rest(&news.rest);
        }
    }

    /// Gives messages of these kinds in parts from now on, those that are not begun.
    #[inline]
    pub(crate) fn give_in_parts(&mut self, kinds: InParts) {
        self.link.give_in_parts(kinds);
    }
}

/// Puts a message into a buffer that was used before.
pub(crate) fn put(message: &mut MessageBuffer, whole: Whole<'_>) {
    match whole {
        Whole::Lent(lent) => put_lent(message, lent),
        Whole::Assembled(assembled) => {
            pool::recycle_message(message);
            *message = assembled;
        }
    }
}

#[inline]
pub(crate) fn put_lent(message: &mut MessageBuffer, lent: WholeMessage<'_>) {
    match lent {
        WholeMessage::Text(text) => pool::set_text(message, text),
        WholeMessage::Binary(bytes) => pool::set_binary(message, bytes),
    }
}

impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("link", &self.link)
            .field("ahead", &self.ahead)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
