//! Other programs: run to their end, or kept running while they are needed, with errors that show
//! what the program said.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::error::Result;

/// Runs a command to its end and returns what it wrote to stdout.
pub(crate) async fn run(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(RUN_LIMIT, command.output())
        .await
        .map_err(|_| format!("`{line}` has not ended after {RUN_LIMIT:?}"))?
        .map_err(|error| format!("cannot start `{line}`: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = if stderr.trim().is_empty() {
        last_lines(&stdout)
    } else {
        last_lines(&stderr)
    };
    Err(format!("`{line}` failed ({}):\n{said}", output.status).into())
}

/// [`run`] for a command that needs a network: tried again after a while, then after a longer one.
pub(crate) async fn run_with_retries(command: &mut Command) -> Result<String> {
    for pause in RETRY_PAUSES {
        match run(command).await {
            Ok(stdout) => return Ok(stdout),
            Err(error) => eprintln!("{error}\ntrying again in {pause:?}"),
        }
        sleep(pause).await;
    }
    run(command).await
}

/// A program that runs in the background, its outputs in files, and that ends with this value.
pub(crate) struct Child {
    name: String,
    process: tokio::process::Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Child {
    /// Starts `command`; its outputs go to files in `folder`, named after the program.
    pub(crate) fn spawn(command: &mut Command, folder: &Path) -> Result<Self> {
        Self::start(command.stdin(Stdio::null()), folder)
    }

    /// [`spawn`](Self::spawn) for a program that is told something over its stdin.
    pub(crate) fn spawn_with_stdin(
        command: &mut Command,
        folder: &Path,
    ) -> Result<(Self, ChildStdin)> {
        let mut child = Self::start(command.stdin(Stdio::piped()), folder)?;
        let stdin = child.process.stdin.take().ok_or("the stdin is taken")?;
        Ok((child, stdin))
    }

    fn start(command: &mut Command, folder: &Path) -> Result<Self> {
        let name = program(command);
        let output = |kind: &str| {
            let path = folder.join(format!("{name}.{kind}"));
            match File::create(&path) {
                Ok(file) => Ok((path, file)),
                Err(error) => Err(format!("cannot write {}: {error}", path.display())),
            }
        };
        let (stdout, out) = output("stdout")?;
        let (stderr, err) = output("stderr")?;
        let process = command
            .stdout(out)
            .stderr(err)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start `{name}`: {error}"))?;
        Ok(Self {
            name,
            process,
            stdout,
            stderr,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The id of its process; none when it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends a signal to its process.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self
            .id()
            .ok_or_else(|| format!("`{}` has ended", self.name))?;
        signal
            .send(id)
            .map_err(|error| format!("cannot signal {signal:?} to `{}`: {error}", self.name).into())
    }

    /// What it has written to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Waits until it says a line on stderr that `found` finds something in; fails at once when it has ended.
    pub(crate) async fn await_stderr<T>(
        &mut self,
        what: &str,
        found: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            // The last line may not be complete yet.
            let said = read(&self.stderr);
            let mut lines = said
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            if let Some(value) = lines.find_map(|line| found(line.trim_end())) {
                return Ok(value);
            }
            self.check_running()?;
            if Instant::now() >= deadline {
                return Err(self
                    .last_words(&format!("does not say {what} after {START_LIMIT:?}"))
                    .into());
            }
            sleep(POLL).await;
        }
    }

    /// Whether it has ended; an end in failure is an error that shows its last words.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        match self.process.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => Err(self.last_words(&format!("failed ({status})")).into()),
        }
    }

    /// Fails when it has ended, with its last words.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        if self.has_ended()? {
            Err(self.last_words("has ended").into())
        } else {
            Ok(())
        }
    }

    /// Waits until it ends by itself. An end in failure is an error that shows its last words.
    pub(crate) async fn await_end(&mut self) -> Result<()> {
        let status = timeout(END_LIMIT, self.process.wait()).await;
        match status {
            Err(_) => Err(self
                .last_words(&format!("has not ended after {END_LIMIT:?}"))
                .into()),
            Ok(status) => match status? {
                status if status.success() => Ok(()),
                status => Err(self.last_words(&format!("failed ({status})")).into()),
            },
        }
    }

    /// Kills it, and waits for its end.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    fn last_words(&self, event: &str) -> String {
        let words = format!("{}\n{}", read(&self.stdout), read(&self.stderr));
        format!(
            "`{}` {event}:\n{}\n(in full: {}, .stderr)",
            self.name,
            last_lines(&words),
            self.stdout.display()
        )
    }
}

/// A signal to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The process stops until it is told to go on. It cannot refuse.
    Stop,
    /// The process goes on.
    Continue,
}

impl Signal {
    #[cfg(unix)]
    fn send(self, id: u32) -> std::io::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        let id = id.ok_or(std::io::ErrorKind::InvalidInput)?;
        let signal = match self {
            Self::Stop => Signal::STOP,
            Self::Continue => Signal::CONT,
        };
        Ok(kill_process(id, signal)?)
    }

    #[cfg(not(unix))]
    fn send(self, _: u32) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

fn read(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn program(command: &Command) -> String {
    let path = Path::new(command.as_std().get_program());
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn command_line(command: &Command) -> String {
    let mut line = program(command);
    for argument in command.as_std().get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

const SHOWN_LINES: usize = 20;
const START_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const RUN_LIMIT: Duration = Duration::from_secs(15 * 60);
const RETRY_PAUSES: [Duration; 3] = [
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
