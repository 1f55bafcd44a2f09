//! Each proof refuses evidence with one planted fault, and accepts the same evidence without it.

use sockeye_engine_kit::checker::{ClientEvent, Fault, Harm, PublisherEvent, Stamp, Topic};
use sockeye_engine_kit::checker::{Millis, PresenceEvent, Publisher};
use sockeye_pubsub::{Epoch, MessageId, Position};

use super::*;

const WINDOW: Topic = Topic(0);
/// The first topic without history.
const OFF: Topic = Topic(20);

fn at(epoch: u64, offset: u64) -> Position {
    Position {
        epoch: Epoch::new(epoch),
        offset,
        id: (offset > 0).then(|| MessageId::new(offset)),
    }
}

fn subscribed(recovered: Option<bool>, at: Position) -> ClientEvent {
    ClientEvent::Subscribed {
        topic: WINDOW,
        after: recovered.map(|_| at),
        at: Some(at),
        recovered,
        missed: 0,
    }
}

fn message(at: Position) -> ClientEvent {
    ClientEvent::Message {
        topic: WINDOW,
        at: Some(at),
        previous: None,
        stamp: Stamp {
            publisher: Publisher(0),
            n: 0,
        },
        replayed: None,
    }
}

fn lost(topic: Topic, at: Option<Position>) -> ClientEvent {
    ClientEvent::Lost { topic, at }
}

/// A run with a fault from 1 s to 2 s that settled at 20 s.
fn evidence(events: &[(Millis, ClientEvent)], publishes: &[(Millis, PublisherEvent)]) -> Evidence {
    let fault = Fault {
        name: "fault",
        from: 1_000,
        until: 2_000,
        harm: Harm::Confirmed,
    };
    Evidence {
        clients: vec![Story {
            name: "client".to_owned(),
            events: events.to_vec(),
            cuts: Vec::new(),
            nodes: Vec::new(),
        }],
        publishers: vec![Story {
            name: "publisher".to_owned(),
            events: publishes.to_vec(),
            cuts: Vec::new(),
            nodes: Vec::new(),
        }],
        faults: vec![fault],
        settled: vec![20_000],
        ..Evidence::default()
    }
}

#[test]
fn an_outcome_that_comes_too_late_is_found() {
    let sent = PublisherEvent::Sent {
        n: 0,
        topic: WINDOW,
        keyed: false,
    };
    let ok = PublisherEvent::Ok { n: 0, at: None };
    let publishes = |took: Millis| evidence(&[], &[(500, sent), (500 + took, ok)]);
    assert_eq!(publishes_end_within(&publishes(2_000), 2_000).len(), 0);
    assert_eq!(publishes_end_within(&publishes(2_001), 2_000).len(), 1);
}

#[test]
fn a_confirmation_while_the_engine_is_away_is_found() {
    let ok = |at| PublisherEvent::Ok { n: 0, at };
    let publishes = |time, at| evidence(&[], &[(time, ok(at))]);
    for time in [1_400, 2_000] {
        assert!(none_is_confirmed_meanwhile(&publishes(time, None)).is_empty());
    }
    assert_eq!(
        none_is_confirmed_meanwhile(&publishes(1_600, None)).len(),
        1
    );
    assert_eq!(
        none_is_confirmed_within(&publishes(1_600, None), 550).len(),
        0
    );
    assert_eq!(none_is_stored_meanwhile(&publishes(1_600, None)).len(), 0);
    let stored = publishes(1_600, Some(at(1, 1)));
    assert_eq!(none_is_stored_meanwhile(&stored).len(), 1);
    assert_eq!(some_is_confirmed_later(&stored).len(), 1);
    assert!(some_is_confirmed_later(&publishes(2_001, Some(at(1, 1)))).is_empty());
}

#[test]
fn a_connection_that_ends_during_a_fault_is_found_unless_its_client_cut_it() {
    let mut evidence = evidence(&[(1_500, ClientEvent::Disconnected)], &[]);
    assert_eq!(sockets_stay(&evidence).len(), 1);
    evidence.clients[0].cuts.push(1_490);
    assert!(sockets_stay(&evidence).is_empty());
}

#[test]
fn a_client_that_is_not_told_lost_is_found() {
    let before = [(100, subscribed(None, at(1, 0))), (200, message(at(1, 1)))];
    let run = |event: &[(Millis, ClientEvent)]| evidence(&[&before[..], event].concat(), &[]);
    assert_eq!(each_window_is_told_lost(&run(&[])).len(), 1);
    let told = [(3_000, lost(WINDOW, Some(at(2, 0))))];
    assert!(each_window_is_told_lost(&run(&told)).is_empty());
    let refused = [(3_000, subscribed(Some(false), at(2, 0)))];
    assert!(each_window_is_told_lost(&run(&refused)).is_empty());
    let left = [(1_500, ClientEvent::Ended { topic: WINDOW })];
    assert!(each_window_is_told_lost(&run(&left)).is_empty());
    let recovered = [(3_000, subscribed(Some(true), at(1, 1)))];
    assert_eq!(each_window_is_told_lost(&run(&recovered)).len(), 1);
}

#[test]
fn a_run_in_which_no_one_was_told_lost_is_found() {
    let with = evidence(&[(3_000, lost(WINDOW, Some(at(2, 0))))], &[]);
    let without = evidence(&[(3_000, lost(OFF, None))], &[]);
    for (evidence, with_history) in [(&with, true), (&without, false)] {
        assert!(some_are_told_lost(evidence, with_history).is_empty());
        assert_eq!(some_are_told_lost(evidence, !with_history).len(), 1);
    }
}

#[test]
fn a_node_that_grows_and_feeds_that_change_are_found() {
    let mut evidence = evidence(&[], &[]);
    evidence.memory = vec![(500, 0, 1_000), (1_500, 0, 1_100)];
    assert!(memory_grows_at_most(&evidence, 100).is_empty());
    assert_eq!(memory_grows_at_most(&evidence, 99).len(), 1);
    evidence.feeds = vec![vec![1, 2], vec![1, 2]];
    assert!(feeds_stay(&evidence).is_empty());
    evidence.feeds.push(vec![1, 3]);
    assert_eq!(feeds_stay(&evidence).len(), 1);
    // A run that noted no feeds proves nothing.
    evidence.feeds.clear();
    assert_eq!(feeds_stay(&evidence).len(), 1);
}

fn said(evidence: &mut Evidence, time: Millis, node: usize, line: &str) {
    evidence.said.push((time, node, line.to_owned()));
}

#[test]
fn a_node_that_does_not_say_down_or_connected_is_found() {
    let mut evidence = evidence(&[], &[]);
    for node in 0..3 {
        said(&mut evidence, 500, node, " INFO connected server=a");
        said(&mut evidence, 1_100, node, " WARN lost the server server=a");
    }
    assert_eq!(each_node_says_down(&evidence, 200).len(), 3);
    for node in 0..3 {
        said(&mut evidence, 1_200, node, " INFO connected server=a");
    }
    assert!(each_node_says_down(&evidence, 200).is_empty());
    assert_eq!(each_node_says_down(&evidence, 99).len(), 3);
    evidence.said.retain(|(_, node, _)| *node != 1);
    assert_eq!(each_node_says_down(&evidence, 200).len(), 1);
}

#[test]
fn what_a_node_or_a_client_notices_of_a_fault_elsewhere_is_found() {
    for (node, found) in [(0, 0), (1, 1)] {
        let mut logged = evidence(&[], &[]);
        logged.struck.insert(0);
        said(&mut logged, 1_100, node, " WARN lost the server server=a");
        assert_eq!(others_see_nothing(&logged).len(), found);
        for event in [ClientEvent::Disconnected, lost(OFF, None)] {
            let mut told = evidence(&[(1_500, event)], &[]);
            told.struck.insert(0);
            told.clients[0].nodes = vec![(0, 1 - node), (1_400, node), (1_600, 1 - node)];
            assert_eq!(others_see_nothing(&told).len(), found, "{event:?}");
        }
    }
}

#[test]
fn a_server_that_did_not_say_what_proves_the_fault_is_found() {
    let mut evidence = evidence(&[], &[]);
    evidence.server_logs = vec!["the limit was met".to_owned()];
    assert!(a_server_says(&evidence, "limit").is_empty());
    assert_eq!(a_server_says(&evidence, "cut").len(), 1);
}

#[test]
fn the_time_for_which_a_ghost_was_listed_is_told() {
    let mut evidence = evidence(&[], &[]);
    assert_eq!(longest_ghost(&evidence), None);
    let entered = |member, node| PresenceEvent::Entered {
        topic: WINDOW,
        member,
        node,
    };
    let listed = |members: &[u64]| PresenceEvent::Members {
        topic: WINDOW,
        members: members.to_vec(),
        settled: false,
    };
    evidence.presence = vec![
        (10, entered(1, 0)),
        (20, entered(2, 1)),
        (100, PresenceEvent::Died { node: 0 }),
        (110, listed(&[1, 2])),
        (150, listed(&[2])),
    ];
    let told = longest_ghost(&evidence);
    assert!(told.is_some_and(|told| told.contains("last listed 10 ms")));
}
