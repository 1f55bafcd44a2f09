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
    type Topic = LocalTopic;

    fn attach(
        &self,
        name: &TopicName,
        topic: &mut LocalTopic,
        join: Join,
        welcome: Welcome<'_>,
    ) -> bool {
        join.attach(self, name, topic, &welcome)
    }

    fn refuse(&self, join: Join, error: SubscribeError) {
        join.refuse(error);
    }

    fn deliver(&self, topic: &mut LocalTopic, delivered: &Delivered) {
        if let Some(raw) = topic.existing(Form::Raw) {
            self.publish(raw, Form::Raw.message(raw.name(), delivered));
        }
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.existing(Form::Enveloped) {
            self.publish(
                enveloped,
                Form::Enveloped.message(enveloped.name(), delivered),
            );
        }
    }

    fn lose(&self, topic: &mut LocalTopic, at: Option<Position>) {
        let _ = at;
        if let Some(raw) = topic.existing(Form::Raw) {
            let gap = Gap::new(raw.name().clone());
            raw.look(0..usize::MAX, |session| session.notify_gap(gap.clone()));
        }
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.existing(Form::Enveloped) {
            let topic = enveloped.name().as_str().into();
            self.announce(enveloped, &ServerFrame::Lost { topic, at });
        }
    }

    fn wake_at(&self, at: Instant) {
        self.timer().set(at);
    }
}
