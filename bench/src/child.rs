//! The processes of a run, each on the processor that it is given.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

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

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stderr before it ended.
    fn complaint(&mut self) -> String {
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
    let mut child = Command::new("taskset")
        .args(["--cpu-list", &processor.to_string()])
        .arg(program.get_program())
        .args(program.get_args())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("cannot start `taskset` (util-linux): {error}"))?;
    let stdout = child.stdout.take().ok_or("stdout is piped")?;
    let stdout = BufReader::new(stdout);
    Ok(Running { child, stdout })
}
