//! The output: messages on stdout, for people or for programs.

use std::env;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::mem;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sockeye::Message;
use sockeye::reconnect::topics::Position;
use tokio::time::Instant;

use super::form::Form;
use super::json;
use super::notation;
use super::options::{Binary, Options};
use super::prompt::{Prompt, Redraw, Typed};
use crate::color;
use crate::escape::Escaped;
use crate::exit::say;
use crate::stream::Writer;

/// Prints messages. Bytes wait here until stdout takes them. The prompt always follows them.
pub(super) struct Printer {
    stdout: Stdout,
    format: Format,
    waiting: Vec<u8>,
    prompt: Option<Prompt>,
    // Bytes of messages that were not printed.
    lost: usize,
}

enum Stdout {
    Open(Writer),
    /// A write has failed. Nothing more is printed.
    Failed,
}

impl Printer {
    pub(super) fn new(options: &Options) -> Self {
        let for_terminal = io::stdout().is_terminal();
        Self {
            stdout: Stdout::Open(Writer::start()),
            format: Format {
                for_terminal,
                // The colour tells received messages from typed lines.
                is_colored: for_terminal && io::stdin().is_terminal() && color::is_wanted(),
                binary: options.binary,
                json: options.json,
            },
            waiting: Vec::new(),
            prompt: None,
            lost: 0,
        }
    }

    /// Takes a message to be printed.
    pub(super) fn feed(&mut self, message: &Message) {
        let format = self.format;
        if let Stdout::Open(_) = self.stdout {
            self.above_prompt(|waiting| format.render(message, waiting));
        }
    }

    /// Takes a message of a topic to be printed. A message without a topic has an empty one.
    pub(super) fn feed_of_topic(&mut self, topic: &str, at: Option<Position>, message: &Message) {
        let format = self.format;
        if let Stdout::Open(_) = self.stdout {
            self.above_prompt(|waiting| format.render_of_topic(topic, at, message, waiting));
        }
    }

    /// Writes lines of the program to stderr. If stdout and stderr are a terminal, the lines go to stdout: so they follow
    /// the messages that were printed before, and stand above the prompt.
    pub(super) fn tell(&mut self, lines: &str) {
        if self.format.for_terminal && io::stderr().is_terminal() {
            self.above_prompt(|waiting| waiting.extend_from_slice(lines.as_bytes()));
        } else {
            say(lines);
        }
    }

    /// Starts a prompt if stdin and stdout are a terminal. Returns whether there is one. It is not shown yet.
    pub(super) fn start_prompt(&mut self, form: Form) -> bool {
        let is_dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
        // Raw bytes may move the cursor.
        let is_raw = self.format.binary == Some(Binary::Raw) && !self.format.json;
        if io::stdin().is_terminal() && self.format.for_terminal && !is_dumb && !is_raw {
            self.prompt = Prompt::start(form);
        }
        self.prompt.is_some()
    }

    pub(super) fn has_prompt(&self) -> bool {
        self.prompt.is_some()
    }

    pub(super) fn show_prompt(&mut self) {
        if let Some(prompt) = &mut self.prompt {
            prompt.show(&mut self.waiting);
        }
    }

    pub(super) fn redraw_prompt(&mut self, why: Redraw) {
        if let Some(prompt) = &mut self.prompt {
            prompt.redraw(why, &mut self.waiting);
        }
    }

    pub(super) fn hide_prompt(&mut self) {
        if let Some(prompt) = &mut self.prompt {
            prompt.hide(&mut self.waiting);
        }
    }

    /// Ends the prompt: no more keys are read.
    pub(super) fn end_prompt(&mut self) {
        if let Some(prompt) = self.prompt.take() {
            prompt.end(&mut self.waiting);
        }
    }

    /// Passes keys to the prompt. Returns the lines that they complete.
    pub(super) fn press(&mut self, keys: &[u8]) -> Vec<Typed> {
        let prompt = self.prompt.as_mut();
        prompt.map_or_else(Vec::new, |prompt| {
            prompt.press(keys, Instant::now().into_std(), &mut self.waiting)
        })
    }

    fn above_prompt(&mut self, print: impl FnOnce(&mut Vec<u8>)) {
        let was_shown = self.prompt.as_ref().is_some_and(Prompt::is_shown);
        self.hide_prompt();
        print(&mut self.waiting);
        if was_shown {
            self.show_prompt();
        }
    }

    /// Counts a message that is not printed as lost.
    pub(super) fn skip(&mut self, message: &Message) {
        self.lost += message.as_bytes().len();
    }

    /// Whether another message may wait. If not, the peer is slowed down.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Whether there is nothing left to print.
    pub(super) fn is_idle(&self) -> bool {
        match &self.stdout {
            Stdout::Open(writer) => self.waiting.is_empty() && writer.pending() == 0,
            Stdout::Failed => true,
        }
    }

    /// Passes the waiting bytes to stdout, if stdout has taken all earlier bytes.
    pub(super) fn hand_over(&mut self) {
        if let Stdout::Open(writer) = &self.stdout
            && writer.pending() == 0
            && !self.waiting.is_empty()
        {
            writer.push(mem::take(&mut self.waiting));
        }
    }

    /// Prints the waiting bytes, or a part of them. After an error nothing more is printed.
    ///
    /// Cancel safe: nothing is lost, and nothing is printed twice.
    pub(super) async fn print(&mut self) -> io::Result<()> {
        self.hand_over();
        let Stdout::Open(writer) = &self.stdout else {
            return Ok(());
        };
        let Err(error) = writer.flushed().await else {
            return Ok(());
        };
        self.stdout = Stdout::Failed;
        self.waiting = Vec::new();
        // A terminal that is gone is reported like a pipe without a reader.
        match error.raw_os_error() == Some(EIO) && self.format.for_terminal {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Err(error),
        }
    }

    /// Returns the time at which stdout last took a byte, or got bytes when none waited.
    pub(super) fn progressed_at(&self) -> Instant {
        match &self.stdout {
            Stdout::Open(writer) => writer.progressed_at().into(),
            Stdout::Failed => Instant::now(),
        }
    }

    /// Returns the number of bytes that were not printed, and will not be.
    pub(super) fn lost(&self) -> usize {
        match &self.stdout {
            Stdout::Open(writer) => self.lost + self.waiting.len() + writer.pending(),
            // The failed write is reported on its own.
            Stdout::Failed => 0,
        }
    }
}

/// `EIO` of errno.h: the terminal is gone.
const EIO: i32 = 5;

/// The number of waiting bytes from which on no message is taken.
const MAX_WAITING: usize = 64 * 1024;

/// How messages are printed.
#[derive(Clone, Copy, Debug, Default)]
struct Format {
    for_terminal: bool,
    is_colored: bool,
    binary: Option<Binary>,
    json: bool,
}

impl Format {
    fn render(&self, message: &Message, out: &mut Vec<u8>) {
        match self.line(message) {
            Some(line) => self.push(&line, out),
            None => out.extend_from_slice(message.as_bytes()),
        }
    }

    fn render_of_topic(
        &self,
        topic: &str,
        at: Option<Position>,
        message: &Message,
        out: &mut Vec<u8>,
    ) {
        // An object is one line, also on a terminal.
        let for_terminal = self.for_terminal && !self.json;
        let format = Self {
            for_terminal,
            ..*self
        };
        let Some(line) = format.line(message) else {
            return out.extend_from_slice(message.as_bytes());
        };
        let line = match self.json {
            true => {
                let topic = json::string(topic);
                let at = at.map_or(String::new(), |at| format!(",\"at\":\"{at}\""));
                format!("{{\"topic\":{topic}{at},\"message\":{line}}}")
            }
            false => format!("{}\t{line}", Escaped(topic)),
        };
        self.push(&line, out);
    }

    /// Returns the text for a message. `None` if the bytes themselves are printed.
    fn line(&self, message: &Message) -> Option<String> {
        match message.as_text() {
            Some(text) => Some(self.text(text)),
            None => self.binary(message.as_bytes()),
        }
    }

    fn push(&self, line: &str, out: &mut Vec<u8>) {
        if self.is_colored {
            out.extend_from_slice(color::RECEIVED);
        }
        out.extend_from_slice(line.as_bytes());
        if self.is_colored {
            out.extend_from_slice(color::PLAIN);
        }
        out.push(b'\n');
    }

    fn text(&self, text: &str) -> String {
        match self.json {
            true => json::value(text, self.for_terminal),
            false => notation::write(text, self.for_terminal).into_owned(),
        }
    }

    /// Returns the text for a binary message. `None` if the bytes themselves are printed.
    fn binary(&self, bytes: &[u8]) -> Option<String> {
        let encoded = match self.binary {
            None if self.for_terminal && !self.json => {
                return Some(format!("<{} bytes>", bytes.len()));
            }
            Some(Binary::Raw) if !self.json => return None,
            Some(Binary::Hex) => hex(bytes),
            _ => BASE64_STANDARD.encode(bytes),
        };
        Some(if self.json {
            format!("{{\"binary\":\"{encoded}\"}}")
        } else {
            encoded
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Format = Format {
        for_terminal: false,
        is_colored: false,
        binary: None,
        json: false,
    };
    const TERMINAL: Format = Format {
        for_terminal: true,
        ..PIPE
    };

    fn rendered(message: impl Into<Message>, format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        format.render(&message.into(), &mut out);
        out
    }

    fn with(binary: Binary, format: Format) -> Format {
        let binary = Some(binary);
        Format { binary, ..format }
    }

    #[test]
    fn a_terminal_is_shown_one_harmless_line_for_each_message() {
        let text = "a\nb\u{1b}[2J\t\u{202e}";
        assert_eq!(rendered(text, TERMINAL), b"a\\nb\\u{1b}[2J\\t\\u{202e}\n");
        assert_eq!(rendered(vec![0, 159, 146], TERMINAL), b"<3 bytes>\n");
        let colored = Format {
            is_colored: true,
            ..TERMINAL
        };
        assert_eq!(rendered("a\u{1b}", colored), b"\x1b[36ma\\u{1b}\x1b[0m\n");
    }

    #[test]
    fn a_program_is_given_one_line_for_each_message() {
        assert_eq!(
            rendered("a\r\nb\u{1b}\t\\", PIPE),
            b"a\\r\\nb\\u{1b}\t\\\\\n"
        );
        assert_eq!(
            rendered("\u{9b}é\u{202e}", PIPE),
            "\\u{9b}é\u{202e}\n".as_bytes()
        );
        assert_eq!(rendered(vec![0, 159], PIPE), b"AJ8=\n");
    }

    #[test]
    fn bytes_are_printed_as_they_were_asked_for() {
        for format in [PIPE, TERMINAL] {
            assert_eq!(
                rendered(vec![0, 159], with(Binary::Base64, format)),
                b"AJ8=\n"
            );
            assert_eq!(rendered(vec![0, 159], with(Binary::Hex, format)), b"009f\n");
            assert_eq!(rendered(vec![0, 159], with(Binary::Raw, format)), [0, 159]);
        }
    }

    #[test]
    fn a_message_of_a_topic_stands_behind_its_topic() {
        let at: Position = "AAAAAAAAAAE:1:AAAAAAAAAAo".parse().expect("a position");
        let line = |format: Format, topic: &str, at, message: Message| {
            let mut out = Vec::new();
            format.render_of_topic(topic, at, &message, &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(
            line(PIPE, "a/b", Some(at), "x\ty\n".into()),
            "a/b\tx\ty\\n\n"
        );
        assert_eq!(
            line(TERMINAL, "a\u{202e}", None, vec![1].into()),
            "a\\u{202e}\t<1 bytes>\n"
        );
        let json = Format {
            json: true,
            ..TERMINAL
        };
        assert_eq!(
            line(json, "a", Some(at), "{\"n\": 1}".into()),
            "{\"topic\":\"a\",\"at\":\"AAAAAAAAAAE:1:AAAAAAAAAAo\",\"message\":{\"n\":1}}\n"
        );
        assert_eq!(
            line(json, "", None, "x".into()),
            "{\"topic\":\"\",\"message\":\"x\"}\n"
        );
    }

    #[test]
    fn every_message_is_printed_as_json() {
        let json = |format| Format {
            json: true,
            ..format
        };
        assert_eq!(rendered("{\"a\": 1}", json(PIPE)), b"{\"a\":1}\n");
        assert_eq!(
            rendered("{\"a\": 1}", json(TERMINAL)),
            b"{\n  \"a\": 1\n}\n"
        );
        assert_eq!(rendered("hi\n", json(PIPE)), b"\"hi\\n\"\n");
        for (format, line) in [
            (PIPE, r#"{"binary":"AJ8="}"#),
            (with(Binary::Raw, PIPE), r#"{"binary":"AJ8="}"#),
            (with(Binary::Hex, TERMINAL), r#"{"binary":"009f"}"#),
        ] {
            let expected = format!("{line}\n");
            assert_eq!(rendered(vec![0, 159], json(format)), expected.as_bytes());
        }
    }
}
