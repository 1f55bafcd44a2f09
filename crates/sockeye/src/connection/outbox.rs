//! What other tasks want a connection to send: the one structure that a connection's driver shares with
//! them. Bounded in bytes, fair to those who wait for room, and quiet: however many messages are put in
//! while the driver is parked, it is woken once; while it runs, never.
//!
//! ```text
//!   Session, Sender ──▶ controls ─┐ first
//!                  ──▶ items ─────┼──▶ driver ──▶ output ──▶ transport
//!   broadcasts ───▶ log ──────────┤
//!   Session, Sender ──▶ close ────┘ last
//! ```
//!
//! A session's outbox has a seat at its endpoint's [`log`](super::log), where broadcasts are. What it has not read
//! of that comes behind its items: whoever puts an item in moves what came before into the outbox first.
//!
//! Items are counted in the order in which they enter their lane: whoever waits for one to be written
//! waits for a number, and nothing is allocated for it.
//!
//! A message that is sent in parts has its place among the items, and keeps it until its last part is taken: what
//! was put in behind it waits, but for control frames (RFC 6455 §5.4). Its parts come in as the driver takes them,
//! so that they need little room, and none of what others wait for.
//!
//! Beside the lock stands one word, the signal. It says whether there is anything for the driver to look
//! at, and whether the driver is parked: so a driver that has nothing to do with others takes no lock.
//!
//! ```text
//!             park: nothing that it waits for is there
//!   running ────────────────────────────────────────────▶ parked
//!      ▲                                                    │
//!      └──── drive, or a wake of whoever brings something ──┘
//! ```

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::task::Waker;
use std::time::Instant;

use sockeye_proto::{CloseReason, Outgoing, PreparedMessage};

use super::direct::Direct;
use super::log::{Copied, Seat};
use crate::error::SendError;
use crate::sync::{Arc, AtomicU16, Mutex, lock};

mod item;
mod overflow;
mod part;
mod send;

pub(crate) use self::item::{Item, Reached, Ticket};
pub use self::overflow::Overflow;
pub(crate) use self::overflow::{OverflowPolicy, Overflowed};
pub(crate) use self::part::{Part, Parts, UNFINISHED};
pub(crate) use self::send::{Ended, Send};

use self::overflow::{Offered, Source};
use self::send::Stage;

/// How the driver finds the connection when it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Send items as they come.
    Go,
    /// Send a Close with this reason once the items are sent.
    // A pointer: it comes once, and each connection has room for an order twice.
    Close(Box<CloseReason>),
    /// Drop the transport now.
    Abort,
}

// In this order: whoever broadcasts, and the driver that this wakes, touch what stands first and no more of it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Outbox {
    seat: Option<Seat>,
    // Of the bits below. What they say of the state is changed under its lock; PARKED, LOGGED and PAUSED are not.
    signal: AtomicU16,
    state: Mutex<State>,
}

/// Something waits to be taken.
const ITEMS: u16 = 1;
/// The order is another one than the driver has seen.
const NEWS: u16 = 2;
/// Somebody waits for an item to be written.
const AWAITED: u16 = 4;
/// The driver is to be woken for orders.
const PARKED: u16 = 8;
/// The driver is to be woken for items too.
const WANTS_ITEMS: u16 = 16;
/// There may be something in the log that this one has not read.
const LOGGED: u16 = 32;
/// The seat at the log is given up.
const LEFT: u16 = 64;
/// The time has come that the driver asked to be woken at, or it is no longer paused.
const DUE: u16 = 128;
/// The message in front is being sent in parts, and has begun: no other is taken until it ends.
const HELD: u16 = 256;
/// Nothing that comes is to be handed on.
const PAUSED: u16 = 512;
/// What is in the log somebody delivers while the driver is parked: it is not to be woken for that.
const DELIVERED: u16 = 1024;
/// Somebody delivers, with the state locked.
const WRITING: u16 = 2048;
/// What the transport did not take of that waits for the driver.
const REST: u16 = 4096;

#[repr(C)]
#[derive(Debug)]
struct State {
    // Of the driver's task, when it has parked once.
    driver: Option<Waker>,
    // By which what is in the log may be written while the driver is parked.
    direct: Option<Direct>,
    limit: usize,
    // Of payload, and what the items that carry it count for.
    bytes: usize,
    weight: usize,
    // Bytes that were in when the outbox was shut.
    dropped: usize,
    items: VecDeque<Item>,
    // How many items were put into each lane, and how many are written.
    pushed: Reached,
    written: Reached,
    order: Order,
    // Whether somebody looks now and then at what is due, and when the driver is to be woken.
    due: Option<Instant>,
    is_swept: bool,
    // How many pings came, from some number on.
    pings: u16,
    overflow: OverflowPolicy,
    // Whether a message has found no room before.
    has_overflowed: bool,
    // Nothing is taken any more: this side's Close is sent, or nothing can be.
    closed: bool,
    // The transport is gone.
    gone: bool,
    // Boxed: as a rule an idle connection needs none of it.
    seldom: Option<Box<Seldom>>,
    // A pointer: it comes once, and last.
    end: Option<Box<CloseReason>>,
}

#[derive(Debug, Default)]
struct Seldom {
    controls: VecDeque<Item>,
    // Those who wait for room, first come first served.
    room: VecDeque<(u64, Waker)>,
    // Those who wait for an item to be written.
    writers: Vec<(u64, Ticket, Waker)>,
    // Those who have a message in here that is sent in parts, by its number: for room for the next part.
    parts: Vec<(u64, Waker)>,
    // Those who wait for the connection's end.
    ended: Vec<(u64, Waker)>,
    next_waiter: u64,
    // How many items gave way beyond one for each gap.
    in_gaps: u64,
    // What a delivery has begun to write.
    rest: Vec<u8>,
}

/// What became of a broadcast at one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It goes out.
    Taken,
    /// The session takes nothing any more.
    Closed,
    /// It found no room: [`Hearing::overflowed`] says what became of it.
    Overflowed,
}

/// How whoever broadcasts finds those who hear it.
#[derive(Debug)]
pub(crate) struct Hearing {
    /// Whether the next message ends for all as this one did, as long as nobody has been at the log.
    pub(crate) is_settled: bool,
    /// Whether there is one to whom it has to be [delivered](Outbox::deliver).
    pub(crate) wants_delivery: bool,
    /// What gave way at the last session that had no room.
    pub(crate) overflowed: Option<Overflowed>,
}

/// What the driver finds when it runs again.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The time has come that it asked for.
    pub(crate) is_due: bool,
    /// Frames, of which a part may be written already: they come before anything else.
    pub(crate) rest: Vec<u8>,
}

impl Outbox {
    /// How many bytes wait at most, by default, a message of less than 64 bytes counted as 64. One message
    /// is taken whatever its size.
    pub(crate) const DEFAULT_LIMIT: usize = 1 << 20;

    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Self::make(limit, OverflowPolicy::default(), None, None, false)
    }

    /// The outbox of one of an endpoint's sessions, at which somebody looks from time to time by
    /// [`wake_if_due`](Self::wake_if_due). By `direct` it may be written what comes to the seat.
    pub(crate) fn of_session(
        limit: usize,
        overflow: OverflowPolicy,
        seat: Option<Seat>,
        direct: Option<Direct>,
    ) -> Arc<Self> {
        Self::make(limit, overflow, seat, direct, true)
    }

    fn make(
        limit: usize,
        overflow: OverflowPolicy,
        seat: Option<Seat>,
        direct: Option<Direct>,
        is_swept: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            seat,
            signal: AtomicU16::new(0),
            state: Mutex::new(State {
                driver: None,
                direct,
                limit,
                bytes: 0,
                weight: 0,
                dropped: 0,
                items: VecDeque::new(),
                pushed: Reached::default(),
                written: Reached::default(),
                order: Order::Go,
                is_swept,
                due: None,
                seldom: None,
                pings: 0,
                overflow,
                has_overflowed: false,
                closed: false,
                gone: false,
                end: None,
            }),
        })
    }

    /// Puts an item in, if there is room now and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`]; the item is dropped then.
    pub(crate) fn try_push(&self, item: Item) -> Result<Ticket, SendError> {
        let mut state = lock(&self.state);
        state.check_open()?;
        if !item.is_control() && (state.is_awaited_for_room() || !state.has_room(&item)) {
            return Err(SendError::Full);
        }
        let (ticket, wake) = self.push_and_raise(&mut state, item);
        drop(state);
        wake_one(wake);
        Ok(ticket)
    }

    /// Hears of a message in the log, or does what the policy says where there is no room now.
    pub(crate) fn hear(
        &self,
        number: u64,
        message: &PreparedMessage,
        hearing: &mut Hearing,
    ) -> Heard {
        if self.seat.is_none() {
            hearing.is_settled = false;
            return self.hear_alone(message, hearing);
        }
        let signal = self.signal.load(Acquire);
        if signal & LEFT != 0 {
            return Heard::Closed;
        }
        if signal & (ITEMS | HELD) != 0 {
            hearing.is_settled = false;
            let item = Item::Message(message.into());
            let mut state = lock(&self.state);
            if !state.takes(&item, Source::Broadcast) && self.pass_over(&mut state, number) {
                hearing.overflowed = Some(self.overflow(state, item, Source::Broadcast, None));
                return Heard::Overflowed;
            }
        }
        if signal & DELIVERED != 0 {
            let before = self.signal.fetch_or(LOGGED, AcqRel);
            // It may have changed since.
            if before & DELIVERED != 0 {
                hearing.wants_delivery |= before & PARKED != 0;
                return Heard::Taken;
            }
        }
        if self.raise(LOGGED)
            && let Some(driver) = &lock(&self.state).driver
        {
            // A session's task: nothing of the application's runs here.
            driver.wake_by_ref();
        }
        Heard::Taken
    }

    /// As [`hear`](Self::hear), of a message that is not in the log.
    pub(crate) fn hear_alone(&self, message: &PreparedMessage, hearing: &mut Hearing) -> Heard {
        let item = Item::Message(message.into());
        match self.offer(item, Source::Broadcast, None) {
            Ok(Offered::Taken(_)) => Heard::Taken,
            Ok(Offered::Overflowed(overflowed)) => {
                hearing.overflowed = Some(overflowed);
                Heard::Overflowed
            }
            Err(_) => Heard::Closed,
        }
    }

    /// Writes what is in the log, as far as the transport takes it, if the driver is parked and nothing else is to be
    /// sent. Whoever is told so by [`hear`](Self::hear) has to call it, or to [end](Self::end_delivery) it.
    pub(crate) fn deliver(&self, copied: &mut Copied) {
        if !is_deliverable(self.signal.load(Acquire)) {
            return;
        }
        let mut state = lock(&self.state);
        let begin = |signal| is_deliverable(signal).then_some(signal | WRITING);
        if self.signal.fetch_update(AcqRel, Acquire, begin).is_err() {
            return;
        }
        // Until `WRITING` is lowered the driver waits for the lock before it does anything.
        let rest = self.write_log(&state, copied);
        let wake = rest.and_then(|rest| self.leave_to_driver(&mut state, rest));
        self.lower(WRITING);
        drop(state);
        wake_one(wake);
    }

    /// Writes what is in the log. Gives what the transport did not take.
    fn write_log<'c>(&self, state: &State, copied: &'c mut Copied) -> Option<&'c [u8]> {
        const ROOM: usize = 64 * 1024;
        let (Some(seat), Some(direct)) = (&self.seat, &state.direct) else {
            return None;
        };
        loop {
            let frames = seat.copy(ROOM, copied, || self.lower(LOGGED))?;
            let written = direct.write(frames);
            if written < frames.len() {
                return copied.frames().get(written..);
            }
        }
    }

    #[cold]
    fn leave_to_driver(&self, state: &mut State, rest: &[u8]) -> Option<Waker> {
        state.seldom().rest = rest.to_vec();
        self.raise_under(state, REST)
    }

    /// Nobody delivers any more.
    pub(crate) fn end_delivery(&self) {
        let state = lock(&self.state);
        self.lower(DELIVERED);
        let is_logged = self.signal.load(Acquire) & LOGGED != 0;
        let wake = is_logged.then(|| self.raise_under(&state, LOGGED));
        drop(state);
        wake_one(wake.flatten());
    }

    /// Moves what it has not read of the log here.
    pub(crate) fn catch_up(&self) {
        let mut state = lock(&self.state);
        let wake = self.catch_up_with(&mut state);
        drop(state);
        wake_one(wake);
    }

    /// Gives the driver's waker where it is to be woken: nobody delivers what is here.
    fn catch_up_with(&self, state: &mut State) -> Option<Waker> {
        let seat = self.seat_under(state)?;
        seat.catch_up(|message| self.take_over(state, message));
        self.has_items().then(|| self.raise_under(state, ITEMS))?
    }

    /// Moves what comes before this message here, and leaves the message out; unless it is read already.
    fn pass_over(&self, state: &mut State, number: u64) -> bool {
        let seat = self.seat_under(state);
        seat.is_some_and(|seat| seat.pass_over(number, |message| self.take_over(state, message)))
    }

    /// The seat, which nobody gives up while the state is locked.
    fn seat_under(&self, _state: &State) -> Option<&Seat> {
        let has_left = self.signal.load(Acquire) & LEFT != 0;
        self.seat.as_ref().filter(|_| !has_left)
    }

    /// There was room for it when it was put into the log.
    fn take_over(&self, state: &mut State, message: PreparedMessage) {
        let item = Item::Message(message.into());
        let item = state.as_it_gives_way(item, Source::Broadcast, None);
        state.push(item);
        self.signal.fetch_or(ITEMS, AcqRel);
    }

    /// Hears what is put into the log from now on, which somebody `delivers` to those who may be written to, or nobody.
    pub(crate) fn join_log(&self, delivers: bool) {
        let Some(seat) = &self.seat else {
            return;
        };
        if delivers && lock(&self.state).direct.is_some() {
            self.signal.fetch_or(DELIVERED, AcqRel);
        }
        seat.sit();
    }

    /// Neither hears more of the log, nor is looked at any more.
    pub(crate) fn retire(&self) {
        let mut state = lock(&self.state);
        self.leave_log_under(&state);
        state.is_swept = false;
        // The driver is to see to it itself.
        let due = state.due.take();
        let wake = due.and_then(|_| self.raise_under(&state, DUE));
        drop(state);
        wake_one(wake);
    }

    fn leave_log_under(&self, state: &State) {
        if let Some(seat) = self.seat_under(state) {
            seat.leave(drop, || self.mark_left());
        }
    }

    fn mark_left(&self) {
        self.signal.fetch_or(LEFT, AcqRel);
    }

    /// Puts an item in; gives the driver's waker where it is to be woken.
    fn push_and_raise(&self, state: &mut State, item: Item) -> (Ticket, Option<Waker>) {
        let ticket = self.push_behind(state, item);
        (ticket, self.raise_under(state, ITEMS))
    }

    /// Puts an item in behind what it hears of in the log.
    fn push_behind(&self, state: &mut State, item: Item) -> Ticket {
        if self.signal.load(Acquire) & LOGGED != 0
            && !item.is_control()
            && let Some(seat) = self.seat_under(state)
        {
            seat.catch_up(|message| self.take_over(state, message));
        }
        state.push(item)
    }

    /// A Ping came, which nobody else is told of.
    #[cold]
    #[inline(never)]
    pub(crate) fn pinged(&self) {
        let mut state = lock(&self.state);
        state.pings = state.pings.wrapping_add(1);
    }

    /// Another number when something was put in, or a Ping came.
    pub(crate) fn activity(&self) -> u64 {
        let state = lock(&self.state);
        let sent = state.pushed.items.wrapping_add(state.pushed.controls);
        sent.wrapping_add(state.pings.into())
    }

    /// Lets the driver hand nothing on that comes, from now on.
    pub(crate) fn pause(&self) {
        self.signal.fetch_or(PAUSED, AcqRel);
    }

    /// Lets the driver go on.
    pub(crate) fn resume(&self) {
        if self.signal.fetch_and(!PAUSED, AcqRel) & PAUSED != 0 {
            let wake = self.raise_under(&lock(&self.state), DUE);
            wake_one(wake);
        }
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.signal.load(Acquire) & PAUSED != 0
    }

    /// Wakes the driver if the time that it asked for comes before `horizon`.
    pub(crate) fn wake_if_due(&self, horizon: Instant) {
        let mut state = lock(&self.state);
        if state.due.take_if(|due| *due < horizon).is_none() {
            return;
        }
        let wake = self.raise_under(&state, DUE);
        drop(state);
        wake_one(wake);
    }

    /// Puts an item in when there is room, and waits until it is written.
    pub(crate) fn send(self: &Arc<Self>, item: Item) -> Send {
        self.push(item, true)
    }

    /// Puts an item in when there is room.
    pub(crate) fn feed(self: &Arc<Self>, item: Item) -> Send {
        self.push(item, false)
    }

    fn push(self: &Arc<Self>, item: Item, until_written: bool) -> Send {
        Send {
            outbox: Arc::clone(self),
            stage: Stage::Room {
                item: Some(item),
                waiter: None,
            },
            until_written,
        }
    }

    /// Waits until everything that is in now is written.
    pub(crate) fn flush(self: &Arc<Self>) -> Send {
        let mut state = lock(&self.state);
        let wake = self.catch_up_with(&mut state);
        let number = state.pushed.items;
        drop(state);
        wake_one(wake);
        self.written(Ticket {
            control: false,
            number,
        })
    }

    /// Waits until an item is written.
    pub(crate) fn written(self: &Arc<Self>, ticket: Ticket) -> Send {
        Send {
            outbox: Arc::clone(self),
            stage: Stage::Written {
                ticket,
                waiter: None,
                fate: None,
            },
            until_written: true,
        }
    }

    /// Asks for a Close behind what is in. The first one asked for counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        if state.closed || state.order != Order::Go {
            return;
        }
        state.order = Order::Close(Box::new(reason));
        // What was said to all before goes out before.
        if let Some(seat) = self.seat_under(&state) {
            let take_over = |message| self.take_over(&mut state, message);
            seat.leave(take_over, || self.mark_left());
        }
        let mut wakes = Vec::new();
        if let Some(seldom) = &mut state.seldom {
            wakes.extend(seldom.room.drain(..).map(|(_, waker)| waker));
            wakes.extend(seldom.parts.drain(..).map(|(_, waker)| waker));
        }
        wakes.extend(self.raise_under(&state, NEWS));
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Asks for the transport to be dropped.
    pub(crate) fn abort(&self) {
        let mut state = lock(&self.state);
        state.order = Order::Abort;
        self.leave_log_under(&state);
        let wake = self.raise_under(&state, NEWS);
        drop(state);
        wake_one(wake);
    }

    /// Whether items are still taken.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.state).check_open().is_ok()
    }

    /// The bytes of payload that wait.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    /// The bytes of payload that were taken and not handed to the transport: those that wait, and those
    /// that waited at the end.
    pub(crate) fn unsent(&self) -> usize {
        let state = lock(&self.state);
        state.bytes + state.dropped
    }

    /// How many items were ever put in.
    #[cfg(test)]
    pub(crate) fn pushed(&self) -> u64 {
        let state = lock(&self.state);
        state.pushed.controls + state.pushed.items
    }

    /// Completes at the connection's end, with what it was closed for.
    pub(crate) fn ended(self: &Arc<Self>) -> Ended {
        Ended {
            outbox: Arc::clone(self),
            waiter: None,
        }
    }

    // The driver's side.

    /// Says that something is there now, and whether the driver is to be woken for that.
    fn raise(&self, bit: u16) -> bool {
        let parked = match bit {
            ITEMS | LOGGED => PARKED | WANTS_ITEMS,
            _ => PARKED,
        };
        let signal = self.signal.load(Acquire);
        if signal & bit != 0 && signal & parked != parked {
            // Said already; and a driver that is not parked looks before it is.
            return false;
        }
        let before = self.signal.fetch_or(bit, AcqRel);
        if before & parked != parked {
            return false;
        }
        // Whoever takes the mark away wakes; however many come after it, and the driver if it runs by then,
        // find none.
        let before = self.signal.fetch_and(!(PARKED | WANTS_ITEMS), AcqRel);
        before & PARKED != 0
    }

    fn raise_under(&self, state: &State, bit: u16) -> Option<Waker> {
        self.raise(bit).then(|| state.driver.clone())?
    }

    fn lower(&self, bit: u16) {
        self.signal.fetch_and(!bit, AcqRel);
    }

    /// The driver runs: nobody has to wake it until it parks, and nobody writes in its place. Brings its `order` up to
    /// date.
    #[inline]
    pub(crate) fn drive(&self, order: &mut Order) -> Option<News> {
        let mut signal = self.signal.load(Acquire);
        if signal & (PARKED | WRITING) != 0 {
            signal = self.signal.fetch_and(!(PARKED | WANTS_ITEMS), AcqRel);
        }
        if signal & (NEWS | DUE | WRITING | REST) == 0 {
            return None;
        }
        Some(self.news(order))
    }

    #[cold]
    #[inline(never)]
    fn news(&self, order: &mut Order) -> News {
        // Whoever writes has it locked.
        let mut state = lock(&self.state);
        let signal = self.signal.fetch_and(!(NEWS | DUE | REST), AcqRel);
        order.clone_from(&state.order);
        let rest = match &mut state.seldom {
            Some(seldom) if signal & REST != 0 => std::mem::take(&mut seldom.rest),
            _ => Vec::new(),
        };
        News {
            is_due: signal & DUE != 0,
            rest,
        }
    }

    /// Asks for the driver to be woken not later than then, and not long before. False where nobody would.
    pub(crate) fn wake_by(&self, due: Instant) -> bool {
        let mut state = lock(&self.state);
        if state.is_swept {
            state.due = Some(due);
        }
        state.is_swept
    }

    /// Reads frames of the log that make up for `room` bytes or a little more, if nothing else comes before
    /// them. Says whether there were any.
    #[inline]
    pub(crate) fn read_log(&self, room: usize, read: impl FnOnce(&[u8])) -> bool {
        if self.signal.load(Acquire) & (LOGGED | HELD) != LOGGED {
            return false;
        }
        let Some(seat) = &self.seat else {
            return false;
        };
        let is_overtaken = || {
            let signal = self.signal.load(Acquire);
            if signal & LEFT != 0 {
                self.lower(LOGGED);
            }
            signal & (ITEMS | LEFT) != 0
        };
        seat.read(room, is_overtaken, read, || self.lower(LOGGED))
    }

    /// Takes the next item, control frames first.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Item> {
        let mut one = None;
        self.take_some(1, 1, |item| one = Some(item));
        one
    }

    /// Takes items, control frames first, until what was taken makes up for `room` bytes, or is so `many`;
    /// each is given to `take` while the outbox is locked. Says how far the lanes are taken then; `None`
    /// where nothing can be taken.
    pub(crate) fn take_some(
        &self,
        room: usize,
        many: usize,
        mut take: impl FnMut(Item),
    ) -> Option<Reached> {
        let signal = self.signal.load(Acquire);
        if signal & ITEMS == 0 {
            return None;
        }
        let mut state = lock(&self.state);
        let (mut taken, mut count) = (0, 0);
        while taken < room && count < many {
            let Some(item) = state.pop() else {
                break;
            };
            taken += item.len();
            count += 1;
            take(item);
        }
        if state.has_nothing_to_take() {
            self.lower(ITEMS);
            state.forget_capacity();
        }
        if state.is_held() != (signal & HELD != 0) {
            self.signal.fetch_xor(HELD, AcqRel);
        }
        let reached = state.taken();
        let wake = state.front_waiter();
        let next_part = state.take_part_waiter();
        drop(state);
        wake_one(wake);
        wake_one(next_part);
        (count > 0).then_some(reached)
    }

    /// Whether a message has begun that is sent in parts: no other may be sent.
    pub(crate) fn is_held(&self) -> bool {
        self.signal.load(Acquire) & HELD != 0
    }

    /// Puts a reply in behind what is in, whether or not there is room: the driver bounds its replies by
    /// not reading. Says what it counts for.
    pub(crate) fn push_reply(&self, reply: Outgoing) -> Result<usize, SendError> {
        let mut state = lock(&self.state);
        state.check_open()?;
        let reply = Item::Reply(reply);
        let weight = reply.weight();
        self.push_behind(&mut state, reply);
        // The driver itself is at it.
        self.signal.fetch_or(ITEMS, AcqRel);
        Ok(weight)
    }

    /// Whether nothing waits to be taken, nothing new is asked for, and any message may be sent.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.signal.load(Acquire) & (ITEMS | NEWS | LOGGED | HELD) == 0
    }

    /// As [`is_quiet`](Self::is_quiet), and what comes may be handed on.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.signal.load(Acquire) & (ITEMS | NEWS | LOGGED | HELD | PAUSED) == 0
    }

    /// Whether there may be something in the log, and nothing else.
    #[inline]
    pub(crate) fn is_only_logged(&self) -> bool {
        self.signal.load(Acquire) & (ITEMS | NEWS | LOGGED | HELD) == LOGGED
    }

    /// Whether an item waits to be taken.
    #[inline]
    pub(crate) fn has_items(&self) -> bool {
        self.signal.load(Acquire) & ITEMS != 0
    }

    /// Whether nothing waits that can be taken now.
    pub(crate) fn is_empty(&self) -> bool {
        let signal = self.signal.load(Acquire);
        signal & ITEMS == 0 && signal & (LOGGED | HELD) != LOGGED
    }

    /// Whether somebody waits for an item to be written.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.signal.load(Acquire) & AWAITED != 0
    }

    /// How far the lanes have been taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> Reached {
        lock(&self.state).taken()
    }

    /// All that was taken up to `taken` is written.
    pub(crate) fn wrote(&self, taken: Reached) {
        let mut state = lock(&self.state);
        state.written = taken.max(state.written);
        let written = state.written;
        let Some(seldom) = &mut state.seldom else {
            return;
        };
        let waiting = seldom.writers.iter_mut();
        let told = |(_, ticket, waker): &mut (u64, Ticket, Waker)| {
            written.includes(*ticket).then(|| waker.clone())
        };
        let wakes: Vec<Waker> = waiting.filter_map(told).collect();
        seldom
            .writers
            .retain(|(_, ticket, _)| !written.includes(*ticket));
        if seldom.writers.is_empty() {
            self.lower(AWAITED);
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Parks the driver until there is something for it to do; false when there is already. With
    /// `wants_items` unset it has no room for items, and is woken for orders only. `known` is the waker that
    /// it parked with before: with the same one there is nothing to lock.
    pub(crate) fn park(
        &self,
        known: &mut Option<Waker>,
        waker: &Waker,
        wants_items: bool,
        seen: &Order,
    ) -> bool {
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
            lock(&self.state).driver = Some(waker.clone());
        }
        let (parked, waits_for) = if wants_items {
            (PARKED | WANTS_ITEMS, NEWS | DUE | ITEMS | LOGGED)
        } else {
            (PARKED, NEWS | DUE)
        };
        let before = self.signal.fetch_or(parked, AcqRel);
        let waits_for = if before & HELD != 0 {
            waits_for & !LOGGED
        } else {
            waits_for
        };
        if before & waits_for == 0 {
            return true;
        }
        if before & waits_for == NEWS {
            let state = lock(&self.state);
            if state.order == *seen {
                self.lower(NEWS);
                return true;
            }
        }
        self.lower(PARKED | WANTS_ITEMS);
        false
    }

    /// Takes nothing any more, and tells those who wait. What is in is dropped.
    pub(crate) fn shut(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.items = VecDeque::new();
        state.dropped += std::mem::take(&mut state.bytes);
        state.weight = 0;
        self.leave_log_under(&state);
        state.direct = None;
        self.lower(ITEMS | AWAITED | HELD | DELIVERED);
        let wakes = state.release_senders();
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Notes what the connection is closed for, before its transport is gone. The first reason counts.
    pub(crate) fn note_end(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        state.end.get_or_insert_with(|| Box::new(reason));
    }

    /// The transport is gone. A reason that was [noted](Self::note_end) before counts.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.shut();
        let mut state = lock(&self.state);
        state.end.get_or_insert_with(|| Box::new(reason));
        state.gone = true;
        let seldom = state.seldom.take();
        drop(state);
        let ended = seldom.map(|seldom| seldom.ended).unwrap_or_default();
        ended.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl State {
    fn check_open(&self) -> Result<(), SendError> {
        if self.closed || self.order != Order::Go {
            Err(SendError::Closed)
        } else {
            Ok(())
        }
    }

    /// Whether nothing is in, or nothing but what waits for the next part of the message in front.
    fn has_nothing_to_take(&self) -> bool {
        let controls = self.seldom.as_ref().map(|seldom| &seldom.controls);
        let front = self.items.front();
        front.is_none_or(Item::has_no_part_ready) && controls.is_none_or(VecDeque::is_empty)
    }

    fn is_awaited_for_room(&self) -> bool {
        self.front_waiter_id().is_some()
    }

    /// One item is taken whatever its size, or a message larger than the limit could never be sent.
    fn has_room(&self, item: &Item) -> bool {
        self.items.is_empty() || self.weight + item.weight() <= self.limit
    }

    fn push(&mut self, item: Item) -> Ticket {
        if item.is_control() {
            let controls = &mut self.seldom().controls;
            controls.push_back(item);
            if controls.len() > MAX_CONTROLS {
                // §5.5.3: the newest is enough.
                controls.pop_front();
            }
            self.pushed.controls += 1;
            return Ticket {
                control: true,
                number: self.pushed.controls,
            };
        }
        self.bytes += item.len();
        self.weight += item.weight();
        self.items.push_back(item);
        self.pushed.items += 1;
        Ticket {
            control: false,
            number: self.pushed.items,
        }
    }

    /// Control frames first.
    fn pop(&mut self) -> Option<Item> {
        if let Some(seldom) = &mut self.seldom
            && let Some(control) = seldom.controls.pop_front()
        {
            return Some(control);
        }
        if let Some(Item::Streamed(_)) = self.items.front() {
            return self.pop_part();
        }
        let item = self.pop_front()?;
        self.bytes -= item.len();
        self.weight -= item.weight();
        Some(item)
    }

    /// Takes the item in front away, and the gap behind it: a gap is never in front.
    fn pop_front(&mut self) -> Option<Item> {
        let item = self.items.pop_front();
        if let Some(Item::Gap(_)) = self.items.front() {
            self.close_gap();
        }
        item
    }

    /// How far the lanes have been taken.
    fn taken(&self) -> Reached {
        let seldom = self.seldom.as_deref();
        let (controls, in_gaps) = seldom.map_or((0, 0), |seldom| {
            (seldom.controls.len() as u64, seldom.in_gaps)
        });
        Reached {
            controls: self.pushed.controls - controls,
            items: self.pushed.items - self.items.len() as u64 - in_gaps,
        }
    }

    /// Gives memory back that an idle connection should not hold. What it holds of it spares a connection
    /// that is often sent to from asking for it each time.
    fn forget_capacity(&mut self) {
        const KEPT: usize = 8;
        if self.items.capacity() > KEPT && self.items.is_empty() {
            self.items = VecDeque::new();
        }
        self.seldom.take_if(|seldom| seldom.is_of_no_use());
    }

    fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// Whoever waits longest for room. It stays in the queue until it has looked.
    fn front_waiter(&self) -> Option<Waker> {
        let (_, waker) = self.seldom.as_ref()?.room.front()?;
        Some(waker.clone())
    }

    fn front_waiter_id(&self) -> Option<u64> {
        let (id, _) = self.seldom.as_ref()?.room.front()?;
        Some(*id)
    }

    /// Takes all away who wait for what does not come any more, and what is in.
    fn release_senders(&mut self) -> Vec<Waker> {
        let Some(seldom) = &mut self.seldom else {
            return Vec::new();
        };
        seldom.controls = VecDeque::new();
        seldom.in_gaps = 0;
        let room = seldom.room.drain(..).map(|(_, waker)| waker);
        let parts = seldom.parts.drain(..).map(|(_, waker)| waker);
        let writers = seldom.writers.drain(..).map(|(_, _, waker)| waker);
        room.chain(parts).chain(writers).collect()
    }
}

impl Seldom {
    fn is_of_no_use(&self) -> bool {
        self.controls.is_empty()
            && self.room.is_empty()
            && self.parts.is_empty()
            && self.writers.is_empty()
            && self.ended.is_empty()
            && self.in_gaps == 0
            && self.rest.is_empty()
    }

    fn waiter(&mut self, known: Option<u64>) -> u64 {
        known.unwrap_or_else(|| {
            self.next_waiter += 1;
            self.next_waiter
        })
    }
}

/// An application's pings and pongs that wait at most; beyond it the newest win.
const MAX_CONTROLS: usize = 64;

/// Whether there is something in the log for a driver that is parked with room for it, and nothing before it.
fn is_deliverable(signal: u16) -> bool {
    const WANTED: u16 = DELIVERED | LOGGED | PARKED | WANTS_ITEMS;
    const UNWANTED: u16 = ITEMS | HELD | LEFT | WRITING | REST;
    signal & (WANTED | UNWANTED) == WANTED
}

fn wake_one(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
