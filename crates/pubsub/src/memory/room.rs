//! Room for topics and messages: what goes when a limit of the engine is reached.

use std::sync::atomic::Ordering;

use super::shard::{Freed, Room};
use super::topic::Topic;
use super::{MemoryEngine, NO_ROOM, lock, refusal};
use crate::engine::{EngineError, EngineErrorKind};
use crate::seed::LookUp;

impl MemoryEngine {
    /// Counts one more topic. Returns false if there are as many as the limit allows.
    pub(super) fn count_topic(&self) -> bool {
        let more = |topics: usize| (topics < self.limits.max_topics).then_some(topics + 1);
        self.topics
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Drops a topic, so that another one can be counted. Must be called without a lock.
    pub(super) fn make_room_for_topic(&self) -> Result<(), EngineError> {
        if self.drop_idlest(Room::Topic) {
            Ok(())
        } else {
            Err(refusal(EngineErrorKind::Full, NO_ROOM))
        }
    }

    /// Drops messages until the histories fit into their limit. The topic `published` has just got a message. Must be
    /// called without a lock.
    pub(super) fn make_room_for_bytes(&self, published: &LookUp<'_>) {
        let room = Room::Bytes {
            spared: published.name(),
        };
        while self.history_bytes() > self.limits.max_history {
            if !self.drop_idlest(room) && !self.trim_unheard(published) && !self.trim_largest() {
                return;
            }
        }
    }

    /// Drops the topic that nothing listens to and that has had no message for the longest time.
    fn drop_idlest(&self, room: Room<'_>) -> bool {
        let seconds = self.shards.iter().enumerate().filter_map(|(index, shard)| {
            let second = lock(shard).idlest(room)?;
            Some((second, index))
        });
        let Some((_, index)) = seconds.min() else {
            return false;
        };
        // Another thread may have changed the shard meanwhile: then another topic goes, or none, and the caller looks again.
        let freed = lock(&self.shards[index]).drop_idlest(room);
        self.give_back(freed);
        true
    }

    /// Drops the oldest message of a topic that nothing listens to.
    fn trim_unheard(&self, name: &LookUp<'_>) -> bool {
        let mut shard = self.lock(name);
        if shard.is_heard(name) {
            return false;
        }
        let freed = shard.change(name, Topic::drop_oldest).unwrap_or_default();
        self.used.fetch_sub(freed, Ordering::Relaxed);
        freed > 0
    }

    /// Drops the oldest message of the largest history that something listens to.
    fn trim_largest(&self) -> bool {
        let sizes = self.shards.iter().enumerate().filter_map(|(index, shard)| {
            let size = lock(shard).largest()?;
            Some((size, index))
        });
        let Some((_, index)) = sizes.max() else {
            return false;
        };
        let freed = lock(&self.shards[index]).trim_largest();
        self.used.fetch_sub(freed, Ordering::Relaxed);
        true
    }

    pub(super) fn give_back(&self, freed: Freed) {
        self.used.fetch_sub(freed.bytes, Ordering::Relaxed);
        self.topics.fetch_sub(freed.topics, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl MemoryEngine {
    /// Counts the topics and the bytes anew.
    pub(super) fn count_again(&self) -> (usize, usize) {
        let counts = self.shards.iter().map(|shard| lock(shard).count_again());
        counts.fold((0, 0), |(topics, bytes), (more_topics, more_bytes)| {
            (topics + more_topics, bytes + more_bytes)
        })
    }
}
