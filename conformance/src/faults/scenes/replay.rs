//! F28: the connection of a client is cut in the middle of a replay, after more and more bytes.

use std::time::Duration;

use sockeye::reconnect::ReconnectEvent;
use sockeye::reconnect::topics::{SubscribeOptions, TopicClient, TopicEvent};
use sockeye_engine_kit::checker::{Publisher, Stamp};
use sockeye_pubsub::Position;
use tokio::time::timeout;

use super::{Scene, Stage, TOPICS, client};
use crate::engines::program::Brand;
use crate::engines::server::Server;
use crate::error::Result;
use crate::faults::case::Run;
use crate::faults::line;
use crate::relay::{Links, Pace, Relay, Way};

pub(super) const SCENE: Scene = Scene {
    id: "F28",
    title: "a connection is cut in the middle of a replay",
    run: Run::Long,
    brands: &Brand::ALL,
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> Result<()> {
    let server = stage.server(&[]).await?;
    let url = Server::url(server.address(), None);
    let node = stage.node("node", "node-0", TOPICS, &url).await?;
    let mut publisher = client(&node.address());
    publisher.subscribe(TOPIC)?;
    let start = publish_all(&mut publisher).await?;
    let mut cuts_in_replay = 0;
    for bytes in (FIRST_CUT..LAST_CUT).step_by(STEP) {
        let relay = Relay::start(&node.address()).await?;
        relay.set(Links::All, Way::Down, Pace::CutAfter(bytes));
        let mut client = client(&relay.address().to_string());
        let options = SubscribeOptions::new().after(start);
        client.subscribe_with(TOPIC, &options)?;
        let replayed = timeout(PATIENCE, replay(&mut client, &relay)).await;
        let cut_at = replayed.map_err(|_| format!("cut after {bytes} bytes: the replay stops"))?;
        let cut_at = cut_at.map_err(|error| format!("cut after {bytes} bytes: {error}"))?;
        cuts_in_replay += u32::from((1..MESSAGES).contains(&cut_at));
    }
    match cuts_in_replay {
        0 => Err("no connection was cut in the middle of a replay".into()),
        _ => Ok(()),
    }
}

/// Publishes the messages. Returns the position before the first.
async fn publish_all(client: &mut TopicClient) -> Result<Position> {
    let (mut start, mut confirmed) = (None, 0);
    while let Some(event) = client.next().await {
        match event {
            TopicEvent::Subscribed { position, .. } => {
                start = position;
                for n in 0..MESSAGES {
                    let publisher = Publisher(0);
                    client.publish(TOPIC, line::body(Stamp { publisher, n }, 0, 50))?;
                }
            }
            TopicEvent::Published { .. } => confirmed += 1,
            TopicEvent::PublishFailed { .. } => return Err("a publish failed".into()),
            _ => {}
        }
        if confirmed == MESSAGES {
            return start.ok_or_else(|| "a window has no position".into());
        }
    }
    Err("the publisher was closed".into())
}

/// Takes the messages until all have come, each once and in order. After the cut, the relay passes everything. Returns how
/// many had come when the connection was cut.
async fn replay(client: &mut TopicClient, relay: &Relay) -> Result<u32> {
    let (mut next, mut cut_at) = (0, 0);
    while let Some(event) = client.next().await {
        match event {
            TopicEvent::Message { message, .. } => {
                let stamp = line::stamp(message.as_bytes()).ok_or("a message without a stamp")?;
                if stamp.n != next {
                    return Err(format!("message {} came in the place of {next}", stamp.n).into());
                }
                next += 1;
            }
            TopicEvent::Lost { .. } => return Err(format!("`lost` behind message {next}").into()),
            TopicEvent::Connection(ReconnectEvent::Interrupted { .. }) => {
                cut_at = next;
                relay.set(Links::All, Way::Down, Pace::Pass);
            }
            _ => {}
        }
        if next == MESSAGES {
            return Ok(cut_at);
        }
    }
    Err("the client was closed for good".into())
}

const TOPIC: &str = "window/0";
const MESSAGES: u32 = 80;
/// The bytes after which connections are cut: from the answer to the handshake to the end of the replay.
const FIRST_CUT: u64 = 150;
const LAST_CUT: u64 = 16_000;
const STEP: usize = 397;
const PATIENCE: Duration = Duration::from_secs(20);
