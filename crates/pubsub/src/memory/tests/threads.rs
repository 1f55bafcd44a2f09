//! Many threads at one engine.

use std::thread;

use super::world::{World, name};
use super::{HOUR, three};
use crate::engine::Since;
use crate::memory::MemoryLimits;
use crate::policy::History;
use crate::publication::Delivered;

#[test]
fn messages_of_many_threads_are_delivered_in_the_order_of_their_positions() {
    let world = World::new();
    world.engine.listen(&name("a")).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    world.publish("a", "1", three());
                }
            });
        }
    });
    let mut last = None;
    let entries = world.entries();
    assert_eq!(entries.len(), 2000);
    for (offset, delivered) in (1..).zip(entries) {
        let Delivered::Entry(entry) = delivered else {
            panic!("the topic has a history");
        };
        assert_eq!(entry.position.offset, offset);
        assert_eq!(entry.previous, last);
        last = entry.position.id;
    }
}

#[test]
fn many_threads_exceed_no_limit_and_lose_no_count() {
    let limits = MemoryLimits::default().max_history(49 * 20).max_topics(8);
    let world = World::with(limits);
    let history = History::window(10, HOUR);
    thread::scope(|scope| {
        for thread in 0..4 {
            let world = &world;
            scope.spawn(move || {
                for step in 0..500 {
                    let topic = format!("t/{}", (step * 7 + thread) % 12);
                    match step % 5 {
                        0 => drop(world.engine.listen(&name(&topic))),
                        1 => world.engine.unlisten(&topic),
                        2 => {
                            let since = Since::Recent(99);
                            drop(world.engine.catch_up(&name(&topic), since, history));
                        }
                        _ => drop(
                            world
                                .engine
                                .publish(&topic, world.publication("1"), history),
                        ),
                    }
                    assert!(world.engine.topics() <= 8);
                }
            });
        }
    });
    assert!(world.engine.history_bytes() <= 49 * 20);
    let counted = (world.engine.topics(), world.engine.history_bytes());
    assert_eq!(world.engine.count_again(), counted);
}
