//! The messages of a log that some members have not read, and the positions of all members. They exist only while there
//! are such messages.
//!
//! ```text
//!   frames  ── 17 ── 18 ── 19 ── 20 ──▶ push
//!              ▲           ▲      ▲
//!              slow member │      a member that has read all
//!                          a member that has something to read
//! ```

use std::collections::VecDeque;

use sockeye_proto::PreparedMessage;

use super::budget::Share;

/// What some members have not read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    // The number of the first message that is kept.
    first: u64,
    messages: VecDeque<Logged>,
    // What the messages that are kept count for.
    share: Share,
    // What all messages that were ever put in count for.
    weighed: u64,
    // The frames of the messages, one behind the other. Some forgotten frames may come first.
    frames: Vec<u8>,
    // The number of bytes of the frames that came before these.
    before: u64,
    // The number of the message that each member reads next. The number of a free place says nothing.
    positions: Vec<u64>,
    // The number of members that have read all.
    idle: usize,
    pub(super) notified: Notified,
}

/// Whether all members have been notified that there is something to read, and none has read since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Notified {
    #[default]
    NotAll,
    /// The publisher of the last message notifies them.
    InProgress,
    /// All members are notified; this many accepted the last message.
    All(usize),
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

/// The position of a member that has left.
const VACANT: u64 = u64::MAX;

/// The least that a message counts for: about the memory that the log holds for it besides its frame.
pub(super) const LEAST_WEIGHT: usize = 64;

/// What a message counts for.
pub(super) fn weight(message: &PreparedMessage) -> usize {
    message.message().as_bytes().len().max(LEAST_WEIGHT)
}

impl Unread {
    /// Starts with nothing. The next message has the number `first`, and `members` read it, whose numbers are below
    /// `places`.
    pub(super) fn start(&mut self, first: u64, members: usize, places: usize, share: Share) {
        debug_assert!(self.is_empty() && self.frames.is_empty(), "it has ended");
        self.first = first;
        self.share = share;
        self.weighed = 0;
        self.before = 0;
        self.positions.clear();
        self.positions.resize(places, first);
        self.idle = members;
        self.notified = Notified::NotAll;
    }

    /// Ends, when all is read. Its memory may serve another log.
    pub(super) fn finish(&mut self) {
        self.messages.clear();
        self.frames.clear();
        self.share = Share::default();
    }

    pub(super) fn weight(&self) -> usize {
        self.share.bytes()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether this stays although all is read. It does in a channel of many members, for which it is little memory, and
    /// would be made anew for the next message.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let members = self.positions.len();
        members >= 32 && self.memory_of_messages() <= members * 64
    }

    /// The bytes of memory on the heap for messages and their frames.
    fn memory_of_messages(&self) -> usize {
        self.frames.capacity() + self.messages.capacity() * size_of::<Logged>()
    }

    /// The bytes of memory on the heap, these included.
    pub(super) fn memory(&self) -> usize {
        let positions = self.positions.capacity() * size_of::<u64>();
        size_of::<Self>() + self.memory_of_messages() + positions
    }

    /// The number of the next message.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// Puts a message in. Returns false, and changes nothing, if the budget has no bytes for it.
    #[inline]
    pub(super) fn push(&mut self, message: &PreparedMessage) -> bool {
        let weight = weight(message);
        if !self.share.try_add(weight) {
            return false;
        }
        let readers = std::mem::take(&mut self.idle);
        self.append(message, weight, readers);
        true
    }

    /// Puts a message in, in place of the one that is in. Returns false, and changes nothing, if the budget has no bytes
    /// for it.
    pub(super) fn replace(&mut self, message: &PreparedMessage) -> bool {
        let weight = weight(message);
        if !self.share.try_change(weight) {
            return false;
        }
        let mut readers = std::mem::take(&mut self.idle);
        while let Some(old) = self.messages.pop_front() {
            readers += old.readers;
            self.first += 1;
        }
        self.before = self.frames_end();
        self.frames.clear();
        self.positions.fill(self.first);
        self.append(message, weight, readers);
        true
    }

    #[inline]
    fn append(&mut self, message: &PreparedMessage, weight: usize, readers: usize) {
        let logged = Logged {
            message: message.clone(),
            start: self.frames_end(),
            weighed: self.weighed,
            readers,
        };
        const HEADER: usize = 10;
        self.frames
            .reserve(HEADER + message.message().as_bytes().len());
        message.write_frame(&mut self.frames);
        self.weighed += weight as u64;
        self.messages.push_back(logged);
    }

    /// Adds a member. The first message that it reads is the next one that is put in.
    pub(super) fn begin(&mut self, place: usize) {
        if self.positions.len() <= place {
            self.positions.resize(place + 1, VACANT);
        }
        let end = self.end();
        if let Some(position) = self.positions.get_mut(place) {
            *position = end;
            self.idle += 1;
        }
    }

    /// Removes a member that has read all.
    pub(super) fn end_of(&mut self, place: usize) {
        debug_assert_eq!(self.position(place), Some(self.end()), "it has caught up");
        self.idle -= 1;
        if let Some(position) = self.positions.get_mut(place) {
            *position = VACANT;
        }
    }

    /// The number of the message that a member reads next.
    #[inline]
    pub(super) fn position(&self, place: usize) -> Option<u64> {
        let at = self.positions.get(place).copied();
        at.filter(|at| *at != VACANT)
    }

    fn get(&self, number: u64) -> Option<&Logged> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.messages.get(place)
    }

    /// What the messages from `at` on and before `end` count for.
    pub(super) fn weight_between(&self, at: u64, end: u64) -> usize {
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
    pub(super) fn frames_from(&self, at: u64, room: usize) -> (&[u8], u64) {
        let Some(start) = self.get(at).map(|logged| logged.start) else {
            return (&[], at);
        };
        let forgotten = usize::try_from(start - self.before).unwrap_or(usize::MAX);
        let frames = self.frames.get(forgotten..).unwrap_or_default();
        if frames.len() <= room {
            return (frames, self.end());
        }
        self.first_frames(frames, at, start + room as u64)
    }

    /// The frames from the message `at` on, up to the first one that starts at `enough` or behind.
    fn first_frames<'f>(&self, frames: &'f [u8], at: u64, enough: u64) -> (&'f [u8], u64) {
        let mut starts =
            (at + 1..self.end()).filter_map(|next| Some((self.get(next)?.start, next)));
        let behind = starts.find(|(start, _)| *start >= enough);
        let cut = behind.and_then(|(start, next)| {
            let left = usize::try_from(self.frames_end() - start).ok()?;
            Some((frames.get(..frames.len().checked_sub(left)?)?, next))
        });
        cut.unwrap_or((frames, self.end()))
    }

    /// Reads the messages before `end` that a member has not read.
    pub(super) fn catch_up(
        &mut self,
        place: usize,
        end: u64,
        mut take: impl FnMut(PreparedMessage),
    ) {
        let Some(at) = self.position(place) else {
            return;
        };
        let end = end.min(self.end());
        for number in at..end {
            if let Some(logged) = self.get(number) {
                take(logged.message.clone());
            }
        }
        if at < end {
            self.move_on(place, at, end);
        }
    }

    /// Moves a member on, and forgets the messages that all members have read.
    pub(super) fn move_on(&mut self, place: usize, from: u64, to: u64) {
        if from == to {
            return;
        }
        if let Some(position) = self.positions.get_mut(place) {
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
            let forgotten = self.messages.pop_front();
            self.share
                .remove(forgotten.map_or(0, |logged| weight(&logged.message)));
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

    /// The members that have read less than half of what is kept. It may name free places too.
    pub(super) fn behind_half(&self) -> Vec<u32> {
        let half = self.first + self.messages.len().div_ceil(2) as u64;
        let members = (0_u32..).zip(&self.positions);
        let behind = members.filter(|(_, at)| **at < half);
        behind.map(|(member, _)| member).collect()
    }

    /// The bytes of the frames that are kept, forgotten ones included.
    #[cfg(all(test, not(loom)))]
    pub(super) fn framed(&self) -> usize {
        self.frames.len()
    }

    /// The number of messages that are kept.
    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}
