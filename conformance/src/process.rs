//! Other programs: run to their end, or kept running while they are needed, with errors that show
//! what the program said.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
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
            .stdin(Stdio::null())
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
const POLL: Duration = Duration::from_millis(50);
const RUN_LIMIT: Duration = Duration::from_secs(15 * 60);
const RETRY_PAUSES: [Duration; 3] = [
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
