//! How the program ends: its exit codes, and what it says when it fails.

use std::io::{self, Write};
use std::process::ExitCode;

/// The exit codes. 2, a bad command line, is clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done = 0,
    /// An address cannot be had or reached, or the connection failed before it was open.
    Failed = 1,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Says what went wrong on stderr, under the program's name. That nobody can read it is no failure more.
pub(crate) fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "sockeye: {what}");
}
