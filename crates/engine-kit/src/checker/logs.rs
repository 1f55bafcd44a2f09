//! The logs of one run: what clients, publishers, readers of presence and the observer of the engine noted.

use sockeye_pubsub::{Kept, MessageId, Position};

/// A time in milliseconds, on any clock that all logs of a run share.
pub type Millis = u64;

/// The number of a topic in the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(pub u32);

/// The number of a client in the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(pub u32);

/// The number of a publisher in the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Publisher(pub u32);

/// What a publisher writes into a message: its own number, and a counter. The counter grows from message to message, and
/// stays the same when a publish is repeated. It should have few holes: the checker keeps a slot for each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The publisher of the message.
    pub publisher: Publisher,
    /// The counter of the publisher.
    pub n: u32,
}

/// What a client noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The client is connected. A client without this event is connected from the start.
    Connected,
    /// The connection ended, and with it all subscriptions.
    Disconnected,
    /// The client asked for a subscription. Optional: it lets rule 11 see a join that was never answered.
    Asked {
        /// The topic.
        topic: Topic,
    },
    /// A subscription was refused: by an error, or because the topic is unavailable.
    Refused {
        /// The topic.
        topic: Topic,
    },
    /// A subscription began, or began again on a new connection.
    Subscribed {
        /// The topic.
        topic: Topic,
        /// The position that the client gave.
        after: Option<Position>,
        /// The position that the answer gave.
        at: Option<Position>,
        /// Whether the client was recovered. `None` if it gave no position.
        recovered: Option<bool>,
        /// The number of replayed messages in the answer.
        missed: u32,
    },
    /// A message came.
    Message {
        /// The topic.
        topic: Topic,
        /// Where the message stands. `None` without history.
        at: Option<Position>,
        /// The id of the message before it, if the client was told: the checker compares it with the observer's.
        previous: Option<MessageId>,
        /// The content of the message.
        stamp: Stamp,
        /// Whether the message was replayed, if the client was told: the checker compares it with `missed`.
        replayed: Option<bool>,
    },
    /// The client was told that messages may be missing.
    Lost {
        /// The topic.
        topic: Topic,
        /// Where the topic goes on. `None` without history.
        at: Option<Position>,
    },
    /// The subscription ended: by the client or by the server.
    Ended {
        /// The topic.
        topic: Topic,
    },
}

/// What a publisher noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublisherEvent {
    /// The message was handed to the engine, for the first time or again.
    Sent {
        /// The counter in the message.
        n: u32,
        /// The topic.
        topic: Topic,
        /// Whether the publish has a key, so that repeating it is safe.
        keyed: bool,
    },
    /// The publish was confirmed.
    Ok {
        /// The counter in the message.
        n: u32,
        /// Where the message is stored. `None` without history.
        at: Option<Position>,
    },
    /// The message was certainly not published.
    Unsent {
        /// The counter in the message.
        n: u32,
    },
    /// The message may have been published. A publish without an outcome counts as unknown.
    Unknown {
        /// The counter in the message.
        n: u32,
    },
}

/// What was noted about the members of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceEvent {
    /// A session entered a topic as this member.
    Entered {
        /// The topic.
        topic: Topic,
        /// The public name of the member.
        member: u64,
        /// The number of the node that holds the session.
        node: u32,
    },
    /// The session left, or ended.
    Left {
        /// The topic.
        topic: Topic,
        /// The public name of the member.
        member: u64,
    },
    /// A node died, and its sessions with it.
    Died {
        /// The number of the node.
        node: u32,
    },
    /// A reader listed the members of a topic.
    Members {
        /// The topic.
        topic: Topic,
        /// The public names.
        members: Vec<u64>,
        /// Whether the run has settled: the list must then be exact.
        settled: bool,
    },
    /// A reader asked for the number of members.
    Count {
        /// The topic.
        topic: Topic,
        /// The answer.
        count: u64,
        /// Whether the run has settled: the number must then be exact.
        settled: bool,
    },
}

/// An entry that the observer found in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The topic.
    pub topic: Topic,
    /// Where the entry stands.
    pub position: Position,
    /// The id of the entry before it.
    pub previous: Option<MessageId>,
    /// The content of the entry.
    pub stamp: Stamp,
    /// The bytes of the body, for the limit of the window. 0 if the run does not use that limit.
    pub len: u32,
    /// When the engine stored the entry.
    pub time: Millis,
}

/// What a fault may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Nothing: no subscriber of a window may hear `lost`.
    Nothing,
    /// Continuity: subscribers may hear `lost`. The engine keeps what it has confirmed.
    Continuity,
    /// Confirmed messages: the engine may lose them.
    Confirmed,
}

/// A fault that the run made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened, for the report.
    pub name: &'static str,
    /// When it began.
    pub from: Millis,
    /// When it ended.
    pub until: Millis,
    /// What it may cost.
    pub harm: Harm,
}

/// A topic of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicInfo {
    /// The name, for the report.
    pub(super) name: String,
    /// What the engine keeps.
    pub(super) kept: Kept,
    /// Whether rule 10 leaves the topic out, because its window is shorter than the faults.
    pub(super) may_lose: bool,
}

/// The logs of one run.
///
/// Each log is in the order of its events, and the times in it never fall.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    pub(super) topics: Vec<TopicInfo>,
    pub(super) clients: Vec<Log<ClientEvent>>,
    pub(super) publishers: Vec<Log<PublisherEvent>>,
    pub(super) stored: Vec<Stored>,
    pub(super) tops: Vec<(Millis, Topic, Option<Position>)>,
    pub(super) presence: Vec<(Millis, PresenceEvent)>,
    pub(super) faults: Vec<Fault>,
    pub(super) settled: Vec<Millis>,
}

/// What one party noted.
#[derive(Clone, Debug)]
pub(super) struct Log<E> {
    pub(super) name: String,
    pub(super) events: Vec<(Millis, E)>,
}

impl<E> Log<E> {
    fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            events: Vec::new(),
        }
    }
}

impl Logs {
    /// Makes empty logs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a topic.
    pub fn topic(&mut self, name: impl Into<String>, kept: Kept) -> Topic {
        self.topics.push(TopicInfo {
            name: name.into(),
            kept,
            may_lose: false,
        });
        Topic(number(self.topics.len()))
    }

    /// Leaves a topic out of rule 10: its window is shorter than the faults of the run.
    pub fn may_lose(&mut self, topic: Topic) {
        self.topics[topic.0 as usize].may_lose = true;
    }

    /// Adds a client.
    pub fn client(&mut self, name: impl Into<String>) -> Client {
        self.clients.push(Log::new(name));
        Client(number(self.clients.len()))
    }

    /// Adds a publisher.
    pub fn publisher(&mut self, name: impl Into<String>) -> Publisher {
        self.publishers.push(Log::new(name));
        Publisher(number(self.publishers.len()))
    }

    /// Adds an event to the log of a client.
    pub fn note(&mut self, client: Client, time: Millis, event: ClientEvent) {
        let events = &mut self.clients[client.0 as usize].events;
        debug_assert!(events.last().is_none_or(|(last, _)| *last <= time));
        events.push((time, event));
    }

    /// Adds an event to the log of a publisher.
    pub fn published(&mut self, publisher: Publisher, time: Millis, event: PublisherEvent) {
        self.publishers[publisher.0 as usize]
            .events
            .push((time, event));
    }

    /// Adds an entry that the observer found. An entry may be added only once. The observer must find each entry of a
    /// window; of a topic that keeps the latest value it may miss some.
    pub fn stored(&mut self, entry: Stored) {
        self.stored.push(entry);
    }

    /// Adds the newest position of a topic, as the observer read it. `None` if the engine knows nothing of the topic, or
    /// has no latest value.
    pub fn top(&mut self, time: Millis, topic: Topic, top: Option<Position>) {
        self.tops.push((time, topic, top));
    }

    /// Adds an event about presence.
    pub fn presence(&mut self, time: Millis, event: PresenceEvent) {
        self.presence.push((time, event));
    }

    /// Adds a fault.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Says that the run has settled at this time: the last fault is long enough ago that each connected client must stand
    /// at the engine's newest position. The observer reads the newest positions just before, and nothing is published meanwhile.
    pub fn settled(&mut self, time: Millis) {
        debug_assert!(self.settled.last().is_none_or(|last| *last <= time));
        self.settled.push(time);
    }

    /// Forgets everything, and keeps the memory for the next run.
    pub fn clear(&mut self) {
        self.topics.clear();
        self.clients.clear();
        self.publishers.clear();
        self.stored.clear();
        self.tops.clear();
        self.presence.clear();
        self.faults.clear();
        self.settled.clear();
    }

    /// Returns whether a fault of the run may cost this.
    pub(super) fn may_cost(&self, harm: Harm) -> bool {
        self.faults.iter().any(|fault| fault.harm >= harm)
    }
}

/// The number of the last of `len` things.
fn number(len: usize) -> u32 {
    u32::try_from(len - 1).expect("fewer than 2^32 parties")
}
