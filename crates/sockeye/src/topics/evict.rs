//! Ends subscriptions by the will of the application.

use super::form::{Ending, Form};
use super::handle::Inner;
use super::local_topic::LocalTopic;
use super::subscribers::Subscribers;
use crate::endpoint::Session;
use crate::sync::{Arc, lock};

impl Inner {
    /// Ends the subscriptions and the joins of a topic on this node.
    pub(super) fn evict_here(self: &Arc<Self>, topic: &str, subscribers: &Subscribers) -> usize {
        let ended = self.hub.evict(
            topic,
            |join| subscribers.includes(&join.session),
            |topic| self.end_subscriptions(topic, subscribers),
        );
        self.work();
        ended
    }

    fn end_subscriptions(&self, topic: &LocalTopic, subscribers: &Subscribers) -> usize {
        let mut ended = 0;
        for form in Form::ALL {
            let Some(channel) = topic.existing(form) else {
                continue;
            };
            let mut meant = Vec::new();
            channel.look(0..usize::MAX, |session| {
                if subscribers.includes(session) {
                    meant.push(session.clone());
                }
            });
            for session in meant {
                let part = session.topics_part();
                let removed = part.and_then(|part| lock(&part.memberships).remove(topic.name()));
                let Some(membership) = removed else {
                    continue;
                };
                let is_meant = |member: &Session| *member == session;
                if channel.leave(membership.member, is_meant).is_some() {
                    ended += 1;
                    self.hub
                        .outlet()
                        .presence()
                        .leave(topic.name(), session.member_id());
                    form.tell_end(&session, topic.name(), Ending::Evicted);
                }
            }
        }
        ended
    }
}
