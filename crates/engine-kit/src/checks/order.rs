//! Checks of order: positions, the chain of messages, and what a message carries.

use std::time::Duration;

use sockeye_proto::Message;
use sockeye_pubsub::engine::Since;
use sockeye_pubsub::{Body, Delivered, History, TopicName};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, texts, window};
use super::poll::all;

/// The offsets of one topic are 1, 2, 3, and so on, in one epoch.
pub(super) async fn offsets_rise_by_one(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let positions = ground.publish(&topic, window(), 5).await?;
    let offsets: Vec<u64> = positions.iter().map(|at| at.offset).collect();
    ensure_eq!(offsets, [1, 2, 3, 4, 5], "the offsets of five publishes");
    ensure!(
        positions.iter().all(|at| at.epoch == positions[0].epoch),
        "five publishes to one topic have several epochs"
    );
    Ok(())
}

/// The answer to a publish, the delivered message and the stored message have the id that the publisher drew.
pub(super) async fn ids_are_the_drawn_ones(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let message = ground.message("1");
    let id = message.id;
    let at = ground.node().store(&topic, message, window()).await?;
    ensure_eq!(at.id, Some(id), "the id in the answer to a publish");
    let entries = ground.entries(ground.node(), &topic, 1).await?;
    ensure_eq!(
        entries[0].position,
        at,
        "the position of the message that came"
    );
    let read = ground
        .node()
        .whole(&topic, Since::Recent(1), window())
        .await?;
    ensure_eq!(
        read.positions(),
        [at],
        "the position of the message that was read"
    );
    Ok(())
}

/// Each message that comes names the id of the message before it. The first one names none.
pub(super) async fn messages_name_the_one_before(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    ground.publish(&topic, window(), 5).await?;
    for node in &ground.nodes {
        let entries = ground.entries(node, &topic, 5).await?;
        ensure_eq!(
            entries[0].previous,
            None,
            "the message before the first one"
        );
        for pair in entries.windows(2) {
            ensure_eq!(
                pair[1].previous,
                pair[0].position.id,
                "the message before {}",
                pair[1].position
            );
        }
    }
    Ok(())
}

/// The messages of one topic come in its order.
pub(super) async fn messages_come_in_order(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let positions = ground.publish(&topic, window(), 20).await?;
    for node in &ground.nodes {
        let entries = ground.entries(node, &topic, 20).await?;
        let came: Vec<_> = entries.iter().map(|entry| entry.position).collect();
        ensure_eq!(came, positions, "the order in which messages came");
    }
    Ok(())
}

/// Text stays text and binary stays binary. An empty message stays a message. What may not be compressed stays so.
pub(super) async fn content_travels_unchanged(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let bodies = bodies();
    for body in &bodies {
        let message = ground.message_of(body.clone());
        ground.node().store(&topic, message, window()).await?;
    }
    let came = ground.entries(ground.other(), &topic, bodies.len()).await?;
    judge_bodies("came", came.iter().map(|entry| &entry.body), &bodies)?;
    let read = ground
        .node()
        .whole(&topic, Since::Recent(10), window())
        .await?;
    judge_bodies(
        "was read",
        read.entries.iter().map(|entry| &entry.body),
        &bodies,
    )
}

/// The same holds without history.
pub(super) async fn unstored_content_travels_unchanged(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let bodies = bodies();
    for body in &bodies {
        ground
            .node()
            .send(&topic, ground.message_of(body.clone()))
            .await?;
    }
    let came = ground
        .delivered(ground.other(), &topic, bodies.len())
        .await?;
    judge_bodies(
        "came without history",
        came.iter().map(Delivered::body),
        &bodies,
    )
}

fn bodies() -> Vec<Body> {
    let messages = [
        (Message::text("text with 0 \u{0} and \u{1f41f}\n"), true),
        (Message::binary(vec![0, 10, 13, 255]), true),
        (Message::text(""), true),
        (Message::binary(vec![]), true),
        (Message::text("not to be compressed"), false),
        (Message::binary(vec![1]), false),
    ];
    let bodies = messages.into_iter().map(|(message, compressible)| Body {
        message,
        compressible,
    });
    bodies.collect()
}

fn judge_bodies<'e>(
    how: &str,
    found: impl Iterator<Item = &'e Body>,
    expected: &[Body],
) -> Result<(), Failure> {
    let found: Vec<&Body> = found.collect();
    let expected: Vec<&Body> = expected.iter().collect();
    ensure_eq!(found, expected, "the content that {how}");
    Ok(())
}

/// A message of 64 KiB comes whole, and is stored whole.
pub(super) async fn a_large_message_travels_whole(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let text: String = (0u32..)
        .flat_map(|n| char::from_digit(n % 36, 36))
        .take(64 << 10)
        .collect();
    let message = ground.message(text.clone());
    ground.node().store(&topic, message, window()).await?;
    let came = ground.entries(ground.other(), &topic, 1).await?;
    ensure!(
        texts([&came[0].body]) == [&text],
        "a message of {} bytes came with {} bytes",
        text.len(),
        came[0].body.len()
    );
    let read = ground
        .node()
        .whole(&topic, Since::Recent(1), window())
        .await?;
    ensure!(
        texts(read.entries.iter().map(|entry| &entry.body)) == [&text],
        "a message of {} bytes was stored otherwise",
        text.len()
    );
    Ok(())
}

/// Topics with similar names have their own positions and messages.
pub(super) async fn topics_do_not_mix(ground: &Ground<'_>) -> Result<(), Failure> {
    let base = ground.topic();
    let similar = |suffix: &str| TopicName::new(format!("{base}{suffix}")).expect("a valid name");
    let topics = [
        similar(""),
        similar("/a"),
        similar("/A"),
        similar("a"),
        similar(" "),
    ];
    for topic in &topics {
        ground.listen(topic).await?;
    }
    for topic in &topics {
        let message = ground.message(topic.as_str());
        let at = ground.node().store(topic, message, window()).await?;
        ensure_eq!(at.offset, 1, "the offset of the first message of {topic:?}");
    }
    for topic in &topics {
        ground.entries(ground.other(), topic, 1).await?;
        let came = ground.all(ground.other(), topic).await;
        let came = texts(came.iter().map(|delivered| delivered.body()));
        ensure_eq!(came, [topic.as_str()], "the messages of {topic:?}");
    }
    Ok(())
}

/// Two nodes that publish at once see one order: the engine's.
pub(super) async fn nodes_see_one_order(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let count = 20;
    let publishers = ground.nodes.iter().map(async |node| {
        for _ in 0..count {
            node.store(&topic, ground.message("m"), window()).await?;
        }
        Ok::<(), Failure>(())
    });
    for published in all(publishers).await {
        published?;
    }
    let count = count * ground.nodes.len();
    let since = Since::Recent(u32::try_from(count).unwrap_or(u32::MAX));
    let stored = ground.node().whole(&topic, since, window()).await?;
    for node in &ground.nodes {
        let came = ground.entries(node, &topic, count).await?;
        ensure_eq!(
            came,
            stored.entries,
            "the order that {} saw",
            node.info.name
        );
    }
    Ok(())
}

/// A window of another length does not change positions: the engine takes the history from each publish.
pub(super) async fn a_history_that_changes_keeps_positions(
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    let topic = ground.topic();
    let first = ground.publish(&topic, window(), 3).await?;
    let shorter = History::window(2, Duration::from_secs(3600));
    let second = ground.publish(&topic, shorter, 1).await?;
    ensure_eq!(
        second[0].offset,
        4,
        "the offset behind a change of the history"
    );
    ensure_eq!(
        second[0].epoch,
        first[0].epoch,
        "the epoch behind a change of the history"
    );
    Ok(())
}
