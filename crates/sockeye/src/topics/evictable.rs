//! A join that an eviction ends, also before the hub knows it.

use std::future::Future;

use sockeye_pubsub::{SubscribeError, TopicName};

use super::form::{Ending, Form};
use super::handle::Topics;
use super::join::Join;
use crate::endpoint::Session;

impl Topics {
    /// Waits for a join, which returns its number when the hub has it. An eviction ends the join before and after that.
    pub(super) async fn evictable(
        &self,
        session: &Session,
        topic: &TopicName,
        joining: impl Future<Output = Result<u32, SubscribeError>>,
    ) -> Result<u32, SubscribeError> {
        let mut entered = self.0.asking.add(topic, session);
        let number = tokio::select! {
            biased;
            () = entered.evicted() => return Err(SubscribeError::Evicted),
            joined = joining => joined?,
        };
        if !entered.was_evicted() {
            return Ok(number);
        }
        // The eviction came while the hub took the join.
        self.0
            .hub
            .cancel(topic, |join: &Join| join.number == number);
        if session.leave_if(topic, number) {
            Form::of(session).tell_end(session, topic, Ending::Evicted);
        }
        self.0.work();
        Err(SubscribeError::Evicted)
    }
}
