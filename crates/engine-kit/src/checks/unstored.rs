//! Checks of topics without history.

use sockeye_pubsub::engine::{EngineErrorKind, WasPublished};
use sockeye_pubsub::{Delivered, History, KeyScope};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, body};

/// A message without history has no position: neither in the answer nor when it comes. It has the id that was drawn.
pub(super) async fn without_history_there_is_no_position(
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let message = ground.message("1");
    let expected = Delivered::Unstored {
        id: message.id,
        body: body("1"),
    };
    ground.node().send(&topic, message).await?;
    let came = ground.delivered(ground.other(), &topic, 1).await?;
    ensure_eq!(came, [expected], "a message without history");
    Ok(())
}

/// A message without history leaves nothing behind.
pub(super) async fn without_history_nothing_is_kept(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.node().send(&topic, ground.message("1")).await?;
    let top = ground.node().top(&topic).await?;
    ensure_eq!(top, None, "the top of a topic without history");
    Ok(())
}

/// A key without history is refused, and nothing is published.
pub(super) async fn without_history_a_key_is_refused(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let message = ground.keyed("1", KeyScope::Server, "key");
    let engine = &ground.node().engine;
    let Err(error) = engine.publish(&topic, message, History::off()).await else {
        return Err(Failure::new("a key without history was accepted"));
    };
    ensure_eq!(
        error.published,
        WasPublished::No,
        "whether a refused message was published"
    );
    ensure!(
        matches!(
            error.kind,
            EngineErrorKind::Rejected | EngineErrorKind::Unsupported
        ),
        "a key without history was refused as {:?}",
        error.kind
    );
    let came = ground.all(ground.other(), &topic).await;
    ensure_eq!(came, [], "what came of a refused publish");
    Ok(())
}
