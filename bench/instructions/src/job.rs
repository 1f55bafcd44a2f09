//! The jobs, by the names under which they are counted. Those that `bench` measures by the clock too have
//! its names.

use crate::{Result, codec, connection, endpoint, topics};

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    /// What costs as much as is counted.
    pub(crate) unit: &'static str,
    /// How many of them the shorter of the two runs has.
    pub(crate) count: u64,
    pub(crate) run: fn(u64) -> Result<()>,
}

pub(crate) const ALL: &[Job] = &[
    Job {
        name: "codec-16",
        unit: "a text of 16 B taken in and sent back, in memory",
        count: 16_000,
        run: |count| codec::text(16, 16, count),
    },
    Job {
        name: "codec-64",
        unit: "a text of 64 B",
        count: 16_000,
        run: |count| codec::text(64, 16, count),
    },
    Job {
        name: "codec-1k",
        unit: "a text of 1 KiB",
        count: 8_000,
        run: |count| codec::text(1024, 16, count),
    },
    Job {
        name: "codec-1k-binary",
        unit: "1 KiB, binary",
        count: 8_000,
        run: |count| codec::binary(1024, 16, count),
    },
    Job {
        name: "codec-16k-text",
        unit: "a text of 16 KiB that is not ASCII",
        count: 800,
        run: |count| codec::non_ascii(16 * 1024, 4, count),
    },
    Job {
        name: "w1",
        unit: "a text of 64 B echoed by an endpoint, alone in its read",
        count: 32_000,
        run: |count| endpoint::echo(64, 1, count),
    },
    Job {
        name: "w2",
        unit: "the same, one of 16 in a read",
        count: 16_000,
        run: |count| endpoint::echo(64, 16, count),
    },
    Job {
        name: "w64",
        unit: "the same, one of 64 in a read",
        count: 16_000,
        run: |count| endpoint::echo(64, 64, count),
    },
    Job {
        name: "w2-1k",
        unit: "a text of 1 KiB echoed, one of 16 in a read",
        count: 8_000,
        run: |count| endpoint::echo(1024, 16, count),
    },
    Job {
        name: "connection-w2",
        unit: "a text of 64 B echoed by a loop on a connection, one of 16 in a read",
        count: 16_000,
        run: |count| connection::echo(64, 16, count),
    },
    Job {
        name: "connection-w64",
        unit: "the same, one of 64 in a read",
        count: 16_000,
        run: |count| connection::echo(64, 64, count),
    },
    Job {
        name: "deflate-1k",
        unit: "1 KiB of JSON echoed, level 6, with context takeover",
        count: 320,
        run: endpoint::deflate,
    },
    Job {
        name: "broadcast-100",
        unit: "a text of 64 B to 100 sessions",
        count: 200,
        run: |count| endpoint::broadcast(100, count),
    },
    Job {
        name: "topic-100",
        unit: "a text of 64 B published to a topic with 100 subscribers",
        count: 200,
        run: |count| topics::publish_to(100, count),
    },
    Job {
        name: "topic-window-100",
        unit: "the same, and the topic keeps its last 100 messages",
        count: 200,
        run: |count| topics::publish_to_window(100, count),
    },
    Job {
        name: "w9",
        unit: "the same to the next of 16 topics, each with 10 subscribers on TCP, 8 in flight",
        count: 800,
        run: topics::publish_in_turn,
    },
    Job {
        name: "w10",
        unit: "a session subscribes and unsubscribes, the topic keeps another subscriber",
        count: 4_000,
        run: topics::subscribe_and_unsubscribe,
    },
    Job {
        name: "w11",
        unit: "a text of 64 B published to a topic without subscribers",
        count: 16_000,
        run: topics::publish_to_none,
    },
    Job {
        name: "handshake",
        unit: "a connection that is opened and closed",
        count: 1_500,
        run: endpoint::handshakes,
    },
];

impl Job {
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        ALL.iter().find(|job| job.name == name).ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|job| job.name).collect();
            format!("no job is called `{name}`: there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_does_what_it_says() {
        for job in ALL {
            (job.run)(128).unwrap_or_else(|error| panic!("{}: {error}", job.name));
        }
    }
}
