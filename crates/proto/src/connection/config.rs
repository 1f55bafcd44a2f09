//! The limits and deadlines of one connection.

use std::time::Duration;

use crate::frame::Role;
use crate::message::MessageKind;

/// Limits and deadlines of one connection; each has a default. Limits are inclusive. A deadline is due when
/// its time has passed in full. A deadline beyond the range of the clock, such as [`Duration::MAX`], is never
/// due.
///
/// ```
/// use sockeye_proto::{Config, Role};
///
/// let config = Config::new(Role::Server).max_message(64 * 1024).keep_alive(None);
/// assert_eq!(config.max_message, 65_536);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The longest message that this end accepts, in bytes, inclusive. By default 1 MiB for a server and
    /// 16 MiB for a client. A longer message fails the connection with 1009 (RFC 6455 §10.4).
    pub max_message: u64,
    /// The longest text message. `None`: the limit is [`max_message`](Self::max_message).
    pub max_text: Option<u64>,
    /// The longest binary message. `None`: the limit is [`max_message`](Self::max_message).
    pub max_binary: Option<u64>,
    /// The largest number of fragments of one message, inclusive. By default 131,072. More fragments fail the connection with
    /// 1008.
    pub max_fragments: u32,
    /// The times after which a silent peer gets a Ping and is given up: by default 20 s, and 20 s later. `None` switches the
    /// keep-alive off.
    pub keep_alive: Option<KeepAlive>,
    /// How long the peer may take to answer our Close and to end the transport after both Closes
    /// (§7.1.1). By default 5 s.
    pub close_timeout: Duration,
    /// How long an unfinished message may stay without more of its payload. By default 120 s. Then the connection fails with
    /// 1008 (§10.4). A message begins with the first byte of its header. Only payload counts: an empty fragment
    /// is no progress, nor is a control frame in between.
    pub assembly_timeout: Duration,
    /// How long a message may take from its first byte to its last, however steadily it comes. By default 600 s. Then the
    /// connection fails with 1008. It is for messages that the caller assembles in memory. A caller that hands on
    /// the parts of a message [waives](crate::Connection::waive_assembly_deadline) it.
    pub assembly_deadline: Duration,
    /// How long output may wait for a peer that takes none of it. By default 30 s.
    pub write_timeout: Duration,
    /// How many bytes of output that the peer's input caused, such as replies and Pongs, may wait. By default 256 KiB.
    /// While more wait, the connection returns no event, and its caller stops reading.
    pub output_mark: usize,
}

impl Config {
    /// The defaults for one end of the connection.
    pub fn new(role: Role) -> Self {
        Self {
            max_message: match role {
                Role::Client => 16 << 20,
                Role::Server => 1 << 20,
            },
            max_text: None,
            max_binary: None,
            max_fragments: 131_072,
            keep_alive: Some(KeepAlive::default()),
            close_timeout: Duration::from_secs(5),
            assembly_timeout: Duration::from_secs(120),
            assembly_deadline: Duration::from_secs(600),
            write_timeout: Duration::from_secs(30),
            output_mark: 256 * 1024,
        }
    }

    /// Sets [`max_message`](Self::max_message).
    pub fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets [`max_text`](Self::max_text).
    pub fn max_text(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_text = bytes.into();
        self
    }

    /// Sets [`max_binary`](Self::max_binary).
    pub fn max_binary(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_binary = bytes.into();
        self
    }

    /// The longest message of one kind.
    pub fn limit(&self, kind: MessageKind) -> u64 {
        let own = match kind {
            MessageKind::Text => self.max_text,
            MessageKind::Binary => self.max_binary,
        };
        own.unwrap_or(self.max_message)
    }

    /// The smallest limit of all kinds, capped at the longest length of a four-byte header.
    pub(super) fn plain_limit(&self) -> u16 {
        let least = self
            .limit(MessageKind::Text)
            .min(self.limit(MessageKind::Binary));
        u16::try_from(least).unwrap_or(u16::MAX)
    }

    /// Sets [`max_fragments`](Self::max_fragments).
    pub fn max_fragments(mut self, fragments: u32) -> Self {
        self.max_fragments = fragments;
        self
    }

    /// Sets [`keep_alive`](Self::keep_alive).
    pub fn keep_alive(mut self, keep_alive: impl Into<Option<KeepAlive>>) -> Self {
        self.keep_alive = keep_alive.into();
        self
    }

    /// Sets [`close_timeout`](Self::close_timeout).
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets [`assembly_timeout`](Self::assembly_timeout).
    pub fn assembly_timeout(mut self, timeout: Duration) -> Self {
        self.assembly_timeout = timeout;
        self
    }

    /// Sets [`assembly_deadline`](Self::assembly_deadline).
    pub fn assembly_deadline(mut self, deadline: Duration) -> Self {
        self.assembly_deadline = deadline;
        self
    }

    /// Sets [`write_timeout`](Self::write_timeout).
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`output_mark`](Self::output_mark).
    pub fn output_mark(mut self, bytes: usize) -> Self {
        self.output_mark = bytes;
        self
    }
}

/// The times after which a silent peer gets a Ping and is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAlive {
    /// The silence after which a Ping is sent; 20 s.
    pub interval: Duration,
    /// The further silence after which the peer counts as dead; 20 s.
    pub timeout: Duration,
}

impl KeepAlive {
    /// Pings after `interval` of silence, gives up `timeout` later.
    pub const fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout }
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self::new(Duration::from_secs(20), Duration::from_secs(20))
    }
}
