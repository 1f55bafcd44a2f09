//! A clock that the checks advance.

use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use sockeye_pubsub::Surroundings;

/// A clock that the checks advance, and random numbers.
pub(crate) struct Clock {
    now: Mutex<Instant>,
    waiting: Mutex<Vec<Waker>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            now: Mutex::new(Instant::now()),
            waiting: Mutex::default(),
        }
    }

    /// Ends when this much time has passed, or when a condition holds.
    pub(crate) async fn passed(&self, time: Duration, is_over: impl Fn() -> bool) {
        let until = self.now() + time;
        poll_fn(|context| {
            self.waiting
                .lock()
                .expect("no test panics with the lock")
                .push(context.waker().clone());
            if self.now() >= until || is_over() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    pub(crate) fn pass(&self, time: Duration) {
        *self.now.lock().expect("no test panics with the lock") += time;
        let waiting = &mut *self.waiting.lock().expect("no test panics with the lock");
        for waker in waiting.drain(..) {
            waker.wake();
        }
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
