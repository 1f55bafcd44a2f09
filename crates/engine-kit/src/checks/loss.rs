//! Checks of faults: a backend that forgets, a feed that is cut, a publish that comes too late.

use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{EngineError, EngineErrorKind, Since, WasPublished};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, window};
use super::poll::{before, next_poll};
use super::recorder::Event;
use crate::backend::Wait;

/// A topic that the backend forgot begins a new epoch, and positions of the old one are lost.
pub(super) async fn a_forgotten_topic_begins_anew(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let old = ground.publish(&topic, window(), 2).await?;
    ground.backend.forget().await;
    let top = ground.other().top(&topic).await?;
    ensure_eq!(top, None, "the top of a forgotten topic");
    let new = ground.publish(&topic, window(), 3).await?;
    ensure!(
        new[0].epoch != old[0].epoch,
        "a forgotten topic goes on with its epoch"
    );
    ensure_eq!(new[0].offset, 1, "the first offset of a new epoch");
    for position in old {
        let why = "a position of the epoch that was forgotten";
        ground
            .other()
            .lost(&topic, position, window(), new[2], why)
            .await?;
    }
    let read = ground
        .other()
        .whole(&topic, Since::Recent(9), window())
        .await?;
    ensure_eq!(read.positions(), new, "the messages of the new epoch");
    Ok(())
}

/// A feed that was cut reports a gap for each topic, listens again in a higher generation, and delivers again.
pub(super) async fn a_cut_feed_reports_a_gap(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let silent = ground.topic();
    let node = ground.other();
    let before = node.listen(&topic).await?;
    node.recorder.watch(std::slice::from_ref(&silent));
    ground.backend.cut(node.info.id).await;
    let find = |events: &[Event]| {
        let gap = events.iter().position(|event| match event {
            Event::Gap(affected) => affected.iter().any(|name| **name == *topic),
            _ => false,
        })?;
        events[gap..].iter().find_map(|event| match event {
            Event::Listened(generation, topics) if topics.contains(&topic) => Some(*generation),
            _ => None,
        })
    };
    let what = "a gap of the topic, and `listened` behind it";
    let generation = node
        .recorder
        .until(ground.backend.overdue(), what, find)
        .await?;
    ensure!(
        generation > before,
        "a cut feed listens again in {generation:?}, expected one above {before:?}"
    );
    let (_, read) = node.engine.catch_up(&topic, Since::Top, window()).await?;
    ensure_eq!(read, generation, "the generation of a read behind a cut");
    let at = ground.publish(&topic, window(), 1).await?[0];
    let came = ground.entries(node, &topic, 1).await?;
    ensure_eq!(came[0].position, at, "the message behind a cut");
    let is_relistened = node.recorder.find(|events| {
        events
            .iter()
            .any(|event| matches!(event, Event::Listened(_, topics) if topics.contains(&silent)))
    });
    ensure!(
        !is_relistened,
        "a cut feed listens to a topic that it did not listen to"
    );
    Ok(())
}

/// A feed that was cut says that signals may be missing.
pub(super) async fn a_cut_feed_loses_signals(ground: &Ground<'_>) -> Result<(), Failure> {
    let node = ground.other();
    ground.backend.cut(node.info.id).await;
    let find = |events: &[Event]| {
        let mut events = events.iter();
        events.find_map(|event| matches!(event, Event::SignalsLost).then_some(()))
    };
    let what = "`signals_lost` behind a cut";
    node.recorder
        .until(ground.backend.overdue(), what, find)
        .await
}

/// A publish that reaches the engine 3 s after it was made is refused, and certainly not published.
pub(super) async fn a_late_publish_is_refused(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.publish(&topic, window(), 1).await?;
    let node = ground.node();
    ground
        .backend
        .delay(node.info.id, Duration::from_secs(3))
        .await;
    let late = node.store(&topic, ground.message("late"), window());
    ensure!(late.await.is_err(), "a publish of 3 s ago was accepted");
    ground
        .backend
        .delay(node.info.id, Duration::from_secs(3))
        .await;
    let late = ground.message("late");
    let Err(error) = node.engine.publish(&topic, late, window()).await else {
        return Err(Failure::new("a publish of 3 s ago was accepted"));
    };
    // A publisher that waits for less may have given up before the engine refused.
    let is_late = error.kind == EngineErrorKind::Late && error.published == WasPublished::No;
    let is_over = error.kind == EngineErrorKind::Timeout && error.published == WasPublished::Maybe;
    ensure!(
        is_late || is_over,
        "a publish of 3 s ago was refused with {error:?}"
    );
    ground.backend.pass(Duration::from_secs(4)).await;
    ground.backend.quiet().await;
    let read = ground
        .other()
        .whole(&topic, Since::Recent(9), window())
        .await?;
    ensure_eq!(
        read.entries.len(),
        1,
        "the messages behind two late publishes"
    );
    let at = ground.publish(&topic, window(), 1).await?[0];
    ensure_eq!(at.offset, 2, "the offset behind two late publishes");
    Ok(())
}

/// Each call ends within 10 s while the backend is silent, with an error. Afterwards the engine works again, and a publish
/// that was reported as not published is not there.
pub(super) async fn calls_end_while_the_backend_is_silent(
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    let topic = ground.topic();
    let topics = std::slice::from_ref(&topic);
    let node = ground.node();
    let engine = &node.engine;
    let message = ground.message("silent");
    let id = message.id;
    ground.listen(&topic).await?;
    ground.backend.freeze().await;
    let mut published = None;
    let calls: [(&str, Wait<'_, Result<(), EngineError>>); 5] = [
        (
            "publish",
            Box::pin(async {
                let answer = engine.publish(&topic, message, window()).await;
                published = answer.as_ref().err().map(|error| error.published);
                answer.map(drop)
            }),
        ),
        (
            "catch_up",
            Box::pin(async {
                engine
                    .catch_up(&topic, Since::Top, window())
                    .await
                    .map(drop)
            }),
        ),
        (
            "tops",
            Box::pin(async { engine.tops(topics).await.map(drop) }),
        ),
        (
            "unlisten",
            Box::pin(async { engine.unlisten(topics).await }),
        ),
        (
            "signal",
            Box::pin(engine.signal(Bytes::from_static(b"silent"))),
        ),
    ];
    for (name, call) in calls {
        let too_long = async {
            for _ in 0..10 {
                next_poll().await;
                ground.backend.pass(Duration::from_secs(1)).await;
            }
            ground.backend.overdue().await;
        };
        match before(call, too_long).await {
            None => {
                return Err(Failure::new(format!(
                    "`{name}` of a silent backend did not end in 10 s"
                )));
            }
            // An engine may note that a topic is to be unlistened, and answer.
            Some(Ok(())) if name == "unlisten" => {}
            Some(Ok(())) => {
                return Err(Failure::new(format!(
                    "`{name}` of a silent backend succeeded"
                )));
            }
            Some(Err(_)) => {}
        }
    }
    ground.backend.thaw().await;
    ground.backend.pass(Duration::from_secs(10)).await;
    node.listen(&topic).await?;
    let at = ground.publish(&topic, window(), 1).await?[0];
    let read = node.whole(&topic, Since::Recent(9), window()).await?;
    ensure_eq!(read.top, at, "the top behind a silence");
    let stored = read
        .entries
        .iter()
        .filter(|entry| entry.position.id == Some(id))
        .count();
    let most = usize::from(published == Some(WasPublished::Maybe));
    ensure!(
        stored <= most,
        "a publish into a silence ended with {published:?}, and is stored {stored} times"
    );
    Ok(())
}
