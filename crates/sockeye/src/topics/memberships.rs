//! The subscriptions of one session.

use std::collections::VecDeque;

use sockeye_mailbox::Ticket;
use sockeye_pubsub::TopicName;

use super::local_topic::TopicChannel;
use super::permission::is_of_client;
use crate::connection::direct::Mailbox;
use crate::sync::Arc;

/// The subscriptions of one session, and its replays that wait to be written.
#[derive(Default)]
pub(super) struct Memberships {
    // Sorted by name.
    all: Vec<Membership>,
    replays: Replays,
    has_retired: bool,
}

/// One subscription.
pub(super) struct Membership {
    /// The topic's channel in the session's form.
    pub(super) channel: Arc<TopicChannel>,
    /// The number of the session in the channel.
    pub(super) member: u32,
    /// The number of the join by which it came about.
    pub(super) join: u32,
}

/// The bytes of the replays of one session that are not written yet.
#[derive(Default)]
struct Replays {
    reserved: usize,
    waiting: VecDeque<(Ticket, usize)>,
}

impl Memberships {
    /// Whether the session has ended: it takes no subscription any more.
    pub(super) fn has_retired(&self) -> bool {
        self.has_retired
    }

    pub(super) fn contains(&self, topic: &str) -> bool {
        self.find(topic).is_ok()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &TopicName> {
        self.all.iter().map(|membership| membership.channel.name())
    }

    pub(super) fn insert(&mut self, membership: Membership) {
        if let Err(place) = self.find(membership.channel.name()) {
            // It grows by an eighth: there are many sessions, so what they reserve counts.
            if self.all.len() == self.all.capacity() {
                self.all.reserve_exact((self.all.len() / 8).max(1));
            }
            self.all.insert(place, membership);
        }
    }

    pub(super) fn remove(&mut self, topic: &str) -> Option<Membership> {
        let place = self.find(topic).ok()?;
        Some(self.all.remove(place))
    }

    /// Removes a subscription, if it came about by this join.
    pub(super) fn remove_of(&mut self, topic: &str, join: u32) -> Option<Membership> {
        let place = self.find(topic).ok()?;
        let is_meant = self.all.get(place).is_some_and(|known| known.join == join);
        is_meant.then(|| self.all.remove(place))
    }

    /// Returns the number of the join of a subscription.
    pub(super) fn join_of(&self, topic: &str) -> Option<u32> {
        let place = self.find(topic).ok()?;
        self.all.get(place).map(|known| known.join)
    }

    /// Returns the number of the join of a subscription, if the join needed a permission.
    pub(super) fn join_of_client(&self, topic: &str) -> Option<u32> {
        self.join_of(topic).filter(|join| is_of_client(*join))
    }

    /// Ends all subscriptions, for ever.
    pub(super) fn retire(&mut self) -> Vec<Membership> {
        self.has_retired = true;
        std::mem::take(&mut self.all)
    }

    fn find(&self, topic: &str) -> Result<usize, usize> {
        self.all
            .binary_search_by(|membership| membership.channel.name().as_str().cmp(topic))
    }

    /// Reserves bytes for a replay. Returns the ticket of the oldest replay if there is no room: the join waits until that
    /// one is written. Without a ticket another join holds the room, and has its answer soon.
    pub(super) fn reserve(
        &mut self,
        bytes: usize,
        limit: usize,
        mailbox: &Mailbox,
    ) -> Result<(), Option<Ticket>> {
        let replays = &mut self.replays;
        while let Some((ticket, freed)) = replays.waiting.front().copied()
            && mailbox.is_written(ticket)
        {
            replays.waiting.pop_front();
            replays.reserved -= freed;
        }
        if replays.reserved > 0 && replays.reserved + bytes > limit {
            return Err(replays.waiting.front().map(|(ticket, _)| *ticket));
        }
        replays.reserved += bytes;
        Ok(())
    }

    /// Returns the bytes of the replays that were not written when a join reserved room last.
    pub(super) fn unwritten(&self) -> usize {
        self.replays.waiting.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Gives back what a join has reserved and not used.
    pub(super) fn release(&mut self, bytes: usize) {
        self.replays.reserved -= bytes;
    }

    /// Notes that a replay of so many bytes waits, in the place of what its join has reserved.
    pub(super) fn note_replay(&mut self, reserved: usize, used: usize, ticket: Option<Ticket>) {
        self.release(reserved);
        if let Some(ticket) = ticket
            && used > 0
        {
            self.replays.reserved += used;
            self.replays.waiting.push_back((ticket, used));
        }
    }
}
