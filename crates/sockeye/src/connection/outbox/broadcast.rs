//! The broadcasts of an endpoint, as one outbox hears of them through its seat at the [`log`](crate::connection::log).
//! A broadcast leaves the log in one of three ways: the driver reads it, a delivery writes it to the transport of a parked
//! driver, or a sender moves it into the outbox before its own item.

use std::task::Waker;

use sockeye_proto::PreparedMessage;

use super::overflow::{Offered, Source};
use super::waiter::wake_one;
use super::{Item, Outbox, Overflowed, State, Ticket};
use crate::connection::log::{Copied, Seat};
use crate::sync::lock;

/// What became of a broadcast at one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It goes out.
    Taken,
    /// The session takes nothing any more.
    Closed,
    /// It found no room: [`Hearing::overflowed`] says what became of it.
    Overflowed,
}

/// How whoever broadcasts finds those who hear it.
#[derive(Debug)]
pub(crate) struct Hearing {
    /// Whether the next message ends for all as this one did, as long as nobody has been at the log.
    pub(crate) is_settled: bool,
    /// Whether there is one to whom it has to be [delivered](Outbox::deliver).
    pub(crate) wants_delivery: bool,
    /// What gave way at the last session that had no room.
    pub(crate) overflowed: Option<Overflowed>,
}

impl Outbox {
    /// Hears of a message in the log, or does what the policy says where there is no room now.
    pub(crate) fn hear(
        &self,
        number: u64,
        message: &PreparedMessage,
        hearing: &mut Hearing,
    ) -> Heard {
        if self.seat.is_none() {
            hearing.is_settled = false;
            return self.hear_alone(message, hearing);
        }
        let look = self.signal.look();
        if look.has_left() {
            return Heard::Closed;
        }
        if look.has_items_or_is_held() {
            hearing.is_settled = false;
            let item = Item::Message(message.into());
            let mut state = lock(&self.state);
            if !state.takes(&item, Source::Broadcast) && self.pass_over(&mut state, number) {
                hearing.overflowed = Some(self.overflow(state, item, Source::Broadcast, None));
                return Heard::Overflowed;
            }
        }
        if look.is_delivered()
            && let Some(is_parked) = self.signal.leave_to_deliverer()
        {
            hearing.wants_delivery |= is_parked;
            return Heard::Taken;
        }
        if self.signal.raise_pending()
            && let Some(driver) = &lock(&self.state).driver
        {
            // A session's task: nothing of the application's runs here.
            driver.wake_by_ref();
        }
        Heard::Taken
    }

    /// As [`hear`](Self::hear), of a message that is not in the log.
    pub(crate) fn hear_alone(&self, message: &PreparedMessage, hearing: &mut Hearing) -> Heard {
        let item = Item::Message(message.into());
        match self.offer(item, Source::Broadcast, None) {
            Ok(Offered::Taken(_)) => Heard::Taken,
            Ok(Offered::Overflowed(overflowed)) => {
                hearing.overflowed = Some(overflowed);
                Heard::Overflowed
            }
            Err(_) => Heard::Closed,
        }
    }

    /// Writes what is in the log, as far as the transport takes it, if the driver is parked and nothing else is to be
    /// sent. Whoever is told so by [`hear`](Self::hear) has to call it, or to [end](Self::end_delivery) it.
    pub(crate) fn deliver(&self, copied: &mut Copied) {
        if !self.signal.look().is_deliverable() {
            return;
        }
        let mut state = lock(&self.state);
        if !self.signal.try_begin_writing(&state.locked) {
            return;
        }
        // Until `end_writing` a driver that is woken waits for the lock before it does anything.
        let rest = self.write_log(&state, copied);
        let wake = rest.and_then(|rest| self.leave_to_driver(&mut state, rest));
        self.signal.end_writing(&state.locked);
        drop(state);
        wake_one(wake);
    }

    /// Writes what is in the log. Gives what the transport did not take.
    fn write_log<'c>(&self, state: &State, copied: &'c mut Copied) -> Option<&'c [u8]> {
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

    #[cold]
    fn leave_to_driver(&self, state: &mut State, rest: &[u8]) -> Option<Waker> {
        state.waiters().unsent = rest.to_vec();
        state.driver_if(self.signal.raise_unsent(&state.locked))
    }

    /// Nobody delivers any more.
    pub(crate) fn end_delivery(&self) {
        let state = lock(&self.state);
        self.signal.forbid_delivery(&state.locked);
        let has_pending = self.signal.look().has_pending();
        let wake = state.driver_if(has_pending && self.signal.raise_pending());
        drop(state);
        wake_one(wake);
    }

    /// Moves what it has not read of the log here.
    pub(crate) fn catch_up(&self) {
        let mut state = lock(&self.state);
        let wake = self.catch_up_with(&mut state);
        drop(state);
        wake_one(wake);
    }

    /// Gives the driver's waker where it is to be woken: nobody delivers what is here.
    pub(super) fn catch_up_with(&self, state: &mut State) -> Option<Waker> {
        let seat = self.seat_under(state)?;
        seat.catch_up(|message| self.take_over(state, message));
        let has_items = self.signal.look().has_items();
        state.driver_if(has_items && self.signal.raise_items(&state.locked))
    }

    /// Moves what comes before this message here, and leaves the message out; unless it is read already.
    fn pass_over(&self, state: &mut State, number: u64) -> bool {
        let seat = self.seat_under(state);
        seat.is_some_and(|seat| seat.pass_over(number, |message| self.take_over(state, message)))
    }

    /// The seat, which nobody gives up while the state is locked.
    pub(super) fn seat_under(&self, _state: &State) -> Option<&Seat> {
        let has_left = self.signal.look().has_left();
        self.seat.as_ref().filter(|_| !has_left)
    }

    /// There was room for it when it was put into the log.
    pub(super) fn take_over(&self, state: &mut State, message: PreparedMessage) {
        let item = Item::Message(message.into());
        let item = state.as_it_gives_way(item, Source::Broadcast, None);
        state.push(item);
        self.signal.note_items(&state.locked);
    }

    /// Begins to read the log: the session gets the broadcasts from now on. If it `delivers`, another task may write them
    /// to the transport. Returns whether the session has a seat at the log.
    pub(crate) fn join_log(&self, delivers: bool) -> bool {
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

    pub(super) fn leave_log_under(&self, state: &State) {
        if let Some(seat) = self.seat_under(state) {
            let left = |(): &()| self.signal.leave(&state.locked);
            seat.leave(&mut (), |(), message| drop(message), left);
        }
    }

    /// Puts an item in behind what it hears of in the log.
    pub(super) fn push_behind(&self, state: &mut State, item: Item) -> Ticket {
        if self.signal.look().has_pending()
            && !item.is_control()
            && let Some(seat) = self.seat_under(state)
        {
            seat.catch_up(|message| self.take_over(state, message));
        }
        state.push(item)
    }

    /// Reads frames of the log that make up for `room` bytes or a little more, if nothing else comes before
    /// them. Says whether there were any.
    #[inline]
    pub(crate) fn read_log(&self, room: usize, read: impl FnOnce(&[u8])) -> bool {
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
