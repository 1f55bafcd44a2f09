//! The members of topics on one node.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Member, MemberId};
use crate::name::TopicName;
use crate::seed::{SHARDS, Seed};

/// The members of topics on one node.
#[derive(Debug)]
pub(super) struct Members {
    seed: Seed,
    shards: Box<[Mutex<Topics>]>,
}

type Topics = HashMap<TopicName, Present>;

/// The members of one topic. A topic knows its members or their number.
#[derive(Debug, Default)]
struct Present {
    members: BTreeMap<MemberId, Member>,
    count: u64,
}

impl Members {
    pub(super) fn new(seed: Seed) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default());
        Self {
            seed,
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
        let present = shard.get(topic);
        let members = present
            .into_iter()
            .flat_map(|present| present.members.values());
        members.take(max).cloned().collect()
    }

    pub(super) fn count(&self, topic: &TopicName) -> u64 {
        let shard = self.lock(topic);
        let present = shard.get(topic);
        present.map_or(0, |present| present.count.max(present.members.len() as u64))
    }

    fn change(&self, topic: &TopicName, change: impl FnOnce(&mut Present)) {
        let mut shard = self.lock(topic);
        let present = shard.entry(topic.clone()).or_default();
        change(present);
        if present.members.is_empty() && present.count == 0 {
            shard.remove(topic);
        }
    }

    fn lock(&self, topic: &TopicName) -> MutexGuard<'_, Topics> {
        let shard = &self.shards[self.seed.look_up(topic).shard()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
