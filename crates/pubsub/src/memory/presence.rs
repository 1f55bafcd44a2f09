//! The members of topics on one node.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Member, MemberId};
use crate::memory::names::{Name, NameHashing, NameMap};
use crate::name::TopicName;

/// The members of topics on one node.
#[derive(Debug)]
pub(super) struct Members {
    hashing: NameHashing,
    shards: Box<[Mutex<NameMap<Present>>]>,
}

/// The members of one topic. A topic knows its members or their number.
#[derive(Debug, Default)]
struct Present {
    members: BTreeMap<MemberId, Member>,
    count: u64,
}

impl Members {
    pub(super) fn new(hashing: &NameHashing) -> Self {
        let shards = (0..64).map(|_| Mutex::new(NameMap::with_hasher(hashing.clone())));
        Self {
            hashing: hashing.clone(),
            shards: shards.collect(),
        }
    }

    pub(super) fn enter(&self, topic: &TopicName, members: &[Member]) {
        self.change(topic, |present| {
            let members = members.iter().cloned();
            present
                .members
                .extend(members.map(|member| (member.id, member)));
        });
    }

    pub(super) fn leave(&self, topic: &TopicName, members: &[MemberId]) {
        self.change(topic, |present| {
            for member in members {
                present.members.remove(member);
            }
        });
    }

    pub(super) fn set_count(&self, topic: &TopicName, count: u64) {
        self.change(topic, |present| present.count = count);
    }

    pub(super) fn members(&self, topic: &TopicName, max: usize) -> Vec<Member> {
        let shard = self.lock(topic);
        let present = shard.get(self.hashing.look_up(topic).key());
        let members = present
            .into_iter()
            .flat_map(|present| present.members.values());
        members.take(max).cloned().collect()
    }

    pub(super) fn count(&self, topic: &TopicName) -> u64 {
        let shard = self.lock(topic);
        let present = shard.get(self.hashing.look_up(topic).key());
        present.map_or(0, |present| present.count.max(present.members.len() as u64))
    }

    fn change(&self, topic: &TopicName, change: impl FnOnce(&mut Present)) {
        let mut shard = self.lock(topic);
        let present = shard.entry(Name(topic.clone())).or_default();
        change(present);
        if present.members.is_empty() && present.count == 0 {
            shard.remove(self.hashing.look_up(topic).key());
        }
    }

    fn lock(&self, topic: &TopicName) -> MutexGuard<'_, NameMap<Present>> {
        let shard = &self.shards[self.hashing.look_up(topic).shard()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
