//! What this node keeps for the subscribers of all topics.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use sockeye_mailbox::{Budget, ChannelConfig, Overflow, Overflowed};
#[cfg(feature = "topics-wire")]
use sockeye_pubsub::wire::ServerFrame;
use sockeye_pubsub::{Patterns, Rules, SlowSubscriber, TopicName};

use super::endings::{Ending, Endings};
#[cfg(feature = "topics-wire")]
use super::form::Form;
use super::local_topic::{LocalTopic, TopicChannel};
use super::memberships::Membership;
use super::permission::Permission;
use super::presence::Presence;
use super::rechecks::Rechecks;
use super::replay_room::ReplayRoom;
use super::surroundings::now;
use super::timer::Timer;
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
    // Whether there are losses, or sessions to drop.
    has_rest: AtomicBool,
    // Last handles of sessions, to be dropped when no lock is held.
    dropped: Mutex<Vec<Session>>,
    replays: Arc<ReplayRoom>,
    presence: Presence,
    endings: Endings,
    rechecks: Rechecks,
    timer: Arc<Timer>,
}

impl Node {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            budget: Budget::new(Budget::DEFAULT_LIMIT),
            losses: Mutex::default(),
            has_rest: AtomicBool::new(false),
            dropped: Mutex::default(),
            replays: ReplayRoom::new(ReplayRoom::LIMIT),
            presence: Presence::default(),
            endings: Endings::default(),
            rechecks: Rechecks::default(),
            timer: Arc::default(),
        }
    }

    pub(super) fn timer(&self) -> &Arc<Timer> {
        &self.timer
    }

    pub(super) fn replays(&self) -> &Arc<ReplayRoom> {
        &self.replays
    }

    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Tells the subscribers of a topic that its members have changed.
    pub(super) fn stir(&self, topic: &LocalTopic) {
        #[cfg(feature = "topics-wire")]
        if let Some(enveloped) = topic.existing(Form::Enveloped) {
            let topic = enveloped.name().as_str().into();
            self.announce(enveloped, &ServerFrame::Stir { topic });
        }
        let _ = topic;
    }

    /// Returns the settings of a topic's channels.
    pub(super) fn channel_config(&self, topic: &str) -> ChannelConfig {
        let default = Rules::default();
        let matched = self.patterns.find(topic);
        let rules = matched.map_or(&default, |matched| matched.rules());
        let overflow = match rules.slow_subscriber {
            _ if !rules.history.is_off() => Overflow::Close,
            SlowSubscriber::DropOldest => Overflow::DropOldest,
            SlowSubscriber::DropNewest => Overflow::Refuse,
            _ => Overflow::Close,
        };
        ChannelConfig {
            // With history a subscriber that misses a message must know it: it comes back by its position.
            overflow: Some(overflow),
            is_conflated: rules.history.is_latest(),
            budget: Some(Arc::clone(&self.budget)),
        }
    }

    pub(super) fn endings(&self) -> &Endings {
        &self.endings
    }

    pub(super) fn rechecks(&self) -> &Rechecks {
        &self.rechecks
    }

    /// Notes by which permission a subscription came about. The memberships of the session are locked.
    pub(super) fn note_permission(
        &self,
        session: &Session,
        topic: &TopicName,
        join: u32,
        permission: Permission,
    ) {
        let Permission { until, round } = permission;
        let subscription = || Ending {
            session: session.clone(),
            topic: topic.clone(),
            join,
        };
        if round != self.rechecks.round() {
            self.rechecks.add_late(subscription());
            self.timer.notify();
        }
        let left = until.map(|until| until.duration_since(SystemTime::now()));
        // A time that the clock cannot name never comes.
        if let Some(left) = left
            && let Some(at) = now().checked_add(left.unwrap_or_default())
        {
            self.endings.add(at, subscription());
            self.timer.notify();
        }
    }

    /// Forgets what it knows of a subscription besides the channel. What the caller gets is dropped while nothing is locked.
    pub(super) fn forget(&self, session: &Session, membership: &Membership) -> Option<Ending> {
        let topic = membership.channel.name();
        self.presence
            .leave(topic, session.member_id(), membership.join);
        self.endings.remove(session, membership.join)
    }

    /// Keeps the last handle of a session until no lock is held.
    #[cold]
    pub(super) fn drop_later(&self, session: Session) {
        lock(&self.dropped).push(session);
        self.has_rest.store(true, Relaxed);
    }

    /// Does what has to wait until no lock is held: counts and logs what subscribers lost, and drops sessions.
    pub(super) fn do_rest(&self) {
        if self.has_rest.load(Relaxed) {
            self.has_rest.store(false, Relaxed);
            let losses = std::mem::take(&mut *lock(&self.losses));
            for (session, lost) in losses {
                session.count_overflow(lost);
            }
            let dropped = std::mem::take(&mut *lock(&self.dropped));
            // This may run code of the application.
            drop(dropped);
        }
    }

    #[cold]
    fn lose(&self, session: &Session, lost: Overflowed) {
        lock(&self.losses).push((session.clone(), lost));
        self.has_rest.store(true, Relaxed);
    }

    pub(super) fn publish(&self, channel: &Arc<TopicChannel>, message: impl Into<Outgoing>) {
        let message = PreparedMessage::new(message);
        channel.publish(&message, |session, lost| self.lose(session, lost));
    }

    /// Sends a frame of the subprotocol to all subscribers. It never takes the place of a message.
    #[cfg(feature = "topics-wire")]
    pub(super) fn announce(&self, channel: &Arc<TopicChannel>, frame: &ServerFrame<'_>) {
        let frame = Message::Text(frame.to_text());
        if !channel.is_conflated() {
            return self.publish(channel, frame);
        }
        // Such a channel keeps one message, which is the value. So the frame goes past the channel.
        channel.look(0..usize::MAX, |session| {
            // Such frames are few: one for a topic in 3 s, and one for a loss. A connection that is closing wants none.
            let _ = session.mailbox().push_admitted([frame.clone().into()]);
        });
    }
}
