//! A clock that the checks advance.

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sockeye_pubsub::Surroundings;

/// A clock that the checks advance, and random numbers.
pub(crate) struct Clock {
    now: Mutex<Instant>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            now: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        *self.now.lock().expect("no test panics with the lock") += time;
    }
}

impl Surroundings for Clock {
    fn now(&self) -> Instant {
        *self.now.lock().expect("no test panics with the lock")
    }

    fn random(&self) -> u64 {
        RandomState::new().hash_one(0)
    }
}
