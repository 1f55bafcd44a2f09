//! The senders' way in: an item that is put in at once, and the future of an item that waits for room or for its write.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use sockeye_proto::Outgoing;

use super::Mailbox;
use super::item::{Fate, Item, Queued, Receipt, Ticket, gave_way};
use super::state::{Lifetime, State, Wakes};
use crate::error::SendError;
use crate::sync::{Arc, lock};

/// A future that puts an item in when there is room, and then waits until the driver has written it.
///
/// The first poll that finds room puts the item in. From then on the item is sent once, even if the future is dropped. If
/// the future is dropped before, the item is not sent.
#[derive(Debug)]
pub struct Sending<D> {
    pub(super) mailbox: Arc<Mailbox<D>>,
    pub(super) stage: Stage,
    pub(super) until_written: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    Room {
        item: Option<Queued>,
        waiter: Option<u64>,
    },
    Written {
        ticket: Ticket,
        waiter: Option<u64>,
        // The fate of a message that may give way.
        fate: Option<Fate>,
    },
    /// There was no room, and the item was dropped.
    Dropped,
    Done,
}

impl<D> Sending<D> {
    /// Waits for room alone, and not for the write.
    pub fn until_taken(mut self) -> Self {
        self.until_written = false;
        self
    }
}

impl<D> Future for Sending<D> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mailbox = &*this.mailbox;
        loop {
            let polled = match &mut this.stage {
                Stage::Room { item, waiter } => mailbox.poll_push(cx, item, waiter),
                Stage::Written {
                    ticket,
                    waiter,
                    fate,
                } => {
                    let written = mailbox.poll_fate(cx, *ticket, waiter, fate.as_ref());
                    if written.is_ready() {
                        this.stage = Stage::Done;
                    }
                    return written;
                }
                Stage::Dropped => Poll::Ready(Err(SendError::Full)),
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
                        fate: None,
                    }
                }
            }
        }
    }
}

impl<D> Drop for Sending<D> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Room {
                waiter: Some(waiter),
                ..
            } => self.mailbox.leave_room_queue(waiter),
            Stage::Written {
                waiter: Some(waiter),
                ..
            } => self.mailbox.forget_writer(waiter),
            _ => {}
        }
    }
}

impl<D> Mailbox<D> {
    /// Puts an item in behind what the mailbox's channels held before. Adds the driver to `wakes` if it has to be woken.
    pub(super) fn push_and_raise(
        &self,
        state: &mut State<D>,
        item: Queued,
        wakes: &mut Wakes,
    ) -> Ticket {
        let ticket = self.push_behind(state, item, wakes);
        wakes.add(state.driver_if(self.signal.raise_items(&state.locked)));
        ticket
    }

    /// Puts messages in, whatever the limit says, behind what the mailbox's channels held before (not the conflated ones).
    /// The caller has a limit of its own. Returns the ticket of the last message. `messages` is called while the mailbox
    /// is locked, so it must not come back to it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], and calls `messages` for none.
    pub fn push_admitted(
        &self,
        messages: impl IntoIterator<Item = Outgoing>,
    ) -> Result<Option<Ticket>, SendError> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.check_open()?;
        let mut last = None;
        for message in messages {
            let item = Queued::Message(message);
            last = Some(self.push_behind(&mut state, item, &mut wakes));
        }
        if last.is_some() {
            wakes.add(state.driver_if(self.signal.raise_items(&state.locked)));
        }
        drop(state);
        wakes.wake();
        Ok(last)
    }

    /// Puts an item in when there is room, and waits until the driver has written it.
    pub fn send(self: &Arc<Self>, item: Item) -> Sending<D> {
        Sending {
            mailbox: Arc::clone(self),
            stage: Stage::Room {
                item: Some(item.into()),
                waiter: None,
            },
            until_written: true,
        }
    }

    /// Waits until the driver has written everything that is in now, and what the channels hold but the conflated ones.
    pub fn flush(self: &Arc<Self>) -> Sending<D> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        self.catch_up_with_all(&mut state, &mut wakes);
        let number = state.pushed.items;
        drop(state);
        wakes.wake();
        self.written(Ticket {
            control: false,
            number,
        })
    }

    /// Whether the driver has written an item.
    pub fn is_written(&self, ticket: Ticket) -> bool {
        lock(&self.state).written.includes(ticket)
    }

    /// Waits until the driver has written an item.
    pub fn written(self: &Arc<Self>, receipt: impl Into<Receipt>) -> Sending<D> {
        let Receipt { ticket, fate } = receipt.into();
        let stage = ticket.map_or(Stage::Dropped, |ticket| Stage::Written {
            ticket,
            waiter: None,
            fate,
        });
        Sending {
            mailbox: Arc::clone(self),
            stage,
            until_written: true,
        }
    }

    pub(super) fn poll_push(
        &self,
        cx: &mut Context<'_>,
        item: &mut Option<Queued>,
        waiter: &mut Option<u64>,
    ) -> Poll<Result<Ticket, SendError>> {
        let mut state = lock(&self.state);
        if let Err(error) = state.check_open() {
            *waiter = None;
            return Poll::Ready(Err(error));
        }
        let first = state.first_for_room();
        let is_first = first.is_none_or(|(key, _)| *waiter == Some(key));
        let ready = item.take_if(|item| item.is_control() || (is_first && state.has_room(item)));
        let Some(ready) = ready else {
            let waiters = state.waiters();
            let key = waiters.key(waiter);
            waiters.room.register(key, cx.waker());
            return Poll::Pending;
        };
        if let Some(key) = waiter.take() {
            state.waiters().room.remove(key);
        }
        let mut wakes = Wakes::default();
        let ticket = self.push_and_raise(&mut state, ready, &mut wakes);
        // The next task in the list may find room too.
        wakes.add(state.waker_for_room());
        drop(state);
        wakes.wake();
        Poll::Ready(Ok(ticket))
    }

    pub(super) fn poll_written(
        &self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        waiter: &mut Option<u64>,
    ) -> Poll<Result<(), SendError>> {
        self.poll_fate(cx, ticket, waiter, None)
    }

    fn poll_fate(
        &self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        waiter: &mut Option<u64>,
        fate: Option<&Fate>,
    ) -> Poll<Result<(), SendError>> {
        let mut state = lock(&self.state);
        if fate.is_some_and(gave_way) {
            *waiter = None;
            return Poll::Ready(Err(SendError::Full));
        }
        if state.written.includes(ticket) {
            *waiter = None;
            return Poll::Ready(Ok(()));
        }
        if state.lifetime > Lifetime::Open {
            *waiter = None;
            return Poll::Ready(Err(SendError::Closed));
        }
        let waiters = state.waiters();
        let key = waiters.key(waiter);
        waiters.writers.register_for(key, ticket, cx.waker());
        self.signal.note_awaited(&state.locked);
        Poll::Pending
    }

    pub(super) fn forget_writer(&self, waiter: u64) {
        let mut state = lock(&self.state);
        let Some(waiters) = &mut state.waiters else {
            return;
        };
        waiters.writers.remove(waiter);
        if waiters.writers.is_empty() {
            self.signal.clear_awaited(&state.locked);
        }
    }

    pub(super) fn leave_room_queue(&self, waiter: u64) {
        let mut state = lock(&self.state);
        if let Some(waiters) = &mut state.waiters {
            waiters.room.remove(waiter);
        }
        // The task that left may have used up a wake-up. So the first of the others is woken.
        let mut wakes = Wakes::default();
        wakes.add(state.waker_for_room());
        drop(state);
        wakes.wake();
    }
}
