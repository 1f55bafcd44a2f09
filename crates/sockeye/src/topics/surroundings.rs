//! The clock and the random numbers of topics.

use std::time::{Instant, SystemTime};

use sockeye_pubsub::Surroundings;

/// The clock of tokio, and the random numbers of the thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Real;

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(super) fn random() -> u64 {
    rand::random()
}

/// Returns the milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl Surroundings for Real {
    fn now(&self) -> Instant {
        now()
    }

    fn random(&self) -> u64 {
        random()
    }
}
