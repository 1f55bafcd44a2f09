//! The line protocol between a check and a puppet. Words are separated by a space; a payload is base64,
//! `-` when it is empty.
//!
//! | command | what the puppet does |
//! |---|---|
//! | `version` | answers its library's |
//! | `connect URL DEFLATE` | opens a connection, as a client |
//! | `accept DEFLATE` | serves at a free port from now on, which it answers |
//! | `text P`, `binary P` | sends a message |
//! | `fragments text\|binary P P …` | sends one in fragments, with a Ping between them |
//! | `ping P` | sends a Ping |
//! | `close CODE P` | starts the closing handshake; `-` is no code |
//!
//! DEFLATE is `off`, `on` for what the library does by itself, or `1,0,15,9`: whether the server and whether
//! the client drop their contexts, and the bits of their windows.
//!
//! Each command is answered by one line: `ok [WORD]`, `cannot WHY` when the library has no way, or
//! `failed WHY`. Between these come `event open` (a server's connection), `event text P`, `event binary P` and
//! `event closed CODE P`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sockeye::CloseReason;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::Result;

/// What an end of a connection tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Open,
    Text(String),
    Binary(Vec<u8>),
    /// No puppet tells of them: the wire does.
    Pong(Vec<u8>),
    Closed {
        code: u16,
        reason: String,
    },
}

impl Event {
    pub(super) fn closed(reason: &CloseReason) -> Self {
        Self::Closed {
            code: reason.code().get(),
            reason: reason.reason().to_owned(),
        }
    }
}

/// What comes of a command.
pub(super) enum Answer {
    Ok(String),
    Cannot(String),
}

/// A running puppet; it ends with this value.
pub(super) struct Puppet {
    _process: Child,
    stdin: ChildStdin,
    answers: mpsc::Receiver<String>,
    events: mpsc::Receiver<Event>,
    said: PathBuf,
}

impl Puppet {
    /// Starts a puppet; what it says on stderr goes to the file `said`.
    pub(super) async fn start(command: &mut Command, said: PathBuf) -> Result<Self> {
        let stderr = std::fs::File::create(&said)
            .map_err(|error| format!("cannot write {}: {error}", said.display()))?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {:?}: {error}", command.as_std()))?;
        let stdin = process.stdin.take().ok_or("a puppet without stdin")?;
        let stdout = process.stdout.take().ok_or("a puppet without stdout")?;
        let (to_answers, answers) = mpsc::channel(16);
        let (to_events, events) = mpsc::channel(1024);
        tokio::spawn(sort(stdout, to_answers, to_events));
        Ok(Self {
            _process: process,
            stdin,
            answers,
            events,
            said,
        })
    }

    /// The version of its library.
    pub(super) async fn version(&mut self) -> Result<String> {
        match self.command("version").await? {
            Answer::Ok(version) => Ok(version),
            Answer::Cannot(why) => Err(why.into()),
        }
    }

    /// Has a command carried out.
    pub(super) async fn command(&mut self, line: &str) -> Result<Answer> {
        self.stdin.write_all(line.as_bytes()).await?;
        self.stdin.write_all(b"\n").await?;
        let verb = line.split(' ').next().unwrap_or_default();
        let answer = timeout(LIMIT, self.answers.recv())
            .await
            .map_err(|_| format!("`{verb}` is not answered within {LIMIT:?}"))?
            .ok_or_else(|| format!("the puppet is gone: see {}", self.said.display()))?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("ok", word) => Ok(Answer::Ok(word.to_owned())),
            ("cannot", why) => Ok(Answer::Cannot(why.to_owned())),
            (_, why) => Err(format!("`{verb}` failed: {why}").into()),
        }
    }

    /// What it tells next.
    pub(super) async fn event(&mut self) -> Result<Event> {
        let event = timeout(LIMIT, self.events.recv()).await;
        event
            .map_err(|_| format!("the peer tells nothing within {LIMIT:?}"))?
            .ok_or_else(|| format!("the puppet is gone: see {}", self.said.display()).into())
    }

    /// Forgets what was told, and answered too late, about former connections.
    pub(super) fn forget(&mut self) {
        while self.events.try_recv().is_ok() {}
        while self.answers.try_recv().is_ok() {}
    }
}

async fn sort(
    stdout: ChildStdout,
    answers: mpsc::Sender<String>,
    events: mpsc::Sender<Event>,
) -> Option<()> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.strip_prefix("event ") {
            Some(event) => events.send(parse(event)?).await.ok()?,
            None => answers.send(line).await.ok()?,
        }
    }
    Some(())
}

fn parse(event: &str) -> Option<Event> {
    let words: Vec<&str> = event.split(' ').collect();
    Some(match *words {
        ["open"] => Event::Open,
        ["text", payload] => Event::Text(text(payload)?),
        ["binary", payload] => Event::Binary(decode(payload)?),
        ["closed", code, reason] => Event::Closed {
            code: code.parse().ok()?,
            reason: text(reason)?,
        },
        _ => return None,
    })
}

/// A payload as a word.
pub(super) fn encode(payload: &[u8]) -> String {
    if payload.is_empty() {
        return "-".to_owned();
    }
    BASE64_STANDARD.encode(payload)
}

fn decode(word: &str) -> Option<Vec<u8>> {
    match word {
        "-" => Some(Vec::new()),
        _ => BASE64_STANDARD.decode(word).ok(),
    }
}

fn text(word: &str) -> Option<String> {
    String::from_utf8(decode(word)?).ok()
}

/// How long anything may take: far longer than it does.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_are_written() {
        let bytes = vec![0, 255, 3];
        let line = format!("binary {}", encode(&bytes));
        assert_eq!(parse(&line), Some(Event::Binary(bytes)));
        assert_eq!(parse("text -"), Some(Event::Text(String::new())));
        assert_eq!(parse("closed 1000"), None);
    }
}
