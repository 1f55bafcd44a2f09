//! When the hub wants to be called, and how often it may ask the engine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::outlet::Outlet;
use crate::name::TopicName;

/// The next time at which the hub wants to be called, and a time that costs nothing to read.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    next: Mutex<Option<Instant>>,
    /// The time of the last look at the real clock, in seconds, as [`Clock::seconds`] counts them.
    coarse: AtomicU32,
}

/// The times of a shard's topics. A topic looks itself what it has to do: a time that no longer matters does no harm.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, TopicName)>>,
}

/// How often something may be done: so many times in a second, and a tenth of that at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u32,
    /// What may be done now, in units of which each of the `per_second` is 10⁹.
    stock: u64,
    at: Instant,
}

impl Clock {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            next: Mutex::new(None),
            coarse: AtomicU32::new(START),
        }
    }

    /// Looks at the real clock.
    pub(super) fn now(&self, outlet: &impl Outlet) -> Instant {
        let now = outlet.now();
        self.coarse.fetch_max(self.seconds(now), Ordering::Relaxed);
        now
    }

    /// Returns the time in seconds. The clock starts high, so that there are numbers for earlier times.
    pub(super) fn seconds(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.start).as_secs();
        START.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Returns the seconds of the last look at the real clock.
    pub(super) fn coarse(&self) -> u32 {
        self.coarse.load(Ordering::Relaxed)
    }

    /// Asks to be called at a time, if no earlier call is due.
    pub(super) fn want(&self, outlet: &impl Outlet, at: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|next| at < next) {
            *next = Some(at);
            outlet.wake_at(at);
        }
    }

    /// Forgets a time that has come.
    pub(super) fn passed(&self, now: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_some_and(|next| next <= now) {
            *next = None;
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timers {
    pub(super) fn push(&mut self, at: Instant, topic: TopicName) {
        self.heap.push(Reverse((at, topic)));
    }

    /// Makes room for one more time. Forgets the times that no longer matter first: most joins have their answers soon.
    pub(super) fn make_room(&mut self, matters: impl Fn(&TopicName) -> bool) {
        let full = self.heap.capacity();
        if self.heap.len() < full {
            return;
        }
        self.heap.retain(|Reverse((_, topic))| matters(topic));
        // With room for few more it would soon be full again.
        if self.heap.len() > full / 2 {
            self.heap.reserve(full);
        }
    }

    /// Takes a topic whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<TopicName> {
        self.next().filter(|&at| at <= now)?;
        let Reverse((_, topic)) = self.heap.pop()?;
        // A crowd of joins leaves no memory behind.
        if self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
        Some(topic)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<(Instant, TopicName)>()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let mut rate = Self {
            per_second: per_second.max(1),
            stock: 0,
            at: now,
        };
        rate.stock = rate.most();
        rate
    }

    /// Takes the right to do something at most `wanted` times; returns how many times.
    pub(super) fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let gained = u64::try_from(passed)
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(self.per_second));
        self.stock = self.stock.saturating_add(gained).min(self.most());
        self.at = now.max(self.at);
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let taken = wanted.min(self.stock / UNIT);
        self.stock -= taken * UNIT;
        usize::try_from(taken).unwrap_or(usize::MAX)
    }

    /// Returns when something may be done once.
    pub(super) fn next(&self) -> Instant {
        let missing = UNIT.saturating_sub(self.stock);
        self.at + Duration::from_nanos(missing.div_ceil(u64::from(self.per_second)))
    }

    fn most(&self) -> u64 {
        (u64::from(self.per_second) / 10).max(1) * UNIT
    }
}

/// Draws a time between two.
pub(super) fn between(outlet: &impl Outlet, range: &Range<Duration>) -> Duration {
    let span = range.end.saturating_sub(range.start);
    // 2⁻³² of the span is fine enough.
    let part = outlet.random() >> 32;
    let nanos = (span.as_nanos() * u128::from(part)) >> 32;
    range.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

const UNIT: u64 = 1_000_000_000;
const START: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_gives_a_tenth_of_a_second_at_once_and_then_its_share() {
        let start = Instant::now();
        let mut rate = Rate::new(500, start);
        assert_eq!(rate.take(512, start), 50);
        assert_eq!(rate.take(1, start), 0);
        assert_eq!(rate.next(), start + Duration::from_millis(2));
        assert_eq!(rate.take(9, start + Duration::from_millis(10)), 5);
        assert_eq!(rate.take(512, start + Duration::from_secs(60)), 50);
    }

    #[test]
    fn timers_give_the_earliest_topic_first_and_none_before_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let name = |name: &str| TopicName::new(name).expect("a name");
        let mut timers = Timers::default();
        timers.push(at(20), name("later"));
        timers.push(at(10), name("sooner"));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(20)), Some(name("sooner")));
        assert_eq!(timers.pop(at(20)), Some(name("later")));
        assert_eq!(timers.pop(at(20)), None);
    }

    #[test]
    fn times_that_no_longer_matter_take_no_memory() {
        let at = Instant::now();
        let mut timers = Timers::default();
        for number in 0..10_000 {
            let name = TopicName::new(format!("t/{number}")).expect("a name");
            timers.make_room(|topic| topic.ends_with("00"));
            timers.push(at, name);
        }
        let matter = std::iter::from_fn(|| timers.pop(at));
        assert_eq!(matter.filter(|topic| topic.ends_with("00")).count(), 99);
    }
}
