//! The record of a talk: a file with one JSON object on each line. Only the user of the program can read it. It has no
//! credentials of the connection.

use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sockeye::{CloseReason, Message};
use url::Url;

use super::json;
use crate::time::rfc3339;

/// Writes the record. Each line is written when it is complete.
pub(super) struct Recorder<W: Write = LineWriter<File>> {
    out: W,
    path: PathBuf,
}

/// A line of the record.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Binary {
        binary: String,
    },
    Closed {
        code: u16,
        reason: &'a str,
    },
    Lost {
        error: &'a str,
    },
    Opened {
        url: &'a str,
        subprotocol: Option<&'a str>,
        extensions: &'a str,
    },
    Text {
        text: &'a str,
    },
}

impl Recorder {
    /// Creates the file. An existing file is never changed: it may be another record, and other users may be able to
    /// read it.
    pub(super) fn create(path: &Path) -> Result<Self, RecordError> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => Ok(Self {
                out: LineWriter::new(file),
                path: path.to_owned(),
            }),
            Err(error) => Err(RecordError(path.to_owned(), error)),
        }
    }
}

impl<W: Write> Recorder<W> {
    pub(super) fn opened(
        &mut self,
        url: &str,
        subprotocol: Option<&str>,
        extensions: &str,
    ) -> Result<(), RecordError> {
        let url = without_credentials(url);
        self.write(
            "opened",
            What::Opened {
                url: &url,
                subprotocol,
                extensions,
            },
        )
    }

    pub(super) fn sent(&mut self, message: &Message) -> Result<(), RecordError> {
        self.write("sent", payload(message))
    }

    pub(super) fn received(&mut self, message: &Message) -> Result<(), RecordError> {
        self.write("received", payload(message))
    }

    pub(super) fn closed(&mut self, reason: &CloseReason) -> Result<(), RecordError> {
        let (code, reason) = (reason.code().get(), reason.reason());
        self.write("closed", What::Closed { code, reason })
    }

    pub(super) fn lost(&mut self, error: &str) -> Result<(), RecordError> {
        self.write("lost", What::Lost { error })
    }

    fn write(&mut self, event: &'static str, what: What<'_>) -> Result<(), RecordError> {
        let time = rfc3339(SystemTime::now());
        let line = Line { time, event, what };
        let written = serde_json::to_string(&line).map_err(io::Error::from);
        let written = written.and_then(|line| {
            let mut line = json::escaped(&line);
            line.push('\n');
            self.out.write_all(line.as_bytes())
        });
        written.map_err(|error| RecordError(self.path.clone(), error))
    }
}

/// Returns the URL without user, password, query and fragment. Each may hold a secret.
fn without_credentials(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return String::new();
    };
    // Neither call fails for a URL that has a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn payload(message: &Message) -> What<'_> {
    match message.as_text() {
        Some(text) => What::Text { text },
        None => What::Binary {
            binary: BASE64_STANDARD.encode(message.as_bytes()),
        },
    }
}

/// The error of a record that cannot be written.
#[derive(Debug)]
pub(super) struct RecordError(PathBuf, io::Error);

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(path, error) = self;
        let path = path.display();
        match error.kind() {
            io::ErrorKind::AlreadyExists => write!(
                f,
                "cannot record in {path}: the file exists; choose another name, or remove it"
            ),
            _ => write!(f, "cannot write {path}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sockeye::CloseCode;

    use super::*;

    /// Returns the lines of a record without their times.
    fn lines(write: impl FnOnce(&mut Recorder<Vec<u8>>) -> Result<(), RecordError>) -> Vec<String> {
        let mut recorder = Recorder {
            out: Vec::new(),
            path: PathBuf::new(),
        };
        write(&mut recorder).expect("memory");
        let text = String::from_utf8(recorder.out).expect("UTF-8");
        let lines = text.lines().map(|line| {
            let (start, rest) = line.split_at(r#"{"time":"2026-07-09T16:04:05.678Z","#.len());
            assert!(start.starts_with(r#"{"time":"2"#), "{line}");
            rest.to_owned()
        });
        lines.collect()
    }

    #[test]
    fn each_event_is_a_line_with_its_time() {
        let lines = lines(|recorder| {
            recorder.opened("ws://a/", None, "")?;
            recorder.sent(&"a\n\u{1b}".into())?;
            recorder.received(&vec![0, 159].into())?;
            recorder.lost("gone")?;
            recorder.closed(&CloseReason::new(CloseCode::NORMAL, "bye").expect("a reason"))
        });
        let expected = [
            r#""event":"opened","url":"ws://a/","subprotocol":null,"extensions":""}"#,
            r#""event":"sent","text":"a\n\u001b"}"#,
            r#""event":"received","binary":"AJ8="}"#,
            r#""event":"lost","error":"gone"}"#,
            r#""event":"closed","code":1000,"reason":"bye"}"#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn characters_that_a_terminal_obeys_are_escaped_and_no_value_changes() {
        let text = "\u{9b}2J\u{7f}\u{202e}\u{2066}\u{200b}\u{feff}\u{e0001}é \"q\" \\ /";
        let lines = lines(|recorder| {
            recorder.received(&text.into())?;
            recorder.lost(text)?;
            recorder.closed(&CloseReason::new(CloseCode::NORMAL, text).expect("a reason"))
        });
        for (line, name) in lines.iter().zip(["text", "error", "reason"]) {
            assert!(!line.contains(crate::escape::is_deceptive), "{line}");
            let value: serde_json::Value =
                serde_json::from_str(&format!("{{{line}")).expect("JSON");
            assert_eq!(value[name], text);
        }
    }

    #[test]
    fn a_url_is_recorded_without_the_parts_that_may_be_secret() {
        for (url, recorded) in [
            ("ws://user:SECRET@host/path", "ws://host/path"),
            ("ws://SECRET@host", "ws://host/"),
            ("wss://:SECRET@[::1]:8443/a%20b", "wss://[::1]:8443/a%20b"),
            (
                "ws://u%3A:S%40ECRET@host:81/?token=SECRET#x",
                "ws://host:81/",
            ),
        ] {
            assert_eq!(without_credentials(url), recorded);
        }
    }
}
