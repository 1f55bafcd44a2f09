//! The handle of the topics of a node.

use std::borrow::Cow;
use std::fmt;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sockeye_pubsub::engine::{
    Catchup, EngineError, EngineErrorKind, EngineState, NodeInfo, Since, WasPublished,
};
use sockeye_pubsub::hub::Hub;
use sockeye_pubsub::{
    Body, Kept, MessageId, Patterns, Publication, PublishError, PublishKey, Rules, SubscribeError,
    TopicName,
};

use super::authorize::{Authority, Topic};
use super::backend::{self, Backend, Events};
use super::builder::TopicsBuilder;
use super::outlet::Node;
use super::publish::{Begun, Handled, Publish, PublishHandle, Published};
use super::queue::Queue;
use super::signals::Signals;
use super::surroundings::random;
use crate::endpoint::{Encoder, encoded};
use crate::error::ErrorChain;
use crate::proto::Outgoing;
use crate::sync::{Arc, Mutex, lock};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

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
    /// The number of the next join.
    pub(super) joins: AtomicU64,
    pub(super) node: NodeInfo,
    pub(super) signals: Signals,
    /// The task that calls the hub when time has passed.
    pub(super) task: Mutex<Option<AbortHandle>>,
}

impl Topics {
    /// Returns a builder.
    pub fn builder() -> TopicsBuilder {
        TopicsBuilder::default()
    }

    /// Publishes a message to a topic. Await it, or [queue](Publish::queue) it.
    ///
    /// It is done when the engine has ordered the message, and stored it if the topic has history. That does not mean that
    /// a subscriber has it.
    ///
    /// With the memory engine, messages that the caller sends to a session after the await come behind this one.
    pub fn publish<'t>(
        &self,
        topic: impl Into<Cow<'t, str>>,
        message: impl Into<Outgoing>,
    ) -> Publish<'t> {
        let message: Outgoing = message.into();
        Publish::new(self.clone(), topic.into(), Ok(message.into()))
    }

    /// Encodes an object and publishes it: `publish_object("orders", &Json(&order))`. An error of the encoder comes when the
    /// publish is awaited or queued.
    pub fn publish_object<'t>(
        &self,
        topic: impl Into<Cow<'t, str>>,
        object: &impl Encoder,
    ) -> Publish<'t> {
        let message = encoded(object);
        let message = message.map(Body::from);
        let message =
            message.map_err(|error| PublishError::Encode(ErrorChain::new(&error).to_string()));
        Publish::new(self.clone(), topic.into(), message)
    }

    /// Begins to publish: the memory engine is done at once.
    pub(super) fn begin(
        &self,
        topic: &str,
        body: Body,
        key: Option<PublishKey>,
    ) -> Result<Begun, PublishError> {
        let inner = &*self.0;
        TopicName::check(topic).map_err(PublishError::Invalid)?;
        let rules = inner.rules(topic).map_err(PublishError::Denied)?;
        if body.len() > rules.max_message {
            return Err(PublishError::TooLarge {
                len: body.len(),
                limit: rules.max_message,
            });
        }
        if let Some(key) = &key {
            if rules.history.is_off() {
                return Err(PublishError::Key("the topic has no history"));
            }
            if key.key.is_empty() || key.key.len() > MAX_KEY {
                return Err(PublishError::Key("a key has 1 to 255 bytes"));
            }
        }
        let publication = Publication {
            id: MessageId::new(random()),
            body,
            key,
        };
        match &inner.backend {
            Backend::Memory(engine) => {
                let position = engine.publish(topic, publication, rules.history)?;
                self.0.work();
                Ok(Begun::Done(position))
            }
            Backend::Networked(engine) => {
                let engine = Arc::clone(engine);
                let topic = TopicName::new(topic).map_err(PublishError::Invalid)?;
                let history = rules.history;
                Ok(Begun::Waiting(Box::pin(async move {
                    engine.publish(&topic, publication, history).await
                })))
            }
        }
    }

    pub(super) fn queue(
        &self,
        topic: &str,
        message: Body,
        key: Option<PublishKey>,
    ) -> Result<PublishHandle, PublishError> {
        Ok(PublishHandle(match self.begin(topic, message, key)? {
            Begun::Done(position) => Handled::Done(Some(Published::answered(Ok(position)))),
            Begun::Waiting(sent) => Handled::Waiting(self.0.queue.push(sent)?),
        }))
    }

    /// The error of a publish whose node has stopped.
    pub(super) fn stopped() -> PublishError {
        PublishError::Engine(EngineError {
            published: WasPublished::Maybe,
            kind: EngineErrorKind::Unavailable,
            text: "the topics were stopped".to_owned(),
        })
    }

    /// Starts the topics in a program without a server. A server starts its topics itself.
    ///
    /// # Errors
    ///
    /// If the engine cannot be started.
    ///
    /// # Panics
    ///
    /// If the caller is not in a tokio runtime.
    pub async fn start(&self) -> Result<(), EngineError> {
        if let Backend::Networked(engine) = &self.0.backend {
            let events = Arc::new(Events(Arc::downgrade(&self.0)));
            engine.start(self.0.node.clone(), events).await?;
        }
        self.run();
        Ok(())
    }

    /// Stops the engine, and releases what it holds for this node. Sessions stay open, and get no messages any more.
    ///
    /// # Errors
    ///
    /// If the engine did not stop in time. It is stopped nevertheless.
    pub async fn stop(&self, within: Duration) -> Result<(), EngineError> {
        self.0.backend.engine().stop(within).await
    }

    /// Starts the task of the topics, if it does not run and the caller is in a tokio runtime.
    pub(crate) fn run(&self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut task = lock(&self.0.task);
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            let timer = Arc::clone(self.0.hub.outlet().timer());
            let run = backend::run(Arc::downgrade(&self.0), timer);
            *task = Some(runtime.spawn(run).abort_handle());
        }
    }

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
    /// If the engine does not answer.
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

    /// Publishes a client's message, which was allowed.
    #[cfg(feature = "topics-wire")]
    pub(super) async fn publish_as_client(
        &self,
        topic: &str,
        body: Body,
        key: Option<PublishKey>,
    ) -> Result<Published, PublishError> {
        Publish::new(self.clone(), topic.into(), Ok(body))
            .client_key(key)
            .await
    }

    /// Returns a topic as the code sees it that decides about it.
    pub(super) fn topic(&self, name: TopicName) -> Topic {
        Topic::new(name, &self.0.patterns)
    }
}

/// The longest key, in bytes.
const MAX_KEY: usize = 255;
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

impl Default for Topics {
    /// Topics in memory, without patterns: no history, and no rights for clients.
    fn default() -> Self {
        Self::builder().make(Patterns::new())
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
