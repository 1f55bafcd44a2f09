//! The listener at a server: it hears each message of a topic with history when the server distributes it.
//!
//! The observer reads each half second. A server that is killed takes what it stored since the last look with it, and only the
//! listener knows of it. So what was heard counts as stored if a fault hit the server soon after.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value};
use sockeye_engine_kit::checker::{Stored, Topic};
use sockeye_pubsub::{MessageId, Position};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::{clock, line};
use crate::error::Result;

/// The listener at one server. It runs in a task.
pub(super) struct Listener {
    client: Client,
    topics: Vec<String>,
    heard: Vec<Stored>,
}

/// A listener whose connection is open.
struct Open {
    /// The subscription lasts as long as this.
    _connection: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
}

impl Listener {
    pub(super) fn new(client: Client, topics: Vec<String>) -> Self {
        Self {
            client,
            topics,
            heard: Vec::new(),
        }
    }

    /// Listens until no one can ask any more. Returns what it heard.
    pub(super) async fn run(
        mut self,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    ) -> Vec<Stored> {
        loop {
            tokio::select! {
                reading = asked.recv() => match reading {
                    Some(reading) => drop(reading.send(())),
                    None => return self.heard,
                },
                () = self.listen() => {}
            }
        }
    }

    /// Listens until the connection ends, and a moment longer.
    async fn listen(&mut self) {
        if let Ok(Ok(mut open)) = timeout(PATIENCE, self.open()).await {
            while let Some(push) = open.pushes.recv().await {
                match push.kind {
                    PushKind::PMessage => self.heard.extend(self.entry(&push.data)),
                    PushKind::Disconnection => break,
                    _ => {}
                }
            }
        }
        sleep(PAUSE).await;
    }

    async fn open(&self) -> Result<Open> {
        let (sender, pushes) = mpsc::channel(WAITING);
        let keep = move |push| sender.try_send(push).map_err(|_| redis::aio::SendError);
        let config = AsyncConnectionConfig::new().set_push_sender(keep);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await?;
        connection.psubscribe("sockeye:*:c:*").await?;
        Ok(Open {
            _connection: connection,
            pushes,
        })
    }

    /// Reads a push: the pattern, the channel, and `1 POSITION PREVIOUS` with the message. `None` for another form, which
    /// belongs to a topic without history.
    fn entry(&self, push: &[Value]) -> Option<Stored> {
        let [_, Value::BulkString(channel), Value::BulkString(bytes)] = push else {
            return None;
        };
        let (_, name) = std::str::from_utf8(channel).ok()?.split_once(":c:")?;
        let topic = self.topics.iter().position(|topic| topic == name)?;
        let at = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = (bytes.get(..at)?, bytes.get(at + 1..)?);
        let mut words = std::str::from_utf8(head)
            .ok()?
            .strip_prefix("1 ")?
            .split(' ');
        let position: Position = words.next()?.parse().ok()?;
        let previous = match words.next()? {
            "0" => None,
            id => Some(id.parse::<MessageId>().ok()?),
        };
        // The first byte has the flags of the message.
        let (_, payload) = body.split_first()?;
        Some(Stored {
            topic: Topic(u32::try_from(topic).ok()?),
            position,
            previous,
            stamp: line::stamp(payload)?,
            len: u32::try_from(payload.len()).ok()?,
            time: clock::now(),
        })
    }
}

/// More pushes than come while the machine is busy.
const WAITING: usize = 1 << 16;
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);
