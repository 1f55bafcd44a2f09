//! One life of the connection for messages.
//!
//! ```text
//!  server ──▶ driver task of the `redis` crate ── sort ──▶ queue ──▶ worker ── decode ──▶ hub
//!                        never waits                 ├──▶ queue ──▶ worker ──▶ hub
//!                                                    └──▶ …       by partition; a beat goes to all
//! ```
//!
//! A message costs what the `redis` crate allocates for it, one lock without contention, and a wake-up if its worker waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::Sender;
use tokio::task::{JoinSet, yield_now};

use crate::connection::{Connection, Connector, Purpose};
use crate::encoding::{self, Beat, FeedMessage};
use crate::failure::ConnectError;
use crate::layout::{FeedChannel, Layout, Partition};
use crate::queue::{Push, Queue, Raw, Seen};
use crate::reports::Reports;

/// One life of the connection for messages, and the workers behind it.
pub(crate) struct Feed {
    pub(crate) connection: Arc<Connection>,
    sorter: Arc<Sorter>,
    workers: JoinSet<()>,
}

/// What the feed tells the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// All workers have seen the message of this beat.
    Beat { nonce: u64, count: u64 },
    /// All topics of the former feed are subscribed.
    Subscribed,
    /// The server ended a subscription although this node did not ask for it.
    Unsubscribed,
}

/// Puts each push into the queue of its worker.
struct Sorter {
    layout: Layout,
    queues: Vec<Queue>,
    /// The nonces of the beats that are awaited. 0: none. Others are dropped, so that beats need no room.
    beats: [AtomicU64; BEATS],
    endings: Endings,
    notices: Sender<Notice>,
}

/// The number of subscriptions that this node has asked to end, and that the server has not confirmed yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endings(Arc<AtomicUsize>);

/// The most beats that are awaited at once. More are never under way: the link gives up a server that answers none for so long.
const BEATS: usize = 4;

/// The bytes in all queues of a feed at most.
const ROOM: usize = 8 << 20;

/// The number of workers of a feed at most.
const WORKERS: usize = 4;

/// The number of messages that a worker delivers before other tasks run.
const TURN: usize = 128;

impl Feed {
    /// Opens the connection, and starts the workers.
    pub(crate) async fn open(
        connector: &Connector,
        node: &str,
        layout: &Layout,
        reports: &Arc<Reports>,
        notices: Sender<Notice>,
    ) -> Result<Self, ConnectError> {
        let count =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().min(WORKERS));
        let sorter = Arc::new(Sorter::new(layout, count, notices));
        let pushes = Arc::clone(&sorter);
        let pushes = Box::new(move |push| pushes.sort(push));
        let connection = connector.open(Purpose::Feed, node, Some(pushes)).await?;
        let mut workers = JoinSet::new();
        for index in 0..count {
            workers.spawn(work(Arc::clone(&sorter), index, Arc::clone(reports)));
        }
        Ok(Self {
            connection: Arc::new(connection),
            sorter,
            workers,
        })
    }

    /// A beat is about to be sent: the one with this number, which counts all beats, and this nonce.
    pub(crate) fn expect_beat(&self, number: usize, nonce: u64) {
        if let Some(place) = self.sorter.beats.get(number % BEATS) {
            place.store(nonce, Ordering::Release);
        }
    }

    /// Returns the count of subscriptions that are being ended.
    pub(crate) fn endings(&self) -> Endings {
        self.sorter.endings.clone()
    }

    /// Ends the life. What has come is delivered before the answer, and nothing behind it.
    pub(crate) async fn end(mut self) {
        self.sorter.queues.iter().for_each(Queue::finish);
        drop(self.connection);
        while self.workers.join_next().await.is_some() {}
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Sorter {
    /// Makes the queues of this many workers.
    fn new(layout: &Layout, workers: usize, notices: Sender<Notice>) -> Self {
        Self {
            layout: layout.clone(),
            queues: (0..workers).map(|_| Queue::new(ROOM / workers)).collect(),
            beats: Default::default(),
            endings: Endings::default(),
            notices,
        }
    }

    /// Takes a push of the connection. It runs in the connection's task, and never waits.
    fn sort(&self, push: PushInfo) {
        match push.kind {
            PushKind::Message => self.sort_message(push.data),
            PushKind::Unsubscribe if !self.endings.take() => {
                let _ = self.notices.try_send(Notice::Unsubscribed);
            }
            // Confirmations are awaited where subscriptions are made, and the end of the connection by the link.
            _ => {}
        }
    }

    fn sort_message(&self, data: Vec<Value>) {
        let mut data = data.into_iter();
        let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
            (data.next(), data.next())
        else {
            return;
        };
        let topic = match self.layout.feed_channel(&channel) {
            Some(FeedChannel::Topic(topic)) => Some((Partition::of(topic), topic.len())),
            Some(FeedChannel::Signals) => None,
            Some(FeedChannel::Beats) => return self.sort_beat(&payload),
            None => return,
        };
        let topic_at = channel.len() - topic.map_or(0, |(_, len)| len);
        let raw = Raw {
            channel,
            topic_at,
            payload,
        };
        let (index, push) = match topic {
            Some((partition, _)) => {
                let index = partition.index() % self.queues.len().max(1);
                (index, Push::Message(partition, raw))
            }
            None => (0, Push::Signal(raw)),
        };
        if let Some(queue) = self.queues.get(index) {
            queue.push(push);
        }
    }

    fn sort_beat(&self, payload: &[u8]) {
        let Ok(Beat { nonce, count }) = Beat::read(payload) else {
            return;
        };
        let take = |place: &AtomicU64| {
            let taken = place.compare_exchange(nonce, 0, Ordering::AcqRel, Ordering::Acquire);
            taken.is_ok()
        };
        if nonce == 0 || !self.beats.iter().any(take) {
            return;
        }
        let seen = Seen::new(self.queues.len(), nonce, count);
        for queue in &self.queues {
            queue.push(Push::Beat(Arc::clone(&seen)));
        }
    }
}

impl Endings {
    /// This many subscriptions are about to be ended.
    pub(crate) fn expect(&self, subscriptions: usize) {
        self.0.fetch_add(subscriptions, Ordering::AcqRel);
    }

    /// The server has ended a subscription. Returns whether this node had asked for it.
    fn take(&self) -> bool {
        let one_less = |endings: usize| endings.checked_sub(1);
        let known = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        known.is_ok()
    }
}

/// Delivers what one queue brings, until the queue ends.
async fn work(sorter: Arc<Sorter>, index: usize, reports: Arc<Reports>) {
    let Some(queue) = sorter.queues.get(index) else {
        return;
    };
    while let Some(batch) = queue.take().await {
        for (number, push) in batch.pushes.into_iter().enumerate() {
            let size = push.size();
            sorter.deliver(push, &reports);
            queue.release(size);
            if number % TURN == TURN - 1 {
                yield_now().await;
            }
        }
        batch
            .lost
            .partitions()
            .for_each(|partition| reports.dropped(partition));
        if batch.lost.signals {
            reports.events().signals_lost();
        }
    }
}

impl Sorter {
    fn deliver(&self, push: Push, reports: &Reports) {
        match push {
            Push::Message(_, raw) => {
                let topic = raw.channel.get(raw.topic_at..).unwrap_or_default();
                let topic = std::str::from_utf8(topic).unwrap_or_default();
                match FeedMessage::read(&Bytes::from(raw.payload)) {
                    Ok(FeedMessage::Delivered(delivered)) => {
                        reports.events().delivered(topic, delivered);
                    }
                    Ok(FeedMessage::Stir(on)) => reports.members_changed(topic, on),
                    // Another program has published here, or a later version of this one.
                    Err(error) => {
                        tracing::debug!(topic, %error, "cannot read a message of the feed")
                    }
                }
            }
            Push::Signal(raw) => {
                if let Ok((from, payload)) = encoding::read_signal(&Bytes::from(raw.payload)) {
                    reports.events().signal(from, payload);
                }
            }
            Push::Beat(seen) => {
                if seen.by_one() {
                    let (nonce, count) = (seen.nonce, seen.count);
                    let _ = self.notices.try_send(Notice::Beat { nonce, count });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
