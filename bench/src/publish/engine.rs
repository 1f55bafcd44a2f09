//! The engine of Sockeye, by itself: as many publishes wait for it as the workload says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sockeye::proto::Message;
use sockeye_pubsub::engine::{Engine, NodeId, NodeInfo};
use sockeye_pubsub::{Body, History, KeyScope, MessageId, Publication, PublishKey, TopicName};
use sockeye_redis::RedisEngine;

use super::listen::Counted;
use super::{Meter, Options, Shape, TOPIC};
use crate::Result;
use crate::load::Cost;
use crate::message::Payload;

pub(super) fn publish(options: &Options, shape: Shape) -> Result<Cost> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(publish_on(options, shape))
}

async fn publish_on(options: &Options, shape: Shape) -> Result<Cost> {
    let engine = start(options.redis, 1, Arc::default()).await?;
    let topic: TopicName = TOPIC.parse().map_err(|_| "the topic has no name")?;
    let payload = Bytes::from(Payload::Binary.bytes(shape.size, 0));
    let history = History::window(100, Duration::from_secs(600));
    let mut number = 0;
    let mut publish = || {
        number += 1;
        let publication = Publication {
            id: MessageId::new(number),
            body: Body {
                message: Message::Binary(payload.clone()),
                compressible: true,
            },
            key: Some(PublishKey {
                scope: KeyScope::Server,
                key: format!("{number:022}").into(),
            }),
        };
        engine.publish(&topic, publication, history)
    };
    let mut waiting: FuturesUnordered<_> = (0..shape.in_flight).map(|_| publish()).collect();
    let mut meter = Meter::new(options);
    let mut cost = None;
    while let Some(answer) = waiting.next().await {
        answer.map_err(|error| error.to_string())?;
        if cost.is_none() {
            cost = meter.published(1)?;
        }
        // The nodes are asked whether they got all, so all of it has to be over.
        if cost.is_none() {
            waiting.push(publish());
        }
    }
    cost.ok_or_else(|| "nothing was published".to_owned())
}

/// Starts an engine for a node of this number.
pub(super) async fn start(
    redis: std::net::SocketAddr,
    node: u64,
    events: Arc<Counted>,
) -> Result<RedisEngine> {
    let engine = RedisEngine::new(&format!("redis://{redis}"));
    let engine = engine.map_err(|error| error.to_string())?;
    let node = NodeInfo {
        id: NodeId(node),
        name: format!("node-{node}").into(),
        fingerprint: 0,
    };
    let started = engine.start(node, events).await;
    started.map_err(|error| error.to_string())?;
    Ok(engine)
}
