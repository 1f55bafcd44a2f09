//! The broadcasts of an endpoint, as they reach one outbox through its seat at the [`log`](crate::fanout::log).
//! A broadcast leaves the log in one of three ways: the driver reads it, a deliverer writes it to the transport of a parked
//! driver, or a sender moves it into the outbox before its own item.

use std::task::Waker;

use sockeye_proto::PreparedMessage;

use super::overflow::{Offered, Source};
use super::waiter::wake_one;
use super::{Mailbox, Overflowed, Queued, State, Ticket};
use crate::direct::DirectWrite;
use crate::fanout::log::{Copied, Seat};
use crate::sync::lock;

/// The outcome of offering one broadcast to one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOutcome {
    /// The session gets the broadcast.
    Taken,
    /// The session takes no more messages.
    Closed,
    /// The broadcast found no room. [`BroadcastOutcome::overflowed`] says what became of it.
    Overflowed,
}

/// The outcome of offering one broadcast to every session.
#[derive(Debug)]
pub struct BroadcastOutcome {
    /// Whether all sessions have been notified: until one of them uses the log, the next broadcast need not visit them.
    pub is_settled: bool,
    /// Whether a deliverer has to [deliver](Mailbox::deliver) the broadcast to a session.
    pub wants_delivery: bool,
    /// What became of the broadcast at the last session that had no room.
    pub overflowed: Option<Overflowed>,
}

impl<D> Mailbox<D> {
    /// Offers a message of the log to the session. Applies the overflow policy if there is no room now.
    pub fn offer_broadcast(
        &self,
        number: u64,
        message: &PreparedMessage,
        outcome: &mut BroadcastOutcome,
    ) -> SessionOutcome {
        if self.seat.is_none() {
            outcome.is_settled = false;
            return self.offer_item(message, outcome);
        }
        let look = self.signal.look();
        if look.has_left() {
            return SessionOutcome::Closed;
        }
        if look.has_items_or_is_held() {
            outcome.is_settled = false;
            let item = Queued::Message(message.into());
            let mut state = lock(&self.state);
            if !state.takes(&item, Source::Broadcast) && self.pass_over(&mut state, number) {
                outcome.overflowed = Some(self.overflow(state, item, Source::Broadcast, None));
                return SessionOutcome::Overflowed;
            }
        }
        if look.is_delivered()
            && let Some(is_parked) = self.signal.leave_to_deliverer()
        {
            outcome.wants_delivery |= is_parked;
            return SessionOutcome::Taken;
        }
        if self.signal.raise_pending()
            && let Some(driver) = &lock(&self.state).driver
        {
            // This makes a session's task ready, and runs no code of the application.
            driver.wake_by_ref();
        }
        SessionOutcome::Taken
    }

    /// Offers a message that is not in the log, as an item. Applies the overflow policy if there is no room now.
    pub fn offer_item(
        &self,
        message: &PreparedMessage,
        outcome: &mut BroadcastOutcome,
    ) -> SessionOutcome {
        let item = Queued::Message(message.into());
        match self.offer(item, Source::Broadcast, None) {
            Ok(Offered::Taken(_)) => SessionOutcome::Taken,
            Ok(Offered::Overflowed(overflowed)) => {
                outcome.overflowed = Some(overflowed);
                SessionOutcome::Overflowed
            }
            Err(_) => SessionOutcome::Closed,
        }
    }
}

impl<D: DirectWrite> Mailbox<D> {
    /// Writes the broadcasts of the log, as far as the transport takes them. Does nothing if the driver runs, or has
    /// something else to send. After [`BroadcastOutcome::wants_delivery`] the deliverer has to call this, or
    /// [`end_delivery`](Self::end_delivery).
    pub fn deliver(&self, copied: &mut Copied) {
        if !self.signal.look().is_deliverable() {
            return;
        }
        let mut state = lock(&self.state);
        if !self.signal.try_begin_writing(&state.locked) {
            return;
        }
        // Until `end_writing` a driver that is woken waits for the lock before it does anything.
        let unsent = self.write_log(&state, copied);
        let wake = unsent.and_then(|unsent| self.leave_to_driver(&mut state, unsent));
        self.signal.end_writing(&state.locked);
        drop(state);
        wake_one(wake);
    }

    /// Writes the broadcasts of the log. Returns the bytes that the transport did not take.
    fn write_log<'c>(&self, state: &State<D>, copied: &'c mut Copied) -> Option<&'c [u8]> {
        const ROOM: usize = 64 * 1024;
        let (Some(seat), Some(direct)) = (&self.seat, &state.direct) else {
            return None;
        };
        loop {
            let frames = seat.copy(ROOM, copied, || self.signal.clear_pending())?;
            let written = direct.write(frames);
            if written < frames.len() {
                return copied.frames().get(written..);
            }
        }
    }
}

impl<D> Mailbox<D> {
    #[cold]
    fn leave_to_driver(&self, state: &mut State<D>, unsent: &[u8]) -> Option<Waker> {
        state.waiters().unsent = unsent.to_vec();
        state.driver_if(self.signal.raise_unsent(&state.locked))
    }

    /// Leaves the broadcasts to the driver from now on.
    pub fn end_delivery(&self) {
        let state = lock(&self.state);
        self.signal.forbid_delivery(&state.locked);
        let has_pending = self.signal.look().has_pending();
        let wake = state.driver_if(has_pending && self.signal.raise_pending());
        drop(state);
        wake_one(wake);
    }

    /// Moves the broadcasts that the session has not read from the log into the outbox.
    pub fn catch_up(&self) {
        let mut state = lock(&self.state);
        let wake = self.catch_up_with(&mut state);
        drop(state);
        wake_one(wake);
    }

    /// Catches up with the state locked. Returns the driver's waker if the driver has to be woken: a deliverer writes no
    /// items.
    pub(super) fn catch_up_with(&self, state: &mut State<D>) -> Option<Waker> {
        let seat = self.seat_under(state)?;
        seat.catch_up(|message| self.take_over(state, message));
        let has_items = self.signal.look().has_items();
        state.driver_if(has_items && self.signal.raise_items(&state.locked))
    }

    /// Moves the broadcasts before this one into the outbox, and leaves this one out. Returns false if the session has
    /// read this one already.
    fn pass_over(&self, state: &mut State<D>, number: u64) -> bool {
        let seat = self.seat_under(state);
        seat.is_some_and(|seat| seat.pass_over(number, |message| self.take_over(state, message)))
    }

    /// The seat, unless it is given up. That needs the state's lock.
    pub(super) fn seat_under(&self, _state: &State<D>) -> Option<&Seat> {
        let has_left = self.signal.look().has_left();
        self.seat.as_ref().filter(|_| !has_left)
    }

    /// Puts a broadcast of the log into the outbox. There was room for it when it came.
    pub(super) fn take_over(&self, state: &mut State<D>, message: PreparedMessage) {
        let item = Queued::Message(message.into());
        let item = state.as_it_gives_way(item, Source::Broadcast, None);
        state.push(item);
        self.signal.note_items(&state.locked);
    }

    /// Joins the log: the session gets each broadcast from now on. `delivers` says whether the endpoint has a deliverer.
    /// Returns whether the session has a seat at the log.
    pub fn join_log(&self, delivers: bool) -> bool {
        let Some(seat) = &self.seat else {
            return false;
        };
        let state = lock(&self.state);
        if delivers && state.direct.is_some() {
            self.signal.allow_delivery(&state.locked);
        }
        seat.sit();
        true
    }

    pub(super) fn leave_log_under(&self, state: &State<D>) {
        if let Some(seat) = self.seat_under(state) {
            let left = |(): &()| self.signal.leave(&state.locked);
            seat.leave(&mut (), |(), message| drop(message), left);
        }
    }

    /// Puts an item in, behind the broadcasts that the session has been offered before.
    pub(super) fn push_behind(&self, state: &mut State<D>, item: Queued) -> Ticket {
        if self.signal.look().has_pending()
            && !item.is_control()
            && let Some(seat) = self.seat_under(state)
        {
            seat.catch_up(|message| self.take_over(state, message));
        }
        state.push(item)
    }

    /// Reads frames of the log, up to `room` bytes and the rest of the last frame, if nothing goes before them. Returns
    /// whether there were any.
    #[inline]
    pub fn read_log(&self, room: usize, read: impl FnOnce(&[u8])) -> bool {
        if !self.signal.look().is_readable() {
            return false;
        }
        let Some(seat) = &self.seat else {
            return false;
        };
        let is_overtaken = || {
            let look = self.signal.look();
            if look.has_left() {
                self.signal.clear_pending();
            }
            look.has_left() || look.has_items()
        };
        seat.read(room, is_overtaken, read, || self.signal.clear_pending())
    }
}
