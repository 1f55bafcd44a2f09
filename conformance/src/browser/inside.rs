//! A script in pages of axum's and of hyper's servers, with Sockeye inside: compressed messages come back.

use serde_json::json;
use sockeye::Connection;
use sockeye::proto::DeflateConfig;

use crate::error::Result;
use crate::inside::{Host, Inside};

use super::Tally;
use super::chromium::Chromium;
use super::endpoints::count;

/// Runs the script in each server; each of its checks is counted.
pub(super) async fn try_servers(chromium: &mut Chromium, tally: &mut Tally) -> Result<()> {
    for host in [Host::Axum, Host::Hyper] {
        let inside = Inside::start(host, DeflateConfig::default(), MAX_MESSAGE, |ws| {
            tokio::spawn(echo(ws));
        });
        let inside = inside.await?;
        let window = chromium.open_window().await?;
        window
            .goto(&format!("http://{}/page", inside.address()))
            .await?;
        let arguments = vec![json!(host.name())];
        let checks = window.execute_async(SCRIPT, arguments).await?;
        count(&checks, tally)?;
        inside.stop();
    }
    Ok(())
}

async fn echo(mut ws: Connection) {
    while let Ok(Some(message)) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

/// The script's longest message is shorter.
const MAX_MESSAGE: u64 = 1 << 20;

const SCRIPT: &str = include_str!("inside.js");
