//! F29: two nodes have one name, and a third one has other policies.

use std::time::Duration;

use sockeye::reconnect::topics::{SubscribeOptions, TopicClient, TopicEvent};
use tokio::time::{sleep, timeout};

use super::{Scene, Stage, TOPICS, client};
use crate::engines::program::Brand;
use crate::engines::server::Server;
use crate::error::Result;
use crate::faults::case::Run;

pub(super) const SCENE: Scene = Scene {
    id: "F29",
    title: "two nodes have one name, and a third one has other policies",
    run: Run::Long,
    brands: &Brand::ALL,
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> Result<()> {
    let server = stage.server(&[]).await?;
    let url = Server::url(server.address(), None);
    let first = stage.node("first", "twin", TOPICS, &url).await?;
    let second = stage.node("second", "twin", TOPICS, &url).await?;
    let other = TOPICS.replace("count = 100", "count = 5");
    let third = stage.node("third", "other", &other, &url).await?;
    // Both twins have members, and each shows those of both.
    let mut clients = [&first, &second].map(|node| client(&node.address()));
    for client in &mut clients {
        client.subscribe_with(TOPIC, &SubscribeOptions::new().member("{}"))?;
    }
    both_list_both(&mut clients).await?;
    // A lease that is renewed takes no members away.
    sleep(LEASE).await;
    both_list_both(&mut clients).await?;
    for node in [&first, &second, &third] {
        let warns = |(_, line): &(u64, String)| line.contains(WARNING);
        if !node.said().iter().any(warns) {
            return Err(format!("{} does not say that policies differ", node.name).into());
        }
    }
    Ok(())
}

/// Both clients list two members within some time. A client runs only while it is asked for events.
async fn both_list_both([one, two]: &mut [TopicClient; 2]) -> Result<()> {
    let both = async { tokio::try_join!(both_are_listed(one), both_are_listed(two)) };
    let both = timeout(PATIENCE, both).await;
    both.map_err(|_| format!("a twin does not list both members after {PATIENCE:?}"))??;
    Ok(())
}

/// Asks for the members until there are two.
async fn both_are_listed(client: &mut TopicClient) -> Result<()> {
    client.members(TOPIC, None)?;
    while let Some(event) = client.next().await {
        match event {
            TopicEvent::Members { members, .. } => {
                let members: serde_json::Value = serde_json::from_str(&members)?;
                if members.as_array().is_some_and(|members| members.len() == 2) {
                    return Ok(());
                }
                sleep(PAUSE).await;
                client.members(TOPIC, None)?;
            }
            TopicEvent::QueryFailed { .. } => {
                sleep(PAUSE).await;
                client.members(TOPIC, None)?;
            }
            _ => {}
        }
    }
    Err("a client of a twin was closed".into())
}

const TOPIC: &str = "present/0";
const WARNING: &str = "another node has other policies of topics";
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);
/// The time of a lease, and of a beat.
const LEASE: Duration = Duration::from_secs(20);
