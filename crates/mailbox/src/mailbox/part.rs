//! Messages that are sent in parts (RFC 6455 §5.4): as they lie in an outbox, and the type that puts them in.
//!
//! ```text
//!          first part, when there is room                  last part
//!   Idle ─────────────────────────────────▶ Open{number} ─────────────▶ Ended{ticket}
//!                                               │ dropped
//!                                               ▼
//!                               a Close with 1011, behind the items that are in
//! ```

use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use sockeye_proto::{CloseCode, CloseReason, MessageKind};

use super::Mailbox;
use super::item::{LEAST_WEIGHT, Queued, Streamed, Taken, Ticket};
use super::state::{State, Wakes};
use crate::error::SendError;
use crate::sync::{Arc, lock};

impl<D> State<D> {
    /// The number of the item in front, as its ticket says.
    fn front_number(&self) -> u64 {
        self.taken().items + 1
    }

    fn streamed_in_front(&mut self, number: u64) -> Option<&mut Streamed> {
        if self.front_number() != number {
            return None;
        }
        match self.items.front_mut() {
            Some(Queued::Streamed(streamed)) => Some(streamed),
            _ => None,
        }
    }

    /// Whether the message in front has begun and not ended.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.items.front(), Some(Queued::Streamed(streamed)) if streamed.has_begun())
    }

    /// Takes the next part of the message in front. With its last part the message is gone.
    #[cold]
    pub(super) fn pop_part(&mut self) -> Option<Taken> {
        let Some(Queued::Streamed(streamed)) = self.items.front_mut() else {
            return None;
        };
        let part = streamed.pop()?;
        let is_last = part.is_last;
        let part = Taken::Part(part);
        self.bytes -= part.len();
        self.weight -= part.weight();
        if is_last {
            self.pop_front();
        }
        Some(part)
    }

    /// Removes the task that waits to put in the next part of the message in front, if there is room for some of it.
    pub(super) fn take_part_waiter(&mut self) -> Option<Waker> {
        let number = self.front_number();
        if !self.waiters.as_ref()?.parts.contains(number)
            || !self.streamed_in_front(number)?.has_room(0)
        {
            return None;
        }
        self.waiters.as_mut()?.parts.remove(number)
    }
}

/// Puts a message in, part after part.
#[derive(Debug)]
pub struct Parts<D> {
    mailbox: Arc<Mailbox<D>>,
    kind: MessageKind,
    compressible: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// No part is in. The message may wait for room.
    Idle {
        waiter: Option<u64>,
    },
    Open {
        number: u64,
    },
    Ended {
        ticket: Ticket,
        waiter: Option<u64>,
    },
}

impl<D> Parts<D> {
    /// Creates a message without parts. Nothing is put in before the first part.
    pub fn new(mailbox: &Arc<Mailbox<D>>, kind: MessageKind) -> Self {
        Self {
            mailbox: Arc::clone(mailbox),
            kind,
            compressible: true,
            stage: Stage::Idle { waiter: None },
        }
    }

    /// Sends the message without compression.
    pub fn set_uncompressed(&mut self) {
        self.compressible = false;
    }

    /// Takes the part when there is room for it. The first part waits in the order of all senders, the others until their
    /// message is in front. Until then the part stays in `part`.
    pub fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        part: &mut Option<Bytes>,
        is_last: bool,
    ) -> Poll<Result<(), SendError>> {
        let number = match &mut self.stage {
            Stage::Idle { waiter } => {
                let Some(payload) = part.take() else {
                    return Poll::Ready(Ok(()));
                };
                let streamed = Streamed::new(self.kind, self.compressible, (payload, is_last));
                let mut item = Some(Queued::Streamed(Box::new(streamed)));
                let pushed = self.mailbox.poll_push(cx, &mut item, waiter);
                if let Some(Queued::Streamed(mut refused)) = item {
                    *part = refused.take_back();
                }
                let ticket = ready!(pushed)?;
                if !is_last {
                    self.stage = Stage::Open {
                        number: ticket.number,
                    };
                    return Poll::Ready(Ok(()));
                }
                ticket.number
            }
            Stage::Open { number } => {
                let number = *number;
                ready!(self.mailbox.poll_part(cx, number, part, is_last))?;
                if !is_last {
                    return Poll::Ready(Ok(()));
                }
                number
            }
            Stage::Ended { .. } => return Poll::Ready(Err(SendError::Finished)),
        };
        self.stage = Stage::Ended {
            ticket: Ticket {
                control: false,
                number,
            },
            waiter: None,
        };
        Poll::Ready(Ok(()))
    }

    /// Completes when the driver has written the whole message.
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        match &mut self.stage {
            Stage::Ended { ticket, waiter } => self.mailbox.poll_written(cx, *ticket, waiter),
            Stage::Idle { .. } | Stage::Open { .. } => Poll::Ready(Ok(())),
        }
    }
}

impl<D> Drop for Parts<D> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Idle {
                waiter: Some(waiter),
            } => self.mailbox.leave_room_queue(waiter),
            // The peer must not get half a message as a whole one, and no other message can go before its end.
            Stage::Open { number } => {
                self.mailbox.forget_part_waiter(number);
                let reason = CloseReason::new(CloseCode::INTERNAL_ERROR, UNFINISHED);
                debug_assert!(reason.is_ok(), "1011 may be sent");
                if let Ok(reason) = reason {
                    self.mailbox.close(reason);
                }
            }
            Stage::Ended {
                waiter: Some(waiter),
                ..
            } => self.mailbox.forget_writer(waiter),
            Stage::Idle { waiter: None } | Stage::Ended { waiter: None, .. } => {}
        }
    }
}

/// The reason of the Close after a message that its sender left unfinished.
pub const UNFINISHED: &str = "a message was not finished";

impl<D> Mailbox<D> {
    fn poll_part(
        &self,
        cx: &mut Context<'_>,
        number: u64,
        part: &mut Option<Bytes>,
        is_last: bool,
    ) -> Poll<Result<(), SendError>> {
        let Some(len) = part.as_ref().map(Bytes::len) else {
            return Poll::Ready(Ok(()));
        };
        let mut state = lock(&self.state);
        state.check_open()?;
        let front = state.streamed_in_front(number);
        let room = front.filter(|streamed| streamed.has_room(len));
        let Some((streamed, payload)) = room.and_then(|room| Some((room, part.take()?))) else {
            state.waiters().parts.register(number, cx.waker());
            return Poll::Pending;
        };
        streamed.push(payload, is_last);
        state.bytes += len;
        state.weight += len.max(LEAST_WEIGHT);
        let mut wakes = Wakes::default();
        wakes.add(state.driver_if(self.signal.raise_items(&state.locked)));
        drop(state);
        wakes.wake();
        Poll::Ready(Ok(()))
    }

    fn forget_part_waiter(&self, number: u64) {
        if let Some(waiters) = &mut lock(&self.state).waiters {
            waiters.parts.remove(number);
        }
    }
}
