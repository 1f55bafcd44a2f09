//! Colours of a terminal, for who wants them.

use std::env;

/// Whether nobody has turned them off: `NO_COLOR`, set to anything, does.
pub(crate) fn is_wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// In which messages stand that came.
pub(crate) const RECEIVED: &[u8] = b"\x1b[36m";
pub(crate) const PLAIN: &[u8] = b"\x1b[0m";
