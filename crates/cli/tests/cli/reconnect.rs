//! `sockeye::reconnect::Reconnecting` with a server that is killed, and started again on the same address.

use std::time::Duration;

use sockeye::proto::{Outgoing, PreparedMessage};
use sockeye::reconnect::{
    Interruption, QueueError, ReconnectEvent, ReconnectSender, Reconnecting, Retry,
};
use sockeye::{Client, CloseCode};
use tokio::time::timeout;

use crate::program::Server;

/// A client that sends numbers, and receives them from the echo.
struct Counter {
    client: Reconnecting,
    sender: ReconnectSender,
    next: u32,
    heard: Vec<u32>,
    /// Numbers that came back because a connection ended before it had written them.
    unconfirmed: Vec<u32>,
}

impl Counter {
    fn of(server: &Server, retry: Retry) -> Self {
        // Each connection resets the count of failures.
        let retry = retry
            .stable_after(Duration::ZERO)
            .first_pause(Duration::from_millis(1))
            .longest_pause(Duration::from_millis(20));
        let client = Client::new().reconnecting(server.url("/echo"));
        let client = client.expect("a URL").retry(retry).queue_limit(QUEUE);
        Self {
            sender: client.sender(),
            client,
            next: 0,
            heard: Vec::new(),
            unconfirmed: Vec::new(),
        }
    }

    /// Sends the next number.
    fn say(&mut self) -> Result<u32, QueueError> {
        let number = self.next;
        self.sender.send(number.to_string())?;
        self.next += 1;
        Ok(number)
    }

    /// Returns the next event, and notes the numbers in it.
    async fn event(&mut self) -> ReconnectEvent {
        let event = timeout(PATIENCE, self.client.next()).await;
        let event = event.expect("it does not hang").expect("it goes on");
        match &event {
            ReconnectEvent::Message(message) => {
                let number = message.as_text().and_then(|text| text.parse().ok());
                self.heard.push(number.expect("a number"));
            }
            ReconnectEvent::Interrupted { unconfirmed, .. }
            | ReconnectEvent::Ended { unconfirmed, .. } => {
                let numbers = unconfirmed.iter().cloned().map(number);
                self.unconfirmed.extend(numbers);
            }
            _ => {}
        }
        event
    }

    async fn hear(&mut self, number: u32) {
        while !self.heard.contains(&number) {
            let event = self.event().await;
            assert!(matches!(event, ReconnectEvent::Message(_)), "{event:?}");
        }
    }

    /// Skips received numbers until the connection is lost.
    async fn lose(&mut self) {
        let event = loop {
            match self.event().await {
                ReconnectEvent::Message(_) => {}
                event => break event,
            }
        };
        assert!(
            matches!(
                event,
                ReconnectEvent::Interrupted {
                    why: Interruption::Lost(_),
                    ..
                }
            ),
            "{event:?}"
        );
    }

    /// Expects an attempt that fails.
    async fn miss(&mut self, attempt: u32) {
        let event = self.event().await;
        assert!(
            matches!(event, ReconnectEvent::Connecting { attempt: told } if told == attempt),
            "{event:?}"
        );
        let event = self.event().await;
        assert!(
            matches!(
                event,
                ReconnectEvent::Interrupted {
                    why: Interruption::Connect(_),
                    ..
                }
            ),
            "{event:?}"
        );
    }

    async fn open(&mut self) {
        let event = self.event().await;
        assert!(
            matches!(event, ReconnectEvent::Connecting { .. }),
            "{event:?}"
        );
        let event = self.event().await;
        assert!(matches!(event, ReconnectEvent::Opened), "{event:?}");
        assert!(self.client.connection().is_some());
    }
}

fn number(message: Outgoing) -> u32 {
    let prepared = PreparedMessage::new(message);
    let text = prepared.message().as_text();
    text.and_then(|text| text.parse().ok()).expect("a number")
}

/// A step that takes longer hangs. No test measures time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Room for four numbers of one or two digits, each with its 64 bytes.
const QUEUE: usize = 4 * 66;

#[tokio::test]
async fn a_client_comes_back_to_a_server_that_is_killed_again_and_again() {
    let mut server = Server::start_at(PLACE, &[]);
    let addr = server.addr.clone();
    let mut counter = Counter::of(&server, Retry::default());
    counter.open().await;
    for _ in 0..4 {
        let said = counter.say().expect("there is room");
        counter.hear(said).await;
        // These may be written or not when the server dies.
        for _ in 0..2 {
            counter.say().expect("there is room");
        }
        // SIGKILL: the server sends no Close.
        drop(server);
        counter.lose().await;
        counter.miss(2).await;
        // The next numbers wait, as far as there is room. The others come back.
        let refused = loop {
            if let Err(error) = counter.say() {
                break error;
            }
        };
        assert!(matches!(refused, QueueError::Full(_)), "{refused:?}");
        assert_eq!(number(refused.into_message()), counter.next);
        assert!((1..=QUEUE).contains(&counter.sender.queued_bytes()));
        counter.miss(3).await;
        server = Server::start_at(&addr, &[]);
        counter.open().await;
        counter.hear(counter.next - 1).await;
        assert_eq!(counter.sender.queued_bytes(), 0);
    }
    let close = counter.sender.close(CloseCode::NORMAL, "enough");
    close.expect("a reason");
    let event = counter.event().await;
    let ReconnectEvent::Ended {
        why: None, unsent, ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert!(unsent.is_empty(), "{unsent:?}");
    // In order, once, and without the numbers that came back.
    assert!(counter.heard.is_sorted_by(|one, next| one < next));
    let is_heard = |number: &u32| counter.heard.contains(number);
    assert!(!counter.unconfirmed.iter().any(is_heard));
}

#[tokio::test]
async fn a_server_that_stays_away_ends_it_and_what_waits_is_given_back() {
    let server = Server::start_at(PLACE, &[]);
    let mut counter = Counter::of(&server, Retry::default().limit(3));
    counter.open().await;
    drop(server);
    counter.lose().await;
    let waiting = [counter.say(), counter.say()].map(|said| said.expect("there is room"));
    counter.miss(2).await;
    counter.miss(3).await;
    let event = counter.event().await;
    assert!(
        matches!(event, ReconnectEvent::Connecting { attempt: 4 }),
        "{event:?}"
    );
    let event = counter.event().await;
    let ReconnectEvent::Ended { why, unsent, .. } = event else {
        panic!("{event:?}");
    };
    assert!(matches!(why, Some(Interruption::Connect(_))), "{why:?}");
    let unsent: Vec<_> = unsent.into_iter().map(number).collect();
    assert_eq!(unsent, waiting);
    assert!(matches!(counter.say(), Err(QueueError::Closed(_))));
}

/// Only this test binds ports of this address, so its port stays free while the server is away.
const PLACE: &str = "127.0.0.2:0";
