//! Presence: the members of topics on this node. A subscriber is a member if it said something of itself when it joined.
//!
//! ```text
//!   attach, leave ─▶ Presence: members of this node ─▶ changes ─▶ the engine's store
//!                                      └─▶ stir: subscribers ask again, at most once in 3 s for each topic
//! ```
//!
//! Lock order: a shard of the hub, then this.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{Member, MemberId};

use super::surroundings::now;
use crate::sync::{Mutex, lock};

/// The members of the topics on this node.
#[derive(Default)]
pub(super) struct Presence {
    state: Mutex<State>,
    // Whether there are changes that the engine's store does not know.
    has_changes: AtomicBool,
    // Held while changes are written, so that they are written in their order. Lock order: this, then the state.
    pub(super) writing: Mutex<()>,
    // The same for an engine that answers later.
    pub(super) writing_later: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    topics: HashMap<TopicName, Present>,
    changes: Vec<Change>,
    // When to look at a topic. A topic may be here more than once.
    times: BTreeSet<(Instant, TopicName)>,
}

/// The members of one topic on this node.
#[derive(Default)]
struct Present {
    members: HashMap<MemberId, Member>,
    stir: Stir,
}

/// When the subscribers of a topic are told that its members have changed.
#[derive(Clone, Copy, Debug, Default)]
enum Stir {
    /// They know all changes.
    #[default]
    Quiet,
    /// There is a change, and they are told at this time.
    Due(Instant),
    /// They were told. They are not told again before this time.
    Told(Instant),
}

/// The least time between two stirs of a topic.
const PAUSE: Duration = Duration::from_secs(3);

/// A change that the engine's store does not know yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Entered(TopicName, Member),
    Left(TopicName, MemberId),
}

impl Presence {
    /// Adds a member.
    pub(super) fn enter(&self, topic: &TopicName, member: Member) {
        let mut state = lock(&self.state);
        let present = state.topics.entry(topic.clone()).or_default();
        present.members.insert(member.id, member.clone());
        state.changes.push(Change::Entered(topic.clone(), member));
        self.has_changes.store(true, Relaxed);
        state.note_change(topic, now());
    }

    /// Removes a member, if it is one.
    pub(super) fn leave(&self, topic: &TopicName, member: MemberId) {
        let mut state = lock(&self.state);
        let present = state.topics.get_mut(topic);
        if present.is_some_and(|present| present.members.remove(&member).is_some()) {
            state.changes.push(Change::Left(topic.clone(), member));
            self.has_changes.store(true, Relaxed);
            state.note_change(topic, now());
        }
    }

    /// Whether there are changes that the engine's store does not know.
    pub(super) fn has_changes(&self) -> bool {
        self.has_changes.load(Relaxed)
    }

    /// Takes the changes that the engine's store has to know, in their order.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        self.has_changes.store(false, Relaxed);
        std::mem::take(&mut lock(&self.state).changes)
    }

    /// Notes all members of this node as changes, for a store that may have forgotten them.
    pub(super) fn write_all_again(&self) {
        let mut state = lock(&self.state);
        let State {
            topics, changes, ..
        } = &mut *state;
        for (name, present) in topics {
            let members = present.members.values().cloned();
            changes.extend(members.map(|member| Change::Entered(name.clone(), member)));
        }
        self.has_changes.store(true, Relaxed);
    }

    /// Returns the number of members of a topic on this node.
    pub(super) fn count(&self, topic: &str) -> u64 {
        let state = lock(&self.state);
        let present = state.topics.get(topic);
        present.map_or(0, |present| present.members.len() as u64)
    }

    /// Takes the topics whose subscribers have to be told now. Forgets topics without members.
    pub(super) fn take_due(&self, now: Instant) -> Vec<TopicName> {
        let mut due = Vec::new();
        let mut state = lock(&self.state);
        while let Some((at, _)) = state.times.first()
            && *at <= now
            && let Some((_, name)) = state.times.pop_first()
        {
            let Some(present) = state.topics.get_mut(&name) else {
                continue;
            };
            match present.stir {
                Stir::Due(at) if at <= now => {
                    let until = now + PAUSE;
                    present.stir = Stir::Told(until);
                    state.times.insert((until, name.clone()));
                    due.push(name);
                }
                Stir::Told(until) if until <= now => {
                    present.stir = Stir::Quiet;
                    if present.members.is_empty() {
                        state.topics.remove(&name);
                    }
                }
                _ => {}
            }
        }
        due
    }

    /// Returns when [`take_due`](Self::take_due) has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        lock(&self.state).times.first().map(|(at, _)| *at)
    }

    /// Lets the subscribers of all topics be told that members may have changed on another node. `at` gives the time for
    /// each topic.
    pub(super) fn stir_all(&self, mut at: impl FnMut() -> Instant) {
        let mut state = lock(&self.state);
        let topics: Vec<_> = state.topics.keys().cloned().collect();
        for topic in topics {
            state.note_change(&topic, at());
        }
    }
}

impl State {
    fn note_change(&mut self, topic: &TopicName, now: Instant) {
        let Some(present) = self.topics.get_mut(topic) else {
            return;
        };
        let at = match present.stir {
            Stir::Quiet => now,
            Stir::Told(until) => until.max(now),
            Stir::Due(_) => return,
        };
        present.stir = Stir::Due(at);
        self.times.insert((at, topic.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        Member {
            id: MemberId(id),
            info: Some("{}".into()),
            principal: None,
            since: 0,
        }
    }

    fn topic() -> TopicName {
        TopicName::new("room/1").unwrap()
    }

    #[test]
    fn subscribers_are_told_of_a_change_at_once_and_then_not_for_three_seconds() {
        let presence = Presence::default();
        presence.enter(&topic(), member(1));
        let start = presence.next_due().unwrap();
        assert_eq!(presence.take_due(start), [topic()]);
        presence.enter(&topic(), member(2));
        presence.leave(&topic(), MemberId(1));
        assert_eq!(presence.take_due(start + PAUSE / 2), []);
        assert_eq!(presence.take_due(start + PAUSE), [topic()]);
        assert_eq!(presence.take_due(start + 2 * PAUSE), []);
    }

    #[test]
    fn the_store_gets_each_change_once_and_in_order() {
        let presence = Presence::default();
        presence.enter(&topic(), member(1));
        presence.leave(&topic(), MemberId(2));
        presence.leave(&topic(), MemberId(1));
        let changes = [
            Change::Entered(topic(), member(1)),
            Change::Left(topic(), MemberId(1)),
        ];
        assert_eq!(presence.take_changes(), changes);
        assert_eq!(presence.take_changes(), []);
    }

    #[test]
    fn a_topic_without_members_is_forgotten_when_its_subscribers_know_it() {
        let presence = Presence::default();
        presence.enter(&topic(), member(1));
        presence.leave(&topic(), MemberId(1));
        let start = presence.next_due().unwrap();
        assert_eq!(presence.take_due(start), [topic()]);
        assert_eq!(presence.take_due(start + PAUSE), []);
        assert!(lock(&presence.state).topics.is_empty());
        assert_eq!(presence.next_due(), None);
    }
}
