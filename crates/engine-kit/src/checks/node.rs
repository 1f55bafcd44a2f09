//! Checks of nodes: their state, their signals, and which are live.

use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{EngineState, NodeId, NodeInfo, Since, WasPublished};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, Node, window};
use super::recorder::Event;

/// An engine that was started is ready.
pub(super) async fn a_started_engine_is_ready(ground: &Ground<'_>) -> Result<(), Failure> {
    for node in &ground.nodes {
        ensure_eq!(
            node.engine.state(),
            EngineState::Ready,
            "the state of {}",
            node.info.name
        );
    }
    Ok(())
}

/// An engine that was stopped is down and refuses each call. A refused message is certainly not published.
pub(super) async fn a_stopped_engine_refuses(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let node = ground.other();
    node.engine.stop(Duration::from_secs(1)).await?;
    ensure_eq!(
        node.engine.state(),
        EngineState::Down,
        "the state of a stopped engine"
    );
    let topics = std::slice::from_ref(&topic);
    ensure!(
        node.engine.listen(topics).await.is_err(),
        "a stopped engine listens"
    );
    let read = node.read(&topic, Since::Top, window()).await;
    ensure!(read.is_err(), "a stopped engine reads");
    let signal = node.engine.signal(Bytes::from_static(b"signal")).await;
    ensure!(signal.is_err(), "a stopped engine sends signals");
    let message = ground.message("1");
    let Err(error) = node.engine.publish(&topic, message, window()).await else {
        return Err(Failure::new("a stopped engine publishes"));
    };
    ensure_eq!(
        error.published,
        WasPublished::No,
        "whether a stopped engine has published"
    );
    Ok(())
}

/// A signal reaches each node once, the sender too, and names its sender.
pub(super) async fn signals_reach_each_node(ground: &Ground<'_>) -> Result<(), Failure> {
    for sender in &ground.nodes {
        let payload = Bytes::from(format!("from {:?}", sender.info.id));
        sender.engine.signal(payload.clone()).await?;
        for node in &ground.nodes {
            let find = |events: &[Event]| {
                events.iter().find_map(|event| match event {
                    Event::Signal(from, of) if *of == payload => Some(*from),
                    _ => None,
                })
            };
            let what = format!("a signal of {} at {}", sender.info.name, node.info.name);
            let overdue = ground.backend.overdue();
            let from = node.recorder.until(overdue, &what, find).await?;
            ensure_eq!(from, sender.info.id, "the sender of a signal");
            ground.backend.quiet().await;
            let count = node.recorder.find(|events| {
                let of = |event: &&Event| matches!(event, Event::Signal(_, of) if *of == payload);
                events.iter().filter(of).count()
            });
            ensure_eq!(count, 1, "how often a signal came to {}", node.info.name);
        }
    }
    Ok(())
}

/// Each node learns which nodes are live, with their names.
pub(super) async fn live_nodes_are_reported(ground: &Ground<'_>) -> Result<(), Failure> {
    let live: Vec<NodeInfo> = ground.nodes.iter().map(|node| node.info.clone()).collect();
    for node in &ground.nodes {
        ground
            .until_live(node, "all live nodes", |found| {
                live.iter().all(|node| found.contains(node))
            })
            .await?;
    }
    Ok(())
}

/// A node that was killed is no longer live 20 s later.
pub(super) async fn a_killed_node_is_not_live(ground: &Ground<'_>) -> Result<(), Failure> {
    let killed = ground.other().info.id;
    ground
        .until_live(ground.node(), "both nodes", |live| is_among(live, killed))
        .await?;
    ground.backend.kill(killed).await;
    ground.backend.pass(Duration::from_secs(20)).await;
    let live = |live: &[NodeInfo]| !is_among(live, killed);
    ground
        .until_live(ground.node(), "live nodes without the killed one", live)
        .await
}

fn is_among(live: &[NodeInfo], node: NodeId) -> bool {
    live.iter().any(|info| info.id == node)
}

impl Ground<'_> {
    /// Waits until the nodes that a node knows as live are as expected.
    async fn until_live(
        &self,
        node: &Node,
        what: &str,
        is_expected: impl Fn(&[NodeInfo]) -> bool,
    ) -> Result<(), Failure> {
        let find = |events: &[Event]| {
            let mut nodes = events.iter().rev().filter_map(|event| match event {
                Event::Nodes(live) => Some(live),
                _ => None,
            });
            nodes.next().filter(|live| is_expected(live)).map(|_| ())
        };
        let what = format!("{what}, at {}", node.info.name);
        node.recorder
            .until(self.backend.overdue(), &what, find)
            .await
    }
}
