//! Builds the topics of a node.

use std::sync::Weak;
use std::time::Duration;

use sockeye_pubsub::Policy;
use sockeye_pubsub::engine::{Engine, NodeId, NodeInfo};
use sockeye_pubsub::hub::{Hub, HubConfig};
use sockeye_pubsub::{MemoryEngine, MemoryLimits, PatternError, Patterns};
use tokio::sync::watch;

use super::asking::Asking;
use super::authorize::{Authority, Authorize};
use super::backend::Backend;
use super::handle::{Inner, Topics};
use super::node::Node;
use super::queue::Queue;
use super::signals::Signals;
use super::surroundings::{Real, random};
use super::work::Events;
use crate::error::Error;
use crate::sync::{Arc, Mutex};

/// Builds [`Topics`].
#[must_use]
#[derive(Default)]
pub struct TopicsBuilder {
    patterns: Vec<(String, Policy)>,
    is_strict: bool,
    engine: Option<Arc<dyn Engine>>,
    authority: Option<Arc<dyn Authority>>,
    memory: MemoryLimits,
    node: Option<Arc<str>>,
}

/// The error for topics that were not built: a pattern, or its policy, is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the topics were not built")]
pub struct TopicsError(#[source] PatternError);

impl From<TopicsError> for Error {
    fn from(error: TopicsError) -> Self {
        Self::Server(error.into())
    }
}

impl Topics {
    /// Returns a builder.
    pub fn builder() -> TopicsBuilder {
        TopicsBuilder::default()
    }
}

impl Default for Topics {
    /// Topics in memory, without patterns: no history, and no rights for clients.
    fn default() -> Self {
        Self::builder().make(Patterns::new())
    }
}

impl TopicsBuilder {
    /// Sets the policy for the topics of a pattern, such as `room/{id}` or `user/{who}/**`. The variable `{id}` stands for
    /// one segment; `**` stands for one or more segments at the end. Where two patterns match, a literal segment beats a
    /// variable, and a variable beats `**`.
    pub fn pattern(mut self, pattern: impl Into<String>, policy: Policy) -> Self {
        self.patterns.push((pattern.into(), policy));
        self
    }

    /// Makes a name that no pattern matches an error. By default such a topic has no history, and clients may do nothing
    /// with it.
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Sets the application's code that decides what clients may do, after the pattern has allowed it. Without it the
    /// pattern decides alone.
    pub fn authorize(mut self, authority: impl Authorize) -> Self {
        self.authority = Some(Arc::new(authority));
        self
    }

    /// Sets the engine. The default keeps everything in the memory of this process.
    ///
    /// The crate `sockeye-redis` has the engine for many nodes, on one Redis or Valkey server. The trait `Engine`, which an
    /// engine of your own would implement, has no promise of stability: any version may change it.
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engine = Some(Arc::new(engine));
        self
    }

    /// Sets how many bytes of history the memory engine keeps, its own overhead included. By default 256 MiB. Beyond, it
    /// forgets the history of the topic without subscribers that was published to the longest time ago.
    pub fn max_history(mut self, bytes: usize) -> Self {
        self.memory.max_history = bytes;
        self
    }

    /// Sets how many topics the node has at most: those with a history, and those with subscribers. By default 1,000,000.
    /// For a new one the memory engine forgets a topic without subscribers. If there is none,
    /// [`SubscribeError::TooMany`](super::SubscribeError::TooMany) is the answer.
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.memory.max_topics = topics;
        self
    }

    /// Names this node, for people. Clients see the name. Two nodes with one name are two nodes.
    pub fn node(mut self, name: impl Into<Arc<str>>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// Builds the topics.
    ///
    /// # Errors
    ///
    /// [`TopicsError`] if a pattern is not one, if two patterns match the same names, or if a policy has a value beyond its
    /// limit.
    pub fn build(mut self) -> Result<Topics, TopicsError> {
        let mut patterns = Patterns::new();
        for (pattern, policy) in std::mem::take(&mut self.patterns) {
            patterns.insert(&pattern, policy).map_err(TopicsError)?;
        }
        if self.is_strict {
            patterns.make_strict();
        }
        Ok(self.make(patterns))
    }

    pub(super) fn make(self, patterns: Patterns) -> Topics {
        let patterns = Arc::new(patterns);
        let id = NodeId(random());
        let node = NodeInfo {
            id,
            name: self.node.unwrap_or_else(|| format!("{:016x}", id.0).into()),
            fingerprint: patterns.fingerprint(),
        };
        let max_topics = self.memory.max_topics;
        let topics = Arc::new_cyclic(|inner: &Weak<Inner>| {
            let events = Arc::new(Events(Weak::clone(inner)));
            let mut config = HubConfig::default();
            config.max_topics = max_topics;
            let backend = match self.engine {
                Some(engine) => Backend::Networked(engine),
                None => {
                    let engine = MemoryEngine::new(self.memory, Arc::new(Real));
                    let begun = engine.begin(node.clone(), events);
                    debug_assert_eq!(begun, Ok(()), "a new engine can begin");
                    // The memory engine answers at once, so there is nothing to gather.
                    config.gather = Duration::ZERO;
                    Backend::Memory(engine)
                }
            };
            Inner {
                hub: Hub::new(Node::new(Arc::clone(&patterns)), config),
                backend,
                patterns,
                authority: self.authority,
                queue: Queue::default(),
                asking: Asking::default(),
                joins: 0.into(),
                node,
                signals: Signals::default(),
                starting: tokio::sync::Mutex::default(),
                is_started: watch::Sender::default(),
                task: Mutex::default(),
                runtime: Mutex::default(),
            }
        });
        Topics(topics)
    }
}

impl std::fmt::Debug for TopicsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicsBuilder")
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}
