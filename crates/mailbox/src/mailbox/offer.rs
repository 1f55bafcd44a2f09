//! The publisher's side of a mailbox: it is offered the messages of its channels, and joins them.

use sockeye_proto::PreparedMessage;

use super::Mailbox;
use super::catch_up::Moved;
use super::item::Queued;
use super::overflow::Offered;
use super::policy::{Overflow, Overflowed, Source};
use super::signal::Look;
use super::state::{State, Wakes};
use crate::fanout::log::{Log, Slot, Subscription};
use crate::sync::{Arc, lock};

/// The outcome of offering one message to one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The mailbox gets the message.
    Taken,
    /// The mailbox takes no more messages.
    Closed,
    /// The message found no room.
    Overflowed(Overflowed),
}

/// What a publisher has to do when it has offered a message to all members.
#[derive(Debug)]
pub(crate) struct Round {
    /// Whether all members have been notified: until one of them uses the log, the next message need not visit them.
    pub(crate) is_settled: bool,
    /// Whether a deliverer has to [deliver](Mailbox::deliver) the message to a member.
    pub(crate) wants_delivery: bool,
}

impl<D> Mailbox<D> {
    /// Offers message `number` of the log of the channel with this slot. Applies the overflow policy if there is no room
    /// now.
    #[inline]
    pub(crate) fn offer_logged(
        &self,
        slot: Slot,
        number: u64,
        message: &PreparedMessage,
        overflow: Option<Overflow>,
        round: &mut Round,
    ) -> Offer {
        let look = self.signal.look();
        if look.has_left() {
            return Offer::Closed;
        }
        if look.has_items_or_is_held() {
            round.is_settled = false;
            let source = Source::Channel(overflow);
            if let Some(overflowed) = self.pass_over(slot, number, message, source) {
                return Offer::Overflowed(overflowed);
            }
        }
        self.announce(look, slot, round)
    }

    /// Offers the value of a conflated channel, which is in the log of the channel with this slot.
    pub(crate) fn offer_logged_value(
        &self,
        slot: Slot,
        log: &Arc<Log>,
        round: &mut Round,
    ) -> Offer {
        let look = self.signal.look();
        if look.has_left() {
            return Offer::Closed;
        }
        let taken = self.announce(look, slot, round);
        if look.has_items_or_is_held() {
            // An older value may wait here, which did not fit into the log. The driver takes items before it reads logs,
            // so it never sends the older value last.
            self.forget_value(&mut lock(&self.state), log);
        }
        taken
    }

    /// Notifies the driver, or the deliverer, that the log of the channel with this slot holds a message.
    #[inline(always)]
    fn announce(&self, look: Look, slot: Slot, round: &mut Round) -> Offer {
        if look.is_delivered()
            && let Some(is_parked) = self.signal.leave_to_deliverer(slot)
        {
            round.wants_delivery |= is_parked;
            return Offer::Taken;
        }
        if self.signal.raise_pending(slot)
            && let Some(driver) = &lock(&self.state).driver
        {
            // This makes a session's task ready, and runs no code of the application.
            driver.wake_by_ref();
        }
        Offer::Taken
    }

    /// Leaves a message of a log out, if the outbox has no room for it. Moves the messages before it into the outbox.
    /// Returns what was lost. `None` if there is room, or if the mailbox has read the message already.
    #[cold]
    fn pass_over(
        &self,
        slot: Slot,
        number: u64,
        message: &PreparedMessage,
        source: Source,
    ) -> Option<Overflowed> {
        let item = Queued::Message(message.into());
        let mut wakes = Wakes::default();
        let mut moved = Moved::default();
        let mut state = lock(&self.state);
        let subscription = self.subscription_under(&state, slot)?.clone();
        // What the log holds before the message will need room too: a message that is accepted finds its room later.
        let has_room = state.room_besides(&item, source);
        let is_passed_over = subscription.pass_over(number, has_room, |message| {
            self.move_in(&mut state, message, source, &mut moved, &mut wakes);
        });
        let overflowed = is_passed_over.then(|| {
            let overflowed = self.overflow(&mut state, item, source, None, &mut wakes);
            let earlier = state.take_loss();
            earlier.map_or(overflowed, |earlier| earlier.and(overflowed))
        });
        self.finish(&mut state, &moved, &mut wakes);
        drop(state);
        wakes.wake();
        overflowed
    }

    /// Offers a message that is not in a log, as an item. Applies the overflow policy if there is no room now: that of its
    /// channel, if the channel has one.
    pub(crate) fn offer_item(
        &self,
        message: &PreparedMessage,
        overflow: Option<Overflow>,
    ) -> Offer {
        let item = Queued::Message(message.into());
        match self.offer_of(item, Source::Channel(overflow), None) {
            Ok(Offered::Taken(_)) => Offer::Taken,
            Ok(Offered::Overflowed(overflowed)) => Offer::Overflowed(overflowed),
            Err(_) => Offer::Closed,
        }
    }

    /// Offers the value of a conflated channel that is not in its log. It takes the place of the channel's last one, in the
    /// mailbox or in the log.
    pub(crate) fn offer_value(
        &self,
        slot: Option<Slot>,
        log: &Arc<Log>,
        value: &PreparedMessage,
    ) -> Offer {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.check_open().is_err() {
            return Offer::Closed;
        }
        let older = slot.and_then(|slot| Some((slot, self.subscription_under(&state, slot)?)));
        if let Some((slot, subscription)) = older {
            // ITEMS is set first, and while the log is locked. So a driver that finds no value there finds this one here.
            subscription.catch_up(drop, || {
                self.signal.note_items(&state.locked);
                self.signal.clear_pending(slot);
            });
        }
        state.waiters().latest.put(log, value.clone());
        state.events = state.events.wrapping_add(1);
        wakes.add(state.driver_if(self.signal.raise_items(&state.locked)));
        drop(state);
        wakes.wake();
        Offer::Taken
    }

    /// Drops the value of a conflated channel that waits in the mailbox.
    pub(super) fn forget_value(&self, state: &mut State<D>, log: &Arc<Log>) {
        let Some(waiters) = &mut state.waiters else {
            return;
        };
        waiters.latest.forget(log);
        if state.has_nothing_to_take() {
            self.signal.clear_items(&state.locked);
        }
    }

    /// Joins a channel: the mailbox gets each message of the subscription's log from now on. Returns the slot by which the
    /// mailbox knows the channel. `None` if it takes the channel's messages as items, because it cannot share frames, or
    /// because all slots are taken.
    pub(crate) fn join(&self, subscription: &Subscription) -> Option<Slot> {
        let first = self.first.as_ref()?;
        let mut state = lock(&self.state);
        if self.signal.look().has_left() {
            return None;
        }
        if first.is_same(subscription) {
            first.begin();
            state.has_first = true;
            return Some(Slot::FIRST);
        }
        let slot = state
            .others
            .get_or_insert_default()
            .add(subscription.clone())?;
        subscription.begin();
        Some(slot)
    }

    /// Whether a deliverer can write to the mailbox's transport.
    pub fn has_direct(&self) -> bool {
        lock(&self.state).direct.is_some()
    }

    /// Leaves what its channels hold for the mailbox to a deliverer, while the driver is parked.
    pub(crate) fn begin_delivery(&self) {
        let state = lock(&self.state);
        if state.direct.is_some() {
            self.signal.allow_delivery(&state.locked);
        }
    }

    /// Leaves the messages of its channels to the driver from now on.
    pub(crate) fn end_delivery(&self) {
        let mut wakes = Wakes::default();
        let state = lock(&self.state);
        self.signal.forbid_delivery(&state.locked);
        for slot in self.signal.look().pending() {
            wakes.add(state.driver_if(self.signal.raise_pending(slot)));
        }
        drop(state);
        wakes.wake();
    }
}
