//! A subscriber that reads too slowly, over TCP: what it gets, and what the server counts.

use std::time::Duration;

use sockeye::endpoint::{OpenSessions, Overflow};
use sockeye::proto::{Config, DeflateConfig, Role};
use sockeye::server::{ServerBuilder, ServerHandle};
use sockeye::{CloseCode, Endpoint, Server, Session, endpoint};
use tokio::sync::mpsc;

use crate::support::{Raw, soon};

struct Feed(mpsc::Sender<Session>);

impl Endpoint for Feed {
    async fn on_open(&mut self, session: &Session) -> sockeye::HandlerResult {
        self.0.send(session.clone()).await?;
        Ok(())
    }
}

/// An endpoint at which one subscriber reads, and the other does not.
struct Feeding {
    handle: ServerHandle,
    sessions: OpenSessions,
    quick: Raw,
    slow: Raw,
    slow_session: Session,
}

/// More bytes than TCP and the outbox hold.
const TOTAL: usize = 10_000_000;

impl Feeding {
    async fn start(builder: ServerBuilder, overflow: Option<Overflow>) -> Self {
        let (opened, mut sessions) = mpsc::channel(2);
        let mut feed = endpoint("/", move |_| Feed(opened.clone()));
        if let Some(overflow) = overflow {
            feed = feed.broadcast_overflow(overflow);
        }
        // However slow the machine is, nothing else ends the connection.
        let config = Config::new(Role::Server).keep_alive(None);
        let builder = builder.config(config.write_timeout(Duration::MAX));
        let server = builder
            .endpoint(feed)
            .bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let (addr, handle) = (server.local_addr(), server.handle());
        tokio::spawn(server.serve());
        let quick = Raw::open(addr, "/").await;
        let quick_session = soon(sessions.recv()).await.expect("a session");
        let slow = Raw::open(addr, "/").await;
        Self {
            handle,
            sessions: quick_session.open_sessions().clone(),
            quick,
            slow,
            slow_session: soon(sessions.recv()).await.expect("a session"),
        }
    }

    /// Broadcasts numbered messages of `len` bytes. The quick subscriber gets each before the next is sent. Returns the
    /// number of other sessions that the messages went to.
    async fn broadcast(&mut self, len: usize) -> usize {
        let mut sent = 0;
        for number in 0..TOTAL / len {
            sent += self.sessions.broadcast(format!("{number:0len$}"));
            sent -= 1;
            assert_eq!(number_of(&self.quick.recv_text().await), number);
        }
        sent
    }
}

fn number_of(text: &str) -> usize {
    text.parse().expect("a number")
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_closed_1013_and_no_other_misses_a_broadcast() {
    let compressing = || Server::builder().compression(DeflateConfig::default());
    // Short broadcasts are kept once for all, and long ones are not.
    for (builder, len) in [
        (Server::builder(), 10_000),
        (Server::builder(), 4_000),
        (compressing(), 10_000),
    ] {
        let mut feeding = Feeding::start(builder, None).await;
        let sent = feeding.broadcast(len).await;
        assert!(sent < TOTAL / len, "TCP does not hold all of them");
        let stats = feeding.handle.stats();
        assert_eq!(stats.dropped_messages, 1);
        let slow = &mut feeding.slow;
        for number in 0..sent {
            assert_eq!(number_of(&slow.recv_text().await), number);
        }
        let (code, reason) = slow.recv_close().await;
        assert_eq!(code, 1013, "{reason}");
        feeding.slow.close().await;
        let closed = soon(feeding.slow_session.closed()).await;
        assert_eq!(closed.code(), CloseCode::TRY_AGAIN_LATER);
        assert_eq!(feeding.handle.stats().open_sessions, 1);
    }
}

#[tokio::test]
async fn what_a_subscriber_misses_by_the_applications_choice_is_counted() {
    for policy in [Overflow::Refuse, Overflow::DropNewest, Overflow::DropOldest] {
        let mut feeding = Feeding::start(Server::builder(), Some(policy)).await;
        feeding.broadcast(10_000).await;
        let missed = feeding.handle.stats().dropped_messages;
        assert!(missed > 0, "{policy:?}");
        let (mut last, mut came) = (None, 0);
        while came + missed < (TOTAL / 10_000) as u64 {
            let number = number_of(&feeding.slow.recv_text().await);
            assert!(last < Some(number), "{policy:?}");
            (last, came) = (Some(number), came + 1);
        }
        assert!(feeding.slow_session.is_open());
        assert_eq!(feeding.sessions.broadcast("1000"), 2);
        assert_eq!(feeding.slow.recv_text().await, "1000", "{policy:?}");
    }
}
