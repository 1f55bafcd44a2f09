//! The end of the program: its exit codes, and the messages about failures.

use std::process::ExitCode;

use crate::log::stderr;

/// The exit codes. The help of each command lists those that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Done = 0,
    /// An address cannot be used or reached, or the input or output failed.
    Failed = 1,
    /// Invalid command line. clap uses the same code.
    Usage = 2,
    /// The server refused the handshake.
    Refused = 3,
    /// The connection did not end in order.
    Abnormal = 4,
    /// The connection ended in order before the goal was reached, or the server refused a topic or a message.
    Unmet = 5,
    /// A signal ended the program before there was a connection. The same code as [`INTERRUPTED`].
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code after a second Ctrl-C: 128 plus the number of the signal, as in shells.
pub(crate) const INTERRUPTED: i32 = 130;

/// Writes a line to stderr, with the name of the program. A failure of stderr is ignored.
pub(crate) fn complain(what: &str) {
    say(&format!("sockeye: {what}\n"));
}

/// Writes lines to stderr. Does not block.
pub(crate) fn say(lines: &str) {
    stderr().push(lines.as_bytes());
}
