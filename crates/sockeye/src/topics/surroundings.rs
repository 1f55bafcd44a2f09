//! The clock and the random numbers of topics.

use std::time::Instant;

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

impl Surroundings for Real {
    fn now(&self) -> Instant {
        now()
    }

    fn random(&self) -> u64 {
        random()
    }
}
