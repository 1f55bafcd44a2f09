//! The publisher's side of a mailbox: it is offered the messages of its channels, and joins them.

use sockeye_proto::PreparedMessage;

use super::Mailbox;
use super::catch_up::Moved;
use super::item::Queued;
use super::overflow::Offered;
use super::policy::{Overflowed, Source};
use super::state::Wakes;
use crate::fanout::log::{Slot, Subscription};
use crate::sync::lock;

/// The outcome of offering one message to one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a publisher acts on each")]
pub enum Offer {
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
        round: &mut Round,
    ) -> Offer {
        let look = self.signal.look();
        if look.has_left() {
            return Offer::Closed;
        }
        if look.has_items_or_is_held() {
            round.is_settled = false;
            if let Some(overflowed) = self.pass_over(slot, number, message) {
                return Offer::Overflowed(overflowed);
            }
        }
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
    fn pass_over(&self, slot: Slot, number: u64, message: &PreparedMessage) -> Option<Overflowed> {
        let item = Queued::Message(message.into());
        let mut state = lock(&self.state);
        if state.takes(&item, Source::Broadcast) {
            return None;
        }
        let mut wakes = Wakes::default();
        let mut moved = Moved::default();
        let subscription = self.subscription_under(&state, slot)?.clone();
        let is_unread = subscription.pass_over(number, |message| {
            self.move_in(&mut state, message, &mut moved, &mut wakes);
        });
        let overflowed = is_unread.then(|| {
            let overflowed = self.overflow(&mut state, item, Source::Broadcast, None, &mut wakes);
            let earlier = state.take_loss();
            earlier.map_or(overflowed, |earlier| earlier.and(overflowed))
        });
        self.finish(&mut state, &moved, &mut wakes);
        drop(state);
        wakes.wake();
        overflowed
    }

    /// Offers a message that is not in a log, as an item. Applies the overflow policy if there is no room now.
    pub fn offer_item(&self, message: &PreparedMessage) -> Offer {
        let item = Queued::Message(message.into());
        match self.offer(item, Source::Broadcast, None) {
            Ok(Offered::Taken(_)) => Offer::Taken,
            Ok(Offered::Overflowed(overflowed)) => Offer::Overflowed(overflowed),
            Err(_) => Offer::Closed,
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
