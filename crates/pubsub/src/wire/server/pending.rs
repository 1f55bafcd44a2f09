//! The requests of a session that are not answered yet, and the order of its publishes.

use std::borrow::Cow;
use std::collections::VecDeque;

use sockeye_proto::Message;

use crate::name::TopicName;
use crate::wire::grammar::Reference;

/// A publish that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The reference.
    pub reference: Reference,
    /// The topic.
    pub topic: TopicName,
    /// The key, which makes a repeated publish the same message.
    pub key: Option<Box<str>>,
    /// The message.
    pub message: Message,
}

/// The requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The references of all requests but publishes.
    references: Vec<Reference>,
    /// The publishes in the order in which they came. At most one of each topic runs.
    publishes: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    reference: Reference,
    topic: TopicName,
    /// The publish. `None` while it runs.
    publish: Option<Publish>,
}

impl Pending {
    /// Returns the number of publishes.
    pub(super) fn publishes(&self) -> usize {
        self.publishes.len()
    }

    /// Returns the number of all requests.
    pub(super) fn len(&self) -> usize {
        self.references.len() + self.publishes.len()
    }

    pub(super) fn contains(&self, reference: Reference) -> bool {
        self.references.contains(&reference)
            || self
                .publishes
                .iter()
                .any(|waiting| waiting.reference == reference)
    }

    /// Adds a request that is no publish.
    pub(super) fn add(&mut self, reference: Reference) {
        self.references.push(reference);
    }

    /// Adds a publish. Returns it if it may run now.
    pub(super) fn add_publish(&mut self, publish: Publish) -> Option<Publish> {
        self.publishes.push_back(Waiting {
            reference: publish.reference,
            topic: publish.topic.clone(),
            publish: Some(publish),
        });
        self.next_publish()
    }

    /// Returns the next publish that may run: the first one of a topic of which none runs.
    pub(super) fn next_publish(&mut self) -> Option<Publish> {
        let may_run = |at: &usize| {
            let Some(next) = self.publishes.get(*at) else {
                return false;
            };
            let mut earlier = self.publishes.iter().take(*at);
            next.publish.is_some() && earlier.all(|earlier| earlier.topic != next.topic)
        };
        let at = (0..self.publishes.len()).find(may_run)?;
        self.publishes.get_mut(at)?.publish.take()
    }

    /// Removes a request that is being answered. Returns false if no such request waits for an answer.
    pub(super) fn remove(&mut self, reference: Reference) -> bool {
        if let Some(at) = self.references.iter().position(|other| *other == reference) {
            self.references.swap_remove(at);
            return true;
        }
        let runs = |waiting: &Waiting| waiting.reference == reference && waiting.publish.is_none();
        let at = self.publishes.iter().position(runs);
        at.and_then(|at| self.publishes.remove(at)).is_some()
    }

    /// Forgets all requests.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Publish {
    pub(super) fn new(
        reference: Reference,
        topic: TopicName,
        key: Option<Cow<'_, str>>,
        message: Message,
    ) -> Self {
        Self {
            reference,
            topic,
            key: key.map(|key| Box::from(&*key)),
            message,
        }
    }
}
