//! The world of a run: servers, nodes, clients and publishers, and one queue of events. No thread and no real clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sockeye_engine_kit::checker::{self, Fault, Harm, Logs, Stored};
use sockeye_pubsub::hub::{Hub, HubConfig, Row};
use sockeye_pubsub::{Delivered, Entry, History, TopicName};

use crate::client::{Client, stamp_of};
use crate::memory::{Memory, Time};
use crate::node::{Desk, DeskState, Link, Node, PARTITIONS};
use crate::random::Random;

pub(crate) const MS: Time = 1000;
pub(crate) const SECOND: Time = 1000 * MS;

/// The world of a run.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Time,
    queue: BinaryHeap<Reverse<Scheduled>>,
    events: BTreeMap<u64, Event>,
    numbers: u64,
    /// The most time that a request, or an answer, is on its way.
    pub(crate) latency: Time,
    /// How much later than others each node gets its messages.
    pub(crate) lags: [Time; 3],
    /// The time between two questions for the position of a topic in turn.
    pub(crate) turn: Duration,
    /// What happens to calls that get no answer.
    pub(crate) failures: BTreeMap<u64, Event>,
    base: Instant,
    pub(crate) topics: Vec<Topic>,
    pub(crate) servers: Vec<Server>,
    /// The server that nodes connect to.
    pub(crate) primary: usize,
    pub(crate) nodes: Vec<Node>,
    pub(crate) desks: Vec<Arc<DeskState>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) logs: Logs,
    pub(crate) rows: BTreeMap<Row, u64>,
    /// Whether the run writes down what happens.
    pub(crate) trace: Option<Vec<String>>,
}

/// What happens at a time.
pub(crate) type Event = Box<dyn FnOnce(&mut World)>;

/// When an event happens. Of two events at one time the tie decides, which is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scheduled {
    at: Time,
    tie: u64,
    number: u64,
}

pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) history: History,
    pub(crate) log: checker::Topic,
}

/// A server of the engine.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) memory: Memory,
    /// Whether the server takes writes.
    pub(crate) is_primary: bool,
    pub(crate) is_dead: bool,
    pub(crate) frozen_until: Time,
    /// The server whose writes this one copies.
    pub(crate) copies: Option<usize>,
    /// The topics of each feed: node and number of its connection.
    pub(crate) subscribed: BTreeMap<(usize, u64), BTreeSet<usize>>,
    /// The number of the memory. A memory that went back has another one.
    pub(crate) memory_number: u64,
}

pub(crate) struct Publisher {
    pub(crate) log: checker::Publisher,
    pub(crate) next: u32,
}

impl World {
    pub(crate) fn new(seed: u64, base: Instant) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbers: 1,
            latency: 3 * MS,
            lags: [0; 3],
            turn: Duration::from_secs(300),
            failures: BTreeMap::new(),
            base,
            topics: Vec::new(),
            servers: vec![
                Server {
                    is_primary: true,
                    ..Server::default()
                },
                Server {
                    copies: Some(0),
                    ..Server::default()
                },
            ],
            primary: 0,
            nodes: Vec::new(),
            desks: Vec::new(),
            clients: Vec::new(),
            publishers: Vec::new(),
            logs: Logs::new(),
            rows: BTreeMap::new(),
            trace: None,
        };
        world.latency = match world.random.within(0..10) {
            0..6 => 3 * MS,
            6..8 => 60 * MS,
            _ => 400 * MS,
        };
        if world.random.chance(20) {
            world.lags[0] = 500 * MS;
        }
        let seconds = Duration::from_secs;
        for (name, history) in [
            ("room/large", History::window(100, seconds(60))),
            ("room/other", History::window(100, seconds(60))),
            ("room/small", History::window(6, seconds(5))),
            ("room/bytes", History::window(100, seconds(60)).bytes(100)),
            ("price/a", History::latest()),
            ("price/b", History::latest()),
            ("tick", History::off()),
        ] {
            let log = world.logs.topic(name, history.kept());
            if name == "room/small" || name == "room/bytes" {
                world.logs.may_lose(log);
            }
            world.topics.push(Topic {
                name: TopicName::new(name).expect("a name"),
                history,
                log,
            });
        }
        for _ in 0..3 {
            let desk = DeskState::new(world.random.bits());
            world.desks.push(desk);
            world.nodes.push(Node {
                hub: None,
                life: 0,
                commands: Link::default(),
                feed: Link::default(),
                generations: [1; PARTITIONS],
                listened: BTreeSet::new(),
                next_wake: None,
                memory_number: 0,
                strikes: 0,
                dropping: [false; PARTITIONS],
                dropped: [false; PARTITIONS],
            });
        }
        for number in 0..9 {
            let log = world.logs.client(format!("client {number}"));
            world.clients.push(Client::new(log));
        }
        for number in 0..3 {
            let log = world.logs.publisher(format!("publisher {number}"));
            world.publishers.push(Publisher { log, next: 0 });
        }
        world
    }

    /// Starts a node.
    pub(crate) fn start_node(&mut self, node: usize) {
        let mut config = HubConfig::default();
        config.turn = self.turn;
        config.waiting_events = 5;
        config.max_reads = 3;
        config.tail_events = 8;
        config.all_tails_bytes = 4096;
        self.desks[node].now.store(self.now, Ordering::Relaxed);
        let desk = Desk::new(self.base, Arc::clone(&self.desks[node]));
        let state = &mut self.nodes[node];
        state.hub = Some(Hub::new(desk, config));
        state.life += 1;
        state.listened.clear();
        state.next_wake = None;
        self.connect(node);
    }

    /// Calls the hub of a node, and carries out what it wants.
    pub(crate) fn hub<R>(&mut self, node: usize, call: impl FnOnce(&Hub<Desk>) -> R) -> Option<R> {
        self.desks[node].now.store(self.now, Ordering::Relaxed);
        let hub = self.nodes[node].hub.take()?;
        let result = call(&hub);
        let requests: Vec<_> = std::iter::from_fn(|| hub.next_request()).collect();
        self.nodes[node].hub = Some(hub);
        for told in self.desks[node].take_told() {
            self.tell(node, told);
        }
        for request in requests {
            self.request(node, request);
        }
        if let Some(at) = self.desks[node].take_wake() {
            self.wake(node, at);
        }
        Some(result)
    }

    fn wake(&mut self, node: usize, at: Time) {
        let state = &mut self.nodes[node];
        if state.next_wake.is_some_and(|next| next <= at) {
            return;
        }
        state.next_wake = Some(at);
        let life = state.life;
        let pause = at.saturating_sub(self.now);
        self.after(pause, move |world| {
            let state = &mut world.nodes[node];
            if state.life == life && state.next_wake == Some(at) {
                state.next_wake = None;
                world.hub(node, Hub::handle_timeout);
            }
        });
    }

    /// Lets something happen after a pause.
    pub(crate) fn after(&mut self, pause: Time, event: impl FnOnce(&mut Self) + 'static) {
        self.at(self.now + pause, event);
    }

    /// Lets something happen at a time.
    pub(crate) fn at(&mut self, at: Time, event: impl FnOnce(&mut Self) + 'static) {
        let number = self.number();
        let tie = self.random.bits();
        self.queue.push(Reverse(Scheduled { at, tie, number }));
        self.events.insert(number, Box::new(event));
    }

    /// Lets all happen up to a time.
    pub(crate) fn run_until(&mut self, end: Time) {
        while let Some(&Reverse(next)) = self.queue.peek() {
            if next.at > end {
                break;
            }
            self.queue.pop();
            self.now = next.at;
            if let Some(event) = self.events.remove(&next.number) {
                event(self);
            }
        }
        self.now = end;
    }

    /// Returns a number that nothing else has.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn millis(&self) -> u64 {
        self.now / MS
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9} {}", now, line()));
        }
    }

    /// Notes a fault that ends at a time.
    pub(crate) fn fault(&mut self, name: &'static str, until: Time, harm: Harm) {
        self.note(|| format!("fault: {name} until {until}"));
        self.logs.fault(Fault {
            name,
            from: self.millis(),
            until: until / MS,
            harm,
        });
    }

    /// The observer notes an entry that a server stored.
    pub(crate) fn observe(&mut self, topic: usize, entry: &Entry) {
        self.logs.stored(Stored {
            topic: self.topics[topic].log,
            position: entry.position,
            previous: entry.previous,
            stamp: stamp_of(&entry.body, &self.publishers),
            len: u32::try_from(entry.body.len()).expect("a short message"),
            time: self.now / MS,
        });
    }

    /// The observer reads the newest positions. The run has settled.
    pub(crate) fn settle(&mut self) {
        for topic in 0..self.topics.len() {
            let memory = &self.servers[self.primary].memory;
            let top = if self.topics[topic].history.is_latest() {
                memory.value(topic)
            } else {
                memory.top(topic)
            };
            let now = self.millis();
            self.logs.top(now, self.topics[topic].log, top);
        }
        self.logs.settled(self.millis());
    }

    /// Copies a topic to the servers that follow a server.
    pub(crate) fn copied(&mut self, server: usize, topic: usize) {
        for other in 0..self.servers.len() {
            if self.servers[other].copies == Some(server) {
                let memory = std::mem::take(&mut self.servers[server].memory);
                self.servers[other].memory.copy(&memory, topic);
                self.servers[server].memory = memory;
            }
        }
    }

    /// Brings a message that a server wrote to the feeds of it and of the servers that follow it.
    pub(crate) fn written(&mut self, server: usize, topic: usize, delivered: &Delivered) {
        self.copied(server, topic);
        for other in 0..self.servers.len() {
            if self.servers[other].copies == Some(server) {
                self.push(other, topic, delivered);
            }
        }
        self.push(server, topic, delivered);
    }

    fn push(&mut self, server: usize, topic: usize, delivered: &Delivered) {
        let subscribed = self.servers[server].subscribed.iter();
        let feeds = subscribed.filter(|(_, topics)| topics.contains(&topic));
        let feeds: Vec<(usize, u64)> = feeds.map(|(feed, _)| *feed).collect();
        for (node, connection) in feeds {
            let delivered = delivered.clone();
            self.feed_back(node, connection, topic, move |world| {
                let name = world.topics[topic].name.clone();
                world.hub(node, |hub| hub.delivered(&name, delivered));
            });
        }
    }
}
