//! The times that the rules allow.

use super::logs::Millis;

/// The times that the rules allow, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The time after which the engine refuses a publish with history.
    pub deadline: Millis,
    /// How much later than its deadline an unknown message may still appear.
    pub late: Millis,
    /// The time for which a node's lease lives.
    pub lease: Millis,
    /// The time between two renewals of a lease.
    pub beat: Millis,
    /// The time after a fault in which topics without history may miss messages.
    pub settle: Millis,
    /// The time in which a confirmed message of a topic without history reaches its subscribers.
    pub delivery: Millis,
    /// The difference between the engine's clock and the clocks of clients. 0 where they share a clock.
    pub skew: Millis,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            deadline: 2_000,
            late: 1_000,
            lease: 15_000,
            beat: 5_000,
            settle: 15_000,
            delivery: 2_000,
            skew: 0,
        }
    }
}
