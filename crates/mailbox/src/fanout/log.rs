//! The log of one channel. A message is made into a frame once and kept once, and each member reads it at its own
//! position. The log knows nothing of mailboxes: a member reads through its [`Subscription`].
//!
//! ```text
//!   frames  ── 17 ── 18 ── 19 ── 20 ──▶ push
//!              ▲           ▲      ▲
//!              slow member │      a member that has read all
//!                          a member that has something to read
//! ```
//!
//! The log is bounded. If it is full, the publisher first moves what the slowest members have not read into their
//! outboxes, where their own limits hold.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use sockeye_proto::PreparedMessage;

use crate::sync::{Arc, Mutex, MutexGuard, lock};

/// The messages that some members have not read yet. Lock order: the members of a channel, then a mailbox, then its log.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<State>);

/// The position of one mailbox in the log of a channel.
#[derive(Clone)]
pub struct Subscription {
    log: Arc<Log>,
    member: u32,
}

/// The number by which a mailbox knows one of its subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u8);

impl Slot {
    /// The slot of the subscription that a mailbox keeps for life.
    pub(crate) const FIRST: Self = Self(0);
    /// How many subscriptions a mailbox has at most. It takes the messages of further channels as items.
    pub(crate) const MANY: usize = 48;

    pub(crate) fn new(number: u32) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (usize::from(number) < Self::MANY).then_some(Self(number))
    }

    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0.into()
    }
}

#[derive(Debug, Default)]
struct State {
    // The number of the first message that is kept.
    first: u64,
    messages: VecDeque<Logged>,
    weight: usize,
    // What all messages that were ever put in count for.
    weighed: u64,
    // The frames of the messages, one behind the other. Some forgotten frames may come first.
    frames: Vec<u8>,
    // The number of bytes of the frames that came before these.
    before: u64,
    // The number of the message that each member reads next: `VACANT` for a member that has not begun.
    positions: Vec<u64>,
    // The number of members that have read all.
    idle: usize,
    notified: Notified,
}

/// Whether all members have been notified that there is something to read, and none has read since.
#[derive(Clone, Copy, Debug, Default)]
enum Notified {
    #[default]
    NotAll,
    /// The publisher of the last message notifies them.
    InProgress,
    /// All members are notified; this many accepted the last message.
    All(usize),
}

/// Frames that were copied out of a log for several transports: the numbers of their messages, and their bytes.
#[derive(Debug, Default)]
pub struct Copied {
    messages: Range<u64>,
    frames: Vec<u8>,
}

#[derive(Debug)]
struct Logged {
    message: PreparedMessage,
    // The offset at which its frame starts.
    start: u64,
    // What all messages before it count for.
    weighed: u64,
    // The number of members that read it next.
    readers: usize,
}

const VACANT: u64 = u64::MAX;

/// The least that a message counts for: about the memory that the log holds for it besides its frame.
const LEAST_WEIGHT: usize = 64;

/// The limit of the weight of the messages that a log keeps: mostly the bytes of their frames.
pub const LOG_LIMIT: usize = if cfg!(loom) { 128 } else { 64 * 1024 };

/// The outcome of a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The message has this number. The publisher has to notify all members, and then to call
    /// [`notified`](Log::notified) if all of them would take another message too.
    Kept(u64),
    /// All members have been notified already: this many get the message.
    Known(usize),
    /// The message is too large for the log, or no member reads the log.
    Unfit,
    /// The log is full: these members have to catch up first.
    Full(Vec<u32>),
}

impl Log {
    /// The limit of one message. A larger one goes into each reader's outbox, and the outboxes share its bytes.
    const MAX_MESSAGE: usize = 8 * 1024;

    /// The number of messages that were ever put in.
    pub(crate) fn pushed(&self) -> u64 {
        lock(&self.0).end()
    }

    /// The subscription of a member, which has not begun yet.
    pub(crate) fn subscription(self: &Arc<Self>, member: u32) -> Subscription {
        Subscription {
            log: Arc::clone(self),
            member,
        }
    }

    /// Puts a message in, for all members that have begun.
    pub(crate) fn push(&self, message: &PreparedMessage) -> Pushed {
        let len = message.message().as_bytes().len();
        let mut state = lock(&self.0);
        if len > Self::MAX_MESSAGE || (state.idle == 0 && state.messages.is_empty()) {
            return Pushed::Unfit;
        }
        let weight = len.max(LEAST_WEIGHT);
        if state.weight + weight > LOG_LIMIT {
            return Pushed::Full(state.behind_half());
        }
        let number = state.end();
        let logged = Logged {
            message: message.clone(),
            start: state.frames_end(),
            weighed: state.weighed,
            readers: std::mem::take(&mut state.idle),
        };
        message.write_frame(&mut state.frames);
        state.weight += weight;
        state.weighed += weight as u64;
        state.messages.push_back(logged);
        if let Notified::All(many) = state.notified {
            return Pushed::Known(many);
        }
        state.notified = Notified::InProgress;
        Pushed::Kept(number)
    }

    /// Notes that all members have been notified of the last message, and that this many accepted it. Until one of them
    /// uses the log, the next messages need no notification.
    pub(crate) fn notified(&self, many: usize) {
        let mut state = lock(&self.0);
        if let Notified::InProgress = state.notified {
            state.notified = Notified::All(many);
        }
    }
}

impl Subscription {
    /// Whether this is a subscription to that log.
    pub(crate) fn is_to(&self, log: &Arc<Log>) -> bool {
        Arc::ptr_eq(&self.log, log)
    }

    /// Whether both are of the same member of the same channel.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.is_to(&other.log) && self.member == other.member
    }

    /// Locks the log for a reader, which has to be notified of the next message.
    #[inline]
    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.log.0);
        state.notified = Notified::NotAll;
        state
    }

    fn place(&self) -> usize {
        self.member as usize
    }

    /// Begins. The first message is the next one that is put in.
    pub(crate) fn begin(&self) {
        let mut state = self.enter();
        let place = self.place();
        if state.positions.len() <= place {
            state.positions.resize(place + 1, VACANT);
        }
        let end = state.end();
        if let Some(position) = state.positions.get_mut(place) {
            debug_assert_eq!(*position, VACANT, "one mailbox is this member");
            *position = end;
            state.idle += 1;
        }
    }

    /// Reads frames, up to `room` bytes and the rest of the last frame. Reads nothing if `is_overtaken` says, with the
    /// log locked, that other messages go first. Calls `read_all` if nothing is left. Returns whether there were frames.
    #[inline]
    pub(crate) fn read(
        &self,
        room: usize,
        is_overtaken: impl FnOnce() -> bool,
        read: impl FnOnce(&[u8]),
        read_all: impl FnOnce(),
    ) -> bool {
        let mut state = self.enter();
        if is_overtaken() {
            return false;
        }
        let Some(at) = state.position(self.place()) else {
            read_all();
            return false;
        };
        let (frames, next) = state.frames_from(at, room);
        let any = !frames.is_empty();
        if any {
            read(frames);
            state.move_on(self.place(), at, next);
        }
        if next == state.end() {
            read_all();
        }
        any
    }

    /// Reads frames into `copied`, so that they can be sent while the log is free. Frames that were copied for another
    /// member before are not copied again. Calls `read_all` if nothing is left. Returns `None` if there was nothing to
    /// read.
    pub(crate) fn copy<'c>(
        &self,
        room: usize,
        copied: &'c mut Copied,
        read_all: impl FnOnce(),
    ) -> Option<&'c [u8]> {
        let mut state = self.enter();
        let Some(at) = state.position(self.place()) else {
            read_all();
            return None;
        };
        let end = state.end();
        if copied.messages != (at..end) {
            let (frames, next) = state.frames_from(at, room);
            copied.frames.clear();
            copied.frames.extend_from_slice(frames);
            copied.messages = at..next;
        }
        let next = copied.messages.end;
        state.move_on(self.place(), at, next);
        if next == end {
            read_all();
        }
        (at < next).then_some(copied.frames())
    }

    /// Reads all messages that are left, one by one. Calls `read_all` then, with the log locked.
    pub(crate) fn catch_up(&self, take: impl FnMut(PreparedMessage), read_all: impl FnOnce()) {
        self.enter().catch_up(self.place(), u64::MAX, take);
        read_all();
    }

    /// Passes a message over, and reads the messages before it one by one. Does neither if `has_room` says, for the weight
    /// of the messages before it, that there is room. Returns whether the message was passed over. It was not if it is
    /// read already.
    pub(crate) fn pass_over(
        &self,
        number: u64,
        has_room: impl FnOnce(usize) -> bool,
        take: impl FnMut(PreparedMessage),
    ) -> bool {
        let mut state = self.enter();
        let at = state.position(self.place()).filter(|at| *at <= number);
        if at.is_none_or(|at| has_room(state.weight_between(at, number))) {
            return false;
        }
        state.catch_up(self.place(), number, take);
        state.move_on(self.place(), number, number + 1);
        true
    }

    /// Reads all messages that are left, one by one, and ends: no message is put in between.
    pub(crate) fn end(&self, take: impl FnMut(PreparedMessage)) {
        let mut state = self.enter();
        state.catch_up(self.place(), u64::MAX, take);
        let Some(at) = state.position(self.place()) else {
            return;
        };
        debug_assert_eq!(at, state.end(), "it has caught up");
        state.idle -= 1;
        if let Some(position) = state.positions.get_mut(self.place()) {
            *position = VACANT;
        }
    }
}

impl Copied {
    /// The bytes of the frames.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }
}

impl State {
    /// The number of the next message.
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    fn position(&self, index: usize) -> Option<u64> {
        let at = self.positions.get(index).copied();
        at.filter(|at| *at != VACANT)
    }

    fn get(&self, number: u64) -> Option<&Logged> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.messages.get(place)
    }

    /// What the messages from `at` on and before `end` count for.
    fn weight_between(&self, at: u64, end: u64) -> usize {
        let weight = |number| {
            self.get(number)
                .map_or(self.weighed, |logged| logged.weighed)
        };
        usize::try_from(weight(end).wrapping_sub(weight(at))).unwrap_or(usize::MAX)
    }

    fn frames_end(&self) -> u64 {
        self.before + self.frames.len() as u64
    }

    /// The frames from this message on, up to `room` bytes and the rest of the last frame. Also returns the number of the
    /// message behind them.
    fn frames_from(&self, at: u64, room: usize) -> (&[u8], u64) {
        let Some(start) = self.get(at).map(|logged| logged.start) else {
            return (&[], at);
        };
        let (mut end, mut next) = (self.frames_end(), self.end());
        let enough = start.saturating_add(room as u64);
        if end > enough {
            let mut behind =
                (at + 1..next).filter_map(|number| Some((self.get(number)?.start, number)));
            (end, next) = behind
                .find(|(start, _)| *start >= enough)
                .unwrap_or((end, next));
        }
        let place = |at: u64| usize::try_from(at - self.before).unwrap_or(usize::MAX);
        let frames = self.frames.get(place(start)..place(end));
        (frames.unwrap_or_default(), next)
    }

    /// Reads the messages before `end` that a member has not read.
    fn catch_up(&mut self, index: usize, end: u64, mut take: impl FnMut(PreparedMessage)) {
        let Some(at) = self.position(index) else {
            return;
        };
        let end = end.min(self.end());
        for number in at..end {
            if let Some(logged) = self.get(number) {
                take(logged.message.clone());
            }
        }
        if at < end {
            self.move_on(index, at, end);
        }
    }

    /// Moves a member on, and forgets the messages that all members have read.
    fn move_on(&mut self, index: usize, from: u64, to: u64) {
        if from == to {
            return;
        }
        if let Some(position) = self.positions.get_mut(index) {
            *position = to;
        }
        self.count_readers(from, |readers| *readers -= 1);
        self.count_readers(to, |readers| *readers += 1);
        if from == self.first {
            self.forget();
        }
    }

    fn count_readers(&mut self, at: u64, count: impl FnOnce(&mut usize)) {
        let place = usize::try_from(at - self.first).unwrap_or(usize::MAX);
        match self.messages.get_mut(place) {
            Some(logged) => count(&mut logged.readers),
            None => count(&mut self.idle),
        }
    }

    /// Forgets the messages at the front that all members have read.
    fn forget(&mut self) {
        while self
            .messages
            .front()
            .is_some_and(|logged| logged.readers == 0)
        {
            self.weight -= self.messages.pop_front().as_ref().map_or(0, Logged::weight);
            self.first += 1;
        }
        let Some(first) = self.messages.front() else {
            self.before = self.frames_end();
            self.frames.clear();
            return;
        };
        let forgotten = usize::try_from(first.start - self.before).unwrap_or(usize::MAX);
        // Half of the bytes at least go at once: so each byte moves about once.
        if forgotten >= self.frames.len() / 2 {
            self.frames.drain(..forgotten);
            self.before = first.start;
        }
    }

    /// The members that have read less than half of what is kept.
    fn behind_half(&self) -> Vec<u32> {
        let half = self.first + self.messages.len().div_ceil(2) as u64;
        let members = (0_u32..).zip(&self.positions);
        let behind = members.filter(|(_, at)| **at < half);
        behind.map(|(member, _)| member).collect()
    }
}

impl Logged {
    fn weight(&self) -> usize {
        self.message.message().as_bytes().len().max(LEAST_WEIGHT)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.member).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
