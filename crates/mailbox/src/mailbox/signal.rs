//! The signal of an outbox: one atomic word beside the lock of the outbox's state. Senders raise a bit and wake a parked
//! driver. The driver looks at the word, and takes the lock only if the word says that there is something for it.
//!
//! ```text
//!   driver: no lock                                PARKED, WANTS_ITEMS
//!       running ───────────── park ─────────────▶ parked
//!          ▲                                         │
//!          ├── run, unpark: the driver itself ───────┤
//!          └── raise_*: its caller wakes the driver ─┘
//!
//!   content: under the state's lock
//!       ITEMS        raise_items, note_items ──▶ clear_items, shut
//!       DIRECTIVE    raise_directive ──────────▶ take_reasons, forget_directive
//!       DUE          raise_due ────────────────▶ take_reasons
//!       AWAITED      note_awaited ─────────────▶ clear_awaited, shut
//!       HELD         set_held(true) ───────────▶ set_held(false), shut
//!
//!   channels: a bit of PENDING for each slot
//!       PENDING      raise_pending, leave_to_deliverer: no lock ──▶ clear_pending: under the lock of the log
//!       LEFT         leave: under the state's lock. It stays.
//!
//!   delivery: under the state's lock
//!       DELIVERED    allow_delivery ───────────▶ forbid_delivery, shut
//!       WRITING      try_begin_writing ────────▶ end_writing: the lock is held in between
//!       UNSENT       raise_unsent ─────────────▶ take_reasons
//!
//!   reading: no lock                                PAUSED
//!       pause ─────▶ resume
//!
//!   notice: no lock                                 NOTICE
//!       raise_notice ─────▶ take_notice: a driver whose owner is idle
//! ```
//!
//! A transition that needs the state's lock takes [`Locked`], which lies in the state.
//!
//! Each transition is a read-modify-write of one word, so all of them have one order. Of a park and a raise, the second
//! sees the first: no wake-up is lost. A transition releases what its task wrote before, and a look acquires that. So a
//! deliverer that sees PARKED sees all that the driver wrote, and a driver that does not see WRITING sees all that the
//! deliverer wrote. The content of the state needs its lock alone.

use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::fanout::log::Slot;
use crate::fault::Fault;
use crate::sync::AtomicU64;

/// The driver can take something: a control frame, an item, or a part of the message in front.
const ITEMS: u64 = 1;
/// The directive is another than the driver has seen.
const DIRECTIVE: u64 = 2;
/// A task waits for an item to be written.
const AWAITED: u64 = 4;
/// The driver has to be woken for a directive, for its time, and for what is unsent.
const PARKED: u64 = 8;
/// A parked driver has to be woken for items, and for messages in a log, too.
const WANTS_ITEMS: u64 = 16;
/// There is a notice for the owner of the driver.
const NOTICE: u64 = 32;
/// The mailbox has left its channels: it gets no more of their messages.
const LEFT: u64 = 64;
/// The driver has to look at its timer: its time has come, reading goes on, or no sweep wakes it any more.
const DUE: u64 = 128;
/// The message in front is sent in parts and has begun: no other message is taken until it ends.
const HELD: u64 = 256;
/// The driver hands on nothing that it receives.
const PAUSED: u64 = 512;
/// A deliverer writes the messages of the channels while the driver is parked. The driver is not woken for them.
const DELIVERED: u64 = 1024;
/// The deliverer writes to the transport.
const WRITING: u64 = 2048;
/// Frames that the deliverer began to write wait for the driver.
const UNSENT: u64 = 4096;

/// A bit for each slot: the log of the channel with this slot may hold a message that the mailbox has not read.
const PENDING: u64 = !0 << FIRST_PENDING;
/// The place of the bit of the first slot.
const FIRST_PENDING: u32 = 16;

const _: () = assert!(PENDING.count_ones() as usize == Slot::MANY);

#[inline]
fn pending(slot: Slot) -> u64 {
    1 << (FIRST_PENDING + slot.number())
}

/// The word. Only this file knows its bits.
#[derive(Debug)]
pub(super) struct Signal(AtomicU64);

/// Proof that the state of the outbox is locked. The state holds the only one.
#[derive(Debug)]
pub(super) struct Locked(());

impl Locked {
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// What there was for the driver at one moment.
#[derive(Clone, Copy)]
pub struct Look(u64);

/// What a driver that parks would wait for, and is there already.
#[derive(Clone, Copy)]
pub(super) struct Present(u64);

/// The driver's transitions.
impl Signal {
    /// Marks the driver as running. Returns whether the driver has to look at the state: it waits there for a deliverer
    /// that writes.
    #[inline]
    pub(super) fn run(&self) -> bool {
        let mut signal = self.0.load(Acquire);
        if signal & (PARKED | WRITING) != 0 {
            signal = self.0.fetch_and(!(PARKED | WANTS_ITEMS), AcqRel);
        }
        signal & (DIRECTIVE | DUE | WRITING | UNSENT) != 0
    }

    /// Marks the driver as parked, with room for items or without. Returns what is there already: with anything there
    /// the driver has to [`unpark`](Self::unpark), or to look further. `is_owner_idle` says whether a notice counts.
    #[inline(always)]
    pub(super) fn park(&self, wants_items: bool, is_owner_idle: bool) -> Present {
        let (parked, waits_for) = if wants_items {
            (PARKED | WANTS_ITEMS, DIRECTIVE | DUE | ITEMS | PENDING)
        } else {
            (PARKED, DIRECTIVE | DUE)
        };
        let waits_for = if is_owner_idle {
            waits_for | NOTICE
        } else {
            waits_for
        };
        let before = self.0.fetch_or(parked, AcqRel);
        let waits_for = if before & HELD != 0 {
            waits_for & !PENDING
        } else {
            waits_for
        };
        Present(before & waits_for)
    }

    /// Marks the driver as running, after a park that found something.
    pub(super) fn unpark(&self) {
        self.clear(PARKED | WANTS_ITEMS);
    }

    /// Clears the reasons for which the driver has to look at the state. Returns the word before.
    pub(super) fn take_reasons(&self, _: &Locked) -> Look {
        Look(self.0.fetch_and(!(DIRECTIVE | DUE | UNSENT), AcqRel))
    }

    /// Takes the notice. Returns whether there was one.
    pub(super) fn take_notice(&self) -> bool {
        self.0.fetch_and(!NOTICE, AcqRel) & NOTICE != 0
    }

    /// Forgets a directive that the driver has seen.
    pub(super) fn forget_directive(&self, _: &Locked) {
        self.clear(DIRECTIVE);
    }
}

/// The transitions that may wake the driver. Each returns whether the caller has to wake it.
impl Signal {
    #[must_use]
    pub(super) fn raise_items(&self, _: &Locked) -> bool {
        self.raise(ITEMS, PARKED | WANTS_ITEMS)
    }

    #[must_use]
    pub(super) fn raise_directive(&self, _: &Locked) -> bool {
        self.raise(DIRECTIVE, PARKED)
    }

    #[must_use]
    pub(super) fn raise_due(&self, _: &Locked) -> bool {
        self.raise(DUE, PARKED)
    }

    #[must_use]
    pub(super) fn raise_unsent(&self, _: &Locked) -> bool {
        self.raise(UNSENT, PARKED)
    }

    #[must_use]
    pub(super) fn raise_notice(&self) -> bool {
        self.raise(NOTICE, PARKED)
    }

    #[must_use]
    pub(super) fn raise_pending(&self, slot: Slot) -> bool {
        if Fault::ForgottenBit.is_on() && !self.look().has(PARKED) {
            return false;
        }
        self.raise(pending(slot), PARKED | WANTS_ITEMS)
    }

    /// Sets the bit. A driver that is `parked` in this way has to be woken for it: it is unparked, and one of the tasks
    /// that raise a bit wakes it.
    #[inline]
    fn raise(&self, bit: u64, parked: u64) -> bool {
        let signal = self.0.load(Acquire);
        if signal & bit != 0 && signal & parked != parked {
            // The bit is set, and a driver that runs looks at it before it parks.
            return false;
        }
        if self.0.fetch_or(bit, AcqRel) & parked != parked {
            return false;
        }
        // The task that clears PARKED wakes the driver. The other tasks find it cleared, and so does a driver that runs.
        self.0.fetch_and(!(PARKED | WANTS_ITEMS), AcqRel) & PARKED != 0
    }
}

/// The transitions that wake no driver.
impl Signal {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Sets ITEMS for a driver that runs, or before [`raise_items`](Self::raise_items).
    pub(super) fn note_items(&self, _: &Locked) {
        self.set(ITEMS);
    }

    pub(super) fn clear_items(&self, _: &Locked) {
        self.clear(ITEMS);
    }

    pub(super) fn note_awaited(&self, _: &Locked) {
        self.set(AWAITED);
    }

    pub(super) fn clear_awaited(&self, _: &Locked) {
        self.clear(AWAITED);
    }

    pub(super) fn set_held(&self, is_held: bool, _: &Locked) {
        if is_held {
            self.set(HELD);
        } else {
            self.clear(HELD);
        }
    }

    /// Leaves a message to the deliverer: `Some` with whether the driver is parked. `None` if none delivers any more.
    #[inline]
    pub(super) fn leave_to_deliverer(&self, slot: Slot) -> Option<bool> {
        let before = self.0.fetch_or(pending(slot), AcqRel);
        (before & DELIVERED != 0).then_some(before & PARKED != 0)
    }

    /// Notes that the mailbox has read the whole log of the channel with this slot. The log's lock is held, or the
    /// slot has no channel.
    pub(super) fn clear_pending(&self, slot: Slot) {
        self.clear(pending(slot));
    }

    /// Notes that no log holds anything for a mailbox that has left its channels.
    pub(super) fn clear_all_pending(&self) {
        self.clear(PENDING);
    }

    /// Notes that the mailbox has left its channels. Returns whether it had before.
    pub(super) fn leave(&self, _: &Locked) -> bool {
        self.0.fetch_or(LEFT, AcqRel) & LEFT != 0
    }

    pub(super) fn allow_delivery(&self, _: &Locked) {
        self.set(DELIVERED);
    }

    pub(super) fn forbid_delivery(&self, _: &Locked) {
        self.clear(DELIVERED);
    }

    /// Begins a delivery, unless the driver runs or another frame goes first.
    pub(super) fn try_begin_writing(&self, slot: Slot, _: &Locked) -> bool {
        let begin = |signal| {
            Look(signal)
                .is_deliverable(slot)
                .then_some(signal | WRITING)
        };
        self.0.fetch_update(AcqRel, Acquire, begin).is_ok()
    }

    pub(super) fn end_writing(&self, _: &Locked) {
        self.clear(WRITING);
    }

    /// Clears what the content of a shut outbox has set. Nothing is delivered any more.
    pub(super) fn shut(&self, _: &Locked) {
        self.clear(ITEMS | AWAITED | HELD | DELIVERED);
    }

    pub(super) fn pause(&self) {
        self.set(PAUSED);
    }

    /// Returns whether reading was paused.
    pub(super) fn resume(&self) -> bool {
        self.0.fetch_and(!PAUSED, AcqRel) & PAUSED != 0
    }

    fn set(&self, bits: u64) {
        self.0.fetch_or(bits, AcqRel);
    }

    fn clear(&self, bits: u64) {
        self.0.fetch_and(!bits, AcqRel);
    }

    /// Looks at the word.
    #[inline(always)]
    pub(super) fn look(&self) -> Look {
        Look(self.0.load(Acquire))
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Look({:#x})", self.0)
    }
}

impl Present {
    #[inline(always)]
    pub(super) fn is_nothing(self) -> bool {
        self.0 == 0
    }

    pub(super) fn is_directive_alone(self) -> bool {
        self.0 == DIRECTIVE
    }
}

impl Look {
    #[inline(always)]
    fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// Whether the driver can take something.
    #[inline]
    pub fn has_items(self) -> bool {
        self.has(ITEMS)
    }

    /// Whether a task waits for an item to be written.
    #[inline]
    pub fn is_awaited(self) -> bool {
        self.has(AWAITED)
    }

    /// Whether the driver has begun a message that is sent in parts: it may send no other message.
    #[inline]
    pub fn is_held(self) -> bool {
        self.has(HELD)
    }

    /// Whether reading is paused.
    #[inline]
    pub fn is_paused(self) -> bool {
        self.has(PAUSED)
    }

    pub(super) fn is_due(self) -> bool {
        self.has(DUE)
    }

    pub(super) fn has_unsent(self) -> bool {
        self.has(UNSENT)
    }

    #[inline]
    pub(super) fn has_pending(self) -> bool {
        self.has(PENDING)
    }

    #[inline]
    pub(super) fn has_left(self) -> bool {
        self.has(LEFT)
    }

    #[inline]
    pub(super) fn is_delivered(self) -> bool {
        self.has(DELIVERED)
    }

    /// Whether the outbox holds something that goes before the next message of a log.
    #[inline]
    pub(super) fn has_items_or_is_held(self) -> bool {
        self.has(ITEMS | HELD)
    }

    /// Whether the driver has nothing to take and no new directive, and may send any message.
    #[inline]
    pub fn is_quiet(self) -> bool {
        !self.has(ITEMS | DIRECTIVE | PENDING | HELD)
    }

    /// Whether the driver runs, and may hand on what it receives with nothing to do before.
    #[inline]
    pub fn is_plain(self) -> bool {
        const RUNS: u64 = PARKED | WRITING | UNSENT | DUE | NOTICE;
        !self.has(ITEMS | DIRECTIVE | PENDING | HELD | PAUSED | RUNS)
    }

    /// Whether a log may hold a message, and the driver has nothing else to take.
    #[inline]
    pub fn is_only_pending(self) -> bool {
        !self.has(ITEMS | DIRECTIVE | HELD) && self.has(PENDING)
    }

    /// Whether the driver can neither take an item nor read a log. Items behind a message in parts may wait.
    #[inline]
    pub fn has_nothing_to_take(self) -> bool {
        !self.has_items() && !self.is_readable()
    }

    /// Whether nothing goes before the log of the first slot, and the mailbox has not left its channel.
    #[inline]
    pub(super) fn is_first_next(self) -> bool {
        self.0 & (ITEMS | LEFT | pending(Slot::FIRST)) == pending(Slot::FIRST)
    }

    /// Whether a log may hold a message that no begun message keeps back.
    #[inline]
    pub(super) fn is_readable(self) -> bool {
        self.has(PENDING) && !self.has(HELD)
    }

    /// Whether the log of the first slot alone may hold a message, and no begun message keeps it back.
    #[inline]
    pub(super) fn is_first_alone(self) -> bool {
        self.0 & (PENDING | HELD) == pending(Slot::FIRST)
    }

    /// The slots whose logs may hold a message.
    pub(super) fn pending(self) -> impl Iterator<Item = Slot> {
        let mut left = self.0 >> FIRST_PENDING;
        std::iter::from_fn(move || {
            let slot = Slot::new(left.trailing_zeros())?;
            left &= left - 1;
            Some(slot)
        })
    }

    /// The slot behind `last` whose log may hold a message. Behind the last slot comes the first one.
    pub(super) fn pending_behind(self, last: Slot) -> Option<Slot> {
        let pending = self.0 >> FIRST_PENDING;
        let behind = pending & (!1 << last.number());
        let left = if behind == 0 { pending } else { behind };
        Slot::new(left.trailing_zeros())
    }

    /// Whether the log of the channel with this slot may hold a message for a driver that is parked with room for it, and
    /// nothing goes before. Another delivery may write at the moment: it holds the state's lock, and leaves this message.
    pub(super) fn is_deliverable(self, slot: Slot) -> bool {
        const UNWANTED: u64 = ITEMS | HELD | LEFT | UNSENT;
        let wanted = DELIVERED | PARKED | WANTS_ITEMS | pending(slot);
        self.0 & (wanted | UNWANTED) == wanted
    }
}
