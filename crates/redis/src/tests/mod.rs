//! Tests against a scripted server. Time is paused: it passes when nothing else can happen.

mod fake;
mod feed;
pub(crate) mod heard;
mod link;
mod log;
mod opening;
pub(crate) mod peer;
mod presence;
mod publishing;
mod reading;
mod starting;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sockeye_pubsub::engine::{NodeId, NodeInfo};
use tokio::time::Instant;

use self::peer::{Peer, server};
use crate::clock::EngineClock;
use crate::commands::{Commands, CurrentCommands};
use crate::layout::Layout;

/// A connection for commands, and the server's end of it.
struct Setup {
    peer: Peer,
    current: Arc<CurrentCommands>,
    commands: Arc<Commands>,
    layout: Layout,
    clock: Arc<EngineClock>,
    node: NodeInfo,
}

impl Setup {
    /// Opens a connection. The server's clock shows 1,000,000 ms.
    async fn new() -> Self {
        let (connector, mut peers) = server("redis://localhost");
        let opening = Commands::open(&connector, "node");
        let greeting = async {
            let mut peer = peers.next().await;
            peer.greet_commands().await;
            peer
        };
        let (commands, peer) = tokio::join!(opening, greeting);
        let commands = Arc::new(commands.unwrap());
        let current = Arc::new(CurrentCommands::default());
        current.set(Some(Arc::clone(&commands)));
        let clock = Arc::new(EngineClock::new());
        let now = Instant::now();
        clock.set(1_000_000, now, now);
        Self {
            peer,
            current,
            commands,
            layout: Layout::new("sockeye"),
            clock,
            node: NodeInfo {
                id: NodeId(7),
                name: "a b".into(),
                fingerprint: 0xf,
            },
        }
    }
}

/// Returns the answer of a future, and how long it took.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let answer = future.await;
    (answer, began.elapsed())
}
