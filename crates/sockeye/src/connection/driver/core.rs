//! The state of a driver besides its link.

use std::collections::VecDeque;

use sockeye_mailbox::{Directive, Look, Reached};
use sockeye_proto::MessageBuffer;

use super::event::Next;
use super::phase::Phase;
use crate::connection::direct::DriverSide;
use crate::connection::permit::SessionPermit;
use crate::connection::pool;

/// The state of a driver besides its link.
#[repr(C)]
pub(super) struct Core {
    pub(super) side: DriverSide,
    pub(super) phase: Phase,
    // The weight of the replies that wait in the outbox.
    pub(super) replies: usize,
    // `(offset, reached)`: once `offset` bytes are written, every item up to `reached` is written.
    pub(super) taken: VecDeque<(u64, Reached)>,
    // Held until the transport is gone.
    pub(super) permit: Option<SessionPermit>,
}

/// The driver writes when so many bytes of output wait, before it makes more.
pub(super) const WRITE_AT: usize = 64 * 1024;

impl Core {
    pub(super) fn is_aborted(&self) -> bool {
        self.side.directive() == Some(&Directive::Abort)
    }

    /// Whether the mailbox has nothing for the driver, and the driver may send any message.
    #[inline(always)]
    pub(super) fn is_quiet(&self) -> bool {
        self.look().is_quiet() && self.side.directive().is_none()
    }

    /// Looks at what the mailbox has for the driver.
    #[inline(always)]
    pub(super) fn look(&self) -> Look {
        self.side.mailbox().look()
    }

    /// Whether the application has paused reading, so that the driver keeps what came.
    #[inline]
    pub(super) fn is_reading_paused(&self) -> bool {
        self.look().is_paused() && self.side.directive().is_none() && !self.phase.is_ended()
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
        if self.side.directive().is_some() {
            return None;
        }
        pool::recycle_message(message);
        *message = buffer;
        Some(next)
    }
}
