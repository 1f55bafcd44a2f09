//! Random operations, against a model that keeps everything in plain vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::world::{World, name, text};
use super::{HOUR, SECOND};
use crate::engine::{Catchup, Since};
use crate::memory::MemoryLimits;
use crate::policy::{History, Kept};
use crate::position::{Epoch, Position};
use crate::publication::KeyScope;

#[derive(Clone, Debug)]
enum Operation {
    Publish {
        topic: usize,
        len: usize,
    },
    PublishKey {
        topic: usize,
        key: usize,
    },
    Listen {
        topic: usize,
    },
    Unlisten {
        topic: usize,
    },
    /// A position that the topic had: the n-th.
    After {
        topic: usize,
        index: usize,
    },
    Recent {
        topic: usize,
        number: u32,
    },
    Wait {
        seconds: u64,
    },
    Prune,
}

const TOPICS: [&str; 4] = ["off", "latest", "window", "other"];

fn history(topic: usize) -> History {
    match topic {
        0 => History::off(),
        1 => History::latest().ttl(50 * SECOND),
        2 => History::window(4, 100 * SECOND).bytes(30),
        _ => History::window(20, HOUR).bytes(100),
    }
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let topic = 0..TOPICS.len();
    prop_oneof![
        6 => (topic.clone(), 0..12usize).prop_map(|(topic, len)| Operation::Publish { topic, len }),
        2 => (1..TOPICS.len(), 0..3usize).prop_map(|(topic, key)| Operation::PublishKey { topic, key }),
        1 => topic.clone().prop_map(|topic| Operation::Listen { topic }),
        1 => topic.prop_map(|topic| Operation::Unlisten { topic }),
        4 => (1..TOPICS.len(), 0..30usize).prop_map(|(topic, index)| Operation::After { topic, index }),
        2 => (1..TOPICS.len(), 0..6u32).prop_map(|(topic, number)| Operation::Recent { topic, number }),
        3 => prop_oneof![0..5u64, 20..90u64, 1000..8000u64].prop_map(|seconds| Operation::Wait { seconds }),
        1 => Just(Operation::Prune),
    ]
}

/// All that was ever published in the present epoch of a topic.
#[derive(Default)]
struct Life {
    epoch: Option<Epoch>,
    messages: Vec<Published>,
}

struct Published {
    position: Position,
    text: String,
    at: u64,
}

#[derive(Default)]
struct Model {
    now: u64,
    lives: BTreeMap<usize, Life>,
    heard: BTreeSet<usize>,
    /// Key of a topic → position, and until when.
    keys: BTreeMap<(usize, usize), (Position, u64)>,
    /// All positions that the engine has given out, with those of former epochs.
    given: BTreeMap<usize, Vec<Position>>,
    delivered: Vec<(String, String)>,
}

impl Model {
    /// Notes a position that the engine has given out. A position of another epoch begins another life.
    fn enter(&mut self, topic: usize, position: Position) -> &mut Life {
        self.given.entry(topic).or_default().push(position);
        let life = self.lives.entry(topic).or_default();
        if life.epoch != Some(position.epoch) {
            *life = Life {
                epoch: Some(position.epoch),
                messages: Vec::new(),
            };
        }
        life
    }

    fn published(&mut self, topic: usize, text: String, position: Position) {
        let at = self.now;
        let life = self.enter(topic, position);
        assert_eq!(position.offset, life.messages.len() as u64 + 1);
        life.messages.push(Published {
            position,
            text: text.clone(),
            at,
        });
        if self.heard.contains(&topic) {
            self.delivered.push((TOPICS[topic].to_owned(), text));
        }
    }

    /// The messages that may be read, the oldest first.
    fn readable(&self, topic: usize) -> &[Published] {
        let Some(life) = self.lives.get(&topic) else {
            return &[];
        };
        let (count, age, limit) = match history(topic).kept() {
            Kept::Off => return &[],
            Kept::Latest { ttl } => (1, ttl, usize::MAX),
            Kept::Window { count, age, bytes } => (count as usize, age, bytes),
        };
        let mut bytes = 0;
        let mut readable = 0;
        for message in life.messages.iter().rev() {
            bytes += message.text.len();
            let is_young = Duration::from_secs(self.now - message.at) < age;
            if readable == count || bytes > limit || !is_young {
                break;
            }
            readable += 1;
        }
        &life.messages[life.messages.len() - readable..]
    }

    /// The texts behind a position, or `lost` or `none`.
    fn after(&self, topic: usize, position: Position, top: Position) -> Vec<String> {
        let readable = self.readable(topic);
        let texts = |messages: &[Published]| {
            let texts = messages.iter().map(|message| message.text.clone());
            texts.collect::<Vec<_>>()
        };
        if history(topic).is_latest() {
            return match readable {
                [] => vec!["none".to_owned()],
                [value] if value.position.id == position.id => Vec::new(),
                _ => texts(readable),
            };
        }
        if position == top {
            return Vec::new();
        }
        let first = readable
            .iter()
            .position(|message| message.position.offset == position.offset + 1);
        match first {
            Some(first) if position.epoch == top.epoch => texts(&readable[first..]),
            _ => vec!["lost".to_owned()],
        }
    }
}

fn run(world: &World, operations: Vec<Operation>) {
    let mut model = Model::default();
    for (number, operation) in operations.into_iter().enumerate() {
        match operation {
            Operation::Publish { topic, len } => {
                let text = format!("{number:>len$}");
                if history(topic).is_off() {
                    let publication = world.publication(&text);
                    let answer = world
                        .engine
                        .publish(TOPICS[topic], publication, history(topic));
                    assert_eq!(answer, Ok(None));
                    if model.heard.contains(&topic) {
                        model.delivered.push((TOPICS[topic].to_owned(), text));
                    }
                } else {
                    let position = world.publish(TOPICS[topic], &text, history(topic));
                    model.published(topic, text, position);
                }
            }
            Operation::PublishKey { topic, key } => {
                let text = number.to_string();
                let known = model.keys.get(&(topic, key)).copied();
                let key_text = key.to_string();
                let scope = (KeyScope::Client, &*key_text);
                let answer = world.publish_with(TOPICS[topic], &text, scope, history(topic));
                let position = answer.unwrap().unwrap();
                match known {
                    Some((first, until)) if model.now < until && position.epoch == first.epoch => {
                        assert_eq!(position, first);
                    }
                    _ => {
                        model.published(topic, text, position);
                        model.keys.insert((topic, key), (position, model.now + 60));
                    }
                }
            }
            Operation::Listen { topic } => {
                world.engine.listen(&name(TOPICS[topic])).unwrap();
                model.heard.insert(topic);
            }
            Operation::Unlisten { topic } => {
                world.engine.unlisten(TOPICS[topic]);
                model.heard.remove(&topic);
            }
            Operation::After { topic, index } => {
                let given = model.given.get(&topic).map_or(&[][..], Vec::as_slice);
                let Some(position) = given.get(given.len().saturating_sub(index + 1)).copied()
                else {
                    continue;
                };
                let read = world.read(TOPICS[topic], Since::After(position), history(topic));
                let top = top(&read);
                model.enter(topic, top);
                let expected = model.after(topic, position, top);
                assert_eq!(texts(read), expected, "after {position} at {top}");
            }
            Operation::Recent { topic, number } => {
                let read = world.read(TOPICS[topic], Since::Recent(number), history(topic));
                model.enter(topic, top(&read));
                let readable = model.readable(topic);
                let start = readable.len().saturating_sub(number as usize);
                let mut expected: Vec<_> = readable[start..]
                    .iter()
                    .map(|message| message.text.clone())
                    .collect();
                if history(topic).is_latest() && readable.is_empty() && number > 0 {
                    expected = vec!["none".to_owned()];
                }
                assert_eq!(texts(read), expected);
            }
            Operation::Wait { seconds } => {
                world.wait(Duration::from_secs(seconds));
                model.now += seconds;
            }
            Operation::Prune => {
                world.engine.prune(world.now());
            }
        }
    }
    assert_eq!(world.delivered(), model.delivered);
}

fn top(read: &Catchup) -> Position {
    match read {
        Catchup::Whole { top, .. } | Catchup::Lost { top } | Catchup::None { top } => *top,
    }
}

fn texts(read: Catchup) -> Vec<String> {
    match read {
        Catchup::Whole { entries, .. } => entries.iter().map(|entry| text(&entry.body)).collect(),
        Catchup::Lost { .. } => vec!["lost".to_owned()],
        Catchup::None { .. } => vec!["none".to_owned()],
    }
}

proptest! {
    /// A read yields exactly the messages that were published behind a position, or says that they are lost. It says so
    /// only if the first of them is no longer readable.
    #[test]
    fn each_read_yields_what_was_published_behind_it_or_says_that_it_is_lost(
        operations in prop::collection::vec(any_operation(), 0..120),
    ) {
        run(&World::new(), operations);
    }

    /// Each message is published and read under pressure: reads stay unbroken (`World::read` checks that), and the bytes
    /// and the topics that the engine counts are those that it has.
    #[test]
    fn under_pressure_no_limit_is_exceeded_and_no_read_has_a_hole(
        operations in prop::collection::vec(any_operation(), 0..120),
        max_messages in 1..12usize,
        max_topics in 1..6usize,
    ) {
        let max_history = max_messages * 52;
        let limits = MemoryLimits::default().max_history(max_history).max_topics(max_topics);
        let world = World::with(limits);
        for (number, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Publish { topic, len } => {
                    let publication = world.publication(&format!("{number:>len$}"));
                    let _ = world.engine.publish(TOPICS[topic], publication, history(topic));
                }
                Operation::PublishKey { topic, key } => {
                    let key = key.to_string();
                    let _ = world.publish_with(TOPICS[topic], "k", (KeyScope::Client, &key), history(topic));
                }
                Operation::Listen { topic } => {
                    let _ = world.engine.listen(&name(TOPICS[topic]));
                }
                Operation::Unlisten { topic } => world.engine.unlisten(TOPICS[topic]),
                Operation::After { topic, .. } | Operation::Recent { topic, .. } => {
                    if world.engine.top(TOPICS[topic]).is_some() {
                        world.read(TOPICS[topic], Since::Recent(99), history(topic));
                    }
                }
                Operation::Wait { seconds } => world.wait(Duration::from_secs(seconds)),
                Operation::Prune => {
                    world.engine.prune(world.now());
                }
            }
            prop_assert!(world.engine.history_bytes() <= max_history);
            prop_assert!(world.engine.topics() <= max_topics);
            prop_assert_eq!(world.engine.count_again(), (world.engine.topics(), world.engine.history_bytes()));
        }
        for topic in TOPICS {
            world.engine.unlisten(topic);
        }
        world.wait(48 * HOUR);
        world.engine.prune(world.now());
        prop_assert_eq!(world.engine.count_again(), (0, 0));
        prop_assert_eq!((world.engine.topics(), world.engine.history_bytes()), (0, 0));
    }
}
