//! The end of an outbox. The application asks for a Close or for an abort. The driver shuts the outbox. The owner of the
//! driver notes the reason and reports the end.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use sockeye_proto::CloseReason;

use super::Mailbox;
use super::catch_up::Unread;
use super::state::{Directive, Lifetime, State, Wakes};
use crate::sync::{Arc, lock};

impl<D> Mailbox<D> {
    /// Asks the driver for a Close behind the items that are in. The first call decides the reason.
    pub fn close(&self, reason: CloseReason) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        self.close_under(&mut state, reason, &mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Asks for a Close with the state locked.
    pub(super) fn close_under(&self, state: &mut State<D>, reason: CloseReason, wakes: &mut Wakes) {
        if state.check_open().is_err() {
            return;
        }
        state.directive = Some(Box::new(Directive::Close(reason)));
        // What the channels held before the Close goes out before it.
        self.leave_all(state, Unread::Sent, wakes);
        if let Some(waiters) = &mut state.waiters {
            wakes.extend(waiters.room.take_all());
            wakes.extend(waiters.parts.take_all());
        }
        wakes.add(state.driver_if(self.signal.raise_directive(&state.locked)));
    }

    /// Asks the driver to drop the transport.
    pub fn abort(&self) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.directive = Some(Box::new(Directive::Abort));
        self.leave_all(&mut state, Unread::Dropped, &mut wakes);
        wakes.add(state.driver_if(self.signal.raise_directive(&state.locked)));
        drop(state);
        wakes.wake();
    }

    /// Returns a future of the connection's end, with the reason of the Close.
    pub fn ended(self: &Arc<Self>) -> Ended<D> {
        Ended {
            mailbox: Arc::clone(self),
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
        let mut wakes = state.release_senders();
        self.leave_all(&mut state, Unread::Dropped, &mut wakes);
        state.direct = None;
        self.signal.shut(&state.locked);
        drop(state);
        wakes.wake();
    }

    /// Notes the reason of the connection's end, before the transport is gone. The first call decides.
    pub fn note_end(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        state.end.get_or_insert_with(|| Box::new(reason));
    }

    /// Returns the reason of the connection's end, once it is [noted](Self::note_end) or reported.
    pub fn end_reason(&self) -> Option<CloseReason> {
        lock(&self.state).end.as_deref().cloned()
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

/// A future of the connection's end.
#[derive(Debug)]
pub struct Ended<D> {
    pub(super) mailbox: Arc<Mailbox<D>>,
    pub(super) waiter: Option<u64>,
}

impl<D> Future for Ended<D> {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = &mut *self;
        let mut state = lock(&this.mailbox.state);
        if state.lifetime == Lifetime::Gone
            && let Some(reason) = &state.end
        {
            this.waiter = None;
            return Poll::Ready((**reason).clone());
        }
        let waiters = state.waiters();
        let key = waiters.key(&mut this.waiter);
        waiters.ended.register(key, cx.waker());
        Poll::Pending
    }
}

impl<D> Drop for Ended<D> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter
            && let Some(waiters) = &mut lock(&self.mailbox.state).waiters
        {
            waiters.ended.remove(waiter);
        }
    }
}
