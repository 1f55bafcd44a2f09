//! The limits of a hub.

use std::ops::Range;
use std::time::Duration;

/// The limits of a hub.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubConfig {
    /// The time for which requests to listen are gathered. Zero for an engine in the same process. Default: 2 ms.
    pub gather: Duration,
    /// The most topics in one request. Default: 512.
    pub batch: usize,
    /// The most topics of the node. Default: 1,000,000.
    pub max_topics: usize,
    /// The most events in the tail of a topic. At most 32, the default.
    pub tail_events: usize,
    /// The most bytes in the tail of a topic. Default: 16 KiB.
    pub tail_bytes: usize,
    /// The most bytes in the tail of a topic for some seconds after a read, whatever their number. Default: 1 MiB.
    pub wide_tail_bytes: usize,
    /// How long a tail is wide after a read at most. Default: 30 s.
    pub wide_tail: Duration,
    /// The most bytes in all tails. Default: 128 MiB.
    pub all_tails_bytes: usize,
    /// The most events of a topic that wait for a read. Default: 256.
    pub waiting_events: usize,
    /// The most bytes of the events of a topic that wait for a read. Default: 64 KiB.
    pub waiting_bytes: usize,
    /// How long a topic stays after its last subscriber has left. Default: 5 to 7 s.
    pub linger: Range<Duration>,
    /// How long a join waits at most. Default: 10 s.
    pub join_wait: Duration,
    /// The time after which a subscriber may try again when a join failed. Default: 1 to 5 s.
    pub retry: Range<Duration>,
    /// The time between two reads of a topic for the same subscribers. Default: 100 ms.
    pub read_pause: Duration,
    /// The time after which a read that failed is repeated. Default: 0.1 to 5 s.
    pub error_pause: Range<Duration>,
    /// The most reads at once. Default: 1,024.
    pub max_reads: usize,
    /// The most reads of messages in a second. Default: 2,000.
    pub reads_per_second: u32,
    /// The most topics in a second whose positions are asked for after an interruption. Default: 50,000.
    pub tops_per_second: u32,
    /// The most topics in a second whose positions are asked for in turn. Zero: no topic. Default: 500.
    pub turns_per_second: u32,
    /// The time between two questions for the position of a topic in turn. Default: 5 min.
    pub turn: Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(2),
            batch: 512,
            max_topics: 1_000_000,
            tail_events: 32,
            tail_bytes: 16 << 10,
            wide_tail_bytes: 1 << 20,
            wide_tail: Duration::from_secs(30),
            all_tails_bytes: 128 << 20,
            waiting_events: 256,
            waiting_bytes: 64 << 10,
            linger: Duration::from_secs(5)..Duration::from_secs(7),
            join_wait: Duration::from_secs(10),
            retry: Duration::from_secs(1)..Duration::from_secs(5),
            read_pause: Duration::from_millis(100),
            error_pause: Duration::from_millis(100)..Duration::from_secs(5),
            max_reads: 1024,
            reads_per_second: 2_000,
            tops_per_second: 50_000,
            turns_per_second: 500,
            turn: Duration::from_secs(300),
        }
    }
}
