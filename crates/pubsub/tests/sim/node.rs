//! A node of the simulation: a hub, and what its engine knows of its links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sockeye_pubsub::engine::Generation;
use sockeye_pubsub::hub::{Hub, Outlet, Row, Welcome};
use sockeye_pubsub::{Delivered, Position, SubscribeError, Surroundings, TopicName};

use crate::memory::Time;
use crate::world::Event;

/// The number of partitions: topics of one partition share a generation.
pub(crate) const PARTITIONS: usize = 3;

/// A node.
pub(crate) struct Node {
    /// `None` while the node is dead.
    pub(crate) hub: Option<Hub<Desk>>,
    /// Which life of the node this is.
    pub(crate) life: u64,
    pub(crate) commands: Link,
    pub(crate) feed: Link,
    pub(crate) generations: [u64; PARTITIONS],
    /// The topics that the engine listens to, or listens to again after a reconnect.
    pub(crate) listened: BTreeSet<usize>,
    pub(crate) next_wake: Option<Time>,
    /// The memory of the server that the node knows.
    pub(crate) memory_number: u64,
    /// How many beats went wrong.
    pub(crate) strikes: u32,
    /// The partitions of which the feed drops what comes, and of which it dropped something.
    pub(crate) dropping: [bool; PARTITIONS],
    pub(crate) dropped: [bool; PARTITIONS],
}

/// A connection of a node to a server.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) server: usize,
    /// The number of the connection. `None` while there is none.
    pub(crate) connection: Option<u64>,
    /// Whether the connection passes nothing, and neither end knows.
    pub(crate) is_deaf: bool,
    /// When the last request came to the server, and the last answer to the node: neither overtakes another.
    pub(crate) last_out: Time,
    pub(crate) last_back: Time,
    pub(crate) calls: BTreeSet<u64>,
    /// What has come to the server while it was frozen.
    pub(crate) queue: VecDeque<Event>,
}

/// A subscription of a client, as a node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) client: usize,
    pub(crate) connection: u64,
    pub(crate) topic: usize,
    /// The number of the client's subscription: what came for an earlier one is ignored.
    pub(crate) number: u64,
}

/// What a hub told subscribers.
#[derive(Debug)]
pub(crate) enum Told {
    Welcome {
        ticket: Ticket,
        at: Option<Position>,
        recovery: sockeye_pubsub::hub::Recovery,
        replay: Vec<sockeye_pubsub::Entry>,
    },
    Refused(Ticket),
    Evicted(Ticket),
    Message(Ticket, Delivered),
    Lost(Ticket, Option<Position>),
}

/// The outlet of a node: it writes down what the hub tells.
pub(crate) struct Desk {
    base: Instant,
    shared: Arc<DeskState>,
}

/// What the world shares with a desk.
pub(crate) struct DeskState {
    pub(crate) now: AtomicU64,
    random: AtomicU64,
    told: Mutex<Vec<Told>>,
    wake: Mutex<Option<Time>>,
    rows: Mutex<BTreeMap<Row, u64>>,
    /// The connections of clients that the node serves.
    open: Mutex<BTreeSet<(usize, u64)>>,
}

impl DeskState {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(0),
            random: AtomicU64::new(seed),
            told: Mutex::default(),
            wake: Mutex::default(),
            rows: Mutex::default(),
            open: Mutex::default(),
        })
    }

    pub(crate) fn take_told(&self) -> Vec<Told> {
        std::mem::take(&mut *lock(&self.told))
    }

    pub(crate) fn take_wake(&self) -> Option<Time> {
        lock(&self.wake).take()
    }

    pub(crate) fn take_rows(&self) -> BTreeMap<Row, u64> {
        std::mem::take(&mut *lock(&self.rows))
    }

    pub(crate) fn open(&self, client: usize, connection: u64) {
        lock(&self.open).insert((client, connection));
    }

    /// Returns whether the connection was open.
    pub(crate) fn close(&self, client: usize, connection: u64) -> bool {
        lock(&self.open).remove(&(client, connection))
    }

    pub(crate) fn close_all(&self) {
        lock(&self.open).clear();
    }

    pub(crate) fn is_open(&self, client: usize, connection: u64) -> bool {
        lock(&self.open).contains(&(client, connection))
    }
}

impl Desk {
    pub(crate) fn new(base: Instant, shared: Arc<DeskState>) -> Self {
        Self { base, shared }
    }
}

impl Surroundings for Desk {
    fn now(&self) -> Instant {
        self.base + Duration::from_micros(self.shared.now.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut word = self.shared.random.fetch_add(step, Ordering::Relaxed);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

impl Outlet for Desk {
    type Join = Ticket;
    type Topic = Vec<Ticket>;

    fn attach(
        &self,
        _: &TopicName,
        topic: &mut Vec<Ticket>,
        join: Ticket,
        welcome: Welcome<'_>,
    ) -> bool {
        if !self.shared.is_open(join.client, join.connection) {
            return false;
        }
        topic.push(join);
        lock(&self.shared.told).push(Told::Welcome {
            ticket: join,
            at: welcome.at,
            recovery: welcome.recovery,
            replay: welcome.replay.to_vec(),
        });
        true
    }

    fn refuse(&self, join: Ticket, error: SubscribeError) {
        lock(&self.shared.told).push(match error {
            SubscribeError::Evicted => Told::Evicted(join),
            _ => Told::Refused(join),
        });
    }

    fn deliver(&self, topic: &mut Vec<Ticket>, delivered: &Delivered) {
        let mut told = lock(&self.shared.told);
        told.extend(
            topic
                .iter()
                .map(|&ticket| Told::Message(ticket, delivered.clone())),
        );
    }

    fn lose(&self, topic: &mut Vec<Ticket>, at: Option<Position>) {
        lock(&self.shared.told).extend(topic.iter().map(|&ticket| Told::Lost(ticket, at)));
    }

    fn wake_at(&self, at: Instant) {
        // A part of a microsecond would wake the hub too early.
        let at = (at - self.base).as_nanos().div_ceil(1000);
        *lock(&self.shared.wake) = Some(u64::try_from(at).expect("a short run"));
    }

    fn took(&self, row: Row) {
        *lock(&self.shared.rows).entry(row).or_default() += 1;
    }
}

impl Node {
    /// Returns the generation of a topic.
    pub(crate) fn generation(&self, topic: usize) -> Generation {
        Generation(self.generations[topic % PARTITIONS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no hub panicked with the lock")
}
