//! A server's counters, which its parts share, and the snapshot that an application reads. Knows nothing of servers,
//! endpoints or sessions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::log_limit::LogLimits;
use crate::observer::{Event, HandshakeRefusal, SessionEnd};

/// A snapshot of the counts of a server, or of a [`Container`](crate::server::Container), since it was built.
/// [`ServerHandle::stats`](crate::server::ServerHandle::stats) and
/// [`Container::stats`](crate::server::Container::stats) make it.
///
/// Most counts only grow; `open_sessions` and `assembling_bytes` are the numbers at the time of the call. The fields
/// are read one after another while the server works, so they may not fit each other exactly.
///
/// ```
/// use sockeye::Server;
///
/// # fn main() -> Result<(), sockeye::server::DeploymentError> {
/// let container = Server::builder().container()?;
/// let stats = container.stats();
/// assert_eq!((stats.open_sessions, stats.opened_sessions), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Open sessions of all endpoints. A session counts from before `on_open` until before `on_close`.
    pub open_sessions: usize,
    /// Handshakes that the server answered with 101, and that became a session.
    pub opened_sessions: u64,
    /// WebSocket handshakes for an endpoint that the server refused, with any status.
    pub refused_handshakes: u64,
    /// Messages that were not sent because a session's outbox was full, counted for each message and session. These are
    /// broadcasts and messages of the asynchronous remote, except those for which the sender got
    /// [`SendError::Full`](crate::error::SendError::Full). See [`Overflow`](crate::endpoint::Overflow).
    pub dropped_messages: u64,
    /// Refused handshakes whose `Origin` may not connect: 403.
    pub forbidden_origins: u64,
    /// Refused handshakes whose `Host` is not a loopback name: 403.
    pub forbidden_hosts: u64,
    /// Connections that the server dropped for a new connection before they had sent a byte.
    pub dropped_silent_connections: u64,
    /// Connections that the server answered with 503, because the limit of connections was reached.
    pub refused_connections: u64,
    /// Connections whose TLS handshake failed, or did not end in time.
    pub failed_tls_handshakes: u64,
    /// HTTP connections that ended with an error: an unreadable request, a reset, or no request in time.
    pub failed_http_connections: u64,
    /// Messages that went to `on_error` as [`Error::Decode`](crate::Error::Decode), because they could not be decoded
    /// as the handler's argument.
    pub undecodable_messages: u64,
    /// Sessions that ended because the peer broke the protocol, or exceeded a limit.
    pub protocol_errors: u64,
    /// Sessions that ended without a Close: by a reset, by an end of the stream, or because the peer did not answer or
    /// read.
    pub lost_sessions: u64,
    /// Bytes that the unfinished messages of all connections hold now. The limit is
    /// [`ServerBuilder::max_assembling`](crate::server::ServerBuilder::max_assembling).
    pub assembling_bytes: u64,
    /// Messages that the server gave up with 1013, because the memory for unfinished messages was used up.
    pub given_up_messages: u64,
    /// Log lines of the server itself that [`LogLimit`](crate::endpoint::LogLimit) left out.
    pub log_lines_left_out: u64,
}

/// The observer of one server: counters, and the limits for log lines that its peers can cause. All parts of the server
/// share one value, and report events to it. No counter changes for each message.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    opened_sessions: Counter,
    refused_handshakes: Counter,
    dropped_messages: Counter,
    forbidden_origins: Counter,
    forbidden_hosts: Counter,
    dropped_silent_connections: Counter,
    refused_connections: Counter,
    failed_tls_handshakes: Counter,
    failed_http_connections: Counter,
    undecodable_messages: Counter,
    protocol_errors: Counter,
    lost_sessions: Counter,
    pub(crate) log: LogLimits,
}

/// A number that only grows. It is relaxed: adding to it orders no other memory access.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            opened_sessions: Counter::new(),
            refused_handshakes: Counter::new(),
            dropped_messages: Counter::new(),
            forbidden_origins: Counter::new(),
            forbidden_hosts: Counter::new(),
            dropped_silent_connections: Counter::new(),
            refused_connections: Counter::new(),
            failed_tls_handshakes: Counter::new(),
            failed_http_connections: Counter::new(),
            undecodable_messages: Counter::new(),
            protocol_errors: Counter::new(),
            lost_sessions: Counter::new(),
            log: LogLimits::new(),
        }
    }

    /// Counts an event.
    pub(crate) fn observe(&self, event: Event) {
        let counter = match event {
            Event::SilentConnectionDropped => &self.dropped_silent_connections,
            Event::ConnectionRefused => &self.refused_connections,
            Event::TlsHandshakeFailed => &self.failed_tls_handshakes,
            Event::HttpConnectionFailed => &self.failed_http_connections,
            Event::HandshakeRefused(refusal) => {
                match refusal {
                    HandshakeRefusal::Origin => self.forbidden_origins.add(1),
                    HandshakeRefusal::Host => self.forbidden_hosts.add(1),
                    HandshakeRefusal::Other => {}
                }
                &self.refused_handshakes
            }
            Event::SessionOpened => &self.opened_sessions,
            Event::SessionEnded(SessionEnd::Intended) => return,
            Event::SessionEnded(SessionEnd::BrokenProtocol) => &self.protocol_errors,
            Event::SessionEnded(SessionEnd::Lost) => &self.lost_sessions,
            Event::MessageUndecodable => &self.undecodable_messages,
            Event::MessagesDropped(count) => return self.dropped_messages.add(count as u64),
        };
        counter.add(1);
    }

    /// Makes the snapshot. The caller fills in `assembling_bytes` and `given_up_messages`, which are counted elsewhere.
    pub(crate) fn snapshot(&self, open_sessions: usize) -> Stats {
        Stats {
            open_sessions,
            opened_sessions: self.opened_sessions.get(),
            refused_handshakes: self.refused_handshakes.get(),
            dropped_messages: self.dropped_messages.get(),
            forbidden_origins: self.forbidden_origins.get(),
            forbidden_hosts: self.forbidden_hosts.get(),
            dropped_silent_connections: self.dropped_silent_connections.get(),
            refused_connections: self.refused_connections.get(),
            failed_tls_handshakes: self.failed_tls_handshakes.get(),
            failed_http_connections: self.failed_http_connections.get(),
            undecodable_messages: self.undecodable_messages.get(),
            protocol_errors: self.protocol_errors.get(),
            lost_sessions: self.lost_sessions.get(),
            assembling_bytes: 0,
            given_up_messages: 0,
            log_lines_left_out: self.log.left_out(),
        }
    }
}

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts after one event.
    fn counted(event: Event) -> Stats {
        let counters = Counters::new();
        counters.observe(event);
        counters.snapshot(0)
    }

    #[test]
    fn each_event_is_counted_once_and_an_intended_end_is_none() {
        let none = Stats::default();
        let refused = Stats {
            refused_handshakes: 1,
            ..none.clone()
        };
        for (event, stats) in [
            (
                Event::SilentConnectionDropped,
                Stats {
                    dropped_silent_connections: 1,
                    ..none.clone()
                },
            ),
            (
                Event::ConnectionRefused,
                Stats {
                    refused_connections: 1,
                    ..none.clone()
                },
            ),
            (
                Event::TlsHandshakeFailed,
                Stats {
                    failed_tls_handshakes: 1,
                    ..none.clone()
                },
            ),
            (
                Event::HttpConnectionFailed,
                Stats {
                    failed_http_connections: 1,
                    ..none.clone()
                },
            ),
            (
                Event::HandshakeRefused(HandshakeRefusal::Origin),
                Stats {
                    forbidden_origins: 1,
                    ..refused.clone()
                },
            ),
            (
                Event::HandshakeRefused(HandshakeRefusal::Host),
                Stats {
                    forbidden_hosts: 1,
                    ..refused.clone()
                },
            ),
            (
                Event::HandshakeRefused(HandshakeRefusal::Other),
                refused.clone(),
            ),
            (
                Event::SessionOpened,
                Stats {
                    opened_sessions: 1,
                    ..none.clone()
                },
            ),
            (Event::SessionEnded(SessionEnd::Intended), none.clone()),
            (
                Event::SessionEnded(SessionEnd::BrokenProtocol),
                Stats {
                    protocol_errors: 1,
                    ..none.clone()
                },
            ),
            (
                Event::SessionEnded(SessionEnd::Lost),
                Stats {
                    lost_sessions: 1,
                    ..none.clone()
                },
            ),
            (
                Event::MessageUndecodable,
                Stats {
                    undecodable_messages: 1,
                    ..none.clone()
                },
            ),
            (
                Event::MessagesDropped(7),
                Stats {
                    dropped_messages: 7,
                    ..none.clone()
                },
            ),
        ] {
            assert_eq!(counted(event), stats, "{event:?}");
        }
    }
}
