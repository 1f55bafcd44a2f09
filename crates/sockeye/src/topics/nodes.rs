//! Signals between the nodes of an engine: one node ends subscriptions, and the others do it too and say so.
//!
//! A signal is text, its fields with tabs between them: `evict`, a number, the topic, and its subscribers; or `evicted` and
//! the number.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{EngineError, NodeId, NodeInfo};

use super::backend::Backend;
use super::handle::{Inner, Topics};
use super::subscribers::{Evicted, Subscribers};
use super::surroundings::{now, random};
use crate::sync::{Arc, lock};

/// How long a node waits for the others.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The time over which the subscribers are told that members of another node may have changed.
const STIR_WITHIN: Duration = Duration::from_secs(3);

impl Topics {
    /// Ends subscriptions of a topic, and the joins that wait for an answer. A client of the subprotocol is told.
    ///
    /// On other nodes it takes up to 2 s. The answer counts the nodes that have done it.
    pub async fn evict(&self, topic: &str, subscribers: Subscribers) -> Evicted {
        let ended_here = self.0.evict_here(topic, &subscribers);
        self.0
            .evict_elsewhere(topic, &subscribers, ended_here)
            .await
    }
}

impl Inner {
    /// Lets the other nodes end subscriptions, and waits until they have done it.
    pub(super) async fn evict_elsewhere(
        &self,
        topic: &str,
        subscribers: &Subscribers,
        ended_here: usize,
    ) -> Evicted {
        let alone = Evicted {
            acknowledged: 1,
            live: 1,
            ended_here,
        };
        let Backend::Networked(engine) = &self.backend else {
            return alone;
        };
        let number = random();
        let signalling = self.signals.begin(number);
        let signal = format!("evict\t{number}\t{topic}\t{}", subscribers.to_text());
        let waiting = async {
            engine.signal(signal.into()).await?;
            loop {
                let answered = self.signals.answered.notified();
                if self.acknowledged(number) >= self.live() {
                    return Ok::<_, EngineError>(());
                }
                answered.await;
            }
        };
        // In time or not: the answer says how many nodes have done it.
        let _ = tokio::time::timeout(TIMEOUT, waiting).await;
        let acknowledged = self.acknowledged(number);
        drop(signalling);
        Evicted {
            acknowledged,
            live: self.live().max(acknowledged),
            ended_here,
        }
    }

    /// Returns how many nodes have answered a signal, this one included.
    fn acknowledged(&self, number: u64) -> usize {
        let waiting = lock(&self.signals.waiting);
        1 + waiting.get(&number).map_or(0, HashSet::len)
    }

    /// Returns the number of live nodes.
    fn live(&self) -> usize {
        lock(&self.signals.live).len().max(1)
    }

    pub(super) fn note_nodes(&self, live: &[NodeInfo]) {
        let live: Vec<_> = live.iter().map(|node| node.id).collect();
        let before = std::mem::replace(&mut *lock(&self.signals.live), live.clone());
        self.signals.answered.notify_waiters();
        if before.iter().any(|node| !live.contains(node)) {
            self.stir_soon();
        }
    }

    /// Tells the subscribers of all topics, spread over some time, that members of other nodes may have changed.
    pub(super) fn stir_soon(&self) {
        let at = || now() + STIR_WITHIN.mul_f64(rand::random());
        let node = self.hub.outlet();
        node.presence().stir_all(at);
        node.timer().notify();
    }

    /// Acts on a signal. One that this version does not know is ignored.
    pub(super) fn signalled(self: &Arc<Self>, from: NodeId, payload: &[u8]) {
        let Ok(text) = std::str::from_utf8(payload) else {
            return;
        };
        let mut fields = text.splitn(4, '\t');
        let (verb, number) = (fields.next(), fields.next());
        let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
            return;
        };
        match (verb, fields.next(), fields.next()) {
            (Some("evict"), Some(topic), Some(subscribers)) if from != self.node.id => {
                let Some(subscribers) = Subscribers::from_text(subscribers) else {
                    return;
                };
                self.evict_here(topic, &subscribers);
                self.answer_signal(format!("evicted\t{number}").into());
            }
            (Some("evicted"), None, None) => {
                if let Some(nodes) = lock(&self.signals.waiting).get_mut(&number)
                    && from != self.node.id
                {
                    nodes.insert(from);
                }
                self.signals.answered.notify_waiters();
            }
            _ => {}
        }
    }

    fn answer_signal(&self, answer: Bytes) {
        if let Backend::Networked(engine) = &self.backend {
            let engine = Arc::clone(engine);
            self.spawn(async move {
                // Without an answer the other node says that this one may not have done it.
                let _ = engine.signal(answer).await;
            });
        }
    }
}
