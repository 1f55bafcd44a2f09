//! The processes of a run, each on the processor that it is given.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Serialize;

use crate::Result;
use crate::load::Cost;

/// This program again, as another of its parts.
pub(crate) fn own(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Command> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.args(arguments);
    Ok(command)
}

/// What a program measures, as it prints it.
pub(crate) fn cost(processor: u32, program: &Command) -> Result<Cost> {
    let mut running = pinned(processor, program, Stdio::piped())?;
    let line = running.first_line()?;
    if line.is_empty() {
        return Err(running.complaint());
    }
    serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))
}

/// A process that ends when it is dropped.
pub(crate) struct Running {
    child: Child,
    /// Open for as long as the process may write there.
    stdout: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn first_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        Ok(line.trim().to_owned())
    }

    /// Tells a program that waits for it to go on. One that waits for the end of its input stops.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or("stdin is not piped")?;
        let written = stdin.write_all(b"\n").and_then(|()| stdin.flush());
        written.map_err(|error| format!("a process has ended too early: {error}"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stderr before it ended.
    pub(crate) fn complaint(&mut self) -> String {
        let mut said = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut said);
        }
        said.trim().trim_start_matches("bench: ").to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program on one processor.
pub(crate) fn pinned(processor: u32, program: &Command, stderr: Stdio) -> Result<Running> {
    start(
        Priority::Normal,
        processor,
        program,
        Stdio::inherit(),
        stderr,
    )
}

/// A program of that priority on one processor, which [`Running::go_on`] can speak to.
pub(crate) fn conversing(priority: Priority, processor: u32, program: &Command) -> Result<Running> {
    start(priority, processor, program, Stdio::piped(), Stdio::piped())
}

fn start(
    priority: Priority,
    processor: u32,
    program: &Command,
    stdin: Stdio,
    stderr: Stdio,
) -> Result<Running> {
    let processor = processor.to_string();
    let mut line = priority.prefix().to_vec();
    line.extend(["taskset", "--cpu-list", &processor]);
    let mut child = Command::new(line[0])
        .args(&line[1..])
        .arg(program.get_program())
        .args(program.get_args())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", line[0]))?;
    let stdout = child.stdout.take().ok_or("stdout is piped")?;
    let stdout = BufReader::new(stdout);
    Ok(Running { child, stdout })
}

/// How urgent a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Priority {
    /// It runs as soon as it is ready (`SCHED_FIFO`).
    Fifo,
    /// It gets some ten times the share of others (a nice value of -10).
    Nice,
    Normal,
}

impl Priority {
    /// The highest that this user may give a process.
    pub(crate) fn highest() -> Self {
        // `nice` runs a program even where it may not raise it, so the program tells its value.
        let nice_value = |prefix: &[&str]| {
            let output = Command::new(prefix[0])
                .args(&prefix[1..])
                .arg("nice")
                .stderr(Stdio::null())
                .output();
            output
                .ok()
                .filter(|output| output.status.success())
                .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        if nice_value(Self::Fifo.prefix()).is_some() {
            return Self::Fifo;
        }
        if nice_value(Self::Nice.prefix()).is_some_and(|value| value.starts_with('-')) {
            return Self::Nice;
        }
        Self::Normal
    }

    /// What stands before a command line.
    fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Fifo => &["chrt", "--fifo", "10"],
            Self::Nice => &["nice", "-n", "-10"],
            Self::Normal => &[],
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fifo => "SCHED_FIFO",
            Self::Nice => "nice -10",
            Self::Normal => "no higher priority: neither SCHED_FIFO nor nice is permitted",
        })
    }
}
