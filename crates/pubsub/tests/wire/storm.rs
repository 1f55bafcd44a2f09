//! Many clients that return at once, each with its position.

use std::time::{Duration, Instant};

use sockeye_proto::CloseCode;
use sockeye_pubsub::hub::{Recovery, Wants, Welcome};
use sockeye_pubsub::wire::{
    ClientEvent, ClientMachine, Content, SUBPROTOCOLS, ServerLimits, ServerMachine, Step, envelope,
};
use sockeye_pubsub::{Body, Entry};

use crate::support::{at, topic};

#[test]
fn ten_thousand_clients_resume_each_from_its_own_position() {
    let now = Instant::now();
    let entry = |offset| Entry {
        position: at(offset),
        previous: at(offset - 1).id,
        body: Body {
            message: format!("message {offset}").into(),
            compressible: true,
        },
    };
    let entries: Vec<_> = (1..=4).map(entry).collect();
    // Made once, whatever the number of subscribers.
    let frames: Vec<_> = entries
        .iter()
        .map(|entry| envelope("room/42", Some(entry.position), &entry.body))
        .collect();
    let limits = ServerLimits::default();

    let mut clients: Vec<_> = (0..10_000_u64).map(|_| ClientMachine::default()).collect();
    for (number, client) in (0..).zip(&mut clients) {
        client
            .subscribe(topic("room/42"), Wants::After(at(number % 5)), None)
            .unwrap();
        // The first attempt fails: each client waits for a time of its own.
        let random = (number % 1000) as f64 / 1000.0;
        let pause = client.closed(CloseCode::ABNORMAL, now, random).unwrap();
        assert_eq!(pause, Duration::from_micros(500 * (number % 1000)));
    }
    for (number, client) in (0..).zip(&mut clients) {
        client.connected(Some(SUBPROTOCOLS[0]), now).unwrap();
        let mut server = ServerMachine::new(&limits);
        let frame = client.next_frame(now).unwrap();
        let Step::Subscribe {
            reference,
            topic,
            wants: Wants::After(position),
            ..
        } = server.receive(Content::from(&frame), now)
        else {
            panic!("the client does not resume");
        };
        assert_eq!(position.offset, number % 5);
        let missed = usize::try_from(position.offset).unwrap();
        let welcome = Welcome {
            at: Some(position),
            recovery: Recovery::Recovered { missed: 4 - missed },
            replay: &entries[missed..],
        };
        let answer = server.subscribed(reference, &topic, &welcome).unwrap();
        client.received(&answer.into(), now);
        for frame in &frames[missed..] {
            client.received(frame.message(), now);
        }
    }
    for (number, client) in (0..).zip(&mut clients) {
        let events: Vec<_> = std::iter::from_fn(|| client.next_event()).collect();
        assert_eq!(events.len(), 5 - number % 5);
        assert!(matches!(
            events[0],
            ClientEvent::Subscribed {
                recovery: Recovery::Recovered { .. },
                ..
            }
        ));
        assert!(client.positions().all(|(_, position)| position == at(4)));
    }
}
