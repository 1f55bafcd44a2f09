//! How the program ends: its exit codes, and what it says when it fails.

use std::process::ExitCode;

use crate::log::stderr;

/// The exit codes; each command's help lists its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done = 0,
    /// An address cannot be had or reached, or the input or output failed.
    Failed = 1,
    /// The command line asks for what cannot be. clap ends with the same code.
    Usage = 2,
    /// The server answered the handshake with a refusal.
    Refused = 3,
    /// The connection ended otherwise than in order.
    Abnormal = 4,
    /// The connection ended in order, without what was asked for.
    Unmet = 5,
    /// A signal ended what had not begun; as [`INTERRUPTED`].
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Of a program that a second Ctrl-C ended: 128 and the signal's number, as shells have it.
pub(crate) const INTERRUPTED: i32 = 130;

/// Says on stderr what happened, under the program's name. A stderr that is not read is no further failure.
pub(crate) fn complain(what: &str) {
    say(&format!("sockeye: {what}\n"));
}

/// Says lines of its own on stderr. Does not block.
pub(crate) fn say(lines: &str) {
    stderr().push(lines.as_bytes());
}
