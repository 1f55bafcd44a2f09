//! The reader: a client without whims and faults of its own. It lists the members of topics, each second and when the
//! run asks. Where nodes keep messages in their memory, it is also the observer: it subscribes to each topic with history,
//! and keeps each message.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;
use sockeye::reconnect::topics::{
    RequestNumber, SUBPROTOCOLS, SubscribeOptions, TopicClient, TopicEvent,
};
use sockeye::reconnect::{Reconnecting, Retry};
use sockeye_engine_kit::checker::{Millis, PresenceEvent, Stored, Topic};
use sockeye_engine_kit::schedule::{Chance, Seed};
use sockeye_pubsub::{MessageId, Position};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::engine::Found;
use super::topics::WorldTopic;
use super::{clock, line};
use crate::error::Result;

/// Asks the reader to list the members of all topics, when the run has settled. The answer comes behind the lists.
pub(super) type Census = oneshot::Sender<()>;

/// What the reader found.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) presence: Vec<(Millis, PresenceEvent)>,
    /// What it found as the observer.
    pub(super) found: Found,
}

/// The reader. It runs in a task.
pub(super) struct Reader {
    client: TopicClient,
    topics: Vec<String>,
    with_members: Vec<usize>,
    /// The queries that wait, and whether a census asked.
    queries: HashMap<RequestNumber, bool>,
    census: Option<Census>,
    /// Where each topic stands, if the reader is the observer.
    last: HashMap<usize, Position>,
    seen: BTreeSet<(u32, u64)>,
    read: Read,
}

impl Reader {
    /// Makes a reader that reaches any of these nodes.
    pub(super) fn new(
        nodes: Vec<String>,
        topics: &[WorldTopic],
        is_observer: bool,
        seed: u64,
    ) -> Result<Self> {
        let mut chance = Chance::new(Seed(seed));
        let client = sockeye::Client::builder()
            .subprotocols(SUBPROTOCOLS)
            .connect_timeout(PATIENCE)
            .handshake_timeout(PATIENCE)
            .build();
        let connector = Reconnecting::new(move || {
            let node = chance.pick(&nodes).cloned().unwrap_or_default();
            let client = client.clone();
            async move { client.connect(&*format!("ws://{node}/topics")).await }
        });
        let retry = Retry::default().longest_pause(Duration::from_secs(1));
        let mut client = connector.retry(retry).topics();
        for topic in topics {
            let has_history = topic.history != sockeye_pubsub::History::off();
            if topic.has_members || (is_observer && has_history) {
                client.subscribe_with(&topic.name, &SubscribeOptions::new().recent(100))?;
            }
        }
        let with_members = (0..topics.len()).filter(|topic| topics[*topic].has_members);
        Ok(Self {
            client,
            with_members: with_members.collect(),
            topics: topics.iter().map(|topic| topic.name.clone()).collect(),
            queries: HashMap::new(),
            census: None,
            last: HashMap::new(),
            seen: BTreeSet::new(),
            read: Read::default(),
        })
    }

    /// Reads until no one can ask any more. Returns what it found.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Census>) -> Result<Read> {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.client.next() => match event {
                    Some(event) => self.take(event)?,
                    None => return Err("the reader was closed for good".into()),
                },
                census = asked.recv() => match census {
                    Some(census) => {
                        self.census = Some(census);
                        self.ask(true)?;
                    }
                    None => return Ok(self.read),
                },
                _ = ticks.tick() => self.ask(false)?,
            }
        }
    }

    fn ask(&mut self, is_census: bool) -> Result<()> {
        for topic in &self.with_members {
            let number = self.client.members(&self.topics[*topic], Some(MOST))?;
            self.queries.insert(number, is_census);
        }
        Ok(())
    }

    fn take(&mut self, event: TopicEvent) -> Result<()> {
        match event {
            TopicEvent::Members {
                number,
                topic,
                members,
                all,
            } => {
                let Some(settled) = self.queries.remove(&number) else {
                    return Ok(());
                };
                if !all {
                    return Err(format!("{topic}: the list of members is not whole").into());
                }
                let topic = self.number(&topic)?;
                let members = ids(&members).ok_or_else(|| format!("not members: {members}"))?;
                let listed = PresenceEvent::Members {
                    topic,
                    members,
                    settled,
                };
                self.read.presence.push((clock::now(), listed));
                self.end_census();
            }
            // The census goes on until it is answered. The run bounds its time.
            TopicEvent::QueryFailed { number, .. }
                if self.queries.remove(&number) == Some(true) =>
            {
                self.ask(true)?;
            }
            TopicEvent::Subscribed {
                topic,
                position: Some(at),
                ..
            } => {
                let topic = self.number(&topic)?.0 as usize;
                self.last.insert(topic, at);
            }
            TopicEvent::Lost {
                topic,
                position: Some(at),
            } => {
                let topic = self.number(&topic)?.0 as usize;
                self.last.insert(topic, at);
            }
            TopicEvent::Message {
                topic,
                message,
                position: Some(at),
                ..
            } => {
                let topic = self.number(&topic)?;
                let stamp = line::stamp(message.as_bytes()).ok_or("a message without a stamp")?;
                let last = self.last.insert(topic.0 as usize, at);
                let id = at.id.map_or(0, MessageId::get);
                if self.seen.insert((topic.0, id)) {
                    self.read.found.stored.push(Stored {
                        topic,
                        position: at,
                        previous: last.and_then(|last| last.id),
                        stamp,
                        len: u32::try_from(message.as_bytes().len())?,
                        // The engine stored it then, or a little later.
                        time: line::sent(message.as_bytes()).ok_or("a message without a time")?,
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_census(&mut self) {
        if self.queries.values().any(|is_census| *is_census) {
            return;
        }
        if let Some(census) = self.census.take() {
            let now = clock::now();
            let last = self.last.iter();
            let tops = last.map(|(topic, at)| (now, Topic(*topic as u32), Some(*at)));
            self.read.found.tops.extend(tops);
            let _ = census.send(());
        }
    }

    fn number(&self, name: &str) -> Result<Topic> {
        let topic = self.topics.iter().position(|topic| topic == name);
        let topic = topic.ok_or_else(|| format!("{name} is no topic of the world"))?;
        Ok(Topic(u32::try_from(topic)?))
    }
}

/// Reads the names of members in a JSON array.
fn ids(members: &str) -> Option<Vec<u64>> {
    let members: Value = serde_json::from_str(members).ok()?;
    let members = members.as_array()?.iter();
    let id = |member: &Value| Some(member["id"].as_str()?.parse::<MessageId>().ok()?.get());
    members.map(id).collect()
}

const PACE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// The most members that a list may have.
const MOST: u32 = 500;
