//! The open sessions of an endpoint, and broadcasts to all of them. The broadcasts are a [channel](sockeye_mailbox::Channel)
//! of which each session is a member.

use std::fmt;
use std::ops::Range;
use std::sync::Weak;
use std::time::Duration;

use sockeye_mailbox::Subscription;
use sockeye_proto::{Config, Outgoing, PreparedMessage};
use tokio::time::Instant;

use super::codec::{Encoder, encoded};
use super::envelope;
use super::filter::FilteredSessions;
use super::overflow::Losses;
#[cfg(feature = "topics")]
use super::seam::SharedTopics;
use super::session::{EnvelopedSet, OpenSessions, Session, SessionSet};
use super::session_id::SessionId;
use crate::connection::direct::Channel;
use crate::error::EncodeError;
use crate::handshake::Handshake;
use crate::observer::Event;
use crate::runtime::deliverer;
use crate::runtime::sweeper::{self, Swept};
use crate::stats::Counters;
use crate::sync::{Arc, lock};

impl OpenSessions {
    /// Creates an empty set of sessions that no counters count.
    pub(super) fn uncounted() -> Self {
        Self(Arc::default())
    }

    /// Creates an empty set of sessions, with the counters of its server.
    pub(super) fn counted_by(counters: Arc<Counters>) -> Self {
        Self(Arc::new(SessionSet {
            counters: Some(counters),
            ..SessionSet::default()
        }))
    }

    /// Creates an empty set of sessions, whose peers may agree on the subprotocol of topics.
    pub(crate) fn with_topics(counters: Arc<Counters>) -> Self {
        Self(Arc::new(SessionSet {
            counters: Some(counters),
            enveloped: Some(Box::default()),
            ..SessionSet::default()
        }))
    }

    /// Returns whether the session of this handshake is enveloped.
    pub(super) fn envelops(&self, handshake: &Handshake) -> bool {
        self.0.enveloped_for(handshake).is_some()
    }

    /// Returns the limits of the session of this handshake. `limits` are those of the application's messages, which are the
    /// same for all sessions.
    pub(super) fn limits(&self, handshake: &Handshake, limits: Arc<Config>) -> Arc<Config> {
        let Some(enveloped) = self.0.enveloped_for(handshake) else {
            return limits;
        };
        let limits = || Arc::new(envelope::with_room(&limits));
        Arc::clone(enveloped.limits.get_or_init(limits))
    }

    /// Returns the counters of the server that these sessions belong to. Those of a client's endpoint are never read.
    pub(super) fn counters(&self) -> &Counters {
        static UNREAD: Counters = Counters::new();
        self.0.counters.as_deref().unwrap_or(&UNREAD)
    }

    /// Sets the topics that the sessions use.
    #[cfg(feature = "topics")]
    pub(crate) fn set_topics(&self, topics: Arc<dyn SharedTopics<Session>>) {
        let set = self.0.topics.set(topics);
        debug_assert!(set.is_ok(), "they are set when the set is made");
    }

    /// Returns the topics that the sessions use. `make` makes them with the first call, if none are set.
    #[cfg(feature = "topics")]
    pub(crate) fn topics(
        &self,
        make: impl FnOnce() -> Arc<dyn SharedTopics<Session>>,
    ) -> &dyn SharedTopics<Session> {
        &**self.0.topics.get_or_init(make)
    }

    /// Returns the topics that the sessions use, if they are set.
    #[cfg(feature = "topics-wire")]
    pub(super) fn known_topics(&self) -> Option<&dyn SharedTopics<Session>> {
        self.0.topics.get().map(|topics| &**topics)
    }

    /// Returns the number of sessions that are open now.
    pub fn len(&self) -> usize {
        self.0.channels().map(|channel| channel.len()).sum()
    }

    /// Returns whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the sessions that are open now.
    pub fn to_vec(&self) -> Vec<Session> {
        let mut sessions = Vec::with_capacity(self.len());
        for channel in self.0.channels() {
            channel.look(0..usize::MAX, |session| sessions.push(session.clone()));
        }
        sessions
    }

    /// Returns the open session of this name. It takes one short lock, whatever the number of sessions.
    ///
    /// An HTTP handler that closes one session of a chat:
    ///
    /// ```
    /// use sockeye::CloseCode;
    /// use sockeye::endpoint::{OpenSessions, SessionId};
    ///
    /// fn kick(chat: &OpenSessions, id: &str) -> sockeye::HandlerResult<bool> {
    ///     let id: SessionId = id.parse()?;
    ///     let session = chat.get(id);
    ///     if let Some(session) = &session {
    ///         session.close(CloseCode::POLICY_VIOLATION, "you were asked to leave")?;
    ///     }
    ///     Ok(session.is_some())
    /// }
    /// ```
    pub fn get(&self, id: SessionId) -> Option<Session> {
        let slot = id.slot();
        let mut found = None;
        for channel in self.0.channels() {
            channel.look(slot..slot.saturating_add(1), |session| {
                if session.id() == id {
                    found = Some(session.clone());
                }
            });
        }
        found
    }

    /// Returns the sessions whose path has a parameter of this name with this decoded value: one room of a chat at
    /// `/chat/{room}`. If the endpoint's path has no such parameter, it returns none.
    ///
    /// An endpoint's open sessions are those of all rooms. This sends a message to the sessions of one room:
    ///
    /// ```
    /// # fn said(session: &sockeye::Session, room: &str, text: &str) {
    /// session.open_sessions().with_path_parameter("room", room).broadcast(text);
    /// # }
    /// ```
    pub fn with_path_parameter<'a>(
        &'a self,
        name: &'a str,
        value: &'a str,
    ) -> FilteredSessions<'a> {
        FilteredSessions::new(self, name, value)
    }

    /// Sends a message to all open sessions of the endpoint, with any values of the path's parameters. Returns the
    /// number of sessions that accepted it. The message is framed and compressed once, as a [`PreparedMessage`].
    ///
    /// It does not wait for slow peers. A session whose outbox is full is closed with 1013 ("try again later") behind
    /// its queued messages, and a warning is logged. So its client knows that it missed a message.
    /// [`EndpointConfig::broadcast_overflow`](super::EndpointConfig::broadcast_overflow) chooses another
    /// [`Overflow`](crate::endpoint::Overflow): to leave the session out, or to drop messages.
    /// [`Stats::dropped_messages`](crate::server::Stats::dropped_messages) counts the messages that were not sent.
    ///
    /// All sessions get all broadcasts in the same order. A broadcast and other messages of the same sender reach a
    /// session in the order in which the sender sent them.
    ///
    /// Short messages are stored once for all sessions that do not compress, at most 64 KiB of them. When that space is
    /// full, the unread messages of the slowest sessions move to their outboxes.
    pub fn broadcast(&self, message: impl Into<Outgoing>) -> usize {
        let message = PreparedMessage::new(message);
        let mut losses = Losses::default();
        let many = self.0.publish(&message, |channel, message| {
            channel.publish(message, |session, lost| losses.add(session, lost))
        });
        losses.report(self.counters());
        many
    }

    /// Encodes an object once, and sends it to all open sessions as [`broadcast`](Self::broadcast) does:
    /// `broadcast_object(Json(&prices))`. An object may be given by reference too. Returns the number of sessions that
    /// accepted it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the object cannot be encoded. Then nothing is sent.
    pub fn broadcast_object(&self, object: impl Encoder) -> Result<usize, EncodeError> {
        Ok(self.broadcast(encoded(&object)?))
    }

    /// Sends a message to the sessions for which `is_meant` is true, as [`broadcast`](Self::broadcast) does. `is_meant`
    /// is called while the sessions are locked, so it must call no code of the application.
    pub(super) fn broadcast_to(
        &self,
        prepared: &PreparedMessage,
        is_meant: impl Fn(&Session) -> bool,
    ) -> usize {
        let mut losses = Losses::default();
        let many = self.0.publish(prepared, |channel, message| {
            channel.publish_to(message, &is_meant, |session, lost| {
                losses.add(session, lost)
            })
        });
        losses.report(self.counters());
        many
    }

    /// Reserves a slot for the session of this handshake. Returns the slot, and the subscription to the broadcasts.
    pub(super) fn reserve_slot(&self, handshake: &Handshake) -> (u32, Subscription) {
        let enveloped = self.0.enveloped_for(handshake);
        let broadcasts = enveloped.map_or(&self.0.broadcasts, |enveloped| &enveloped.broadcasts);
        broadcasts.reserve()
    }

    /// Puts the session into its slot: it is open from now on.
    pub(super) fn insert(&self, slot: u32, session: Session) {
        let mailbox = Arc::clone(session.mailbox());
        // A session on another runtime, and perhaps on another processor, writes its broadcasts itself.
        let delivery = mailbox.has_direct().then(deliverer::here);
        self.counters().observe(Event::SessionOpened);
        let channel = self.0.channel_of(&session);
        channel.join(slot, mailbox, session, delivery);
        let is_swept = std::mem::replace(&mut *lock(&self.0.is_swept), true);
        // Without the lock: a runtime that shuts down drops a spawned task at once, and the drop takes the lock.
        if !is_swept {
            let set: Weak<SessionSet> = Arc::downgrade(&self.0);
            sweeper::watch(set);
        }
    }

    /// Frees the slot of this session, if the session still has it.
    pub(super) fn remove(&self, slot: u32, session: &Session) {
        let channel = self.0.channel_of(session);
        let Some(removed) = channel.leave(slot, |other| other == session) else {
            return;
        };
        if let Some(lost) = removed.mailbox().retire() {
            removed.count_overflow(lost);
        }
    }
}

impl SessionSet {
    /// Returns the enveloped sessions, if the session of this handshake is one of them.
    fn enveloped_for(&self, handshake: &Handshake) -> Option<&EnvelopedSet> {
        let enveloped = self.enveloped.as_deref()?;
        envelope::is_agreed(handshake).then_some(enveloped)
    }

    /// Returns the channels of the broadcasts.
    fn channels(&self) -> impl Iterator<Item = &Arc<Channel<Session>>> {
        let enveloped = self.enveloped.as_ref();
        [&self.broadcasts]
            .into_iter()
            .chain(enveloped.map(|enveloped| &enveloped.broadcasts))
    }

    /// Returns the channel of a session.
    fn channel_of(&self, session: &Session) -> &Arc<Channel<Session>> {
        match &self.enveloped {
            Some(enveloped) if session.is_enveloped() => &enveloped.broadcasts,
            _ => &self.broadcasts,
        }
    }

    /// Publishes a message to each channel, in the form of the channel's sessions. Returns the number of sessions that
    /// accepted it.
    #[inline]
    fn publish(
        &self,
        message: &PreparedMessage,
        mut publish: impl FnMut(&Arc<Channel<Session>>, &PreparedMessage) -> usize,
    ) -> usize {
        let Some(enveloped) = &self.enveloped else {
            return publish(&self.broadcasts, message);
        };
        let _ordered = lock(&enveloped.order);
        let many = publish(&self.broadcasts, message);
        if enveloped.broadcasts.is_empty() {
            return many;
        }
        let form = PreparedMessage::new(envelope::enveloped(&message.into()));
        many + publish(&enveloped.broadcasts, &form)
    }
}

impl Swept for SessionSet {
    fn sweep_slots(&self, slots: Range<usize>, horizon: Instant, elapsed: Duration) -> bool {
        let mut lost = Vec::new();
        let mut are_more = false;
        for channel in self.channels() {
            are_more |= channel.look(slots.clone(), |session| {
                if let Some(loss) = session.mailbox().sweep(horizon.into_std()) {
                    lost.push((session.clone(), loss));
                }
                session.close_if_idle(elapsed);
            });
        }
        // No line is logged under the lock.
        for (session, loss) in lost {
            session.count_overflow(loss);
        }
        are_more
    }

    fn leave_sweeper_if_empty(&self) -> bool {
        let mut is_swept = lock(&self.is_swept);
        *is_swept = !self.channels().all(|channel| channel.is_empty());
        !*is_swept
    }

    fn leave_sweeper(&self) {
        *lock(&self.is_swept) = false;
    }
}

impl fmt::Debug for OpenSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSessions")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
