//! Faults that hit a server, and what they let count as stored although the observer never read it.
//!
//! The observer reads each half second. A fault may take what the server stored since the last look. The listener heard it, but
//! a message that was heard may never have been stored: so the outcome of its publish decides.

use std::collections::HashMap;

use sockeye_engine_kit::checker::{Millis, Publisher, PublisherEvent, Stamp, Stored};
use sockeye_pubsub::Position;

use super::case::Action;
use super::evidence::Story;

/// A fault that hit a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) time: Millis,
    pub(super) server: usize,
    pub(super) cost: Cost,
}

/// What a hit may cost before the observer reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Entries that were stored, and the answers to their publishes.
    Entries,
    /// Entries whose publishes were confirmed.
    Confirmed,
}

impl Hit {
    /// Returns the hit that an action is. `None` if it hits no server.
    pub(super) fn of(action: &Action, time: Millis) -> Option<Self> {
        let (server, cost) = match action {
            Action::KillServer(server)
            | Action::FreezeServer(server)
            | Action::Follow(server, _)
            | Action::Restore(server, _) => (*server, Cost::Entries),
            Action::Ask(server, ["FLUSHALL" | "DEBUG" | "REPLICAOF", ..]) => {
                (*server, Cost::Entries)
            }
            Action::Ask(server, _) => (*server, Cost::Confirmed),
            _ => return None,
        };
        Some(Self { time, server, cost })
    }

    /// Whether the hit came soon after an entry was heard at this server.
    fn follows(self, server: usize, heard: Millis) -> bool {
        let since_heard = self.time.saturating_sub(heard);
        self.server == server && self.time + LATE >= heard && since_heard <= UNREAD
    }
}

/// What publishers were told of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Confirmed(Option<Position>),
    Unsent,
    Unknown,
}

/// The outcomes of all publishes.
#[derive(Debug)]
pub(super) struct Outcomes(HashMap<Stamp, Outcome>);

impl Outcomes {
    pub(super) fn of(publishers: &[Story<PublisherEvent>]) -> Self {
        let mut outcomes = HashMap::new();
        for (number, story) in publishers.iter().enumerate() {
            let Ok(number) = u32::try_from(number) else {
                break;
            };
            for (_, event) in &story.events {
                let (n, outcome) = match *event {
                    PublisherEvent::Sent { n, .. } | PublisherEvent::Unknown { n } => {
                        (n, Outcome::Unknown)
                    }
                    PublisherEvent::Ok { n, at } => (n, Outcome::Confirmed(at)),
                    PublisherEvent::Unsent { n } => (n, Outcome::Unsent),
                };
                let publisher = Publisher(number);
                outcomes.insert(Stamp { publisher, n }, outcome);
            }
        }
        Self(outcomes)
    }

    /// Returns whether an entry that was only heard at a server counts as stored, given the hits.
    pub(super) fn keep(&self, entry: &Stored, server: usize, hits: &[Hit]) -> bool {
        let outcome = self.0.get(&entry.stamp).copied();
        let mut hits = hits.iter().filter(|hit| hit.follows(server, entry.time));
        match outcome.unwrap_or(Outcome::Unknown) {
            Outcome::Unsent => false,
            Outcome::Confirmed(at) if at == Some(entry.position) => hits.next().is_some(),
            // A publish with a key may have been confirmed where it was stored again.
            Outcome::Confirmed(_) | Outcome::Unknown => hits.any(|hit| hit.cost == Cost::Entries),
        }
    }
}

/// The longest time between two looks of an observer, in milliseconds, with some for a loaded machine.
const UNREAD: Millis = 2_000;
/// How much later than a fault the listener may hear what the server sent before it.
const LATE: Millis = 200;

#[cfg(test)]
mod tests {
    use sockeye_engine_kit::checker::Topic;
    use sockeye_pubsub::Epoch;

    use super::*;

    const FLUSH: Action = Action::Ask(0, &["FLUSHALL"]);
    const FULL: Action = Action::Ask(0, &["CONFIG", "SET", "maxmemory", "1mb"]);

    fn heard(time: Millis) -> Stored {
        Stored {
            topic: Topic(0),
            position: Position::start(Epoch::new(1)),
            previous: None,
            stamp: Stamp {
                publisher: Publisher(0),
                n: 0,
            },
            len: 1,
            time,
        }
    }

    fn outcomes(events: &[PublisherEvent]) -> Outcomes {
        Outcomes::of(&[Story {
            name: "publisher".to_owned(),
            events: events.iter().map(|event| (0, *event)).collect(),
            cuts: Vec::new(),
            nodes: Vec::new(),
        }])
    }

    fn kept(event: PublisherEvent, action: &Action, heard_at: Millis) -> bool {
        let hits: Vec<Hit> = Hit::of(action, 10_000).into_iter().collect();
        outcomes(&[event]).keep(&heard(heard_at), 0, &hits)
    }

    #[test]
    fn an_entry_counts_if_a_fault_hit_its_server_soon_after_it_was_heard() {
        let unknown = PublisherEvent::Unknown { n: 0 };
        for (heard_at, is_kept) in [
            (9_000, true),
            (7_000, false),
            (10_150, true),
            (10_500, false),
        ] {
            assert_eq!(kept(unknown, &FLUSH, heard_at), is_kept, "{heard_at}");
        }
        assert!(!kept(unknown, &Action::KillServer(1), 9_000));
        assert!(!kept(unknown, &Action::KillNode(0), 9_000));
    }

    #[test]
    fn a_message_that_was_sent_and_never_stored_does_not_count() {
        let at = Some(heard(0).position);
        for (event, flushed, full) in [
            (PublisherEvent::Unsent { n: 0 }, false, false),
            (PublisherEvent::Unknown { n: 0 }, true, false),
            (PublisherEvent::Ok { n: 0, at: None }, true, false),
            (PublisherEvent::Ok { n: 0, at }, true, true),
        ] {
            assert_eq!(kept(event, &FLUSH, 9_000), flushed, "{event:?}");
            assert_eq!(kept(event, &FULL, 9_000), full, "{event:?}");
        }
    }
}
