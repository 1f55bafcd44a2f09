//! What the hub wants of the engine and has not asked for yet: gathered, in order, and not too much at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::clock::Rate;
use super::config::HubConfig;
use super::request::ReadNumber;
use crate::name::TopicName;

/// The queue of what the hub wants of the engine.
#[derive(Debug)]
pub(super) struct Work {
    queue: Mutex<Queue>,
    /// Whether the queue may have something that can be taken now. Changed under the lock only.
    is_ready: AtomicBool,
    numbers: AtomicU64,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Listen(Vec<TopicName>),
    Unlisten(Vec<TopicName>),
    /// The topics whose positions are asked for in turn.
    Turn(Vec<TopicName>, ReadNumber),
    /// Stale topics that want to know their positions.
    Ask(Vec<TopicName>),
    /// A topic that wants to read. It counts as a read under way.
    Read(TopicName, ReadNumber),
    /// Nothing now. At this time there may be something.
    Nothing(Option<Instant>),
}

#[derive(Debug)]
struct Queue {
    listens: VecDeque<TopicName>,
    /// When the listens are sent, if they do not fill a batch before.
    listens_at: Option<Instant>,
    unlistens: VecDeque<TopicName>,
    turn: Option<(Vec<TopicName>, ReadNumber)>,
    asks: VecDeque<TopicName>,
    asks_rate: Rate,
    top_reads: VecDeque<(TopicName, ReadNumber)>,
    top_reads_rate: Rate,
    reads: VecDeque<(TopicName, ReadNumber)>,
    reads_rate: Rate,
    reads_under_way: usize,
}

impl Work {
    pub(super) fn new(config: &HubConfig, now: Instant) -> Self {
        Self {
            queue: Mutex::new(Queue {
                listens: VecDeque::new(),
                listens_at: None,
                unlistens: VecDeque::new(),
                turn: None,
                asks: VecDeque::new(),
                asks_rate: Rate::new(config.tops_per_second, now),
                top_reads: VecDeque::new(),
                top_reads_rate: Rate::new(config.tops_per_second, now),
                reads: VecDeque::new(),
                reads_rate: Rate::new(config.reads_per_second, now),
                reads_under_way: 0,
            }),
            is_ready: AtomicBool::new(false),
            numbers: AtomicU64::new(1),
        }
    }

    /// Returns a number that no read had before.
    pub(super) fn number(&self) -> ReadNumber {
        ReadNumber(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns whether there may be something to take now. One atomic load.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Queues a listen. Returns when it wants to be sent.
    pub(super) fn listen(
        &self,
        topic: TopicName,
        config: &HubConfig,
        now: Instant,
    ) -> Option<Instant> {
        let mut queue = self.lock();
        queue.listens.push_back(topic);
        let at = *queue.listens_at.get_or_insert(now + config.gather);
        let is_due = at <= now || queue.listens.len() >= config.batch;
        if is_due {
            self.is_ready.store(true, Ordering::Release);
        }
        (!is_due).then_some(at)
    }

    pub(super) fn unlisten(&self, topic: TopicName) {
        self.push(|queue| queue.unlistens.push_back(topic));
    }

    pub(super) fn ask(&self, topic: TopicName) {
        self.push(|queue| queue.asks.push_back(topic));
    }

    pub(super) fn turn(&self, topics: Vec<TopicName>, read: ReadNumber) {
        self.push(|queue| queue.turn = Some((topics, read)));
    }

    pub(super) fn read(&self, topic: TopicName, read: ReadNumber, only_top: bool) {
        self.push(|queue| {
            let reads = if only_top {
                &mut queue.top_reads
            } else {
                &mut queue.reads
            };
            reads.push_back((topic, read));
        });
    }

    /// A read ended, or was not needed.
    pub(super) fn read_ended(&self) {
        self.push(|queue| queue.reads_under_way = queue.reads_under_way.saturating_sub(1));
    }

    /// Time has passed.
    pub(super) fn time_passed(&self) {
        self.push(|_| ());
    }

    /// Takes what comes next.
    pub(super) fn take(&self, config: &HubConfig, now: Instant) -> Next {
        let mut queue = self.lock();
        let next = queue.take(config, now);
        if matches!(next, Next::Nothing(_)) {
            self.is_ready.store(false, Ordering::Release);
        }
        next
    }

    fn push(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        if !queue.is_empty() {
            self.is_ready.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.listens.is_empty()
            && self.unlistens.is_empty()
            && self.turn.is_none()
            && self.asks.is_empty()
            && self.top_reads.is_empty()
            && self.reads.is_empty()
    }

    fn take(&mut self, config: &HubConfig, now: Instant) -> Next {
        let mut again: Option<Instant> = None;
        let mut wait = |at: Instant| again = Some(again.map_or(at, |again| again.min(at)));
        if !self.unlistens.is_empty() {
            return Next::Unlisten(batch(&mut self.unlistens, config.batch));
        }
        if let Some(at) = self.listens_at {
            if at <= now || self.listens.len() >= config.batch {
                let topics = batch(&mut self.listens, config.batch);
                if self.listens.is_empty() {
                    self.listens_at = None;
                }
                return Next::Listen(topics);
            }
            wait(at);
        }
        if let Some((topics, read)) = self.turn.take() {
            return Next::Turn(topics, read);
        }
        if !self.asks.is_empty() {
            let most = config.batch.min(self.asks.len());
            let most = self.asks_rate.take(most, now);
            if most > 0 {
                return Next::Ask(batch(&mut self.asks, most));
            }
            wait(self.asks_rate.next());
        }
        for (reads, rate) in [
            (&mut self.top_reads, &mut self.top_reads_rate),
            (&mut self.reads, &mut self.reads_rate),
        ] {
            if reads.is_empty() || self.reads_under_way >= config.max_reads {
                continue;
            }
            if rate.take(1, now) == 0 {
                wait(rate.next());
            } else if let Some((topic, read)) = reads.pop_front() {
                self.reads_under_way += 1;
                return Next::Read(topic, read);
            }
        }
        Next::Nothing(again)
    }
}

fn batch(queue: &mut VecDeque<TopicName>, most: usize) -> Vec<TopicName> {
    let topics = queue.drain(..most.min(queue.len())).collect();
    if queue.is_empty() {
        // A crowd of topics leaves no memory behind.
        *queue = VecDeque::new();
    }
    topics
}
