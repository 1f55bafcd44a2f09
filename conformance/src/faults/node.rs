//! A node of the world: a process `sockeye serve`, always on the same port.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sockeye_engine_kit::checker::Millis;
use tokio::process::Command;

use super::clock;
use crate::error::Result;
use crate::process::{Child, Signal};
use crate::{judges, port};

/// A node. Its process ends with this value.
pub(super) struct Node {
    pub(super) name: String,
    address: SocketAddr,
    program: PathBuf,
    topics: PathBuf,
    /// The URL of its engine. `None` for an engine in its memory.
    engine: Option<String>,
    folder: PathBuf,
    lives: usize,
    child: Option<Child>,
}

impl Node {
    /// Starts a node with a folder of its own.
    pub(super) async fn start(
        name: String,
        program: PathBuf,
        topics: PathBuf,
        engine: Option<String>,
        folder: PathBuf,
    ) -> Result<Self> {
        let mut node = Self {
            name,
            address: port::pick_free().await?,
            program,
            topics,
            engine,
            folder,
            lives: 0,
            child: None,
        };
        node.start_again().await?;
        Ok(node)
    }

    /// Starts a node that has ended.
    pub(super) async fn start_again(&mut self) -> Result<()> {
        self.lives += 1;
        let folder = self.folder.join(format!("life-{}", self.lives));
        judges::make_folder(&folder)?;
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--listen", &self.address.to_string()])
            .args(["--node", &self.name])
            .arg("--topics")
            .arg(&self.topics);
        if let Some(engine) = &self.engine {
            command.args(["--redis", engine]);
        }
        let mut child = Child::spawn(&mut command, &folder)?;
        port::await_listener(self.address, &mut child).await?;
        self.child = Some(child);
        Ok(())
    }

    /// Returns `host:port`.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Kills the node at once.
    pub(super) async fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().ok_or("the node does not run")?;
        child.signal(signal)
    }

    /// Fails when the node has ended by itself.
    pub(super) fn check_running(&mut self) -> Result<()> {
        self.child.as_mut().map_or(Ok(()), Child::check_running)
    }

    /// Returns what the process of each life logged, by its lines with their times.
    pub(super) fn said(&self) -> Vec<(Millis, String)> {
        let name = self.program.file_name().unwrap_or_default();
        let file = Path::new(name).with_extension("stderr");
        let texts = (1..=self.lives).map(|life| {
            let folder = self.folder.join(format!("life-{life}"));
            fs::read_to_string(folder.join(&file)).unwrap_or_default()
        });
        let said = |line: &str| {
            let (time, words) = line.split_once(' ')?;
            Some((clock::read(time)?, words.to_owned()))
        };
        let texts: Vec<String> = texts.collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        lines.filter_map(said).collect()
    }

    /// Returns the processor time of all threads of the process. `None` if it does not run, or the system does not tell.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        let id = self.child.as_ref()?.id()?;
        let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?;
        let times = threads.flatten().map(|thread| {
            // The first number is the time on a processor, in nanoseconds.
            let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            times.split(' ').next()?.parse::<u64>().ok()
        });
        let nanoseconds: Option<u64> = times.sum();
        nanoseconds.map(Duration::from_nanos)
    }

    /// Returns the resident memory of the process in bytes. `None` if it does not run, or the system does not tell.
    pub(super) fn memory(&self) -> Option<u64> {
        let id = self.child.as_ref()?.id()?;
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kilobytes * 1024)
    }
}
