//! A flood on the feed: what has no room is dropped, and the hub is told.

use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use sockeye_pubsub::engine::{Engine, EngineEvents, EngineState, Generation, NodeId, NodeInfo};
use sockeye_pubsub::{Delivered, TopicName};

use super::fake::{Fake, channel, message};
use super::heard::{Event, Heard};
use super::peer::dial;
use crate::RedisEngine;
use crate::address::Address;

/// A hub that takes no message until it is opened: its worker waits.
struct Gate {
    heard: Arc<Heard>,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl EngineEvents for Gate {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        let is_open = self.is_open.lock().unwrap();
        let waited = self.opened.wait_while(is_open, |is_open| !*is_open);
        drop(waited.unwrap());
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

fn topics(names: &[&str]) -> Vec<TopicName> {
    let name = |name: &&str| TopicName::new(*name).unwrap();
    names.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_flood_behind_a_hub_that_waits_is_bounded_and_ends_the_generation_of_its_topic() {
    let (dial, peers) = dial();
    let engine = RedisEngine::with_dial(Address::parse("redis://localhost").unwrap(), dial);
    let fake = Fake::serve(peers);
    let gate = Arc::new(Gate {
        heard: Heard::new(&["a", "b"]),
        is_open: Mutex::new(false),
        opened: Condvar::new(),
    });
    let node = NodeInfo {
        id: NodeId(7),
        name: "node".into(),
        fingerprint: 0,
    };
    engine.start(node, gate.clone()).await.unwrap();
    engine.listen(&topics(&["a", "b"])).await.unwrap();
    let payload = [b"0 AAAAAAAAAAE\n\x00", &*vec![b'x'; 1 << 16]].concat();
    let push = message(&channel("a"), &payload);
    for _ in 0..256 {
        fake.push(&push).await;
    }
    // The confirmation comes behind the flood, so all of it was sorted.
    engine.listen(&topics(&["c"])).await.unwrap();
    gate.heard.take();
    gate.open();
    let told = gate
        .heard
        .until(|event| matches!(event, Event::Listened(..)))
        .await;
    let delivered = |event: &&Event| matches!(event, Event::Delivered(topic, _) if topic == "a");
    let delivered = told.iter().filter(delivered).count();
    // 8 MiB are the room of all queues together.
    assert!((16..=128).contains(&delivered), "{delivered}");
    let gap = Event::Gap(vec!["a"]);
    let listened = Event::Listened(2, vec!["a".into()]);
    assert_eq!(told[delivered..], [gap, listened]);
    fake.push(&push).await;
    gate.heard
        .until(|event| matches!(event, Event::Delivered(..)))
        .await;
    assert_eq!(
        engine.listen(&topics(&["a", "b"])).await.unwrap(),
        [Generation(2), Generation(1)]
    );
    assert_eq!(fake.state().opened, [1, 1]);
}
