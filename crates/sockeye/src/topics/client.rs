//! The subprotocol's end of a session: what its client asks for, and the answers.
//!
//! ```text
//!   frame ─▶ ServerMachine ─▶ Step ─▶ subscribe, publish, … ─▶ answer into the outbox
//! ```
//!
//! The session's task handles one frame after another, and waits where a request has to wait. So the client's input waits
//! too. Only a question to [`Authorize`](super::Authorize) about a subscription runs in a task of its own, because a client
//! that comes back asks for many topics at once.

use sockeye_mailbox::Item;
use sockeye_proto::{Message, MessageBuffer, Text};
use sockeye_pubsub::hub::Wants;
use sockeye_pubsub::wire::{
    Content, ErrorCode, Failure, Publish, Reference, Reply, ServerMachine, Step,
};
use sockeye_pubsub::{Body, KeyScope, PublishError, PublishKey, SubscribeError, TopicName};

use super::join::Answer;
use super::rules::{permit_publish, permit_subscribe};
use super::subscribe::JoinRequest;
use super::surroundings::now;
use crate::endpoint::Session;
use crate::proto::Outgoing;
use crate::sync::{Arc, lock};

/// How many topics a client may subscribe to.
const MAX_TOPICS: usize = 128;

/// Greets the client of a session that has opened.
pub(crate) fn greet(session: &Session) {
    let me = session.member_id();
    let node = session.topics().0.node_name();
    let hello = session.with_machine(|machine| machine.hello(me, node));
    session.push_frames(hello);
}

/// Handles a frame with a header.
pub(crate) async fn handle(session: &Session, frame: &mut MessageBuffer) {
    let content = match frame {
        MessageBuffer::Text(text) => Content::Text(text),
        MessageBuffer::Binary(bytes) => Content::Binary(bytes),
    };
    let Some(step) = session.with_machine(|machine| machine.receive(content, now())) else {
        return;
    };
    match step {
        // The endpoint gets the messages of the application, and they do not come here.
        Step::Wait | Step::App(_) => {}
        Step::Subscribe {
            reference,
            topic,
            wants,
            member,
        } => {
            let request = ClientJoin {
                reference,
                topic,
                wants,
                member: member.map(Into::into),
            };
            session.wait_for_room().await;
            if session.topics().0.authority.is_some() {
                let session = session.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = request.run(&session) => {}
                        _ = session.closed() => {}
                    }
                });
            } else {
                request.run(session).await;
            }
        }
        Step::Unsubscribe { reference, topic } => {
            session.topics().cancel_joins(session, &topic);
            session.unsubscribe(&topic);
            session
                .answer(|machine| machine.unsubscribed(reference))
                .await;
        }
        Step::Publish(publish) => {
            let mut next = Some(publish);
            while let Some(publish) = next.take() {
                publish_for(session, publish).await;
                next = session.with_machine(ServerMachine::next_publish).flatten();
            }
        }
        Step::Who {
            reference,
            topic,
            max,
        } => who(session, reference, &topic, max).await,
        Step::Count { reference, topic } => count(session, reference, &topic).await,
        Step::Reply(reply) => session.reply(Some(reply)).await,
    }
}

/// A client's wish to subscribe.
struct ClientJoin {
    reference: Reference,
    topic: TopicName,
    wants: Wants,
    member: Option<Arc<str>>,
}

impl ClientJoin {
    async fn run(self, session: &Session) {
        let reference = self.reference;
        if let Err(failure) = self.join(session).await {
            session.fail(reference, failure).await;
        }
    }

    async fn join(self, session: &Session) -> Result<(), Failure> {
        let topics = session.topics();
        let topic = self.topic;
        let mut refused = None;
        let joining = async {
            let permitted = permit_subscribe(topics, session, &topic).await;
            let permission =
                permitted.map_err(|denied| SubscribeError::Denied(denied.into_text()))?;
            if let Err(failure) = create(session, &topic) {
                refused = Some(failure);
                return Err(SubscribeError::TooMany);
            }
            let request = JoinRequest {
                wants: self.wants,
                member: self.member,
                answer: Answer::Client {
                    reference: self.reference,
                },
                limit: MAX_TOPICS,
                permission: Some(permission),
            };
            topics.join(session, &topic, request).await
        };
        let joined = topics.evictable(session, &topic, joining).await;
        match refused {
            Some(failure) => Err(failure),
            None => joined.map(drop).map_err(Failure::from),
        }
    }
}

/// Counts a topic that does not exist yet.
fn create(session: &Session, topic: &TopicName) -> Result<(), Failure> {
    if session.topics().0.knows(topic) {
        return Ok(());
    }
    let created = session.with_machine(|machine| machine.create_topic(now()));
    created.unwrap_or(Ok(()))
}

/// Publishes a client's message.
async fn publish_for(session: &Session, publish: Publish) {
    let Publish {
        reference,
        topic,
        key,
        message,
    } = publish;
    let published = async {
        let topics = session.topics();
        let body = permit_publish(topics, session, &topic, Body::from(Outgoing::from(message)))
            .await
            .map_err(|denied| PublishError::Denied(denied.into_text()))?;
        let rules = topics.0.rules(&topic).map_err(PublishError::Denied)?;
        // Without history nothing is kept of the topic.
        if !rules.history.is_off() {
            create(session, &topic)?;
        }
        // The client gives a key to each message. Without history there is nothing to compare it with.
        let key = key.filter(|_| !rules.history.is_off());
        let key = key.map(|key| PublishKey {
            scope: match session.principal() {
                Some(principal) => KeyScope::Principal(principal.into()),
                None => KeyScope::Client,
            },
            key: key.into(),
        });
        Ok::<_, Failure>(topics.publish_as_client(&topic, body, key).await?)
    };
    match published.await {
        Ok(published) => {
            let position = published.position();
            session
                .answer(|machine| machine.published(reference, position))
                .await;
        }
        Err(failure) => session.fail(reference, failure).await,
    }
}

async fn who(session: &Session, reference: Reference, topic: &TopicName, max: Option<u32>) {
    let members = async {
        session.check_subscribed(topic)?;
        let max = max.map_or(usize::MAX, |max| max as usize);
        let members = session.topics().members_for_clients(topic, max).await;
        members.map_err(Failure::from)
    };
    match members.await {
        Ok(listed) => {
            session
                .answer(|machine| machine.members(reference, &listed.members, listed.all))
                .await;
        }
        Err(failure) => session.fail(reference, failure).await,
    }
}

async fn count(session: &Session, reference: Reference, topic: &TopicName) {
    let counted = async {
        session.check_subscribed(topic)?;
        let counted = session.topics().count(topic).await;
        counted.map_err(Failure::from)
    };
    match counted.await {
        Ok(count) => {
            session
                .answer(|machine| machine.counted(reference, count))
                .await
        }
        Err(failure) => session.fail(reference, failure).await,
    }
}

impl Session {
    /// Waits while as much waits to be sent as the outbox takes. The hub answers a join whatever the limit says, so a client
    /// that reads nothing may not go on asking.
    async fn wait_for_room(&self) {
        let mailbox = self.mailbox();
        if mailbox.bytes() >= mailbox.limit() / 2 {
            // If the connection is closing, nothing wants the answer.
            let _ = mailbox.flush().await;
        }
    }

    /// A client may ask only about topics that it subscribes to.
    fn check_subscribed(&self, topic: &str) -> Result<(), Failure> {
        let part = self.topics_part();
        if part.is_some_and(|part| lock(&part.memberships).contains(topic)) {
            Ok(())
        } else {
            Err(Failure::new(
                ErrorCode::Denied,
                "not a subscriber of the topic",
            ))
        }
    }

    /// Sends an answer when the outbox has room for it. So a client that reads nothing can ask for nothing more.
    async fn answer(&self, answer: impl FnOnce(&mut ServerMachine) -> Option<Text>) {
        let frame = self.with_machine(answer);
        if let Some(frame) = frame.flatten() {
            self.send_frame(frame).await;
        }
    }

    async fn fail(&self, reference: Reference, failure: Failure) {
        let reply = self.with_machine(|machine| machine.failed(reference, failure, now()));
        self.reply(reply.flatten()).await;
    }

    async fn reply(&self, reply: Option<Reply>) {
        let Some(Reply { frame, close }) = reply else {
            return;
        };
        if let Some(frame) = frame {
            self.send_frame(frame).await;
        }
        if let Some(reason) = close {
            self.mailbox().close(reason);
        }
    }

    async fn send_frame(&self, frame: Text) {
        let item = Item::Message(Message::Text(frame).into());
        // If the connection is closing, nothing wants the answer.
        let _ = self.mailbox().send(item).until_taken().await;
    }
}
