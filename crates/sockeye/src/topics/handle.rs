//! The handle of the topics of a node.

use std::fmt;
use std::sync::Weak;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use sockeye_pubsub::engine::{Catchup, EngineState, NodeInfo, Since};
use sockeye_pubsub::hub::Hub;
use sockeye_pubsub::{Kept, Patterns, Rules, SubscribeError, TopicName};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::asking::Asking;
use super::authorize::{Authority, Topic};
use super::backend::Backend;
use super::node::Node;
use super::queue::Queue;
use super::signals::Signals;
use crate::sync::{Arc, Mutex, lock};

/// The topics of a node: named streams of messages, which sessions subscribe to, and any code publishes to. Clones share
/// the topics.
///
/// A server has it from [`ServerBuilder::topics`](crate::server::ServerBuilder::topics), or else its own topics without
/// patterns. [`Session::topics`](crate::Session::topics) returns it in a handler.
#[derive(Clone)]
pub struct Topics(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) hub: Hub<Node>,
    pub(super) backend: Backend,
    pub(super) patterns: Arc<Patterns>,
    pub(super) authority: Option<Arc<dyn Authority>>,
    pub(super) queue: Queue,
    pub(super) asking: Asking,
    /// Counts the joins, two for each. After two billion joins it begins anew.
    pub(super) joins: AtomicU32,
    pub(super) node: NodeInfo,
    pub(super) signals: Signals,
    /// Held while a networked engine starts.
    pub(super) starting: tokio::sync::Mutex<()>,
    /// Whether a networked engine is started.
    pub(super) is_started: watch::Sender<bool>,
    /// The task that calls the hub when time has passed.
    pub(super) task: Mutex<Option<AbortHandle>>,
    /// The runtime of that task.
    pub(super) runtime: Mutex<Option<Handle>>,
}

impl Topics {
    /// Returns the pattern whose topics may have the largest history, and its bytes.
    pub(crate) fn largest_history(&self) -> Option<(String, usize)> {
        let patterns = self.0.patterns.iter();
        let windows = patterns.filter_map(|(pattern, rules)| match rules.history.kept() {
            Kept::Window { bytes, .. } => Some((pattern, bytes)),
            _ => None,
        });
        let largest = windows.max_by_key(|(_, bytes)| *bytes);
        largest.map(|(pattern, bytes)| (pattern.to_owned(), bytes))
    }

    /// Returns stored messages of a topic.
    ///
    /// # Errors
    ///
    /// [`SubscribeError::Invalid`] for a name that is none, [`SubscribeError::Denied`] if topics are
    /// [strict](super::TopicsBuilder::strict) and no pattern matches, and [`SubscribeError::Unavailable`] if the engine does not
    /// answer.
    pub async fn history(&self, topic: &str, since: Since) -> Result<Catchup, SubscribeError> {
        let name = TopicName::new(topic).map_err(SubscribeError::Invalid)?;
        let rules = self.0.rules(topic).map_err(SubscribeError::Denied)?;
        let read = match &self.0.backend {
            Backend::Memory(engine) => engine.catch_up(&name, since, rules.history),
            Backend::Networked(engine) => engine.catch_up(&name, since, rules.history).await,
        };
        let (page, _) = read.map_err(|_| SubscribeError::Unavailable { retry: RETRY })?;
        Ok(page)
    }

    /// Returns the number of sessions of this node that subscribe to a topic.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.0.hub.subscribers(topic)
    }

    /// Returns the state of the engine.
    pub fn state(&self) -> EngineState {
        self.0.backend.state()
    }

    /// Returns a topic as the code sees it that decides about it.
    pub(super) fn topic(&self, name: TopicName) -> Topic {
        Topic::new(name, &self.0.patterns)
    }
}

/// The time after which to try again what was unavailable.
pub(super) const RETRY: Duration = Duration::from_secs(2);

impl Drop for Inner {
    /// The task waits for a time that may be far.
    fn drop(&mut self) {
        lock(&self.task).take().iter().for_each(AbortHandle::abort);
    }
}

impl Inner {
    /// Returns the name of the node, for people.
    #[cfg(feature = "topics-wire")]
    pub(super) fn node_name(&self) -> &str {
        &self.node.name
    }

    /// Whether the topic exists: this node listens to it, or the memory engine keeps its history.
    #[cfg(feature = "topics-wire")]
    pub(super) fn knows(&self, topic: &str) -> bool {
        let is_here = self.hub.with(topic, |_| ()).is_some();
        is_here
            || match &self.backend {
                Backend::Memory(engine) => engine.top(topic).is_some(),
                Backend::Networked(_) => false,
            }
    }

    /// The rules for a topic.
    pub(super) fn rules(&self, topic: &str) -> Result<&Rules, String> {
        let matched = self.patterns.find(topic);
        matched
            .map(|matched| matched.rules())
            .ok_or_else(|| format!("no pattern matches the topic `{topic}`"))
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A handle that does not keep the topics.
pub(super) type WeakInner = Weak<Inner>;
