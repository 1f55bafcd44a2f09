//! The machine of a client: what the application asks for, what its owner reports, and what its owner sends.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sockeye_proto::{CloseCode, CloseReason, Message, Outgoing};

use super::backoff::{Backoff, between};
use super::event::{ClientEvent, NotAccepted, RequestNumber, UnsupportedProtocol};
use super::request::{Asks, RESEND_WITHIN, Requests, Waiting, key};
use super::subscription::{State, Subscriptions};
use crate::hub::Wants;
use crate::name::TopicName;
use crate::position::Position;
use crate::wire::grammar::{Reference, SUBPROTOCOLS, close_reason, is_member};

/// A client of the subprotocol.
///
/// ```
/// use std::time::Instant;
/// use sockeye_pubsub::TopicName;
/// use sockeye_pubsub::hub::Wants;
/// use sockeye_pubsub::wire::{ClientEvent, ClientMachine, SUBPROTOCOLS};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = Instant::now();
/// let mut client = ClientMachine::default();
/// client.subscribe(TopicName::new("room/42")?, Wants::Recent(50), None)?;
/// client.connected(Some(SUBPROTOCOLS[0]), now)?;
/// let frame = client.next_frame(now).unwrap();
/// assert_eq!(frame.message().as_text(), Some("{\"sub\":\"room/42\",\"ref\":1,\"recent\":50}\n"));
///
/// client.received(&"{\"ok\":1,\"topic\":\"room/42\",\"recovered\":null,\"missed\":0}\n".into(), now);
/// client.received(&"{\"m\":\"room/42\"}\nhello".into(), now);
/// assert!(matches!(client.next_event(), Some(ClientEvent::Subscribed { .. })));
/// assert!(matches!(client.next_event(), Some(ClientEvent::Message { message, .. }) if message.as_text() == Some("hello")));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct ClientMachine {
    pub(super) link: Link,
    pub(super) subscriptions: Subscriptions,
    pub(super) requests: Requests,
    /// What is to be sent on this connection, in order.
    pub(super) unsent: VecDeque<Unsent>,
    /// The requests that were sent on this connection and have no answer.
    pub(super) asked: HashMap<Reference, Asked>,
    pub(super) last_reference: Option<Reference>,
    pub(super) events: VecDeque<ClientEvent>,
    backoff: Backoff,
    /// The range of the pause that the server asked for.
    pub(super) bye: Option<(Duration, Duration)>,
    pub(super) hello: Option<Box<Server>>,
}

#[derive(Debug, Default)]
pub(super) enum Link {
    #[default]
    Offline,
    Online {
        /// When the last frame came.
        heard: Instant,
        /// The silence after which the client sends a ping.
        patience: Duration,
        /// When the client sent a ping that has no answer.
        pinged: Option<Instant>,
    },
    /// The owner has to close the connection, for this reason until it has asked.
    Broken(Option<CloseReason>),
    Over,
}

#[derive(Debug)]
pub(super) enum Unsent {
    Subscribe(TopicName),
    Unsubscribe(TopicName),
    Request(RequestNumber),
    Ping,
    App(Outgoing),
}

#[derive(Debug)]
pub(super) enum Asked {
    Subscribe(TopicName),
    Unsubscribe,
    Request(RequestNumber),
}

/// What the server has said of itself and of the client.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) me: Box<str>,
    pub(super) node: Box<str>,
}

/// What the application asks for.
impl ClientMachine {
    /// Subscribes to a topic, now and after each reconnect. `member` joins presence: JSON of at most 1,024 bytes
    /// without a line feed.
    ///
    /// # Errors
    ///
    /// [`NotAccepted::Subscribed`], [`NotAccepted::Member`], [`NotAccepted::Over`].
    pub fn subscribe(
        &mut self,
        topic: TopicName,
        wants: Wants,
        member: Option<&str>,
    ) -> Result<(), NotAccepted> {
        if self.is_over() {
            return Err(NotAccepted::Over);
        }
        if member.is_some_and(|member| !is_member(member)) {
            return Err(NotAccepted::Member);
        }
        if !self
            .subscriptions
            .add(topic.clone(), wants, member.map(Box::from))
        {
            return Err(NotAccepted::Subscribed);
        }
        self.queue_subscription(topic);
        Ok(())
    }

    /// Leaves a topic. No message of it comes from now on. Returns false if the client does not subscribe to it.
    pub fn unsubscribe(&mut self, topic: &TopicName) -> bool {
        let Some(subscription) = self.subscriptions.remove(topic) else {
            return false;
        };
        self.end_queries(topic);
        if self.is_online() && subscription.state != State::Queued {
            self.unsent.push_back(Unsent::Unsubscribe(topic.clone()));
        }
        true
    }

    /// Publishes a message, now or when there is a connection. `random` makes its key: 128 random bits. The outcome is
    /// [`ClientEvent::Published`] or [`ClientEvent::PublishFailed`].
    ///
    /// # Errors
    ///
    /// [`NotAccepted::Full`], [`NotAccepted::Over`].
    pub fn publish(
        &mut self,
        topic: TopicName,
        message: impl Into<Outgoing>,
        random: u128,
    ) -> Result<RequestNumber, NotAccepted> {
        let asks = Asks::Publish {
            message: message.into(),
            key: key(random),
        };
        let number = self.request(topic, asks)?;
        if self.is_online() {
            self.unsent.push_back(Unsent::Request(number));
        }
        Ok(number)
    }

    /// Asks for the members of a topic, at most `max`, as soon as the subscription to it is live. The outcome is
    /// [`ClientEvent::Members`] or [`ClientEvent::QueryFailed`].
    ///
    /// # Errors
    ///
    /// [`NotAccepted::NotSubscribed`], [`NotAccepted::Full`], [`NotAccepted::Over`].
    pub fn members(
        &mut self,
        topic: TopicName,
        max: Option<u32>,
    ) -> Result<RequestNumber, NotAccepted> {
        self.query(topic, Asks::Who { max })
    }

    /// Asks for the number of members of a topic, as soon as the subscription to it is live. The outcome is
    /// [`ClientEvent::Count`] or [`ClientEvent::QueryFailed`].
    ///
    /// # Errors
    ///
    /// [`NotAccepted::NotSubscribed`], [`NotAccepted::Full`], [`NotAccepted::Over`].
    pub fn count(&mut self, topic: TopicName) -> Result<RequestNumber, NotAccepted> {
        self.query(topic, Asks::Count)
    }

    /// Sends a message to the server's application. It is sent at most once, and does not wait for a connection.
    ///
    /// # Errors
    ///
    /// [`NotAccepted::Offline`], [`NotAccepted::Over`].
    pub fn send(&mut self, message: impl Into<Outgoing>) -> Result<(), NotAccepted> {
        match self.link {
            Link::Online { .. } => {
                self.unsent.push_back(Unsent::App(message.into()));
                Ok(())
            }
            Link::Offline | Link::Broken(_) => Err(NotAccepted::Offline),
            Link::Over => Err(NotAccepted::Over),
        }
    }

    /// Sends a ping before its time, as after a change of the network.
    pub fn ping(&mut self) {
        if self.is_online() {
            self.unsent.push_back(Unsent::Ping);
        }
    }

    /// Returns the position of each topic that has one, to be stored.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicName, Position)> {
        self.subscriptions.positions()
    }

    /// Returns the client's public member id on this connection.
    pub fn me(&self) -> Option<&str> {
        self.hello.as_ref().map(|server| &*server.me)
    }

    /// Returns the name of the node that serves this connection.
    pub fn node(&self) -> Option<&str> {
        self.hello.as_ref().map(|server| &*server.node)
    }
}

/// What the owner reports.
impl ClientMachine {
    /// A connection is open, after the one before was reported as closed. `agreed` is its subprotocol.
    ///
    /// # Errors
    ///
    /// [`UnsupportedProtocol`] if that is not one of [`SUBPROTOCOLS`]: the owner closes the
    /// connection with its [reason](UnsupportedProtocol::close_reason) and [ends](Self::end) the client.
    pub fn connected(
        &mut self,
        agreed: Option<&str>,
        now: Instant,
    ) -> Result<(), UnsupportedProtocol> {
        if !agreed.is_some_and(|agreed| SUBPROTOCOLS.contains(&agreed)) {
            return Err(UnsupportedProtocol);
        }
        if self.is_over() {
            return Ok(());
        }
        self.link = Link::Online {
            heard: now,
            patience: DEFAULT_PATIENCE,
            pinged: None,
        };
        self.backoff.connected(now);
        self.report_uncertain(now);
        let topics = self.subscriptions.queue_all();
        self.unsent
            .extend(topics.into_iter().map(Unsent::Subscribe));
        self.unsent
            .extend(self.requests.publishes().map(Unsent::Request));
        Ok(())
    }

    /// A frame came.
    pub fn received(&mut self, frame: &Message, now: Instant) {
        let Link::Online { heard, pinged, .. } = &mut self.link else {
            return;
        };
        (*heard, *pinged) = (now, None);
        if let Err(violation) = self.take(frame, now) {
            self.break_link(close_reason(
                CloseCode::PROTOCOL_ERROR,
                &violation.to_string(),
            ));
        }
    }

    /// The connection is closed, or an attempt failed (1006). Returns the pause before the next attempt; `None` for no
    /// further attempt. `random` is at least 0 and below 1.
    pub fn closed(&mut self, code: CloseCode, now: Instant, random: f64) -> Option<Duration> {
        if self.is_over() {
            return None;
        }
        let asked = self.bye.take();
        let pause = self.backoff.after(code, asked, now, random);
        match pause {
            Some(_) => self.disconnected(now),
            None => self.end(),
        }
        pause
    }

    /// The connection is closed, and the owner decides about the next one: it takes [`asked_pause`](Self::asked_pause)
    /// first.
    pub fn disconnected(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        self.link = Link::Offline;
        self.bye = None;
        self.forget_connection();
        self.report_uncertain(now);
    }

    /// Returns the pause before the next connection that the server asked for by `bye`.
    pub fn asked_pause(&self, random: f64) -> Option<Duration> {
        self.bye.map(|(least, most)| between(least, most, random))
    }

    /// Ends the client: no connection follows. All subscriptions end, and all requests fail.
    pub fn end(&mut self) {
        if self.is_over() {
            return;
        }
        self.link = Link::Over;
        self.forget_connection();
        self.subscriptions = Subscriptions::default();
        let ended = self.requests.remove_if(|_| true);
        self.events.extend(ended.into_iter().map(Waiting::dropped));
    }

    /// Does what its time has come for. The owner calls it at [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.link {
            Link::Online {
                heard,
                patience,
                pinged,
            } => {
                let is_silent = now.saturating_duration_since(*heard) >= *patience;
                match *pinged {
                    Some(at) if now.saturating_duration_since(at) >= PONG_WITHIN => {
                        return self.break_link(CloseReason::abnormal("no answer to a ping"));
                    }
                    None if is_silent => {
                        *pinged = Some(now);
                        self.unsent.push_back(Unsent::Ping);
                    }
                    _ => {}
                }
                let due = self.subscriptions.queue_due(now);
                self.unsent.extend(due.into_iter().map(Unsent::Subscribe));
            }
            Link::Offline => self.report_uncertain(now),
            Link::Broken(_) | Link::Over => {}
        }
    }
}

/// What the owner does.
impl ClientMachine {
    /// Returns whether [`next_frame`](Self::next_frame) has something to send.
    pub fn has_frames(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Returns the next event.
    pub fn next_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Returns the reason for which the owner has to end the connection, once. With 1002 it sends a Close. With 1006 it
    /// drops the connection, because the server does not answer. Then it calls [`closed`](Self::closed) with this code.
    pub fn wants_close(&mut self) -> Option<CloseReason> {
        match &mut self.link {
            Link::Broken(reason) => reason.take(),
            _ => None,
        }
    }

    /// Returns the time of the next call of [`handle_timeout`](Self::handle_timeout).
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.link {
            Link::Online {
                heard,
                patience,
                pinged,
            } => {
                let ping = pinged.map_or(*heard + *patience, |at| at + PONG_WITHIN);
                Some(
                    self.subscriptions
                        .next_retry()
                        .map_or(ping, |at| at.min(ping)),
                )
            }
            Link::Offline => Some(self.requests.first_sent()? + RESEND_WITHIN),
            Link::Broken(_) | Link::Over => None,
        }
    }
}

impl ClientMachine {
    fn is_online(&self) -> bool {
        matches!(self.link, Link::Online { .. })
    }

    fn is_over(&self) -> bool {
        matches!(self.link, Link::Over)
    }

    fn queue_subscription(&mut self, topic: TopicName) {
        if !self.is_online() {
            return;
        }
        if let Some(subscription) = self.subscriptions.get_mut(&topic) {
            subscription.state = State::Queued;
            self.unsent.push_back(Unsent::Subscribe(topic));
        }
    }

    fn request(&mut self, topic: TopicName, asks: Asks) -> Result<RequestNumber, NotAccepted> {
        if self.is_over() {
            return Err(NotAccepted::Over);
        }
        if self.requests.is_full() {
            return Err(NotAccepted::Full);
        }
        Ok(self.requests.add(topic, asks))
    }

    fn query(&mut self, topic: TopicName, asks: Asks) -> Result<RequestNumber, NotAccepted> {
        if !self.is_over() && !self.subscriptions.contains(&topic) {
            return Err(NotAccepted::NotSubscribed);
        }
        let is_live = self.subscriptions.is_live(&topic);
        let number = self.request(topic, asks)?;
        if is_live {
            self.unsent.push_back(Unsent::Request(number));
        }
        Ok(number)
    }

    /// Forgets what belongs to one connection.
    fn forget_connection(&mut self) {
        self.unsent.clear();
        self.asked.clear();
        self.hello = None;
        self.subscriptions.set_all(State::Offline);
        self.requests.forget_queries();
    }

    /// Reports the publishes that were sent and may not be sent again.
    fn report_uncertain(&mut self, now: Instant) {
        let subscriptions = &self.subscriptions;
        let ended = self.requests.remove_if(|waiting| {
            waiting.is_uncertain(subscriptions.has_history(&waiting.topic), now)
        });
        self.events.extend(ended.into_iter().map(Waiting::dropped));
    }

    /// Ends the queries about a topic that the client has left.
    pub(super) fn end_queries(&mut self, topic: &TopicName) {
        let ended = self
            .requests
            .remove_if(|waiting| !waiting.is_publish() && waiting.topic == *topic);
        self.events.extend(ended.into_iter().map(Waiting::dropped));
    }

    fn break_link(&mut self, reason: CloseReason) {
        self.link = Link::Broken(Some(reason));
        self.unsent.clear();
    }
}

/// The silence after which the client sends a ping, until the server's `hello`.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(25);
/// A connection is lost if nothing comes within this time of a ping.
const PONG_WITHIN: Duration = Duration::from_secs(10);
