//! What the rules look up: the entries by position, the publishes by stamp, and the branch that the engine ended on.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sockeye_pubsub::{Kept, Position};

use super::bounds::Bounds;
use super::logs::{Harm, Logs, Millis, PublisherEvent, Stamp, Stored, Topic};

/// A map by position. Positions are random enough for a cheap hash.
pub(super) type ByPosition<V> = HashMap<(Topic, Position), V, BuildHasherDefault<Mix>>;

/// The logs of a run, and what was looked up in them beforehand.
#[derive(Debug)]
pub(super) struct Index<'a> {
    pub(super) logs: &'a Logs,
    pub(super) bounds: &'a Bounds,
    /// The entries that the observer found, as indices.
    entries: ByPosition<u32>,
    /// For each topic the entries of the branch that ends at its last top, oldest first.
    branches: Vec<Vec<u32>>,
    /// For each mark at which the run had settled, the tops of all topics that the observer had read last.
    settled_tops: Vec<Vec<Top>>,
    /// For each topic the last top.
    last_tops: Vec<Top>,
    /// For each publisher the index of its first publish.
    first: Vec<u32>,
    publishes: Vec<Publish>,
    /// The time of the last event of the run.
    pub(super) end: Millis,
    /// Whether faults of the run may cost confirmed messages.
    pub(super) may_forget: bool,
    /// Whether faults of the run may cost continuity.
    pub(super) may_lose: bool,
}

/// A top and when the observer read it. `None` if it has not read it.
type Top = Option<(Millis, Option<Position>)>;

/// What a publisher noted of one message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Publish {
    /// The topic. `None` if the message was never sent.
    pub(super) topic: Option<Topic>,
    pub(super) sends: u32,
    pub(super) unkeyed_sends: u32,
    pub(super) first_sent: Option<Event>,
    pub(super) last_sent: Millis,
    pub(super) ok: Option<Event>,
    pub(super) at: Option<Position>,
    unsent: u32,
}

/// A place in the log of a publisher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) index: u32,
    pub(super) time: Millis,
}

impl Publish {
    /// Returns whether each attempt ended as certainly not published.
    pub(super) fn is_unsent(&self) -> bool {
        self.sends > 0 && self.unsent == self.sends
    }

    /// Returns whether the publisher does not know if the message was published.
    pub(super) fn is_unknown(&self) -> bool {
        self.ok.is_none() && !self.is_unsent()
    }

    /// Returns how often one branch may have the message.
    pub(super) fn copies(&self) -> u32 {
        self.unkeyed_sends.max(1)
    }
}

impl<'a> Index<'a> {
    /// Looks everything up.
    pub(super) fn new(logs: &'a Logs, bounds: &'a Bounds) -> Self {
        let mut entries =
            ByPosition::with_capacity_and_hasher(logs.stored.len(), BuildHasherDefault::default());
        for (index, entry) in logs.stored.iter().enumerate() {
            let place = entries.entry((entry.topic, entry.position));
            place.or_insert(as_u32(index));
        }
        let (settled_tops, last_tops) = tops(logs);
        let (first, publishes) = publishes(logs);
        let mut index = Self {
            logs,
            bounds,
            entries,
            branches: Vec::new(),
            settled_tops,
            last_tops,
            first,
            publishes,
            end: end(logs),
            may_forget: logs.may_cost(Harm::Confirmed),
            may_lose: logs.may_cost(Harm::Continuity),
        };
        index.branches = (0..as_u32(logs.topics.len()))
            .map(|topic| index.branch_of(Topic(topic)))
            .collect();
        index
    }

    pub(super) fn kept(&self, topic: Topic) -> Kept {
        self.logs.topics[topic.0 as usize].kept
    }

    /// Returns the entry that the observer found at a position.
    pub(super) fn entry(&self, topic: Topic, position: Position) -> Option<&'a Stored> {
        let index = self.entries.get(&(topic, position))?;
        Some(&self.logs.stored[*index as usize])
    }

    /// Returns the last top of a topic and when it was read. `None` if the observer read none.
    pub(super) fn last_top(&self, topic: Topic) -> Top {
        self.last_tops[topic.0 as usize]
    }

    /// Returns the entries of the branch that the engine ended on, oldest first.
    pub(super) fn branch(&self, topic: Topic) -> &[u32] {
        &self.branches[topic.0 as usize]
    }

    /// Returns where a position stands on the branch that the engine ended on: the number of the branch's entries up to it.
    pub(super) fn on_branch(&self, topic: Topic, position: Position) -> Option<usize> {
        let (_, Some(top)) = self.last_top(topic)? else {
            return None;
        };
        if position.epoch != top.epoch {
            return None;
        }
        let branch = self.branch(topic);
        let Some(first) = branch.first() else {
            return (position == top).then_some(0);
        };
        let first = &self.logs.stored[*first as usize];
        let before = position.offset.checked_add(1)?;
        let place = usize::try_from(before.checked_sub(first.position.offset)?).ok()?;
        let is_here = match place.checked_sub(1) {
            None => position.id == first.previous,
            Some(index) => branch
                .get(index)
                .is_some_and(|entry| self.logs.stored[*entry as usize].position == position),
        };
        is_here.then_some(place)
    }

    /// Returns the place of a message among all publishes. `None` if its publisher never noted it.
    pub(super) fn place(&self, stamp: Stamp) -> Option<usize> {
        let publisher = stamp.publisher.0 as usize;
        let first = *self.first.get(publisher)?;
        let place = first.checked_add(stamp.n)?;
        let end = self.first.get(publisher + 1).copied();
        let end = end.map_or(self.publishes.len(), |end| end as usize);
        ((place as usize) < end).then_some(place as usize)
    }

    /// Returns what the publisher noted of a message.
    pub(super) fn publish(&self, stamp: Stamp) -> Option<&Publish> {
        let publish = &self.publishes[self.place(stamp)?];
        publish.topic.is_some().then_some(publish)
    }

    /// Returns all messages that were sent.
    pub(super) fn publishes(&self) -> &[Publish] {
        &self.publishes
    }

    /// Returns the newest position of a topic as the observer read it last before a mark, which is given by its number.
    /// The outer `None` says that the observer had not read it yet.
    pub(super) fn top_at(&self, topic: Topic, mark: usize) -> Option<Option<Position>> {
        let (_, top) = self.settled_tops[mark][topic.0 as usize]?;
        Some(top)
    }

    /// Returns whether the branch that ends at one position has another one. It reads the branch back.
    pub(super) fn is_behind(&self, topic: Topic, later: Position, earlier: Position) -> bool {
        let mut position = later;
        while position.epoch == earlier.epoch && position.offset > earlier.offset {
            let Some(entry) = self.entry(topic, position) else {
                return false;
            };
            position.offset -= 1;
            position.id = entry.previous;
        }
        position == earlier
    }

    /// Returns whether a fault ran between two times, or was not long over at the first.
    pub(super) fn is_disturbed(&self, from: Millis, until: Millis) -> bool {
        let mut faults = self.logs.faults.iter();
        faults.any(|fault| {
            fault.from <= until && fault.until.saturating_add(self.bounds.settle) >= from
        })
    }

    fn branch_of(&self, topic: Topic) -> Vec<u32> {
        let mut branch = Vec::new();
        let Some((_, Some(mut position))) = self.last_top(topic) else {
            return branch;
        };
        while let Some(index) = self.entries.get(&(topic, position)) {
            branch.push(*index);
            let entry = &self.logs.stored[*index as usize];
            let Some(offset) = position.offset.checked_sub(1) else {
                break;
            };
            position = Position {
                offset,
                id: entry.previous,
                ..position
            };
        }
        branch.reverse();
        branch
    }
}

/// Gathers the tops of all topics for each mark, and at the end.
fn tops(logs: &Logs) -> (Vec<Vec<Top>>, Vec<Top>) {
    let mut tops = vec![None; logs.topics.len()];
    let mut marks = logs.settled.iter().peekable();
    let mut settled = Vec::with_capacity(logs.settled.len());
    for (time, topic, top) in &logs.tops {
        while marks.next_if(|mark| *mark < time).is_some() {
            settled.push(tops.clone());
        }
        tops[topic.0 as usize] = Some((*time, *top));
    }
    settled.extend(marks.map(|_| tops.clone()));
    (settled, tops)
}

/// Gathers what the publishers noted of each message. The messages of one publisher lie together, by their counters.
fn publishes(logs: &Logs) -> (Vec<u32>, Vec<Publish>) {
    let mut first = Vec::with_capacity(logs.publishers.len());
    let mut publishes = Vec::new();
    for log in &logs.publishers {
        let base = publishes.len();
        first.push(as_u32(base));
        for (index, (time, event)) in log.events.iter().enumerate() {
            let n = match event {
                PublisherEvent::Sent { n, .. }
                | PublisherEvent::Ok { n, .. }
                | PublisherEvent::Unsent { n }
                | PublisherEvent::Unknown { n } => *n as usize,
            };
            if publishes.len() <= base + n {
                publishes.resize(base + n + 1, Publish::default());
            }
            let publish = &mut publishes[base + n];
            let here = Event {
                index: as_u32(index),
                time: *time,
            };
            match event {
                PublisherEvent::Sent { topic, keyed, .. } => {
                    publish.topic = Some(*topic);
                    publish.sends += 1;
                    publish.unkeyed_sends += u32::from(!keyed);
                    publish.first_sent.get_or_insert(here);
                    publish.last_sent = *time;
                }
                PublisherEvent::Ok { at, .. } => {
                    publish.ok.get_or_insert(here);
                    publish.at = *at;
                }
                PublisherEvent::Unsent { .. } => publish.unsent += 1,
                PublisherEvent::Unknown { .. } => {}
            }
        }
    }
    (first, publishes)
}

fn end(logs: &Logs) -> Millis {
    let clients = logs.clients.iter().filter_map(|log| log.events.last());
    let publishers = logs.publishers.iter().filter_map(|log| log.events.last());
    let clients = clients.map(|(time, _)| *time);
    let publishers = publishers.map(|(time, _)| *time);
    let settled = logs.settled.last().copied();
    clients
        .chain(publishers)
        .chain(settled)
        .max()
        .unwrap_or_default()
}

fn as_u32(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 events")
}

/// A hash that multiplies and turns. The keys are no input of strangers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(FACTOR);
        self.0 = mixed.rotate_left(29);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.unsigned_abs() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// An odd number whose bits have no pattern: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
