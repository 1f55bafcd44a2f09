//! The subscribers of this node, as the hub sees them: the channels of each topic.
//!
//! A topic has a channel for each form in which its subscribers take messages: *raw*, which is the message as it was
//! published, and *enveloped*, with the header of the subprotocol. A channel exists once it has a subscriber. Each message
//! is framed once for each channel.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use sockeye_mailbox::{Budget, ChannelConfig, Overflow, Overflowed};
use sockeye_pubsub::hub::{Outlet, Welcome};
#[cfg(feature = "topics-wire")]
use sockeye_pubsub::wire::ServerFrame;
use sockeye_pubsub::{
    Delivered, Patterns, Position, Rules, SubscribeError, Surroundings, TopicName,
};
use tokio::sync::Notify;

use super::form::Form;
use super::join::Join;
use super::presence::Presence;
use crate::connection::direct::Channel;
use crate::endpoint::Session;
#[cfg(feature = "topics-wire")]
use crate::proto::Message;
use crate::proto::{Outgoing, PreparedMessage};
use crate::sync::{Arc, Mutex, lock};

/// The subscribers of this node.
pub(super) struct Node {
    pub(super) patterns: Arc<Patterns>,
    // What the logs of all channels may keep together.
    budget: Arc<Budget>,
    // What subscribers lost, to be reported when no lock is held.
    losses: Mutex<Vec<(Session, Overflowed)>>,
    has_losses: AtomicBool,
    presence: Presence,
    timer: Arc<Timer>,
}

/// When the hub wants to be called.
#[derive(Default)]
pub(super) struct Timer {
    at: Mutex<Option<Instant>>,
    changed: Notify,
}

/// The subscribers of one topic.
pub(crate) struct LocalTopic {
    name: TopicName,
    config: ChannelConfig,
    raw: OnceLock<Arc<Channel<Session>>>,
    #[cfg(feature = "topics-wire")]
    enveloped: OnceLock<Arc<Channel<Session>>>,
}

impl Node {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            budget: Budget::new(Budget::DEFAULT_LIMIT),
            losses: Mutex::default(),
            has_losses: AtomicBool::new(false),
            presence: Presence::default(),
            timer: Arc::default(),
        }
    }

    pub(super) fn timer(&self) -> &Arc<Timer> {
        &self.timer
    }

    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Tells the subscribers of a topic that its members have changed.
    #[cfg_attr(not(feature = "topics-wire"), expect(clippy::unused_self))]
    pub(super) fn stir(&self, topic: &LocalTopic) {
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.enveloped.get() {
            let name = topic.name.as_str().into();
            self.announce(topic, enveloped, &ServerFrame::Stir { topic: name });
        }
        let _ = topic;
    }

    /// Counts and logs what subscribers lost. The caller holds no lock.
    pub(super) fn report_losses(&self) {
        if self.has_losses.load(Relaxed) {
            self.has_losses.store(false, Relaxed);
            let losses = std::mem::take(&mut *lock(&self.losses));
            for (session, lost) in losses {
                session.count_overflow(lost);
            }
        }
    }

    #[cold]
    fn lose(&self, session: &Session, lost: Overflowed) {
        lock(&self.losses).push((session.clone(), lost));
        self.has_losses.store(true, Relaxed);
    }

    fn publish(&self, channel: &Arc<Channel<Session>>, message: impl Into<Outgoing>) {
        let message = PreparedMessage::new(message);
        channel.publish(&message, |session, lost| self.lose(session, lost));
    }

    /// Sends a frame of the subprotocol to all subscribers. It never takes the place of a message.
    #[cfg(feature = "topics-wire")]
    fn announce(
        &self,
        topic: &LocalTopic,
        channel: &Arc<Channel<Session>>,
        frame: &ServerFrame<'_>,
    ) {
        let frame = Message::Text(frame.to_text());
        if topic.config.is_conflated {
            let frame = PreparedMessage::new(frame);
            channel.publish_to(&frame, |_| true, |session, lost| self.lose(session, lost));
        } else {
            self.publish(channel, frame);
        }
    }
}

impl LocalTopic {
    pub(crate) fn name(&self) -> &TopicName {
        &self.name
    }

    /// Returns the channel of a form, if it ever had a subscriber.
    pub(super) fn existing(&self, form: Form) -> Option<&Arc<Channel<Session>>> {
        self.place(form).get()
    }

    /// Returns the channel of a form.
    pub(super) fn channel(&self, form: Form) -> &Arc<Channel<Session>> {
        self.place(form)
            .get_or_init(|| Channel::new(self.config.clone()))
    }

    fn place(&self, form: Form) -> &OnceLock<Arc<Channel<Session>>> {
        match form {
            Form::Raw => &self.raw,
            #[cfg(feature = "topics-wire")]
            Form::Enveloped => &self.enveloped,
        }
    }
}

impl Surroundings for Node {
    fn now(&self) -> Instant {
        super::surroundings::now()
    }

    fn random(&self) -> u64 {
        super::surroundings::random()
    }
}

impl Outlet for Node {
    type Join = Join;
    type Topic = Arc<LocalTopic>;

    fn open(&self, topic: &TopicName) -> Arc<LocalTopic> {
        let matched = self.patterns.find(topic);
        let default = Rules::default();
        let rules = matched.map_or(&default, |matched| matched.rules());
        let overflow = if rules.history.is_off() {
            match rules.overflow {
                sockeye_pubsub::Overflow::DropOldest => Overflow::DropOldest,
                sockeye_pubsub::Overflow::Refuse => Overflow::Refuse,
                _ => Overflow::Close,
            }
        } else {
            // A subscriber that misses a message must know it: it comes back by its position.
            Overflow::Close
        };
        Arc::new(LocalTopic {
            name: topic.clone(),
            config: ChannelConfig {
                overflow: Some(overflow),
                is_conflated: rules.history.is_latest(),
                budget: Some(Arc::clone(&self.budget)),
            },
            raw: OnceLock::new(),
            #[cfg(feature = "topics-wire")]
            enveloped: OnceLock::new(),
        })
    }

    fn attach(&self, topic: &mut Arc<LocalTopic>, join: Join, welcome: Welcome<'_>) -> bool {
        join.attach(self, topic, &welcome)
    }

    fn refuse(&self, join: Join, error: SubscribeError) {
        join.refuse(error);
    }

    fn deliver(&self, topic: &mut Arc<LocalTopic>, delivered: &Delivered) {
        if let Some(raw) = topic.raw.get() {
            self.publish(raw, Form::Raw.message(&topic.name, delivered));
        }
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.enveloped.get() {
            self.publish(enveloped, Form::Enveloped.message(&topic.name, delivered));
        }
    }

    fn lose(&self, topic: &mut Arc<LocalTopic>, at: Option<Position>) {
        if let Some(raw) = topic.raw.get() {
            let gap = super::Gap::new(topic.name.clone());
            raw.look(0..usize::MAX, |session| session.notify_gap(gap.clone()));
        }
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.enveloped.get() {
            let topic_name = topic.name.as_str().into();
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
        self.timer.set(at);
    }
}

impl Timer {
    fn set(&self, at: Instant) {
        *lock(&self.at) = Some(at);
        self.changed.notify_one();
    }

    /// Lets the task of the topics look at all times again.
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Completes when the hub wants to be called, has requests, or at the time `other`. It also completes when all topics of
    /// the node are dropped.
    pub(super) async fn wait(&self, other: Option<Instant>) {
        let at = *lock(&self.at);
        let at = at.into_iter().chain(other).min();
        let time = async {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = time => {}
        }
        // The hub says anew when it wants to be called.
        lock(&self.at).take_if(|at| *at <= super::surroundings::now());
    }
}
