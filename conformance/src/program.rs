//! The program `sockeye`, serving on a port that it picks and tells.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::error::Result;
use crate::process::Child;

/// `sockeye serve`, until dropped.
pub(crate) struct Program {
    child: Child,
    url: String,
}

impl Program {
    /// Starts the program at `path`; its outputs go to files in `folder`.
    pub(crate) async fn serve(path: &str, folder: &Path) -> Result<Self> {
        Self::serve_with(path, &[], folder).await
    }

    /// [`serve`](Self::serve) with further options.
    pub(crate) async fn serve_with(path: &str, options: &[&str], folder: &Path) -> Result<Self> {
        let mut command = Command::new(path);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options);
        let mut child = Child::spawn(&mut command, folder)?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            // The address is the first line, whole once it ends.
            if let Some((url, _)) = child.stdout().split_once('\n') {
                let url = url.trim().to_owned();
                if !url.starts_with("http://") {
                    return Err(
                        format!("the first line of `sockeye serve` is no address: {url}").into(),
                    );
                }
                println!("sockeye serves at {url}");
                return Ok(Self { child, url });
            }
            child.check_running()?;
            if Instant::now() >= deadline {
                return Err(
                    format!("`sockeye serve` prints no address for {START_LIMIT:?}").into(),
                );
            }
            sleep(POLL).await;
        }
    }

    /// The address of its pages.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Kills it at once.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await
    }

    /// Fails when it has ended meanwhile.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        self.child.check_running()
    }
}

const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
