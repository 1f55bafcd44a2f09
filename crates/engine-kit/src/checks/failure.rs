//! Why a check failed.

use std::fmt;

use sockeye_pubsub::engine::EngineError;

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    reason: String,
}

impl Failure {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// Returns what the engine did, and what it should have done.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(error.to_string())
    }
}

/// Fails the check unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::checks::failure::Failure::new(format!($($reason)+)));
        }
    };
}

/// Fails the check unless two values are equal.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($what:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if found != expected {
                    let what = format!($($what)+);
                    return Err($crate::checks::failure::Failure::new(format!(
                        "{what}: found {found:?}, expected {expected:?}"
                    )));
                }
            }
        }
    };
}

pub(super) use {ensure, ensure_eq};
