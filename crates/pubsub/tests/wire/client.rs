//! The client's machine: what the conversations of the fixture do not say.

use std::time::{Duration, Instant};

use sockeye_proto::{CloseCode, Outgoing};
use sockeye_pubsub::hub::Wants;
use sockeye_pubsub::wire::{
    Backoff, ClientEvent, ClientMachine, ErrorCode, NotAccepted, PublishFailure, Reference,
    SUBPROTOCOLS, UnsupportedProtocol,
};

use crate::support::{at, fixture, topic};

const SECOND: Duration = Duration::from_secs(1);

/// A client that is subscribed to `a`, whose connection is open.
fn open(now: Instant) -> ClientMachine {
    let mut client = ClientMachine::default();
    client.subscribe(topic("a"), Wants::Live, None).unwrap();
    connect(&mut client, now);
    client
}

/// A client with a subscription to `a`, which has history.
fn live(now: Instant) -> ClientMachine {
    let mut client = open(now);
    receive(
        &mut client,
        &format!("{{\"ok\":1,\"topic\":\"a\",\"at\":\"{}\"}}\n", at(5)),
        now,
    );
    client.next_event().unwrap();
    client
}

fn connect(client: &mut ClientMachine, now: Instant) {
    client.connected(Some(SUBPROTOCOLS[0]), now).unwrap();
    while client.next_frame(now).is_some() {}
}

fn receive(client: &mut ClientMachine, frame: &str, now: Instant) {
    client.received(&frame.into(), now);
}

fn failures(client: &mut ClientMachine) -> Vec<(u64, PublishFailure)> {
    let events = std::iter::from_fn(|| client.next_event());
    let failures = events.filter_map(|event| match event {
        ClientEvent::PublishFailed {
            number, failure, ..
        } => Some((number.0, failure)),
        _ => None,
    });
    failures.collect()
}

#[test]
fn a_server_that_does_not_agree_to_the_subprotocol_is_an_error() {
    for agreed in [None, Some(""), Some("sockeye.topics.v9")] {
        let mut client = ClientMachine::default();
        client.subscribe(topic("a"), Wants::Live, None).unwrap();
        assert_eq!(
            client.connected(agreed, Instant::now()),
            Err(UnsupportedProtocol)
        );
        assert!(!client.has_frames());
    }
}

#[test]
fn a_client_subscribes_once_to_each_topic() {
    let mut client = open(Instant::now());
    assert_eq!(
        client.subscribe(topic("a"), Wants::Recent(5), None),
        Err(NotAccepted::Subscribed)
    );
    assert!(client.unsubscribe(&topic("a")));
    assert!(!client.unsubscribe(&topic("a")));
    assert_eq!(client.subscribe(topic("a"), Wants::Live, None), Ok(()));
}

#[test]
fn a_member_is_json_of_at_most_1_kib_in_one_line() {
    let mut client = ClientMachine::default();
    let long = format!("\"{}\"", "x".repeat(1023));
    for member in ["", "{", "{\"a\":\n1}", "1 2", &long] {
        assert_eq!(
            client.subscribe(topic("a"), Wants::Live, Some(member)),
            Err(NotAccepted::Member)
        );
    }
    let longest = format!("\"{}\"", "x".repeat(1022));
    assert_eq!(
        client.subscribe(topic("a"), Wants::Live, Some(&longest)),
        Ok(())
    );
}

#[test]
fn a_subscription_that_is_left_before_it_was_sent_is_not_sent() {
    let now = Instant::now();
    let mut client = ClientMachine::default();
    client.connected(Some(SUBPROTOCOLS[0]), now).unwrap();
    client.subscribe(topic("a"), Wants::Live, None).unwrap();
    assert!(client.unsubscribe(&topic("a")));
    client
        .subscribe(topic("a"), Wants::Recent(7), None)
        .unwrap();
    let sent: Vec<_> = std::iter::from_fn(|| client.next_frame(now)).collect();
    let sent: Vec<_> = sent
        .iter()
        .map(|frame| frame.message().as_text().unwrap())
        .collect();
    assert_eq!(sent, ["{\"sub\":\"a\",\"ref\":1,\"recent\":7}\n"]);
}

#[test]
fn at_most_200_requests_wait_for_their_outcome() {
    let now = Instant::now();
    let mut client = live(now);
    for number in 0..199 {
        client.publish(topic("a"), "x", number).unwrap();
    }
    client.members(topic("a"), None).unwrap();
    assert_eq!(
        client.publish(topic("a"), "x", 200).unwrap_err(),
        NotAccepted::Full
    );
    assert_eq!(client.count(topic("a")).unwrap_err(), NotAccepted::Full);
    assert_eq!(
        client.count(topic("b")).unwrap_err(),
        NotAccepted::NotSubscribed
    );
    while client.next_frame(now).is_some() {}
    receive(&mut client, "{\"ok\":2}\n", now);
    assert!(client.publish(topic("a"), "x", 200).is_ok());
}

#[test]
fn a_frame_that_the_owner_did_not_take_was_not_sent() {
    let now = Instant::now();
    let mut client = live(now);
    client.publish(topic("a"), "sent", 1).unwrap();
    client.publish(topic("a"), "unsent", 2).unwrap();
    assert!(client.next_frame(now).is_some());
    assert_eq!(client.closed(CloseCode::NORMAL, now, 0.0), None);
    assert_eq!(
        failures(&mut client),
        [
            (1, PublishFailure::Unconfirmed),
            (2, PublishFailure::Unsent)
        ]
    );
}

#[test]
fn a_failed_publish_gives_its_message_back() {
    let now = Instant::now();
    let mut client = live(now);
    client
        .publish(topic("b"), Outgoing::uncompressed("x"), 1)
        .unwrap();
    while client.next_frame(now).is_some() {}
    client.disconnected(now);
    match client.next_event() {
        Some(ClientEvent::PublishFailed { message, topic, .. }) => {
            assert_eq!((message.message().as_text(), &*topic), (Some("x"), "b"));
            assert!(!message.may_be_compressed());
        }
        event => panic!("{event:?}"),
    }
}

#[test]
fn a_publish_is_compressed_only_if_its_message_may_be() {
    let now = Instant::now();
    let mut client = live(now);
    client
        .publish(topic("a"), Outgoing::uncompressed("x"), 1)
        .unwrap();
    client.publish(topic("a"), "y", 2).unwrap();
    client.send(Outgoing::uncompressed("z")).unwrap();
    let may: Vec<_> = std::iter::from_fn(|| client.next_frame(now))
        .map(|frame| frame.may_be_compressed())
        .collect();
    assert_eq!(may, [false, true, false]);
}

#[test]
fn the_key_of_a_publish_has_128_random_bits_in_base64url() {
    let now = Instant::now();
    let mut client = live(now);
    client.publish(topic("a"), "x", u128::MAX).unwrap();
    let frame = client.next_frame(now).unwrap();
    assert_eq!(
        frame.message().as_text(),
        Some("{\"pub\":\"a\",\"ref\":2,\"key\":\"_____________________w\"}\nx")
    );
}

#[test]
fn messages_of_the_replay_are_told_from_live_ones() {
    let now = Instant::now();
    let mut client = open(now);
    receive(
        &mut client,
        "{\"ok\":1,\"topic\":\"a\",\"missed\":2}\n",
        now,
    );
    for body in ["one", "two", "three"] {
        receive(&mut client, &format!("{{\"m\":\"a\"}}\n{body}"), now);
    }
    let events = std::iter::from_fn(|| client.next_event());
    let replayed: Vec<_> = events
        .filter_map(|event| match event {
            ClientEvent::Message { is_replay, .. } => Some(is_replay),
            _ => None,
        })
        .collect();
    assert_eq!(replayed, [true, true, false]);
}

#[test]
fn without_a_connection_a_publish_is_uncertain_45_s_after_it_was_sent() {
    let start = Instant::now();
    let mut client = live(start);
    client.publish(topic("a"), "x", 1).unwrap();
    assert!(client.next_frame(start + SECOND).is_some());
    client.publish(topic("a"), "never sent", 2).unwrap();
    client.disconnected(start + 2 * SECOND);
    assert_eq!(client.next_timeout(), Some(start + 46 * SECOND));
    client.handle_timeout(start + 45 * SECOND);
    assert!(failures(&mut client).is_empty());
    client.handle_timeout(start + 46 * SECOND);
    assert_eq!(failures(&mut client), [(1, PublishFailure::Unconfirmed)]);
    assert_eq!(client.next_timeout(), None);
}

#[test]
fn an_owner_may_have_a_rule_for_reconnects_of_its_own() {
    let now = Instant::now();
    let mut client = live(now);
    assert_eq!(client.asked_pause(0.5), None);
    receive(&mut client, "{\"bye\":1,\"after\":[1000,3000]}\n", now);
    assert_eq!(client.asked_pause(0.5), Some(2 * SECOND));
    client.disconnected(now);
    assert_eq!(client.asked_pause(0.5), None);
    client.publish(topic("a"), "x", 1).unwrap();
    client.end();
    assert_eq!(failures(&mut client), [(1, PublishFailure::Unsent)]);
    assert_eq!(client.publish(topic("a"), "x", 1), Err(NotAccepted::Over));
    assert_eq!(
        client.subscribe(topic("a"), Wants::Live, None),
        Err(NotAccepted::Over)
    );
    assert_eq!(client.send("x"), Err(NotAccepted::Over));
    assert_eq!(client.closed(CloseCode::ABNORMAL, now, 0.0), None);
    assert_eq!(client.next_timeout(), None);
}

#[test]
fn a_message_to_the_application_needs_a_connection() {
    let now = Instant::now();
    let mut client = ClientMachine::default();
    assert_eq!(client.send("x"), Err(NotAccepted::Offline));
    connect(&mut client, now);
    assert_eq!(client.send("x"), Ok(()));
    client.disconnected(now);
    assert!(!client.has_frames());
}

#[test]
fn a_violation_closes_with_1002_and_a_reason() {
    let now = Instant::now();
    let reason = |frame: &str| {
        let mut client = live(now);
        client.count(topic("a")).unwrap();
        while client.next_frame(now).is_some() {}
        receive(&mut client, frame, now);
        let reason = client.wants_close().unwrap();
        assert_eq!(client.wants_close(), None);
        assert!(!client.has_frames());
        reason.to_string()
    };
    assert_eq!(
        reason("hello"),
        "1002 the frame has no line feed behind its header"
    );
    assert_eq!(
        reason("{\"m\":\"a\",\"at\":\"x\"}\n"),
        "1002 the header has `m`, and its `at` is not valid"
    );
    assert_eq!(
        reason("{\"ok\":2}\n"),
        "1002 the header has `ok`, and its `count` is not valid"
    );
    let mut client = open(now);
    receive(&mut client, "{\"ok\":1}\n", now);
    assert_eq!(
        client.wants_close().unwrap().to_string(),
        "1002 the header has `ok`, and its `topic` is not valid"
    );
}

#[test]
fn the_machine_tells_what_the_server_said_of_itself() {
    let now = Instant::now();
    let mut client = live(now);
    assert_eq!((client.me(), client.node()), (None, None));
    receive(
        &mut client,
        "{\"hello\":1,\"me\":\"AAAAAAAAAAc\",\"node\":\"n1\",\"ping\":25,\"topics\":128}\n",
        now,
    );
    assert_eq!(
        (client.me(), client.node()),
        (Some("AAAAAAAAAAc"), Some("n1"))
    );
    client.disconnected(now);
    assert_eq!(client.me(), None);
}

#[test]
fn no_time_of_a_server_overflows_and_none_is_longer_than_five_minutes() {
    let now = Instant::now();
    let mut client = open(now);
    let most = u64::MAX;
    receive(
        &mut client,
        &format!("{{\"hello\":1,\"me\":\"\",\"node\":\"\",\"ping\":{most},\"topics\":1}}\n"),
        now,
    );
    assert_eq!(client.next_timeout(), Some(now + 300 * SECOND));
    receive(
        &mut client,
        "{\"hello\":1,\"me\":\"\",\"node\":\"\",\"ping\":0,\"topics\":1}\n",
        now,
    );
    assert_eq!(client.next_timeout(), Some(now + SECOND));
    receive(
        &mut client,
        &format!("{{\"err\":1,\"code\":\"unavailable\",\"retry\":{most}}}\n"),
        now,
    );
    match client.next_event() {
        Some(ClientEvent::Delayed { retry, failure, .. }) => {
            assert_eq!(
                (retry, failure.code),
                (300 * SECOND, ErrorCode::Unavailable)
            );
        }
        event => panic!("{event:?}"),
    }
    receive(
        &mut client,
        &format!("{{\"bye\":1,\"after\":[{most},{most}]}}\n"),
        now,
    );
    assert_eq!(
        client.closed(CloseCode::SERVICE_RESTART, now, 0.5),
        Some(300 * SECOND)
    );
}

#[test]
fn a_client_connects_again_after_the_codes_of_the_list_and_no_others() {
    let codes = fixture("close-codes.json");
    let again: Vec<_> = codes["again"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_u64().unwrap())
        .collect();
    let sendable = (0..=u16::MAX).filter_map(|code| CloseCode::try_from(code).ok());
    for code in sendable.chain([CloseCode::NO_STATUS, CloseCode::ABNORMAL]) {
        let pause = Backoff::default().after(code, None, Instant::now(), 0.0);
        assert_eq!(
            pause.is_some(),
            again.contains(&code.get().into()),
            "{code}"
        );
        let is_never = |range: &serde_json::Value| {
            let bound = |at: usize| range[at].as_u64().unwrap();
            (bound(0)..=bound(1)).contains(&code.get().into())
        };
        let is_never = codes["never"].as_array().unwrap().iter().any(is_never);
        assert_ne!(is_never, pause.is_some(), "{code}");
    }
}

#[test]
fn the_reference_after_the_largest_is_1() {
    let largest = Reference::new(Reference::MAX).unwrap();
    assert_eq!(largest.next(), Reference::FIRST);
    assert_eq!(Reference::FIRST.next().get(), 2);
    assert_eq!(Reference::new(0), None);
    assert_eq!(Reference::new(Reference::MAX + 1), None);
}
