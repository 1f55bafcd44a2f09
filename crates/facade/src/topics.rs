//! Topics: what the handle, a session and a subscription return, and what decides about clients.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sockeye::endpoint::{EndpointConfig, SessionId};
use sockeye::proto::Outgoing;
use sockeye::server::ServerBuilder;
use sockeye::topics::{
    Authorize, Body, Catchup, Clients, Denied, EngineError, EngineErrorKind, EngineState, Entry,
    Epoch, Evicted, Gap, Grant, History, InvalidMemberId, InvalidPosition, InvalidTopicName, Kept,
    Known, Member, MemberId, Members, MessageId, Policy, Position, Presence, Publish, PublishError,
    PublishHandle, Published, Publishing, Recovery, Since, SlowSubscriber, Subscribe,
    SubscribeError, Subscribed, Subscribers, Topic, TopicsBuilder, TopicsError, WasPublished,
};
use sockeye::{Error, Message, Session, Topics};

/// Names what topics are made of.
pub fn topics(server: ServerBuilder, endpoint: EndpointConfig) -> Option<ServerBuilder> {
    let history: History = History::window(100, Duration::from_secs(3600));
    let _: Kept = history.kept();
    let presence: Presence = Presence::members(500);
    let _: Known = presence.known();
    let clients: Clients = Clients::subscribe();
    let policy: Policy = Policy::new().history(history).presence(presence);
    let policy: Policy = policy
        .clients(clients)
        .slow_subscriber(SlowSubscriber::Close);
    let builder: TopicsBuilder = Topics::builder().pattern("room/{id}", policy);
    let topics: Result<Topics, TopicsError> = builder.build();
    match topics {
        Ok(topics) => Some(server.topics(topics).endpoint(endpoint.topics())),
        Err(error) => {
            let _: Error = error.into();
            None
        }
    }
}

/// Names what the handle returns.
pub async fn handle(topics: Topics, id: SessionId) {
    let _: Result<(), EngineError> = topics.start().await;
    let state: EngineState = topics.state();
    if let EngineState::Degraded(why) = state {
        let _: &'static str = why;
    }
    let publish: Publish<'_> = topics.publish("room/42", "hello").key("1");
    let handle: Result<PublishHandle, PublishError> = publish.queue();
    if let Ok(handle) = handle {
        let _: Result<Published, PublishError> = handle.await;
    }
    let publishing: Publishing<'_> = topics.publish("room/42", "hello").into_future();
    let published: Result<Published, PublishError> = publishing.await;
    match published {
        Ok(published) => {
            let _: Option<Position> = published.position();
        }
        Err(PublishError::Engine(error)) => {
            let _: WasPublished = error.published;
            let _: EngineErrorKind = error.kind;
            let _: String = error.text;
        }
        Err(PublishError::Invalid(error)) => {
            let _: InvalidTopicName = error;
        }
        Err(_) => {}
    }
    let _: Result<u64, SubscribeError> = topics.count("room/42").await;
    let _: usize = topics.subscribers("room/42");
    let listed: Result<Members, SubscribeError> = topics.members("room/42", 10).await;
    let _: Option<bool> = listed.as_ref().ok().map(|listed| listed.all);
    for member in listed.into_iter().flat_map(|listed| listed.members) {
        let member: Member = member;
        let id: MemberId = member.id;
        let _: Result<MemberId, InvalidMemberId> = id.to_string().parse();
        let _: Option<Arc<str>> = member.info;
        let _: Option<Arc<str>> = member.principal;
    }
    let evicted: Evicted = topics.evict("room/42", Subscribers::Session(id)).await;
    let _: (usize, usize) = (evicted.acknowledged, evicted.live);
    let history: Result<Catchup, SubscribeError> = topics.history("room/42", Since::Top).await;
    if let Ok(Catchup::Whole { entries, .. }) = history {
        let _: Option<&Entry> = entries.first();
        entries.into_iter().for_each(entry);
    }
    let _: Result<(), EngineError> = topics.stop(Duration::ZERO).await;
}

/// Names the parts of a stored message.
fn entry(entry: Entry) {
    let position: Position = entry.position;
    let _: Epoch = position.epoch;
    let _: Option<MessageId> = entry.previous;
    let _: Result<Position, InvalidPosition> = position.to_string().parse();
    let body: Body = entry.body;
    let _: Message = body.message;
}

/// Names what a session returns.
pub async fn subscriptions(session: &Session, gap: &Gap) {
    let _: bool = session.speaks_topics();
    let _: MemberId = session.member_id();
    let topics: &Topics = session.topics();
    let _: Topics = topics.clone();
    let subscribe: Subscribe<'_> = session.subscribe("room/42").recent(50);
    let subscribed: Result<Subscribed, SubscribeError> = subscribe.await;
    match subscribed {
        Ok(subscribed) => {
            let _: Option<Position> = subscribed.position();
            let _: Recovery = subscribed.recovery();
            let _: &str = subscribed.topic();
        }
        Err(SubscribeError::Unavailable { retry }) => {
            let _: Duration = retry;
        }
        Err(SubscribeError::MemberTooLarge { len, limit }) => {
            let _: (usize, usize) = (len, limit);
        }
        Err(_) => {}
    }
    let _: Vec<String> = session.subscriptions();
    let _: bool = session.unsubscribe(gap.topic());
}

/// Names what decides about clients.
pub async fn authorize(authority: impl Authorize, session: &Session, topic: &Topic) {
    let _: Option<&str> = topic.pattern();
    let _: Option<&str> = topic.variable("id");
    let _: Result<Grant, Denied> = authority.subscribe(session, topic).await;
    let _: Result<Outgoing, Denied> = authority.publish(session, topic, "hello".into()).await;
    let _: Grant = Grant::until(SystemTime::now());
    let _: Denied = Denied::new("log in first");
}
