//! Checks of topics that keep the latest value.

use std::time::Duration;

use sockeye_pubsub::engine::{Catchup, Since};
use sockeye_pubsub::{Epoch, History, Position};

use super::failure::{Failure, ensure_eq};
use super::ground::{Ground, texts};

/// A topic with the latest value gives the newest message, whatever position the client has.
pub(super) async fn latest_gives_the_newest(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = History::latest();
    let positions = ground.publish(&topic, history, 3).await?;
    let other = Position {
        epoch: Epoch::new(ground.id().get()),
        ..positions[0]
    };
    let future = Position {
        offset: 9,
        id: Some(ground.id()),
        ..positions[0]
    };
    let start = Position::start(positions[0].epoch);
    for after in [start, positions[0], positions[1], other, future] {
        let read = ground
            .other()
            .whole(&topic, Since::After(after), history)
            .await?;
        ensure_eq!(
            read.positions(),
            positions[2..],
            "the latest value behind {after}"
        );
        let read = texts(read.entries.iter().map(|entry| &entry.body));
        ensure_eq!(read, ["3"], "the content of the latest value");
    }
    let read = ground
        .other()
        .whole(&topic, Since::Recent(5), history)
        .await?;
    ensure_eq!(
        read.positions(),
        positions[2..],
        "the newest five of a topic with one value"
    );
    Ok(())
}

/// A client that has the latest value gets it no second time.
pub(super) async fn latest_repeats_no_value(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = History::latest();
    let positions = ground.publish(&topic, history, 2).await?;
    let read = ground
        .other()
        .whole(&topic, Since::After(positions[1]), history)
        .await?;
    ensure_eq!(read.positions(), [], "what lies behind the latest value");
    Ok(())
}

/// A topic without a value answers that it has none, with its top.
pub(super) async fn latest_without_a_value_says_so(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = History::latest();
    let top = ground.node().whole(&topic, Since::Top, history).await?.top;
    let after = Position::start(Epoch::new(ground.id().get())).next(ground.id());
    for since in [Since::After(after), Since::Recent(1)] {
        let read = ground.other().read(&topic, since, history).await?;
        ensure_eq!(read, Catchup::None { top }, "a topic without a value");
    }
    Ok(())
}

/// The latest value can be read while it is younger than its time, and not afterwards.
pub(super) async fn the_time_of_the_latest_is_a_limit(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let ttl = ground.age();
    let history = History::latest().ttl(ttl);
    let at = ground.publish(&topic, history, 1).await?[0];
    ground.half(ttl).await;
    let read = ground
        .other()
        .whole(&topic, Since::Recent(1), history)
        .await?;
    ensure_eq!(read.positions(), [at], "a value that is young enough");
    ground.backend.pass(ttl).await;
    let read = ground
        .other()
        .read(&topic, Since::Recent(1), history)
        .await?;
    let is_none = matches!(read, Catchup::None { .. });
    ensure_eq!(
        is_none,
        true,
        "whether a value that is too old is gone (the answer was {read:?})"
    );
    Ok(())
}

/// Each value comes to the nodes that listen, with its position. Leaving values out is not the engine's task.
pub(super) async fn each_value_comes(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let positions = ground.publish(&topic, History::latest(), 10).await?;
    for node in &ground.nodes {
        let came = ground.entries(node, &topic, 10).await?;
        let came: Vec<_> = came.iter().map(|entry| entry.position).collect();
        ensure_eq!(came, positions, "the values that came");
    }
    Ok(())
}

/// The value is as young as its publish: a second publish gives it its whole time again.
pub(super) async fn a_new_value_has_its_whole_time(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = History::latest().ttl(Duration::from_secs(60));
    ground.publish(&topic, history, 1).await?;
    ground.backend.pass(Duration::from_secs(45)).await;
    let at = ground.publish(&topic, history, 1).await?[0];
    ground.backend.pass(Duration::from_secs(45)).await;
    let read = ground
        .other()
        .whole(&topic, Since::Recent(1), history)
        .await?;
    ensure_eq!(
        read.positions(),
        [at],
        "a value of 45 seconds that follows one of 90 seconds"
    );
    Ok(())
}
