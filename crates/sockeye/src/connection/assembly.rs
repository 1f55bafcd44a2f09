//! The unfinished message of a connection: one that did not come whole in one read. Its bytes are assembled here. It takes
//! shares of the budget for memory, which all connections of a server or a client have in common.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use sockeye_proto::{InvalidUtf8, MessageAssembler, MessageBuffer, MessageKind, ProtocolError};
use tokio::time::{Instant, Sleep};

use super::budget::{AssemblyBudget, FREE, Holder, INFLATER, SHARE};
use super::pool;
use crate::sync::Arc;

/// How the link hands on an unfinished message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Giving {
    /// Whole, when it is complete.
    Whole,
    /// In parts, as it comes. Before the first part is `given` the assembler holds all bytes, and later mostly a cut
    /// character.
    Parts { kind: MessageKind, given: bool },
    /// No more: its last part was given, or the link throws it away.
    Nothing,
}

/// An unfinished message.
#[derive(Debug)]
pub(crate) struct Assembly {
    assembler: MessageAssembler,
    pub(crate) giving: Giving,
    is_compressed: bool,
    // Whether the rest of the message lies in the input.
    is_here: bool,
    // Bytes of the payload, before inflating.
    received: u64,
    // Bytes of `received` that the turn has not counted yet. They completed a frame.
    uncounted: u64,
    share: Option<Share>,
    // The rule that bytes broke which were read straight into the buffer. The next pull returns it.
    failure: Option<ProtocolError>,
}

/// The part of the budget that a message holds. It returns on drop.
#[derive(Debug)]
struct Share {
    budget: Arc<AssemblyBudget>,
    holder: Arc<Holder>,
    // While the message waits: the time at which the budget looks at the progress of all messages.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Assembly {
    pub(crate) fn start(kind: MessageKind, giving: Giving, is_compressed: bool) -> Self {
        let mut assembler = MessageAssembler::default();
        assembler.start(kind, pool::take_buffer());
        Self {
            assembler,
            giving,
            is_compressed,
            is_here: false,
            received: 0,
            uncounted: 0,
            share: None,
            failure: None,
        }
    }

    /// The assembled bytes that are not given yet.
    pub(crate) fn buffer_mut(&mut self) -> &mut Vec<u8> {
        self.assembler.buffer_mut()
    }

    pub(crate) fn retained_bytes(&self) -> usize {
        self.assembler.retained_bytes()
    }

    pub(crate) fn end(&mut self) -> Result<MessageBuffer, InvalidUtf8> {
        self.assembler.end()
    }

    /// Sets whether the rest of the message lies in the input.
    pub(crate) fn set_here(&mut self, is_here: bool) {
        self.is_here = is_here;
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Keeps the error of a read straight into the buffer for the next pull.
    pub(crate) fn fail(&mut self, error: ProtocolError) {
        self.failure = Some(error);
    }

    pub(crate) fn take_failure(&mut self) -> Option<ProtocolError> {
        self.failure.take()
    }

    /// Counts bytes of the payload that the link took from the input.
    pub(crate) fn receive(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if let Some(share) = &self.share {
            share.holder.receive(bytes as u64);
        }
    }

    /// Counts the bytes of a read later, when the link takes the end of the frame. The read completed a frame, so the
    /// message may be complete: the task then handles it in the same turn, while the CPU caches still hold it.
    pub(crate) fn count_later(&mut self, bytes: usize) {
        self.uncounted = bytes as u64;
    }

    /// Takes the bytes of [`count_later`](Self::count_later).
    pub(crate) fn take_uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    /// The bytes that the message may still take. A compressed message always has room for one byte more: the machine
    /// finds the end by inflating and getting nothing.
    pub(crate) fn room(&mut self) -> usize {
        let len = self.assembler.buffer_mut().len();
        let probe = usize::from(self.is_compressed);
        self.limit().saturating_add(probe).saturating_sub(len)
    }

    fn limit(&self) -> usize {
        match self.giving {
            Giving::Whole => {}
            // These bytes do not stay in memory.
            Giving::Parts { .. } | Giving::Nothing => return usize::MAX,
        }
        // While the message waits for its peer it also keeps its inflater.
        let free = match self.is_compressed && !self.is_here {
            true => FREE - INFLATER,
            false => FREE,
        };
        free + self.share.as_ref().map_or(0, |share| share.holder.bytes())
    }

    /// Appends a chunk. The chunk fits into the [room](Self::room).
    pub(crate) fn append(&mut self, chunk: &[u8]) {
        if self.giving == Giving::Nothing {
            return;
        }
        let (room, buffer) = (self.room(), self.assembler.buffer_mut());
        let len = buffer.len() + chunk.len();
        if len > buffer.capacity() {
            // `Vec` would grow beyond the limit.
            let most = buffer.len().saturating_add(room);
            let grown = len.max(2 * buffer.capacity()).min(most).max(len);
            buffer.reserve_exact(grown - buffer.len());
        }
        self.assembler.chunk(chunk);
    }

    /// The buffer for a read straight into it, and the bytes that the read may take: at most `missing`, and at most the
    /// room.
    pub(crate) fn buffer_for(&mut self, missing: usize) -> (&mut Vec<u8>, usize) {
        let room = self.room().min(missing);
        let buffer = self.assembler.buffer_mut();
        let free = buffer.capacity() - buffer.len();
        // The buffer grows with the bytes that have come, not with the length that the header announced.
        if free < room.min(SHARE) {
            buffer.reserve_exact(room.min(buffer.len().max(SHARE)));
        }
        let room = room.min(buffer.capacity() - buffer.len());
        (buffer, room)
    }

    /// Whether the message may take more bytes. `missing` bytes are still to come, if that is known. Asks the budget to
    /// double the message's memory. If the thread has a large buffer, asks for all of that buffer and moves the message
    /// there.
    pub(crate) fn may_grow(&mut self, budget: &Arc<AssemblyBudget>, missing: Option<u64>) -> bool {
        let room = self.room();
        let missing = missing.map_or(usize::MAX, |missing| {
            usize::try_from(missing).unwrap_or(usize::MAX)
        });
        // A system call that reads a few bytes costs nearly as much as one that reads many.
        if room >= missing.min(SHARE) {
            return true;
        }
        let len = self.assembler.buffer_mut().len();
        let large = self.large_buffer(len.saturating_add(missing));
        let limit = self.limit();
        let wanted = match &large {
            Some(large) => large.capacity().saturating_sub(limit),
            None => len.min(missing),
        };
        let received = self.received;
        let share = self
            .share
            .get_or_insert_with(|| Share::new(Arc::clone(budget), received));
        let wanted = wanted.div_ceil(SHARE);
        let may_grow = !share.holder.waits() && budget.take(&share.holder, wanted);
        if let Some(large) = large {
            self.move_to(large);
        }
        may_grow || room > 0
    }

    /// Takes a large buffer from the thread, larger than the current one, and at most twice as large as the message.
    fn large_buffer(&mut self, message: usize) -> Option<Vec<u8>> {
        if message <= pool::MAX_KEPT_CAPACITY {
            return None;
        }
        let capacity = self.assembler.retained_bytes();
        pool::take_large_buffer(capacity + 1..=message.saturating_mul(2))
    }

    /// Moves the message to `buffer`, if the message's shares cover its capacity. Returns the unused buffer to the pool.
    fn move_to(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= self.limit() {
            let so_far = self.assembler.buffer_mut();
            buffer.extend_from_slice(so_far);
            std::mem::swap(so_far, &mut buffer);
        }
        pool::recycle_buffer(buffer);
    }

    /// Whether the budget gave up this message, for the messages of other connections.
    pub(crate) fn is_given_up(&self) -> bool {
        let share = self.share.as_ref();
        share.is_some_and(|share| share.holder.is_given_up())
    }

    /// Keeps the waker of the task. The budget wakes it when it gives up the message.
    pub(crate) fn keep_waker(&self, cx: &Context<'_>) {
        if let Some(share) = &self.share {
            share.holder.keep(cx.waker());
        }
    }

    /// Blocks the thread until the message gets a share of the budget, or the budget gives the message up. Returns false if
    /// neither happens by `until`.
    pub(crate) fn wait_until(&self, until: Option<std::time::Instant>) -> bool {
        let Some(share) = &self.share else {
            return true;
        };
        let waker = Arc::new(Unpark(thread::current())).into();
        share.budget.wait(&share.holder, &waker, Instant::now());
        loop {
            if !share.holder.waits() || share.holder.is_given_up() {
                return true;
            }
            let now = Instant::now();
            let due = share.budget.relieve(now).into_std();
            let due = until.map_or(due, |until| until.min(due));
            let left = due.saturating_duration_since(now.into_std());
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
    }

    /// Ready when the message has got a share, or is given up.
    pub(crate) fn poll_share(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.share {
            Some(share) => share.poll(cx),
            None => Poll::Ready(()),
        }
    }
}

/// A waker that unparks a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Share {
    fn new(budget: Arc<AssemblyBudget>, received: u64) -> Self {
        let holder = Arc::<Holder>::default();
        holder.receive(received);
        Self {
            budget,
            holder,
            timer: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.timer.is_none() {
            self.budget.wait(&self.holder, cx.waker(), now);
            let due = self.budget.relieve(now);
            self.timer = Some(Box::pin(tokio::time::sleep_until(due)));
        } else {
            self.holder.keep(cx.waker());
        }
        loop {
            if !self.holder.waits() || self.holder.is_given_up() {
                self.timer = None;
                return Poll::Ready(());
            }
            let Some(timer) = &mut self.timer else {
                return Poll::Ready(());
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let due = self.budget.relieve(Instant::now());
            timer.as_mut().reset(due);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(&self.holder);
    }
}
