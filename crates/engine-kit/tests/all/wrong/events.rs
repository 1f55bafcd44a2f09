//! What a wrong engine reports.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sockeye_proto::Message;
use sockeye_pubsub::engine::{EngineEvents, EngineState, Generation, NodeId, NodeInfo};
use sockeye_pubsub::{Delivered, TopicName};

use super::common::Common;
use super::mutant::Mutant::*;

/// Reports what the right engine of a node reports, but for one thing.
pub(super) struct WrongEvents {
    pub(super) common: Arc<Common>,
    pub(super) node: usize,
    pub(super) id: NodeId,
    pub(super) inner: Arc<dyn EngineEvents>,
    pub(super) seen: Mutex<Seen>,
}

/// What was reported before.
#[derive(Default)]
pub(super) struct Seen {
    /// The topics with a message.
    topics: HashSet<String>,
    /// A message that waits for the next one.
    held: Option<Delivered>,
    /// The most nodes that were live.
    nodes: usize,
}

impl WrongEvents {
    fn swap(&self, topic: &str, delivered: Delivered, is_held: bool) {
        if is_held {
            self.seen.lock().expect("no panic").held = Some(delivered);
            return;
        }
        self.inner.delivered(topic, delivered);
        let held = self.seen.lock().expect("no panic").held.take();
        if let Some(held) = held {
            self.inner.delivered(topic, held);
        }
    }
}

impl EngineEvents for WrongEvents {
    fn delivered(&self, topic: &str, mut delivered: Delivered) {
        let offset = delivered.position().map_or(0, |at| at.offset);
        let id = match &delivered {
            Delivered::Entry(entry) => entry.position.id,
            Delivered::Unstored { id, .. } => Some(*id),
        };
        let is_own = || {
            let known = self.common.known();
            id.is_some_and(|id| known.published.contains(&(self.node, id)))
        };
        match self.common.mutant {
            ForgetsPrevious => {
                if let Delivered::Entry(entry) = &mut delivered {
                    entry.previous = None;
                }
            }
            SwapsPairs => {
                self.swap(topic, delivered, offset % 2 == 1);
                return;
            }
            SwapsAtTheSecondNode => {
                self.swap(topic, delivered, self.node == 1 && offset % 8 == 4);
                return;
            }
            TurnsBinaryToText => {
                let message = &mut body(&mut delivered).message;
                if let Message::Binary(bytes) = message {
                    *message = Message::text(String::from_utf8_lossy(bytes).into_owned());
                }
            }
            CutsLongMessages => {
                let message = &mut body(&mut delivered).message;
                if let Some(text) = message.as_text().filter(|text| text.len() > 32 << 10) {
                    *message = Message::text(text[..32 << 10].to_owned());
                }
            }
            LosesTheFirstMessage => {
                let is_new = self
                    .seen
                    .lock()
                    .expect("no panic")
                    .topics
                    .insert(topic.to_owned());
                if is_new {
                    return;
                }
            }
            DeliversForEachListen => {
                let name = TopicName::new(topic).expect("the name of a topic");
                let times = self.common.known().listens.get(&(self.node, name)).copied();
                for _ in 1..times.unwrap_or(1) {
                    self.inner.delivered(topic, delivered.clone());
                }
            }
            DeliversRepeatedKeys => {
                let came = (Arc::clone(&self.inner), topic.to_owned(), delivered.clone());
                self.common.known().came.push(came);
            }
            CopiesUpwards => {
                if let Some((above, _)) = topic.rsplit_once('/') {
                    self.inner.delivered(above, delivered.clone());
                }
            }
            LosesEchoes if is_own() => return,
            KeepsUnstoredLocal if offset == 0 && !is_own() => return,
            LeavesValuesOut if offset % 2 == 1 && self.common.known().latest.contains(topic) => {
                return;
            }
            LosesOneOfFifty if self.node == 1 && offset == 50 => return,
            _ => {}
        }
        self.inner.delivered(topic, delivered);
    }

    fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        if self.common.mutant != HidesGaps {
            self.inner.gap(affected);
        }
    }

    fn listened(&self, generation: Generation, topics: &[TopicName]) {
        let generation = match self.common.mutant {
            KeepsTheGeneration => Generation(1),
            _ => generation,
        };
        self.inner.listened(generation, topics);
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        let from = match self.common.mutant {
            LosesOwnSignals if from == self.id => return,
            NamesAnotherSender => NodeId(from.0 + 1),
            RepeatsSignals => {
                self.inner.signal(from, payload.clone());
                from
            }
            _ => from,
        };
        self.inner.signal(from, payload);
    }

    fn signals_lost(&self) {
        if self.common.mutant != HidesLostSignals {
            self.inner.signals_lost();
        }
    }

    fn nodes(&self, live: &[NodeInfo]) {
        let mut seen = self.seen.lock().expect("no panic");
        let is_fewer = live.len() < seen.nodes;
        seen.nodes = live.len();
        drop(seen);
        match self.common.mutant {
            HidesNodes => {}
            HidesDeadNodes if is_fewer => {}
            _ => self.inner.nodes(live),
        }
    }

    fn state(&self, state: EngineState) {
        self.inner.state(state);
    }
}

fn body(delivered: &mut Delivered) -> &mut sockeye_pubsub::Body {
    match delivered {
        Delivered::Entry(entry) => &mut entry.body,
        Delivered::Unstored { body, .. } => body,
    }
}
