//! The end of an outbox: the application asks for a Close or for an abort, the driver shuts the outbox, and the owner
//! of the driver notes the reason and reports the end.

use std::collections::VecDeque;
use std::task::Waker;

use sockeye_proto::CloseReason;

use super::waiter::wake_one;
use super::{Directive, Ended, Lifetime, Mailbox, State};
use crate::sync::{Arc, lock};

impl<D> Mailbox<D> {
    /// Asks the driver for a Close behind the items that are in. The first call decides the reason.
    pub fn close(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        if state.lifetime > Lifetime::Open || state.directive.is_some() {
            return;
        }
        state.directive = Some(Box::new(Directive::Close(reason)));
        // The broadcasts before the Close go out before it.
        if let Some(seat) = self.seat_under(&state) {
            let take = |state: &mut State<D>, message| self.take_over(state, message);
            seat.leave(&mut *state, take, |state| self.signal.leave(&state.locked));
        }
        let mut wakes = Vec::new();
        if let Some(waiters) = &mut state.waiters {
            wakes.extend(waiters.room.take_all());
            wakes.extend(waiters.parts.take_all());
        }
        wakes.extend(state.driver_if(self.signal.raise_directive(&state.locked)));
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Asks the driver to drop the transport.
    pub fn abort(&self) {
        let mut state = lock(&self.state);
        state.directive = Some(Box::new(Directive::Abort));
        self.leave_log_under(&state);
        let wake = state.driver_if(self.signal.raise_directive(&state.locked));
        drop(state);
        wake_one(wake);
    }

    /// Returns a future of the connection's end, with the reason of the Close.
    pub fn ended(self: &Arc<Self>) -> Ended<D> {
        Ended {
            outbox: Arc::clone(self),
            waiter: None,
        }
    }

    /// Shuts the outbox: drops the items, and wakes the tasks that wait for room or for a write.
    pub fn shut(&self) {
        let mut state = lock(&self.state);
        state.lifetime = state.lifetime.max(Lifetime::Shut);
        state.items = VecDeque::new();
        state.dropped += std::mem::take(&mut state.bytes);
        state.weight = 0;
        self.leave_log_under(&state);
        state.direct = None;
        self.signal.shut(&state.locked);
        let wakes = state.release_senders();
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Notes the reason of the connection's end, before the transport is gone. The first call decides.
    pub fn note_end(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        state.end.get_or_insert_with(|| Box::new(reason));
    }

    /// Reports that the transport is gone. A reason that was [noted](Self::note_end) before goes before this one.
    pub fn end(&self, reason: CloseReason) {
        self.shut();
        let mut state = lock(&self.state);
        state.end.get_or_insert_with(|| Box::new(reason));
        state.lifetime = Lifetime::Gone;
        let waiters = state.waiters.take();
        drop(state);
        if let Some(mut waiters) = waiters {
            waiters.ended.take_all().for_each(Waker::wake);
        }
    }
}
