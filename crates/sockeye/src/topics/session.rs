//! What a session holds for topics: its subscriptions, the gaps that its endpoint has to be told of, and its public name.

use std::sync::OnceLock;

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::MemberId;
use tokio::sync::Notify;

use super::gap::Gap;
use super::memberships::Memberships;
use super::surroundings::random;
use crate::endpoint::Session;
use crate::sync::{Mutex, lock};

/// What a session holds for topics.
#[derive(Default)]
pub(crate) struct SessionTopics {
    // Lock order: a shard of the hub, then this, then the members of a channel.
    pub(super) memberships: Mutex<Memberships>,
    /// Notified when a join has its answer.
    pub(super) answered: Notify,
    member: OnceLock<MemberId>,
    gaps: Mutex<Vec<Gap>>,
    #[cfg(feature = "topics-wire")]
    pub(super) machine: super::client::Machine,
}

impl Session {
    /// Returns the public name of the session in topics with presence. It is not the session's id, which may be a secret.
    pub(super) fn member_id(&self) -> MemberId {
        *self
            .topics_state()
            .member
            .get_or_init(|| MemberId(random()))
    }
}
