//! When permissions to subscribe end. The task of the topics ends their subscriptions.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use sockeye_pubsub::TopicName;

use crate::endpoint::{Session, SessionId};
use crate::sync::{Mutex, lock};

/// When the permissions of subscriptions end. There is an entry for each live subscription whose permission ends.
#[derive(Default)]
pub(super) struct Endings {
    // Lock order: the memberships of a session, then this.
    state: Mutex<State>,
    // The number of entries. Most nodes have none, and then nothing is locked.
    many: AtomicUsize,
}

#[derive(Default)]
struct State {
    by_time: BTreeMap<(Instant, Key), Ending>,
    times: HashMap<Key, Instant>,
}

/// A subscription whose permission ends.
pub(super) struct Ending {
    pub(super) session: Session,
    pub(super) topic: TopicName,
    /// The number of the join by which the subscription came about.
    pub(super) join: u32,
}

/// The number of a join, which is unique among those of its session.
type Key = (u32, SessionId);

impl Ending {
    fn key(&self) -> Key {
        (self.join, self.session.id())
    }
}

impl Endings {
    /// Notes when the permission of a subscription ends.
    pub(super) fn add(&self, at: Instant, ending: Ending) {
        let mut state = lock(&self.state);
        let key = ending.key();
        state.times.insert(key, at);
        state.by_time.insert((at, key), ending);
        self.many.store(state.times.len(), Relaxed);
    }

    /// Forgets the subscription of a join, which has ended. The caller drops what it gets while nothing is locked.
    pub(super) fn remove(&self, session: &Session, join: u32) -> Option<Ending> {
        if self.many.load(Relaxed) == 0 {
            return None;
        }
        let mut state = lock(&self.state);
        let key = (join, session.id());
        let at = state.times.remove(&key)?;
        let removed = state.by_time.remove(&(at, key));
        self.many.store(state.times.len(), Relaxed);
        removed
    }

    /// Takes the subscriptions whose permission has ended.
    pub(super) fn take_due(&self, now: Instant) -> Vec<Ending> {
        let mut due = Vec::new();
        let mut state = lock(&self.state);
        while let Some(first) = state.by_time.first_entry()
            && first.key().0 <= now
        {
            let ending = first.remove();
            state.times.remove(&ending.key());
            due.push(ending);
        }
        self.many.store(state.times.len(), Relaxed);
        due
    }

    /// Returns when the next permission ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let state = lock(&self.state);
        state.by_time.first_key_value().map(|((at, _), _)| *at)
    }
}
