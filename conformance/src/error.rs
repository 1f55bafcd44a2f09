//! The error of this program: a sentence for the reader of the log. It names what failed, and where.

/// What every step of a judge returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A sentence, or the error of whatever was called.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
