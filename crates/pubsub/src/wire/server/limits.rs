//! The limits of a connection.

use std::time::Duration;

/// The limits of a connection of a client.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    pub(super) topics: u32,
    pub(super) ping: Duration,
    pub(super) publish_burst: u32,
    pub(super) publish_interval: Duration,
    pub(super) request_interval: Duration,
    pub(super) new_topic_burst: u32,
    pub(super) new_topic_interval: Duration,
}

impl Default for ServerLimits {
    /// 128 topics, and a ping after 25 s without a message. 200 publishes at once, then 100 a second. Two other requests
    /// for each topic at once, then 10 a second. 128 new topics at once, then 60 a minute.
    fn default() -> Self {
        Self {
            topics: 128,
            ping: Duration::from_secs(25),
            publish_burst: 200,
            publish_interval: Duration::from_millis(10),
            request_interval: Duration::from_millis(100),
            new_topic_burst: 128,
            new_topic_interval: Duration::from_secs(1),
        }
    }
}

impl ServerLimits {
    /// The most publishes of a session that wait for their outcome.
    pub const MAX_PUBLISHES: usize = 16;

    /// Sets the most subscriptions that a client may have. The default is 128. The requests other than publishes have a
    /// burst of two for each.
    #[must_use]
    pub fn topics(self, topics: u32) -> Self {
        Self { topics, ..self }
    }

    /// Sets the time after which a client that has received nothing sends a `ping`. The default is 25 s. Clients are
    /// told whole seconds.
    #[must_use]
    pub fn ping(self, ping: Duration) -> Self {
        Self { ping, ..self }
    }

    /// Sets the publishes that a client may send: so many at once, and then one in each interval. The default is 200
    /// and 10 ms.
    #[must_use]
    pub fn publishes(self, burst: u32, interval: Duration) -> Self {
        Self {
            publish_burst: burst,
            publish_interval: interval,
            ..self
        }
    }

    /// Sets the interval in which a client may send one request other than a publish, beyond the burst. The default is
    /// 100 ms.
    #[must_use]
    pub fn requests(self, interval: Duration) -> Self {
        Self {
            request_interval: interval,
            ..self
        }
    }

    /// Sets the topics that a client may create: so many at once, and then one in each interval. The default is 128 and
    /// 1 s.
    #[must_use]
    pub fn new_topics(self, burst: u32, interval: Duration) -> Self {
        Self {
            new_topic_burst: burst,
            new_topic_interval: interval,
            ..self
        }
    }
}
