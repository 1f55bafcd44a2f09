//! Moves what a mailbox has not read from the logs of its channels into its outbox: before an own item, before a Close,
//! and when a log is full. Also gives the subscriptions up.

use sockeye_proto::{CloseCode, CloseReason, PreparedMessage};

use super::Mailbox;
use super::item::{Queued, Streamed, Ticket};
use super::policy::{Overflow, Overflowed, Source};
use super::state::{State, Wakes};
use crate::fanout::log::{LOG_LIMIT, Log, Slot, Subscription};
use crate::sync::{Arc, lock};

/// What becomes of the messages that a mailbox has not read when it leaves a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// They go out, as far as the outbox has room for them.
    Sent,
    Dropped,
}

/// The reason of the Close for a peer that is too slow.
pub(super) const TOO_SLOW: &str = "too much waits to be sent";

/// How far messages of logs may exceed the limit of the outbox when they move into it. There was room for them when they
/// were accepted. Since then a message in parts may have grown, and an own send may have come between.
const MOVED_BEYOND: usize = LOG_LIMIT + Streamed::WINDOW;

/// What the messages that were moved have left to do.
#[derive(Default)]
pub(super) struct Moved {
    // Whether a message found no room, and the policy is to close.
    must_close: bool,
}

impl Subscription {
    /// The source of its messages.
    pub(super) fn source(&self) -> Source {
        Source::Channel(self.log().config().overflow)
    }

    /// Whether its channel keeps the newest message only.
    pub(super) fn is_conflated(&self) -> bool {
        self.log().config().is_conflated
    }
}

impl<D> Mailbox<D> {
    /// Puts an item in, behind the messages that the mailbox's channels held before.
    pub(super) fn push_behind(
        &self,
        state: &mut State<D>,
        item: Queued,
        wakes: &mut Wakes,
    ) -> Ticket {
        if !item.is_control() && self.signal.look().has_pending() {
            self.catch_up_with_all(state, wakes);
        }
        state.push(item)
    }

    /// Moves what the mailbox has not read of one channel from its log into the outbox. Returns what was lost for it.
    pub(crate) fn catch_up(&self, slot: Slot) -> Option<Overflowed> {
        let mut wakes = Wakes::default();
        let mut moved = Moved::default();
        let mut state = lock(&self.state);
        self.catch_up_with(&mut state, slot, &mut moved, &mut wakes);
        self.finish(&mut state, &moved, &mut wakes);
        let lost = state.take_loss();
        drop(state);
        wakes.wake();
        lost
    }

    /// Moves what the mailbox has not read of all its channels but the conflated ones. Wakes the driver if it has to send
    /// items now: a deliverer writes none.
    pub(super) fn catch_up_with_all(&self, state: &mut State<D>, wakes: &mut Wakes) {
        let mut moved = Moved::default();
        for slot in self.signal.look().pending() {
            let subscription = self.subscription_under(state, slot);
            if !subscription.is_some_and(Subscription::is_conflated) {
                self.catch_up_with(state, slot, &mut moved, wakes);
            }
        }
        self.finish(state, &moved, wakes);
    }

    fn catch_up_with(
        &self,
        state: &mut State<D>,
        slot: Slot,
        moved: &mut Moved,
        wakes: &mut Wakes,
    ) {
        // Cloned, because the state changes meanwhile.
        let Some(subscription) = self.subscription_under(state, slot).cloned() else {
            self.signal.clear_pending(slot);
            return;
        };
        let source = subscription.source();
        subscription.catch_up(
            |message| self.move_in(state, message, source, moved, wakes),
            || self.signal.clear_pending(slot),
        );
    }

    /// Acts on what was moved.
    pub(super) fn finish(&self, state: &mut State<D>, moved: &Moved, wakes: &mut Wakes) {
        if moved.must_close {
            self.close_as_too_slow(state, wakes);
        }
        if self.signal.look().has_items() {
            wakes.add(state.driver_if(self.signal.raise_items(&state.locked)));
        }
    }

    /// Closes the session of a peer that is too slow.
    #[cold]
    pub(super) fn close_as_too_slow(&self, state: &mut State<D>, wakes: &mut Wakes) {
        let reason = CloseReason::new(CloseCode::TRY_AGAIN_LATER, TOO_SLOW);
        debug_assert!(reason.is_ok(), "1013 may be sent");
        if let Ok(reason) = reason {
            self.close_under(state, reason, wakes);
        }
    }

    /// Puts a message of a log into the outbox. Applies the policy of its channel if there is no room.
    pub(super) fn move_in(
        &self,
        state: &mut State<D>,
        message: PreparedMessage,
        source: Source,
        moved: &mut Moved,
        wakes: &mut Wakes,
    ) {
        let item = Queued::Message(message.into());
        let limit = state.limit + MOVED_BEYOND;
        if !moved.must_close && state.has_room_below(limit, &item) {
            let item = state.as_it_gives_way(item, source, None);
            state.push(item);
            self.signal.note_items(&state.locked);
            return;
        }
        let mut lost = Overflowed {
            policy: state.overflow.of(source),
            ticket: None,
            dropped: 1,
            is_first: !std::mem::replace(&mut state.has_overflowed, true),
        };
        match lost.policy {
            Overflow::Refuse | Overflow::DropNewest => {}
            Overflow::DropOldest => {
                if let Some((_, dropped)) =
                    state.push_in_place_of_oldest(limit, item, source, None, wakes)
                {
                    lost.dropped = dropped;
                    self.signal.note_items(&state.locked);
                }
            }
            Overflow::Close => moved.must_close = true,
        }
        state.note_loss(lost);
    }

    /// Leaves one channel: nothing of it is sent any more but the items. The messages that the mailbox has not read are
    /// dropped. `slot` is that of the channel, if it has one.
    pub(crate) fn leave(&self, slot: Option<Slot>, log: &Arc<Log>) {
        let mut state = lock(&self.state);
        if let Some(slot) = slot {
            let read_all = || self.signal.clear_pending(slot);
            if slot == Slot::FIRST {
                if let Some(first) = self.first.as_ref()
                    && std::mem::take(&mut state.has_first)
                {
                    first.end(drop, read_all);
                }
            } else if let Some(others) = &mut state.others {
                if let Some(left) = others.remove(slot) {
                    left.end(drop, read_all);
                }
                state.others.take_if(|others| others.is_empty());
            }
        }
        if log.config().is_conflated {
            self.forget_value(&mut state, log);
        }
    }

    /// Leaves all channels, for ever.
    pub(super) fn leave_all(&self, state: &mut State<D>, unread: Unread, wakes: &mut Wakes) {
        // First of all: a publisher that puts a message into a log after this mailbox has left it sees that it left.
        if self.signal.leave(&state.locked) {
            return;
        }
        let mut moved = Moved::default();
        let has_first = std::mem::take(&mut state.has_first);
        let others = state.others.take();
        let others = others.iter().flat_map(|others| others.iter());
        for subscription in self.first.iter().filter(|_| has_first).chain(others) {
            let take = |message| match unread {
                Unread::Dropped => {}
                Unread::Sent if subscription.is_conflated() => {
                    state.waiters().latest.put(subscription.log(), message);
                    self.signal.note_items(&state.locked);
                }
                Unread::Sent => {
                    self.move_in(state, message, subscription.source(), &mut moved, wakes);
                }
            };
            subscription.end(take, || {});
        }
        // The connection ends already: a message that found no room changes nothing more.
    }

    /// The subscription with this slot, unless it is given up.
    pub(super) fn subscription_under<'s>(
        &'s self,
        state: &'s State<D>,
        slot: Slot,
    ) -> Option<&'s Subscription> {
        if self.signal.look().has_left() {
            return None;
        }
        match slot {
            Slot::FIRST => self.first.as_ref().filter(|_| state.has_first),
            slot => state.others.as_ref()?.get(slot),
        }
    }
}
