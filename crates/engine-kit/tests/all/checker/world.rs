//! Runs of an ideal world, drawn from seeds: the checker accepts them, and refuses them after one change to a client's log.

use std::collections::BTreeSet;
use std::time::Duration;

use sockeye_engine_kit::checker::{
    Bounds, ClientEvent, Fault, Harm, Kept, Logs, Millis, Publisher, PublisherEvent, Rule, Stamp,
    Stored, Topic, Violation, check,
};
use sockeye_engine_kit::schedule::{Chance, Seed};
use sockeye_pubsub::{Epoch, MessageId, Position};

/// The messages that a window keeps.
const COUNT: usize = 8;

/// A topic of the ideal engine.
struct Line {
    topic: Topic,
    kept: Kept,
    epoch: Epoch,
    /// The branch that the engine has: the position and the content of each message.
    branch: Vec<(Position, Stamp)>,
}

impl Line {
    fn top(&self) -> Position {
        let last = self.branch.last().map(|(at, _)| *at);
        last.unwrap_or(Position::start(self.epoch))
    }

    /// Returns the messages behind a position, if the engine keeps all of them.
    fn behind(&self, position: Position) -> Option<&[(Position, Stamp)]> {
        let start = (position == Position::start(self.epoch)).then_some(0);
        let found = self.branch.iter().position(|(at, _)| *at == position);
        let behind = &self.branch[found.map(|found| found + 1).or(start)?..];
        (behind.len() <= COUNT).then_some(behind)
    }
}

/// A client of the ideal world.
#[derive(Default)]
struct Person {
    is_connected: bool,
    /// Where it stands in each topic. `None` if it has no subscription.
    at: Vec<Option<Option<Position>>>,
    events: Vec<(Millis, ClientEvent)>,
}

struct World {
    chance: Chance,
    now: Millis,
    logs: Logs,
    lines: Vec<Line>,
    people: Vec<Person>,
    publishers: Vec<(Publisher, u32)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut logs = Logs::new();
        let mut chance = Chance::new(Seed(seed));
        let window = Kept::Window {
            count: u32::try_from(COUNT).expect("a small number"),
            age: Duration::from_secs(3600),
            bytes: 1 << 20,
        };
        let ttl = Duration::from_secs(3600);
        let lines = [window, window, Kept::Off, Kept::Latest { ttl }];
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|kept| Line {
                topic: logs.topic("topic", kept),
                kept,
                epoch: Epoch::new(chance.bits()),
                branch: Vec::new(),
            })
            .collect();
        let publishers = (0..2).map(|_| (logs.publisher("publisher"), 0)).collect();
        let people = (0..3).map(|_| Person {
            is_connected: true,
            at: vec![None; lines.len()],
            events: Vec::new(),
        });
        Self {
            chance,
            now: 0,
            people: people.collect(),
            logs,
            lines,
            publishers,
        }
    }

    /// Runs the world, with faults that cost no more than `harm`. Returns the logs, and those of the clients apart.
    fn run(mut self, harm: Harm) -> (Logs, Vec<Vec<(Millis, ClientEvent)>>) {
        for _ in 0..200 {
            self.now += 1 + self.chance.below(20);
            match self.chance.below(20) {
                0..=9 => self.publish(),
                10..=13 => self.subscribe(),
                14 => self.leave(),
                15 | 16 => self.cut(),
                17 | 18 => self.connect(),
                _ if harm == Harm::Confirmed => self.forget(),
                _ => {}
            }
        }
        for person in 0..self.people.len() {
            self.reconnect(person);
        }
        self.now += 20_000;
        for line in &self.lines {
            if line.kept != Kept::Off {
                self.logs.top(self.now, line.topic, Some(line.top()));
            }
        }
        self.logs.settled(self.now);
        let clients = self.people.into_iter().map(|person| person.events);
        (self.logs, clients.collect())
    }

    fn publish(&mut self) {
        let line = self.index(self.lines.len());
        let publisher = self.index(self.publishers.len());
        let (publisher, n) = {
            let (publisher, last) = &mut self.publishers[publisher];
            *last += 1;
            (*publisher, *last)
        };
        let stamp = Stamp { publisher, n };
        let keyed = self.chance.one_in(3);
        let topic = self.lines[line].topic;
        let sent = PublisherEvent::Sent { n, topic, keyed };
        self.logs.published(publisher, self.now, sent);
        let outcome = self.chance.below(10);
        if outcome == 0 {
            let unsent = PublisherEvent::Unsent { n };
            self.logs.published(publisher, self.now, unsent);
            return;
        }
        if outcome == 1 {
            // The message is lost on its way.
            let unknown = PublisherEvent::Unknown { n };
            self.logs.published(publisher, self.now, unknown);
            return;
        }
        let at = self.store(line, stamp);
        if outcome == 2 {
            let unknown = PublisherEvent::Unknown { n };
            self.logs.published(publisher, self.now, unknown);
            if !keyed {
                return;
            }
            self.logs.published(publisher, self.now, sent);
        }
        let ok = PublisherEvent::Ok { n, at };
        self.logs.published(publisher, self.now, ok);
    }

    /// Stores a message, and gives it to all subscribers.
    fn store(&mut self, line: usize, stamp: Stamp) -> Option<Position> {
        let id = MessageId::new(self.chance.bits());
        let (topic, kept) = (self.lines[line].topic, self.lines[line].kept);
        let previous = self.lines[line].top().id;
        let at = (kept != Kept::Off).then(|| self.lines[line].top().next(id));
        if let Some(position) = at {
            self.lines[line].branch.push((position, stamp));
            self.logs.stored(Stored {
                topic,
                position,
                previous,
                stamp,
                len: 1,
                time: self.now,
            });
        }
        for person in &mut self.people {
            if let Some(stands) = person.at[line].as_mut().filter(|_| person.is_connected) {
                *stands = at;
                let message = ClientEvent::Message {
                    topic,
                    at,
                    previous: previous.filter(|_| at.is_some()),
                    stamp,
                    replayed: Some(false),
                };
                person.events.push((self.now, message));
            }
        }
        at
    }

    fn subscribe(&mut self) {
        let (person, line) = (self.index(self.people.len()), self.index(self.lines.len()));
        if self.people[person].is_connected && self.people[person].at[line].is_none() {
            self.join(person, line, None);
        }
    }

    /// Answers a join, and replays what was missed.
    fn join(&mut self, person: usize, line: usize, after: Option<Position>) {
        let recent = self.index(4);
        let Line {
            topic,
            kept,
            ref branch,
            ..
        } = self.lines[line];
        let line_of = &self.lines[line];
        let top = line_of.top();
        let start = Position::start(line_of.epoch);
        let (at, recovered, replay) = match (kept, after) {
            (Kept::Off, _) => (None, None, &[][..]),
            (Kept::Latest { .. }, after) => {
                let newest = &branch[branch.len().saturating_sub(1)..];
                let is_known = after.is_some_and(|after| after.id == top.id);
                let is_gone = newest.is_empty() && after.is_some_and(|after| after.id.is_some());
                let replay = if is_known { &[][..] } else { newest };
                let at = after.filter(|_| !is_gone).unwrap_or(start);
                (Some(at), after.map(|_| !is_gone), replay)
            }
            (Kept::Window { .. }, None) => {
                let first = branch.len().saturating_sub(recent);
                let before = first
                    .checked_sub(1)
                    .map_or(start, |before| branch[before].0);
                (Some(before), None, &branch[first..])
            }
            (Kept::Window { .. }, Some(after)) => match line_of.behind(after) {
                Some(replay) => (Some(after), Some(true), replay),
                None => (Some(top), Some(false), &[][..]),
            },
        };
        let person = &mut self.people[person];
        let subscribed = ClientEvent::Subscribed {
            topic,
            after: after.filter(|_| kept != Kept::Off),
            at,
            recovered,
            missed: u32::try_from(replay.len()).expect("a small number"),
        };
        person.events.push((self.now, subscribed));
        person.at[line] = Some(replay.last().map(|(at, _)| *at).or(at));
        for (position, stamp) in replay {
            let message = ClientEvent::Message {
                topic,
                at: Some(*position),
                previous: None,
                stamp: *stamp,
                replayed: Some(true),
            };
            person.events.push((self.now, message));
        }
    }

    fn leave(&mut self) {
        let (person, line) = (self.index(self.people.len()), self.index(self.lines.len()));
        let topic = self.lines[line].topic;
        let person = &mut self.people[person];
        if person.is_connected && person.at[line].take().is_some() {
            person.events.push((self.now, ClientEvent::Ended { topic }));
        }
    }

    fn cut(&mut self) {
        let person = self.index(self.people.len());
        let person = &mut self.people[person];
        if std::mem::take(&mut person.is_connected) {
            person.events.push((self.now, ClientEvent::Disconnected));
        }
    }

    fn connect(&mut self) {
        let person = self.index(self.people.len());
        self.reconnect(person);
    }

    /// Connects a client again, with its positions.
    fn reconnect(&mut self, person: usize) {
        if std::mem::replace(&mut self.people[person].is_connected, true) {
            return;
        }
        self.people[person]
            .events
            .push((self.now, ClientEvent::Connected));
        for line in 0..self.lines.len() {
            if let Some(after) = self.people[person].at[line] {
                self.join(person, line, after);
            }
        }
    }

    /// Lets the engine lose its newest messages of a topic, or all and its epoch.
    fn forget(&mut self) {
        self.logs.fault(Fault {
            name: "the engine forgets",
            from: self.now,
            until: self.now,
            harm: Harm::Confirmed,
        });
        let line = self.index(self.lines.len());
        let lost = self.index(4);
        let is_epoch = self.chance.one_in(4);
        let bits = self.chance.bits();
        let Line {
            topic,
            kept,
            ref mut epoch,
            ref mut branch,
        } = self.lines[line];
        if !matches!(kept, Kept::Window { .. }) {
            return;
        }
        let before: BTreeSet<u64> = branch.iter().map(|(at, _)| at.offset).collect();
        branch.truncate(branch.len().saturating_sub(lost));
        if is_epoch {
            branch.clear();
            *epoch = Epoch::new(bits);
        }
        let is_changed = is_epoch || branch.len() < before.len();
        let top = self.lines[line].top();
        for person in self
            .people
            .iter_mut()
            .filter(|person| person.is_connected && is_changed)
        {
            let stands = person.at[line].flatten();
            let is_dead = stands.is_some_and(|at| at.epoch != top.epoch || at.offset > top.offset);
            if is_dead {
                person.at[line] = Some(Some(top));
                let at = Some(top);
                person
                    .events
                    .push((self.now, ClientEvent::Lost { topic, at }));
            }
        }
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.chance.below(len as u64)).expect("a small number")
    }
}

fn judge(mut logs: Logs, clients: &[Vec<(Millis, ClientEvent)>]) -> Vec<Violation> {
    for events in clients {
        let client = logs.client("client");
        for (time, event) in events {
            logs.note(client, *time, *event);
        }
    }
    check(&logs, &Bounds::default())
}

#[test]
fn ideal_worlds_break_no_rule() {
    for seed in 0..200 {
        for harm in [Harm::Nothing, Harm::Confirmed] {
            let (logs, clients) = World::new(seed).run(harm);
            let found = judge(logs, &clients);
            assert!(found.is_empty(), "seed {seed}, {harm:?}: {}", found[0]);
        }
    }
}

/// A change to the log of a client at one event. Returns whether it broke something that the rules promise.
type Change = fn(&mut Vec<(Millis, ClientEvent)>, usize) -> bool;

/// Checks that in many worlds a change at any event is found, by one of these rules.
#[track_caller]
fn finds(harm: Harm, change: Change, rules: &[Rule]) {
    let mut changed = 0;
    for seed in 0..50 {
        let (logs, clients) = World::new(seed).run(harm);
        for event in 0..clients[0].len() {
            let mut clients = clients.clone();
            if !change(&mut clients[0], event) {
                continue;
            }
            changed += 1;
            let found = judge(logs.clone(), &clients);
            let is_found = found
                .iter()
                .any(|violation| rules.contains(&violation.rule));
            assert!(is_found, "seed {seed}, event {event}: {found:?}");
        }
    }
    assert!(changed > 20, "the change was made {changed} times");
}

/// Returns the position of a message of a window.
fn window_message(event: &ClientEvent) -> Option<(Topic, Position)> {
    match event {
        ClientEvent::Message {
            topic,
            at: Some(at),
            ..
        } if topic.0 < 2 => Some((*topic, *at)),
        _ => None,
    }
}

/// Returns the position of the topic's next message, if the client is told nothing about the topic before it.
fn next_message(events: &[(Millis, ClientEvent)], event: usize, of: Topic) -> Option<usize> {
    let behind = events.iter().enumerate().skip(event + 1);
    for (index, (_, event)) in behind {
        match event {
            ClientEvent::Message { topic, .. } if *topic == of => return Some(index),
            ClientEvent::Lost { topic, .. }
            | ClientEvent::Subscribed { topic, .. }
            | ClientEvent::Ended { topic }
                if *topic == of =>
            {
                return None;
            }
            ClientEvent::Disconnected => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn a_message_that_is_removed_before_another_one_is_found() {
    let change: Change = |events, event| {
        let message = window_message(&events[event].1);
        let next = message.and_then(|(topic, _)| next_message(events, event, topic));
        if next.is_some() {
            events.remove(event);
        }
        next.is_some()
    };
    finds(Harm::Confirmed, change, &[Rule::Gap, Rule::FalseRecovered]);
}

#[test]
fn a_message_that_is_removed_at_the_end_is_found() {
    let change: Change = |events, event| {
        let Some((topic, _)) = window_message(&events[event].1) else {
            return false;
        };
        let mut behind = events[event + 1..].iter().map(|(_, event)| event);
        let is_last = behind.all(|event| match event {
            ClientEvent::Message { topic: of, .. }
            | ClientEvent::Subscribed { topic: of, .. }
            | ClientEvent::Lost { topic: of, .. }
            | ClientEvent::Ended { topic: of } => *of != topic,
            _ => false,
        });
        if is_last {
            events.remove(event);
        }
        is_last
    };
    finds(
        Harm::Confirmed,
        change,
        &[Rule::Stall, Rule::FalseRecovered],
    );
}

#[test]
fn a_message_that_is_doubled_is_found() {
    let change: Change = |events, event| {
        let is_message = window_message(&events[event].1).is_some();
        if is_message {
            events.insert(event, events[event]);
        }
        is_message
    };
    finds(Harm::Confirmed, change, &[Rule::Duplicate]);
}

#[test]
fn two_messages_that_change_places_are_found() {
    let change: Change = |events, event| {
        let first = window_message(&events[event].1);
        let next = first.and_then(|(topic, _)| next_message(events, event, topic));
        if let Some(next) = next {
            let (first, second) = (events[event].1, events[next].1);
            (events[event].1, events[next].1) = (second, first);
        }
        next.is_some()
    };
    finds(
        Harm::Confirmed,
        change,
        &[Rule::Order, Rule::FalseRecovered],
    );
}

#[test]
fn a_lost_that_is_left_out_is_found() {
    let change: Change = |events, event| {
        let ClientEvent::Lost { topic, .. } = events[event].1 else {
            return false;
        };
        // Without a message behind it the client is told again, or is cut off.
        let next = next_message(events, event, topic);
        if next.is_some() {
            events.remove(event);
        }
        next.is_some()
    };
    let rules = [
        Rule::Gap,
        Rule::FalseRecovered,
        Rule::Order,
        Rule::Duplicate,
    ];
    finds(Harm::Confirmed, change, &rules);
}

#[test]
fn a_needless_lost_is_found() {
    let change: Change = |events, event| {
        let (time, message) = events[event];
        let message = window_message(&message);
        if let Some((topic, at)) = message {
            let at = Some(at);
            events.insert(event + 1, (time, ClientEvent::Lost { topic, at }));
        }
        message.is_some()
    };
    finds(Harm::Nothing, change, &[Rule::NeedlessLost]);
}

#[test]
fn a_missed_that_is_too_small_is_found() {
    let change: Change = |events, event| match &mut events[event].1 {
        ClientEvent::Subscribed {
            topic,
            missed,
            recovered: Some(true),
            ..
        } if topic.0 < 2 && *missed > 0 => {
            *missed -= 1;
            true
        }
        _ => false,
    };
    finds(Harm::Confirmed, change, &[Rule::FalseRecovered]);
}

#[test]
fn a_recovered_instead_of_a_lost_position_is_found() {
    let change: Change = |events, event| {
        let ClientEvent::Subscribed {
            topic,
            after,
            ref mut at,
            ref mut recovered,
            ..
        } = events[event].1
        else {
            return false;
        };
        if topic.0 > 1 || *recovered != Some(false) {
            return false;
        }
        (*recovered, *at) = (Some(true), after);
        next_message(events, event, topic).is_some()
    };
    finds(Harm::Confirmed, change, &[Rule::FalseRecovered]);
}
