//! Many sessions that return at once.

use super::*;
use crate::topics::Clients;

#[tokio::test(start_paused = true)]
async fn five_thousand_sessions_return_to_fifty_topics_and_each_gets_what_it_missed() {
    let world = World::with(kept(100).clients(Clients::subscribe()));
    let mut positions = Vec::new();
    for topic in 0..50 {
        let name = format!("a/{topic}");
        positions.push(world.publish(&name, "before").await.unwrap());
        world.publish(&name, "missed").await;
    }
    let mut peers = Vec::new();
    for n in 0..5000 {
        let (stream, peer) = wire();
        let one = Arc::new(Semaphore::new(1));
        let mut opened = opened(stream, quiet(), &one);
        opened
            .handshake
            .agree(Some(crate::endpoint::envelope::SUBPROTOCOL), None);
        let topic = n % 50;
        let at = positions[topic];
        let header = format!("{{\"sub\":\"a/{topic}\",\"ref\":1,\"at\":\"{at}\"}}\n");
        peer.segment(masked(TEXT, header));
        let endpoint = Arc::clone(&world.endpoint);
        Factory(move |_: &Handshake| Arc::clone(&endpoint)).start(opened, None, &world.sessions);
        peers.push(peer);
    }
    idle().await;
    assert_eq!(world.sessions.len(), 5000, "none is closed");
    for peer in peers {
        let frames = peer.frames();
        let [_, answer, missed] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert!(answer.text().contains(r#""recovered":true,"missed":1"#));
        assert!(missed.text().ends_with("\nmissed"));
    }
    let subscribers = (0..50).map(|topic| world.topics.subscribers(&format!("a/{topic}")));
    assert_eq!(subscribers.sum::<usize>(), 5000);
}
