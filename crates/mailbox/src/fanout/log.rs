//! The log of the broadcasts of one endpoint. A broadcast is made into a frame once and kept once, and each connection
//! reads it at its own position. The log knows nothing of sessions: a reader has a seat.
//!
//! ```text
//!   frames  ── 17 ── 18 ── 19 ── 20 ──▶ push
//!              ▲           ▲      ▲
//!              slow seat   │      a seat that has read all
//!                          a seat whose driver has been notified
//! ```
//!
//! The log is bounded. If it is full, the broadcaster first moves what the slowest readers have not read into their
//! outboxes, where their own limits hold.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use sockeye_proto::PreparedMessage;

use crate::sync::{Arc, Mutex, MutexGuard, lock};

/// The messages that some readers have not read yet. Lock order: a task that holds an outbox's lock may take the log's
/// lock, and never the other way round.
#[derive(Debug, Default)]
pub struct Log(Mutex<State>);

/// The position of one connection in the log.
pub struct Seat {
    log: Arc<Log>,
    index: usize,
}

#[derive(Debug, Default)]
struct State {
    // The number of the first message that is kept.
    first: u64,
    messages: VecDeque<Logged>,
    weight: usize,
    // The frames of the messages, one behind the other. Some forgotten frames may come first.
    frames: Vec<u8>,
    // The number of bytes of the frames that came before these.
    before: u64,
    // The number of the message that each seat reads next: `VACANT` for a seat that no connection has.
    seats: Vec<u64>,
    // The number of seats that have read all.
    idle: usize,
    notified: Notified,
}

/// Whether all sessions have been notified that there is something to read, and none has read since.
#[derive(Clone, Copy, Debug, Default)]
enum Notified {
    #[default]
    NotAll,
    /// The broadcaster of the last message notifies them.
    InProgress,
    /// All sessions are notified; this many accepted the last broadcast.
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
    // The number of seats that read it next.
    readers: usize,
}

const VACANT: u64 = u64::MAX;

/// The least that a message counts for: about the memory that the log holds for it besides its frame.
const LEAST_WEIGHT: usize = 64;

/// The outcome of a push.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The message has this number. The broadcaster has to notify all sessions, and then to call
    /// [`notified`](Log::notified) if all of them would take another message too.
    Kept(u64),
    /// All sessions have been notified already: this many get the message.
    Known(usize),
    /// The message is too large for the log, or no connection has a seat.
    Unfit,
    /// The log is full: these seats have to catch up first.
    Full(Vec<usize>),
}

impl Log {
    /// The limit of the weight of the messages that are kept: mostly the bytes of their frames.
    pub const LIMIT: usize = 64 * 1024;
    /// The limit of one message. A larger one goes into each reader's outbox, and the outboxes share its bytes.
    const MAX_MESSAGE: usize = 8 * 1024;

    /// The number of messages that were ever put in.
    pub fn pushed(&self) -> u64 {
        lock(&self.0).end()
    }

    /// A seat that no connection has yet.
    pub fn seat(self: &Arc<Self>, index: usize) -> Seat {
        Seat {
            log: Arc::clone(self),
            index,
        }
    }

    /// Puts a message in, for all connections that have a seat now.
    pub fn push(&self, message: &PreparedMessage) -> Pushed {
        let len = message.message().as_bytes().len();
        let mut state = lock(&self.0);
        if len > Self::MAX_MESSAGE || (state.idle == 0 && state.messages.is_empty()) {
            return Pushed::Unfit;
        }
        let weight = len.max(LEAST_WEIGHT);
        if state.weight + weight > Self::LIMIT {
            return Pushed::Full(state.behind_half());
        }
        let number = state.end();
        let logged = Logged {
            message: message.clone(),
            start: state.frames_end(),
            readers: std::mem::take(&mut state.idle),
        };
        message.write_frame(&mut state.frames);
        state.weight += weight;
        state.messages.push_back(logged);
        if let Notified::All(many) = state.notified {
            return Pushed::Known(many);
        }
        state.notified = Notified::InProgress;
        Pushed::Kept(number)
    }

    /// Notes that all sessions have been notified of the last message, and that this many accepted it. Until one of them
    /// uses the log, the next messages need no notification.
    pub fn notified(&self, many: usize) {
        let mut state = lock(&self.0);
        if let Notified::InProgress = state.notified {
            state.notified = Notified::All(many);
        }
    }
}

impl Seat {
    /// Locks the log for a reader, which has to be notified of the next message.
    #[inline]
    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.log.0);
        state.notified = Notified::NotAll;
        state
    }

    /// Takes the seat. Its first message is the next one that is put in.
    pub fn sit(&self) {
        let mut state = self.enter();
        if state.seats.len() <= self.index {
            state.seats.resize(self.index + 1, VACANT);
        }
        let end = state.end();
        if let Some(seat) = state.seats.get_mut(self.index) {
            debug_assert_eq!(*seat, VACANT, "one connection has the seat");
            *seat = end;
            state.idle += 1;
        }
    }

    /// Reads frames, up to `room` bytes and the rest of the last frame. Reads nothing if `is_overtaken` says, with the
    /// log locked, that other messages go first. Calls `read_all` if nothing is left. Returns whether there were frames.
    #[inline]
    pub fn read(
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
        let Some(at) = state.position(self.index) else {
            read_all();
            return false;
        };
        let (frames, next) = state.frames_from(at, room);
        let any = !frames.is_empty();
        if any {
            read(frames);
            state.move_seat(self.index, at, next);
        }
        if next == state.end() {
            read_all();
        }
        any
    }

    /// Reads frames into `copied`, so that they can be sent while the log is free. Frames that an earlier seat has copied
    /// are not copied again. Calls `read_all` if nothing is left. Returns `None` if there was nothing to read.
    pub fn copy<'c>(
        &self,
        room: usize,
        copied: &'c mut Copied,
        read_all: impl FnOnce(),
    ) -> Option<&'c [u8]> {
        let mut state = self.enter();
        let Some(at) = state.position(self.index) else {
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
        state.move_seat(self.index, at, next);
        if next == end {
            read_all();
        }
        (at < next).then_some(copied.frames())
    }

    /// Reads all messages that are left, one by one.
    pub fn catch_up(&self, take: impl FnMut(PreparedMessage)) {
        self.enter().catch_up(self.index, u64::MAX, take);
    }

    /// Reads the messages before this number one by one, and passes this one over. Returns false if it is read already.
    pub fn pass_over(&self, number: u64, take: impl FnMut(PreparedMessage)) -> bool {
        let mut state = self.enter();
        state.catch_up(self.index, number, take);
        if state.position(self.index) != Some(number) {
            return false;
        }
        state.move_seat(self.index, number, number + 1);
        true
    }

    /// Reads all messages that are left, one by one, and frees the seat: no message is put in between. Calls `left` while
    /// the log is locked. Gives the `reader` to both closures.
    pub fn leave<R>(
        &self,
        reader: &mut R,
        mut take: impl FnMut(&mut R, PreparedMessage),
        left: impl FnOnce(&R),
    ) {
        let mut state = self.enter();
        state.catch_up(self.index, u64::MAX, |message| take(reader, message));
        left(reader);
        let Some(at) = state.position(self.index) else {
            return;
        };
        debug_assert_eq!(at, state.end(), "it has caught up");
        state.idle -= 1;
        if let Some(seat) = state.seats.get_mut(self.index) {
            *seat = VACANT;
        }
    }
}

impl Copied {
    /// The bytes of the frames.
    pub fn frames(&self) -> &[u8] {
        &self.frames
    }
}

impl State {
    /// The number of the next message.
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    fn position(&self, index: usize) -> Option<u64> {
        let at = self.seats.get(index).copied();
        at.filter(|at| *at != VACANT)
    }

    fn get(&self, number: u64) -> Option<&Logged> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.messages.get(place)
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

    /// Reads the messages before `end` that a seat has not read.
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
            self.move_seat(index, at, end);
        }
    }

    /// Moves a seat on, and forgets the messages that all seats have read.
    fn move_seat(&mut self, index: usize, from: u64, to: u64) {
        if from == to {
            return;
        }
        if let Some(seat) = self.seats.get_mut(index) {
            *seat = to;
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

    /// Forgets the messages at the front that all seats have read.
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

    /// The seats that have read less than half of what is kept.
    fn behind_half(&self) -> Vec<usize> {
        let half = self.first + self.messages.len().div_ceil(2) as u64;
        let seats = self.seats.iter().enumerate();
        seats
            .filter(|(_, at)| **at < half)
            .map(|(index, _)| index)
            .collect()
    }
}

impl Logged {
    fn weight(&self) -> usize {
        self.message.message().as_bytes().len().max(LEAST_WEIGHT)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.index).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
