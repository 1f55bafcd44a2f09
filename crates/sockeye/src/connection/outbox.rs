//! What other tasks want a connection to send: the one structure that a connection's driver shares with
//! them. Bounded in bytes, fair to those who wait for room, and quiet: however many messages are put in
//! while the driver is parked, it is woken once; while it runs, never.
//!
//! ```text
//!   Session, Sender ──▶ controls ─┐ first
//!                  ──▶ items ─────┼──▶ driver ──▶ output ──▶ transport
//!                  ──▶ close ─────┘ last
//! ```
//!
//! Items are counted in the order in which they enter their lane: whoever waits for one to be written
//! waits for a number, and nothing is allocated for it.
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
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::task::{Context, Poll, Waker};

use sockeye_proto::{CloseReason, Outgoing};

use crate::error::SendError;
use crate::sync::{Arc, AtomicU8, Mutex, lock};

/// One thing to send.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Outgoing),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Of the driver itself: a reply that would overtake what was put in before it.
    Reply(Outgoing),
}

/// How the driver finds the connection when it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Send items as they come.
    Go,
    /// Send a Close with this reason once the items are sent.
    Close(CloseReason),
    /// Drop the transport now.
    Abort,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    // Of the bits below. What they say of the state is changed under its lock; PARKED is not.
    signal: AtomicU8,
    state: Mutex<State>,
}

/// Something waits to be taken.
const ITEMS: u8 = 1;
/// The order is another one than the driver has seen.
const NEWS: u8 = 2;
/// Somebody waits for an item to be written.
const AWAITED: u8 = 4;
/// The driver is to be woken for orders.
const PARKED: u8 = 8;
/// The driver is to be woken for items too.
const WANTS_ITEMS: u8 = 16;

#[derive(Debug)]
struct State {
    limit: usize,
    // Of payload, and what the items that carry it count for.
    bytes: usize,
    weight: usize,
    // Bytes that were in when the outbox was shut.
    dropped: usize,
    controls: Lane,
    items: Lane,
    order: Order,
    // Of the driver's task, when it has parked once.
    driver: Option<Waker>,
    // Those who wait for room, first come first served.
    room: VecDeque<(u64, Waker)>,
    // Those who wait for an item to be written.
    written: Vec<(u64, Ticket, Waker)>,
    // Those who wait for the connection's end.
    ended: Vec<(u64, Waker)>,
    next_waiter: u64,
    // Nothing is taken any more: this side's Close is sent, or nothing can be.
    closed: bool,
    end: Option<CloseReason>,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Item>,
    pushed: u64,
    written: u64,
}

/// A place in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    control: bool,
    number: u64,
}

/// How far the lanes have been taken, to be told when that much is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    controls: u64,
    items: u64,
}

impl Outbox {
    /// How many bytes wait at most, by default, a message of less than 64 bytes counted as 64. One message
    /// is taken whatever its size.
    pub(crate) const DEFAULT_LIMIT: usize = 1 << 20;

    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            signal: AtomicU8::new(0),
            state: Mutex::new(State {
                limit,
                bytes: 0,
                weight: 0,
                dropped: 0,
                controls: Lane::default(),
                items: Lane::default(),
                order: Order::Go,
                driver: None,
                room: VecDeque::new(),
                written: Vec::new(),
                ended: Vec::new(),
                next_waiter: 0,
                closed: false,
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
        if !item.is_control() && (!state.room.is_empty() || !state.has_room(&item)) {
            return Err(SendError::Full);
        }
        let ticket = state.push(item);
        let wake = self.raise(&state, ITEMS);
        drop(state);
        wake_one(wake);
        Ok(ticket)
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
        let number = lock(&self.state).items.pushed;
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
        state.order = Order::Close(reason);
        let mut wakes: Vec<Waker> = state.room.drain(..).map(|(_, waker)| waker).collect();
        wakes.extend(self.raise(&state, NEWS));
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Asks for the transport to be dropped.
    pub(crate) fn abort(&self) {
        let mut state = lock(&self.state);
        state.order = Order::Abort;
        let wake = self.raise(&state, NEWS);
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
        state.controls.pushed + state.items.pushed
    }

    /// Completes at the connection's end, with what it was closed for.
    pub(crate) fn ended(self: &Arc<Self>) -> Ended {
        Ended {
            outbox: Arc::clone(self),
            waiter: None,
        }
    }

    // The driver's side.

    /// Says that something is there now; gives the driver's waker where it is to be woken for that.
    fn raise(&self, state: &State, bit: u8) -> Option<Waker> {
        // All bits but PARKED change under the lock only.
        let parked = match bit {
            ITEMS => PARKED | WANTS_ITEMS,
            _ => PARKED,
        };
        let before = self.signal.fetch_or(bit, AcqRel);
        if before & parked != parked {
            return None;
        }
        // Whoever takes the mark away wakes; however many come after it, and the driver if it runs by then,
        // find none.
        let before = self.signal.fetch_and(!(PARKED | WANTS_ITEMS), AcqRel);
        if before & PARKED == 0 {
            return None;
        }
        state.driver.clone()
    }

    fn lower(&self, bit: u8) {
        self.signal.fetch_and(!bit, AcqRel);
    }

    /// The driver runs: nobody has to wake it until it parks. Brings its `order` up to date.
    #[inline]
    pub(crate) fn drive(&self, order: &mut Order) {
        let signal = self.signal.load(Acquire);
        if signal & PARKED != 0 {
            self.lower(PARKED | WANTS_ITEMS);
        }
        if signal & NEWS != 0 {
            let state = lock(&self.state);
            self.lower(NEWS);
            order.clone_from(&state.order);
        }
    }

    /// Takes the next item, control frames first.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Item> {
        let mut one = Vec::new();
        self.take_some(&mut one, 1, 1);
        one.pop()
    }

    /// Takes items, control frames first, until what was taken makes up for `room` bytes, or is so `many`.
    /// Says how far the lanes are taken then; `None` where nothing is in.
    pub(crate) fn take_some(
        &self,
        items: &mut Vec<Item>,
        room: usize,
        many: usize,
    ) -> Option<Taken> {
        if self.signal.load(Acquire) & ITEMS == 0 {
            return None;
        }
        let mut state = lock(&self.state);
        let mut taken = 0;
        while taken < room && items.len() < many {
            let item = match state.controls.queue.pop_front() {
                Some(control) => control,
                None => match state.items.queue.pop_front() {
                    Some(item) => {
                        state.bytes -= item.len();
                        state.weight -= item.weight();
                        item
                    }
                    None => break,
                },
            };
            taken += item.len();
            items.push(item);
        }
        if state.is_empty() {
            self.lower(ITEMS);
            state.items.forget_capacity();
            state.controls.forget_capacity();
        }
        let reached = state.taken();
        let wake = state.front_waiter();
        drop(state);
        wake_one(wake);
        Some(reached)
    }

    /// Puts a reply in behind what is in, whether or not there is room: the driver bounds its replies by
    /// not reading. Says what it counts for.
    pub(crate) fn push_reply(&self, reply: Outgoing) -> Result<usize, SendError> {
        let mut state = lock(&self.state);
        state.check_open()?;
        let reply = Item::Reply(reply);
        let weight = reply.weight();
        state.push(reply);
        // The driver itself is at it.
        self.signal.fetch_or(ITEMS, AcqRel);
        Ok(weight)
    }

    /// Whether nothing waits to be taken, and nothing new is asked for.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.signal.load(Acquire) & (ITEMS | NEWS) == 0
    }

    /// Whether somebody waits for an item to be written.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.signal.load(Acquire) & AWAITED != 0
    }

    /// How far the lanes have been taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> Taken {
        lock(&self.state).taken()
    }

    /// All that was taken up to `taken` is written.
    pub(crate) fn wrote(&self, taken: Taken) {
        let mut state = lock(&self.state);
        state.controls.written = state.controls.written.max(taken.controls);
        state.items.written = state.items.written.max(taken.items);
        if state.written.is_empty() {
            return;
        }
        let mut wakes = Vec::new();
        let waiting = std::mem::take(&mut state.written);
        for (id, ticket, waker) in waiting {
            if state.is_written(ticket) {
                wakes.push(waker);
            } else {
                state.written.push((id, ticket, waker));
            }
        }
        if state.written.is_empty() {
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
            (PARKED | WANTS_ITEMS, NEWS | ITEMS)
        } else {
            (PARKED, NEWS)
        };
        let before = self.signal.fetch_or(parked, AcqRel);
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
        state.controls.queue = VecDeque::new();
        state.items.queue = VecDeque::new();
        state.dropped += std::mem::take(&mut state.bytes);
        state.weight = 0;
        self.lower(ITEMS | AWAITED);
        let wakes = state.wake_senders();
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// The transport is gone.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.shut();
        let mut state = lock(&self.state);
        state.end.get_or_insert(reason);
        let ended = std::mem::take(&mut state.ended);
        drop(state);
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

    fn is_empty(&self) -> bool {
        self.controls.queue.is_empty() && self.items.queue.is_empty()
    }

    /// One item is taken whatever its size, or a message larger than the limit could never be sent.
    fn has_room(&self, item: &Item) -> bool {
        self.items.queue.is_empty() || self.weight + item.weight() <= self.limit
    }

    fn push(&mut self, item: Item) -> Ticket {
        let control = item.is_control();
        if !control {
            self.bytes += item.len();
            self.weight += item.weight();
        }
        let lane = if control {
            &mut self.controls
        } else {
            &mut self.items
        };
        lane.queue.push_back(item);
        if control && lane.queue.len() > MAX_CONTROLS {
            // §5.5.3: the newest is enough.
            lane.queue.pop_front();
        }
        lane.pushed += 1;
        Ticket {
            control,
            number: lane.pushed,
        }
    }

    /// How far the lanes have been taken.
    fn taken(&self) -> Taken {
        Taken {
            controls: self.controls.taken(),
            items: self.items.taken(),
        }
    }

    /// Whoever waits longest for room. It stays in the queue until it has looked.
    fn front_waiter(&self) -> Option<Waker> {
        self.room.front().map(|(_, waker)| waker.clone())
    }

    fn is_written(&self, ticket: Ticket) -> bool {
        let lane = if ticket.control {
            &self.controls
        } else {
            &self.items
        };
        ticket.number <= lane.written
    }

    fn wake_senders(&mut self) -> Vec<Waker> {
        let room = self.room.drain(..).map(|(_, waker)| waker);
        let written = self.written.drain(..).map(|(_, _, waker)| waker);
        room.chain(written).collect()
    }

    fn waiter(&mut self, known: Option<u64>) -> u64 {
        known.unwrap_or_else(|| {
            self.next_waiter += 1;
            self.next_waiter
        })
    }
}

impl Lane {
    fn taken(&self) -> u64 {
        self.pushed - self.queue.len() as u64
    }

    /// Gives memory back that an idle connection should not hold. What it holds of it spares a connection
    /// that is often sent to from asking for it each time.
    fn forget_capacity(&mut self) {
        const KEPT: usize = 8;
        if self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
    }
}

impl Item {
    fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_))
    }

    /// The bytes of payload, as they are before they are compressed: so many are held while it waits.
    fn len(&self) -> usize {
        match self {
            Self::Message(outgoing) | Self::Reply(outgoing) => outgoing.message().as_bytes().len(),
            Self::Ping(payload) | Self::Pong(payload) => payload.len(),
        }
    }

    /// What it counts for where a limit is: its payload, or what carries that where it is less. Else
    /// empty messages would wait without a limit.
    pub(crate) fn weight(&self) -> usize {
        self.len().max(LEAST_WEIGHT)
    }
}

/// A short message takes about as much memory for itself.
const LEAST_WEIGHT: usize = 64;

/// An application's pings and pongs that wait at most; beyond it the newest win.
const MAX_CONTROLS: usize = 64;

fn wake_one(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Puts an item in when there is room, then waits until it is written.
///
/// The first poll that finds room takes the item: from then on it is sent once, whether or not the
/// future is dropped. Dropped before, it is not sent.
#[derive(Debug)]
pub(crate) struct Send {
    outbox: Arc<Outbox>,
    stage: Stage,
    until_written: bool,
}

#[derive(Debug)]
enum Stage {
    Room {
        item: Option<Item>,
        waiter: Option<u64>,
    },
    Written {
        ticket: Ticket,
        waiter: Option<u64>,
    },
    Done,
}

impl Future for Send {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let outbox = &*this.outbox;
        loop {
            let polled = match &mut this.stage {
                Stage::Room { item, waiter } => outbox.poll_push(cx, item, waiter),
                Stage::Written { ticket, waiter } => {
                    let written = outbox.poll_written(cx, *ticket, waiter);
                    if written.is_ready() {
                        this.stage = Stage::Done;
                    }
                    return written;
                }
                Stage::Done => return Poll::Ready(Ok(())),
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    this.stage = Stage::Done;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(_)) if !this.until_written => {
                    this.stage = Stage::Done;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(ticket)) => {
                    this.stage = Stage::Written {
                        ticket,
                        waiter: None,
                    }
                }
            }
        }
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        match self.stage {
            Stage::Room {
                waiter: Some(waiter),
                ..
            } => self.outbox.leave_room_queue(waiter),
            Stage::Written {
                waiter: Some(waiter),
                ..
            } => self.outbox.forget_writer(waiter),
            _ => {}
        }
    }
}

impl Outbox {
    fn poll_push(
        &self,
        cx: &mut Context<'_>,
        item: &mut Option<Item>,
        waiter: &mut Option<u64>,
    ) -> Poll<Result<Ticket, SendError>> {
        let mut state = lock(&self.state);
        if let Err(error) = state.check_open() {
            *waiter = None;
            return Poll::Ready(Err(error));
        }
        let first = match (state.room.front(), &waiter) {
            (None, _) => true,
            (Some((front, _)), Some(waiter)) => front == waiter,
            (Some(_), None) => false,
        };
        let ready = item.take_if(|item| item.is_control() || (first && state.has_room(item)));
        let Some(ready) = ready else {
            let id = state.waiter(*waiter);
            *waiter = Some(id);
            match state.room.iter_mut().find(|(known, _)| *known == id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => state.room.push_back((id, cx.waker().clone())),
            }
            return Poll::Pending;
        };
        if let Some(id) = waiter.take() {
            state.room.retain(|(known, _)| *known != id);
        }
        let ticket = state.push(ready);
        let driver = self.raise(&state, ITEMS);
        // The next in the queue may find room too.
        let next = state.front_waiter();
        drop(state);
        wake_one(driver);
        wake_one(next);
        Poll::Ready(Ok(ticket))
    }

    fn poll_written(
        &self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        waiter: &mut Option<u64>,
    ) -> Poll<Result<(), SendError>> {
        let mut state = lock(&self.state);
        if state.is_written(ticket) {
            *waiter = None;
            return Poll::Ready(Ok(()));
        }
        if state.closed {
            *waiter = None;
            return Poll::Ready(Err(SendError::Closed));
        }
        let id = state.waiter(*waiter);
        *waiter = Some(id);
        match state.written.iter_mut().find(|(known, ..)| *known == id) {
            Some((_, _, waker)) => waker.clone_from(cx.waker()),
            None => state.written.push((id, ticket, cx.waker().clone())),
        }
        self.signal.fetch_or(AWAITED, AcqRel);
        Poll::Pending
    }

    fn forget_writer(&self, waiter: u64) {
        let mut state = lock(&self.state);
        state.written.retain(|(id, ..)| *id != waiter);
        if state.written.is_empty() {
            self.lower(AWAITED);
        }
    }

    fn leave_room_queue(&self, waiter: u64) {
        let mut state = lock(&self.state);
        state.room.retain(|(id, _)| *id != waiter);
        // Whoever stands first now was perhaps not told of room that the one who left was told of.
        let next = state.front_waiter();
        drop(state);
        wake_one(next);
    }
}

/// Completes at the connection's end.
#[derive(Debug)]
pub(crate) struct Ended {
    outbox: Arc<Outbox>,
    waiter: Option<u64>,
}

impl Future for Ended {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = &mut *self;
        let mut state = lock(&this.outbox.state);
        if let Some(reason) = &state.end {
            this.waiter = None;
            return Poll::Ready(reason.clone());
        }
        let id = state.waiter(this.waiter);
        this.waiter = Some(id);
        match state.ended.iter_mut().find(|(known, _)| *known == id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => state.ended.push((id, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            lock(&self.outbox.state)
                .ended
                .retain(|(id, _)| *id != waiter);
        }
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
