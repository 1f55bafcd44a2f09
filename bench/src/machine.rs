//! Where and of what figures were taken: without that they say nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    pub(crate) date: String,
    /// What was checked out, and whether it was changed since.
    pub(crate) revision: String,
    pub(crate) rustc: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let of = |name| {
            cpus.lines()
                .filter_map(|line| line.split_once(':'))
                .filter(move |(field, _)| field.trim() == name)
                .map(|(_, value)| value.trim())
        };
        let changed = !output("git", &["status", "--porcelain"]).is_empty();
        let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
        Self {
            processor: of("model name").next().unwrap_or("unknown").to_owned(),
            processors: of("processor").count(),
            kernel: output("uname", &["-sr"]),
            date: output("date", &["-u", "+%Y-%m-%d"]),
            revision: commit + if changed { ", changed" } else { "" },
            rustc: output("rustc", &["--version"]),
        }
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// What a program says, or nothing: a figure is not lost because git is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
