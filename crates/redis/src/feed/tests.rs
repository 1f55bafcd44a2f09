//! A flood on the feed: what has no room is dropped, and the hub is told. The flood comes while the hub takes a message.

use std::sync::{Mutex, OnceLock};

use sockeye_pubsub::engine::{EngineEvents, EngineState, Generation, NodeId, NodeInfo};
use sockeye_pubsub::{Delivered, TopicName};
use tokio::sync::mpsc::{Receiver, channel};

use super::*;
use crate::layout::Kind;
use crate::tests::heard::{Event, Heard};

/// A hub that takes its first message slowly: meanwhile the connection brings others.
struct SlowHub {
    heard: Arc<Heard>,
    sorter: OnceLock<Arc<Sorter>>,
    meanwhile: Mutex<Vec<PushInfo>>,
}

impl EngineEvents for SlowHub {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        let meanwhile = std::mem::take(&mut *self.meanwhile.lock().unwrap());
        let sorter = self.sorter.get().unwrap();
        meanwhile.into_iter().for_each(|push| sorter.sort(push));
        self.heard.delivered(topic, delivered);
    }

    fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        self.heard.gap(affected);
    }

    fn listened(&self, generation: Generation, topics: &[TopicName]) {
        self.heard.listened(generation, topics);
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        self.heard.signal(from, payload);
    }

    fn signals_lost(&self) {
        self.heard.signals_lost();
    }

    fn nodes(&self, live: &[NodeInfo]) {
        self.heard.nodes(live);
    }

    fn state(&self, state: EngineState) {
        self.heard.state(state);
    }
}

/// The feed of a node that listens to the topics `a` and `b`. Its workers have not run yet.
struct Flooded {
    sorter: Arc<Sorter>,
    reports: Arc<Reports>,
    heard: Arc<Heard>,
    _notices: Receiver<Notice>,
}

const WORKERS: usize = 2;

impl Flooded {
    /// Makes a feed whose hub takes its first message while these pushes come.
    fn new(meanwhile: Vec<PushInfo>) -> Self {
        let heard = Heard::new(&["a", "b"]);
        let hub = Arc::new(SlowHub {
            heard: Arc::clone(&heard),
            sorter: OnceLock::new(),
            meanwhile: Mutex::new(meanwhile),
        });
        let (notices, told) = channel(1);
        let sorter = Arc::new(Sorter::new(&Layout::new("sockeye"), WORKERS, notices));
        let _ = hub.sorter.set(Arc::clone(&sorter));
        let reports = Arc::new(Reports::new(hub, NodeId(7)));
        let topics = ["a", "b"].map(|name| TopicName::new(name).unwrap());
        reports.listening().want(&topics);
        reports.confirmed(&topics);
        Self {
            sorter,
            reports,
            heard,
            _notices: told,
        }
    }

    /// Starts the workers.
    fn work(&self) {
        for index in 0..WORKERS {
            let (sorter, reports) = (Arc::clone(&self.sorter), Arc::clone(&self.reports));
            tokio::spawn(work(sorter, index, reports));
        }
    }

    /// Takes what the hub is told up to the end of this generation of the topic `a`: the number of its messages, and the rest.
    async fn told(&self, generation: u64) -> (usize, Vec<Event>) {
        let end = listened(generation);
        let mut told = self.heard.until(|event| *event == end).await;
        let is_message =
            |event: &Event| matches!(event, Event::Delivered(topic, _) if topic == "a");
        let before = told.len();
        told.retain(|event| !is_message(event));
        (before - told.len(), told)
    }
}

/// The number of bytes of a message in a flood.
const LARGE: usize = 1 << 16;

/// This many large messages of the topic `a`.
fn flood(messages: usize) -> Vec<PushInfo> {
    (0..messages).map(|_| message(LARGE)).collect()
}

/// A message of the topic `a` with a text of this many bytes.
fn message(len: usize) -> PushInfo {
    let channel = Layout::new("sockeye").name(Kind::Channel, "a").to_string();
    let payload = [b"0 AAAAAAAAAAE\n\x00", &*vec![b'x'; len]].concat();
    let data = [channel.into_bytes(), payload];
    PushInfo {
        kind: PushKind::Message,
        data: data.map(Value::BulkString).to_vec(),
    }
}

fn gap() -> Event {
    Event::Gap(vec!["a"])
}

fn listened(generation: u64) -> Event {
    Event::Listened(generation, vec!["a".into()])
}

#[tokio::test(start_paused = true)]
async fn a_flood_behind_a_hub_that_waits_is_bounded_and_ends_the_generation_of_its_topic() {
    let feed = Flooded::new(flood(256));
    feed.sorter.sort(message(1));
    feed.work();
    let (delivered, told) = feed.told(2).await;
    // The small message, and what has room: the queues share 8 MiB, and each message has a head.
    assert_eq!(delivered, 1 + (ROOM / WORKERS) / LARGE - 1);
    assert_eq!(told, [gap(), listened(2)]);
    // Behind the loss the topic goes on.
    feed.sorter.sort(message(1));
    let is_message = |event: &Event| matches!(event, Event::Delivered(..));
    assert_eq!(feed.heard.until(is_message).await.len(), 1);
    let generations = ["a", "b"].map(|topic| feed.reports.listening().generation(topic));
    assert_eq!(generations, [Generation(2), Generation(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_that_goes_on_behind_a_loss_ends_the_next_generation_too() {
    let feed = Flooded::new(flood(256));
    // The worker comes so late that there is a loss already, and then the flood goes on.
    for push in flood(256) {
        feed.sorter.sort(push);
    }
    feed.work();
    let (delivered, told) = feed.told(2).await;
    assert_eq!(delivered, (ROOM / WORKERS) / LARGE - 1);
    assert_eq!(told, [gap(), listened(2)]);
    assert_eq!(feed.told(3).await, (0, vec![gap(), listened(3)]));
}
