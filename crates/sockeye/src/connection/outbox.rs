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
    items: VecDeque<Item>,
    // How many items were put into each lane, and how many are written.
    pushed: Reached,
    written: Reached,
    order: Order,
    // Of the driver's task, when it has parked once.
    driver: Option<Waker>,
    // Boxed: as a rule an idle connection needs none of it.
    seldom: Option<Box<Seldom>>,
    // Nothing is taken any more: this side's Close is sent, or nothing can be.
    closed: bool,
    end: Option<CloseReason>,
}

#[derive(Debug, Default)]
struct Seldom {
    controls: VecDeque<Item>,
    // Those who wait for room, first come first served.
    room: VecDeque<(u64, Waker)>,
    // Those who wait for an item to be written.
    writers: Vec<(u64, Ticket, Waker)>,
    // Those who wait for the connection's end.
    ended: Vec<(u64, Waker)>,
    next_waiter: u64,
}

/// A place in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    control: bool,
    number: u64,
}

/// How far the lanes have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
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
                items: VecDeque::new(),
                pushed: Reached::default(),
                written: Reached::default(),
                order: Order::Go,
                driver: None,
                seldom: None,
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
        if !item.is_control() && (state.is_awaited_for_room() || !state.has_room(&item)) {
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
        let number = lock(&self.state).pushed.items;
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
        let mut wakes = Vec::new();
        if let Some(seldom) = &mut state.seldom {
            wakes.extend(seldom.room.drain(..).map(|(_, waker)| waker));
        }
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

    /// Says that something is there now; gives the driver's waker where it is to be woken for that.
    fn raise(&self, state: &State, bit: u8) -> Option<Waker> {
        // All bits but PARKED change under the lock only.
        let parked = match bit {
            ITEMS => PARKED | WANTS_ITEMS,
            _ => PARKED,
        };
        let signal = self.signal.load(Acquire);
        if signal & bit != 0 && signal & parked != parked {
            // Said already; and a driver that is not parked looks before it is.
            return None;
        }
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
        let mut one = None;
        self.take_some(1, 1, |item| one = Some(item));
        one
    }

    /// Takes items, control frames first, until what was taken makes up for `room` bytes, or is so `many`;
    /// each is given to `take` while the outbox is locked. Says how far the lanes are taken then; `None`
    /// where nothing is in.
    pub(crate) fn take_some(
        &self,
        room: usize,
        many: usize,
        mut take: impl FnMut(Item),
    ) -> Option<Reached> {
        if self.signal.load(Acquire) & ITEMS == 0 {
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
        if state.is_empty() {
            self.lower(ITEMS);
            state.forget_capacity();
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
        state.items = VecDeque::new();
        state.dropped += std::mem::take(&mut state.bytes);
        state.weight = 0;
        self.lower(ITEMS | AWAITED);
        let wakes = state.release_senders();
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// The transport is gone.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.shut();
        let mut state = lock(&self.state);
        state.end.get_or_insert(reason);
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

    fn is_empty(&self) -> bool {
        let controls = self.seldom.as_ref().map(|seldom| &seldom.controls);
        self.items.is_empty() && controls.is_none_or(VecDeque::is_empty)
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
        let item = self.items.pop_front()?;
        self.bytes -= item.len();
        self.weight -= item.weight();
        Some(item)
    }

    /// How far the lanes have been taken.
    fn taken(&self) -> Reached {
        let controls = self
            .seldom
            .as_ref()
            .map_or(0, |seldom| seldom.controls.len());
        Reached {
            controls: self.pushed.controls - controls as u64,
            items: self.pushed.items - self.items.len() as u64,
        }
    }

    /// Gives memory back that an idle connection should not hold. What it holds of it spares a connection
    /// that is often sent to from asking for it each time.
    fn forget_capacity(&mut self) {
        const KEPT: usize = 8;
        if self.items.capacity() > KEPT {
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
        let room = seldom.room.drain(..).map(|(_, waker)| waker);
        let writers = seldom.writers.drain(..).map(|(_, _, waker)| waker);
        room.chain(writers).collect()
    }
}

impl Seldom {
    fn is_of_no_use(&self) -> bool {
        self.controls.is_empty()
            && self.room.is_empty()
            && self.writers.is_empty()
            && self.ended.is_empty()
    }

    fn waiter(&mut self, known: Option<u64>) -> u64 {
        known.unwrap_or_else(|| {
            self.next_waiter += 1;
            self.next_waiter
        })
    }
}

impl Reached {
    fn max(self, other: Self) -> Self {
        Self {
            controls: self.controls.max(other.controls),
            items: self.items.max(other.items),
        }
    }

    fn includes(self, ticket: Ticket) -> bool {
        let reached = if ticket.control {
            self.controls
        } else {
            self.items
        };
        ticket.number <= reached
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
        let first = match (state.front_waiter_id(), *waiter) {
            (None, _) => true,
            (Some(front), Some(waiter)) => front == waiter,
            (Some(_), None) => false,
        };
        let ready = item.take_if(|item| item.is_control() || (first && state.has_room(item)));
        let Some(ready) = ready else {
            let seldom = state.seldom();
            let id = seldom.waiter(*waiter);
            *waiter = Some(id);
            match seldom.room.iter_mut().find(|(known, _)| *known == id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => seldom.room.push_back((id, cx.waker().clone())),
            }
            return Poll::Pending;
        };
        if let Some(id) = waiter.take() {
            state.seldom().room.retain(|(known, _)| *known != id);
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
        if state.written.includes(ticket) {
            *waiter = None;
            return Poll::Ready(Ok(()));
        }
        if state.closed {
            *waiter = None;
            return Poll::Ready(Err(SendError::Closed));
        }
        let seldom = state.seldom();
        let id = seldom.waiter(*waiter);
        *waiter = Some(id);
        match seldom.writers.iter_mut().find(|(known, ..)| *known == id) {
            Some((_, _, waker)) => waker.clone_from(cx.waker()),
            None => seldom.writers.push((id, ticket, cx.waker().clone())),
        }
        self.signal.fetch_or(AWAITED, AcqRel);
        Poll::Pending
    }

    fn forget_writer(&self, waiter: u64) {
        let mut state = lock(&self.state);
        let Some(seldom) = &mut state.seldom else {
            return;
        };
        seldom.writers.retain(|(id, ..)| *id != waiter);
        if seldom.writers.is_empty() {
            self.lower(AWAITED);
        }
    }

    fn leave_room_queue(&self, waiter: u64) {
        let mut state = lock(&self.state);
        if let Some(seldom) = &mut state.seldom {
            seldom.room.retain(|(id, _)| *id != waiter);
        }
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
        let seldom = state.seldom();
        let id = seldom.waiter(this.waiter);
        this.waiter = Some(id);
        match seldom.ended.iter_mut().find(|(known, _)| *known == id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => seldom.ended.push((id, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter
            && let Some(seldom) = &mut lock(&self.outbox.state).seldom
        {
            seldom.ended.retain(|(id, _)| *id != waiter);
        }
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
