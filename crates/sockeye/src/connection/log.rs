//! What is sent to all sessions of an endpoint: made into frames once, kept once, and read by each
//! connection at its own place. Knows nothing of sessions: a reader is a seat.
//!
//! ```text
//!   frames  ── 17 ── 18 ── 19 ── 20 ──▶ push
//!              ▲           ▲      ▲
//!              slow seat   │      a seat that has read all
//!              a seat that its driver is woken for
//! ```
//!
//! Bounded: whoever puts more in tells the slowest readers before to take what they have not read into
//! their own outboxes, where their own limits hold.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use sockeye_proto::PreparedMessage;

use crate::sync::{Arc, Mutex, MutexGuard, lock};

/// The messages that some of the readers have not read yet. Whoever holds an outbox's lock may take this
/// one's, and never the other way round.
#[derive(Default)]
pub(crate) struct Log(Mutex<State>);

/// Where one connection reads.
pub(crate) struct Seat {
    log: Arc<Log>,
    index: usize,
}

#[derive(Default)]
struct State {
    // The number of the first message that is kept.
    first: u64,
    messages: VecDeque<Logged>,
    weight: usize,
    // Their frames, one behind the other, behind some that are kept no more.
    frames: Vec<u8>,
    // How many bytes of frames came before these.
    before: u64,
    // The number of the message that each seat reads next: `VACANT` where nobody sits.
    seats: Vec<u64>,
    // How many seats have read all.
    idle: usize,
    told: Told,
}

/// Whether all who sit here know that there is something to read, as long as nobody has read.
#[derive(Clone, Copy, Default)]
enum Told {
    #[default]
    NotAll,
    /// Whoever put the last message in tells them.
    Telling,
    /// So many know.
    All(usize),
}

/// Frames that were copied out of a log, for many to send: which messages they are of, and their bytes.
#[derive(Default)]
pub(crate) struct Copied {
    messages: Range<u64>,
    frames: Vec<u8>,
}

struct Logged {
    message: PreparedMessage,
    // Where its frame starts.
    start: u64,
    // How many seats read it next.
    readers: usize,
}

const VACANT: u64 = u64::MAX;

/// What a message counts for at least: what is kept of it beside its frame.
const LEAST_WEIGHT: usize = 64;

/// How a push ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Readers find it as the message of this number, when they are told. If each would take another one too,
    /// [`told`](Log::told) says how many they were.
    Kept(u64),
    /// Readers find it, and know already that there is something: so many.
    Known(usize),
    /// It is larger than what is kept at all, or nobody sits here.
    Unfit,
    /// These seats stand in the way: they have to catch up first.
    Full(Vec<usize>),
}

impl Log {
    /// What the messages weigh that are kept, their frames' bytes as a rule.
    pub(crate) const LIMIT: usize = 64 * 1024;
    /// A larger message goes to each reader's outbox, which shares its bytes.
    const MAX_MESSAGE: usize = 8 * 1024;

    /// How many messages were put in.
    pub(crate) fn pushed(&self) -> u64 {
        lock(&self.0).end()
    }

    /// A seat that nobody sits on yet.
    pub(crate) fn seat(self: &Arc<Self>, index: usize) -> Seat {
        Seat {
            log: Arc::clone(self),
            index,
        }
    }

    /// Puts a message in, for all who sit here now.
    pub(crate) fn push(&self, message: &PreparedMessage) -> Pushed {
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
        if let Told::All(many) = state.told {
            return Pushed::Known(many);
        }
        state.told = Told::Telling;
        Pushed::Kept(number)
    }

    /// So many were told of the message that was put in last. Until one of them does something here, the next
    /// messages need no telling.
    pub(crate) fn told(&self, many: usize) {
        let mut state = lock(&self.0);
        if let Told::Telling = state.told {
            state.told = Told::All(many);
        }
    }
}

impl Seat {
    /// Whatever a reader does here, it has to be told of the next message.
    #[inline]
    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.log.0);
        state.told = Told::NotAll;
        state
    }

    /// Sits down: the first message is the next that is put in.
    pub(crate) fn sit(&self) {
        let mut state = self.enter();
        if state.seats.len() <= self.index {
            state.seats.resize(self.index + 1, VACANT);
        }
        let end = state.end();
        if let Some(seat) = state.seats.get_mut(self.index) {
            debug_assert_eq!(*seat, VACANT, "a seat is taken by one");
            *seat = end;
            state.idle += 1;
        }
    }

    /// Reads frames that make up for `room` bytes or a little more, unless `is_overtaken` says, now that
    /// nothing more can be put in, that others come first. `read_all` is called where nothing is left.
    /// Says whether something was read.
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

    /// As [`read`](Self::read), of frames that are sent when the log is free for others: those that the seat before
    /// this one had are copied already, as a rule. `None` where nothing was read.
    pub(crate) fn copy<'c>(
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

    /// Takes what is not read yet out, message by message.
    pub(crate) fn catch_up(&self, take: impl FnMut(PreparedMessage)) {
        self.enter().catch_up(self.index, u64::MAX, take);
    }

    /// Takes what is not read yet out, and passes the message of this number over. False where it is read
    /// already.
    pub(crate) fn pass_over(&self, number: u64, take: impl FnMut(PreparedMessage)) -> bool {
        let mut state = self.enter();
        state.catch_up(self.index, number, take);
        if state.position(self.index) != Some(number) {
            return false;
        }
        state.move_seat(self.index, number, number + 1);
        true
    }

    /// Takes what is not read yet out, and frees the seat: nothing is put in between. `left` is called while
    /// nobody reads or puts in. Both get the `reader`.
    pub(crate) fn leave<R>(
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
    /// Their bytes.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }
}

impl State {
    /// The number of the next message that is put in.
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

    /// The frames of the messages from this one on that make up for so many bytes, one at least; and the
    /// number of the message behind them.
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

    /// Takes out what a seat has not read of the messages before this one.
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

    /// Moves a seat on, and forgets what nobody reads any more.
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

    /// Forgets the messages at the front that nobody reads any more.
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
        // Not before it is half: so each byte moves once or so.
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
