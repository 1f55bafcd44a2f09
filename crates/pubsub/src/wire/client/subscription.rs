//! The subscriptions of a client, and where each of them stands.

use std::collections::HashMap;
use std::time::Instant;

use crate::hub::{Recovery, Wants};
use crate::name::TopicName;
use crate::position::Position;
use crate::wire::grammar::Reference;

/// A subscription of a client.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) state: State,
    /// The place in the order in which the application subscribed.
    order: u64,
    /// The position up to which the client has everything.
    position: Option<Position>,
    /// The number of stored messages that the client wants as long as it has no position.
    recent: Option<u32>,
    member: Option<Box<str>>,
    /// Whether the subscription was live once.
    was_live: bool,
    /// Whether the topic has history, as the last answer says.
    has_history: bool,
}

/// ```text
///             connected           sent            ok
///   Offline ────────────▶ Queued ─────▶ Asked ─────────▶ Live
///      ▲                    ▲ time has   │ err with retry   │
///      │                    └── Delayed ◀┘                  │
///      └────────────────── disconnected, from each ─────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no connection.
    Offline,
    /// The request is not sent yet.
    Queued,
    /// The request waits for its answer.
    Asked(Reference),
    /// The server asked the client to repeat the request at this time.
    Delayed(Instant),
    /// Messages come. So many of them are still stored ones.
    Live { replay: u32 },
}

/// The subscriptions of a client.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_topic: HashMap<TopicName, Subscription>,
    count: u64,
    /// Whether a subscription may be delayed. Almost always none is, and then a message costs no look at all of them.
    has_delayed: bool,
}

impl Subscriptions {
    /// Adds a subscription. Returns false if there is one of the topic.
    pub(super) fn add(&mut self, topic: TopicName, wants: Wants, member: Option<Box<str>>) -> bool {
        if self.by_topic.contains_key(&topic) {
            return false;
        }
        self.count += 1;
        let (position, recent) = match wants {
            Wants::Live => (None, None),
            Wants::Recent(count) => (None, Some(count)),
            Wants::After(position) => (Some(position), None),
        };
        let subscription = Subscription {
            state: State::Offline,
            order: self.count,
            position,
            recent,
            member,
            was_live: false,
            has_history: false,
        };
        self.by_topic.insert(topic, subscription);
        true
    }

    pub(super) fn remove(&mut self, topic: &str) -> Option<Subscription> {
        self.by_topic.remove(topic)
    }

    pub(super) fn contains(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    pub(super) fn get_mut(&mut self, topic: &str) -> Option<&mut Subscription> {
        self.by_topic.get_mut(topic)
    }

    /// Returns a topic to which messages come now, and its subscription.
    pub(super) fn live(&mut self, topic: &str) -> Option<(TopicName, &mut Subscription)> {
        // The names are shared, so this copies none.
        let (name, _) = self.by_topic.get_key_value(topic)?;
        let name = name.clone();
        let subscription = self.by_topic.get_mut(topic)?;
        subscription.is_live().then_some((name, subscription))
    }

    pub(super) fn is_live(&self, topic: &str) -> bool {
        self.by_topic.get(topic).is_some_and(Subscription::is_live)
    }

    /// Returns whether messages of a topic are stored, so that a repeated publish with a key is one message.
    pub(super) fn has_history(&self, topic: &str) -> bool {
        self.by_topic
            .get(topic)
            .is_some_and(|subscription| subscription.has_history)
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = (&TopicName, Position)> {
        let all = self.by_topic.iter();
        all.filter_map(|(topic, subscription)| Some((topic, subscription.position?)))
    }

    /// Changes all subscriptions to `Queued`. Returns their topics in the order of the application.
    pub(super) fn queue_all(&mut self) -> Vec<TopicName> {
        let mut topics: Vec<_> = self.by_topic.iter().collect();
        topics.sort_unstable_by_key(|(_, subscription)| subscription.order);
        let topics: Vec<_> = topics.into_iter().map(|(topic, _)| topic.clone()).collect();
        self.set_all(State::Queued);
        topics
    }

    /// Delays the request of a subscription until this time.
    pub(super) fn delay(&mut self, topic: &str, until: Instant) {
        if let Some(subscription) = self.by_topic.get_mut(topic) {
            subscription.state = State::Delayed(until);
            self.has_delayed = true;
        }
    }

    pub(super) fn set_all(&mut self, state: State) {
        self.has_delayed = false;
        for subscription in self.by_topic.values_mut() {
            subscription.state = state;
        }
    }

    /// Returns the first time at which a delayed request is repeated.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        if !self.has_delayed {
            return None;
        }
        let all = self.by_topic.values();
        all.filter_map(Subscription::retry_at).min()
    }

    /// Changes the delayed subscriptions whose time has come to `Queued`. Returns their topics in the order of the
    /// application.
    pub(super) fn queue_due(&mut self, now: Instant) -> Vec<TopicName> {
        if !self.has_delayed {
            return Vec::new();
        }
        let is_due =
            |subscription: &Subscription| subscription.retry_at().is_some_and(|at| at <= now);
        let mut due: Vec<_> = self
            .by_topic
            .iter_mut()
            .filter(|(_, it)| is_due(it))
            .collect();
        due.sort_unstable_by_key(|(_, subscription)| subscription.order);
        let due = due.into_iter().map(|(topic, subscription)| {
            subscription.state = State::Queued;
            topic.clone()
        });
        let due = due.collect();
        let mut all = self.by_topic.values();
        self.has_delayed = all.any(|subscription| subscription.retry_at().is_some());
        due
    }
}

impl Subscription {
    fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Delayed(at) => Some(at),
            _ => None,
        }
    }

    pub(super) fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// Returns the stored messages that the next request asks for.
    pub(super) fn wants(&self) -> Wants {
        match (self.position, self.recent) {
            (Some(position), _) => Wants::After(position),
            (None, Some(count)) => Wants::Recent(count),
            (None, None) => Wants::Live,
        }
    }

    /// Takes the answer to the request. Returns whether the subscription continues where it was.
    pub(super) fn answered(
        &mut self,
        at: Option<Position>,
        recovered: Option<bool>,
        replay: u32,
    ) -> Recovery {
        // A subscription without a position missed messages as well if it was live before.
        let continues = self.was_live || self.position.is_some();
        self.state = State::Live { replay };
        self.position = at;
        self.has_history = at.is_some();
        self.was_live = true;
        match recovered {
            Some(true) => Recovery::Recovered {
                missed: replay as usize,
            },
            _ if continues => Recovery::Lost,
            _ => Recovery::Fresh,
        }
    }

    /// Takes a message. Returns whether it is a stored one.
    pub(super) fn received(&mut self, at: Option<Position>) -> bool {
        self.moved(at);
        match &mut self.state {
            State::Live { replay } if *replay > 0 => {
                *replay -= 1;
                true
            }
            _ => false,
        }
    }

    /// Moves the position. It may go back: the newest word of the server counts.
    pub(super) fn moved(&mut self, at: Option<Position>) {
        self.position = at.or(self.position);
    }
}
