//! A process of clients, as the run sees it.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};

use super::client::Config;
use super::line::Line;
use crate::error::Result;
use crate::judges;
use crate::process::Child;

/// A process of clients. It ends with this value.
pub(super) struct Party {
    name: String,
    child: Child,
    stdin: ChildStdin,
    log: PathBuf,
}

impl Party {
    /// Starts a process of clients with a folder of its own.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        folder: &Path,
        mut config: Config,
    ) -> Result<Self> {
        judges::make_folder(folder)?;
        let (told, log) = (folder.join("config.json"), folder.join("log.jsonl"));
        config.log = log.clone();
        config.write(&told)?;
        let (child, stdin) = Child::spawn_with_stdin(command.arg(told), folder)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stdin,
            log,
        })
    }

    /// Tells the process a word. Fails when the process has ended.
    pub(super) async fn tell(&mut self, word: &str) -> Result<()> {
        self.child.check_running()?;
        self.stdin.write_all(format!("{word}\n").as_bytes()).await?;
        Ok(())
    }

    /// Ends the process, and reads its log.
    pub(super) async fn end(mut self) -> Result<(String, Vec<Line>)> {
        self.tell("end").await?;
        drop(self.stdin);
        self.child.await_end().await?;
        let text = fs::read_to_string(&self.log)
            .map_err(|error| format!("cannot read {}: {error}", self.log.display()))?;
        let lines = text.lines().map(Line::read).collect::<Result<_>>()?;
        Ok((self.name, lines))
    }
}
