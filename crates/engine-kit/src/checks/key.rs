//! Checks of keys, which make a repeated publish the same message.

use std::time::Duration;

use sockeye_pubsub::KeyScope;
use sockeye_pubsub::engine::Since;

use super::failure::{Failure, ensure_eq};
use super::ground::{Ground, texts, window};

/// A publish that is repeated with its key is one message: the first one.
pub(super) async fn a_repeated_key_is_one_message(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let message = |text| ground.keyed(text, KeyScope::Server, "key");
    let first = ground.node().store(&topic, message("1"), window()).await?;
    let again = ground.other().store(&topic, message("2"), window()).await?;
    ensure_eq!(again, first, "the position of a repeated publish");
    let read = ground
        .node()
        .whole(&topic, Since::Recent(9), window())
        .await?;
    let read = texts(read.entries.iter().map(|entry| &entry.body));
    ensure_eq!(read, ["1"], "what is stored of a repeated publish");
    ground.entries(ground.other(), &topic, 1).await?;
    let came = ground.all(ground.other(), &topic).await;
    ensure_eq!(came.len(), 1, "how often a repeated publish came");
    Ok(())
}

/// Different keys are different messages.
pub(super) async fn other_keys_are_other_messages(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    for (offset, key) in (1..).zip(["key", "Key", "key ", "k"]) {
        let message = ground.keyed(key, KeyScope::Server, key);
        let at = ground.node().store(&topic, message, window()).await?;
        ensure_eq!(
            at.offset,
            offset,
            "the offset of a message with the key {key:?}"
        );
    }
    Ok(())
}

/// Equal keys of different parties are different messages.
pub(super) async fn keys_of_parties_are_apart(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let scopes = [
        KeyScope::Server,
        KeyScope::Client,
        KeyScope::Principal("ann".into()),
        KeyScope::Principal("ben".into()),
        // Names that are like the other scopes.
        KeyScope::Principal("".into()),
        KeyScope::Principal("server".into()),
    ];
    for (offset, scope) in (1..).zip(scopes) {
        let message = ground.keyed("m", scope.clone(), "key");
        let at = ground.node().store(&topic, message, window()).await?;
        ensure_eq!(
            at.offset,
            offset,
            "the offset of a message with the key of {scope:?}"
        );
    }
    Ok(())
}

/// Equal keys in different topics are different messages.
pub(super) async fn keys_of_topics_are_apart(ground: &Ground<'_>) -> Result<(), Failure> {
    let mut positions = Vec::new();
    for _ in 0..2 {
        let topic = ground.topic();
        let message = ground.keyed("m", KeyScope::Server, "key");
        let id = message.id;
        let at = ground.node().store(&topic, message, window()).await?;
        ensure_eq!(at.id, Some(id), "the message with a key of another topic");
        positions.push(at);
    }
    Ok(())
}

/// The keys of clients are remembered for 60 seconds.
pub(super) async fn client_keys_live_for_a_minute(ground: &Ground<'_>) -> Result<(), Failure> {
    judge_life(ground, &KeyScope::Client, 60).await?;
    judge_life(ground, &KeyScope::Principal("ann".into()), 60).await
}

/// The keys of server code are remembered for 5 minutes.
pub(super) async fn server_keys_live_for_five_minutes(ground: &Ground<'_>) -> Result<(), Failure> {
    judge_life(ground, &KeyScope::Server, 300).await
}

async fn judge_life(ground: &Ground<'_>, scope: &KeyScope, seconds: u64) -> Result<(), Failure> {
    let topic = ground.topic();
    let message = || ground.keyed("m", scope.clone(), "key");
    let first = ground.node().store(&topic, message(), window()).await?;
    ground.backend.pass(Duration::from_secs(seconds - 1)).await;
    let again = ground.node().store(&topic, message(), window()).await?;
    ensure_eq!(
        again,
        first,
        "a key of {scope:?} that is repeated after {} s",
        seconds - 1
    );
    ground.backend.pass(Duration::from_secs(2)).await;
    let later = ground.node().store(&topic, message(), window()).await?;
    ensure_eq!(
        later.offset,
        2,
        "a key of {scope:?} that is repeated after {} s",
        seconds + 1
    );
    Ok(())
}

/// A message that keeps the latest value has keys too.
pub(super) async fn latest_values_have_keys(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let history = sockeye_pubsub::History::latest();
    let message = || ground.keyed("m", KeyScope::Client, "key");
    let first = ground.node().store(&topic, message(), history).await?;
    let again = ground.node().store(&topic, message(), history).await?;
    ensure_eq!(again, first, "the position of a repeated value");
    Ok(())
}
