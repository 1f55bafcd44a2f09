//! Subscribers that read too slowly.

use super::*;
use crate::topics::{History, SlowSubscriber};

const LIMIT: usize = 64 << 10;

impl World {
    fn slow(&self) -> Client {
        let client = self.open(None, None, |opened| opened.outbox_limit = LIMIT);
        client.peer.close_window(0);
        client
    }
}

/// Publishes twice what an outbox takes, and returns the messages.
async fn flood(world: &World, topic: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for n in 0..64 {
        messages.push(format!("{n:02} {}", "x".repeat(4093)));
        world.publish(topic, messages.last().unwrap()).await;
        idle().await;
    }
    messages
}

/// Lets two subscribers join, one of which reads nothing while messages come. Returns what it reads later, and its Close.
async fn read_late(policy: Policy) -> (Vec<String>, Vec<String>, Option<u16>) {
    let world = World::with(policy);
    let (slow, fast) = (world.slow(), world.raw());
    for client in [&slow, &fast] {
        client.session.subscribe("a/1").await.unwrap();
    }
    let messages = flood(&world, "a/1").await;
    assert_eq!(fast.read().await, messages, "the other gets all");
    slow.peer.remove_window();
    idle().await;
    let frames = slow.peer.frames();
    let (closes, frames): (Vec<_>, Vec<_>) =
        frames.into_iter().partition(|frame| frame.first == CLOSE);
    let texts = frames.iter().map(|frame| frame.text().to_owned()).collect();
    (messages, texts, closes.first().map(Frame::code))
}

#[tokio::test(start_paused = true)]
async fn on_a_topic_with_a_window_it_is_closed_behind_what_found_room() {
    let policy = Policy::new().history(History::window(100, HOUR));
    let (messages, texts, close) = read_late(policy).await;
    assert_eq!(close, Some(1013));
    assert!(texts.len() < messages.len());
    assert_eq!(texts, messages[..texts.len()]);
}

#[tokio::test(start_paused = true)]
async fn on_a_topic_with_a_latest_value_it_gets_the_newest_alone() {
    let policy = Policy::new().history(History::latest());
    let (messages, texts, close) = read_late(policy).await;
    assert_eq!(close, None);
    // A write may have begun before the transport was full.
    assert!(texts.len() <= 2, "{}", texts.len());
    assert_eq!(texts.last(), messages.last());
}

#[tokio::test(start_paused = true)]
async fn on_a_topic_without_history_the_policy_decides() {
    let policy = |then| Policy::new().slow_subscriber(then);
    let (messages, texts, close) = read_late(policy(SlowSubscriber::Close)).await;
    assert_eq!(close, Some(1013));
    assert_eq!(texts, messages[..texts.len()]);

    let (messages, texts, close) = read_late(policy(SlowSubscriber::DropNewest)).await;
    assert_eq!(close, None);
    assert!(texts.len() < messages.len());
    assert_eq!(texts, messages[..texts.len()]);

    let (messages, texts, close) = read_late(policy(SlowSubscriber::DropOldest)).await;
    assert_eq!(close, None);
    assert!(texts.len() < messages.len());
    assert_eq!(texts.last(), messages.last());
    let mut rest = messages.iter();
    let is_in_order = texts.iter().all(|text| rest.any(|message| message == text));
    assert!(is_in_order, "{texts:?}");
}
