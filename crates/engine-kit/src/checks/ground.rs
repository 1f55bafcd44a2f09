//! The ground of one check: two nodes on one backend, or one, and what most checks do with them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sockeye_proto::Message;
use sockeye_pubsub::engine::{Catchup, EngineError, Generation, NodeId, NodeInfo, Since};
use sockeye_pubsub::{
    Body, Delivered, Engine, Entry, History, KeyScope, MessageId, Position, Publication,
    PublishKey, TopicName,
};

use super::failure::{Failure, ensure, ensure_eq};
use super::recorder::{Event, Recorder};
use crate::backend::{Backend, Capability};

/// The ground of one check.
pub(super) struct Ground<'b> {
    pub(super) backend: &'b dyn Backend,
    pub(super) nodes: Vec<Node>,
    check: &'static str,
    /// What makes the names of this run differ from all others.
    run: u64,
    drawn: AtomicU64,
}

/// A started engine, and what it reported.
pub(super) struct Node {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) info: NodeInfo,
    pub(super) recorder: Arc<Recorder>,
}

/// A read that was answered in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) before: Position,
    pub(super) entries: Vec<Entry>,
    pub(super) top: Position,
}

impl<'b> Ground<'b> {
    /// Makes and starts the nodes.
    pub(super) async fn new(
        backend: &'b dyn Backend,
        check: &'static str,
    ) -> Result<Self, Failure> {
        let mut ground = Self {
            backend,
            nodes: Vec::new(),
            check,
            run: RandomState::new().build_hasher().finish(),
            drawn: AtomicU64::new(0),
        };
        let nodes = if ground.has(Capability::Nodes) { 2 } else { 1 };
        for _ in 0..nodes {
            let node = ground.start().await?;
            ground.nodes.push(node);
        }
        Ok(ground)
    }

    /// Makes and starts one more node.
    pub(super) async fn start(&self) -> Result<Node, Failure> {
        let engine = self.backend.engine().await;
        let recorder = Recorder::new();
        let info = NodeInfo {
            id: NodeId(self.random()),
            name: format!("node {}", self.nodes.len() + 1).into(),
            fingerprint: 7,
        };
        engine.start(info.clone(), recorder.clone()).await?;
        Ok(Node {
            engine,
            info,
            recorder,
        })
    }

    /// Stops the nodes.
    pub(super) async fn stop(&self) {
        if self.has(Capability::Freeze) {
            // A check that failed may have left it silent.
            self.backend.thaw().await;
        }
        for node in &self.nodes {
            // An engine that was stopped by its check may refuse a second stop.
            let _ = node.engine.stop(Duration::from_secs(1)).await;
        }
    }

    pub(super) fn has(&self, capability: Capability) -> bool {
        self.backend.capabilities().contains(&capability)
    }

    /// Returns the node that most checks use.
    pub(super) fn node(&self) -> &Node {
        &self.nodes[0]
    }

    /// Returns the node that is another one, if there is another one.
    pub(super) fn other(&self) -> &Node {
        &self.nodes[self.nodes.len() - 1]
    }

    /// Makes the name of a topic that nothing has used.
    pub(super) fn topic(&self) -> TopicName {
        let name = format!("kit/{}/{:x}/{}", self.check, self.run, self.draw());
        TopicName::new(name).expect("the name has no empty segment")
    }

    /// Draws an id.
    pub(super) fn id(&self) -> MessageId {
        MessageId::new(self.random())
    }

    fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    fn random(&self) -> u64 {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(self.draw());
        hasher.finish()
    }

    /// Makes a message without a key.
    pub(super) fn message(&self, text: impl Into<String>) -> Publication {
        self.message_of(body(text))
    }

    /// Makes a message with this content, without a key.
    pub(super) fn message_of(&self, body: Body) -> Publication {
        Publication {
            id: self.id(),
            body,
            key: None,
        }
    }

    /// Makes a message with a key.
    pub(super) fn keyed(&self, text: &str, scope: KeyScope, key: &str) -> Publication {
        let key = key.into();
        Publication {
            key: Some(PublishKey { scope, key }),
            ..self.message(text)
        }
    }

    /// Listens to a topic on all nodes.
    pub(super) async fn listen(&self, topic: &TopicName) -> Result<(), Failure> {
        for node in &self.nodes {
            node.listen(topic).await?;
        }
        Ok(())
    }

    /// Publishes messages 1 to `count` to a topic with history. Returns their positions.
    pub(super) async fn publish(
        &self,
        topic: &TopicName,
        history: History,
        count: usize,
    ) -> Result<Vec<Position>, Failure> {
        let mut positions = Vec::with_capacity(count);
        for number in 1..=count {
            let message = self.message(number.to_string());
            positions.push(self.node().store(topic, message, history).await?);
        }
        Ok(positions)
    }

    /// Waits for this many messages of a topic at a node.
    pub(super) async fn delivered(
        &self,
        node: &Node,
        topic: &TopicName,
        count: usize,
    ) -> Result<Vec<Delivered>, Failure> {
        let what = format!("{count} messages of {topic}");
        let find = |events: &[Event]| {
            let of_topic = events.iter().filter_map(|event| match event {
                Event::Delivered {
                    topic: of,
                    delivered,
                } if **of == **topic => Some(delivered.clone()),
                _ => None,
            });
            let found: Vec<_> = of_topic.collect();
            (found.len() >= count).then_some(found)
        };
        let overdue = self.backend.overdue();
        node.recorder.until(overdue, &what, find).await
    }

    /// Waits for this many messages of a topic with history at a node.
    pub(super) async fn entries(
        &self,
        node: &Node,
        topic: &TopicName,
        count: usize,
    ) -> Result<Vec<Entry>, Failure> {
        let delivered = self.delivered(node, topic, count).await?;
        delivered.into_iter().map(entry).collect()
    }

    /// Waits until nothing more can come, and returns all messages of a topic at a node.
    pub(super) async fn all(&self, node: &Node, topic: &TopicName) -> Vec<Delivered> {
        self.backend.quiet().await;
        node.recorder.delivered(topic)
    }

    /// Returns an age for which a check waits: short where the time is real.
    pub(super) fn age(&self) -> Duration {
        if self.has(Capability::Clock) {
            Duration::from_secs(60)
        } else {
            Duration::from_secs(3)
        }
    }

    /// Lets half an age pass. Where the time is real nothing passes, because a slow machine would pass the other half.
    pub(super) async fn half(&self, age: Duration) {
        if self.has(Capability::Clock) {
            self.backend.pass(age / 2).await;
        }
    }
}

impl Node {
    pub(super) async fn listen(&self, topic: &TopicName) -> Result<Generation, Failure> {
        let topics = std::slice::from_ref(topic);
        self.recorder.watch(topics);
        let generations = self.engine.listen(topics).await?;
        ensure!(
            generations.len() == 1,
            "listen to one topic answered {generations:?}"
        );
        Ok(generations[0])
    }

    pub(super) async fn unlisten(&self, topic: &TopicName) -> Result<(), Failure> {
        Ok(self.engine.unlisten(std::slice::from_ref(topic)).await?)
    }

    /// Publishes a message to a topic with history.
    pub(super) async fn store(
        &self,
        topic: &TopicName,
        message: Publication,
        history: History,
    ) -> Result<Position, Failure> {
        let at = self.engine.publish(topic, message, history).await?;
        at.ok_or_else(|| Failure::new("a publish with history answered no position"))
    }

    /// Publishes a message to a topic without history.
    pub(super) async fn send(
        &self,
        topic: &TopicName,
        message: Publication,
    ) -> Result<(), Failure> {
        let at = self.engine.publish(topic, message, History::off()).await?;
        ensure_eq!(at, None, "the answer to a publish without history");
        Ok(())
    }

    pub(super) async fn read(
        &self,
        topic: &TopicName,
        since: Since,
        history: History,
    ) -> Result<Catchup, EngineError> {
        let (catchup, _) = self.engine.catch_up(topic, since, history).await?;
        Ok(catchup)
    }

    /// Reads messages that the engine must have in full, and judges that they are one branch.
    pub(super) async fn whole(
        &self,
        topic: &TopicName,
        since: Since,
        history: History,
    ) -> Result<Whole, Failure> {
        match self.read(topic, since, history).await? {
            Catchup::Whole {
                before,
                entries,
                top,
            } => {
                let whole = Whole {
                    before,
                    entries,
                    top,
                };
                whole.judge()?;
                Ok(whole)
            }
            other => Err(Failure::new(format!(
                "{since:?} answered {other:?}, expected all messages"
            ))),
        }
    }

    /// Reads behind a position that must be lost, and judges that the answer names the top.
    pub(super) async fn lost(
        &self,
        topic: &TopicName,
        after: Position,
        history: History,
        top: Position,
        why: &str,
    ) -> Result<(), Failure> {
        let found = self.read(topic, Since::After(after), history).await?;
        ensure_eq!(found, Catchup::Lost { top }, "{why}");
        Ok(())
    }

    pub(super) async fn top(&self, topic: &TopicName) -> Result<Option<Position>, Failure> {
        let tops = self.engine.tops(std::slice::from_ref(topic)).await?;
        ensure!(tops.len() == 1, "tops of one topic answered {tops:?}");
        Ok(tops[0])
    }
}

impl Whole {
    /// Judges that the entries lead from `before` to `top` without a hole.
    fn judge(&self) -> Result<(), Failure> {
        let mut last = self.before;
        for entry in &self.entries {
            ensure_eq!(
                entry.before(),
                last,
                "the entry {} of a read does not follow",
                entry.position
            );
            last = entry.position;
        }
        ensure_eq!(last, self.top, "a read does not end at its top");
        Ok(())
    }

    pub(super) fn positions(&self) -> Vec<Position> {
        self.entries.iter().map(|entry| entry.position).collect()
    }
}

/// Makes a text message.
pub(super) fn body(text: impl Into<String>) -> Body {
    Body {
        message: Message::text(text.into()),
        compressible: true,
    }
}

/// Returns a window that no check outruns.
pub(super) fn window() -> History {
    History::window(1000, Duration::from_secs(3600))
}

/// Returns the entry of a delivered message.
pub(super) fn entry(delivered: Delivered) -> Result<Entry, Failure> {
    match delivered {
        Delivered::Entry(entry) => Ok(entry),
        Delivered::Unstored { .. } => Err(Failure::new(
            "a message of a topic with history came without a position",
        )),
    }
}

/// Returns the texts of messages.
pub(super) fn texts<'a>(bodies: impl IntoIterator<Item = &'a Body>) -> Vec<&'a str> {
    let texts = bodies.into_iter();
    texts
        .map(|body| body.message.as_text().unwrap_or("(binary)"))
        .collect()
}
