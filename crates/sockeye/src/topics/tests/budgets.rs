//! The budgets of a client: requests, publishes, and new topics.

use super::*;
use crate::topics::Clients;

/// Sends requests without waiting for their answers, and returns how many answers have each code. An answer without a code
/// is `ok`.
async fn burst(client: &Client, requests: impl Iterator<Item = String>) -> (usize, usize) {
    for request in requests {
        client.peer.segment(masked(TEXT, request));
    }
    let frames = client.read().await;
    let count = |text: &str| frames.iter().filter(|frame| frame.contains(text)).count();
    (count("{\"ok\":"), count("\"code\":\"rate\""))
}

fn publishes(topic: &str, range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    let topic = topic.to_owned();
    range.map(move |n| format!("{{\"pub\":\"{topic}\",\"ref\":{n}}}\nx"))
}

fn open() -> World {
    World::with(Policy::new().clients(Clients::publish()))
}

#[tokio::test(start_paused = true)]
async fn a_client_publishes_200_at_once_and_then_100_a_second() {
    let world = open();
    let client = world.enveloped().await;
    let answers = burst(&client, publishes("a/1", 1..251)).await;
    assert_eq!(answers, (200, 50));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (ok, refused) = burst(&client, publishes("a/1", 1..121)).await;
    assert!((100..=101).contains(&ok), "{ok} and {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_client_asks_256_times_at_once_and_then_10_times_a_second() {
    let world = open();
    let client = world.enveloped().await;
    client.session.subscribe("a/1").await.unwrap();
    let counts =
        |range: std::ops::Range<u32>| range.map(|n| format!("{{\"count\":\"a/1\",\"ref\":{n}}}\n"));
    assert_eq!(burst(&client, counts(1..301)).await, (256, 44));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (ok, _) = burst(&client, counts(1..31)).await;
    assert!((10..=11).contains(&ok), "{ok}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_too_fast_is_told_when_to_come_back() {
    let world = open();
    let client = world.enveloped().await;
    for request in publishes("a/1", 1..500) {
        client.peer.segment(masked(TEXT, request));
    }
    idle().await;
    let frames = client.peer.frames();
    let [.., bye, close] = &frames[..] else {
        panic!("{frames:?}");
    };
    assert_eq!(bye.text(), "{\"bye\":1,\"after\":[5000,20000]}\n");
    assert_eq!(close.code(), 1013);
    let refused = frames
        .iter()
        .filter(|frame| String::from_utf8_lossy(&frame.payload).contains("\"code\":\"rate\""));
    assert_eq!(refused.count(), 199);
}

#[tokio::test(start_paused = true)]
async fn a_client_creates_128_topics_at_once_and_then_60_a_minute() {
    let world = World::with(kept(3).clients(Clients::publish()));
    let client = world.enveloped().await;
    let new = |range: std::ops::Range<u32>| {
        range.map(|n| format!("{{\"pub\":\"a/{n}\",\"ref\":{n}}}\nx"))
    };
    assert_eq!(burst(&client, new(1..151)).await, (128, 22));
    // The topics exist now, so they have no budget.
    assert_eq!(burst(&client, new(1..40)).await, (39, 0));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (ok, _) = burst(&client, new(201..231)).await;
    assert!((10..=11).contains(&ok), "{ok}");
}

#[tokio::test(start_paused = true)]
async fn a_publish_without_history_creates_no_topic() {
    let world = open();
    let client = world.enveloped().await;
    let other = (1..181).map(|n| format!("{{\"pub\":\"a/{n}\",\"ref\":{n}}}\nx"));
    assert_eq!(burst(&client, other).await, (180, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_cannot_go_on_subscribing() {
    let world = World::with(kept(3).clients(Clients::subscribe()));
    let subprotocol = Some(crate::endpoint::envelope::SUBPROTOCOL);
    let client = world.open(subprotocol, None, |opened| opened.outbox_limit = 8 << 10);
    client.peer.close_window(0);
    for n in 1..2000 {
        client
            .peer
            .segment(masked(TEXT, format!("{{\"sub\":\"a/1\",\"ref\":{n}}}\n")));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waiting = client.session.mailbox().bytes();
    assert!(waiting <= 8 << 10, "{waiting} bytes");
    assert!(client.peer.unread() > 1000, "the server reads no more");
}
