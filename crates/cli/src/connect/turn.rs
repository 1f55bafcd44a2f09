//! One turn of a connection: it sends, receives, and sends Pings.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sockeye::error::SendError;
use sockeye::{Connection, Error, Message};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::stage::TalkStage;

/// The result of a turn.
pub(super) enum Turn {
    /// The connection took the waiting message.
    Fed,
    Received(Result<Option<Message>, Error>),
    /// A Pong came, with the time since its Ping.
    Answered(Duration),
    /// All messages before the end of the input are written, and no Ping is to be sent.
    Written,
}

/// The schedule of Pings, and whether a Pong is awaited.
pub(super) struct Pings {
    interval: Option<Interval>,
    // Whether to send a Ping at the end of the input.
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

    /// Sends a Ping if one is due. If the connection has no room for it, the next one follows after the interval.
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

    /// Sends a Ping. One poll suffices: the connection takes the Ping if it has room, and the next poll of the connection
    /// writes it.
    fn send(
        &mut self,
        payload: &[u8],
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        let sent = pin!(connection.ping(payload)).poll(cx);
        self.is_unanswered = true;
        match sent {
            // The reason for the closing is received next.
            Poll::Ready(Err(Error::Send(SendError::Closed))) | Poll::Pending => Ok(()),
            Poll::Ready(sent) => sent,
        }
    }

    /// Returns the round trip of the last Ping, once.
    fn answered(&mut self, connection: &Connection) -> Option<Duration> {
        let time = connection.round_trip().filter(|_| self.is_unanswered)?;
        self.is_unanswered = false;
        Some(time)
    }
}

/// The payloads of a Ping, and of the Ping before a Close. They differ, so that the last Pong is not confused with an
/// earlier one.
const PING: &[u8] = b"sockeye";
const LAST_PING: &[u8] = b"sockeye: the last";

/// Receives a message, or sends the waiting message when there is room, whichever is possible first.
///
/// Neither direction waits for the other. So it works with a peer that sends without reading, and with a peer that reads
/// only after it has sent. The connection keeps partial I/O, so each poll may create new futures. While `receives` is
/// false, the turn receives nothing, and writes the output itself, a Close included.
pub(super) async fn turn(
    connection: &mut Connection,
    waiting: Option<&Message>,
    pings: &mut Pings,
    stage: &mut TalkStage,
    receives: bool,
) -> Turn {
    poll_fn(|cx| {
        let is_fed = match send(connection, waiting, pings, stage, receives, cx) {
            Ok(Some(turn)) => return Poll::Ready(turn),
            sent => sent.map(|_| ()),
        };
        if receives && let Poll::Ready(received) = pin!(connection.recv()).poll(cx) {
            // Messages that arrived before the failure come first.
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

/// Sends Pings and the waiting message, if there is room.
fn send(
    connection: &mut Connection,
    waiting: Option<&Message>,
    pings: &mut Pings,
    stage: &mut TalkStage,
    receives: bool,
    cx: &mut Context<'_>,
) -> Result<Option<Turn>, Error> {
    if receives {
        pings.poll(connection, cx)?;
    }
    if let Some(message) = waiting {
        let fed = pin!(connection.feed(message.clone())).poll(cx);
        match fed {
            // The reason for the closing is received next. Another connection may take the message.
            Poll::Ready(Err(Error::Send(SendError::Closed))) | Poll::Pending => {}
            Poll::Ready(fed) => return fed.map(|()| Some(Turn::Fed)),
        }
    }
    let flushes = *stage == TalkStage::Flushing || !receives;
    if flushes {
        match pin!(connection.flush()).poll(cx) {
            Poll::Ready(flushed) => flushed?,
            Poll::Pending => return Ok(None),
        }
        // All messages are written, so there is room for the Ping.
        if *stage == TalkStage::Flushing {
            if !pings.at_the_end {
                return Ok(Some(Turn::Written));
            }
            pings.send(LAST_PING, connection, cx)?;
            *stage = TalkStage::Pinged;
        }
    }
    Ok(None)
}
