//! The queue of channels that wait for a deliverer. A deliverer is a task that writes to the transports of members whose
//! drivers are parked. To wake each driver for the same write would cost several times as much, because it examines all of
//! its work.
//!
//! ```text
//!   Channel ── request ──▶ queue ── poll_next ──▶ deliverer ── Channel::deliver ──▶ transports
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::task::{Context, Poll, Waker};

use super::log::Copied;
use crate::sync::{Arc, Mutex, lock};

/// A channel, as a deliverer sees it.
pub trait Deliver: Send + Sync {
    /// Notes that a deliverer has taken the channel: the next message asks for another delivery. Returns the number of
    /// places, free ones included.
    fn begin_delivery(&self) -> usize;

    /// Writes what the log holds to the transports of the members in these places whose drivers are parked. Returns
    /// whether there are members.
    fn deliver(&self, places: Range<usize>, copied: &mut Copied) -> bool;

    /// Leaves the messages to the drivers of the members from now on.
    fn end_delivery(&self);
}

/// The deliverer's end of the queue. Dropping it ends all deliveries.
pub struct Deliverer(Arc<Mutex<Queue>>);

/// A channel's handle of a deliverer, which stays as long as a channel has one.
pub struct Delivery(Arc<Mutex<Queue>>);

struct Queue {
    channels: VecDeque<Arc<dyn Deliver>>,
    deliverer: Option<Waker>,
    // The number of handles.
    users: usize,
    has_ended: bool,
}

impl Deliverer {
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
    pub fn handle(&self) -> Delivery {
        lock(&self.0).users += 1;
        Delivery(Arc::clone(&self.0))
    }

    /// Whether no channel has a handle.
    pub fn is_unused(&self) -> bool {
        lock(&self.0).users == 0
    }

    /// Waits for the next channel that wants a delivery. `None` if no channel has a handle.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Arc<dyn Deliver>>> {
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
    pub fn end(&self) -> impl Iterator<Item = Arc<dyn Deliver>> {
        let mut queue = lock(&self.0);
        queue.has_ended = true;
        std::mem::take(&mut queue.channels).into_iter()
    }
}

impl Default for Deliverer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        self.end().for_each(drop);
    }
}

impl Delivery {
    /// Puts a channel into the queue. Returns false if the deliverer has ended.
    pub(super) fn request(&self, channel: Arc<dyn Deliver>) -> bool {
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

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deliverer")
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

impl Drop for Delivery {
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
