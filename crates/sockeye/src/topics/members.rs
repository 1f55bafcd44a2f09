//! The members of topics on all nodes: what this node writes to the engine's store, and what it reads there.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sockeye_pubsub::engine::{EngineError, EngineFuture, Member, PresenceStore};
use sockeye_pubsub::{Known, SubscribeError, TopicName};

use super::backend::Backend;
use super::changes::Batch;
use super::handle::{Inner, RETRY, Topics, WeakInner};
use super::presence::Writing;
use super::surroundings::now;
use crate::sync::{Arc, lock};

/// The pause before a change is written again to a store that did not take it.
const REPEAT: Duration = Duration::from_secs(1);

/// The members of a topic on all nodes, as [`Topics::members`] read them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Members {
    /// The members, the oldest first.
    pub members: Vec<Member>,
    /// Whether the topic has no other members.
    pub all: bool,
}

impl Topics {
    /// Returns at most `max` members of a topic on all nodes, the oldest first. Only a topic with
    /// [`Presence::members`](super::Presence::members) knows its members.
    ///
    /// # Errors
    ///
    /// [`SubscribeError::Invalid`] for a name that is none, and [`SubscribeError::Unavailable`] if the engine does not
    /// answer.
    pub async fn members(&self, topic: &str, max: usize) -> Result<Members, SubscribeError> {
        let name = TopicName::new(topic).map_err(SubscribeError::Invalid)?;
        let rules = self.0.rules(topic).map_err(SubscribeError::Denied)?;
        let store = self.0.backend.engine().presence();
        let (Known::Members { max: most, .. }, Some(store)) = (rules.presence.known(), store)
        else {
            return Ok(Members {
                members: Vec::new(),
                all: true,
            });
        };
        let max = max.min(most as usize);
        // One more tells whether there are more.
        let read = store.members(&name, max + 1).await;
        let mut members = read.map_err(|_| SubscribeError::Unavailable { retry: RETRY })?;
        members.sort_by_key(|member| (member.since, member.id));
        let all = members.len() <= max;
        members.truncate(max);
        Ok(Members { members, all })
    }

    /// Returns the members as clients may see them.
    #[cfg(feature = "topics-wire")]
    pub(super) async fn members_for_clients(
        &self,
        topic: &str,
        max: usize,
    ) -> Result<Members, SubscribeError> {
        let mut listed = self.members(topic, max).await?;
        let rules = self.0.rules(topic).map_err(SubscribeError::Denied)?;
        let is_shown = matches!(
            rules.presence.known(),
            Known::Members {
                show_principal: true,
                ..
            }
        );
        if !is_shown {
            for member in &mut listed.members {
                member.principal = None;
            }
        }
        Ok(listed)
    }

    /// Returns the number of members of a topic on all nodes. A topic without [`Presence`](super::Presence) has none.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub async fn count(&self, topic: &str) -> Result<u64, SubscribeError> {
        let name = TopicName::new(topic).map_err(SubscribeError::Invalid)?;
        let Some(store) = self.0.backend.engine().presence() else {
            return Ok(0);
        };
        let counted = store.count(&name).await;
        counted.map_err(|_| SubscribeError::Unavailable { retry: RETRY })
    }
}

impl Inner {
    /// Lets the engine's store know who entered and left.
    pub(super) fn write_presence(self: &Arc<Self>) {
        match &self.backend {
            Backend::Memory(engine) => {
                let presence = self.hub.outlet().presence();
                let _in_order = lock(&presence.writing);
                let mut changes = presence.take_changes();
                while let Some(batch) = Batch::first(&changes) {
                    let written = at_once(self.write(engine, &batch));
                    debug_assert_eq!(written, Some(Ok(())), "the memory engine writes at once");
                    changes.drain(..batch.len());
                }
            }
            Backend::Networked(_) => {
                if let Some(writing) = self.hub.outlet().presence().begin_writing() {
                    self.spawn(write_later(Arc::downgrade(self), writing));
                }
            }
        }
    }

    fn write<'a>(&self, store: &'a dyn PresenceStore, batch: &'a Batch) -> EngineFuture<'a, ()> {
        let presence = self.hub.outlet().presence();
        match batch {
            Batch::Announced(topic) => store.announce(topic),
            Batch::Entered(topic, _) | Batch::Left(topic, _) if !self.knows_members(topic) => {
                store.set_count(topic, presence.count(topic))
            }
            Batch::Entered(topic, members) => store.enter(topic, members),
            Batch::Left(topic, members) => store.leave(topic, members),
            Batch::WrittenAgain(number) if presence.is_newest_loss(*number) => {
                store.written_again()
            }
            // They have to be written once more.
            Batch::WrittenAgain(_) => Box::pin(ready(Ok(()))),
        }
    }

    fn knows_members(&self, topic: &TopicName) -> bool {
        let rules = self.rules(topic);
        rules.is_ok_and(|rules| matches!(rules.presence.known(), Known::Members { .. }))
    }

    /// Tells the subscribers of topics whose members have changed, and other nodes if the change was here.
    pub(super) fn stir(self: &Arc<Self>) {
        let node = self.hub.outlet();
        for topic in node.presence().take_due(now()) {
            self.hub.with(&topic, |topic| node.stir(topic));
        }
        if node.presence().has_changes() {
            self.write_presence();
        }
    }

    /// Notes that the members of a topic have changed on another node.
    pub(super) fn note_members(&self, topic: &str) {
        if self.hub.subscribers(topic) == 0 {
            return;
        }
        if let Ok(topic) = TopicName::new(topic) {
            let node = self.hub.outlet();
            node.presence().change_elsewhere(&topic);
            node.timer().notify();
        }
    }
}

/// Writes the changes to a store that answers later, one after another.
async fn write_later(inner: WeakInner, mut writing: Writing) {
    while let Some(topics) = inner.upgrade() {
        let Some(store) = topics.backend.engine().presence() else {
            return;
        };
        let presence = topics.hub.outlet().presence();
        let Some((batch, again)) = presence.first_changes(writing) else {
            return;
        };
        writing = again;
        let written = topics.write(store, &batch).await;
        // Other nodes hear of a change at most once.
        if written.is_ok() || matches!(batch, Batch::Announced(_)) {
            presence.forget_first_changes();
            continue;
        }
        drop(topics);
        // A member that stays in the store when it has left would stay for ever.
        tokio::time::sleep(REPEAT).await;
    }
}

/// Takes the answer of an engine that answers at once.
fn at_once<T>(answer: EngineFuture<'_, T>) -> Option<Result<T, EngineError>> {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
