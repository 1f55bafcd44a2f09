//! One turn of a connection: what it sends, what it receives, and the Pings between.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sockeye::{Connection, Error, Message, SendError};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::stage::Stage;

/// What the connection did.
pub(super) enum Turn {
    Fed(Result<(), Error>),
    Received(Result<Option<Message>, Error>),
    Answered(Duration),
}

/// When to send a Ping, and whether one is under way.
pub(super) struct Pings {
    interval: Option<Interval>,
    is_unanswered: bool,
}

impl Pings {
    pub(super) fn new(every: Option<Duration>) -> Self {
        let interval = every.map(|every| {
            let mut interval = interval_at(Instant::now() + every, every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            interval,
            is_unanswered: false,
        }
    }

    /// Sends one if it is time. Where there is no room for it, the next one may have more luck.
    fn poll(&mut self, connection: &mut Connection, cx: &mut Context<'_>) {
        let is_due =
            |interval: &mut Interval, cx: &mut Context<'_>| interval.poll_tick(cx).is_ready();
        while self
            .interval
            .as_mut()
            .is_some_and(|interval| is_due(interval, cx))
        {
            self.send(PING, connection, cx);
        }
    }

    /// Polled once it is taken if there is room, and then written by whatever is polled next.
    fn send(&mut self, payload: &[u8], connection: &mut Connection, cx: &mut Context<'_>) {
        let _ = pin!(connection.ping(payload)).poll(cx);
        self.is_unanswered = true;
    }

    /// The time of the last one, once.
    fn answered(&mut self, connection: &Connection) -> Option<Duration> {
        let time = connection.round_trip().filter(|_| self.is_unanswered)?;
        self.is_unanswered = false;
        Some(time)
    }
}

/// What a Ping carries, and what the one before a Close: the answer to an earlier one is not to be taken for
/// its answer.
const PING: &[u8] = b"sockeye";
const LAST_PING: &[u8] = b"sockeye: the last";

/// Receives, and sends the message that waits as soon as there is room: whichever comes first. Neither waits for
/// the other: a peer that sends without reading, and one that does not read before it has sent, are both
/// served. The connection keeps what is under way, so the futures may be made anew for each poll.
///
/// While `receives` is false it only sends, also the Close.
pub(super) async fn turn(
    connection: &mut Connection,
    waiting: Option<&Message>,
    pings: &mut Pings,
    stage: &mut Stage,
    receives: bool,
) -> Turn {
    poll_fn(|cx| {
        if receives {
            pings.poll(connection, cx);
        }
        if let Some(message) = waiting {
            let fed = pin!(connection.feed(message.clone())).poll(cx);
            match fed {
                // What the connection is closing for is received next; another one may take the message.
                Poll::Ready(Err(Error::Send(SendError::Closed))) | Poll::Pending => {}
                Poll::Ready(fed) => return Poll::Ready(Turn::Fed(fed)),
            }
        }
        // With all written there is room for the Ping.
        if *stage == Stage::PingWanted && pin!(connection.flush()).poll(cx).is_ready() {
            pings.send(LAST_PING, connection, cx);
            *stage = Stage::Pinged;
        }
        if !receives {
            let flushed = pin!(connection.flush()).poll(cx);
            return match flushed {
                Poll::Ready(Err(error)) => Poll::Ready(Turn::Received(Err(error))),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            };
        }
        let received = pin!(connection.recv()).poll(cx);
        match received {
            Poll::Ready(received) => Poll::Ready(Turn::Received(received)),
            Poll::Pending => match pings.answered(connection) {
                Some(time) => Poll::Ready(Turn::Answered(time)),
                None => Poll::Pending,
            },
        }
    })
    .await
}
