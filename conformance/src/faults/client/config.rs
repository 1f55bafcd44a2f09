//! What a process of clients is told in a file. The process in Node reads the same file.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::Result;

/// The configuration of a process of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::faults) struct Config {
    /// The file of the log.
    pub(in crate::faults) log: PathBuf,
    /// The number of clients.
    pub(in crate::faults) clients: usize,
    pub(in crate::faults) seed: u64,
    /// The addresses of the nodes, `host:port`.
    pub(in crate::faults) nodes: Vec<String>,
    /// The names of the topics.
    pub(in crate::faults) topics: Vec<String>,
    /// The places in `topics` of those that have members.
    pub(in crate::faults) with_members: Vec<usize>,
}

impl Config {
    /// Writes the file.
    pub(in crate::faults) fn write(&self, path: &Path) -> Result<()> {
        let value = json!({
            "log": self.log,
            "clients": self.clients,
            // A number of JavaScript has 53 bits.
            "seed": self.seed >> 11,
            "nodes": self.nodes,
            "topics": self.topics,
            "with_members": self.with_members,
        });
        crate::judges::write(path, value.to_string())
    }

    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let value: Value = serde_json::from_str(&text)?;
        Self::of(&value).ok_or_else(|| format!("{} is incomplete", path.display()).into())
    }

    fn of(value: &Value) -> Option<Self> {
        let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
        let texts = |name: &str| {
            let texts = value[name].as_array()?.iter();
            texts
                .map(|text| text.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        };
        Some(Self {
            log: value["log"].as_str()?.into(),
            clients: number(&value["clients"])?,
            seed: value["seed"].as_u64()?,
            nodes: texts("nodes")?,
            topics: texts("topics")?,
            with_members: value["with_members"]
                .as_array()?
                .iter()
                .map(number)
                .collect::<Option<_>>()?,
        })
    }
}
