//! Two nodes that listen to the topic of the publishers, and count its messages.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{Engine, EngineEvents, EngineState, Generation, NodeId, NodeInfo};
use sockeye_pubsub::{Delivered, TopicName};

use super::TOPIC;
use super::engine::start;
use crate::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    redis: SocketAddr,
}

/// The first line on stdout, once both nodes listen.
pub(super) const READY: &str = "listening";

pub(crate) fn listen(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(listen_on(options))
}

async fn listen_on(options: &Options) -> Result<()> {
    let topic: TopicName = TOPIC.parse().map_err(|_| "the topic has no name")?;
    let mut nodes = Vec::new();
    for number in [2, 3] {
        let counted = Arc::new(Counted::default());
        let engine = start(options.redis, number, Arc::clone(&counted)).await?;
        let listened = engine.listen(std::slice::from_ref(&topic)).await;
        listened.map_err(|error| error.to_string())?;
        nodes.push((engine, counted));
    }
    say(READY)?;
    let asked = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    asked
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let mut counts = Vec::new();
    for (_, counted) in &nodes {
        counts.push(counted.settled().await.to_string());
    }
    say(&counts.join(" "))
}

fn say(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}

/// The number of messages that a node got.
#[derive(Debug, Default)]
pub(super) struct Counted(AtomicU64);

impl Counted {
    /// Returns the number once it stays the same.
    async fn settled(&self) -> u64 {
        let mut last = self.0.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.0.load(Ordering::Relaxed);
            if now == last {
                return now;
            }
            last = now;
        }
    }
}

impl EngineEvents for Counted {
    fn delivered(&self, _: &str, _: Delivered) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn gap(&self, _: &dyn Fn(&str) -> bool) {}

    fn listened(&self, _: Generation, _: &[TopicName]) {}

    fn signal(&self, _: NodeId, _: Bytes) {}

    fn signals_lost(&self) {}

    fn nodes(&self, _: &[NodeInfo]) {}

    fn state(&self, _: EngineState) {}
}
