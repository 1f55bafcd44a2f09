//! Replays: their room in the outbox, and their order with live messages.

use super::*;
use crate::topics::{Clients, History, Recovery, SubscribeError};

const LIMIT: usize = 64 << 10;

/// Topics whose histories are as large as a session with this limit allows.
fn world() -> World {
    let history = History::window(1000, HOUR).bytes(LIMIT / 2);
    let policy = Policy::new().history(history).max_message(8 << 10);
    World::with(policy.clients(Clients::subscribe()))
}

async fn fill(world: &World, topics: usize, messages: usize, len: usize) {
    for topic in 0..topics {
        for n in 0..messages {
            let message = format!("{n:04} {}", "x".repeat(len - 5));
            world.publish(&format!("a/{topic}"), &message).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_of_many_topics_waits_for_room_and_closes_nothing() {
    let world = world();
    fill(&world, 20, 7, 4096).await;
    let subprotocol = Some(crate::endpoint::envelope::SUBPROTOCOL);
    let client = world.open(subprotocol, None, |opened| opened.outbox_limit = LIMIT);
    client.peer.close_window(0);
    for topic in 0..20 {
        let header = format!(
            "{{\"sub\":\"a/{topic}\",\"ref\":{},\"recent\":99}}\n",
            topic + 1
        );
        client.peer.segment(masked(TEXT, header));
    }
    let mut most = 0;
    for _ in 0..2000 {
        idle().await;
        most = most.max(client.session.mailbox().bytes());
        client.peer.open_window(1000);
    }
    client.peer.remove_window();
    let frames = client.read().await;
    let answered = frames.iter().filter(|frame| frame.contains("\"missed\":7"));
    assert_eq!(answered.count(), 20);
    let replayed = frames.iter().filter(|frame| frame.starts_with("{\"m\""));
    assert_eq!(replayed.count(), 20 * 7);
    assert!(most <= LIMIT / 2 + 2048, "{most} bytes waited");
    assert!(client.session.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_join_waits_ten_seconds_for_room_and_is_unavailable_then() {
    let world = world();
    fill(&world, 2, 7, 4096).await;
    let client = world.open(None, None, |opened| opened.outbox_limit = LIMIT);
    client.peer.close_window(0);
    client.session.subscribe("a/0").recent(99).await.unwrap();
    let begin = tokio::time::Instant::now();
    let error = client
        .session
        .subscribe("a/1")
        .recent(99)
        .await
        .unwrap_err();
    assert!(matches!(error, SubscribeError::Unavailable { .. }));
    assert_eq!(begin.elapsed().as_secs(), 10);
    // Without a replay a join needs no room.
    client.session.subscribe("a/1").await.unwrap();
    client.session.unsubscribe("a/1");
    client.peer.remove_window();
    idle().await;
    client.session.subscribe("a/1").recent(99).await.unwrap();
    assert!(client.session.is_open());
}

#[tokio::test(start_paused = true)]
async fn many_short_messages_replay_as_far_as_they_fit_and_a_live_one_finds_room() {
    let world = world();
    fill(&world, 1, 1000, 10).await;
    let client = world.open(None, None, |opened| opened.outbox_limit = LIMIT);
    client.peer.close_window(0);
    let subscribed = client.session.subscribe("a/0").recent(1000).await.unwrap();
    let fit = LIMIT / 2 / 64;
    assert_eq!(subscribed.position().unwrap().offset, 1000 - fit as u64);
    world.publish("a/0", "live").await;
    assert!(client.session.is_open());
    client.peer.remove_window();
    let texts = client.read().await;
    assert_eq!(texts.len(), fit + 1);
    assert_eq!(texts.last().unwrap(), "live");
}

#[tokio::test(start_paused = true)]
async fn a_position_before_more_messages_than_fit_is_lost() {
    let world = world();
    fill(&world, 1, 10, 10).await;
    let behind = world.publish("a/0", "x").await.unwrap();
    fill(&world, 1, 900, 10).await;
    let near = world.publish("a/0", "near").await.unwrap();
    let last = world.publish("a/0", "last").await.unwrap();
    for (after, recovery, at) in [
        (behind, Recovery::Lost, last),
        (near, Recovery::Recovered { missed: 1 }, near),
    ] {
        let client = world.open(None, None, |opened| opened.outbox_limit = LIMIT);
        let subscribed = client.session.subscribe("a/0").after(after).await.unwrap();
        assert_eq!(
            (subscribed.recovery(), subscribed.position()),
            (recovery, Some(at))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn live_messages_come_behind_a_replay_that_waits() {
    let world = world();
    fill(&world, 1, 7, 4096).await;
    let client = world.open(None, None, |opened| opened.outbox_limit = LIMIT);
    client.peer.close_window(0);
    client.session.subscribe("a/0").recent(5).await.unwrap();
    for n in 0..3 {
        world.publish("a/0", &format!("live {n}")).await;
    }
    client.peer.remove_window();
    let texts = client.read().await;
    let begins: Vec<_> = texts.iter().map(|text| &text[..4]).collect();
    let expected = [
        "0002", "0003", "0004", "0005", "0006", "live", "live", "live",
    ];
    assert_eq!(begins, expected);
}

#[tokio::test(start_paused = true)]
async fn the_replays_of_a_node_take_64_mib_and_a_join_beyond_is_unavailable() {
    const ROOM: usize = 64 << 20;
    const FREE: usize = 16 << 10;
    let history = History::window(100, HOUR).bytes(512 << 10);
    let policy = Policy::new().history(history).max_message(64 << 10);
    let world = World::with(policy.clients(Clients::subscribe()));
    fill(&world, 1, 9, 50 << 10).await;
    let silent = || {
        let client = world.open(None, None, |_| {});
        client.peer.close_window(0);
        client
    };
    let taken = 9 * (50 << 10) - FREE;
    let mut crowd = Vec::new();
    for _ in 0..ROOM / taken {
        let client = silent();
        client.session.subscribe("a/0").recent(9).await.unwrap();
        crowd.push(client);
    }
    // One replay more exceeds the room.
    let late = silent();
    let subscribe = || async { late.session.subscribe("a/0").recent(9).await };
    let error = subscribe().await.unwrap_err();
    assert!(matches!(error, SubscribeError::Unavailable { .. }));
    let client = world.enveloped().await;
    let header = "{\"sub\":\"a/0\",\"ref\":1,\"recent\":9}";
    let answer = client.ask(header).await;
    assert!(answer[0].contains("\"code\":\"unavailable\""), "{answer:?}");
    // The others are not disturbed: short replays, and live messages.
    world.publish("a/0", "short").await;
    let short = world.raw();
    short.session.subscribe("a/0").recent(1).await.unwrap();
    world.publish("a/0", "live").await;
    assert_eq!(short.read().await, ["short", "live"]);
    // Written replays give their room back, and so do sessions that end.
    crowd[0].peer.remove_window();
    idle().await;
    subscribe().await.unwrap();
    assert!(client.ask(&header.replace("\"ref\":1", "\"ref\":2")).await[0].contains("unavailable"));
    crowd[1].session.abort();
    idle().await;
    let answer = client.ask(&header.replace("\"ref\":1", "\"ref\":3")).await;
    assert!(answer[0].starts_with("{\"ok\":3"), "{}", answer[0]);
}
