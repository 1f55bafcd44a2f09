//! The memory of a model server: the algorithms of publishing and reading, as the scripts of a networked engine have them.

use std::collections::BTreeMap;

use sockeye_pubsub::engine::Since;
use sockeye_pubsub::{Body, Entry, Epoch, History, Kept, MessageId, Position};

/// A time of a run, in microseconds.
pub(crate) type Time = u64;

/// What a server stores.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) metas: BTreeMap<usize, Meta>,
    pub(crate) streams: BTreeMap<usize, Vec<(Time, Entry)>>,
    keys: BTreeMap<(usize, u64), Position>,
}

/// The newest position of a topic, and its value if it keeps only that.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) top: Position,
    value: Option<Entry>,
}

/// What a publish did.
#[derive(Debug)]
pub(crate) enum Published {
    Stored(Entry),
    /// The key was used before, for the message at this position.
    Again(Position),
}

/// One page of a read.
#[derive(Debug)]
pub(crate) enum Page {
    Whole(Vec<Entry>, Position),
    /// There is more behind the last entry.
    More(Vec<Entry>),
    Lost(Position),
    None(Position),
}

impl Memory {
    pub(crate) fn publish(
        &mut self,
        now: Time,
        (topic, history): (usize, History),
        (id, body): (MessageId, Body),
        key: Option<u64>,
        fresh: Epoch,
    ) -> Published {
        if let Some(&at) = key.and_then(|key| self.keys.get(&(topic, key))) {
            return Published::Again(at);
        }
        self.begin(topic, fresh);
        let meta = self.metas.get_mut(&topic).expect("it was begun");
        let entry = Entry {
            position: meta.top.next(id),
            previous: meta.top.id,
            body,
        };
        meta.top = entry.position;
        match history.kept() {
            Kept::Window { count, .. } => {
                let stream = self.streams.entry(topic).or_default();
                stream.push((now, entry.clone()));
                let most = usize::try_from(count).expect("a small window");
                let old = stream.len().saturating_sub(most);
                stream.drain(..old);
            }
            Kept::Latest { .. } => meta.value = Some(entry.clone()),
            Kept::Off => unreachable!("not stored"),
        }
        if let Some(key) = key {
            self.keys.insert((topic, key), entry.position);
        }
        Published::Stored(entry)
    }

    /// Begins an epoch if the topic has none. A stream that outlived its meta is dropped.
    fn begin(&mut self, topic: usize, fresh: Epoch) {
        if !self.metas.contains_key(&topic) {
            self.streams.remove(&topic);
            let meta = Meta {
                top: Position::start(fresh),
                value: None,
            };
            self.metas.insert(topic, meta);
        }
    }

    /// Reads a page of at most `most` messages.
    pub(crate) fn page(
        &mut self,
        now: Time,
        topic: usize,
        history: History,
        since: Since,
        (fresh, most): (Epoch, usize),
    ) -> Page {
        self.begin(topic, fresh);
        let meta = &self.metas[&topic];
        let top = meta.top;
        if let (Kept::Latest { .. }, false) = (history.kept(), since == Since::Top) {
            let known = match since {
                Since::After(position) => position.id,
                _ => None,
            };
            return match &meta.value {
                None => Page::None(top),
                Some(value) if value.position.id == known => Page::Whole(Vec::new(), top),
                Some(value) => Page::Whole(vec![value.clone()], top),
            };
        }
        let Kept::Window { count, age, bytes } = history.kept() else {
            return Page::Whole(Vec::new(), top);
        };
        let age = u64::try_from(age.as_micros()).expect("a short window");
        let stream = self.streams.get(&topic).map_or(&[][..], Vec::as_slice);
        let is_young = |time: Time| now - time < age;
        let (start, wanted, is_recent) = match since {
            Since::Top => return Page::Whole(Vec::new(), top),
            Since::Recent(number) => {
                let mut expected = top;
                let mut room = bytes;
                let mut start = None;
                for (time, entry) in stream.iter().rev().take(number as usize) {
                    let len = entry.body.len();
                    if entry.position != expected || !is_young(*time) || len > room {
                        break;
                    }
                    room -= len;
                    expected = entry.before();
                    start = Some((entry.position.offset, entry.previous));
                }
                let Some((start, wanted)) = start else {
                    return Page::Whole(Vec::new(), top);
                };
                (start, wanted, true)
            }
            Since::After(position) => {
                if position.epoch != top.epoch || position.offset > top.offset {
                    return Page::Lost(top);
                }
                if position.offset == top.offset {
                    return if position.id == top.id {
                        Page::Whole(Vec::new(), top)
                    } else {
                        Page::Lost(top)
                    };
                }
                if top.offset - position.offset > u64::from(count) {
                    return Page::Lost(top);
                }
                (position.offset + 1, position.id, false)
            }
        };
        let from = stream
            .iter()
            .position(|(_, entry)| entry.position.offset == start);
        let Some(from) = from.filter(|&from| is_recent || is_young(stream[from].0)) else {
            return Page::Lost(top);
        };
        let mut before = Position {
            offset: start - 1,
            id: wanted,
            ..top
        };
        let mut entries = Vec::new();
        for (_, entry) in stream[from..].iter().take(most) {
            if entry.before() != before {
                return Page::Lost(top);
            }
            before = entry.position;
            entries.push(entry.clone());
        }
        if before == top {
            Page::Whole(entries, top)
        } else {
            Page::More(entries)
        }
    }

    pub(crate) fn top(&self, topic: usize) -> Option<Position> {
        self.metas.get(&topic).map(|meta| meta.top)
    }

    /// Returns the position of the latest value, if there is one.
    pub(crate) fn value(&self, topic: usize) -> Option<Position> {
        let value = self.metas.get(&topic)?.value.as_ref()?;
        Some(value.position)
    }

    /// Takes over what another server has of a topic.
    pub(crate) fn copy(&mut self, other: &Self, topic: usize) {
        copy(&mut self.metas, &other.metas, topic);
        copy(&mut self.streams, &other.streams, topic);
        self.keys.retain(|key, _| key.0 != topic);
        let keys = other.keys.iter().filter(|(key, _)| key.0 == topic);
        self.keys.extend(keys.map(|(key, at)| (*key, *at)));
    }
}

fn copy<V: Clone>(mine: &mut BTreeMap<usize, V>, other: &BTreeMap<usize, V>, topic: usize) {
    match other.get(&topic) {
        Some(value) => mine.insert(topic, value.clone()),
        None => mine.remove(&topic),
    };
}
