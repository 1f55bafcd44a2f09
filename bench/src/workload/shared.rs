//! The workloads of topics that two nodes share through a Redis server, and what publishing to it takes.

use super::{FAN_OUT, Load, RAW_SCRIPT, Workload, endpoint, fan_out};
use crate::server::{Setting, Shared};
use crate::target::{Limit, Target};

pub(super) const ALL: &[Workload] = &[
    Workload {
        name: "w12",
        about: "200 B binary from one node to a topic of 1,000 subscribers on another, 8 in flight",
        load: fan_out(1000, 8, 200),
        setting: shared(Shared::Live, 1),
        targets: ONE_TOPIC,
    },
    Workload {
        name: "w12-history",
        about: "the same with a history of 100 messages",
        load: fan_out(1000, 8, 200),
        setting: shared(Shared::Window, 1),
        targets: ONE_TOPIC,
    },
    Workload {
        name: "w12-100",
        about: "200 B binary from one node to 100 topics in turn, each of 10 subscribers on another, 8 in flight",
        load: fan_out(1000, 8, 200),
        setting: shared(Shared::Live, 100),
        targets: MANY_TOPICS,
    },
    Workload {
        name: "w12-100-history",
        about: "the same with a history of 100 messages for each topic",
        load: fan_out(1000, 8, 200),
        setting: shared(Shared::Window, 100),
        targets: MANY_TOPICS,
    },
    Workload {
        name: "w13",
        about: "1,000 clients of one topic lose their connections, miss 50 messages, and return at once",
        load: RECOVERY,
        setting: returning(1),
        targets: ONE_READ,
    },
    Workload {
        name: "w13-100",
        about: "the same with 100 topics, each of 10 clients",
        load: RECOVERY,
        setting: returning(100),
        targets: ONE_READ,
    },
    Workload {
        name: "w14",
        about: "200 B binary with a key to a topic with a history of 100 messages, two nodes subscribed, 256 in flight",
        load: Load::Publish {
            in_flight: 256,
            size: 200,
        },
        setting: shared(Shared::Window, 1),
        targets: &[Target {
            server: "sockeye-redis",
            // At least 0.8 of its messages a second.
            limit: Limit::Of(RAW_SCRIPT, 1.25),
        }],
    },
];

const ONE_TOPIC: &[Target] = &[
    endpoint(Limit::OfWorkload("w6", 1.25)),
    endpoint(Limit::OfBothNodes("socket-io", 0.35)),
];

const MANY_TOPICS: &[Target] = &[
    endpoint(Limit::OfWorkload("w9", 1.25)),
    endpoint(Limit::OfBothNodes("socket-io", 0.35)),
];

const ONE_READ: &[Target] = &[endpoint(Limit::AtMost(1.0))];

const RECOVERY: Load = Load::Recovery {
    clients: 1000,
    missed: 50,
    size: 200,
};

const fn shared(shared: Shared, topics: u8) -> Setting {
    Setting {
        topics: Some(topics),
        shared: Some(shared),
        ..FAN_OUT
    }
}

const fn returning(topics: u8) -> Setting {
    Setting {
        subprotocol: true,
        ..shared(Shared::Window, topics)
    }
}
