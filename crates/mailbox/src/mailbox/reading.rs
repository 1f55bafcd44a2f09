//! The ways of a message from the log of a channel to the transport: the driver reads it, or a deliverer writes it past a
//! parked driver.

use std::task::Waker;

use super::Mailbox;
use super::driver::DriverSide;
use super::state::State;
use crate::direct::DirectWrite;
use crate::fanout::log::{Copied, Log, Slot};
use crate::sync::{Arc, lock};

impl<D> DriverSide<D> {
    /// Reads frames of one log, up to `room` bytes and the rest of the last frame, if nothing goes before them. Returns
    /// whether there were any.
    #[inline]
    pub fn read_log(&self, room: usize, read: impl FnOnce(&[u8])) -> bool {
        let mailbox = &*self.mailbox;
        let look = mailbox.signal.look();
        if !look.is_first_alone() {
            return look.is_readable() && mailbox.read_some_log(room, read);
        }
        let Some(first) = &mailbox.first else {
            return false;
        };
        // The state is not locked. A sender that moves messages from the log to the items sets ITEMS while the log is
        // locked, so those items are seen here. A mailbox that leaves the channel clears its bit while the log is locked.
        let is_overtaken = || {
            let look = mailbox.signal.look();
            if look.has_left() {
                mailbox.signal.clear_all_pending();
            }
            !look.is_first_next()
        };
        let read_all = || mailbox.signal.clear_pending(Slot::FIRST);
        first.read(room, is_overtaken, read, read_all)
    }
}

impl<D> Mailbox<D> {
    /// Reads frames of the log that comes behind the one that was read last.
    #[cold]
    #[inline(never)]
    fn read_some_log(&self, room: usize, read: impl FnOnce(&[u8])) -> bool {
        // A slot gets another subscription with the state locked, so none does meanwhile.
        let mut state = lock(&self.state);
        let look = self.signal.look();
        if look.has_left() {
            self.signal.clear_all_pending();
            return false;
        }
        if look.has_items() || !look.is_readable() {
            return false;
        }
        let last = state
            .others
            .as_ref()
            .map_or(Slot::FIRST, |others| others.last_read());
        let Some(slot) = look.pending_behind(last) else {
            return false;
        };
        let Some(subscription) = self.subscription_under(&state, slot) else {
            // Its channel was left, and a publisher was late.
            self.signal.clear_pending(slot);
            return false;
        };
        let read_all = || self.signal.clear_pending(slot);
        let any = subscription.read(room, || false, read, read_all);
        if let Some(others) = &mut state.others {
            others.note_read(slot);
        }
        any
    }

    #[cold]
    fn leave_to_driver(&self, state: &mut State<D>, unsent: &[u8]) -> Option<Waker> {
        state.waiters().unsent = unsent.to_vec();
        state.driver_if(self.signal.raise_unsent(&state.locked))
    }
}

impl<D: DirectWrite> Mailbox<D> {
    /// Writes what the log of a channel holds for the mailbox, as far as the transport takes it. Does nothing if the driver
    /// runs, or has something else to send. After [`Round::wants_delivery`](super::offer::Round::wants_delivery) the
    /// deliverer has to call this, or [`end_delivery`](Self::end_delivery).
    pub(crate) fn deliver(&self, slot: Slot, log: &Arc<Log>, copied: &mut Copied) {
        if !self.signal.look().is_deliverable(slot) {
            return;
        }
        let mut state = lock(&self.state);
        if !self.signal.try_begin_writing(slot, &state.locked) {
            return;
        }
        // Until `end_writing` a driver that is woken waits for the lock before it does anything.
        let unsent = self.write_log(&state, slot, log, copied);
        let driver = unsent.and_then(|unsent| self.leave_to_driver(&mut state, unsent));
        self.signal.end_writing(&state.locked);
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Writes what one log holds. Returns the bytes that the transport did not take.
    fn write_log<'c>(
        &self,
        state: &State<D>,
        slot: Slot,
        log: &Arc<Log>,
        copied: &'c mut Copied,
    ) -> Option<&'c [u8]> {
        const ROOM: usize = 64 * 1024;
        let subscription = self.subscription_under(state, slot)?;
        let direct = state.direct.as_ref()?;
        // The slot may have another channel by now, which has a delivery of its own.
        if !subscription.is_to(log) {
            return None;
        }
        loop {
            let mut has_read_all = false;
            let read_all = || {
                self.signal.clear_pending(slot);
                has_read_all = true;
            };
            let frames = subscription.copy(ROOM, copied, read_all)?;
            let written = direct.write(frames);
            if written < frames.len() {
                return copied.frames().get(written..);
            }
            // A message that comes meanwhile has a delivery of its own, which waits for the lock.
            if has_read_all {
                return None;
            }
        }
    }
}
