//! Messages on stdout, for people or for programs.

use std::io::{self, IsTerminal};

use sockeye::Message;
use tokio::io::{AsyncWriteExt, Stdout};

use crate::escape::Escaped;

/// Prints messages.
pub(super) struct Printer {
    stdout: Stdout,
    to_terminal: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self {
            stdout: tokio::io::stdout(),
            to_terminal: io::stdout().is_terminal(),
        }
    }

    /// Prints a message, and completes when stdout has taken it: who does not read slows the peer.
    pub(super) async fn print(&mut self, message: &Message) -> io::Result<()> {
        let printed = render(message, self.to_terminal);
        self.stdout.write_all(&printed).await?;
        self.stdout.flush().await
    }
}

fn render(message: &Message, for_terminal: bool) -> Vec<u8> {
    match (message.as_text(), for_terminal) {
        (Some(text), true) => format!("{}\n", Escaped(text)).into(),
        (Some(text), false) => format!("{text}\n").into(),
        (None, true) => format!("<{} bytes>\n", message.as_bytes().len()).into(),
        (None, false) => message.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_one_harmless_line_for_each_message() {
        let shown = |message: Message| String::from_utf8(render(&message, true)).expect("UTF-8");
        assert_eq!(shown("a\nb\u{1b}[2J".into()), "a\\nb\\u{1b}[2J\n");
        assert_eq!(shown(vec![0, 159, 146].into()), "<3 bytes>\n");
    }

    #[test]
    fn a_program_is_given_what_came() {
        assert_eq!(render(&"a\nb\u{1b}".into(), false), b"a\nb\x1b\n");
        assert_eq!(render(&vec![0, 159].into(), false), [0, 159]);
    }
}
