//! Makes and ends subscriptions on one feed: calls first, then what a former feed had.
//!
//! ```text
//!  listen, unlisten ──▶ Orders, in their order ──┐
//!                                                 ├──▶ batches of 512, at most 4 under way, 50,000 topics in a second
//!  topics of the former feed ────────────────────┘
//! ```
//!
//! Orders outlive a feed: those without an answer go to the next one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::Generation;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::feed::{Endings, Notice};
use crate::layout::{Kind, Layout};
use crate::outcome::CallError;
use crate::pace::Pace;
use crate::reports::Reports;

/// The most topics in one batch.
pub(crate) const BATCH: usize = 512;
/// The most batches under way.
const UNDER_WAY: usize = 4;
/// The most topics that are subscribed in a second.
const PER_SECOND: u32 = 50_000;
/// The time after which a feed is dead that does not confirm a batch.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);

/// What callers want of the feed, in their order.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    state: Mutex<OrdersState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct OrdersState {
    queue: VecDeque<Order>,
    /// Whether a feed carries orders out. Without one, nothing has to be unsubscribed.
    has_feed: bool,
}

/// What a caller wants of the feed.
#[derive(Debug)]
enum Order {
    Listen(Vec<TopicName>, oneshot::Sender<Vec<Generation>>),
    Unlisten(Vec<TopicName>, oneshot::Sender<()>),
}

impl Orders {
    /// Orders subscriptions, at most [`BATCH`]. The answer comes when the server has confirmed them, perhaps on a later feed.
    pub(crate) fn listen(&self, topics: &[TopicName]) -> oneshot::Receiver<Vec<Generation>> {
        let (answer, receiver) = oneshot::channel();
        self.lock()
            .queue
            .push_back(Order::Listen(topics.to_vec(), answer));
        self.changed.notify_one();
        receiver
    }

    /// Orders the end of subscriptions. `None` if there is no feed: then there is nothing to end.
    pub(crate) fn unlisten(&self, topics: &[TopicName]) -> Option<oneshot::Receiver<()>> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.lock();
        if !state.has_feed {
            return None;
        }
        state
            .queue
            .push_back(Order::Unlisten(topics.to_vec(), answer));
        drop(state);
        self.changed.notify_one();
        Some(receiver)
    }

    /// Drops all orders: their callers hear that there is no answer.
    pub(crate) fn clear(&self) {
        self.lock().queue.clear();
    }

    /// Takes the next orders of one kind, of at most [`BATCH`] topics.
    fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        let first = state.queue.pop_front()?;
        let mut len = first.len();
        let mut batch = match first {
            Order::Listen(topics, answer) => Batch::Listen(vec![(topics, answer)]),
            Order::Unlisten(topics, answer) => Batch::Unlisten(vec![(topics, answer)]),
        };
        while let Some(next) = state.queue.front()
            && len + next.len() <= BATCH
        {
            len += next.len();
            match (&mut batch, state.queue.pop_front()) {
                (Batch::Listen(orders), Some(Order::Listen(topics, answer))) => {
                    orders.push((topics, answer));
                }
                (Batch::Unlisten(orders), Some(Order::Unlisten(topics, answer))) => {
                    orders.push((topics, answer));
                }
                (_, Some(other)) => {
                    state.queue.push_front(other);
                    break;
                }
                (_, None) => break,
            }
        }
        Some(batch)
    }

    fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, OrdersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    fn len(&self) -> usize {
        match self {
            Self::Listen(topics, _) | Self::Unlisten(topics, _) => topics.len(),
        }
    }
}

/// Subscriptions that are made or ended by one command.
#[derive(Debug)]
enum Batch {
    Listen(Vec<(Vec<TopicName>, oneshot::Sender<Vec<Generation>>)>),
    Unlisten(Vec<(Vec<TopicName>, oneshot::Sender<()>)>),
    /// Topics that the former feed had.
    Again,
}

/// Makes and ends the subscriptions of one feed.
pub(crate) struct Subscriber {
    pub(crate) connection: Arc<Connection>,
    pub(crate) endings: Endings,
    pub(crate) layout: Layout,
    pub(crate) reports: Arc<Reports>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) notices: mpsc::Sender<Notice>,
}

/// A batch whose command was sent, and the topics that the command names.
struct Sent {
    batch: Batch,
    topics: Vec<TopicName>,
}

/// The batches under way. Dropping it gives the orders back that have no answer.
struct UnderWay {
    batches: HashMap<Id, Sent>,
    answers: JoinSet<Result<(), CallError>>,
    orders: Arc<Orders>,
}

type Answer = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

impl Subscriber {
    /// Works until a subscription fails. If the future is dropped, orders without an answer wait for the next feed.
    pub(crate) async fn run(self) -> CallError {
        self.orders.lock().has_feed = true;
        let mut under_way = UnderWay {
            batches: HashMap::new(),
            answers: JoinSet::new(),
            orders: Arc::clone(&self.orders),
        };
        let mut pace = Pace::new(PER_SECOND, Instant::now());
        let mut again = Again::Left;
        loop {
            while under_way.batches.len() < UNDER_WAY && pace.free_at() <= Instant::now() {
                let Some(sent) = self.next(&mut again) else {
                    break;
                };
                pace.take(sent.topics.len(), Instant::now());
                self.start(sent, &mut under_way).await;
            }
            if again == Again::Taken && !under_way.has_again() {
                again = Again::Done;
                let _ = self.notices.send(Notice::Subscribed).await;
            }
            let has_room = under_way.batches.len() < UNDER_WAY;
            let has_more = again == Again::Left || !self.orders.is_empty();
            tokio::select! {
                Some(done) = under_way.answers.join_next_with_id(), if !under_way.batches.is_empty() => {
                    let (id, answer) = match done {
                        Ok(done) => done,
                        Err(error) => (error.id(), Err(CallError::Unsent("a subscription was given up"))),
                    };
                    if let Err(error) = answer {
                        return error;
                    }
                    if let Some(sent) = under_way.batches.remove(&id) {
                        self.confirmed(sent);
                    }
                }
                () = self.orders.changed.notified(), if has_room && !has_more => {}
                () = sleep_until(pace.free_at()), if has_room && has_more => {}
            }
        }
    }

    fn next(&self, again: &mut Again) -> Option<Sent> {
        if let Some(batch) = self.orders.take() {
            let topics = self.to_send(&batch);
            return Some(Sent { batch, topics });
        }
        if *again != Again::Left {
            return None;
        }
        let topics = self.reports.listening().take_again(BATCH);
        if topics.is_empty() {
            *again = Again::Taken;
            return None;
        }
        Some(Sent {
            batch: Batch::Again,
            topics,
        })
    }

    /// Returns the topics of a batch that the node still wants, or no longer wants.
    fn to_send(&self, batch: &Batch) -> Vec<TopicName> {
        let listening = self.reports.listening();
        match batch {
            Batch::Listen(orders) => {
                let topics = orders.iter().flat_map(|(topics, _)| topics);
                topics
                    .filter(|topic| listening.is_wanted(topic))
                    .cloned()
                    .collect()
            }
            Batch::Unlisten(orders) => {
                let topics = orders.iter().flat_map(|(topics, _)| topics);
                topics
                    .filter(|topic| !listening.is_wanted(topic))
                    .cloned()
                    .collect()
            }
            Batch::Again => Vec::new(),
        }
    }

    /// Sends the command of a batch.
    async fn start(&self, sent: Sent, under_way: &mut UnderWay) {
        let channel = |topic: &TopicName| self.layout.name(Kind::Channel, topic).to_string();
        let channels: Vec<String> = sent.topics.iter().map(channel).collect();
        let connection = Arc::clone(&self.connection);
        let until = Instant::now() + CONFIRM_WITHIN;
        let mut answer: Answer = match &sent.batch {
            _ if channels.is_empty() => Box::pin(ready(Ok(()))),
            Batch::Unlisten(_) => {
                self.endings.expect(channels.len());
                Box::pin(async move { connection.unsubscribe(&channels, until).await })
            }
            Batch::Listen(_) | Batch::Again => {
                Box::pin(async move { connection.subscribe(&channels, until).await })
            }
        };
        // The first poll hands the command to the connection. So commands keep the order of their batches.
        let first = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        if let Poll::Ready(first) = first {
            answer = Box::pin(ready(first));
        }
        let id = under_way.answers.spawn(answer).id();
        under_way.batches.insert(id, sent);
    }

    /// The server has confirmed a batch.
    fn confirmed(&self, sent: Sent) {
        match sent.batch {
            Batch::Again => self.reports.confirmed_again(&sent.topics),
            Batch::Listen(orders) => {
                self.reports.confirmed(&sent.topics);
                for (topics, answer) in orders {
                    // The caller may have given up.
                    let _ = answer.send(self.reports.generations(&topics));
                }
            }
            Batch::Unlisten(orders) => {
                for (_, answer) in orders {
                    let _ = answer.send(());
                }
            }
        }
    }
}

/// How far the subscriptions of the former feed are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Left,
    Taken,
    Done,
}

impl UnderWay {
    fn has_again(&self) -> bool {
        let mut batches = self.batches.values();
        batches.any(|sent| matches!(sent.batch, Batch::Again))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.orders.lock();
        state.has_feed = false;
        for (_, sent) in self.batches.drain() {
            if let Batch::Listen(orders) = sent.batch {
                for (topics, answer) in orders {
                    state.queue.push_front(Order::Listen(topics, answer));
                }
            }
        }
        // Without a feed there is nothing to end.
        state
            .queue
            .retain(|order| matches!(order, Order::Listen(..)));
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}
