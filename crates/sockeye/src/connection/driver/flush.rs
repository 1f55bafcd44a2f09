//! The way from the outbox to the output, and from there to the transport. The driver takes items while the output
//! has room, writes, and tells the tasks that wait for a write. A reply goes straight to the output, or into the
//! outbox behind the items of its handler.

use std::io;
use std::task::{Context, Poll, ready};

use sockeye_mailbox::{Directive, Part, Reached, Taken};
use sockeye_proto::{Cause, Connection as Machine, SendError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::core::WRITE_AT;
use super::running::{Driver, Running};
use crate::connection::pool;
use crate::connection::reply::Reply;
use crate::error::Error;

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Sends a handler's reply behind what the handler has put into the outbox.
    #[inline(never)]
    pub(crate) fn reply(&mut self, reply: Reply<'_>) -> Result<(), Error> {
        match reply {
            Reply::None => Ok(()),
            reply => self.drive().reply(reply),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
    pub(super) fn reply(&mut self, reply: Reply<'_>) -> Result<(), Error> {
        if self.outbox_is_drained() {
            let sent = reply.send_by(self.link.sending());
            return sent.map_err(|error| Error::Send(error.into()));
        }
        self.reply_later(reply)
    }

    /// Moves the outbox to the output. Whether a reply overtakes nothing now that was sent before it.
    #[inline]
    fn outbox_is_drained(&mut self) -> bool {
        if self.core.is_quiet() {
            return true;
        }
        self.fill_from_outbox() && !self.core.look().is_held()
    }

    #[inline(never)]
    fn reply_later(&mut self, reply: Reply<'_>) -> Result<(), Error> {
        let Some(outgoing) = reply.into_outgoing() else {
            return Ok(());
        };
        let weight = self.core.side.reply(outgoing).map_err(Error::Send)?;
        self.core.replies += weight;
        Ok(())
    }

    #[inline(never)]
    pub(super) fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_output_here(cx)
    }

    /// Moves items from the outbox to the output and writes, until nothing waits or the transport takes no more.
    #[inline(always)]
    pub(super) fn poll_output_here(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.core.look().is_only_pending() {
            self.write_log(cx)?;
        }
        loop {
            let drained = self.fill();
            let polled = self.link.poll_write(cx);
            self.tell_written();
            ready!(polled)?;
            if drained {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Writes broadcasts straight from the log, if nothing else waits to be written. Then they need no output.
    #[inline(never)]
    fn write_log(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.core.side.directive().is_some()
            || !self.link.is_empty()
            || !self.link.machine().can_send()
        {
            return Ok(());
        }
        let side = &self.core.side;
        self.link.write_apart(cx, |room| {
            let mut len = 0;
            side.read_log(WRITE_AT, |frames| {
                // INVARIANT: an empty input's room is larger than all that a log holds (`link/io.rs` asserts it).
                room[..frames.len()].copy_from_slice(frames);
                len = frames.len();
            });
            len
        })
    }

    /// Takes items from the outbox while the output has room. The rest stays in the outbox, which has a limit. Whether
    /// everything was taken.
    #[inline]
    fn fill(&mut self) -> bool {
        if self.core.is_quiet() {
            return true;
        }
        self.fill_from_outbox()
    }

    #[inline(never)]
    fn fill_from_outbox(&mut self) -> bool {
        let mut reached = None;
        let mut drained = true;
        while self.link.machine().can_send() {
            let waits = self.link.machine_mut().output().len();
            if waits >= WRITE_AT {
                drained = false;
                break;
            }
            let room = WRITE_AT - waits;
            if let Some(taken) = self.take_items(room) {
                reached = Some(taken);
            } else if !self.read_log(room) && self.core.look().has_nothing_to_take() {
                self.close_if_asked();
                break;
            }
            if self.core.is_quiet() {
                break;
            }
        }
        if let Some(taken) = reached {
            let waits = self.link.machine_mut().output().len() as u64;
            self.core
                .taken
                .push_back((self.link.written() + waits, taken));
        }
        drained
    }

    /// Takes items of about `room` bytes from the outbox, and sends them. Returns how far the outbox is taken. `None` if
    /// it was empty.
    pub(super) fn take_items(&mut self, room: usize) -> Option<Reached> {
        // At most so many at a time: other tasks wait for the lock, and memory must not grow with the items.
        const MANY: usize = 64;
        if !self.core.look().has_items() {
            return None;
        }
        let (machine, replies) = (self.link.sending(), &mut self.core.replies);
        if !machine.compresses() {
            let send = |item| send_item(machine, replies, item);
            return self.core.side.take(room, MANY, send);
        }
        // Compressing takes too long to hold the lock meanwhile.
        let mut items = pool::take_items();
        let taken = self.core.side.take(room, MANY, |item| items.push(item));
        for item in items.drain(..) {
            send_item(machine, replies, item);
        }
        pool::recycle_items(items);
        taken
    }

    /// Sends broadcasts of the log, as frames that the sessions share. Whether there was one.
    pub(super) fn read_log(&mut self, room: usize) -> bool {
        let machine = self.link.sending();
        let send = |frames: &[u8]| {
            let sent = machine.send_frames(frames, Cause::Push);
            debug_assert!(sent.is_ok(), "{sent:?}");
        };
        self.core.side.read_log(room, send)
    }

    /// Sends the Close that the application asked for, behind everything that it sent before.
    fn close_if_asked(&mut self) {
        if let Some(Directive::Close(reason)) = self.core.side.directive() {
            let now = Instant::now().into_std();
            let sent = self.link.machine_mut().send_close(reason, now);
            debug_assert!(sent.is_ok(), "{sent:?}");
        }
    }

    /// Wakes the tasks whose items are written.
    #[inline]
    fn tell_written(&mut self) {
        if !self.core.taken.is_empty() {
            self.tell_those_who_wait();
        }
    }

    #[inline(never)]
    fn tell_those_who_wait(&mut self) {
        let mut reached = None;
        while let Some((end, taken)) = self.core.taken.front()
            && *end <= self.link.written()
        {
            reached = Some(*taken);
            self.core.taken.pop_front();
        }
        if let Some(reached) = reached {
            self.core.side.wrote(reached);
        }
    }
}

fn send_item(machine: &mut Machine, replies: &mut usize, item: Taken) {
    if let Taken::Reply(_) = item {
        *replies -= item.weight();
    }
    let sent = match item {
        Taken::Message(outgoing) => machine.send_message(outgoing, Cause::Push),
        Taken::Ping(payload) => machine.send_ping(&payload),
        Taken::Pong(payload) => machine.send_pong(&payload),
        Taken::Reply(outgoing) => machine.send_message(outgoing, Cause::Input),
        Taken::Part(part) => send_part(machine, &part),
    };
    // The sender has checked the item, and this side's Close has not been sent.
    debug_assert!(sent.is_ok(), "{sent:?}");
}

#[cold]
fn send_part(machine: &mut Machine, part: &Part) -> Result<(), SendError> {
    let (kind, payload) = (part.kind, &part.payload);
    if part.compressible {
        machine.send_part(kind, payload, part.is_last, Cause::Push)
    } else {
        machine.send_uncompressed_part(kind, payload, part.is_last, Cause::Push)
    }
}
