//! Colours on a terminal.

use std::env;

/// Whether colours are on. The variable `NO_COLOR` turns them off, unless it is empty.
pub(crate) fn is_wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The colour of received messages.
pub(crate) const RECEIVED: &[u8] = b"\x1b[36m";
pub(crate) const PLAIN: &[u8] = b"\x1b[0m";
