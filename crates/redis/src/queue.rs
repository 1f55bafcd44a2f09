//! The bounded queue between the feed's connection and one worker.
//!
//! [`Queue::push`] never waits. A push that finds no room is dropped, and marks its partition. The worker takes all that is
//! queued at once, with the marks. While a partition is marked, its pushes are dropped: so a mark stands behind each push
//! that came before the loss, and before each one that is kept behind it.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::layout::{PARTITIONS, Partition};

/// The queue of one worker.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    /// The bytes of the pushes that are queued or taken and not yet released.
    bytes: AtomicUsize,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    /// Whether it takes no pushes any more.
    is_finished: bool,
}

/// All that was queued at one time.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) pushes: Vec<Push>,
    pub(crate) lost: Lost,
}

/// What the feed brought.
#[derive(Debug)]
pub(crate) enum Push {
    /// A message of a topic.
    Message(Partition, Raw),
    /// A signal of a node.
    Signal(Raw),
    /// A beat, which counts when the last worker has seen it.
    Beat(Arc<Seen>),
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) channel: Vec<u8>,
    /// Where the topic begins in the channel's name.
    pub(crate) topic_at: usize,
    pub(crate) payload: Vec<u8>,
}

/// A beat, and the number of workers that have not seen it.
#[derive(Debug)]
pub(crate) struct Seen {
    left: AtomicUsize,
    pub(crate) nonce: u64,
    pub(crate) count: u64,
}

/// What was dropped since the last batch.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    partitions: [u64; PARTITIONS / 64],
    /// A signal was dropped.
    pub(crate) signals: bool,
}

impl Queue {
    /// Makes a queue for at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            bytes: AtomicUsize::new(0),
            limit,
        }
    }

    /// Queues a push, or drops it and marks what it was.
    pub(crate) fn push(&self, push: Push) {
        let mut state = self.lock();
        if state.is_finished {
            return;
        }
        let was_empty = state.batch.is_empty();
        let size = push.size();
        let is_full = self.bytes.load(Ordering::Relaxed) + size > self.limit;
        match &push {
            Push::Message(partition, _) if is_full || state.batch.lost.has(*partition) => {
                state.batch.lost.mark(*partition);
            }
            Push::Signal(_) if is_full || state.batch.lost.signals => {
                state.batch.lost.signals = true;
            }
            _ => {
                self.bytes.fetch_add(size, Ordering::Relaxed);
                state.batch.pushes.push(push);
            }
        }
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits for pushes, and takes all of them. `None` if there will be none. For one caller.
    pub(crate) async fn take(&self) -> Option<Batch> {
        loop {
            if let Some(batch) = self.take_now() {
                return (!batch.is_empty()).then_some(batch);
            }
            self.filled.notified().await;
        }
    }

    /// Takes all pushes. `None` if there may be pushes later; nothing if there will be none.
    fn take_now(&self) -> Option<Batch> {
        let mut state = self.lock();
        (state.is_finished || !state.batch.is_empty()).then(|| mem::take(&mut state.batch))
    }

    /// Gives back the room of a push that was delivered.
    pub(crate) fn release(&self, size: usize) {
        self.bytes.fetch_sub(size, Ordering::Relaxed);
    }

    /// Takes no pushes any more. What is queued can still be taken.
    pub(crate) fn finish(&self) {
        self.lock().is_finished = true;
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.pushes.is_empty() && self.lost.is_empty()
    }
}

impl Push {
    /// Returns the room that the push takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let payload = match self {
            Self::Message(_, raw) | Self::Signal(raw) => {
                raw.channel.capacity() + raw.payload.capacity()
            }
            Self::Beat(_) => 0,
        };
        size_of::<Self>() + payload
    }
}

impl Seen {
    /// Makes a count for this many workers.
    pub(crate) fn new(workers: usize, nonce: u64, count: u64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(workers),
            nonce,
            count,
        })
    }

    /// A worker has seen the beat, and has delivered all before it. Returns whether it is the last one.
    pub(crate) fn by_one(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Lost {
    /// Returns the partitions of which a message was dropped.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> {
        Partition::all().filter(|partition| self.has(*partition))
    }

    fn has(&self, partition: Partition) -> bool {
        let index = partition.index();
        let word = self.partitions.get(index / 64).copied().unwrap_or(0);
        word & (1 << (index % 64)) != 0
    }

    fn mark(&mut self, partition: Partition) {
        let index = partition.index();
        if let Some(word) = self.partitions.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn is_empty(&self) -> bool {
        !self.signals && self.partitions.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, bytes: usize) -> Push {
        let raw = Raw {
            channel: Vec::new(),
            topic_at: 0,
            payload: vec![0; bytes],
        };
        Push::Message(Partition::of(topic), raw)
    }

    fn overhead() -> usize {
        size_of::<Push>()
    }

    #[tokio::test]
    async fn a_worker_takes_all_pushes_in_their_order() {
        let queue = Queue::new(1000);
        let seen = Seen::new(1, 1, 2);
        queue.push(message("a", 1));
        queue.push(Push::Beat(seen));
        queue.push(message("a", 3));
        let batch = queue.take().await.unwrap();
        let sizes: Vec<_> = batch.pushes.iter().map(Push::size).collect();
        assert_eq!(sizes, [1, 0, 3].map(|size| size + overhead()));
        assert!(batch.lost.is_empty());
    }

    #[tokio::test]
    async fn a_push_without_room_marks_its_partition_and_the_ones_behind_it_are_dropped() {
        let queue = Queue::new(2 * (overhead() + 10));
        queue.push(message("a", 10));
        queue.push(message("b", 20));
        queue.push(message("b", 1));
        queue.push(message("a", 10));
        queue.push(Push::Beat(Seen::new(1, 1, 2)));
        let batch = queue.take().await.unwrap();
        let kept: Vec<_> = batch
            .pushes
            .iter()
            .map(|push| matches!(push, Push::Beat(_)))
            .collect();
        assert_eq!(kept, [false, false, true]);
        assert!(batch.lost.partitions().eq([Partition::of("b")]));
    }

    #[tokio::test]
    async fn room_comes_back_when_a_push_was_delivered() {
        let queue = Queue::new(overhead() + 10);
        queue.push(message("a", 10));
        let taken = queue.take().await.unwrap();
        queue.push(message("a", 10));
        let second = queue.take().await.unwrap();
        assert!(second.pushes.is_empty() && second.lost.partitions().count() == 1);
        taken
            .pushes
            .iter()
            .for_each(|push| queue.release(push.size()));
        queue.push(message("a", 10));
        let third = queue.take().await.unwrap();
        assert!(third.pushes.len() == 1 && third.lost.is_empty());
    }

    #[tokio::test]
    async fn a_dropped_signal_is_marked() {
        let queue = Queue::new(0);
        let raw = Raw {
            channel: Vec::new(),
            topic_at: 0,
            payload: Vec::new(),
        };
        queue.push(Push::Signal(raw));
        let batch = queue.take().await.unwrap();
        assert!(batch.pushes.is_empty() && batch.lost.signals);
    }

    #[tokio::test]
    async fn a_queue_that_finishes_gives_what_it_has() {
        let queue = Queue::new(1000);
        queue.push(message("a", 1));
        queue.finish();
        queue.push(message("a", 1));
        assert_eq!(queue.take().await.unwrap().pushes.len(), 1);
        assert!(queue.take().await.is_none());
    }

    #[test]
    fn a_beat_is_seen_when_the_last_worker_has_seen_it() {
        let seen = Seen::new(3, 1, 2);
        assert_eq!(
            [seen.by_one(), seen.by_one(), seen.by_one()],
            [false, false, true]
        );
    }
}
