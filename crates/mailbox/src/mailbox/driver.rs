//! The driver's side of a mailbox: the driver runs and parks, and looks at what there is for it. A look is one load of the
//! [signal](super::signal). The driver alone takes items, reads logs, and puts in replies.

use std::task::Waker;

use super::Mailbox;
use super::item::Reached;
use super::state::{Directive, Wakes};
use crate::sync::{Arc, lock};

/// The driver's side of a mailbox, made once for each driver. Other tasks have the mailbox itself.
#[repr(C)]
#[derive(Debug)]
pub struct DriverSide<D> {
    pub(super) mailbox: Arc<Mailbox<D>>,
    // The directive that the driver has seen.
    directive: Option<Box<Directive>>,
    // The waker that the mailbox has: with the same one parking takes no lock.
    known: Option<Waker>,
}

/// What a driver has to do before anything else when it runs again.
#[derive(Debug, Default)]
pub struct WakeReason {
    /// Whether the time has come at which the driver asked to be woken.
    pub is_due: bool,
    /// Frames that a deliverer began to write. The transport has taken what is missing of the first one.
    pub unsent: Vec<u8>,
}

impl<D> Mailbox<D> {
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
}

impl<D> DriverSide<D> {
    /// Creates the side of a driver that has seen no directive.
    pub fn new(mailbox: Arc<Mailbox<D>>) -> Self {
        Self {
            mailbox,
            directive: None,
            known: None,
        }
    }

    /// The mailbox.
    #[inline]
    pub fn mailbox(&self) -> &Arc<Mailbox<D>> {
        &self.mailbox
    }

    /// The directive, as the driver saw it last.
    #[inline]
    pub fn directive(&self) -> Option<&Directive> {
        self.directive.as_deref()
    }

    /// Marks the driver as running: until it parks, senders do not wake it and no deliverer writes. Brings the
    /// [directive](Self::directive) up to date.
    #[inline]
    pub fn drive(&mut self) -> Option<WakeReason> {
        self.mailbox.signal.run().then(|| self.wake_reason())
    }

    /// Takes a notice for the owner of the driver. Returns whether there was one.
    #[cold]
    pub fn take_notice(&self) -> bool {
        self.mailbox.signal.take_notice()
    }

    #[cold]
    #[inline(never)]
    fn wake_reason(&mut self) -> WakeReason {
        // A deliverer that writes holds this lock.
        let mut state = lock(&self.mailbox.state);
        let reasons = self.mailbox.signal.take_reasons(&state.locked);
        self.directive.clone_from(&state.directive);
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
    /// for items and channels. With the same waker as the last time parking takes no lock.
    // Inlined into its one caller: saving registers twice is a tenth of what parking costs.
    #[inline(always)]
    pub fn park(&mut self, waker: &Waker, wants_items: bool) -> bool {
        self.park_as(waker, wants_items, false)
    }

    /// Does the same as [`park`](Self::park) for a driver whose owner is idle: with a notice for the owner it does not park.
    #[inline(always)]
    pub fn park_for_owner(&mut self, waker: &Waker, wants_items: bool) -> bool {
        self.park_as(waker, wants_items, true)
    }

    #[inline(always)]
    fn park_as(&mut self, waker: &Waker, wants_items: bool, is_owner_idle: bool) -> bool {
        let known = self.known.as_ref();
        if !known.is_some_and(|known| known.will_wake(waker)) {
            self.change_waker(waker);
        }
        let present = self.mailbox.signal.park(wants_items, is_owner_idle);
        present.is_nothing() || self.stays_parked(present.is_directive_alone())
    }

    #[cold]
    #[inline(never)]
    fn change_waker(&mut self, waker: &Waker) {
        self.known = Some(waker.clone());
        lock(&self.mailbox.state).driver = Some(waker.clone());
    }

    /// Unparks the driver, unless all that is there is a directive that the driver has seen. Returns whether the driver
    /// stays parked.
    #[cold]
    #[inline(never)]
    fn stays_parked(&self, is_directive_alone: bool) -> bool {
        let signal = &self.mailbox.signal;
        if is_directive_alone {
            let state = lock(&self.mailbox.state);
            if state.directive == self.directive {
                signal.forget_directive(&state.locked);
                return true;
            }
        }
        signal.unpark();
        false
    }

    /// Notes that the driver has written every item up to `taken`, and wakes the tasks that wait for one of them.
    pub fn wrote(&self, taken: Reached) {
        let mut state = lock(&self.mailbox.state);
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
            self.mailbox.signal.clear_awaited(&state.locked);
        }
        drop(state);
        wakes.wake();
    }
}
