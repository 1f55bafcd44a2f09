//! A crowd of clients that return to one topic at once: the wire machines of both ends, the hub, and the memory engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sockeye_proto::Message;
use sockeye_pubsub::engine::{EngineEvents, EngineState, Generation, NodeId, NodeInfo, Since};
use sockeye_pubsub::hub::{Hub, HubConfig, Outlet, ReadNumber, Recovery, Request, Wants, Welcome};
use sockeye_pubsub::wire::{
    ClientEvent, ClientMachine, Content, Reference, SUBPROTOCOLS, ServerLimits, ServerMachine,
    Step, envelope,
};
use sockeye_pubsub::{
    Body, Delivered, Entry, Epoch, History, MemoryEngine, MemoryLimits, MessageId, Position,
    Publication, SubscribeError, Surroundings, TopicName,
};

use crate::support::topic;

const ROOM: &str = "room/42";
const CLIENTS: usize = 100_000;
/// The clients from this number on come when the topic is live. The tail of the node has what they missed.
const LATE: usize = 90_000;
/// One client of so many was away for long.
const LONG: usize = 1_000;
/// One client of so many has a position of another epoch.
const FORGED: usize = 10_000;
/// The messages that were published before the clients return.
const STORED: u64 = 100;

/// The two ends of one connection.
struct Pair {
    number: usize,
    client: ClientMachine,
    server: ServerMachine,
}

/// The connections of a node, and what their server does for the hub.
struct Node {
    now: Instant,
    random: AtomicU64,
    pairs: Mutex<Vec<Pair>>,
}

/// A request of a client that waits for its answer.
struct Join {
    client: usize,
    reference: Reference,
}

impl Surroundings for Node {
    fn now(&self) -> Instant {
        self.now
    }

    fn random(&self) -> u64 {
        self.random
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

impl Outlet for Node {
    type Join = Join;
    type Topic = Subscribers;

    fn attach(
        &self,
        _: &TopicName,
        topic: &mut Subscribers,
        join: Join,
        welcome: Welcome<'_>,
    ) -> bool {
        let mut pairs = self.pairs.lock().unwrap();
        let Pair { client, server, .. } = &mut pairs[join.client];
        let answer = server.subscribed(join.reference, ROOM, &welcome).unwrap();
        client.received(&answer.into(), self.now);
        for entry in welcome.replay {
            client.received(topic.frame(entry), self.now);
        }
        topic.clients.push(join.client);
        true
    }

    fn refuse(&self, _: Join, error: SubscribeError) {
        panic!("the engine answers: {error}");
    }

    fn deliver(&self, topic: &mut Subscribers, delivered: &Delivered) {
        let Delivered::Entry(entry) = delivered else {
            panic!("the topic has a history");
        };
        let mut pairs = self.pairs.lock().unwrap();
        for client in topic.clients.clone() {
            pairs[client].client.received(topic.frame(entry), self.now);
        }
    }

    fn lose(&self, _: &mut Subscribers, _: Option<Position>) {
        panic!("the engine loses nothing");
    }

    fn wake_at(&self, _: Instant) {}
}

/// The clients that subscribe, and the frames of the messages. A frame is made once for all clients.
#[derive(Default)]
struct Subscribers {
    clients: Vec<usize>,
    frames: Vec<(u64, Message)>,
}

impl Subscribers {
    fn frame(&mut self, entry: &Entry) -> &Message {
        let offset = entry.position.offset;
        let made = self.frames.iter().position(|(made, _)| *made == offset);
        let index = made.unwrap_or_else(|| {
            let frame = envelope(ROOM, Some(entry.position), &entry.body);
            self.frames.push((offset, frame.message().clone()));
            self.frames.len() - 1
        });
        &self.frames[index].1
    }
}

/// The feed of the engine. It goes to the hub.
struct Feed(Arc<Hub<Node>>);

impl EngineEvents for Feed {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        self.0.delivered(topic, delivered);
    }

    fn gap(&self, _: &dyn Fn(&str) -> bool) {}
    fn listened(&self, _: Generation, _: &[TopicName]) {}
    fn signal(&self, _: NodeId, _: Bytes) {}
    fn signals_lost(&self) {}
    fn nodes(&self, _: &[NodeInfo]) {}
    fn state(&self, _: EngineState) {}
}

/// One node on the memory engine. The test carries out what the hub wants.
struct World {
    hub: Arc<Hub<Node>>,
    engine: MemoryEngine,
    history: History,
    limits: ServerLimits,
    ids: u64,
}

/// A clock that stands.
struct Stopped(Instant);

impl Surroundings for Stopped {
    fn now(&self) -> Instant {
        self.0
    }

    fn random(&self) -> u64 {
        7
    }
}

impl World {
    fn new(now: Instant) -> Self {
        let node = Node {
            now,
            random: AtomicU64::new(1),
            pairs: Mutex::default(),
        };
        let mut config = HubConfig::default();
        config.gather = Duration::ZERO;
        let hub = Arc::new(Hub::new(node, config));
        let engine = MemoryEngine::new(MemoryLimits::default(), Arc::new(Stopped(now)));
        let info = NodeInfo {
            id: NodeId(1),
            name: "one".into(),
            fingerprint: 0,
        };
        engine
            .begin(info, Arc::new(Feed(Arc::clone(&hub))))
            .unwrap();
        Self {
            hub,
            engine,
            history: History::window(1000, Duration::from_secs(3600)),
            limits: ServerLimits::default(),
            ids: 0,
        }
    }

    fn publish(&mut self) -> Position {
        self.ids += 1;
        let publication = Publication {
            id: MessageId::new(self.ids),
            body: Body {
                message: format!("message {}", self.ids).into(),
                compressible: true,
            },
            key: None,
        };
        let published = self.engine.publish(ROOM, publication, self.history);
        published.unwrap().unwrap()
    }

    /// The engine begins to deliver the topic. The hub asks for that first.
    fn listen(&self) {
        let Some(Request::Listen(topics)) = self.hub.next_request() else {
            panic!("the hub does not listen");
        };
        let generation = self.engine.listen(&topics[0]).unwrap();
        self.hub.listen_done(&topics, Ok(vec![generation]));
    }

    /// Returns the reads that the hub wants.
    fn reads(&self) -> Vec<(Since, ReadNumber)> {
        let requests = std::iter::from_fn(|| self.hub.next_request());
        let read = |request| match request {
            Request::CatchUp { since, read, .. } => (since, read),
            other => panic!("the hub wants {other:?}"),
        };
        requests.map(read).collect()
    }

    /// A client connects, and resumes behind this position.
    fn resume(&self, number: usize, position: Position) {
        let now = self.hub.outlet().now;
        let mut pair = Pair {
            number,
            client: ClientMachine::default(),
            server: ServerMachine::new(&self.limits),
        };
        pair.client
            .subscribe(topic(ROOM), Wants::After(position), None)
            .unwrap();
        pair.client.connected(Some(SUBPROTOCOLS[0]), now).unwrap();
        let frame = pair.client.next_frame(now).unwrap();
        let step = pair.server.receive(Content::from(&frame), now);
        let Step::Subscribe {
            reference,
            topic,
            wants,
            ..
        } = step
        else {
            panic!("the client does not resume");
        };
        let client = {
            let mut pairs = self.hub.outlet().pairs.lock().unwrap();
            pairs.push(pair);
            pairs.len() - 1
        };
        let join = Join { client, reference };
        self.hub.join(&topic, self.history, wants, join);
    }
}

/// Returns how many messages a client has missed. `None`: its position is of another epoch.
fn missed(client: usize) -> Option<usize> {
    match client {
        LATE.. => Some(client % 3),
        _ if client % FORGED == 7 => None,
        // The tail of the node does not reach this position.
        _ if client % LONG == 3 => Some(50),
        _ => Some(client % 3),
    }
}

#[test]
fn a_hundred_thousand_clients_return_to_one_topic_by_one_read_of_the_engine() {
    let mut world = World::new(Instant::now());
    let positions: Vec<_> = (0..STORED).map(|_| world.publish()).collect();
    let newest = positions.len() - 1;
    let resume = |client| match missed(client) {
        Some(missed) => positions[newest - missed],
        None => Position {
            epoch: Epoch::new(99),
            ..positions[newest]
        },
    };

    // The crowd comes before the engine listens, and while the one read is under way.
    for client in 0..CLIENTS / 2 {
        world.resume(client, resume(client));
    }
    world.listen();
    let reads = world.reads();
    let [(since, read)] = reads[..] else {
        panic!("the hub wants {reads:?}");
    };
    for client in CLIENTS / 2..LATE {
        world.resume(client, resume(client));
    }
    let room = topic(ROOM);
    let answer = world.engine.catch_up(&room, since, world.history);
    // Published behind the read: it comes live.
    let last = world.publish();
    world.hub.caught_up(&room, read, answer);
    assert_eq!(world.hub.subscribers(ROOM), LATE);
    for client in LATE..CLIENTS {
        world.resume(client, resume(client));
    }
    assert_eq!(world.reads(), [], "one read in all");
    assert_eq!(world.hub.subscribers(ROOM), CLIENTS);

    let mut pairs = world.hub.outlet().pairs.lock().unwrap();
    for (number, client) in pairs.iter_mut().map(|pair| (pair.number, &mut pair.client)) {
        let mut events = std::iter::from_fn(|| client.next_event());
        let first = events.next();
        let Some(ClientEvent::Subscribed { recovery, .. }) = first else {
            panic!("client {number} got {first:?}");
        };
        let is_late = number >= LATE;
        let expected = match missed(number) {
            Some(missed) => Recovery::Recovered {
                missed: missed + usize::from(is_late),
            },
            None => Recovery::Lost,
        };
        assert_eq!(recovery, expected, "client {number}");
        let offsets = events.filter_map(|event| match event {
            ClientEvent::Message { position, .. } => Some(position?.offset),
            ClientEvent::Lost { .. } => None,
            other => panic!("client {number} got {other:?}"),
        });
        let behind = resume(number).offset;
        assert!(offsets.eq(behind + 1..=last.offset), "client {number}");
        assert!(client.positions().all(|(_, position)| position == last));
    }
}
