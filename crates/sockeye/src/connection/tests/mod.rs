//! Connections on scripted transports, with paused time.

use std::time::Duration;

use sockeye_proto::{Config, Role};

use self::wire::{Peer, wire};

mod assembly;
mod cancel;
mod driver;
mod flood;
mod key;
mod lend;
mod reader;
mod split;
pub(crate) mod wire;
mod writer;

/// Lets every task run until it waits for time or for the test.
pub(crate) async fn idle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
