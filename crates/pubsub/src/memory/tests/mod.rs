//! The memory engine: what is published, and what comes out.

mod limits;
mod model;
mod threads;
mod world;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sockeye_proto::Message;

use self::world::{World, name, node, text};
use crate::engine::{
    Catchup, Engine, EngineErrorKind, EngineState, Member, MemberId, NodeId, Since, WasPublished,
};
use crate::policy::History;
use crate::position::{Epoch, MessageId, Position};
use crate::publication::{Body, Delivered, KeyScope, Publication};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A window of three messages of an hour.
fn three() -> History {
    History::window(3, HOUR)
}

#[test]
fn a_message_without_history_is_delivered_if_something_listens() {
    let world = World::new();
    let publish = |text| {
        let publication = world.publication(text);
        let id = publication.id;
        let answer = world.engine.publish("a", publication, History::off());
        assert_eq!(answer, Ok(None));
        id
    };
    publish("unheard");
    world.engine.listen(&name("a")).unwrap();
    let id = publish("heard");
    world.engine.unlisten("a");
    publish("unheard");
    let [
        Delivered::Unstored {
            id: delivered,
            body,
        },
    ] = &world.entries()[..]
    else {
        panic!("one message was heard");
    };
    assert_eq!((*delivered, text(body)), (id, "heard".to_owned()));
    assert_eq!(world.engine.top("a"), None);
    assert_eq!(world.engine.topics(), 0);
}

#[test]
fn each_message_with_history_names_the_one_before_it() {
    let world = World::new();
    world.engine.listen(&name("a")).unwrap();
    let first = world.publish("a", "1", three());
    let second = world.publish("a", "2", three());
    assert_eq!((first.offset, second.offset), (1, 2));
    assert_eq!(first.epoch, second.epoch);
    let entries = world.entries();
    let [Delivered::Entry(one), Delivered::Entry(two)] = &entries[..] else {
        panic!("two messages were heard");
    };
    assert_eq!((one.position, one.previous), (first, None));
    assert_eq!((two.position, two.previous), (second, first.id));
    assert_eq!(world.engine.top("a"), Some(second));
}

#[test]
fn a_message_with_history_is_kept_if_nothing_listens() {
    let world = World::new();
    world.publish("a", "1", three());
    assert_eq!(world.delivered(), []);
    assert_eq!(world.texts("a", Since::Recent(9), three()), ["1"]);
}

#[test]
fn only_topics_that_are_listened_to_are_delivered() {
    let world = World::new();
    world.engine.listen(&name("a")).unwrap();
    world.publish("b", "1", three());
    world.publish("a", "2", three());
    assert_eq!(world.delivered(), [("a".to_owned(), "2".to_owned())]);
}

#[test]
fn the_kind_of_a_message_and_its_compression_are_kept() {
    let world = World::new();
    let bodies = [
        (Message::binary(vec![0xff, 0]), true),
        (Message::text("é"), false),
        (Message::binary(Bytes::new()), false),
    ];
    for (id, (message, compressible)) in (1..).zip(bodies.clone()) {
        let publication = Publication {
            id: MessageId::new(id),
            body: Body {
                message,
                compressible,
            },
            key: None,
        };
        world.engine.publish("a", publication, three()).unwrap();
    }
    let Catchup::Whole { entries, .. } = world.read("a", Since::Recent(9), three()) else {
        panic!("the window is whole");
    };
    let read = entries
        .into_iter()
        .map(|entry| (entry.body.message, entry.body.compressible));
    assert!(read.eq(bodies));
}

#[test]
fn a_window_keeps_the_newest_messages_up_to_its_count() {
    let world = World::new();
    for text in ["1", "2", "3", "4"] {
        world.publish("a", text, three());
    }
    assert_eq!(world.texts("a", Since::Recent(9), three()), ["2", "3", "4"]);
    assert_eq!(world.texts("a", Since::Recent(2), three()), ["3", "4"]);
    assert_eq!(world.texts("a", Since::Recent(0), three()), [""; 0]);
    assert_eq!(world.texts("a", Since::Top, three()), [""; 0]);
}

#[test]
fn a_window_keeps_messages_that_are_younger_than_its_age() {
    let world = World::new();
    world.publish("a", "1", three());
    world.wait(HOUR / 2);
    world.publish("a", "2", three());
    world.wait(HOUR / 2 - Duration::from_millis(1));
    assert_eq!(world.texts("a", Since::Recent(9), three()), ["1", "2"]);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.texts("a", Since::Recent(9), three()), ["2"]);
    world.wait(HOUR);
    assert_eq!(world.texts("a", Since::Recent(9), three()), [""; 0]);
}

#[test]
fn a_window_keeps_its_bytes_counted_back_from_the_newest_message() {
    let world = World::new();
    let ten_bytes = History::window(100, HOUR).bytes(10);
    for text in ["aaaa", "bbbb", "cccc"] {
        world.publish("a", text, ten_bytes);
    }
    assert_eq!(
        world.texts("a", Since::Recent(9), ten_bytes),
        ["bbbb", "cccc"]
    );
    world.publish("a", "dddddddddd", ten_bytes);
    assert_eq!(
        world.texts("a", Since::Recent(9), ten_bytes),
        ["dddddddddd"]
    );
    world.publish("a", "", ten_bytes);
    assert_eq!(
        world.texts("a", Since::Recent(9), ten_bytes),
        ["dddddddddd", ""]
    );
}

#[test]
fn a_position_is_recovered_on_both_sides_of_the_limit() {
    let world = World::new();
    let positions: Vec<_> = ["1", "2", "3", "4", "5"]
        .map(|text| world.publish("a", text, three()))
        .into();
    let after = |index: usize| world.texts("a", Since::After(positions[index]), three());
    assert_eq!(after(0), ["lost"]);
    assert_eq!(after(1), ["3", "4", "5"]);
    assert_eq!(after(3), ["5"]);
    assert_eq!(after(4), [""; 0]);
    let start = Position::start(positions[0].epoch);
    assert_eq!(world.texts("a", Since::After(start), three()), ["lost"]);
}

#[test]
fn a_topic_that_is_read_before_its_first_message_recovers_from_its_start() {
    let world = World::new();
    let Catchup::Whole { before, top, .. } = world.read("a", Since::Top, three()) else {
        panic!("the top is whole");
    };
    assert_eq!((before, top.offset, top.id), (top, 0, None));
    assert_eq!(world.engine.top("a"), Some(top));
    assert_eq!(world.texts("a", Since::After(top), three()), [""; 0]);
    world.publish("a", "1", three());
    assert_eq!(world.texts("a", Since::After(top), three()), ["1"]);
}

#[test]
fn a_position_of_another_branch_is_lost() {
    let world = World::new();
    let first = world.publish("a", "1", three());
    let top = world.publish("a", "2", three());
    let other = Some(MessageId::new(99));
    for wrong in [
        Position {
            epoch: Epoch::new(5),
            ..first
        },
        Position { id: other, ..first },
        Position { id: other, ..top },
        Position {
            offset: 3,
            id: other,
            ..top
        },
        Position {
            offset: u64::MAX,
            ..top
        },
    ] {
        let read = world.read("a", Since::After(wrong), three());
        assert_eq!(read, Catchup::Lost { top }, "{wrong}");
    }
}

#[test]
fn a_position_at_the_top_is_recovered_after_all_messages_have_become_too_old() {
    let world = World::new();
    let top = world.publish("a", "1", three());
    world.wait(HOUR);
    world.engine.prune(world.now());
    assert_eq!(world.engine.history_bytes(), 0);
    assert_eq!(world.texts("a", Since::After(top), three()), [""; 0]);
    world.publish("a", "2", three());
    assert_eq!(world.texts("a", Since::After(top), three()), ["2"]);
}

#[test]
fn a_topic_of_the_latest_value_keeps_one_message() {
    let world = World::new();
    let first = world.publish("a", "1", History::latest());
    assert_eq!(world.engine.history_bytes(), 1 + 48);
    let second = world.publish("a", "22", History::latest());
    assert_eq!(world.engine.history_bytes(), 2 + 48);
    assert_eq!(
        world.texts("a", Since::Recent(9), History::latest()),
        ["22"]
    );
    assert_eq!(
        world.texts("a", Since::After(first), History::latest()),
        ["22"]
    );
    assert_eq!(
        world.texts("a", Since::After(second), History::latest()),
        [""; 0]
    );
    assert_eq!(world.texts("a", Since::Top, History::latest()), [""; 0]);
}

#[test]
fn the_latest_value_is_compared_by_its_id_whatever_the_epoch() {
    let world = World::new();
    let top = world.publish("a", "1", History::latest());
    let foreign = Position {
        epoch: Epoch::new(5),
        offset: 99,
        ..top
    };
    assert_eq!(
        world.texts("a", Since::After(foreign), History::latest()),
        [""; 0]
    );
    let other = Position {
        id: Some(MessageId::new(99)),
        ..foreign
    };
    assert_eq!(
        world.texts("a", Since::After(other), History::latest()),
        ["1"]
    );
}

#[test]
fn the_latest_value_lives_for_its_time() {
    let world = World::new();
    let history = History::latest().ttl(10 * SECOND);
    let top = world.publish("a", "1", history);
    world.wait(10 * SECOND - Duration::from_millis(1));
    assert_eq!(world.texts("a", Since::Recent(1), history), ["1"]);
    world.wait(Duration::from_millis(1));
    assert_eq!(
        world.read("a", Since::Recent(1), history),
        Catchup::None { top }
    );
    assert_eq!(
        world.read("a", Since::After(top), history),
        Catchup::None { top }
    );
    assert_eq!(world.texts("a", Since::Top, history), [""; 0]);
}

#[test]
fn a_topic_that_never_had_a_latest_value_has_none() {
    let world = World::new();
    let read = world.read("a", Since::Recent(1), History::latest());
    assert!(matches!(read, Catchup::None { top } if top.offset == 0));
}

#[test]
fn a_repeated_key_publishes_nothing_and_answers_the_first_position() {
    let world = World::new();
    world.engine.listen(&name("a")).unwrap();
    let publish = |text, scope, key| {
        let answer = world.publish_with("a", text, (scope, key), three());
        answer.unwrap().unwrap()
    };
    let first = publish("1", KeyScope::Server, "k");
    assert_eq!(publish("again", KeyScope::Server, "k"), first);
    assert_ne!(publish("2", KeyScope::Client, "k"), first);
    assert_ne!(publish("3", KeyScope::Server, "l"), first);
    world.wait(300 * SECOND);
    assert_ne!(publish("4", KeyScope::Server, "k"), first);
    let texts = world.delivered().into_iter().map(|(_, text)| text);
    assert!(texts.eq(["1", "2", "3", "4"]));
}

#[test]
fn a_key_without_history_is_refused() {
    let world = World::new();
    let error = world
        .publish_with("a", "1", (KeyScope::Server, "k"), History::off())
        .unwrap_err();
    assert_eq!(error.published, WasPublished::No);
    assert_eq!(
        error.to_string(),
        "the engine refused the request: a topic without history has no keys"
    );
}

#[test]
fn a_topic_is_forgotten_an_hour_after_its_last_message_has_become_too_old() {
    let world = World::new();
    let position = world.publish("a", "1", three());
    world.wait(2 * HOUR - Duration::from_millis(1));
    world.engine.prune(world.now());
    assert_eq!(world.engine.top("a"), Some(position));
    world.wait(65 * SECOND);
    world.engine.prune(world.now());
    assert_eq!(world.engine.top("a"), None);
    assert_eq!(world.engine.topics(), 0);
    assert_ne!(world.publish("a", "2", three()).epoch, position.epoch);
}

#[test]
fn a_topic_that_something_listens_to_is_not_forgotten() {
    let world = World::new();
    world.engine.listen(&name("a")).unwrap();
    let position = world.publish("a", "1", three());
    world.wait(100 * HOUR);
    world.engine.prune(world.now());
    assert_eq!(world.engine.top("a"), Some(position));
    assert_eq!(world.engine.history_bytes(), 0);
    world.engine.unlisten("a");
    world.wait(65 * SECOND);
    world.engine.prune(world.now());
    assert_eq!(world.engine.topics(), 0);
}

#[test]
fn pruning_drops_old_messages_and_says_when_it_wants_to_be_called_again() {
    let world = World::new();
    let next = world.engine.prune(world.now());
    assert_eq!(next, world.now() + 64 * SECOND);
    for index in 0..200 {
        world.publish(&format!("t/{index}"), "1", three());
    }
    assert_eq!(world.engine.history_bytes(), 200 * 49);
    world.wait(HOUR);
    // Each shard has its turn once in 64 seconds.
    let end = world.now() + 64 * SECOND;
    let mut calls = 0;
    while world.now() < end {
        let next = world.engine.prune(world.now());
        assert!(next > world.now());
        world.wait(next - world.now());
        calls += 1;
    }
    assert_eq!(world.engine.history_bytes(), 0);
    assert!((30..=65).contains(&calls), "{calls}");
}

#[test]
fn listening_twice_is_listening_once() {
    let world = World::new();
    world.engine.listen(&name("a")).unwrap();
    world.engine.listen(&name("a")).unwrap();
    assert_eq!(world.engine.topics(), 1);
    world.publish("a", "1", three());
    assert_eq!(world.delivered().len(), 1);
    world.engine.unlisten("a");
    world.engine.unlisten("a");
    assert_eq!(world.engine.topics(), 1);
    world.publish("a", "2", three());
    assert_eq!(world.delivered().len(), 0);
}

#[test]
fn a_signal_comes_back_from_this_node() {
    let world = World::new();
    world.engine.send_signal("evict".into()).unwrap();
    assert_eq!(world.record.signals(), [(NodeId(7), Bytes::from("evict"))]);
    assert_eq!(world.record.nodes(), [node()]);
}

#[test]
fn an_engine_that_has_not_been_started_or_has_been_stopped_refuses_everything() {
    let world = World::new();
    assert_eq!(world.engine.state(), EngineState::Ready);
    world.engine.end();
    let publication = world.publication("1");
    let error = world.engine.publish("a", publication, three()).unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Unavailable);
    assert_eq!(error.published, WasPublished::No);
    assert!(world.engine.listen(&name("a")).is_err());
    assert!(
        world
            .engine
            .catch_up(&name("a"), Since::Top, three())
            .is_err()
    );
    assert!(world.engine.send_signal(Bytes::new()).is_err());
    assert_eq!(world.engine.topics(), 0);
}

#[test]
fn an_engine_is_started_once() {
    let world = World::new();
    let error = world
        .engine
        .begin(node(), world.record.clone())
        .unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Rejected);
}

#[test]
fn a_topic_without_history_is_not_read() {
    let world = World::new();
    let error = world
        .engine
        .catch_up(&name("a"), Since::Top, History::off())
        .unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Unsupported);
    assert_eq!(world.engine.topics(), 0);
}

#[test]
fn text_that_is_not_the_name_of_a_topic_gets_no_history() {
    let world = World::new();
    let error = world
        .engine
        .publish("a//b", world.publication("1"), three())
        .unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::Rejected);
    assert_eq!(world.engine.topics(), 0);
}

#[test]
fn members_come_and_go() {
    let world = World::new();
    let member = |id, info: &str| Member {
        id: MemberId(id),
        info: Some(info.into()),
        principal: None,
        since: 1,
    };
    let (room, engine) = (name("room"), &world.engine);
    engine.enter(&room, &[member(2, "b"), member(1, "a"), member(3, "c")]);
    engine.enter(&room, &[member(3, "new")]);
    assert_eq!(
        engine.members(&room, 9),
        [member(1, "a"), member(2, "b"), member(3, "new")]
    );
    assert_eq!(engine.members(&room, 2), [member(1, "a"), member(2, "b")]);
    assert_eq!(engine.count(&room), 3);
    engine.leave(&room, &[MemberId(1), MemberId(9)]);
    assert_eq!(engine.count(&room), 2);
    engine.leave(&room, &[MemberId(2), MemberId(3)]);
    assert_eq!((engine.count(&room), engine.members(&room, 9)), (0, vec![]));
}

#[test]
fn members_that_are_only_counted_are_a_number() {
    let world = World::new();
    let room = name("room");
    world.engine.set_count(&room, 5);
    assert_eq!(world.engine.count(&room), 5);
    world.engine.set_count(&room, 0);
    assert_eq!(world.engine.count(&room), 0);
}

#[test]
fn a_publish_whose_future_is_never_polled_publishes_nothing() {
    let world = World::new();
    let engine: Arc<dyn Engine> = Arc::new(world.engine);
    let topic = name("a");
    let publication = Publication {
        id: MessageId::new(1),
        body: Body {
            message: Message::text("1"),
            compressible: true,
        },
        key: None,
    };
    drop(engine.publish(&topic, publication.clone(), three()));
    let topics = [topic.clone()];
    assert_eq!(poll(engine.tops(&topics)), Ok(vec![None]));
    let position = poll(engine.publish(&topic, publication, three())).unwrap();
    assert_eq!(poll(engine.tops(&topics)), Ok(vec![position]));
}

/// The answer of a future that ends at the first poll.
fn poll<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("the engine waits for nothing"),
    }
}
