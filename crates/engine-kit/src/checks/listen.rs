//! Checks of listening: which messages come to which node.

use sockeye_pubsub::engine::Since;

use super::failure::{Failure, ensure_eq};
use super::ground::{Ground, texts, window};

/// The answer to `listen` has one generation for each topic.
pub(super) async fn listen_answers_for_each_topic(ground: &Ground<'_>) -> Result<(), Failure> {
    let topics = [ground.topic(), ground.topic(), ground.topic()];
    let generations = ground.node().engine.listen(&topics).await?;
    ensure_eq!(generations.len(), 3, "the generations of three topics");
    Ok(())
}

/// Each message that is published after `listen` was answered comes.
pub(super) async fn messages_after_listen_come(ground: &Ground<'_>) -> Result<(), Failure> {
    for _ in 0..10 {
        let topic = ground.topic();
        ground.other().listen(&topic).await?;
        let at = ground.publish(&topic, window(), 1).await?;
        let came = ground.entries(ground.other(), &topic, 1).await?;
        ensure_eq!(came[0].position, at[0], "the first message behind `listen`");
    }
    Ok(())
}

/// A topic to which a node does not listen is silent there.
pub(super) async fn a_topic_without_listen_is_silent(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.publish(&topic, window(), 1).await?;
    for node in &ground.nodes {
        let came = ground.all(node, &topic).await;
        ensure_eq!(came, [], "what came of a topic without `listen`");
    }
    Ok(())
}

/// Behind the answer to `unlisten` no message of the topic comes.
pub(super) async fn an_unlistened_topic_is_silent(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let node = ground.other();
    node.listen(&topic).await?;
    ground.publish(&topic, window(), 1).await?;
    ground.entries(node, &topic, 1).await?;
    node.unlisten(&topic).await?;
    ground.publish(&topic, window(), 1).await?;
    let came = ground.all(node, &topic).await.len();
    ensure_eq!(
        came,
        1,
        "the messages of a topic with one before `unlisten` and one behind it"
    );
    Ok(())
}

/// A node that listens to a topic twice gets each message once, and `unlisten` ends it.
pub(super) async fn listening_twice_delivers_once(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let node = ground.other();
    node.listen(&topic).await?;
    node.listen(&topic).await?;
    ground.publish(&topic, window(), 1).await?;
    ground.entries(node, &topic, 1).await?;
    let came = ground.all(node, &topic).await.len();
    ensure_eq!(came, 1, "how often a message came");
    node.unlisten(&topic).await?;
    ground.publish(&topic, window(), 1).await?;
    let came = ground.all(node, &topic).await.len();
    ensure_eq!(
        came,
        1,
        "the messages of a topic that was listened to twice, behind one `unlisten`"
    );
    Ok(())
}

/// A node that listens again gets messages again: those that are published from then on.
pub(super) async fn listening_again_delivers_again(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let node = ground.other();
    node.listen(&topic).await?;
    node.unlisten(&topic).await?;
    ground.publish(&topic, window(), 1).await?;
    node.listen(&topic).await?;
    let at = ground.publish(&topic, window(), 1).await?;
    let came = ground.entries(node, &topic, 1).await?;
    ensure_eq!(
        came[0].position,
        at[0],
        "the first message behind the second `listen`"
    );
    Ok(())
}

/// A message comes back to the node that published it.
pub(super) async fn a_message_comes_back_to_its_node(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    for node in &ground.nodes {
        let message = ground.message(&*node.info.name);
        node.store(&topic, message, window()).await?;
    }
    for node in &ground.nodes {
        let came = ground.entries(node, &topic, ground.nodes.len()).await?;
        let came = texts(came.iter().map(|entry| &entry.body));
        let expected: Vec<&str> = ground.nodes.iter().map(|node| &*node.info.name).collect();
        ensure_eq!(came, expected, "the messages at {}", node.info.name);
    }
    Ok(())
}

/// A message without history comes to each node that listens.
pub(super) async fn unstored_messages_come_to_each_node(
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    for text in ["1", "2", "3"] {
        ground.node().send(&topic, ground.message(text)).await?;
    }
    for node in &ground.nodes {
        let came = ground.delivered(node, &topic, 3).await?;
        let came = texts(came.iter().map(|delivered| delivered.body()));
        ensure_eq!(came, ["1", "2", "3"], "the messages at {}", node.info.name);
    }
    Ok(())
}

/// One node's `unlisten` leaves the other nodes alone.
pub(super) async fn unlisten_leaves_other_nodes(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    ground.other().unlisten(&topic).await?;
    let at = ground.publish(&topic, window(), 1).await?;
    let came = ground.entries(ground.node(), &topic, 1).await?;
    ensure_eq!(
        came[0].position,
        at[0],
        "the message at the node that still listens"
    );
    Ok(())
}

/// A read names the generation in which the node listens.
pub(super) async fn reads_name_the_generation(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let listened = ground.node().listen(&topic).await?;
    for since in [Since::Top, Since::Recent(1)] {
        let read = ground.node().engine.catch_up(&topic, since, window());
        let (_, generation) = read.await?;
        ensure_eq!(generation, listened, "the generation of {since:?}");
    }
    Ok(())
}
