//! The joins that the hub does not know yet: they wait for the application's permission, or for room for their replay. An
//! eviction ends them too.

use std::collections::HashMap;

use sockeye_pubsub::TopicName;
use tokio::sync::oneshot;

use crate::endpoint::Session;
use crate::sync::{Mutex, lock};

/// The joins of a node that the hub does not know yet.
#[derive(Default)]
pub(super) struct Asking(Mutex<State>);

#[derive(Default)]
struct State {
    topics: HashMap<TopicName, Vec<Asked>>,
    next: u64,
}

/// A join that the hub does not know yet.
struct Asked {
    number: u64,
    session: Session,
    // Taken when the join is evicted.
    evict: Option<oneshot::Sender<()>>,
}

impl Asking {
    /// Ends joins. Returns their number.
    pub(super) fn evict(&self, topic: &str, is_meant: impl Fn(&Session) -> bool) -> usize {
        let mut state = lock(&self.0);
        let asked = state.topics.get_mut(topic);
        let meant = asked
            .into_iter()
            .flatten()
            .filter(|asked| is_meant(&asked.session));
        let evicted = meant.filter_map(|asked| asked.evict.take()?.send(()).ok());
        evicted.count()
    }

    /// Adds a join. An eviction ends it until the entry is dropped.
    pub(super) fn add(&self, topic: &TopicName, session: &Session) -> Entered<'_> {
        let (evict, evicted) = oneshot::channel();
        let mut state = lock(&self.0);
        let number = state.next;
        state.next += 1;
        state.topics.entry(topic.clone()).or_default().push(Asked {
            number,
            session: session.clone(),
            evict: Some(evict),
        });
        Entered {
            asking: self,
            topic: topic.clone(),
            number,
            evicted,
        }
    }

    fn remove(&self, topic: &TopicName, number: u64) -> Option<Asked> {
        let mut state = lock(&self.0);
        let asked = state.topics.get_mut(topic)?;
        let at = asked.iter().position(|asked| asked.number == number)?;
        let removed = asked.swap_remove(at);
        if asked.is_empty() {
            state.topics.remove(topic);
        }
        Some(removed)
    }
}

/// The entry of a join. Dropping it removes the entry.
pub(super) struct Entered<'a> {
    asking: &'a Asking,
    topic: TopicName,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl Entered<'_> {
    /// Completes when the join is evicted.
    pub(super) async fn evicted(&mut self) {
        // The entry holds the sender.
        let _ = (&mut self.evicted).await;
    }

    /// Whether the join was evicted.
    pub(super) fn was_evicted(&mut self) -> bool {
        self.evicted.try_recv().is_ok()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // Dropped without the lock. The caller has a handle of the session, so this one is not the last.
        let removed = self.asking.remove(&self.topic, self.number);
        drop(removed);
    }
}
