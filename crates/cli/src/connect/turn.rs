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
    /// The message that waited was taken.
    Fed,
    Received(Result<Option<Message>, Error>),
    Answered(Duration),
    /// All is written at the end of the input, and no Ping is to be sent.
    Written,
}

/// When to send a Ping, and whether one is under way.
pub(super) struct Pings {
    interval: Option<Interval>,
    // Whether one is sent at the end of the input.
    at_the_end: bool,
    is_unanswered: bool,
}

impl Pings {
    pub(super) fn new(every: Option<Duration>, at_the_end: bool) -> Self {
        let interval = every.map(|every| {
            let mut interval = interval_at(Instant::now() + every, every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            interval,
            at_the_end,
            is_unanswered: false,
        }
    }

    /// Sends one if it is time. Where there is no room for it, the next one may have more luck.
    fn poll(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Result<(), Error> {
        let is_due =
            |interval: &mut Interval, cx: &mut Context<'_>| interval.poll_tick(cx).is_ready();
        while self
            .interval
            .as_mut()
            .is_some_and(|interval| is_due(interval, cx))
        {
            self.send(PING, connection, cx)?;
        }
        Ok(())
    }

    /// Polled once it is taken if there is room, and then written by whatever is polled next.
    fn send(
        &mut self,
        payload: &[u8],
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        let sent = pin!(connection.ping(payload)).poll(cx);
        self.is_unanswered = true;
        match sent {
            // What the connection is closing for is received next.
            Poll::Ready(Err(Error::Send(SendError::Closed))) | Poll::Pending => Ok(()),
            Poll::Ready(sent) => sent,
        }
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
        let is_fed = match send(connection, waiting, pings, stage, receives, cx) {
            Ok(Some(turn)) => return Poll::Ready(turn),
            sent => sent.map(|_| ()),
        };
        if receives && let Poll::Ready(received) = pin!(connection.recv()).poll(cx) {
            // Messages that came before the connection failed come first.
            return Poll::Ready(Turn::Received(match (received, is_fed) {
                (Ok(None), Err(error)) => Err(error),
                (received, _) => received,
            }));
        }
        if let Err(error) = is_fed {
            return Poll::Ready(Turn::Received(Err(error)));
        }
        match pings.answered(connection).filter(|_| receives) {
            Some(time) => Poll::Ready(Turn::Answered(time)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Sends what there is to send, if there is room.
fn send(
    connection: &mut Connection,
    waiting: Option<&Message>,
    pings: &mut Pings,
    stage: &mut Stage,
    receives: bool,
    cx: &mut Context<'_>,
) -> Result<Option<Turn>, Error> {
    if receives {
        pings.poll(connection, cx)?;
    }
    if let Some(message) = waiting {
        let fed = pin!(connection.feed(message.clone())).poll(cx);
        match fed {
            // What the connection is closing for is received next; another one may take the message.
            Poll::Ready(Err(Error::Send(SendError::Closed))) | Poll::Pending => {}
            Poll::Ready(fed) => return fed.map(|()| Some(Turn::Fed)),
        }
    }
    let flushes = *stage == Stage::Flushing || !receives;
    if flushes {
        match pin!(connection.flush()).poll(cx) {
            Poll::Ready(flushed) => flushed?,
            Poll::Pending => return Ok(None),
        }
        // With all written there is room for the Ping.
        if *stage == Stage::Flushing {
            if !pings.at_the_end {
                return Ok(Some(Turn::Written));
            }
            pings.send(LAST_PING, connection, cx)?;
            *stage = Stage::Pinged;
        }
    }
    Ok(None)
}
