//! Checks of futures that are dropped half way, after each number of polls.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{EngineState, Member, MemberId, Since};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, window};
use super::poll::polled;

/// The polls after which a future may be dropped at most.
const POLLS: usize = 64;

/// A publish whose future was dropped has happened once or not at all. Without a poll it has not happened.
pub(super) async fn a_dropped_publish_happens_at_most_once(
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let mut sent = BTreeSet::new();
    let mut ended = false;
    for polls in 0..POLLS {
        let message = ground.message(polls.to_string());
        let id = message.id;
        let publish = ground.node().engine.publish(&topic, message, window());
        let answer = polled(publish, polls).await;
        ground.backend.quiet().await;
        let read = ground
            .other()
            .whole(&topic, Since::Recent(1000), window())
            .await?;
        let stored = read
            .entries
            .iter()
            .filter(|entry| entry.position.id == Some(id))
            .count();
        ensure!(
            stored <= 1,
            "a publish that was dropped after {polls} polls is stored {stored} times"
        );
        ensure!(
            polls > 0 || stored == 0,
            "a publish that was never polled is stored"
        );
        sent.insert(id.get());
        if let Some(answer) = answer {
            answer?;
            ended = true;
            break;
        }
    }
    ensure!(ended, "a publish did not end in {POLLS} polls");
    let last = ground.publish(&topic, window(), 1).await?[0];
    let read = ground
        .other()
        .whole(&topic, Since::Recent(1000), window())
        .await?;
    ensure_eq!(read.top, last, "the top behind dropped publishes");
    let foreign = read
        .entries
        .iter()
        .rev()
        .skip(1)
        .find(|entry| entry.position.id.is_none_or(|id| !sent.contains(&id.get())));
    ensure_eq!(foreign, None, "a message that was never published");
    let came = ground
        .entries(ground.other(), &topic, read.entries.len())
        .await?;
    ensure_eq!(
        came,
        read.entries,
        "the messages that came behind dropped publishes"
    );
    Ok(())
}

/// A `listen` or `unlisten` whose future was dropped disturbs no later one.
pub(super) async fn a_dropped_listen_disturbs_nothing(ground: &Ground<'_>) -> Result<(), Failure> {
    let node = ground.other();
    let mut ended = false;
    for polls in 0..POLLS {
        let topic = ground.topic();
        let topics = std::slice::from_ref(&topic);
        let listened = polled(node.engine.listen(topics), polls).await;
        node.listen(&topic).await?;
        judge_listening(
            ground,
            &topic,
            &format!("a `listen` that was dropped after {polls} polls"),
        )
        .await?;
        let unlistened = polled(node.engine.unlisten(topics), polls).await;
        node.listen(&topic).await?;
        judge_listening(
            ground,
            &topic,
            &format!("an `unlisten` that was dropped after {polls} polls"),
        )
        .await?;
        if listened.transpose()?.is_some() && unlistened.transpose()?.is_some() {
            ended = true;
            break;
        }
    }
    ensure!(
        ended,
        "`listen` and `unlisten` did not end in {POLLS} polls"
    );
    Ok(())
}

/// Judges that a message comes once, and that `unlisten` ends it and `listen` begins it again.
async fn judge_listening(
    ground: &Ground<'_>,
    topic: &TopicName,
    behind: &str,
) -> Result<(), Failure> {
    let node = ground.other();
    let before = node.recorder.delivered(topic).len();
    ground.publish(topic, window(), 1).await?;
    ground.delivered(node, topic, before + 1).await?;
    let came = ground.all(node, topic).await.len() - before;
    ensure_eq!(came, 1, "how often a message came behind {behind}");
    node.unlisten(topic).await?;
    ground.publish(topic, window(), 1).await?;
    let came = ground.all(node, topic).await.len() - before;
    ensure_eq!(
        came,
        1,
        "the messages that came behind `unlisten`, behind {behind}"
    );
    node.listen(topic).await?;
    Ok(())
}

/// Reads and signals whose futures were dropped disturb no later call.
pub(super) async fn a_dropped_read_disturbs_nothing(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let positions = ground.publish(&topic, window(), 3).await?;
    let topics = std::slice::from_ref(&topic);
    let engine = &ground.node().engine;
    let mut ended = false;
    for polls in 0..POLLS {
        let read = polled(engine.catch_up(&topic, Since::Recent(2), window()), polls).await;
        let tops = polled(engine.tops(topics), polls).await;
        let signal = polled(engine.signal(Bytes::from_static(b"dropped")), polls).await;
        let whole = ground
            .node()
            .whole(&topic, Since::Recent(2), window())
            .await?;
        ensure_eq!(
            whole.positions(),
            positions[1..],
            "a read behind one that was dropped after {polls} polls"
        );
        let top = ground.node().top(&topic).await?;
        ensure_eq!(
            top,
            Some(positions[2]),
            "the top behind `tops` that was dropped after {polls} polls"
        );
        if read.transpose()?.is_some()
            && tops.transpose()?.is_some()
            && signal.transpose()?.is_some()
        {
            ended = true;
            break;
        }
    }
    ensure!(ended, "reads and signals did not end in {POLLS} polls");
    Ok(())
}

/// An `enter` or `leave` whose future was dropped can be repeated.
pub(super) async fn a_dropped_enter_can_be_repeated(ground: &Ground<'_>) -> Result<(), Failure> {
    let node = ground.node();
    let presence = node.engine.presence();
    let presence = presence.ok_or_else(|| Failure::new("the engine has no store for presence"))?;
    let mut ended = false;
    for polls in 0..POLLS {
        let topic = ground.topic();
        let member = Member {
            id: MemberId(ground.id().get()),
            info: None,
            principal: None,
            since: 1,
        };
        let members = std::slice::from_ref(&member);
        let ids = [member.id];
        let entered = polled(presence.enter(&topic, members), polls).await;
        presence.enter(&topic, members).await?;
        let listed = presence.members(&topic, 9).await?;
        ensure_eq!(
            listed,
            members,
            "the members behind an `enter` that was dropped after {polls} polls"
        );
        let left = polled(presence.leave(&topic, &ids), polls).await;
        presence.leave(&topic, &ids).await?;
        let listed = presence.members(&topic, 9).await?;
        ensure_eq!(
            listed,
            [],
            "the members behind a `leave` that was dropped after {polls} polls"
        );
        if entered.transpose()?.is_some() && left.transpose()?.is_some() {
            ended = true;
            break;
        }
    }
    ensure!(ended, "`enter` and `leave` did not end in {POLLS} polls");
    Ok(())
}

/// A count whose writing was dropped can be written again, and reads that were dropped disturb no later one.
pub(super) async fn a_dropped_count_can_be_repeated(ground: &Ground<'_>) -> Result<(), Failure> {
    let node = ground.node();
    let presence = node.engine.presence();
    let presence = presence.ok_or_else(|| Failure::new("the engine has no store for presence"))?;
    let mut ended = false;
    for polls in 0..POLLS {
        let topic = ground.topic();
        let written = polled(presence.set_count(&topic, 3), polls).await;
        presence.set_count(&topic, 5).await?;
        let counted = polled(presence.count(&topic), polls).await;
        let listed = polled(presence.members(&topic, 9), polls).await;
        let count = presence.count(&topic).await?;
        ensure_eq!(
            count,
            5,
            "the count behind one that was dropped after {polls} polls"
        );
        if written.transpose()?.is_some()
            && counted.transpose()?.is_some()
            && listed.transpose()?.is_some()
        {
            ended = true;
            break;
        }
    }
    ensure!(ended, "the calls of presence did not end in {POLLS} polls");
    Ok(())
}

/// A `stop` whose future was dropped can be repeated: then the engine is down.
pub(super) async fn a_dropped_stop_can_be_repeated(ground: &Ground<'_>) -> Result<(), Failure> {
    let within = Duration::from_secs(1);
    let mut ended = false;
    for polls in 0..POLLS {
        let node = ground.start().await?;
        let stopped = polled(node.engine.stop(within), polls).await;
        node.engine.stop(within).await?;
        let state = node.engine.state();
        ensure_eq!(
            state,
            EngineState::Down,
            "the state behind a `stop` that was dropped after {polls} polls"
        );
        if stopped.transpose()?.is_some() {
            ended = true;
            break;
        }
    }
    ensure!(ended, "`stop` did not end in {POLLS} polls");
    Ok(())
}
