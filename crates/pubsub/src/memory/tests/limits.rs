//! What goes when a limit of the engine is reached.

use super::world::{World, name};
use super::{HOUR, SECOND, three};
use crate::engine::{Engine, EngineErrorKind, Since};
use crate::memory::MemoryLimits;
use crate::policy::History;
use crate::publication::KeyScope;

/// An engine with room for this many messages of one byte.
fn room_for(messages: usize) -> World {
    World::with(MemoryLimits::default().max_history(messages * 49))
}

fn topics(number: usize) -> World {
    World::with(MemoryLimits::default().max_topics(number))
}

/// A window of so many messages that only the limits of the engine count.
fn wide() -> History {
    History::window(10_000, HOUR)
}

#[test]
fn beyond_the_bytes_the_topic_goes_that_had_no_message_for_the_longest_time() {
    let world = room_for(3);
    let oldest = world.publish("a", "1", wide());
    world.wait(SECOND);
    world.publish("b", "2", wide());
    world.wait(SECOND);
    world.publish("c", "3", wide());
    assert_eq!(world.engine.history_bytes(), 3 * 49);
    world.wait(SECOND);
    world.publish("b", "4", wide());
    assert_eq!(world.engine.history_bytes(), 3 * 49);
    assert_eq!(world.engine.topics(), 2);
    assert_eq!(world.engine.top("a"), None);
    assert_eq!(world.texts("b", Since::Recent(9), wide()), ["2", "4"]);
    // Its clients hear that messages are missing.
    assert_eq!(world.texts("a", Since::After(oldest), wide()), ["lost"]);
}

#[test]
fn a_topic_that_something_listens_to_does_not_go() {
    let world = room_for(2);
    world.engine.listen(&name("a")).unwrap();
    let heard = world.publish("a", "1", wide());
    world.wait(SECOND);
    world.publish("b", "2", wide());
    world.wait(SECOND);
    world.publish("c", "3", wide());
    assert_eq!(world.engine.top("a"), Some(heard));
    assert_eq!(world.engine.top("b"), None);
    assert_eq!(world.texts("a", Since::Recent(9), wide()), ["1"]);
}

#[test]
fn a_topic_without_messages_stays_when_bytes_are_wanted() {
    let world = room_for(2);
    world.read("empty", Since::Top, wide());
    let empty = world.engine.top("empty");
    world.wait(SECOND);
    for topic in ["a", "b", "c"] {
        world.publish(topic, "1", wide());
        world.wait(SECOND);
    }
    assert_eq!(world.engine.top("empty"), empty);
    assert_eq!(world.engine.top("a"), None);
}

#[test]
fn the_only_topic_loses_its_oldest_messages_and_keeps_its_epoch() {
    let world = room_for(3);
    let first = world.publish("a", "1", wide());
    for text in ["2", "3", "4", "5"] {
        world.publish("a", text, wide());
    }
    assert_eq!(world.texts("a", Since::Recent(9), wide()), ["3", "4", "5"]);
    assert_eq!(world.engine.top("a").unwrap().epoch, first.epoch);
    assert_eq!(world.engine.history_bytes(), 3 * 49);
}

#[test]
fn if_something_listens_to_all_topics_the_largest_window_loses_its_oldest_messages() {
    let world = room_for(20);
    for topic in ["small", "large"] {
        world.engine.listen(&name(topic)).unwrap();
    }
    for _ in 0..16 {
        world.publish("large", "L", wide());
    }
    for _ in 0..6 {
        world.publish("small", "s", wide());
    }
    assert_eq!(world.engine.history_bytes(), 20 * 49);
    assert_eq!(world.texts("small", Since::Recent(99), wide()).len(), 6);
    assert_eq!(world.texts("large", Since::Recent(99), wide()).len(), 14);
}

#[test]
fn a_message_that_is_larger_than_the_limit_is_delivered_and_not_kept() {
    let world = room_for(1);
    world.engine.listen(&name("a")).unwrap();
    let position = world.publish("a", "22", wide());
    assert_eq!(world.delivered().len(), 1);
    assert_eq!(world.engine.history_bytes(), 0);
    assert_eq!(world.engine.top("a"), Some(position));
    assert_eq!(world.texts("a", Since::After(position), wide()), [""; 0]);
}

#[test]
fn beyond_the_number_of_topics_the_topic_goes_that_had_no_message_for_the_longest_time() {
    let world = topics(2);
    world.publish("a", "1", three());
    world.wait(SECOND);
    world.publish("b", "2", three());
    world.wait(SECOND);
    world.publish("a", "3", three());
    world.publish("c", "4", three());
    assert_eq!(world.engine.topics(), 2);
    assert_eq!(world.engine.top("b"), None);
    assert!(world.engine.top("a").is_some() && world.engine.top("c").is_some());
}

#[test]
fn the_keys_of_a_topic_go_with_it() {
    let world = topics(1);
    let publish = || {
        let key = (KeyScope::Server, "k");
        let answer = world.publish_with("a", "1", key, three());
        answer.unwrap().unwrap()
    };
    let first = publish();
    assert_eq!(publish(), first);
    world.publish("b", "2", three());
    let again = publish();
    assert_eq!(again.offset, 1);
    assert_ne!(again.epoch, first.epoch);
    assert_eq!(publish(), again);
}

#[test]
fn a_topic_that_is_heard_or_read_makes_room_for_itself_too() {
    let world = topics(1);
    world.publish("a", "1", three());
    world.engine.listen(&name("b")).unwrap();
    assert_eq!((world.engine.top("a"), world.engine.topics()), (None, 1));
    world.engine.unlisten("b");
    world.read("c", Since::Top, three());
    world.read("d", Since::Top, three());
    assert_eq!((world.engine.top("c"), world.engine.topics()), (None, 1));
}

#[test]
fn if_something_listens_to_all_topics_a_new_one_is_refused() {
    let world = topics(2);
    world.engine.listen(&name("a")).unwrap();
    world.engine.listen(&name("b")).unwrap();
    let listen = world.engine.listen(&name("c")).unwrap_err();
    let read = world.engine.catch_up(&name("c"), Since::Top, three());
    let publication = world.publication("1");
    let publish = world.engine.publish("c", publication, three());
    for error in [listen, read.unwrap_err(), publish.unwrap_err()] {
        assert_eq!(error.kind, EngineErrorKind::Full);
        assert_eq!(
            error.to_string(),
            "the engine is full: there are as many topics as the limit allows, and something listens to each"
        );
    }
    world.publish("a", "1", three());
    world.engine.listen(&name("a")).unwrap();
    assert_eq!(world.engine.topics(), 2);
    world.engine.unlisten("b");
    world.engine.listen(&name("c")).unwrap();
}

#[test]
fn a_topic_without_history_that_nothing_listens_to_needs_no_room() {
    let world = topics(1);
    world.engine.listen(&name("a")).unwrap();
    for index in 0..10 {
        let publication = world.publication("1");
        let topic = format!("t/{index}");
        let answer = world.engine.publish(&topic, publication, History::off());
        assert_eq!(answer, Ok(None));
    }
    assert_eq!(world.engine.topics(), 1);
}

#[test]
fn a_batch_of_topics_is_listened_to_as_a_whole_or_not_at_all() {
    let world = topics(2);
    world.engine.listen(&name("a")).unwrap();
    let batch = ["a", "b", "c"].map(name);
    let answer = super::poll(Engine::listen(&world.engine, &batch));
    assert_eq!(answer.unwrap_err().kind, EngineErrorKind::Full);
    assert_eq!(world.engine.topics(), 1);
    world.publish("a", "1", three());
    assert_eq!(world.delivered().len(), 1);
}
