//! The state of a driver besides its link.

use std::collections::VecDeque;
use std::task::Waker;

use sockeye_mailbox::{Directive, Reached};
use sockeye_proto::MessageBuffer;

use super::event::Next;
use super::phase::Phase;
use crate::connection::direct::Mailbox;
use crate::connection::permit::SessionPermit;
use crate::connection::pool;
use crate::sync::Arc;

/// The state of a driver besides its link.
#[repr(C)]
pub(super) struct Core {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) phase: Phase,
    pub(super) directive: Option<Box<Directive>>,
    // The weight of the replies that wait in the outbox.
    pub(super) replies: usize,
    // The waker that the mailbox has: with the same one parking takes no lock.
    pub(super) waker: Option<Waker>,
    // `(offset, reached)`: once `offset` bytes are written, every item up to `reached` is written.
    pub(super) taken: VecDeque<(u64, Reached)>,
    // Held until the transport is gone.
    pub(super) permit: Option<SessionPermit>,
}

/// The driver writes when so many bytes of output wait, before it makes more.
pub(super) const WRITE_AT: usize = 64 * 1024;

impl Core {
    pub(super) fn is_aborted(&self) -> bool {
        self.directive.as_deref() == Some(&Directive::Abort)
    }

    /// Whether the application has paused reading, so that the driver keeps what came.
    #[inline]
    pub(super) fn is_reading_paused(&self) -> bool {
        self.mailbox.is_paused() && self.directive.is_none() && !self.phase.is_ended()
    }

    /// Keeps what came until the owner asks for it.
    #[cold]
    #[inline(never)]
    pub(super) fn put_ahead(&mut self, next: Next, message: &mut MessageBuffer) {
        self.phase.put_ahead(next, std::mem::take(message));
    }

    /// Takes what came while the owner was busy. `None` if the application has asked for a Close: it wants no more.
    pub(super) fn take_ahead(&mut self, message: &mut MessageBuffer) -> Option<Next> {
        let (next, buffer) = self.phase.take_ahead()?;
        if self.directive.is_some() {
            return None;
        }
        pool::recycle_message(message);
        *message = buffer;
        Some(next)
    }
}
