//! The queue of channels that wait for a deliverer. A deliverer is a task that writes to the transports of members whose
//! drivers are parked. To wake each driver for the same write would cost several times as much, because it examines all of
//! its work.
//!
//! ```text
//!   Channel ── request ──▶ queue ── poll_next ──▶ deliverer ── Channel::deliver ──▶ transports
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, lock};

/// The deliverer's end of the queue. Dropping it ends all deliveries.
pub struct Deliverer<C>(Arc<Mutex<Queue<C>>>);

/// A channel's handle of a deliverer, which stays as long as a channel has one.
pub struct Delivery<C>(Arc<Mutex<Queue<C>>>);

struct Queue<C> {
    channels: VecDeque<Arc<C>>,
    deliverer: Option<Waker>,
    // The number of handles.
    users: usize,
    has_ended: bool,
}

impl<C> Deliverer<C> {
    /// Creates a deliverer without handles.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Queue {
            channels: VecDeque::new(),
            deliverer: None,
            users: 0,
            has_ended: false,
        })))
    }

    /// A new handle, for a channel.
    pub fn handle(&self) -> Delivery<C> {
        lock(&self.0).users += 1;
        Delivery(Arc::clone(&self.0))
    }

    /// Whether no channel has a handle.
    pub fn is_unused(&self) -> bool {
        lock(&self.0).users == 0
    }

    /// Waits for the next channel that wants a delivery. `None` if no channel has a handle.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Arc<C>>> {
        let mut queue = lock(&self.0);
        if let Some(channel) = queue.channels.pop_front() {
            return Poll::Ready(Some(channel));
        }
        if queue.users == 0 {
            return Poll::Ready(None);
        }
        queue.deliverer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the deliverer: no channel can request a delivery any more. Returns the channels that wait for one.
    pub fn end(&self) -> impl Iterator<Item = Arc<C>> {
        let mut queue = lock(&self.0);
        queue.has_ended = true;
        std::mem::take(&mut queue.channels).into_iter()
    }
}

impl<C> Default for Deliverer<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Drop for Deliverer<C> {
    fn drop(&mut self) {
        self.end().for_each(drop);
    }
}

impl<C> Delivery<C> {
    /// Puts a channel into the queue. Returns false if the deliverer has ended.
    pub(super) fn request(&self, channel: Arc<C>) -> bool {
        let mut queue = lock(&self.0);
        if queue.has_ended {
            return false;
        }
        queue.channels.push_back(channel);
        let deliverer = queue.deliverer.take();
        drop(queue);
        deliverer.into_iter().for_each(Waker::wake);
        true
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.0).has_ended
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<C> fmt::Debug for Deliverer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deliverer")
    }
}

impl<C> fmt::Debug for Delivery<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

impl<C> Drop for Delivery<C> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.users -= 1;
        let deliverer = if queue.users == 0 {
            queue.deliverer.take()
        } else {
            None
        };
        drop(queue);
        deliverer.into_iter().for_each(Waker::wake);
    }
}
