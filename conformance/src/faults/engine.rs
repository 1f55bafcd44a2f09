//! The observer of an engine: it reads the positions and the streams of a server each half second, and keeps each entry. It
//! reaches the server by a side that has no faults.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, Value};
use sockeye_engine_kit::checker::{Millis, Stored, Topic};
use sockeye_pubsub::{Epoch, MessageId, Position};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{clock, line};
use crate::error::Result;

/// What the observer of one server found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) stored: Vec<Stored>,
    pub(super) tops: Vec<(Millis, Topic, Option<Position>)>,
}

impl Found {
    /// Adds what another observer found.
    pub(super) fn append(&mut self, mut other: Self) {
        self.stored.append(&mut other.stored);
        self.tops.append(&mut other.tops);
    }
}

/// The observer of one server. It runs in a task.
pub(super) struct Observer {
    client: Client,
    topics: Vec<String>,
    /// The number of this server, and of the one whose positions count.
    number: usize,
    leader: Arc<AtomicUsize>,
    connection: Option<MultiplexedConnection>,
    /// The keys of topics, without their last parts: the tag of a topic is not computed here.
    keys: HashMap<usize, String>,
    seen: HashSet<(Topic, Position)>,
    found: Found,
}

/// Asks an observer to read once more. The answer says whether it could read everything.
pub(super) type Reading = oneshot::Sender<bool>;

impl Observer {
    pub(super) fn new(
        client: Client,
        topics: Vec<String>,
        number: usize,
        leader: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            client,
            topics,
            number,
            leader,
            connection: None,
            keys: HashMap::new(),
            seen: HashSet::new(),
            found: Found::default(),
        }
    }

    /// Reads each half second, and when asked. Returns what it found when no one can ask any more.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Reading>) -> Found {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                reading = asked.recv() => {
                    let Some(reading) = reading else { return self.found };
                    let is_read = self.look().await;
                    let _ = reading.send(is_read);
                }
                _ = ticks.tick() => {
                    // A server that is down or frozen is read when it is back.
                    self.look().await;
                }
            }
        }
    }

    /// Reads all topics. Returns whether that succeeded.
    async fn look(&mut self) -> bool {
        let looked = timeout(PATIENCE, self.read_all()).await;
        let is_read = matches!(looked, Ok(Ok(())));
        if !is_read {
            self.connection = None;
        }
        is_read
    }

    async fn read_all(&mut self) -> Result<()> {
        let mut connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => self.client.get_multiplexed_async_connection().await?,
        };
        self.connection = Some(connection.clone());
        if self.keys.len() < self.topics.len() {
            self.find_keys(&mut connection).await?;
        }
        let mut pipeline = redis::pipe();
        let mut topics: Vec<usize> = self.keys.keys().copied().collect();
        topics.sort_unstable();
        for topic in &topics {
            let (head, name) = (&self.keys[topic], &self.topics[*topic]);
            pipeline
                .atomic()
                .cmd("HMGET")
                .arg(format!("{head}:m:{name}"))
                .arg(&["e", "o", "i", "d", "t"])
                .cmd("XRANGE")
                .arg(format!("{head}:s:{name}"))
                .arg(&["-", "+"]);
        }
        if topics.is_empty() {
            return Ok(());
        }
        let answers: Vec<Value> = pipeline.query_async(&mut connection).await?;
        let now = clock::now();
        for (topic, answers) in topics.into_iter().zip(answers.chunks_exact(2)) {
            self.take(now, Topic(u32::try_from(topic)?), answers)
                .ok_or_else(|| format!("not what an engine stores: {answers:?}"))?;
        }
        Ok(())
    }

    async fn find_keys(&mut self, connection: &mut MultiplexedConnection) -> Result<()> {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("sockeye:{*}:m:*")
            .query_async(connection)
            .await?;
        for key in keys {
            let Some((head, name)) = key.split_once(":m:") else {
                continue;
            };
            if let Some(topic) = self.topics.iter().position(|topic| topic == name) {
                self.keys.insert(topic, head.to_owned());
            }
        }
        Ok(())
    }

    /// Takes what was read of one topic. `None` if it is not what an engine stores.
    fn take(&mut self, now: Millis, topic: Topic, answers: &[Value]) -> Option<()> {
        let meta: Vec<Option<Vec<u8>>> = redis::from_redis_value_ref(answers.first()?).ok()?;
        let text = |index: usize| {
            let bytes = meta.get(index)?.as_ref()?;
            String::from_utf8(bytes.clone()).ok()
        };
        let is_leader = self.leader.load(Ordering::Relaxed) == self.number;
        let Some(epoch) = text(0) else {
            if is_leader {
                self.found.tops.push((now, topic, None));
            }
            return Some(());
        };
        let epoch: Epoch = epoch.parse().ok()?;
        let top = Position {
            epoch,
            offset: text(1)?.parse().ok()?,
            id: id(&text(2)?)?,
        };
        if is_leader {
            self.found.tops.push((now, topic, Some(top)));
        }
        if let Some(body) = meta.get(3)?.as_ref() {
            // The predecessor of a latest value is not stored.
            let time = text(4).and_then(|time| time.parse().ok()).unwrap_or(now);
            self.add(topic, top, None, body, time)?;
        }
        let entries: Vec<(String, HashMap<String, Vec<u8>>)> =
            redis::from_redis_value_ref(answers.get(1)?).ok()?;
        for (name, fields) in entries {
            let (offset, time) = name.split_once('-')?;
            let field = |name: &str| String::from_utf8(fields.get(name)?.clone()).ok();
            let position = Position {
                epoch,
                offset: offset.parse().ok()?,
                id: id(&field("i")?)?,
            };
            let previous = id(&field("p")?)?;
            self.add(
                topic,
                position,
                previous,
                fields.get("d")?,
                time.parse().ok()?,
            )?;
        }
        Some(())
    }

    fn add(
        &mut self,
        topic: Topic,
        position: Position,
        previous: Option<MessageId>,
        body: &[u8],
        time: Millis,
    ) -> Option<()> {
        if !self.seen.insert((topic, position)) {
            return Some(());
        }
        // The first byte has the flags of the message.
        let (_, payload) = body.split_first()?;
        self.found.stored.push(Stored {
            topic,
            position,
            previous,
            stamp: line::stamp(payload)?,
            len: u32::try_from(payload.len()).ok()?,
            time,
        });
        Some(())
    }
}

/// Reads an id: `Some(None)` for the "0" before the first message.
fn id(text: &str) -> Option<Option<MessageId>> {
    match text {
        "0" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

const PACE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);
