//! The two lanes of an outbox: control frames, and items behind them. The driver takes from here, control frames
//! first. The limit of an outbox is checked here.

use std::collections::VecDeque;

use sockeye_proto::Outgoing;

use super::driver::DriverSide;
use super::item::{Queued, Reached, Taken, Ticket};
use super::state::{State, Wakes};
use crate::error::SendError;
use crate::sync::lock;

impl<D> DriverSide<D> {
    /// Takes items, control frames first, until they reach `room` bytes or `many` items. Gives each to `take` while the
    /// outbox is locked. Returns the number of the last item taken of each lane, or `None` if there is nothing to take.
    pub fn take(&self, room: usize, many: usize, mut take: impl FnMut(Taken)) -> Option<Reached> {
        let signal = &self.mailbox.signal;
        let look = signal.look();
        if !look.has_items() {
            return None;
        }
        let mut state = lock(&self.mailbox.state);
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
            signal.clear_items(&state.locked);
            state.forget_capacity();
        }
        let is_held = state.is_held();
        if is_held != look.is_held() {
            signal.set_held(is_held, &state.locked);
        }
        let reached = state.taken();
        let mut wakes = Wakes::default();
        wakes.add(state.waker_for_room());
        wakes.add(state.take_part_waiter());
        drop(state);
        wakes.wake();
        (count > 0).then_some(reached)
    }

    /// Puts a reply in behind the items that are in, whether or not there is room: the driver reads no more while too
    /// many replies wait. Returns the bytes that the reply counts for.
    pub fn reply(&self, reply: Outgoing) -> Result<usize, SendError> {
        let mailbox = &*self.mailbox;
        let mut state = lock(&mailbox.state);
        state.check_open()?;
        let reply = Queued::Reply(reply);
        let weight = reply.weight();
        let mut wakes = Wakes::default();
        mailbox.push_behind(&mut state, reply, &mut wakes);
        // The driver itself calls this: it needs no waking.
        mailbox.signal.note_items(&state.locked);
        drop(state);
        wakes.wake();
        Ok(weight)
    }
}

impl<D> State<D> {
    /// Whether the outbox is empty, or all that is in waits for the next part of the message in front.
    pub(super) fn has_nothing_to_take(&self) -> bool {
        let waiters = self.waiters.as_deref();
        let is_blocked = match self.items.front() {
            Some(front) => front.has_no_part_ready(),
            None => waiters.is_none_or(|waiters| waiters.latest.is_empty()),
        };
        is_blocked && waiters.is_none_or(|waiters| waiters.controls.is_empty())
    }

    /// Whether there is room for the item. An empty outbox takes one of any size: a message above the outbox's limit can
    /// be sent.
    pub(super) fn has_room(&self, item: &Queued) -> bool {
        self.has_room_below(self.limit, item)
    }

    pub(super) fn has_room_below(&self, limit: usize, item: &Queued) -> bool {
        self.items.is_empty() || self.weight + item.weight() <= limit
    }

    pub(super) fn push(&mut self, item: Queued) -> Ticket {
        if item.is_control() {
            let controls = &mut self.waiters().controls;
            controls.extend(item.into_taken());
            if controls.len() > MAX_CONTROLS {
                // §5.5.3: of unsolicited pongs the newest is enough, and a newer ping asks the same. The dropped one counts
                // as written.
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

    /// Takes the next thing to send: control frames first, then items, then the values of conflated channels.
    fn pop(&mut self) -> Option<Taken> {
        if let Some(waiters) = &mut self.waiters
            && let Some(control) = waiters.controls.pop_front()
        {
            return Some(control);
        }
        if let Some(Queued::Streamed(_)) = self.items.front() {
            return self.pop_part();
        }
        let Some(item) = self.pop_front() else {
            let value = self.waiters.as_mut()?.latest.take()?;
            return Some(Taken::Message(value.into()));
        };
        self.bytes -= item.len();
        self.weight -= item.weight();
        item.into_taken()
    }

    /// Removes the item in front, and the gap behind it: a gap is never in front.
    pub(super) fn pop_front(&mut self) -> Option<Queued> {
        let item = self.items.pop_front();
        if let Some(Queued::Gap(_)) = self.items.front() {
            self.close_gap();
        }
        item
    }

    /// The number of the last item that the driver has taken of each lane.
    pub(super) fn taken(&self) -> Reached {
        let waiters = self.waiters.as_deref();
        let (controls, in_gaps) = waiters.map_or((0, 0), |waiters| {
            (waiters.controls.len() as u64, waiters.in_gaps)
        });
        Reached {
            controls: self.pushed.controls - controls,
            items: self.pushed.items - self.items.len() as u64 - in_gaps,
        }
    }

    /// Releases memory that an idle connection should not hold. A small queue stays: a connection that sends often need
    /// not allocate each time.
    fn forget_capacity(&mut self) {
        const KEPT: usize = 8;
        if self.items.capacity() > KEPT && self.items.is_empty() {
            self.items = VecDeque::new();
        }
        self.waiters.take_if(|waiters| waiters.is_unused());
    }
}

/// The limit of an application's pings and pongs that wait. Above it the oldest is dropped.
pub(super) const MAX_CONTROLS: usize = 64;
