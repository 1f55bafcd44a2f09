//! Checks of windows: what a read returns, and both sides of each limit.

use std::time::Duration;

use sockeye_pubsub::engine::Since;
use sockeye_pubsub::{History, Position};

use super::failure::{Failure, ensure_eq};
use super::ground::{Ground, Whole, texts, window};

/// `Recent(n)` reads the newest n messages, or all if there are fewer.
pub(super) async fn recent_reads_the_newest(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let positions = ground.publish(&topic, window(), 5).await?;
    for (number, expected) in [(0, 5..5), (1, 4..5), (3, 2..5), (5, 0..5), (9, 0..5)] {
        let read = ground
            .other()
            .whole(&topic, Since::Recent(number), window())
            .await?;
        ensure_eq!(
            read.positions(),
            positions[expected],
            "the newest {number} of five"
        );
        ensure_eq!(read.top, positions[4], "the top of a read");
    }
    Ok(())
}

/// `After` reads all messages behind a position, for each position of the window and for the one before the first.
pub(super) async fn after_reads_all_behind(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let positions = ground.publish(&topic, window(), 5).await?;
    let start = Position::start(positions[0].epoch);
    let all = [&[start][..], &positions].concat();
    for (number, position) in all.into_iter().enumerate() {
        let read = ground
            .other()
            .whole(&topic, Since::After(position), window())
            .await?;
        ensure_eq!(
            read.before,
            position,
            "the begin of a read behind offset {number}"
        );
        ensure_eq!(
            read.positions(),
            positions[number..],
            "the messages behind offset {number} of five"
        );
        let read = texts(read.entries.iter().map(|entry| &entry.body));
        let expected = &["1", "2", "3", "4", "5"][number..];
        ensure_eq!(read, expected, "the content behind offset {number} of five");
    }
    Ok(())
}

/// A window of five messages gives the fifth from the end, and not the sixth.
pub(super) async fn the_count_is_a_limit(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = History::window(5, Duration::from_secs(3600));
    let positions = ground.publish(&topic, history, 8).await?;
    let node = ground.other();
    let read = node
        .whole(&topic, Since::After(positions[2]), history)
        .await?;
    ensure_eq!(
        read.positions(),
        positions[3..],
        "five messages of a window of five"
    );
    let top = positions[7];
    node.lost(
        &topic,
        positions[1],
        history,
        top,
        "six messages of a window of five",
    )
    .await?;
    let read = node.whole(&topic, Since::Recent(8), history).await?;
    ensure_eq!(
        read.positions(),
        positions[3..],
        "the newest eight of a window of five"
    );
    Ok(())
}

/// A message can be read while it is younger than the window's age, and not afterwards.
pub(super) async fn the_age_is_a_limit(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let age = ground.age();
    let history = History::window(100, age);
    let first = ground.publish(&topic, history, 1).await?[0];
    let start = Position::start(first.epoch);
    ground.half(age).await;
    let second = ground.publish(&topic, history, 1).await?[0];
    let node = ground.other();
    let read = node.whole(&topic, Since::After(start), history).await?;
    ensure_eq!(
        read.positions(),
        [first, second],
        "messages that are young enough"
    );
    if ground.has(crate::backend::Capability::Clock) {
        ground.backend.pass(age / 2).await;
        node.lost(&topic, start, history, second, "a message that is too old")
            .await?;
        let read = node.whole(&topic, Since::After(first), history).await?;
        ensure_eq!(
            read.positions(),
            [second],
            "the message that is young enough"
        );
        let read = node.whole(&topic, Since::Recent(9), history).await?;
        ensure_eq!(
            read.positions(),
            [second],
            "the newest messages that are young enough"
        );
    }
    ground.backend.pass(age).await;
    node.lost(&topic, first, history, second, "a message that is too old")
        .await?;
    let read = node.whole(&topic, Since::Recent(9), history).await?;
    ensure_eq!(
        read.positions(),
        [],
        "the messages of a window whose age has passed"
    );
    Ok(())
}

/// The bytes of a window are counted back from the newest message: what fits is read, and one byte more is not.
pub(super) async fn the_bytes_are_a_limit(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = History::window(100, Duration::from_secs(3600)).bytes(30);
    let mut positions = Vec::new();
    for text in ["1234567", "1234567890", "abcdefghij", "ABCDEFGHIJ"] {
        let message = ground.message(text);
        positions.push(ground.node().store(&topic, message, history).await?);
    }
    let node = ground.other();
    let read = node
        .whole(&topic, Since::After(positions[0]), history)
        .await?;
    ensure_eq!(
        read.positions(),
        positions[1..],
        "30 bytes of a window of 30"
    );
    let start = Position::start(positions[0].epoch);
    node.lost(
        &topic,
        start,
        history,
        positions[3],
        "37 bytes of a window of 30",
    )
    .await?;
    let read = node.whole(&topic, Since::Recent(4), history).await?;
    ensure_eq!(
        read.positions(),
        positions[1..],
        "the newest four of a window of 30 bytes"
    );
    Ok(())
}

/// A client at the top of a window misses nothing, also when all messages are too old.
pub(super) async fn the_top_misses_nothing(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let age = ground.age();
    let history = History::window(100, age);
    let positions = ground.publish(&topic, history, 2).await?;
    let top = positions[1];
    let nothing = Whole {
        before: top,
        entries: Vec::new(),
        top,
    };
    let read = ground
        .other()
        .whole(&topic, Since::After(top), history)
        .await?;
    ensure_eq!(read, nothing, "what lies behind the top");
    ground.backend.pass(age + Duration::from_secs(1)).await;
    let read = ground
        .other()
        .whole(&topic, Since::After(top), history)
        .await?;
    ensure_eq!(
        read,
        nothing,
        "what lies behind the top of a window whose age has passed"
    );
    Ok(())
}

/// A client at the top of a window that has aged gets the next message: its chain is unbroken.
pub(super) async fn a_window_goes_on_after_its_age(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let age = ground.age();
    let history = History::window(100, age);
    let old = ground.publish(&topic, history, 2).await?;
    ground.backend.pass(age + Duration::from_secs(1)).await;
    let new = ground.publish(&topic, history, 1).await?;
    ensure_eq!(new[0].offset, 3, "the offset behind an age");
    let node = ground.other();
    let read = node.whole(&topic, Since::After(old[1]), history).await?;
    ensure_eq!(
        read.positions(),
        new,
        "what lies behind the last message before the age"
    );
    node.lost(
        &topic,
        old[0],
        history,
        new[0],
        "a message that is too old, behind an age",
    )
    .await
}

/// A read of many messages is whole, however the engine pages it.
pub(super) async fn a_long_read_is_whole(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = History::window(1000, Duration::from_secs(3600)).bytes(4 << 20);
    let mut positions = Vec::new();
    for _ in 0..800 {
        let message = ground.message("0123456789".repeat(100));
        positions.push(ground.node().store(&topic, message, history).await?);
    }
    let node = ground.other();
    let read = node
        .whole(&topic, Since::After(positions[0]), history)
        .await?;
    ensure_eq!(
        read.entries.len(),
        799,
        "the messages of a read behind the first of 800"
    );
    let read = node.whole(&topic, Since::Recent(700), history).await?;
    ensure_eq!(read.entries.len(), 700, "the newest 700 messages of 800");
    Ok(())
}
