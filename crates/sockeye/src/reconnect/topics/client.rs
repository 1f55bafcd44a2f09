//! The client: the machine of the subprotocol on the connections of a [`Reconnecting`].

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use sockeye_mailbox::SendError;
use sockeye_proto::{CloseCode, Outgoing};
use sockeye_pubsub::wire::{ClientMachine, RequestNumber, SUBPROTOCOLS, app_frame};
use sockeye_pubsub::{Position, TopicName};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::event::TopicEvent;
use super::request::{RequestError, SubscribeOptions};
use crate::connection::Connection;
use crate::reconnect::client::{ReconnectEvent, Reconnecting};
use crate::reconnect::open::Protocol;
use crate::reconnect::queue::ReconnectSender;

/// A client of topics. It connects again when the connection is lost, subscribes again from its positions, and sends
/// unanswered publishes again. It has no task of its own: it works only while [`next`](Self::next) is polled.
///
/// A method that asks for something returns at once. The outcome is an event, because a future for it would need a task
/// that polls `next` beside it. A [`RequestNumber`] tells the outcomes apart.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::Client;
/// use sockeye::reconnect::topics::{SubscribeOptions, TopicEvent};
///
/// let mut client = Client::new().reconnecting("wss://chat.example/topics")?.topics();
/// client.subscribe_with("room/42", &SubscribeOptions::new().recent(50))?;
/// client.publish("room/42", "hello")?;
/// while let Some(event) = client.next().await {
///     match event {
///         TopicEvent::Message { topic, message, .. } => println!("{topic}: {message}"),
///         TopicEvent::Lost { topic, .. } => println!("{topic}: messages may be missing"),
///         TopicEvent::PublishFailed { failure, .. } => println!("not published: {failure}"),
///         TopicEvent::Ended { topic, failure } => println!("{topic}: {failure}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct TopicClient {
    connection: Reconnecting,
    machine: ClientMachine,
    alarm: Alarm,
    /// An event of the connection that comes behind those of the machine.
    held: Option<ReconnectEvent>,
    /// The client's part of each range of times that the server asks for.
    random: f64,
}

impl Reconnecting {
    /// Makes a client of topics of this one. It offers the subprotocol `sockeye.topics.v0` by itself. A server that does
    /// not agree to it ends the client with [`Interruption::Subprotocol`](crate::reconnect::Interruption::Subprotocol).
    ///
    /// A connector of [`new`](Self::new) has to offer [`SUBPROTOCOLS`]. Messages of the [greeting](Self::greeting) and of
    /// the [sender](Self::sender) go to the server's application.
    pub fn topics(mut self) -> TopicClient {
        self.offer(&SUBPROTOCOLS);
        TopicClient {
            connection: self,
            machine: ClientMachine::default(),
            alarm: Alarm::default(),
            held: None,
            random: rand::random(),
        }
    }
}

/// Requests.
impl TopicClient {
    /// Subscribes to the messages of a topic from now on. The client subscribes again after each reconnect, from the
    /// position of the last message.
    ///
    /// # Errors
    ///
    /// [`RequestError`] for an invalid name, a topic that the client subscribes to already, and a client that has ended.
    pub fn subscribe(&mut self, topic: impl AsRef<str>) -> Result<(), RequestError> {
        self.subscribe_with(topic, &SubscribeOptions::new())
    }

    /// Subscribes to the messages of a topic behind a position, which an earlier client [stored](Self::positions). The
    /// client gets all of them, or [`TopicEvent::Lost`].
    ///
    /// # Errors
    ///
    /// [`RequestError`], as for [`subscribe`](Self::subscribe).
    pub fn subscribe_after(
        &mut self,
        topic: impl AsRef<str>,
        position: Position,
    ) -> Result<(), RequestError> {
        self.subscribe_with(topic, &SubscribeOptions::new().after(position))
    }

    /// Subscribes to a topic with options.
    ///
    /// # Errors
    ///
    /// [`RequestError`], as for [`subscribe`](Self::subscribe), and for a member that is not JSON, or too long.
    pub fn subscribe_with(
        &mut self,
        topic: impl AsRef<str>,
        options: &SubscribeOptions,
    ) -> Result<(), RequestError> {
        let topic = TopicName::new(topic.as_ref())?;
        let member = options.member.as_deref();
        Ok(self.machine.subscribe(topic, options.wants, member)?)
    }

    /// Ends a subscription. No message of the topic comes from now on. Returns whether there was a subscription.
    pub fn unsubscribe(&mut self, topic: impl AsRef<str>) -> bool {
        TopicName::new(topic.as_ref()).is_ok_and(|topic| self.machine.unsubscribe(&topic))
    }

    /// Publishes a message, now or when there is a connection. The client need not subscribe to the topic. The outcome is
    /// [`TopicEvent::Published`] or [`TopicEvent::PublishFailed`], with the number that this method returns.
    ///
    /// A connection may be lost before the answer comes. Then the client sends the publish again if it subscribes to the
    /// topic, the topic has history, and 45 s have not passed. The publish has a key, so the server publishes the
    /// message once. Else the outcome is [`PublishFailure::Unconfirmed`](super::PublishFailure::Unconfirmed).
    ///
    /// # Errors
    ///
    /// [`RequestError`] for an invalid name, a client that has ended, and if 200 requests wait for their outcome.
    pub fn publish(
        &mut self,
        topic: impl AsRef<str>,
        message: impl Into<Outgoing>,
    ) -> Result<RequestNumber, RequestError> {
        let topic = TopicName::new(topic.as_ref())?;
        Ok(self.machine.publish(topic, message, rand::random())?)
    }

    /// Asks for the members of a topic, at most `max`, as soon as the subscription to it is live. The outcome is
    /// [`TopicEvent::Members`] or [`TopicEvent::QueryFailed`].
    ///
    /// # Errors
    ///
    /// [`RequestError`] for a topic that the client does not subscribe to, and as for [`publish`](Self::publish).
    pub fn members(
        &mut self,
        topic: impl AsRef<str>,
        max: Option<u32>,
    ) -> Result<RequestNumber, RequestError> {
        let topic = TopicName::new(topic.as_ref())?;
        Ok(self.machine.members(topic, max)?)
    }

    /// Asks for the number of members of a topic, as soon as the subscription to it is live. The outcome is
    /// [`TopicEvent::Count`] or [`TopicEvent::QueryFailed`].
    ///
    /// # Errors
    ///
    /// [`RequestError`], as for [`members`](Self::members).
    pub fn count(&mut self, topic: impl AsRef<str>) -> Result<RequestNumber, RequestError> {
        let topic = TopicName::new(topic.as_ref())?;
        Ok(self.machine.count(topic)?)
    }

    /// Closes the client, as [`ReconnectSender::close`] does: behind the requests that wait, and without waiting for their
    /// outcomes. A program that needs an outcome waits for its event first.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.connection.sender().close(code, reason)
    }
}

/// State.
impl TopicClient {
    /// Returns a handle that sends messages to the server's application from any task, and closes the client.
    pub fn sender(&self) -> ReconnectSender {
        self.connection.sender()
    }

    /// Returns the position of each topic that has one: all messages up to it were received. A program stores the
    /// positions to [subscribe](Self::subscribe_after) after them when it starts again.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicName, Position)> {
        self.machine.positions()
    }

    /// Returns the open connection, if there is one.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.connection()
    }

    /// Returns the client's public member id on this connection, once the server has told it.
    pub fn me(&self) -> Option<&str> {
        self.machine.me()
    }

    /// Returns the name of the node that serves this connection, once the server has told it.
    pub fn node(&self) -> Option<&str> {
        self.machine.node()
    }
}

/// Events.
impl TopicClient {
    /// Waits for the next event; `None` after [`ReconnectEvent::Ended`].
    ///
    /// # Cancel safety
    ///
    /// Safe: the next call continues, and no event is lost.
    pub async fn next(&mut self) -> Option<TopicEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<TopicEvent>> {
        loop {
            while let Some(event) = self.machine.next_event() {
                if let Some(event) = TopicEvent::of(event) {
                    return Poll::Ready(Some(event));
                }
            }
            if let Some(event) = self.held.take() {
                return Poll::Ready(Some(TopicEvent::Connection(event)));
            }
            let timeout = self.machine.next_timeout();
            let is_due = timeout.is_some_and(|at| self.alarm.poll(at, cx).is_ready());
            // The connection comes first: the answer to a ping may have come while the program was busy.
            match self.connection.poll_event(&mut self.machine, cx) {
                Poll::Ready(Some(event)) => self.take(event),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if is_due => {}
                Poll::Pending => return Poll::Pending,
            }
            if is_due {
                self.machine.handle_timeout(now());
                self.break_off();
            }
        }
    }

    /// Takes an event of the connection.
    fn take(&mut self, event: ReconnectEvent) {
        match &event {
            ReconnectEvent::Message(message) => {
                self.machine.received(message, now());
                let pause = self.machine.asked_pause(self.random);
                self.connection.ask_pause(pause);
                return self.break_off();
            }
            ReconnectEvent::Connecting { .. } => {}
            ReconnectEvent::Opened => {
                self.random = rand::random();
                let connection = self.connection.connection();
                let agreed = connection.and_then(Connection::subprotocol);
                if let Err(error) = self.machine.connected(agreed, now()) {
                    self.connection.refuse(&error.close_reason());
                }
            }
            ReconnectEvent::Interrupted { .. } => self.machine.disconnected(now()),
            ReconnectEvent::Ended { .. } => self.machine.end(),
        }
        debug_assert!(
            self.held.is_none(),
            "the caller takes each event before the next"
        );
        self.held = Some(event);
    }

    /// Ends the connection if the machine wants that.
    fn break_off(&mut self) {
        let Some(reason) = self.machine.wants_close() else {
            return;
        };
        if reason.code() != CloseCode::ABNORMAL {
            self.connection.refuse(&reason);
        } else if let Some(event) = self.connection.abandon() {
            self.take(event);
        }
    }
}

/// The events of [`next`](Self::next).
impl Stream for TopicClient {
    type Item = TopicEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TopicEvent>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for TopicClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicClient")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Protocol for ClientMachine {
    fn next_frame(&mut self) -> Option<Outgoing> {
        Self::next_frame(self, now())
    }

    fn has_frames(&self) -> bool {
        Self::has_frames(self)
    }

    fn frame_of(&self, message: Outgoing) -> Outgoing {
        app_frame(&message)
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
