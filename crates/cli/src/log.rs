//! Log lines: on stderr, so that stdout stays what a command prints.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::color;

/// Starts logging. [`VARIABLE`] says what is logged; `default` holds where it is not set, or says nothing
/// that can be understood.
pub(crate) fn init(default: &str) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && color::is_wanted())
        .with_target(false)
        .init();
}

const VARIABLE: &str = "SOCKEYE_LOG";
