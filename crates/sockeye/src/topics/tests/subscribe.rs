//! Subscribing by server code: replays, order, and the ends of subscriptions.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

#[cfg(feature = "topics-wire")]
use sockeye_proto::{DeflateConfig, DeflatePool};
use sockeye_pubsub::{MemoryEngine, MemoryLimits, SubscribeError};

use super::*;
#[cfg(feature = "topics-wire")]
use crate::connection::Compression;
use crate::topics::surroundings::Real;
use crate::topics::{Authorize, Clients, Denied, Grant, Recovery, Topic};

/// Allocators keep memory of up to about 1 KiB ready for its next use.
#[tokio::test(start_paused = true)]
async fn the_future_of_a_subscription_is_small() {
    let world = World::new(Topics::default());
    let client = world.raw();
    let subscribing = client.session.subscribe("a").into_future();
    let size = size_of_val(&*subscribing);
    assert!(size <= 1024, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_gets_each_later_message_once_and_in_order() {
    let world = World::new(Topics::default());
    let client = world.raw();
    world.publish("a", "before").await;
    let subscribed = client.session.subscribe("a").await.unwrap();
    assert_eq!(subscribed.topic(), "a");
    assert_eq!(
        (subscribed.position(), subscribed.recovery()),
        (None, Recovery::Fresh)
    );
    for n in 0..3 {
        world.publish("a", &n.to_string()).await;
        world.publish("b", "elsewhere").await;
    }
    assert_eq!(client.read().await, ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn recent_messages_come_before_the_live_ones() {
    for (recent, expected) in [
        (2, ["3", "4", "live"].as_slice()),
        (9, &["2", "3", "4", "live"]),
    ] {
        let world = World::with(kept(3));
        for n in 0..5 {
            world.publish("a/1", &n.to_string()).await;
        }
        let client = world.raw();
        let subscribed = client
            .session
            .subscribe("a/1")
            .recent(recent)
            .await
            .unwrap();
        let before = expected[0].parse::<u64>().unwrap();
        assert_eq!(subscribed.position().unwrap().offset, before);
        assert_eq!(subscribed.recovery(), Recovery::Fresh);
        world.publish("a/1", "live").await;
        assert_eq!(client.read().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_messages_behind_a_position_come_if_all_of_them_are_kept() {
    let world = World::with(kept(3));
    let mut positions = Vec::new();
    for n in 1..=6 {
        positions.push(world.publish("a/1", &n.to_string()).await.unwrap());
    }
    let cases: [(usize, Recovery, &[&str]); 4] = [
        (5, Recovery::Recovered { missed: 0 }, &[]),
        (4, Recovery::Recovered { missed: 1 }, &["6"]),
        (2, Recovery::Recovered { missed: 3 }, &["4", "5", "6"]),
        (1, Recovery::Lost, &[]),
    ];
    for (after, recovery, messages) in cases {
        let client = world.raw();
        let subscribing = client.session.subscribe("a/1").after(positions[after]);
        let subscribed = subscribing.await.unwrap();
        assert_eq!(subscribed.recovery(), recovery);
        let at = if messages.is_empty() { 5 } else { after };
        assert_eq!(subscribed.position(), Some(positions[at]));
        assert_eq!(client.read().await, messages);
    }
}

#[tokio::test(start_paused = true)]
async fn to_subscribe_twice_is_one_subscription_and_tells_the_present_position() {
    let world = World::with(kept(3));
    let client = world.raw();
    world.publish("a/1", "1").await;
    client.session.subscribe("a/1").recent(1).await.unwrap();
    let second = world.publish("a/1", "2").await;
    let again = client.session.subscribe("a/1").recent(2).await.unwrap();
    assert_eq!(
        (again.position(), again.recovery()),
        (second, Recovery::Fresh)
    );
    assert_eq!(world.topics.subscribers("a/1"), 1);
    world.publish("a/1", "3").await;
    assert_eq!(client.read().await, ["1", "2", "3"]);
    assert!(client.session.unsubscribe("a/1"));
    assert_eq!(world.topics.subscribers("a/1"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_unsubscribes_gets_nothing_more() {
    let world = World::new(Topics::default());
    let client = world.raw();
    for topic in ["b", "a", "c"] {
        client.session.subscribe(topic).await.unwrap();
    }
    assert_eq!(client.session.subscriptions(), ["a", "b", "c"]);
    assert!(client.session.unsubscribe("b"));
    assert!(!client.session.unsubscribe("b"));
    assert_eq!(client.session.subscriptions(), ["a", "c"]);
    for topic in ["a", "b", "c"] {
        world.publish(topic, topic).await;
    }
    assert_eq!(client.read().await, ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_ends_its_subscriptions() {
    let world = World::with(kept(3));
    let client = world.raw();
    client.session.subscribe("a/1").await.unwrap();
    client.session.subscribe("a/2").await.unwrap();
    client.peer.end();
    idle().await;
    assert!(client.is_gone());
    let subscribers = ["a/1", "a/2"].map(|topic| world.topics.subscribers(topic));
    assert_eq!(subscribers, [0, 0]);
    assert_eq!(client.session.subscriptions(), [""; 0]);
    for topic in ["a/1", "a/3"] {
        let subscribed = client.session.subscribe(topic).await;
        assert_eq!(subscribed.unwrap_err(), SubscribeError::Closed);
        assert_eq!(world.topics.subscribers(topic), 0);
    }
}

/// Allows everything, after it was polled some times.
struct Slow(u32);

impl Authorize for Slow {
    async fn subscribe(&self, _: &Session, _: &Topic) -> Result<Grant, Denied> {
        for _ in 0..self.0 {
            tokio::task::yield_now().await;
        }
        Ok(Grant::default())
    }
}

/// Polls a future some times. Between two polls everything happens that can.
async fn poll_times<F: Future + ?Sized>(
    mut future: Pin<&mut F>,
    times: usize,
) -> Option<F::Output> {
    for _ in 0..times {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return Some(done);
        }
        idle().await;
    }
    None
}

fn networked() -> MemoryEngine {
    MemoryEngine::new(MemoryLimits::default(), Arc::new(Real))
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_given_back_when_its_future_is_dropped_after_any_poll() {
    for is_networked in [false, true] {
        let policy = kept(3).clients(Clients::subscribe());
        let builder = Topics::builder().pattern("a/**", policy).authorize(Slow(3));
        let builder = if is_networked {
            builder.engine(networked())
        } else {
            builder
        };
        let world = World::new(builder.build().unwrap());
        let client = world.raw();
        idle().await;
        for polls in 0..12 {
            let subscribing = client.session.subscribe("a/1").recent(1).as_client();
            let mut subscribing = subscribing.into_future();
            let done = poll_times(subscribing.as_mut(), polls).await;
            drop(subscribing);
            idle().await;
            let subscribers = world.topics.subscribers("a/1");
            assert_eq!(subscribers, usize::from(done.is_some()), "{polls} polls");
            assert_eq!(client.session.subscriptions().len(), subscribers);
            assert!(polls < 11 || done.is_some(), "it ends after few polls");
            client.session.unsubscribe("a/1");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_task_sends_after_an_awaited_publish_comes_behind_the_message() {
    let world = World::with(kept(3));
    let client = world.raw();
    client.session.subscribe("a/1").await.unwrap();
    client.session.subscribe("b").await.unwrap();
    for n in 0..3 {
        world.publish("a/1", &format!("a {n}")).await;
        world.publish("b", &format!("b {n}")).await;
        let own = format!("own {n}");
        client.session.async_remote().send_text(&*own).unwrap();
    }
    let mut texts = client.read().await;
    // Nothing is promised between two topics.
    for pair in texts.chunks_mut(3) {
        pair[..2].sort();
    }
    let expected = (0..3).flat_map(|n| ["a", "b", "own"].map(|from| format!("{from} {n}")));
    assert_eq!(texts, expected.collect::<Vec<_>>());
}

#[cfg(feature = "topics-wire")]
#[tokio::test(start_paused = true)]
async fn raw_enveloped_and_compressed_subscribers_get_the_same_messages() {
    let world = World::with(kept(3));
    let config = DeflateConfig::default();
    let compressed = world.open(None, None, |opened| {
        opened.compression = Some(Compression {
            params: config.answer(&[config.offer()]).unwrap().0,
            config: config.clone(),
            pool: DeflatePool::default(),
        });
    });
    let (raw, enveloped) = (world.raw(), world.enveloped().await);
    for client in [&raw, &enveloped, &compressed] {
        client.session.subscribe("a/1").await.unwrap();
    }
    let text = "compressible ".repeat(20);
    for n in 0..3 {
        world.publish("a/1", &format!("{text}{n}")).await;
    }
    let bodies: Vec<_> = (0..3).map(|n| format!("{text}{n}")).collect();
    assert_eq!(raw.read().await, bodies);
    let frames = enveloped.read().await;
    for (frame, body) in frames.iter().zip(&bodies) {
        assert!(frame.starts_with(r#"{"m":"a/1","at":""#), "{frame}");
        assert_eq!(frame.split_once('\n').unwrap().1, body);
    }
    let frames = compressed.peer.frames();
    let first: Vec<_> = frames.iter().map(|frame| frame.first).collect();
    // RFC 7692 §6.1: RSV1.
    assert_eq!((first, frames.len()), (vec![0x40 | TEXT; 3], 3));
}

#[tokio::test(start_paused = true)]
async fn one_session_subscribes_to_more_topics_than_it_has_bits_for() {
    let world = World::new(Topics::default());
    let client = world.raw();
    let names: Vec<_> = (0..200).map(|n| format!("topic {n}")).collect();
    for name in &names {
        client.session.subscribe(name).await.unwrap();
    }
    for round in 0..3 {
        for name in &names {
            world.publish(name, &format!("{round} {name}")).await;
        }
        let mut texts = client.read().await;
        texts.sort();
        let mut expected: Vec<_> = names.iter().map(|name| format!("{round} {name}")).collect();
        expected.sort();
        assert_eq!(texts, expected);
    }
    for name in names.iter().step_by(2) {
        client.session.unsubscribe(name);
    }
    for name in &names {
        world.publish(name, name).await;
    }
    assert_eq!(client.read().await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_subscribed_to_is_an_error() {
    let topics = Topics::builder()
        .strict()
        .pattern("a/{id}", kept(3).clients(Clients::none()));
    let world = World::new(topics.build().unwrap());
    let session = world.raw().session;
    for name in ["", "a//b", "$a", "a/..", "a\n"] {
        let error = session.subscribe(name).await.unwrap_err();
        assert!(matches!(error, SubscribeError::Invalid(_)), "{name:?}");
    }
    let error = session.subscribe("b").await.unwrap_err();
    let denied = "the subscription is denied: no pattern matches the topic `b`";
    assert_eq!(error.to_string(), denied);
    let error = session.subscribe("a/1").as_client().await.unwrap_err();
    assert!(matches!(error, SubscribeError::Denied(_)));
    assert_eq!(session.subscriptions(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_session_has_at_most_ten_thousand_subscriptions() {
    let world = World::new(Topics::default());
    let session = world.raw().session;
    for n in 0..10_000 {
        session.subscribe(n.to_string()).await.unwrap();
    }
    let error = session.subscribe("one more").await.unwrap_err();
    assert_eq!(error, SubscribeError::TooMany);
    session.subscribe("7").await.unwrap();
    assert_eq!(session.subscriptions().len(), 10_000);
}
