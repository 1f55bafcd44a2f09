//! The workloads, by the names under which they are reported, and what Sockeye has to reach in each.

mod shared;

use crate::message::{JSON_SIZE, Payload};
use crate::server::{Job, Setting};
use crate::target::{Limit, Target};

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The description for readers of the table.
    pub(crate) about: &'static str,
    pub(crate) load: Load,
    /// How the servers have to be set.
    pub(crate) setting: Setting,
    pub(crate) targets: &'static [Target],
}

/// What is done to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Messages that are echoed, some of each connection in flight.
    Echo {
        connections: usize,
        in_flight: usize,
        payload: Payload,
        size: usize,
    },
    /// One publishes, some of its messages in flight until the last subscriber has them. Where the setting has
    /// topics, each message goes to the next of them, and each has as many subscribers.
    FanOut {
        subscribers: usize,
        in_flight: usize,
        size: usize,
    },
    /// Connections are opened, so many at once, and reset.
    Handshake { parallel: usize },
    /// Connections are held, after a message was echoed on each or before.
    Idle { connections: usize, message: bool },
    /// No server at all: frames are read from memory, and their echo written there.
    Codec { size: usize },
    /// Clients of the subprotocol lose their connections, miss messages of each topic, and return at once.
    Recovery {
        clients: usize,
        missed: usize,
        size: usize,
    },
    /// No server at all: messages with keys are published to a topic with history, some of them in flight.
    Publish { in_flight: usize, size: usize },
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds of processor time.
    Time,
    /// Bytes of resident memory.
    Memory,
    /// Nanoseconds that pass.
    Elapsed,
    /// Reads of the engine.
    Reads,
}

impl Load {
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Idle { .. } => Unit::Memory,
            Self::Publish { .. } => Unit::Elapsed,
            Self::Recovery { .. } => Unit::Reads,
            Self::Echo { .. }
            | Self::FanOut { .. }
            | Self::Handshake { .. }
            | Self::Codec { .. } => Unit::Time,
        }
    }

    /// What is counted, of which a figure is for each.
    pub(crate) fn counted(self) -> &'static str {
        match self {
            Self::Echo { .. } | Self::Codec { .. } => "message",
            Self::FanOut { .. } => "delivered message",
            Self::Handshake { .. } => "handshake",
            Self::Idle { .. } => "connection",
            Self::Recovery { .. } => "topic",
            Self::Publish { .. } => "published message",
        }
    }
}

impl Workload {
    /// Whether two nodes share topics through a Redis server.
    pub(crate) fn is_shared(&self) -> bool {
        self.setting.shared.is_some()
    }

    /// Returns the contender that every ratio is to.
    pub(crate) fn floor(&self) -> &'static str {
        match self.load {
            Load::Publish { .. } => RAW_SCRIPT,
            _ => FLOOR,
        }
    }
}

/// Returns all workloads.
pub(crate) fn all() -> impl Iterator<Item = &'static Workload> + Clone {
    ON_ONE_NODE.iter().chain(shared::ALL)
}

const ON_ONE_NODE: &[Workload] = &[
    Workload {
        name: "w1",
        about: "64 B of ASCII text, 100 connections, 1 message in flight on each",
        load: echo(100, 1, Payload::Ascii, 64),
        setting: PLAIN,
        targets: &[
            endpoint(Limit::Of(FLOOR, 1.05)),
            Target {
                server: "sockeye-endpoint-threads",
                limit: Limit::Of(FLOOR, 1.10),
            },
            accepted("sockeye-accept"),
            accepted("sockeye-axum"),
        ],
    },
    Workload {
        name: "w2",
        about: "64 B of ASCII text, 100 connections, 16 in flight",
        load: echo(100, 16, Payload::Ascii, 64),
        setting: PLAIN,
        targets: &[
            endpoint(Limit::Of(FLOOR, 1.10)),
            accepted("sockeye-accept"),
            accepted("sockeye-axum"),
        ],
    },
    Workload {
        name: "w2-1k",
        about: "1 KiB of ASCII text, 100 connections, 16 in flight",
        load: echo(100, 16, Payload::Ascii, 1024),
        setting: PLAIN,
        targets: &[endpoint(Limit::Of(FLOOR, 1.15))],
    },
    Workload {
        name: "w64",
        about: "64 B of ASCII text, 100 connections, 64 in flight",
        load: echo(100, 64, Payload::Ascii, 64),
        setting: PLAIN,
        targets: &[
            endpoint(Limit::Of(FLOOR, 1.30)),
            accepted("sockeye-accept"),
            accepted("sockeye-axum"),
        ],
    },
    Workload {
        name: "w2000",
        about: "64 B of ASCII text, 2,000 connections, 1 in flight",
        load: echo(2000, 1, Payload::Ascii, 64),
        setting: PLAIN,
        targets: &[endpoint(Limit::Of("raw-tokio", 1.05))],
    },
    Workload {
        name: "w3-16k",
        about: "16 KiB binary, 10 connections, 4 in flight",
        load: echo(10, 4, Payload::Binary, 16 * 1024),
        setting: PLAIN,
        targets: &[endpoint(Limit::Of(FLOOR, 1.25))],
    },
    Workload {
        name: "w3-16k-ascii",
        about: "16 KiB of ASCII text, 10 connections, 4 in flight",
        load: echo(10, 4, Payload::Ascii, 16 * 1024),
        setting: PLAIN,
        targets: &[],
    },
    Workload {
        name: "w3-16k-text",
        about: "16 KiB of text, every third character beyond ASCII, 10 connections, 4 in flight",
        load: echo(10, 4, Payload::NonAscii, 16 * 1024),
        setting: PLAIN,
        targets: &[endpoint(Limit::Of(FLOOR, 1.65))],
    },
    Workload {
        name: "w3-1m",
        about: "1 MiB binary, 4 connections, 1 in flight",
        load: echo(4, 1, Payload::Binary, 1 << 20),
        setting: PLAIN,
        targets: &[Target {
            // Its handler takes `Bytes`.
            server: "sockeye-endpoint-bytes",
            limit: Limit::Of("fastwebsockets", 1.05),
        }],
    },
    Workload {
        name: "w3-1m-text",
        about: "1 MiB of text, every third character beyond ASCII, 4 connections, 1 in flight",
        load: echo(4, 1, Payload::NonAscii, 1 << 20),
        setting: PLAIN,
        targets: &[],
    },
    Workload {
        name: "w4",
        about: "1 KiB of JSON compressed at level 6 with context takeover, 100 connections, 1 in flight",
        load: echo(100, 1, Payload::Json, JSON_SIZE),
        setting: deflate(6, true),
        targets: &[endpoint(Limit::OfBest(0.9))],
    },
    Workload {
        name: "w4-level-1",
        about: "the same at level 1",
        load: echo(100, 1, Payload::Json, JSON_SIZE),
        setting: deflate(1, true),
        targets: &[],
    },
    Workload {
        name: "w4-no-takeover",
        about: "the same at level 6 without takeover",
        load: echo(100, 1, Payload::Json, JSON_SIZE),
        setting: deflate(6, false),
        targets: &[],
    },
    Workload {
        name: "w5",
        about: "5,000 idle connections, before any message",
        load: idle(5000, false),
        setting: PLAIN,
        targets: &[
            endpoint(Limit::AtMost(2000.0)),
            holds("sockeye-accept"),
            holds("sockeye-axum"),
        ],
    },
    Workload {
        name: "w5-message",
        about: "5,000 idle connections, after a message of 1 KiB on each",
        load: idle(5000, true),
        setting: PLAIN,
        targets: &[],
    },
    Workload {
        name: "w5-no-takeover",
        about: "5,000 idle connections that compress without takeover, before any message",
        load: idle(5000, false),
        setting: deflate(6, false),
        targets: &[endpoint(Limit::AtMost(2000.0))],
    },
    Workload {
        name: "w5-no-takeover-message",
        about: "5,000 idle connections that compress without takeover, after a message of 1 KiB on each",
        load: idle(5000, true),
        setting: deflate(6, false),
        targets: &[endpoint(Limit::AtMost(2000.0))],
    },
    Workload {
        name: "w5-takeover",
        about: "1,000 idle connections that compress with takeover, before any message",
        load: idle(1000, false),
        setting: deflate(6, true),
        targets: &[],
    },
    Workload {
        name: "w5-takeover-message",
        about: "1,000 idle connections that compress with takeover, after a message of 1 KiB on each",
        load: idle(1000, true),
        setting: deflate(6, true),
        targets: &[endpoint(Limit::AtMost(25_000.0))],
    },
    Workload {
        name: "w5-tls",
        about: "1,000 idle connections with TLS, before any message",
        load: idle(1000, false),
        setting: TLS,
        targets: &[],
    },
    Workload {
        name: "w5-tls-message",
        about: "1,000 idle connections with TLS, after a message of 1 KiB on each",
        load: idle(1000, true),
        setting: TLS,
        targets: &[],
    },
    Workload {
        name: "w6-single",
        about: "64 B binary to 1,000 subscribers, 1 in flight",
        load: fan_out(1000, 1, 64),
        setting: FAN_OUT,
        targets: &[endpoint(Limit::Of(FLOOR, 1.12))],
    },
    Workload {
        name: "w6",
        about: "64 B binary to 1,000 subscribers, 8 in flight",
        load: fan_out(1000, 8, 64),
        setting: FAN_OUT,
        targets: &[endpoint(Limit::Of(FLOOR, 1.10))],
    },
    Workload {
        name: "w6-1k",
        about: "1 KiB binary to 1,000 subscribers, 8 in flight",
        load: fan_out(1000, 8, 1024),
        setting: FAN_OUT,
        targets: &[],
    },
    Workload {
        name: "w6-1",
        about: "64 B binary to 1 subscriber, 8 in flight",
        load: fan_out(1, 8, 64),
        setting: FAN_OUT,
        targets: &[],
    },
    Workload {
        name: "w6-10",
        about: "64 B binary to 10 subscribers, 8 in flight",
        load: fan_out(10, 8, 64),
        setting: FAN_OUT,
        targets: &[],
    },
    Workload {
        name: "w6-100",
        about: "64 B binary to 100 subscribers, 8 in flight",
        load: fan_out(100, 8, 64),
        setting: FAN_OUT,
        targets: &[],
    },
    Workload {
        name: "w6-topic-single",
        about: "64 B binary to a topic of 1,000 subscribers, 1 in flight",
        load: fan_out(1000, 1, 64),
        setting: topics(1),
        targets: &[endpoint(Limit::Of(FLOOR, 1.12))],
    },
    Workload {
        name: "w6-topic",
        about: "64 B binary to a topic of 1,000 subscribers, 8 in flight",
        load: fan_out(1000, 8, 64),
        setting: topics(1),
        targets: &[endpoint(Limit::Of(FLOOR, 1.10))],
    },
    Workload {
        name: "w9",
        about: "64 B binary to 100 topics in turn, each of 10 subscribers, 8 in flight",
        load: fan_out(1000, 8, 64),
        setting: topics(100),
        targets: &[
            endpoint(Limit::Of(FLOOR, 1.15)),
            endpoint(Limit::Of("uwebsockets-bun", 1.00)),
        ],
    },
    Workload {
        name: "w7",
        about: "a connection opened and reset, 64 in parallel",
        load: Load::Handshake { parallel: 64 },
        setting: PLAIN,
        targets: &[endpoint(Limit::AtMost(15_000.0))],
    },
    Workload {
        name: "w8-16",
        about: "a masked frame of 16 B read from memory, and its echo written there",
        load: Load::Codec { size: 16 },
        setting: PLAIN,
        targets: &[codec(20.0)],
    },
    Workload {
        name: "w8-1k",
        about: "the same with 1 KiB",
        load: Load::Codec { size: 1024 },
        setting: PLAIN,
        targets: &[codec(80.0)],
    },
    Workload {
        name: "w8-64k",
        about: "the same with 64 KiB",
        load: Load::Codec { size: 64 * 1024 },
        setting: PLAIN,
        targets: &[],
    },
];

/// What every ratio of servers is to.
pub(crate) const FLOOR: &str = "raw-epoll";

/// What every ratio of publishers is to.
pub(crate) const RAW_SCRIPT: &str = "raw-script";

pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    all().find(|workload| workload.name == name)
}

const PLAIN: Setting = Setting {
    job: Job::Echo,
    deflate: None,
    takeover: false,
    tls: false,
    topics: None,
    shared: None,
    redis: None,
    subprotocol: false,
};

const TLS: Setting = Setting { tls: true, ..PLAIN };

const FAN_OUT: Setting = Setting {
    job: Job::FanOut,
    ..PLAIN
};

const fn topics(number: u8) -> Setting {
    Setting {
        topics: Some(number),
        ..FAN_OUT
    }
}

const fn deflate(level: u32, takeover: bool) -> Setting {
    Setting {
        deflate: Some(level),
        takeover,
        ..PLAIN
    }
}

const fn echo(connections: usize, in_flight: usize, payload: Payload, size: usize) -> Load {
    Load::Echo {
        connections,
        in_flight,
        payload,
        size,
    }
}

const fn idle(connections: usize, message: bool) -> Load {
    Load::Idle {
        connections,
        message,
    }
}

const fn fan_out(subscribers: usize, in_flight: usize, size: usize) -> Load {
    Load::FanOut {
        subscribers,
        in_flight,
        size,
    }
}

const fn endpoint(limit: Limit) -> Target {
    Target {
        server: "sockeye-endpoint",
        limit,
    }
}

/// A connection that Sockeye accepts costs as one that is opened by hand.
const fn accepted(server: &'static str) -> Target {
    Target {
        server,
        limit: Limit::Of("sockeye-connection", 1.05),
    }
}

/// Such a connection also keeps its request.
const fn holds(server: &'static str) -> Target {
    Target {
        server,
        limit: Limit::AtMost(2500.0),
    }
}

const fn codec(nanoseconds: f64) -> Target {
    Target {
        server: "sockeye-proto",
        limit: Limit::AtMost(nanoseconds),
    }
}
