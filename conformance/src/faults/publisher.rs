//! A publisher: one connection to any node, over which it publishes numbered messages to all topics. A third of those with
//! history have a key, and are repeated until the outcome is known.
//!
//! It speaks the subprotocol by itself, because a `TopicClient` gives each publish a key. It publishes only after the outcome
//! of the publish before: a node carries out the requests of a session one after another, so each begins when it comes.

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::connection::{Receiver, Sender};
use sockeye::reconnect::topics::SUBPROTOCOLS;
use sockeye_engine_kit::checker::{Millis, Publisher, PublisherEvent, Stamp, Topic};
use sockeye_engine_kit::schedule::{Chance, Seed};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::{clock, line};
use crate::error::Result;

/// What the run asks of the publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Publish.
    Full,
    /// Publish nothing new. What is under way ends.
    None,
    /// End.
    Over,
}

/// What a publisher is told.
pub(super) struct Plan {
    pub(super) number: u32,
    pub(super) seed: u64,
    /// The addresses of the nodes, `host:port`.
    pub(super) nodes: Vec<String>,
    /// The number of messages a second.
    pub(super) rate: u32,
    /// The bytes of each message beside its stamp.
    pub(super) padding: usize,
    /// For each topic its name, and whether it has history.
    pub(super) topics: Vec<(String, bool)>,
}

/// The log of a publisher.
pub(super) type Log = Vec<(Millis, PublisherEvent)>;

/// Publishes until the run is over. Returns the log.
pub(super) async fn run(plan: Plan, loads: watch::Receiver<Load>) -> Result<Log> {
    let state = State {
        chance: Chance::new(Seed(plan.seed)),
        plan,
        next: 0,
        next_reference: 0,
        under_way: None,
        again: Vec::new(),
        log: Vec::new(),
    };
    state.run(loads).await
}

struct State {
    plan: Plan,
    chance: Chance,
    /// The number of the next message.
    next: u32,
    next_reference: u32,
    /// The publish that waits for its answer, and its reference.
    under_way: Option<(u32, Pending)>,
    /// The publishes with a key that are to be repeated.
    again: Vec<Pending>,
    log: Log,
}

/// A publish whose outcome is not known.
#[derive(Clone, Debug)]
struct Pending {
    n: u32,
    topic: usize,
    key: Option<String>,
    first_sent: Instant,
}

impl State {
    async fn run(mut self, mut loads: watch::Receiver<Load>) -> Result<Log> {
        let client = sockeye::Client::builder()
            .subprotocols(SUBPROTOCOLS)
            .in_turn(false)
            .connect_timeout(PATIENCE)
            .handshake_timeout(PATIENCE)
            .build();
        while !self.is_over(&loads) {
            let Some(node) = self.chance.pick(&self.plan.nodes) else {
                return Err("there are no nodes".into());
            };
            let url = format!("ws://{node}/topics");
            match timeout(PATIENCE, client.connect(&*url)).await {
                Ok(Ok(connection)) => {
                    let (sender, receiver) = connection.split();
                    self.publish(&sender, receiver, &mut loads).await?;
                    self.interrupted();
                }
                Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
            }
        }
        Ok(self.log)
    }

    fn is_over(&self, loads: &watch::Receiver<Load>) -> bool {
        *loads.borrow() == Load::Over
    }

    /// Publishes on one connection, until it ends or the run is over.
    async fn publish(
        &mut self,
        sender: &Sender,
        mut receiver: Receiver,
        loads: &mut watch::Receiver<Load>,
    ) -> Result<()> {
        let mut ticks = interval(Duration::from_secs(1) / self.plan.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let load = *loads.borrow_and_update();
            if load == Load::Over {
                return Ok(());
            }
            tokio::select! {
                biased;
                message = receiver.recv() => {
                    let Ok(Some(message)) = message else { return Ok(()) };
                    if let Some(text) = message.as_text() {
                        self.take(text)?;
                    }
                }
                _ = loads.changed() => {}
                _ = ticks.tick(), if self.under_way.is_none() => {
                    let pending = match self.again.pop() {
                        None if load == Load::Full => self.draw(),
                        pending => pending,
                    };
                    let Some(pending) = pending else { continue };
                    if self.send(sender, pending).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Draws a new message. `None` if its topic waits for a repetition.
    fn draw(&mut self) -> Option<Pending> {
        let topic = usize::try_from(self.chance.below(self.plan.topics.len() as u64)).ok()?;
        let has_key = self.chance.one_in(3) && self.plan.topics[topic].1;
        if self.again.iter().any(|pending| pending.topic == topic) {
            return None;
        }
        let key = has_key.then(|| format!("{:016x}{:016x}", self.chance.bits(), self.next));
        self.next += 1;
        Some(Pending {
            n: self.next - 1,
            topic,
            key,
            first_sent: Instant::now(),
        })
    }

    async fn send(&mut self, sender: &Sender, pending: Pending) -> Result<()> {
        self.next_reference += 1;
        let Pending { n, topic, key, .. } = &pending;
        let mut header = json!({ "pub": self.plan.topics[*topic].0, "ref": self.next_reference });
        if let Some(key) = key {
            header["key"] = key.as_str().into();
        }
        let stamp = Stamp {
            publisher: Publisher(self.plan.number),
            n: *n,
        };
        let sent = PublisherEvent::Sent {
            n: *n,
            topic: Topic(u32::try_from(*topic)?),
            keyed: key.is_some(),
        };
        self.note(sent);
        let frame = format!(
            "{header}\n{}",
            line::body(stamp, clock::now(), self.plan.padding)
        );
        self.under_way = Some((self.next_reference, pending));
        Ok(sender.send(frame).await?)
    }

    /// Takes a frame of the node.
    fn take(&mut self, frame: &str) -> Result<()> {
        let (header, _) = frame.split_once('\n').ok_or("a frame without a header")?;
        let header: Value = serde_json::from_str(header)?;
        let is_answer = |name: &str, reference: u32| header[name] == reference;
        let Some((reference, pending)) = self.under_way.take() else {
            return Ok(());
        };
        if is_answer("ok", reference) {
            let at = header["stored"].as_str().map(str::parse).transpose()?;
            self.note(PublisherEvent::Ok { n: pending.n, at });
        } else if !is_answer("err", reference) {
            self.under_way = Some((reference, pending));
        } else if header["code"] == "unknown" {
            self.unknown(pending);
        } else {
            // The other codes say that the message was not published.
            self.note(PublisherEvent::Unsent { n: pending.n });
            self.repeat(pending);
        }
        Ok(())
    }

    fn unknown(&mut self, pending: Pending) {
        self.note(PublisherEvent::Unknown { n: pending.n });
        self.repeat(pending);
    }

    /// Repeats a publish with a key while nodes remember the key.
    fn repeat(&mut self, pending: Pending) {
        if pending.key.is_some() && pending.first_sent.elapsed() < REPEAT_TIME {
            self.again.push(pending);
        }
    }

    /// The connection ended: the message under way may have been published.
    fn interrupted(&mut self) {
        if let Some((_, pending)) = self.under_way.take() {
            self.unknown(pending);
        }
    }

    fn note(&mut self, event: PublisherEvent) {
        self.log.push((clock::now(), event));
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// Nodes remember the keys of clients for 60 s.
const REPEAT_TIME: Duration = Duration::from_secs(45);
