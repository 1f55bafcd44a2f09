//! The signal of an outbox: one word beside the lock. It says whether the driver has something to look at, and whether
//! the driver is parked. Senders raise a bit and wake a parked driver; the driver looks at the word and parks.

use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::task::Waker;

use super::{Directive, Outbox, State};
use crate::sync::lock;

/// Something waits to be taken.
pub(super) const ITEMS: u16 = 1;
/// The order is another one than the driver has seen.
pub(super) const NEWS: u16 = 2;
/// Somebody waits for an item to be written.
pub(super) const AWAITED: u16 = 4;
/// The driver is to be woken for orders.
pub(super) const PARKED: u16 = 8;
/// The driver is to be woken for items too.
pub(super) const WANTS_ITEMS: u16 = 16;
/// There may be something in the log that this one has not read.
pub(super) const LOGGED: u16 = 32;
/// The seat at the log is given up.
pub(super) const LEFT: u16 = 64;
/// The time has come that the driver asked to be woken at, or it is no longer paused.
pub(super) const DUE: u16 = 128;
/// The message in front is being sent in parts, and has begun: no other is taken until it ends.
pub(super) const HELD: u16 = 256;
/// Nothing that comes is to be handed on.
pub(super) const PAUSED: u16 = 512;
/// What is in the log somebody delivers while the driver is parked: it is not to be woken for that.
pub(super) const DELIVERED: u16 = 1024;
/// Somebody delivers, with the state locked.
pub(super) const WRITING: u16 = 2048;
/// What the transport did not take of that waits for the driver.
pub(super) const REST: u16 = 4096;

/// What the driver finds when it runs again.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The time has come that it asked for.
    pub(crate) is_due: bool,
    /// Frames, of which a part may be written already: they come before anything else.
    pub(crate) rest: Vec<u8>,
}

impl Outbox {
    /// Says that something is there now, and whether the driver is to be woken for that.
    pub(super) fn raise(&self, bit: u16) -> bool {
        let parked = match bit {
            ITEMS | LOGGED => PARKED | WANTS_ITEMS,
            _ => PARKED,
        };
        let signal = self.signal.load(Acquire);
        if signal & bit != 0 && signal & parked != parked {
            // Said already; and a driver that is not parked looks before it is.
            return false;
        }
        let before = self.signal.fetch_or(bit, AcqRel);
        if before & parked != parked {
            return false;
        }
        // Whoever takes the mark away wakes; however many come after it, and the driver if it runs by then,
        // find none.
        let before = self.signal.fetch_and(!(PARKED | WANTS_ITEMS), AcqRel);
        before & PARKED != 0
    }

    pub(super) fn raise_under(&self, state: &State, bit: u16) -> Option<Waker> {
        self.raise(bit).then(|| state.driver.clone())?
    }

    pub(super) fn lower(&self, bit: u16) {
        self.signal.fetch_and(!bit, AcqRel);
    }

    /// The driver runs: nobody has to wake it until it parks, and nobody writes in its place. Brings its `order` up to
    /// date.
    #[inline]
    pub(crate) fn drive(&self, directive: &mut Option<Box<Directive>>) -> Option<News> {
        let mut signal = self.signal.load(Acquire);
        if signal & (PARKED | WRITING) != 0 {
            signal = self.signal.fetch_and(!(PARKED | WANTS_ITEMS), AcqRel);
        }
        if signal & (NEWS | DUE | WRITING | REST) == 0 {
            return None;
        }
        Some(self.news(directive))
    }

    #[cold]
    #[inline(never)]
    fn news(&self, directive: &mut Option<Box<Directive>>) -> News {
        // Whoever writes has it locked.
        let mut state = lock(&self.state);
        let signal = self.signal.fetch_and(!(NEWS | DUE | REST), AcqRel);
        directive.clone_from(&state.directive);
        let rest = match &mut state.waiters {
            Some(waiters) if signal & REST != 0 => std::mem::take(&mut waiters.unsent),
            _ => Vec::new(),
        };
        News {
            is_due: signal & DUE != 0,
            rest,
        }
    }

    /// Parks the driver until there is something for it to do; false when there is already. With
    /// `wants_items` unset it has no room for items, and is woken for orders only. `known` is the waker that
    /// it parked with before: with the same one there is nothing to lock.
    // Inlined into its one caller: saving registers twice is a tenth of what parking costs.
    #[inline(always)]
    pub(crate) fn park(
        &self,
        known: &mut Option<Waker>,
        waker: &Waker,
        wants_items: bool,
        seen: &Option<Box<Directive>>,
    ) -> bool {
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.change_waker(known, waker);
        }
        let (parked, waits_for) = if wants_items {
            (PARKED | WANTS_ITEMS, NEWS | DUE | ITEMS | LOGGED)
        } else {
            (PARKED, NEWS | DUE)
        };
        let before = self.signal.fetch_or(parked, AcqRel);
        let waits_for = if before & HELD != 0 {
            waits_for & !LOGGED
        } else {
            waits_for
        };
        if before & waits_for == 0 {
            return true;
        }
        self.stay_awake(before & waits_for, seen)
    }

    #[cold]
    #[inline(never)]
    fn change_waker(&self, known: &mut Option<Waker>, waker: &Waker) {
        *known = Some(waker.clone());
        lock(&self.state).driver = Some(waker.clone());
    }

    /// Takes the marks of a parked driver away again, unless there is nothing but a directive that it has seen. Returns
    /// whether it stays parked.
    #[cold]
    #[inline(never)]
    fn stay_awake(&self, asked: u16, seen: &Option<Box<Directive>>) -> bool {
        if asked == NEWS {
            let state = lock(&self.state);
            if state.directive == *seen {
                self.lower(NEWS);
                return true;
            }
        }
        self.lower(PARKED | WANTS_ITEMS);
        false
    }

    /// Whether a message has begun that is sent in parts: no other may be sent.
    pub(crate) fn is_held(&self) -> bool {
        self.signal.load(Acquire) & HELD != 0
    }

    /// Whether nothing waits to be taken, nothing new is asked for, and any message may be sent.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.signal.load(Acquire) & (ITEMS | NEWS | LOGGED | HELD) == 0
    }

    /// Whether the driver runs, and may hand on what comes with nothing to look at before.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        const RUNS: u16 = PARKED | WRITING | REST | DUE;
        self.signal.load(Acquire) & (ITEMS | NEWS | LOGGED | HELD | PAUSED | RUNS) == 0
    }

    /// Whether there may be something in the log, and nothing else.
    #[inline]
    pub(crate) fn is_only_logged(&self) -> bool {
        self.signal.load(Acquire) & (ITEMS | NEWS | LOGGED | HELD) == LOGGED
    }

    /// Whether an item waits to be taken.
    #[inline]
    pub(crate) fn has_items(&self) -> bool {
        self.signal.load(Acquire) & ITEMS != 0
    }

    /// Whether nothing waits that can be taken now.
    pub(crate) fn is_empty(&self) -> bool {
        let signal = self.signal.load(Acquire);
        signal & ITEMS == 0 && signal & (LOGGED | HELD) != LOGGED
    }

    /// Whether somebody waits for an item to be written.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.signal.load(Acquire) & AWAITED != 0
    }
}

/// Whether there is something in the log for a driver that is parked with room for it, and nothing before it.
pub(super) fn is_deliverable(signal: u16) -> bool {
    const WANTED: u16 = DELIVERED | LOGGED | PARKED | WANTS_ITEMS;
    const UNWANTED: u16 = ITEMS | HELD | LEFT | WRITING | REST;
    signal & (WANTED | UNWANTED) == WANTED
}
