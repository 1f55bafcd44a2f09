//! Messages on stdout, for people or for programs.

use std::io::{self, IsTerminal};

use sockeye::Message;
use tokio::io::{AsyncWriteExt, Stdout};

use crate::escape::Escaped;

/// Prints messages. Writing to stdout may block, so what is to be printed waits here meanwhile, and then
/// leaves at once.
pub(super) struct Printer {
    stdout: Stdout,
    to_terminal: bool,
    waiting: Vec<u8>,
    // What stdout was given may not be written yet.
    writing: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self {
            stdout: tokio::io::stdout(),
            to_terminal: io::stdout().is_terminal(),
            waiting: Vec::new(),
            writing: false,
        }
    }

    /// Takes a message to be printed.
    pub(super) fn feed(&mut self, message: &Message) {
        render(message, self.to_terminal, &mut self.waiting);
    }

    /// Whether a message more may wait: who does not read stdout slows the peer.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Whether everything is printed.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.writing
    }

    /// Prints what waits, or a part of it. Dropped before it is ready, nothing is lost and nothing is
    /// printed twice.
    pub(super) async fn print(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            self.stdout.flush().await?;
            self.writing = false;
            return Ok(());
        }
        let written = self.stdout.write(&self.waiting).await?;
        self.waiting.drain(..written);
        self.waiting.shrink_to(MAX_WAITING);
        self.writing = true;
        Ok(())
    }
}

/// With so many bytes waiting no more are taken.
const MAX_WAITING: usize = 64 * 1024;

fn render(message: &Message, for_terminal: bool, out: &mut Vec<u8>) {
    let bytes = message.as_bytes();
    match (message.as_text(), for_terminal) {
        (Some(text), true) => out.extend(format!("{}\n", Escaped(text)).into_bytes()),
        (Some(_), false) => {
            out.extend_from_slice(bytes);
            out.push(b'\n');
        }
        (None, true) => out.extend(format!("<{} bytes>\n", bytes.len()).into_bytes()),
        (None, false) => out.extend_from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(message: impl Into<Message>, for_terminal: bool) -> Vec<u8> {
        let mut out = Vec::new();
        render(&message.into(), for_terminal, &mut out);
        out
    }

    #[test]
    fn a_terminal_is_shown_one_harmless_line_for_each_message() {
        assert_eq!(rendered("a\nb\u{1b}[2J", true), b"a\\nb\\u{1b}[2J\n");
        assert_eq!(rendered(vec![0, 159, 146], true), b"<3 bytes>\n");
    }

    #[test]
    fn a_program_is_given_what_came() {
        assert_eq!(rendered("a\nb\u{1b}", false), b"a\nb\x1b\n");
        assert_eq!(rendered(vec![0, 159], false), [0, 159]);
    }
}
