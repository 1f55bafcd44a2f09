//! The log of one channel. A message is made into a frame once and kept once, and each member reads it at its own
//! position. The log knows nothing of mailboxes: a member reads through its [`Subscription`].
//!
//! The log is bounded. If it is full, the publisher first moves what the slowest members have not read into their
//! outboxes, where their own limits hold. The log of a conflated channel keeps one message: the next one takes its place.

use std::fmt;
use std::ops::Range;

use sockeye_proto::PreparedMessage;

use super::budget::Share;
use super::config::ChannelConfig;
use super::spare;
use super::unread::{Notified, Unread, weight};
use crate::fault::Fault;
use crate::sync::{Arc, Mutex, lock};

/// The log of one channel.
#[derive(Debug, Default)]
pub(crate) struct Log {
    config: ChannelConfig,
    // Lock order: the members of a channel, then a mailbox, then this.
    state: Mutex<State>,
}

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
    // The number of the next message.
    end: u64,
    // The number of members that have begun, and a number above all of theirs.
    members: u32,
    places: u32,
    // Boxed: most channels have nothing unread.
    unread: Option<Box<Unread>>,
}

/// Frames that were copied out of a log for several transports: the numbers of their messages, and their bytes.
#[derive(Debug, Default)]
pub struct Copied {
    messages: Range<u64>,
    frames: Vec<u8>,
}

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
    /// The message is too large for the log, or the budget has no bytes for it, or no member reads the log.
    Unfit,
    /// The log is full: these members have to catch up first. There may be free numbers among them.
    Full(Vec<u32>),
}

impl Log {
    /// The limit of one message. A larger one goes into each reader's outbox, and the outboxes share its bytes.
    const MAX_MESSAGE: usize = 8 * 1024;

    pub(crate) fn new(config: ChannelConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            state: Mutex::default(),
        })
    }

    /// The settings of the channel.
    pub(crate) fn config(&self) -> &ChannelConfig {
        &self.config
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
        let mut state = lock(&self.state);
        if message.message().as_bytes().len() > Self::MAX_MESSAGE || state.members == 0 {
            return Pushed::Unfit;
        }
        let State {
            end,
            members,
            places,
            unread,
        } = &mut *state;
        let unread = unread.get_or_insert_with(|| {
            let share = Share::of(self.config.budget.as_ref());
            let mut unread = spare::take();
            unread.start(*end, *members as usize, *places as usize, share);
            unread
        });
        let is_kept = if self.config.is_conflated {
            unread.replace(message)
        } else if unread.weight() + weight(message) > LOG_LIMIT {
            return Pushed::Full(unread.behind_half());
        } else {
            unread.push(message)
        };
        if !is_kept {
            if unread.is_empty() {
                state.release();
            }
            return Pushed::Unfit;
        }
        let number = *end;
        *end += 1;
        if let Notified::All(many) = unread.notified {
            return Pushed::Known(many);
        }
        unread.notified = Notified::InProgress;
        Pushed::Kept(number)
    }

    /// The bytes of memory on the heap, these included.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn retained_bytes(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        let unread = &lock(&self.state).unread;
        let unread = unread.as_ref().map_or(0, |unread| unread.memory());
        counts + size_of::<Self>() + unread
    }

    /// Notes that all members have been notified of the last message, and that this many accepted it. Until one of them
    /// uses the log, the next messages need no notification.
    pub(crate) fn notified(&self, many: usize) {
        if let Some(unread) = &mut lock(&self.state).unread
            && let Notified::InProgress = unread.notified
        {
            unread.notified = Notified::All(many);
        }
    }

    /// Notes that a member has joined that takes items: the publisher of the next message has to visit it.
    pub(crate) fn expect_visit(&self) {
        if let Some(unread) = &mut lock(&self.state).unread {
            unread.notified = Notified::NotAll;
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

    /// The log.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The number of messages that were ever put into the log.
    pub(crate) fn pushed(&self) -> u64 {
        lock(&self.log.state).end
    }

    fn place(&self) -> usize {
        self.member as usize
    }

    /// Begins. The first message is the next one that is put in.
    pub(crate) fn begin(&self) {
        let mut state = lock(&self.log.state);
        state.members += 1;
        state.places = state.places.max(self.member + 1);
        if let Some(unread) = &mut state.unread {
            unread.notified = Notified::NotAll;
            unread.begin(self.place());
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
        let mut state = lock(&self.log.state);
        if let Some(unread) = &mut state.unread {
            unread.notified = Notified::NotAll;
        }
        if is_overtaken() {
            return false;
        }
        let Some((unread, at)) = state.enter(self.place()) else {
            read_all();
            return false;
        };
        let (frames, next) = unread.frames_from(at, room);
        let any = !frames.is_empty();
        if any {
            read(frames);
            unread.move_on(self.place(), at, next);
        }
        if next == unread.end() || Fault::EarlyClear.is_on() {
            read_all();
            if unread.is_empty() {
                state.release();
            }
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
        let mut state = lock(&self.log.state);
        let Some((unread, at)) = state.enter(self.place()) else {
            read_all();
            return None;
        };
        let end = unread.end();
        if copied.messages != (at..end) {
            let (frames, next) = unread.frames_from(at, room);
            copied.frames.clear();
            copied.frames.extend_from_slice(frames);
            copied.messages = at..next;
        }
        let next = copied.messages.end;
        unread.move_on(self.place(), at, next);
        if next == end {
            read_all();
            if unread.is_empty() {
                state.release();
            }
        }
        (at < next).then_some(copied.frames())
    }

    /// Reads all messages that are left, one by one. Calls `read_all` then, with the log locked.
    pub(crate) fn catch_up(&self, take: impl FnMut(PreparedMessage), read_all: impl FnOnce()) {
        let mut state = lock(&self.log.state);
        state.catch_up(self.place(), take);
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
        let mut state = lock(&self.log.state);
        let Some((unread, at)) = state.enter(self.place()) else {
            return false;
        };
        if at > number || has_room(unread.weight_between(at, number)) {
            return false;
        }
        unread.catch_up(self.place(), number, take);
        unread.move_on(self.place(), number, number + 1);
        if unread.is_empty() {
            state.release();
        }
        true
    }

    /// Reads all messages that are left, one by one, and ends: no message is put in between. Calls `read_all` then, with
    /// the log locked.
    pub(crate) fn end(&self, take: impl FnMut(PreparedMessage), read_all: impl FnOnce()) {
        let mut state = lock(&self.log.state);
        state.catch_up(self.place(), take);
        if let Some(unread) = &mut state.unread {
            unread.end_of(self.place());
        }
        state.members -= 1;
        read_all();
    }
}

impl Copied {
    /// No frames yet. They will lie in this memory.
    pub fn new(frames: Vec<u8>) -> Self {
        Self {
            messages: 0..0,
            frames,
        }
    }

    /// Returns the memory of the frames.
    pub fn into_frames(self) -> Vec<u8> {
        self.frames
    }

    /// The bytes of the frames.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }
}

impl State {
    /// What is unread, and the position of a member in it. The member has to be notified of the next message. `None` if
    /// all members have read all.
    #[inline]
    fn enter(&mut self, place: usize) -> Option<(&mut Unread, u64)> {
        let unread = self.unread.as_mut()?;
        unread.notified = Notified::NotAll;
        let at = unread.position(place)?;
        Some((unread, at))
    }

    fn catch_up(&mut self, place: usize, take: impl FnMut(PreparedMessage)) {
        if let Some((unread, _)) = self.enter(place) {
            unread.catch_up(place, u64::MAX, take);
            if unread.is_empty() {
                self.release();
            }
        }
    }

    /// Releases the memory for what is unread: all is read.
    #[inline(never)]
    fn release(&mut self) {
        if let Some(unread) = self.unread.take_if(|unread| !unread.is_worth_keeping()) {
            spare::give(unread);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.member).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
