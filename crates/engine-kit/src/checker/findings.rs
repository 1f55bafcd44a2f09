//! The violations that were found, each with the events around it.

use std::fmt::Display;

use super::logs::{Client, ClientEvent, Logs, Millis, PresenceEvent, Publisher, Topic};
use super::violation::{Rule, Violation};

/// The violations of one run. Of each rule the first few are kept.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    logs: &'a Logs,
    found: Vec<Violation>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(logs: &'a Logs) -> Self {
        Self {
            logs,
            found: Vec::new(),
        }
    }

    /// Returns the violations by the number of their rule.
    pub(super) fn into_violations(mut self) -> Vec<Violation> {
        self.found.sort_by_key(|violation| violation.rule);
        self.found
    }

    /// Adds a violation that the log of a client shows, at one of its events.
    pub(super) fn client(
        &mut self,
        rule: Rule,
        client: Client,
        topic: Topic,
        event: usize,
        reason: impl FnOnce() -> String,
    ) {
        if self.is_full(rule) {
            return;
        }
        let log = &self.logs.clients[client.0 as usize];
        let is_of = |event: &ClientEvent| topic_of(event).is_none_or(|of| of == topic);
        self.found.push(Violation {
            rule,
            reason: reason(),
            party: Some(log.name.clone()),
            topic: Some(self.name(topic)),
            around: around(&log.events, event, is_of),
        });
    }

    /// Adds a violation that the log of a publisher shows, at one of its events.
    pub(super) fn publisher(
        &mut self,
        rule: Rule,
        publisher: Publisher,
        topic: Topic,
        event: usize,
        reason: impl FnOnce() -> String,
    ) {
        if self.is_full(rule) {
            return;
        }
        let log = &self.logs.publishers[publisher.0 as usize];
        self.found.push(Violation {
            rule,
            reason: reason(),
            party: Some(log.name.clone()),
            topic: Some(self.name(topic)),
            around: around(&log.events, event, |_| true),
        });
    }

    /// Adds a violation that a reader of presence saw, at one of the events.
    pub(super) fn presence(&mut self, topic: Topic, event: usize, reason: impl FnOnce() -> String) {
        if self.is_full(Rule::Presence) {
            return;
        }
        let is_of = |event: &PresenceEvent| match event {
            PresenceEvent::Died { .. } => true,
            PresenceEvent::Entered { topic: of, .. }
            | PresenceEvent::Left { topic: of, .. }
            | PresenceEvent::Members { topic: of, .. }
            | PresenceEvent::Count { topic: of, .. } => *of == topic,
        };
        self.found.push(Violation {
            rule: Rule::Presence,
            reason: reason(),
            party: None,
            topic: Some(self.name(topic)),
            around: around(&self.logs.presence, event, is_of),
        });
    }

    /// Adds a violation that the observer saw.
    pub(super) fn topic(&mut self, rule: Rule, topic: Topic, reason: impl FnOnce() -> String) {
        if self.is_full(rule) {
            return;
        }
        self.found.push(Violation {
            rule,
            reason: reason(),
            party: None,
            topic: Some(self.name(topic)),
            around: Vec::new(),
        });
    }

    fn name(&self, topic: Topic) -> String {
        self.logs.topics[topic.0 as usize].name.clone()
    }

    fn is_full(&self, rule: Rule) -> bool {
        let of_rule = self.found.iter().filter(|found| found.rule == rule);
        of_rule.count() >= KEPT
    }
}

/// Returns the topic of an event. `None` for an event of the whole connection.
fn topic_of(event: &ClientEvent) -> Option<Topic> {
    match event {
        ClientEvent::Connected | ClientEvent::Disconnected => None,
        ClientEvent::Asked { topic }
        | ClientEvent::Refused { topic }
        | ClientEvent::Subscribed { topic, .. }
        | ClientEvent::Message { topic, .. }
        | ClientEvent::Lost { topic, .. }
        | ClientEvent::Ended { topic } => Some(*topic),
    }
}

/// Writes down the events around one of a log.
fn around<E: Display>(
    events: &[(Millis, E)],
    event: usize,
    is_of: impl Fn(&E) -> bool,
) -> Vec<String> {
    let line = |index: usize, (time, event): &(Millis, E), here: usize| {
        let mark = if index == here { '>' } else { ' ' };
        format!("{mark} {time} ms  {event}")
    };
    let mut before: Vec<_> = events
        .iter()
        .enumerate()
        .take(event)
        .rev()
        .filter(|(_, (_, other))| is_of(other))
        .take(AROUND / 2)
        .collect();
    before.reverse();
    let behind = events
        .iter()
        .enumerate()
        .skip(event)
        .filter(|(index, (_, other))| *index == event || is_of(other))
        .take(AROUND / 2);
    before
        .into_iter()
        .chain(behind)
        .map(|(index, other)| line(index, other, event))
        .collect()
}

/// The number of violations that are kept of each rule.
const KEPT: usize = 5;

/// The number of events that a violation shows.
const AROUND: usize = 20;
