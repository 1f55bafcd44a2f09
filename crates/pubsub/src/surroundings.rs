//! What this crate does not have itself: a clock, and random numbers.

use std::time::Instant;

/// Gives the time, and random numbers. A test gives its own.
pub trait Surroundings: Send + Sync + 'static {
    /// Returns the time.
    fn now(&self) -> Instant;

    /// Returns 64 random bits, which cannot be guessed.
    fn random(&self) -> u64;
}
