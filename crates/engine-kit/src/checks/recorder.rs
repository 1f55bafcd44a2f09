//! Keeps what an engine reports, and wakes the checks that wait for it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use sockeye_pubsub::engine::{EngineEvents, EngineState, Generation, NodeId, NodeInfo};
use sockeye_pubsub::{Delivered, TopicName};

use super::failure::Failure;
use crate::backend::Wait;

/// What an engine reported.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Delivered {
        topic: String,
        delivered: Delivered,
    },
    /// A generation ended, for these of the watched topics.
    Gap(Vec<String>),
    Listened(Generation, Vec<TopicName>),
    Signal(NodeId, Bytes),
    SignalsLost,
    Nodes(Vec<NodeInfo>),
}

/// Keeps what an engine reports.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    /// The topics that a gap is asked about.
    watched: Vec<TopicName>,
    wakers: Vec<Waker>,
}

impl Recorder {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks each gap about these topics too.
    pub(super) fn watch(&self, topics: &[TopicName]) {
        self.lock().watched.extend_from_slice(topics);
    }

    /// Returns what was reported of one topic.
    pub(super) fn delivered(&self, topic: &TopicName) -> Vec<Delivered> {
        let inner = self.lock();
        let of_topic = inner.events.iter().filter_map(|event| match event {
            Event::Delivered {
                topic: of,
                delivered,
            } if **of == **topic => Some(delivered.clone()),
            _ => None,
        });
        of_topic.collect()
    }

    /// Returns what `find` finds in the events.
    pub(super) fn find<T>(&self, find: impl FnOnce(&[Event]) -> T) -> T {
        find(&self.lock().events)
    }

    /// Waits until `find` finds something in the events, but not longer than `overdue`.
    pub(super) async fn until<T>(
        &self,
        mut overdue: Wait<'_>,
        what: &str,
        mut find: impl FnMut(&[Event]) -> Option<T>,
    ) -> Result<T, Failure> {
        let found = poll_fn(|context| {
            let mut is_late = false;
            loop {
                let mut inner = self.lock();
                if let Some(found) = find(&inner.events) {
                    return Poll::Ready(Some(found));
                }
                if is_late {
                    return Poll::Ready(None);
                }
                inner.wakers.push(context.waker().clone());
                drop(inner);
                // What came until the time was over is looked at once more.
                is_late = overdue.as_mut().poll(context).is_ready();
                if !is_late {
                    return Poll::Pending;
                }
            }
        });
        found
            .await
            .ok_or_else(|| Failure::new(format!("missing: {what}")))
    }

    fn add(&self, event: Event) {
        let mut inner = self.lock();
        inner.events.push(event);
        for waker in inner.wakers.drain(..) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineEvents for Recorder {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        self.add(Event::Delivered {
            topic: topic.to_owned(),
            delivered,
        });
    }

    fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        let watched = self.lock().watched.clone();
        let affected = watched.iter().filter(|topic| affected(topic));
        self.add(Event::Gap(affected.map(ToString::to_string).collect()));
    }

    fn listened(&self, generation: Generation, topics: &[TopicName]) {
        self.add(Event::Listened(generation, topics.to_vec()));
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        self.add(Event::Signal(from, payload));
    }

    fn signals_lost(&self) {
        self.add(Event::SignalsLost);
    }

    fn nodes(&self, live: &[NodeInfo]) {
        self.add(Event::Nodes(live.to_vec()));
    }

    fn state(&self, _: EngineState) {}
}
