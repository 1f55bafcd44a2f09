//! The subscribers of this node, as the hub sees them.

use std::time::Instant;

use sockeye_pubsub::hub::{Outlet, Welcome};
#[cfg(feature = "topics-wire")]
use sockeye_pubsub::wire::ServerFrame;
use sockeye_pubsub::{Delivered, Position, SubscribeError, Surroundings, TopicName};

use super::form::Form;
use super::join::Join;
use super::local_topic::LocalTopic;
use super::node::Node;
use super::surroundings::{now, random};
use crate::endpoint::Gap;
use crate::sync::Arc;

impl Surroundings for Node {
    fn now(&self) -> Instant {
        now()
    }

    fn random(&self) -> u64 {
        random()
    }
}

impl Outlet for Node {
    type Join = Join;
    type Topic = Arc<LocalTopic>;

    fn open(&self, topic: &TopicName) -> Arc<LocalTopic> {
        let matched = self.patterns.find(topic);
        let is_conflated = matched.is_some_and(|matched| matched.rules().history.is_latest());
        Arc::new(LocalTopic::new(topic.clone(), is_conflated))
    }

    fn attach(&self, topic: &mut Arc<LocalTopic>, join: Join, welcome: Welcome<'_>) -> bool {
        join.attach(self, topic, &welcome)
    }

    fn refuse(&self, join: Join, error: SubscribeError) {
        join.refuse(error);
    }

    fn deliver(&self, topic: &mut Arc<LocalTopic>, delivered: &Delivered) {
        if let Some(raw) = topic.existing(Form::Raw) {
            self.publish(raw, Form::Raw.message(topic.name(), delivered));
        }
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.existing(Form::Enveloped) {
            self.publish(enveloped, Form::Enveloped.message(topic.name(), delivered));
        }
    }

    fn lose(&self, topic: &mut Arc<LocalTopic>, at: Option<Position>) {
        let _ = at;
        if let Some(raw) = topic.existing(Form::Raw) {
            let gap = Gap::new(topic.name().clone());
            raw.look(0..usize::MAX, |session| session.notify_gap(gap.clone()));
        }
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.existing(Form::Enveloped) {
            let topic_name = topic.name().as_str().into();
            self.announce(
                topic,
                enveloped,
                &ServerFrame::Lost {
                    topic: topic_name,
                    at,
                },
            );
        }
    }

    fn wake_at(&self, at: Instant) {
        self.timer().set(at);
    }
}
