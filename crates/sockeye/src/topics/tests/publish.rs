//! Publishing by server code.

use std::error::Error as _;

use sockeye_proto::Outgoing;
use sockeye_pubsub::{MemoryEngine, MemoryLimits, PublishError};

use super::*;
use crate::endpoint::Encoder;
use crate::topics::surroundings::Real;

#[tokio::test(start_paused = true)]
async fn a_published_message_has_its_position_in_the_history() {
    let world = World::with(kept(3));
    let first = world.publish("a/1", "1").await.unwrap();
    let second = world.publish("a/1", "2").await.unwrap();
    assert_eq!((first.epoch, first.offset), (second.epoch, 1));
    assert_eq!(second.offset, 2);
    assert_ne!(first.id, second.id);
    assert_eq!(world.publish("b", "no history").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_publish_repeated_with_its_key_is_one_message_for_five_minutes() {
    let world = World::with(kept(3));
    let client = world.raw();
    client.session.subscribe("a/1").await.unwrap();
    let publish = |text: &'static str| world.topics.publish("a/1", text).key("order 7");
    let first = publish("once").await.unwrap();
    assert_eq!(publish("again").await.unwrap(), first);
    let other = world.topics.publish("a/1", "other key").key("order 8");
    assert_ne!(other.await.unwrap(), first);
    tokio::time::advance(Duration::from_secs(301)).await;
    assert_ne!(publish("later").await.unwrap(), first);
    assert_eq!(client.read().await, ["once", "other key", "later"]);
}

#[tokio::test(start_paused = true)]
async fn queued_messages_keep_their_order_and_tell_their_positions() {
    for is_networked in [false, true] {
        let builder = Topics::builder().pattern("a/**", kept(100));
        let builder = if is_networked {
            builder.engine(MemoryEngine::new(MemoryLimits::default(), Arc::new(Real)))
        } else {
            builder
        };
        let world = World::new(builder.build().unwrap());
        idle().await;
        let client = world.raw();
        client.session.subscribe("a/1").await.unwrap();
        let queue = |n: u64| world.topics.publish("a/1", n.to_string()).queue().unwrap();
        let handles: Vec<_> = (1..=50).map(queue).collect();
        for (handle, offset) in handles.into_iter().zip(1..) {
            assert_eq!(handle.await.unwrap().position().unwrap().offset, offset);
        }
        let expected: Vec<_> = (1..=50).map(|n| n.to_string()).collect();
        assert_eq!(client.read().await, expected);
    }
}

/// A price, which is encoded as a text. A negative one cannot be encoded.
struct Price(i32);

impl Encoder for Price {
    type Error = &'static str;

    fn encode(&self) -> Result<Outgoing, &'static str> {
        match self.0 {
            0.. => Ok(Outgoing::uncompressed(format!("{} EUR", self.0))),
            _ => Err("a negative price"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_encoded_and_an_error_of_its_encoder_comes_at_the_await() {
    let world = World::with(kept(3));
    let client = world.raw();
    client.session.subscribe("a/1").await.unwrap();
    world.topics.publish_object("a/1", Price(7)).await.unwrap();
    let failing = world.topics.publish_object("a/1", Price(-1));
    let error = failing.await.unwrap_err();
    assert!(error.to_string().contains("a negative price"), "{error}");
    let queued = world.topics.publish_object("a/1", Price(-1)).queue();
    assert!(matches!(queued, Err(PublishError::Encode(_))));
    assert_eq!(client.read().await, ["7 EUR"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_is_an_error_and_reaches_no_subscriber() {
    let policy = kept(3).max_message(10);
    let topics = Topics::builder()
        .strict()
        .pattern("a/**", policy)
        .pattern("off", Policy::new());
    let world = World::new(topics.build().unwrap());
    let client = world.raw();
    for topic in ["a/1", "off"] {
        client.session.subscribe(topic).await.unwrap();
    }
    let long = "k".repeat(256);
    let publish = |topic: &'static str, text: &'static str| world.topics.publish(topic, text);
    let no_history = PublishError::Key("the topic has no history");
    let length = PublishError::Key("a key has 1 to 255 bytes");
    let too_large = PublishError::TooLarge { len: 11, limit: 10 };
    for (publish, expected) in [
        (publish("a/1", "eleven byte"), too_large),
        (publish("off", "x").key("k"), no_history),
        (publish("a/1", "x").key(""), length.clone()),
        (publish("a/1", "x").key(long), length),
    ] {
        assert_eq!(publish.await.unwrap_err(), expected);
    }
    let invalid = publish("a//b", "x").await.unwrap_err();
    assert!(matches!(invalid, PublishError::Invalid(_)));
    assert!(invalid.source().is_some());
    let unmatched = publish("b", "x").await.unwrap_err();
    let text = "the publish is denied: no pattern matches the topic `b`";
    assert_eq!(unmatched.to_string(), text);
    publish("a/1", "ten bytes.").await.unwrap();
    assert_eq!(client.read().await, ["ten bytes."]);
}

#[test]
fn the_memory_engine_needs_no_runtime_to_publish() {
    let topics = Topics::builder().pattern("a/**", kept(3)).build().unwrap();
    let handle = topics.publish("a/1", "x").queue().unwrap();
    drop(handle);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let since = sockeye_pubsub::engine::Since::Recent(5);
    let history = runtime.block_on(topics.history("a/1", since)).unwrap();
    assert!(format!("{history:?}").contains("offset: 1"), "{history:?}");
}
