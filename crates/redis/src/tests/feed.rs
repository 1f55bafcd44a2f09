//! A message that no queue of the feed has room for: it is dropped, and the hub is told. `feed/tests.rs` has floods.

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{Engine, Generation, NodeId, NodeInfo};

use super::fake::{Fake, channel, message};
use super::heard::{Event, Heard};
use super::peer::dial;
use crate::RedisEngine;
use crate::address::Address;

fn topics(names: &[&str]) -> Vec<TopicName> {
    let name = |name: &&str| TopicName::new(*name).unwrap();
    names.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_without_room_ends_the_generation_of_its_topic_and_the_feed_stays() {
    let (dial, peers) = dial();
    let engine = RedisEngine::with_dial(Address::parse("redis://localhost").unwrap(), dial);
    let fake = Fake::serve(peers);
    let heard = Heard::new(&["a", "b"]);
    let node = NodeInfo {
        id: NodeId(7),
        name: "node".into(),
        fingerprint: 0,
    };
    engine.start(node, heard.clone()).await.unwrap();
    engine.listen(&topics(&["a", "b"])).await.unwrap();
    heard.take();
    // All queues together have room for 8 MiB.
    let payload = [b"0 AAAAAAAAAAE\n\x00", &*vec![b'x'; 8 << 20]].concat();
    fake.push(&message(&channel("a"), &payload)).await;
    let listened = Event::Listened(2, vec!["a".into()]);
    let told = heard.until(|event| *event == listened).await;
    assert_eq!(told, [Event::Gap(vec!["a"]), listened]);
    fake.push(&message(&channel("a"), b"0 AAAAAAAAAAE\n\x00next"))
        .await;
    let next = Event::Delivered("a".into(), "next".into());
    assert_eq!(heard.until(|event| *event == next).await.len(), 1);
    assert_eq!(
        engine.listen(&topics(&["a", "b"])).await.unwrap(),
        [Generation(2), Generation(1)]
    );
    assert_eq!(fake.state().opened, [1, 1]);
}
