//! What was said, in a file: one JSON object a line.

use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sockeye::{CloseReason, Message};

use crate::clock::rfc3339;

/// Writes down what happens. Each line is written when it is complete.
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
    /// Starts a record anew.
    pub(super) fn create(path: &Path) -> Result<Self, RecordError> {
        match File::create(path) {
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
        self.write(
            "opened",
            What::Opened {
                url,
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
        let written = serde_json::to_vec(&line).map_err(io::Error::from);
        let written = written.and_then(|mut line| {
            line.push(b'\n');
            self.out.write_all(&line)
        });
        written.map_err(|error| RecordError(self.path.clone(), error))
    }
}

fn payload(message: &Message) -> What<'_> {
    match message.as_text() {
        Some(text) => What::Text { text },
        None => What::Binary {
            binary: BASE64_STANDARD.encode(message.as_bytes()),
        },
    }
}

/// The record cannot be written.
#[derive(Debug)]
pub(super) struct RecordError(PathBuf, io::Error);

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot write {}: {}", self.0.display(), self.1)
    }
}

#[cfg(test)]
mod tests {
    use sockeye::CloseCode;

    use super::*;

    #[test]
    fn each_event_is_a_line_with_its_time() {
        let mut recorder = Recorder {
            out: Vec::new(),
            path: PathBuf::new(),
        };
        recorder.opened("ws://a/", None, "").expect("memory");
        recorder.sent(&"a\n\u{1b}".into()).expect("memory");
        recorder.received(&vec![0, 159].into()).expect("memory");
        recorder.lost("gone").expect("memory");
        let reason = CloseReason::new(CloseCode::NORMAL, "bye").expect("a reason");
        recorder.closed(&reason).expect("memory");
        let text = String::from_utf8(recorder.out).expect("UTF-8");
        let rest: Vec<_> = text
            .lines()
            .map(|line| {
                let (start, rest) = line.split_at(r#"{"time":"2026-07-09T16:04:05.678Z","#.len());
                assert!(start.starts_with(r#"{"time":"2"#), "{line}");
                rest
            })
            .collect();
        let expected = [
            r#""event":"opened","url":"ws://a/","subprotocol":null,"extensions":""}"#,
            r#""event":"sent","text":"a\n\u001b"}"#,
            r#""event":"received","binary":"AJ8="}"#,
            r#""event":"lost","error":"gone"}"#,
            r#""event":"closed","code":1000,"reason":"bye"}"#,
        ];
        assert_eq!(rest, expected);
    }
}
