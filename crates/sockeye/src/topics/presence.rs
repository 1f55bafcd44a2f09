//! Presence: the members of topics on this node. A subscriber is a member if it said something of itself when it joined.
//!
//! ```text
//!   attach, leave ─▶ Presence: members of this node ─▶ changes ─▶ the engine's store
//!                                      └─▶ stir: subscribers ask again, at most once in 3 s for each topic
//! ```
//!
//! Lock order: a shard of the hub, then this.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::time::{Duration, Instant};

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{Member, MemberId};

use super::changes::{Batch, Change};
use super::surroundings::now;
use crate::sync::{Arc, Mutex, lock};

/// The members of the topics on this node.
#[derive(Default)]
pub(super) struct Presence {
    state: Mutex<State>,
    // Whether there are changes that the engine's store does not know.
    has_changes: AtomicBool,
    // Held while changes are written, so that they are written in their order. Lock order: this, then the state.
    pub(super) writing: Mutex<()>,
    // Whether a task writes changes to an engine that answers later.
    is_writing: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    topics: HashMap<TopicName, Present>,
    changes: VecDeque<Change>,
    // How many of the first changes are on their way to the store.
    in_flight: usize,
    // How often all members had to be written again.
    lost: u64,
    // When to look at a topic. A topic may be here more than once.
    times: BTreeSet<(Instant, TopicName)>,
}

/// The members of one topic on this node.
#[derive(Default)]
struct Present {
    // With the number of the join by which each came.
    members: HashMap<MemberId, (u32, Member)>,
    stir: Stir,
    // Whether other nodes have to be told of a change on this one.
    is_unannounced: bool,
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

/// The right to write changes, which one task has. Dropping it lets another task have it.
pub(super) struct Writing(Arc<AtomicBool>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

/// The least time between two stirs of a topic.
const PAUSE: Duration = Duration::from_secs(3);

impl Presence {
    /// Adds a member, who came by a join. A member that is known says something else of itself, and stays one since it came.
    pub(super) fn enter(&self, topic: &TopicName, mut member: Member, join: u32) {
        let mut state = lock(&self.state);
        let present = state.topics.entry(topic.clone()).or_default();
        let known = present.members.get(&member.id);
        member.since = known.map_or(member.since, |(_, known)| known.since);
        present.members.insert(member.id, (join, member.clone()));
        present.is_unannounced = true;
        state
            .changes
            .push_back(Change::Entered(topic.clone(), member));
        self.has_changes.store(true, Relaxed);
        state.note_change(topic, now());
    }

    /// Removes a member, if it is one by this join. It may have come again by another join meanwhile.
    pub(super) fn leave(&self, topic: &TopicName, member: MemberId, join: u32) {
        let mut state = lock(&self.state);
        let present = state.topics.get_mut(topic);
        if present.is_some_and(|present| present.remove(member, join)) {
            state.changes.push_back(Change::Left(topic.clone(), member));
            self.has_changes.store(true, Relaxed);
            state.note_change(topic, now());
        }
    }

    /// Notes that the members of a topic have changed on another node.
    pub(super) fn change_elsewhere(&self, topic: &TopicName) {
        let mut state = lock(&self.state);
        state.topics.entry(topic.clone()).or_default();
        state.note_change(topic, now());
    }

    /// Whether there are changes that the engine's store does not know.
    pub(super) fn has_changes(&self) -> bool {
        self.has_changes.load(Relaxed)
    }

    /// Takes the changes that the engine's store has to know, in their order.
    pub(super) fn take_changes(&self) -> VecDeque<Change> {
        self.has_changes.store(false, Relaxed);
        std::mem::take(&mut lock(&self.state).changes)
    }

    /// Returns the right to write changes to an engine that answers later. `None` if another task has it.
    pub(super) fn begin_writing(&self) -> Option<Writing> {
        // A task that writes already writes the new changes too.
        self.has_changes.store(false, Relaxed);
        let was_writing = self.is_writing.swap(true, AcqRel);
        (!was_writing).then(|| Writing(Arc::clone(&self.is_writing)))
    }

    /// Returns the oldest changes that go together. Without one the task that writes loses its right.
    pub(super) fn first_changes(&self, writing: Writing) -> Option<(Batch, Writing)> {
        let mut state = lock(&self.state);
        if let Some(first) = Batch::first(&state.changes) {
            state.in_flight = first.len();
            return Some((first, writing));
        }
        // Under the lock: a change that comes later finds that no task writes.
        drop(writing);
        None
    }

    /// Forgets the oldest changes, which were on their way: they are written.
    pub(super) fn forget_first_changes(&self) {
        let mut state = lock(&self.state);
        let State {
            changes, in_flight, ..
        } = &mut *state;
        changes.drain(..std::mem::take(in_flight).min(changes.len()));
    }

    /// Notes all members of this node as changes, for a store that may have forgotten them, or forgotten that others left.
    pub(super) fn write_all_again(&self) {
        let mut state = lock(&self.state);
        let State {
            topics,
            changes,
            in_flight,
            lost,
            ..
        } = &mut *state;
        *lost += 1;
        // A store that is lost again and again leaves each member once.
        let mut place = 0;
        changes.retain(|change| {
            place += 1;
            place <= *in_flight || !matches!(change, Change::Entered(..) | Change::WrittenAgain(_))
        });
        for (name, present) in topics {
            let members = present.members.values();
            let entered = members.map(|(_, member)| Change::Entered(name.clone(), member.clone()));
            changes.extend(entered);
        }
        changes.push_back(Change::WrittenAgain(*lost));
        self.has_changes.store(true, Relaxed);
    }

    /// Whether the members had to be written again so often, and no more often.
    pub(super) fn is_newest_loss(&self, number: u64) -> bool {
        lock(&self.state).lost == number
    }

    /// Returns the number of members of a topic on this node.
    pub(super) fn count(&self, topic: &str) -> u64 {
        let state = lock(&self.state);
        let present = state.topics.get(topic);
        present.map_or(0, |present| present.members.len() as u64)
    }

    /// Takes the topics whose subscribers have to be told now. Forgets topics without members. A change on this node is
    /// announced to others by a change that the store has to know.
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
                    let is_unannounced = std::mem::take(&mut present.is_unannounced);
                    state.times.insert((until, name.clone()));
                    if is_unannounced {
                        state.changes.push_back(Change::Announced(name.clone()));
                        self.has_changes.store(true, Relaxed);
                    }
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

impl Present {
    /// Removes a member, if it is one by this join. Returns whether it was.
    fn remove(&mut self, member: MemberId, join: u32) -> bool {
        let is_meant = |(known, _): &(u32, Member)| *known == join;
        let known = self.members.get(&member);
        let is_removed = known.is_some_and(is_meant) && self.members.remove(&member).is_some();
        self.is_unannounced |= is_removed;
        is_removed
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
        presence.enter(&topic(), member(1), 10);
        let start = presence.next_due().unwrap();
        assert_eq!(presence.take_due(start), [topic()]);
        presence.enter(&topic(), member(2), 20);
        presence.leave(&topic(), MemberId(1), 10);
        assert_eq!(presence.take_due(start + PAUSE / 2), []);
        assert_eq!(presence.take_due(start + PAUSE), [topic()]);
        assert_eq!(presence.take_due(start + 2 * PAUSE), []);
    }

    #[test]
    fn the_store_gets_each_change_once_and_in_order() {
        let presence = Presence::default();
        presence.enter(&topic(), member(1), 10);
        presence.leave(&topic(), MemberId(2), 20);
        presence.leave(&topic(), MemberId(1), 10);
        let changes = [
            Change::Entered(topic(), member(1)),
            Change::Left(topic(), MemberId(1)),
        ];
        assert_eq!(presence.take_changes(), changes);
        assert_eq!(presence.take_changes(), []);
    }

    #[test]
    fn other_nodes_are_told_of_a_change_here_and_not_of_one_elsewhere() {
        let presence = Presence::default();
        presence.enter(&topic(), member(1), 10);
        presence.take_changes();
        let start = presence.next_due().unwrap();
        presence.take_due(start);
        assert_eq!(presence.take_changes(), [Change::Announced(topic())]);
        presence.change_elsewhere(&topic());
        assert_eq!(presence.take_due(start + PAUSE), [topic()]);
        assert_eq!(presence.take_changes(), []);
        presence.leave(&topic(), MemberId(1), 10);
        assert_eq!(presence.take_due(start + 2 * PAUSE), [topic()]);
        let left = Change::Left(topic(), MemberId(1));
        assert_eq!(presence.take_changes(), [left, Change::Announced(topic())]);
    }

    #[test]
    fn a_store_that_is_lost_again_and_again_gets_each_member_once_behind_what_is_on_its_way() {
        let presence = Presence::default();
        for id in [1, 2] {
            presence.enter(&topic(), member(id), 10);
        }
        presence.leave(&topic(), MemberId(2), 10);
        let writing = presence.begin_writing().unwrap();
        let (first, _) = presence.first_changes(writing).unwrap();
        assert_eq!(first, Batch::Entered(topic(), vec![member(1), member(2)]));
        for _ in 0..3 {
            presence.write_all_again();
        }
        presence.forget_first_changes();
        let changes = [
            Change::Left(topic(), MemberId(2)),
            Change::Entered(topic(), member(1)),
            Change::WrittenAgain(3),
        ];
        assert_eq!(presence.take_changes(), changes);
        assert!(presence.is_newest_loss(3) && !presence.is_newest_loss(2));
    }

    #[test]
    fn ten_thousand_members_are_written_again_in_bounded_batches() {
        let presence = Presence::default();
        for id in 0..10_000 {
            presence.enter(&topic(), member(id), 10);
        }
        presence.take_changes();
        presence.write_all_again();
        let mut writing = presence.begin_writing();
        let mut written = Vec::new();
        while let Some((batch, again)) = writing.take().and_then(|of| presence.first_changes(of)) {
            written.push(batch.len());
            presence.forget_first_changes();
            writing = Some(again);
        }
        assert_eq!(written.len(), 10_000_usize.div_ceil(512) + 1);
        assert_eq!(written.iter().sum::<usize>(), 10_001);
    }

    #[test]
    fn a_topic_without_members_is_forgotten_when_its_subscribers_know_it() {
        let presence = Presence::default();
        presence.enter(&topic(), member(1), 10);
        presence.leave(&topic(), MemberId(1), 10);
        let start = presence.next_due().unwrap();
        assert_eq!(presence.take_due(start), [topic()]);
        assert_eq!(presence.take_due(start + PAUSE), []);
        assert!(lock(&presence.state).topics.is_empty());
        assert_eq!(presence.next_due(), None);
    }

    #[test]
    fn a_member_that_came_again_is_not_removed_by_the_end_of_its_first_join() {
        let presence = Presence::default();
        presence.enter(&topic(), member(1), 10);
        presence.enter(&topic(), member(1), 11);
        presence.leave(&topic(), MemberId(1), 10);
        assert_eq!(presence.count(&topic()), 1);
        presence.leave(&topic(), MemberId(1), 11);
        assert_eq!(presence.count(&topic()), 0);
    }
}
