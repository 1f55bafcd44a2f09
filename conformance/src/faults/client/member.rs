//! One client of a process: a `TopicClient` behind a relay of its own. It holds six topics, notes what it is told, and
//! leaves, joins, pauses and loses its connection at random.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sockeye::reconnect::topics::{
    Recovery, SUBPROTOCOLS, SubscribeOptions, TopicClient, TopicEvent,
};
use sockeye::reconnect::{ReconnectEvent, Reconnecting, Retry};
use sockeye_engine_kit::checker::{ClientEvent, Topic};
use sockeye_engine_kit::schedule::{Chance, Seed};
use sockeye_pubsub::{MessageId, Position};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::config::Config;
use super::log::Log;
use super::phase::Phase;
use crate::error::Result;
use crate::faults::line::{self, Noted};
use crate::relay::{Links, Pace, Relay, Way};

/// One client.
pub(super) struct Member {
    number: usize,
    client: TopicClient,
    relay: Arc<Relay>,
    log: Arc<Log>,
    phases: watch::Receiver<Phase>,
    topics: Vec<String>,
    with_members: Vec<usize>,
    chance: Chance,
    /// The topics that the client wants.
    held: BTreeMap<usize, Held>,
    /// Where the client stood when it left a topic.
    left: BTreeMap<usize, Position>,
    is_connected: bool,
    /// Whether the node of the connection is noted.
    is_placed: bool,
    paused_until: Option<Instant>,
}

/// A topic that a client wants.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    position: Option<Position>,
    /// Whether the client was told `recovered: false` just now. The `Lost` that follows says the same.
    is_told: bool,
}

impl Member {
    /// Makes a client that subscribes to its first topics when it runs.
    pub(super) async fn new(
        number: usize,
        config: &Config,
        log: Arc<Log>,
        phases: watch::Receiver<Phase>,
    ) -> Result<Self> {
        let seed = config.seed ^ ((number as u64 + 1) << 40);
        let mut chance = Chance::new(Seed(seed));
        let relay = Arc::new(Relay::start(&config.nodes[0]).await?);
        let reconnecting = connector(Arc::clone(&relay), config.nodes.clone(), chance.bits());
        let retry = Retry::default().longest_pause(LONGEST_PAUSE);
        let mut member = Self {
            number,
            client: reconnecting.retry(retry).topics(),
            relay,
            log,
            phases,
            topics: config.topics.clone(),
            with_members: config.with_members.clone(),
            chance,
            held: BTreeMap::new(),
            left: BTreeMap::new(),
            is_connected: false,
            is_placed: false,
            paused_until: None,
        };
        while member.held.len() < HELD_TOPICS {
            member.join()?;
        }
        Ok(member)
    }

    /// Runs the client until the process is to end.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut whim = self.next_whim();
        loop {
            let resume = self.paused_until;
            let is_busy = *self.phases.borrow() == Phase::Busy;
            tokio::select! {
                event = self.client.next() => match event {
                    Some(event) => self.take(event)?,
                    None => return Err(format!("client {} has ended", self.number).into()),
                },
                changed = self.phases.changed() => {
                    changed?;
                    let phase = *self.phases.borrow_and_update();
                    self.resume();
                    match phase {
                        Phase::Over => return Ok(()),
                        Phase::Calm(1..) => self.cut()?,
                        Phase::Calm(0) | Phase::Busy => {}
                    }
                }
                () = sleep_until(resume.unwrap_or(whim)), if resume.is_some() => self.resume(),
                () = sleep_until(whim), if is_busy => {
                    self.have_a_whim()?;
                    whim = self.next_whim();
                }
            }
        }
    }

    fn next_whim(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(self.chance.between(WHIMS))
    }

    /// Leaves a topic and joins another, or pauses, or loses the connection.
    fn have_a_whim(&mut self) -> Result<()> {
        match self.chance.below(10) {
            0 => self.cut()?,
            1 => {
                self.relay.set(Links::All, Way::Both, Pace::Hold);
                let pause = Duration::from_millis(self.chance.between(PAUSES));
                self.paused_until = Some(Instant::now() + pause);
            }
            _ => {
                self.leave()?;
                self.join()?;
            }
        }
        Ok(())
    }

    fn cut(&self) -> Result<()> {
        self.log.note(self.number, Noted::Cut)?;
        self.relay.reset(Links::All);
        Ok(())
    }

    fn resume(&mut self) {
        if self.paused_until.take().is_some() {
            self.relay.set(Links::All, Way::Both, Pace::Pass);
        }
    }

    fn leave(&mut self) -> Result<()> {
        let held: Vec<usize> = self.held.keys().copied().collect();
        let Some(&topic) = self.chance.pick(&held) else {
            return Ok(());
        };
        self.client.unsubscribe(&self.topics[topic]);
        if let Some(position) = self.held.remove(&topic).and_then(|held| held.position) {
            self.left.insert(topic, position);
        }
        if self.is_connected {
            let topic = log_number(topic)?;
            self.note(ClientEvent::Ended { topic })?;
        }
        Ok(())
    }

    fn join(&mut self) -> Result<()> {
        let free: Vec<usize> = (0..self.topics.len())
            .filter(|topic| !self.held.contains_key(topic))
            .collect();
        let Some(&topic) = self.chance.pick(&free) else {
            return Ok(());
        };
        let mut options = SubscribeOptions::new();
        let mut held = Held::default();
        match (self.chance.below(3), self.left.get(&topic)) {
            (0, _) => {}
            (1, Some(&position)) => {
                options = options.after(position);
                held.position = Some(position);
            }
            _ => options = options.recent(RECENT),
        }
        if self.with_members.contains(&topic) {
            options = options.member(format!("{{\"client\":{}}}", self.number));
        }
        self.client.subscribe_with(&self.topics[topic], &options)?;
        self.held.insert(topic, held);
        if self.is_connected {
            let topic = log_number(topic)?;
            self.note(ClientEvent::Asked { topic })?;
        }
        Ok(())
    }

    fn take(&mut self, event: TopicEvent) -> Result<()> {
        match event {
            TopicEvent::Connection(ReconnectEvent::Opened) => {
                self.is_connected = true;
                self.is_placed = false;
                self.note(ClientEvent::Connected)?;
                for topic in self.held.keys() {
                    let topic = log_number(*topic)?;
                    self.note(ClientEvent::Asked { topic })?;
                }
            }
            TopicEvent::Connection(ReconnectEvent::Interrupted { .. }) if self.is_connected => {
                self.is_connected = false;
                self.note(ClientEvent::Disconnected)?;
            }
            TopicEvent::Connection(ReconnectEvent::Ended { why, .. }) => {
                let why = why.map(|why| why.to_string()).unwrap_or_default();
                return Err(format!("client {} was closed for good: {why}", self.number).into());
            }
            TopicEvent::Subscribed {
                topic,
                recovery,
                replay,
                position,
            } => self.subscribed(&topic, recovery, replay, position)?,
            TopicEvent::Message {
                topic,
                message,
                position,
                is_replay,
            } => {
                let Some((topic, held)) = self.held(&topic) else {
                    return Ok(());
                };
                held.position = position.or(held.position);
                let stamp = line::stamp(message.as_bytes())
                    .ok_or_else(|| format!("a message without a stamp: {message}"))?;
                self.note(ClientEvent::Message {
                    topic,
                    at: position,
                    previous: None,
                    stamp,
                    replayed: Some(is_replay),
                })?;
            }
            TopicEvent::Lost { topic, position } => {
                let Some((topic, held)) = self.held(&topic) else {
                    return Ok(());
                };
                held.position = position.or(held.position);
                if !std::mem::take(&mut held.is_told) {
                    let at = position;
                    self.note(ClientEvent::Lost { topic, at })?;
                }
            }
            TopicEvent::Ended { topic, failure } => {
                return Err(format!("{topic} was ended: {failure}").into());
            }
            // A join that is delayed counts as not answered.
            _ => {}
        }
        Ok(())
    }

    fn subscribed(
        &mut self,
        name: &str,
        recovery: Recovery,
        missed: u32,
        at: Option<Position>,
    ) -> Result<()> {
        let Some((topic, held)) = self.held(name) else {
            return Ok(());
        };
        let after = std::mem::replace(&mut held.position, at);
        held.is_told = recovery == Recovery::Lost;
        let recovered = match recovery {
            Recovery::Recovered { .. } => Some(true),
            // A topic without history has no position that could be recovered.
            Recovery::Lost if after.is_some() => Some(false),
            Recovery::Lost | Recovery::Fresh => None,
        };
        self.note(ClientEvent::Subscribed {
            topic,
            after,
            at,
            recovered,
            missed,
        })?;
        let (Some(me), Some(node)) = (self.client.me(), self.client.node()) else {
            return Err("the server answered before it said hello".into());
        };
        if !std::mem::replace(&mut self.is_placed, true) {
            let node = node.to_owned();
            self.log.note(self.number, Noted::At { node })?;
        }
        if !self.with_members.contains(&(topic.0 as usize)) {
            return Ok(());
        }
        let member = me
            .parse::<MessageId>()
            .map_err(|_| format!("not the name of a member: {me}"))?;
        let noted = Noted::Entered {
            topic,
            member: member.get(),
            node: node.to_owned(),
        };
        self.log.note(self.number, noted)
    }

    /// Returns the number and the state of a topic that the client wants.
    fn held(&mut self, name: &str) -> Option<(Topic, &mut Held)> {
        let topic = self.topics.iter().position(|topic| topic == name)?;
        let held = self.held.get_mut(&topic)?;
        Some((Topic(u32::try_from(topic).ok()?), held))
    }

    fn note(&self, event: ClientEvent) -> Result<()> {
        self.log.note(self.number, Noted::Event(event))
    }
}

/// Makes a connector that chooses a node for each attempt, and reaches it through the relay.
fn connector(relay: Arc<Relay>, nodes: Vec<String>, bits: u64) -> Reconnecting {
    let chance = Arc::new(Mutex::new(Chance::new(Seed(bits))));
    let client = sockeye::Client::builder()
        .subprotocols(SUBPROTOCOLS)
        .in_turn(false)
        .connect_timeout(PATIENCE)
        .handshake_timeout(PATIENCE)
        .build();
    Reconnecting::new(move || {
        let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = chance.pick(&nodes) {
            relay.point_at(node);
        }
        let (client, url) = (client.clone(), format!("ws://{}/topics", relay.address()));
        async move { client.connect(&*url).await }
    })
}

fn log_number(topic: usize) -> Result<Topic> {
    Ok(Topic(u32::try_from(topic)?))
}

const HELD_TOPICS: usize = 6;
const RECENT: u32 = 8;
/// The shortest and the longest time between two whims, and of a pause, in milliseconds.
const WHIMS: (u64, u64) = (500, 4_000);
const PAUSES: (u64, u64) = (200, 2_000);
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
