//! A join becomes a subscription: the answer, the replay, and then each message of the topic.

use std::time::Duration;

use sockeye_pubsub::hub::Welcome;
use sockeye_pubsub::{SubscribeError, TopicName};
use tokio::runtime::Handle;

use super::form::Form;
use super::join::Join;
use super::local_topic::LocalTopic;
use super::memberships::Membership;
use super::node::Node;
use super::replay::fitting;
use super::surroundings::random;
use crate::endpoint::Session;
use crate::runtime::deliverer;
use crate::sync::{Arc, lock};

impl Join {
    /// Makes the session a subscriber, and gives it its answer and the replay. The topic's shard of the hub is locked.
    pub(super) fn attach(
        mut self,
        node: &Node,
        name: &TopicName,
        topic: &mut LocalTopic,
        welcome: &Welcome<'_>,
    ) -> bool {
        let session = Session::clone(&self.session);
        let Some(state) = session.topics_part() else {
            return false;
        };
        let mut memberships = lock(&state.memberships);
        let is_known = memberships.contains(name);
        if memberships.has_retired() || self.answer.is_unwanted() {
            drop(memberships);
            return false;
        }
        let is_again = is_known && self.answer.is_of_server();
        if is_again || (!is_known && memberships.len() >= self.limit) {
            // The session says something else of itself, or something for the first time.
            if is_again
                && let Some(join) = memberships.join_of(name)
                && let Some(member) = self.member.take()
            {
                node.presence().enter(name, member, join);
            }
            drop(memberships);
            if is_again {
                self.answer.accept_again(name, welcome);
            } else {
                self.answer.refuse(&session, SubscribeError::TooMany);
            }
            return false;
        }
        let mailbox = session.mailbox();
        let form = Form::of(&session);
        let (welcome, used) = fitting(form, name, welcome, self.session.reserved());
        let Some(part) = node.replays().take(used, memberships.unwritten()) else {
            drop(memberships);
            let retry = Duration::from_millis(1000 + random() % 4000);
            self.answer
                .refuse(&session, SubscribeError::Unavailable { retry });
            return false;
        };
        let answer = self.answer.frame(&session, name, &welcome);
        let replay = welcome.replay.iter();
        let replay = part.until_dropped(replay.map(|entry| form.entry(name, entry)));
        let Ok(ticket) = mailbox.push_admitted(answer.into_iter().chain(replay)) else {
            // The session ends, and leaves its topics then.
            drop(memberships);
            return false;
        };
        // Server code may have subscribed the session. Its client has ignored the messages so far, and begins here.
        if let Some(old) = memberships.remove(name) {
            old.channel.leave(old.member, |member| *member == session);
            let id = session.member_id();
            node.presence().leave(name, id, old.join);
        }
        // Without a runtime the session's driver writes its messages itself.
        let has_runtime = mailbox.has_direct() && Handle::try_current().is_ok();
        let delivery = has_runtime.then(deliverer::here);
        let channel = topic.channel(form, name, || node.channel_config(name));
        let member = channel.subscribe(Arc::clone(mailbox), session.clone(), delivery);
        memberships.insert(Membership {
            channel: Arc::clone(channel),
            member,
            join: self.number,
        });
        if let Some(permission) = self.permission {
            node.note_permission(&session, name, self.number, permission);
        }
        if let Some(member) = self.member.take() {
            node.presence().enter(name, member, self.number);
        }
        memberships.note_replay(self.session.take_reserved(), used, ticket);
        drop(memberships);
        state.answered.notify_waiters();
        self.answer.accept(name, &welcome);
        !is_known
    }

    pub(super) fn refuse(self, error: SubscribeError) {
        self.answer.refuse(&self.session, error);
    }
}
