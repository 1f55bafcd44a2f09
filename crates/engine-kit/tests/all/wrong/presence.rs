//! The wrong stores for presence.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sockeye_pubsub::engine::{EngineError, EngineFuture, Member, MemberId, PresenceStore};
use sockeye_pubsub::{Surroundings, TopicName};

use super::common::Entered;
use super::engine::Wrong;
use super::mutant::Mutant::*;

impl Wrong {
    /// Returns the store of the right engine.
    fn right_presence(&self) -> &dyn PresenceStore {
        self.inner
            .presence()
            .expect("the right engine has presence")
    }

    async fn enter_wrong(&self, topic: &TopicName, members: &[Member]) -> Result<(), EngineError> {
        if self.common.mutant == SticksInEnter {
            if !self.common.is_busy.swap(true, Ordering::Relaxed) {
                self.right_presence().enter(topic, members).await?;
                self.common.is_busy.store(false, Ordering::Relaxed);
            }
            return Ok(());
        }
        let mut members = members.to_vec();
        if self.common.mutant == ForgetsInfo {
            for member in &mut members {
                member.info = None;
            }
        }
        self.note_enter(topic, &mut members);
        self.right_presence().enter(topic, &members).await
    }

    fn note_enter(&self, topic: &TopicName, members: &mut Vec<Member>) {
        let mut known = self.common.known();
        if self.common.mutant == KeepsTheFirstEntry {
            let is_known = |id| known.entered.iter().any(|entered| entered.member.id == id);
            members.retain(|member| !is_known(member.id));
        }
        let time = self.common.clock.now();
        known.entered.extend(members.iter().map(|member| Entered {
            node: self.node,
            topic: topic.clone(),
            member: member.clone(),
            time,
        }));
    }

    async fn set_count_wrong(&self, topic: &TopicName, count: u64) -> Result<(), EngineError> {
        if self.common.mutant == SticksInCounts {
            if !self.common.is_busy.swap(true, Ordering::Relaxed) {
                self.right_presence().set_count(topic, count).await?;
                self.common.is_busy.store(false, Ordering::Relaxed);
            }
            return Ok(());
        }
        let count = self.note_count(topic, count);
        self.right_presence().set_count(topic, count).await
    }

    fn note_count(&self, topic: &TopicName, count: u64) -> u64 {
        let mut known = self.common.known();
        let before = known.counts.entry((self.node, topic.clone())).or_default();
        *before = match self.common.mutant {
            AddsCounts => *before + count,
            _ => count,
        };
        *before
    }

    async fn count_wrong(&self, topic: &TopicName) -> Result<u64, EngineError> {
        let count = self.right_presence().count(topic).await?;
        let known = self.common.known();
        let keeps_counts = matches!(
            self.common.mutant,
            KeepsCountsOfStopped | KeepsCountsOfKilled
        );
        let gone = known.gone.filter(|_| keeps_counts);
        let left = gone.and_then(|gone| known.counts.get(&(gone, topic.clone())));
        Ok(count + left.copied().unwrap_or_default())
    }

    async fn leave_wrong(
        &self,
        topic: &TopicName,
        members: &[MemberId],
    ) -> Result<(), EngineError> {
        let mut topics = vec![topic.clone()];
        match self.common.mutant {
            IgnoresLeave => return Ok(()),
            LeavesEverywhere => {
                let known = self.common.known();
                topics.extend(known.entered.iter().map(|entered| entered.topic.clone()));
            }
            _ => {}
        }
        for topic in topics {
            self.right_presence().leave(&topic, members).await?;
        }
        Ok(())
    }

    async fn members_wrong(
        &self,
        topic: &TopicName,
        max: usize,
    ) -> Result<Vec<Member>, EngineError> {
        let max = match self.common.mutant {
            IgnoresTheMaximum => usize::MAX,
            _ => max,
        };
        let mut members = self.right_presence().members(topic, max).await?;
        let known = self.common.known();
        let now = self.common.clock.now();
        match self.common.mutant {
            ListsOwnMembers => members.retain(|member| {
                let mut entered = known.entered.iter();
                entered.any(|entered| entered.node == self.node && entered.member == *member)
            }),
            ForgetsMembersAfterADay => members.retain(|member| {
                let mut entered = known.entered.iter();
                let is_young = |time| now < time + Duration::from_secs(24 * 3600);
                entered.any(|entered| entered.member == *member && is_young(entered.time))
            }),
            _ => {}
        }
        let keeps_members = matches!(
            self.common.mutant,
            KeepsMembersOfStopped | KeepsMembersOfKilled
        );
        if let Some(gone) = known.gone.filter(|_| keeps_members) {
            let ghosts = known.entered.iter();
            let ghosts = ghosts.filter(|entered| entered.node == gone && entered.topic == *topic);
            members.extend(ghosts.map(|entered| entered.member.clone()));
        }
        Ok(members)
    }
}

impl PresenceStore for Wrong {
    fn enter<'a>(&'a self, topic: &'a TopicName, members: &'a [Member]) -> EngineFuture<'a, ()> {
        Box::pin(self.enter_wrong(topic, members))
    }

    fn leave<'a>(&'a self, topic: &'a TopicName, members: &'a [MemberId]) -> EngineFuture<'a, ()> {
        Box::pin(self.leave_wrong(topic, members))
    }

    fn members<'a>(&'a self, topic: &'a TopicName, max: usize) -> EngineFuture<'a, Vec<Member>> {
        Box::pin(self.members_wrong(topic, max))
    }

    fn set_count<'a>(&'a self, topic: &'a TopicName, count: u64) -> EngineFuture<'a, ()> {
        Box::pin(self.set_count_wrong(topic, count))
    }

    fn count<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, u64> {
        Box::pin(self.count_wrong(topic))
    }
}
