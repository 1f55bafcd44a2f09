//! Sends one message to many listeners. Sending does not wait; after it, the speaker waits a little for slow readers.
//!
//! A speaker that never waits fills the outboxes of readers that read more slowly than it speaks. A speaker that waits
//! for all is blocked by a reader that does not read. So after each message:
//!
//! ```text
//!   a reader has ──▶ ≤ 256 KiB waiting ──▶ the speaker does not wait for it
//!               ──▶ more, and it reads  ──▶ the speaker waits, at most 100 ms
//!               ──▶ more, and it did not read during the last ten waits ──▶ the speaker does not wait for it
//!               ──▶ a full outbox       ──▶ it is dropped, whether or not it reads
//! ```
//!
//! Speakers take turns. So a room with 500 speakers waits as often as a room with one.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sockeye::endpoint::SendHandle;
use sockeye::error::SendError;
use sockeye::proto::PreparedMessage;
use sockeye::{CloseCode, Session};
use tokio::time::timeout;

/// A receiver of an audience's messages.
pub(crate) trait Listener: Send {
    /// Completes when a message is written.
    type Sent: Future<Output = Result<(), SendError>> + fmt::Debug + Send + Unpin;

    /// Takes a message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if its outbox is full. Other errors mean that it is about to leave.
    fn tell(&self, message: &PreparedMessage) -> Result<Self::Sent, SendError>;

    /// Tells the listener that it was dropped, because it did not keep up.
    fn give_up(&self);
}

impl Listener for Session {
    type Sent = SendHandle;

    fn tell(&self, message: &PreparedMessage) -> Result<SendHandle, SendError> {
        self.async_remote().send(message)
    }

    fn give_up(&self) {
        let closed = self.close(CloseCode::TRY_AGAIN_LATER, "you read too slowly");
        debug_assert!(closed.is_ok(), "1013 may be sent");
    }
}

/// A state behind a lock, and the turn of its speakers.
#[derive(Debug, Default)]
pub(crate) struct Shared<T> {
    turn: tokio::sync::Mutex<()>,
    state: Mutex<T>,
}

/// A state that has an audience.
pub(crate) trait Gathering {
    type Listener: Listener;

    fn audience(&mut self) -> &mut Audience<Self::Listener>;
}

impl<T> Shared<T> {
    pub(crate) fn new(state: T) -> Self {
        Self {
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    /// Locks the state. No callback runs under the lock, so the state is consistent even after a panic.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Gathering> Shared<T> {
    /// Runs `say` when it is this speaker's turn, then waits for the readers that are behind.
    pub(crate) async fn speak<R>(&self, say: impl FnOnce(&mut T) -> R) -> R {
        self.speak_async(async { say(&mut self.lock()) }).await
    }

    /// Awaits `say` when it is this speaker's turn, then waits for the readers that are behind.
    pub(crate) async fn speak_async<R>(&self, say: impl Future<Output = R>) -> R {
        let turn = self.turn.lock().await;
        let said = say.await;
        self.wait_for_readers().await;
        drop(turn);
        said
    }

    async fn wait_for_readers(&self) {
        let behind = self.lock().audience().behind();
        if behind.is_empty() {
            return;
        }
        // One reader after the other: the wait ends when all have caught up, and each wakes this task once.
        let all = async {
            for id in &behind {
                poll_fn(|cx| self.lock().audience().poll_reader(*id, cx)).await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            self.lock().audience().waited_in_vain_for(&behind);
        }
    }
}

/// The listeners, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Audience<L: Listener> {
    readers: BTreeMap<u64, Reader<L>>,
    next_id: u64,
}

impl<L: Listener> Audience<L> {
    /// Returns the number of listeners.
    pub(crate) fn len(&self) -> usize {
        self.readers.len()
    }

    /// Adds a listener. Returns its unique number.
    pub(crate) fn admit(&mut self, listener: L) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.readers.insert(id, Reader::new(listener));
        id
    }

    /// Removes a listener.
    pub(crate) fn remove(&mut self, id: u64) {
        self.readers.remove(&id);
    }

    /// Sends a message to all listeners, and drops those whose outbox is full. Returns the ids of the listeners that were dropped.
    pub(crate) fn tell_all(&mut self, message: &PreparedMessage) -> Vec<u64> {
        let mut slow = Vec::new();
        self.readers.retain(|id, reader| {
            let keeps_up = reader.tell(message) != Err(SendError::Full);
            if !keeps_up {
                reader.listener.give_up();
                slow.push(*id);
            }
            keeps_up
        });
        slow
    }

    /// Returns the numbers of the readers that a speaker waits for.
    fn behind(&mut self) -> Vec<u64> {
        let readers = self.readers.iter_mut();
        let behind = readers.filter_map(|(id, reader)| {
            // In this order: the first call resets the count of a reader that took something.
            let is_awaited = reader.is_behind() && reader.vain_waits < MAX_VAIN_WAITS;
            is_awaited.then_some(*id)
        });
        behind.collect()
    }

    /// Ready when the reader is no longer behind.
    fn poll_reader(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<()> {
        match self.readers.get_mut(&id) {
            Some(reader) => reader.poll_caught_up(cx),
            None => Poll::Ready(()),
        }
    }

    /// Counts a vain wait for each of these readers that took nothing meanwhile.
    fn waited_in_vain_for(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some(reader) = self.readers.get_mut(id) {
                reader.vain_waits += 1;
                // Sets the count to 0 if the reader took something.
                reader.is_behind();
            }
        }
    }
}

impl<L: Listener> Default for Audience<L> {
    fn default() -> Self {
        Self {
            readers: BTreeMap::new(),
            next_id: 0,
        }
    }
}

/// A listener, and the number of bytes that wait for it.
#[derive(Debug)]
struct Reader<L: Listener> {
    listener: L,
    // Bytes that were sent to it.
    sent: u64,
    // Bytes up to the last checkpoint.
    marked: u64,
    // Bytes that it has taken, up to the last checkpoint that it passed.
    taken: u64,
    // The sends that are polled: one for each `STEP` bytes, the oldest first.
    checkpoints: VecDeque<(u64, L::Sent)>,
    // How often a speaker waited for it since it last took something.
    vain_waits: u32,
}

impl<L: Listener> Reader<L> {
    fn new(listener: L) -> Self {
        Self {
            listener,
            sent: 0,
            marked: 0,
            taken: 0,
            checkpoints: VecDeque::new(),
            vain_waits: 0,
        }
    }

    fn tell(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let sent = self.listener.tell(message)?;
        self.sent += weight(message);
        if self.sent - self.marked >= STEP {
            self.marked = self.sent;
            self.mark(sent);
        }
        Ok(())
    }

    /// Adds a checkpoint, and removes those that it has passed.
    fn mark(&mut self, mut sent: L::Sent) {
        // A future may begin with its first poll, and then it must not begin late.
        let mut cx = Context::from_waker(Waker::noop());
        if Pin::new(&mut sent).poll(&mut cx).is_pending() {
            self.checkpoints.push_back((self.sent, sent));
            self.is_behind();
        } else {
            self.taken = self.sent;
            self.vain_waits = 0;
            self.checkpoints.clear();
        }
    }

    fn is_behind(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_caught_up(&mut cx).is_pending()
    }

    fn poll_caught_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sent - self.taken > MARK
            && let Some((at, sent)) = self.checkpoints.front_mut()
        {
            // An error means that it is about to leave. Then the speaker does not wait for it.
            if Pin::new(sent).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.taken = *at;
            self.vain_waits = 0;
            self.checkpoints.pop_front();
        }
        Poll::Ready(())
    }
}

/// Returns the number of bytes that a message counts in an outbox.
fn weight(message: &PreparedMessage) -> u64 {
    let bytes = message.message().as_bytes().len().max(64);
    bytes.try_into().unwrap_or(u64::MAX)
}

/// How long a speaker waits for readers after a message.
const PATIENCE: Duration = Duration::from_millis(100);
/// The number of bytes that may wait for a reader before a speaker waits for it: a quarter of its outbox.
const MARK: u64 = 256 << 10;
/// The number of bytes between two checkpoints.
const STEP: u64 = 32 << 10;
/// The number of vain waits, one second in all, after which a speaker no longer waits for a reader.
const MAX_VAIN_WAITS: u32 = 10;

#[cfg(test)]
mod tests;
