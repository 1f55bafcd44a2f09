//! The driver's side of an outbox: it runs and parks, and looks at what there is for it. A look is one load of the
//! [signal](super::signal).

use std::task::Waker;

use super::Mailbox;
use super::item::Reached;
use super::state::{Directive, Wakes};
use crate::sync::lock;

/// What a driver has to do before anything else when it runs again.
#[derive(Debug, Default)]
pub struct WakeReason {
    /// Whether the time has come at which the driver asked to be woken.
    pub is_due: bool,
    /// Frames that a deliverer began to write. The transport has taken what is missing of the first one.
    pub unsent: Vec<u8>,
}

impl<D> Mailbox<D> {
    /// Marks the driver as running: until it parks, senders do not wake it and no deliverer writes. Brings the
    /// driver's `directive` up to date.
    #[inline]
    pub fn drive(&self, directive: &mut Option<Box<Directive>>) -> Option<WakeReason> {
        self.signal.run().then(|| self.wake_reason(directive))
    }

    /// Leaves a notice for the owner of the driver, and wakes a parked driver. The owner gets it when it is idle: when no
    /// callback runs. Further notices until then are the same one.
    pub fn notify(&self) {
        if !self.signal.raise_notice() {
            return;
        }
        let driver = lock(&self.state).driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Takes a notice for the owner of the driver. Returns whether there was one.
    #[cold]
    pub fn take_notice(&self) -> bool {
        self.signal.take_notice()
    }

    #[cold]
    #[inline(never)]
    fn wake_reason(&self, directive: &mut Option<Box<Directive>>) -> WakeReason {
        // A deliverer that writes holds this lock.
        let mut state = lock(&self.state);
        let reasons = self.signal.take_reasons(&state.locked);
        directive.clone_from(&state.directive);
        let unsent = match &mut state.waiters {
            Some(waiters) if reasons.has_unsent() => std::mem::take(&mut waiters.unsent),
            _ => Vec::new(),
        };
        WakeReason {
            is_due: reasons.is_due(),
            unsent,
        }
    }

    /// Parks the driver until there is something for it to do. Returns false if there is already. Without `wants_items`
    /// the driver has no room for items: it is woken for a directive, for its time, and for what a deliverer left, and not
    /// for items and channels. `known` is the waker that the driver parked
    /// with before: with the same one parking takes no lock.
    // Inlined into its one caller: saving registers twice is a tenth of what parking costs.
    #[inline(always)]
    pub fn park(
        &self,
        known: &mut Option<Waker>,
        waker: &Waker,
        wants_items: bool,
        seen: &Option<Box<Directive>>,
    ) -> bool {
        self.park_as(known, waker, wants_items, false, seen)
    }

    /// Does the same as [`park`](Self::park) for a driver whose owner is idle: with a notice for the owner it does not park.
    #[inline(always)]
    pub fn park_for_owner(
        &self,
        known: &mut Option<Waker>,
        waker: &Waker,
        wants_items: bool,
        seen: &Option<Box<Directive>>,
    ) -> bool {
        self.park_as(known, waker, wants_items, true, seen)
    }

    #[inline(always)]
    fn park_as(
        &self,
        known: &mut Option<Waker>,
        waker: &Waker,
        wants_items: bool,
        is_owner_idle: bool,
        seen: &Option<Box<Directive>>,
    ) -> bool {
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.change_waker(known, waker);
        }
        let present = self.signal.park(wants_items, is_owner_idle);
        present.is_nothing() || self.stays_parked(present.is_directive_alone(), seen)
    }

    #[cold]
    #[inline(never)]
    fn change_waker(&self, known: &mut Option<Waker>, waker: &Waker) {
        *known = Some(waker.clone());
        lock(&self.state).driver = Some(waker.clone());
    }

    /// Unparks the driver, unless all that is there is a directive that the driver has seen. Returns whether the driver
    /// stays parked.
    #[cold]
    #[inline(never)]
    fn stays_parked(&self, is_directive_alone: bool, seen: &Option<Box<Directive>>) -> bool {
        if is_directive_alone {
            let state = lock(&self.state);
            if state.directive == *seen {
                self.signal.forget_directive(&state.locked);
                return true;
            }
        }
        self.signal.unpark();
        false
    }

    /// Whether the driver has begun a message that is sent in parts: it may send no other message.
    pub fn is_held(&self) -> bool {
        self.signal.look().is_held()
    }

    /// Whether the driver has nothing to take and no new directive, and may send any message.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.signal.look().is_quiet()
    }

    /// Whether the driver runs, and may hand on what it receives with nothing to do before.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.signal.look().is_plain()
    }

    /// Whether a log may hold a message, and the driver has nothing else to take.
    #[inline]
    pub fn is_only_pending(&self) -> bool {
        self.signal.look().is_only_pending()
    }

    /// Whether the driver can take something.
    #[inline]
    pub fn has_items(&self) -> bool {
        self.signal.look().has_items()
    }

    /// Whether the driver can neither take an item nor read a log now. Items behind a message in parts may wait.
    pub fn has_nothing_to_take(&self) -> bool {
        let look = self.signal.look();
        !look.has_items() && !look.is_readable()
    }

    /// Whether a task waits for an item to be written.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.signal.look().is_awaited()
    }

    /// Notes that the driver has written every item up to `taken`, and wakes the tasks that wait for one of them.
    pub fn wrote(&self, taken: Reached) {
        let mut state = lock(&self.state);
        state.written = taken.max(state.written);
        let written = state.written;
        let Some(waiters) = &mut state.waiters else {
            return;
        };
        let writers = &mut waiters.writers;
        let done = writers.take_waiting_for(|ticket| written.includes(*ticket));
        let mut wakes = Wakes::default();
        wakes.extend(done);
        if writers.is_empty() {
            self.signal.clear_awaited(&state.locked);
        }
        drop(state);
        wakes.wake();
    }
}
