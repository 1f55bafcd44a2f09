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
        let asking = self
            .asking
            .evict(topic, |session| subscribers.includes(session));
        let mut handles = Vec::new();
        let ended = self.hub.evict(
            topic,
            |join| subscribers.includes(&join.session),
            |topic| self.end_subscriptions(topic, subscribers, &mut handles),
        );
        // Dropped while nothing is locked: they may be the last handles of their sessions.
        drop(handles);
        self.work();
        asking + ended
    }

    /// Ends the subscriptions of the sessions that are meant. `handles` gets their handles.
    fn end_subscriptions(
        &self,
        topic: &LocalTopic,
        subscribers: &Subscribers,
        handles: &mut Vec<Session>,
    ) -> usize {
        let mut ended = 0;
        let node = self.hub.outlet();
        for form in Form::ALL {
            let Some(channel) = topic.existing(form) else {
                continue;
            };
            let begin = handles.len();
            channel.look(0..usize::MAX, |session| {
                if subscribers.includes(session) {
                    handles.push(session.clone());
                }
            });
            let mut kept = Vec::new();
            for session in handles.get(begin..).unwrap_or_default() {
                let part = session.topics_part();
                let removed = part.and_then(|part| lock(&part.memberships).remove(channel.name()));
                let Some(membership) = removed else {
                    continue;
                };
                kept.extend(
                    node.forget(session, &membership)
                        .map(|ending| ending.session),
                );
                let is_meant = |member: &Session| member == session;
                let left = channel.leave(membership.member, is_meant);
                if left.is_some() {
                    ended += 1;
                    form.tell_end(session, channel.name(), Ending::Evicted);
                }
                kept.extend(left);
            }
            handles.append(&mut kept);
        }
        ended
    }
}
