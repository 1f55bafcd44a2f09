//! Code of the application never runs while a topic is locked: it may use the same topic.

use std::future::IntoFuture;

use super::*;
use crate::topics::{Authorize, Clients, Denied, Grant, Subscribers, Topic};

/// A property whose drop publishes.
struct Publishes(Topics);

impl Drop for Publishes {
    fn drop(&mut self) {
        let published = self.0.publish("a/1", "goodbye").queue();
        assert!(published.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn the_properties_of_an_evicted_session_may_publish_when_they_are_dropped() {
    let world = World::with(kept(3));
    let listener = world.raw();
    listener.session.subscribe("a/1").await.unwrap();
    let leaving = world.raw();
    let bye = Publishes(world.topics.clone());
    leaving.session.properties().insert(bye);
    leaving.session.subscribe("a/1").await.unwrap();
    let id = leaving.session.id();
    leaving.peer.end();
    idle().await;
    assert!(leaving.is_gone());
    let Client { session, .. } = leaving;
    drop(session);
    world.topics.evict("a/1", Subscribers::Session(id)).await;
    assert_eq!(listener.read().await, ["goodbye"]);
}

/// Never decides.
struct Never;

impl Authorize for Never {
    async fn subscribe(&self, _: &Session, _: &Topic) -> Result<Grant, Denied> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_that_waits_for_a_permission_is_evicted() {
    let topics = Topics::builder()
        .pattern("a/**", kept(3).clients(Clients::subscribe()))
        .authorize(Never);
    let world = World::new(topics.build().unwrap());
    let client = world.raw();
    let subscribing = client.session.subscribe("a/1").as_client().into_future();
    let evicting = async {
        idle().await;
        world.topics.evict("a/1", Subscribers::All).await.ended_here
    };
    let (subscribed, ended) = tokio::join!(subscribing, evicting);
    assert_eq!(ended, 1);
    assert_eq!(
        subscribed.unwrap_err(),
        sockeye_pubsub::SubscribeError::Evicted
    );
    let ended = world.topics.evict("a/1", Subscribers::All).await.ended_here;
    assert_eq!(ended, 0, "nothing is left of the join");
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_of_a_session_goes_while_nothing_is_locked() {
    let world = World::with(kept(3));
    let listener = world.raw();
    listener.session.subscribe("a/1").await.unwrap();
    let leaving = world.raw();
    let bye = Publishes(world.topics.clone());
    leaving.session.properties().insert(bye);
    let joining = crate::topics::joining::Joining::new(&leaving.session, 0);
    leaving.peer.end();
    idle().await;
    drop(leaving);
    // As the hub drops a join: its shard is locked.
    let dropped = world.topics.0.hub.with("a/1", |_| drop(joining));
    assert!(dropped.is_some());
    assert_eq!(listener.read().await, [""; 0]);
    world.publish("a/1", "hello").await;
    assert_eq!(listener.read().await, ["hello", "goodbye"]);
}
