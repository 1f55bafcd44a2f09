//! The table of a topic's states, row by row: what happens, and what the engine and the subscribers see of it.

mod flights;
mod live;
mod opening;
mod recovery;
mod refilling;
mod stale;
mod whole;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::*;
use crate::engine::{EngineErrorKind, Since, WasPublished};
use crate::policy::History;
use crate::position::{Epoch, MessageId};
use crate::publication::{Body, Entry};
use crate::surroundings::Surroundings;

/// The name of the topic of most tests.
const ROOM: &str = "room";

/// A hub with a desk of subscribers, and an engine that is played by the test.
pub(super) struct World {
    pub(super) hub: Hub<Desk>,
    history: History,
}

/// Subscribers with numbers. It writes down what they are told.
pub(super) struct Desk {
    now: Mutex<Instant>,
    random: AtomicU64,
    told: Mutex<Vec<String>>,
    rows: Mutex<Vec<Row>>,
    gone: Mutex<Vec<u32>>,
}

impl Surroundings for Desk {
    fn now(&self) -> Instant {
        *lock(&self.now)
    }

    fn random(&self) -> u64 {
        self.random
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

impl Outlet for Desk {
    type Join = u32;
    type Topic = Vec<u32>;

    fn attach(&self, _: &TopicName, topic: &mut Vec<u32>, join: u32, welcome: Welcome<'_>) -> bool {
        if lock(&self.gone).contains(&join) {
            return false;
        }
        let at = welcome.at.map_or("-".to_owned(), text);
        let recovery = match welcome.recovery {
            Recovery::Fresh => "fresh".to_owned(),
            Recovery::Recovered { missed } => format!("recovered {missed}"),
            Recovery::Lost => "lost".to_owned(),
        };
        let replay = welcome.replay.iter().map(|entry| text(entry.position));
        let replay: Vec<String> = replay.collect();
        let replay = if replay.is_empty() {
            String::new()
        } else {
            format!(": {}", replay.join(" "))
        };
        self.tell(format!("{join} joined at {at}, {recovery}{replay}"));
        topic.push(join);
        true
    }

    fn refuse(&self, join: u32, error: SubscribeError) {
        let error = match error {
            SubscribeError::Unavailable { retry } => {
                assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&retry));
                "unavailable"
            }
            SubscribeError::Evicted => "evicted",
            SubscribeError::TooMany => "too many",
            _ => "another error",
        };
        self.tell(format!("{join} refused: {error}"));
    }

    fn deliver(&self, topic: &mut Vec<u32>, delivered: &Delivered) {
        let message = match delivered {
            Delivered::Entry(entry) => text(entry.position),
            Delivered::Unstored { id, .. } => format!("#{}", id.get()),
        };
        self.tell(format!("{topic:?} {message}"));
    }

    fn lose(&self, topic: &mut Vec<u32>, at: Option<Position>) {
        let at = at.map_or("-".to_owned(), text);
        self.tell(format!("{topic:?} lost at {at}"));
    }

    fn wake_at(&self, at: Instant) {
        assert!(at >= *lock(&self.now));
    }

    fn took(&self, row: Row) {
        lock(&self.rows).push(row);
    }
}

impl Desk {
    fn tell(&self, line: String) {
        lock(&self.told).push(line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panicked with the lock")
}

impl World {
    pub(super) fn new(history: History) -> Self {
        Self::with(history, |_| ())
    }

    pub(super) fn with(history: History, change: impl FnOnce(&mut HubConfig)) -> Self {
        let desk = Desk {
            now: Mutex::new(Instant::now()),
            random: AtomicU64::new(1),
            told: Mutex::default(),
            rows: Mutex::default(),
            gone: Mutex::default(),
        };
        let mut config = HubConfig {
            gather: Duration::ZERO,
            turns_per_second: 0,
            ..HubConfig::default()
        };
        change(&mut config);
        Self {
            hub: Hub::new(desk, config),
            history,
        }
    }

    /// A topic with a window of 100 messages.
    pub(super) fn window() -> Self {
        Self::new(History::window(100, Duration::from_secs(3600)))
    }

    pub(super) fn latest() -> Self {
        Self::new(History::latest())
    }

    pub(super) fn off() -> Self {
        Self::new(History::off())
    }

    /// A live topic with subscriber 1. Its newest message has the offset 5 of epoch 1.
    pub(super) fn live() -> Self {
        Self::window().lived()
    }

    /// Makes the topic live with subscriber 1, at the offset 5 of epoch 1.
    pub(super) fn lived(self) -> Self {
        self.join(1, Wants::Live);
        self.confirm(1);
        let entries = self.history.is_latest().then(|| entry(1, 5));
        self.reply(whole(entries.into_iter().collect(), at(1, 5)), 1);
        self.forget();
        self
    }

    /// A live topic with history off and subscriber 1.
    pub(super) fn live_off() -> Self {
        let world = Self::off();
        world.join(1, Wants::Live);
        world.confirm(1);
        world.forget();
        world
    }

    pub(super) fn join(&self, join: u32, wants: Wants) {
        self.hub.join(&name(ROOM), self.history, wants, join);
    }

    /// Removes a subscriber.
    pub(super) fn leave(&self, subscriber: u32) -> usize {
        self.hub.leave(ROOM, |topic| {
            let before = topic.len();
            topic.retain(|&other| other != subscriber);
            before - topic.len()
        })
    }

    /// The engine answers the listen with a generation. The hub asked for exactly that.
    pub(super) fn confirm(&self, generation: u64) {
        assert_eq!(self.requests(), [Request::Listen(vec![name(ROOM)])]);
        self.listen_done(generation);
    }

    pub(super) fn listen_done(&self, generation: u64) {
        self.hub
            .listen_done(&[name(ROOM)], Ok(vec![Generation(generation)]));
    }

    pub(super) fn gap(&self) {
        self.hub.gap(&|topic| topic == ROOM);
    }

    pub(super) fn listened(&self, generation: u64) {
        self.hub.listened(Generation(generation), &[name(ROOM)]);
    }

    pub(super) fn deliver(&self, entry: Entry) {
        self.hub.delivered(ROOM, Delivered::Entry(entry));
    }

    pub(super) fn deliver_unstored(&self, id: u64) {
        let delivered = Delivered::Unstored {
            id: MessageId::new(id),
            body: body(),
        };
        self.hub.delivered(ROOM, delivered);
    }

    /// Takes the one read that the hub wants now.
    pub(super) fn read(&self) -> (Since, ReadNumber) {
        match self.requests().as_slice() {
            [Request::CatchUp { since, read, .. }] => (*since, *read),
            other => panic!("expected a read, found {other:?}"),
        }
    }

    /// The engine answers the read that the hub wants now.
    pub(super) fn reply(&self, catchup: Catchup, generation: u64) {
        let (_, read) = self.read();
        self.reply_to(read, catchup, generation);
    }

    pub(super) fn reply_to(&self, read: ReadNumber, catchup: Catchup, generation: u64) {
        let result = Ok((catchup, Generation(generation)));
        self.hub.caught_up(&name(ROOM), read, result);
    }

    /// The engine fails to answer the read that the hub wants now.
    pub(super) fn fail_read(&self) {
        let (_, read) = self.read();
        self.hub.caught_up(&name(ROOM), read, Err(error()));
    }

    /// Takes the one question for positions that the hub has now.
    pub(super) fn ask(&self) -> ReadNumber {
        match self.requests().as_slice() {
            [Request::Tops { topics, read }] if *topics == [name(ROOM)] => *read,
            other => panic!("expected a question for a position, found {other:?}"),
        }
    }

    /// The engine answers the question for the position that the hub has now.
    pub(super) fn answer(&self, top: Option<Position>) {
        self.answer_to(self.ask(), top);
    }

    pub(super) fn answer_to(&self, read: ReadNumber, top: Option<Position>) {
        self.hub.tops(&[name(ROOM)], read, Ok(vec![top]));
    }

    pub(super) fn unlistened(&self) {
        assert_eq!(self.requests(), [Request::Unlisten(vec![name(ROOM)])]);
        self.hub.unlistened(&[name(ROOM)]);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        std::iter::from_fn(|| self.hub.next_request()).collect()
    }

    /// Lets time pass. The hub is called at each time that it asked for.
    pub(super) fn pass(&self, time: Duration) {
        let end = self.hub.outlet().now() + time;
        while let Some(at) = self.hub.next_timeout().filter(|&at| at <= end) {
            *lock(&self.hub.outlet().now) = at;
            self.hub.handle_timeout();
        }
        *lock(&self.hub.outlet().now) = end;
    }

    /// Returns what subscribers were told since the last call.
    pub(super) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.hub.outlet().told))
    }

    /// Returns whether the topic took a row since the last look.
    pub(super) fn took(&self, row: Row) -> bool {
        lock(&self.hub.outlet().rows).contains(&row)
    }

    pub(super) fn forget(&self) {
        lock(&self.hub.outlet().told).clear();
        lock(&self.hub.outlet().rows).clear();
    }

    pub(super) fn is_gone(&self, join: u32) {
        lock(&self.hub.outlet().gone).push(join);
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.hub.position(ROOM)
    }
}

pub(super) const MS_100: Duration = Duration::from_millis(100);

pub(super) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub(super) fn name(name: &str) -> TopicName {
    TopicName::new(name).expect("a name")
}

/// The position on the main branch of an epoch: the message with the offset n has the id n.
pub(super) fn at(epoch: u64, offset: u64) -> Position {
    Position {
        epoch: Epoch::new(epoch),
        offset,
        id: (offset > 0).then(|| MessageId::new(offset)),
    }
}

/// The position on another branch of an epoch: the message with the offset n has the id 1000 + n.
pub(super) fn other(epoch: u64, offset: u64) -> Position {
    Position {
        id: Some(MessageId::new(1000 + offset)),
        ..at(epoch, offset)
    }
}

/// A message of the main branch.
pub(super) fn entry(epoch: u64, offset: u64) -> Entry {
    Entry {
        position: at(epoch, offset),
        previous: at(epoch, offset - 1).id,
        body: body(),
    }
}

/// Messages of the main branch of epoch 1.
pub(super) fn entries(offsets: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    offsets.map(|offset| entry(1, offset)).collect()
}

/// A message of another branch of epoch 1, whose messages from `first` on differ.
pub(super) fn branch(offset: u64, first: u64) -> Entry {
    let previous = match offset - 1 {
        before if before < first => at(1, before),
        before => other(1, before),
    };
    Entry {
        position: other(1, offset),
        previous: previous.id,
        body: body(),
    }
}

pub(super) fn body() -> Body {
    Body {
        message: "hello".into(),
        compressible: true,
    }
}

/// A reply without a hole.
pub(super) fn whole(entries: Vec<Entry>, top: Position) -> Catchup {
    Catchup::Whole {
        before: entries.first().map_or(top, Entry::before),
        entries,
        top,
    }
}

pub(super) fn error() -> EngineError {
    EngineError {
        published: WasPublished::No,
        kind: EngineErrorKind::Unavailable,
        text: "the test says so".to_owned(),
    }
}

/// The text of a position: epoch, offset, and the id if it is not that of the main branch.
fn text(position: Position) -> String {
    let (epoch, offset) = (position.epoch.get(), position.offset);
    if position.id == at(epoch, offset).id {
        format!("{epoch}:{offset}")
    } else {
        let id = position.id.map_or(0, MessageId::get);
        format!("{epoch}:{offset}:{id}")
    }
}
