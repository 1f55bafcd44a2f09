//! The measurement of a round trip.

use std::time::Duration;

use tokio::time::Instant;

/// The measurement of a round trip: from a Ping to its Pong.
#[derive(Debug)]
pub(super) enum RoundTrip {
    Unknown,
    Pinged { payload: Vec<u8>, at: Instant },
    Measured(Duration),
}

impl RoundTrip {
    /// Takes the time, if this Pong ends the round trip.
    pub(super) fn measure(&mut self, pong: &[u8]) {
        if let Self::Pinged { payload, at } = self
            && *payload == *pong
        {
            *self = Self::Measured(at.elapsed());
        }
    }
}
