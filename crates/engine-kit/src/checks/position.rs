//! Checks of positions: forged ones, tops, and epochs.

use sockeye_pubsub::engine::{Catchup, Since};
use sockeye_pubsub::{Epoch, Position};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, window};

/// Three messages, and positions that differ from theirs in one thing.
async fn judge_forged(
    ground: &Ground<'_>,
    why: &str,
    forge: impl Fn(&Ground<'_>, &[Position]) -> Position,
) -> Result<(), Failure> {
    let topic = ground.topic();
    let positions = ground.publish(&topic, window(), 3).await?;
    let forged = forge(ground, &positions);
    ground
        .other()
        .lost(&topic, forged, window(), positions[2], why)
        .await
}

/// A position of another epoch is lost.
pub(super) async fn another_epoch_is_lost(ground: &Ground<'_>) -> Result<(), Failure> {
    judge_forged(
        ground,
        "a position of another epoch",
        |ground, positions| Position {
            epoch: Epoch::new(ground.id().get()),
            ..positions[1]
        },
    )
    .await
}

/// A position with another id is lost, though entries lie behind its offset. So is one with the id of its neighbour.
pub(super) async fn another_id_is_lost(ground: &Ground<'_>) -> Result<(), Failure> {
    judge_forged(ground, "a position with another id", |ground, positions| {
        Position {
            id: Some(ground.id()),
            ..positions[1]
        }
    })
    .await?;
    judge_forged(
        ground,
        "a position with its neighbour's id",
        |_, positions| Position {
            id: positions[0].id,
            ..positions[1]
        },
    )
    .await
}

/// A position at the top with another id is lost, though nothing lies behind it.
pub(super) async fn another_id_at_the_top_is_lost(ground: &Ground<'_>) -> Result<(), Failure> {
    judge_forged(
        ground,
        "a position at the top with another id",
        |ground, positions| Position {
            id: Some(ground.id()),
            ..positions[2]
        },
    )
    .await
}

/// A position behind the top is lost.
pub(super) async fn a_future_offset_is_lost(ground: &Ground<'_>) -> Result<(), Failure> {
    judge_forged(ground, "a position behind the top", |_, positions| {
        Position {
            offset: 4,
            ..positions[2]
        }
    })
    .await?;
    judge_forged(
        ground,
        "a position with the highest offset",
        |_, positions| Position {
            offset: u64::MAX,
            ..positions[2]
        },
    )
    .await
}

/// `Top` begins an epoch for a topic that has none, and gives the position before its first message.
pub(super) async fn top_begins_an_epoch(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let read = ground.node().whole(&topic, Since::Top, window()).await?;
    ensure_eq!(
        read.top,
        Position::start(read.top.epoch),
        "the top of a new topic"
    );
    let again = ground.other().whole(&topic, Since::Top, window()).await?;
    ensure_eq!(again.top, read.top, "the top of a new topic, read again");
    let at = ground.publish(&topic, window(), 1).await?[0];
    ensure_eq!(at.epoch, read.top.epoch, "the epoch of the first message");
    let behind = ground
        .other()
        .whole(&topic, Since::After(read.top), window())
        .await?;
    ensure_eq!(
        behind.positions(),
        [at],
        "what lies behind the begin of the epoch"
    );
    Ok(())
}

/// `Top` of a topic with messages gives the newest position and no message.
pub(super) async fn top_reads_no_message(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let positions = ground.publish(&topic, window(), 3).await?;
    let read = ground.other().whole(&topic, Since::Top, window()).await?;
    ensure_eq!(read.top, positions[2], "the top of three messages");
    ensure_eq!(read.positions(), [], "the messages of `Top`");
    Ok(())
}

/// A read behind a position of a topic that the engine does not know is lost, and begins an epoch.
pub(super) async fn a_position_of_an_unknown_topic_is_lost(
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    let topic = ground.topic();
    let forged = Position::start(Epoch::new(ground.id().get())).next(ground.id());
    let read = ground
        .node()
        .read(&topic, Since::After(forged), window())
        .await?;
    let Catchup::Lost { top } = read else {
        return Err(Failure::new(format!(
            "a position of an unknown topic answered {read:?}, expected Lost"
        )));
    };
    ensure_eq!(top.offset, 0, "the top of an unknown topic");
    let known = ground.other().top(&topic).await?;
    ensure_eq!(known, Some(top), "the top that the read began");
    Ok(())
}

/// `tops` creates nothing.
pub(super) async fn tops_create_nothing(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    for when in ["first", "second"] {
        let top = ground.node().top(&topic).await?;
        ensure_eq!(
            top,
            None,
            "the top of an unknown topic, asked for the {when} time"
        );
    }
    Ok(())
}

/// `tops` answers the newest position of each topic, in the order of the question.
pub(super) async fn tops_answer_for_each_topic(ground: &Ground<'_>) -> Result<(), Failure> {
    let topics = [ground.topic(), ground.topic(), ground.topic()];
    let first = ground.publish(&topics[0], window(), 3).await?;
    let third = ground.publish(&topics[2], window(), 1).await?;
    let tops = ground.other().engine.tops(&topics).await?;
    ensure_eq!(
        tops,
        [Some(first[2]), None, Some(third[0])],
        "the tops of three topics"
    );
    Ok(())
}

/// Two topics have different epochs.
pub(super) async fn epochs_are_drawn(ground: &Ground<'_>) -> Result<(), Failure> {
    let first = ground.publish(&ground.topic(), window(), 1).await?;
    let second = ground.publish(&ground.topic(), window(), 1).await?;
    ensure!(
        first[0].epoch != second[0].epoch,
        "two topics have the epoch {}",
        first[0].epoch
    );
    Ok(())
}
