//! The guard of a running driver.
//!
//! While a driver is parked, another task may write broadcasts past it, straight to the transport. If the driver wrote
//! at the same time, two frames would mix. So the link lies in [`Running`], behind a private field. The driver lends it
//! after a look at the outbox's signal, and parking needs the driver back.

use std::collections::VecDeque;
use std::fmt;
use std::task::Context;
use std::time::Duration;

#[cfg(test)]
use sockeye_mailbox::Reached;
use sockeye_mailbox::WakeReason;
use sockeye_proto::MessageBuffer;
#[cfg(feature = "topics-wire")]
use sockeye_proto::MessageKind;
use tokio::io::{AsyncRead, AsyncWrite};

use super::core::Core;
use super::event::{Ending, Next};
use super::phase::Phase;
use crate::connection::direct::{DriverSide, Mailbox};
use crate::connection::link::{Link, Wanted};
use crate::connection::permit::SessionPermit;
use crate::sync::Arc;

/// The driver of one connection.
pub(crate) struct Driver<T> {
    guarded: Guarded<T>,
}

/// What a driver lends while it runs: then no other task writes to its transport.
// In this order, as `Link` too: what a task that is woken to send looks at lies side by side. Of many
// connections each line of the processor's cache has to be fetched.
#[repr(C)]
pub(super) struct Running<T> {
    pub(super) link: Link<T>,
    pub(super) core: Core,
}

/// Keeps the link and the core of a driver that may be parked: the link is lent by [`Driver::drive`] and
/// [`Driver::plain`] alone.
pub(super) struct Guarded<T>(Running<T>);

impl<T> Guarded<T> {
    pub(super) fn new(link: Link<T>, core: Core) -> Self {
        Self(Running { link, core })
    }

    #[inline(always)]
    pub(super) fn core(&self) -> &Core {
        &self.0.core
    }

    #[inline(always)]
    pub(super) fn core_mut(&mut self) -> &mut Core {
        &mut self.0.core
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    pub(crate) fn new(link: Link<T>, mailbox: Arc<Mailbox>) -> Self {
        if !link.machine().can_send() {
            mailbox.shut();
        }
        let core = Core {
            side: DriverSide::new(mailbox),
            phase: Phase::Open,
            taken: VecDeque::new(),
            replies: 0,
            permit: None,
        };
        Self {
            guarded: Guarded::new(link, core),
        }
    }

    /// Keeps the connection's permit until the transport is gone.
    pub(crate) fn holding(mut self, permit: SessionPermit) -> Self {
        self.core_mut().permit = Some(permit);
        self
    }

    /// The connection's permit, for an owner that outlives the driver.
    pub(crate) fn take_permit(&mut self) -> Option<SessionPermit> {
        self.core_mut().permit.take()
    }

    pub(super) fn core(&self) -> &Core {
        self.guarded.core()
    }

    pub(super) fn core_mut(&mut self) -> &mut Core {
        self.guarded.core_mut()
    }

    /// The driver of a connection of which nothing comes any more.
    pub(crate) fn ended(mut self, ending: Ending) -> Self {
        self.core_mut().phase.end(ending);
        self
    }

    /// The bytes of memory that this connection takes, besides what waits in its outbox.
    #[cfg(test)]
    pub(crate) fn retained_bytes(&self) -> usize {
        let core = self.core();
        let ahead = match core.phase.ahead() {
            Some((Next::Ping(payload) | Next::Pong(payload), _)) => payload.len(),
            Some((_, message)) => message.capacity(),
            None => 0,
        };
        ahead + core.taken.capacity() * size_of::<(u64, Reached)>() + self.retained_by_link()
    }

    /// Hands on what is wanted from now on. A message that has begun comes as it was wanted then.
    #[inline]
    pub(crate) fn give(&mut self, wanted: Wanted) {
        self.drive().link.give(wanted);
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Tells the mailbox that the driver runs, and applies what the mailbox asks for.
    #[inline]
    pub(super) fn drive(&mut self) -> &mut Running<T> {
        let running = &mut self.guarded.0;
        running.update();
        running
    }

    /// Keeps a notice for the owner, if there is one, as an event that came ahead. The owner is idle.
    #[cold]
    #[inline(never)]
    pub(super) fn keep_notice(&mut self) {
        let core = self.core_mut();
        if core.phase.is_open() && core.side.take_notice() {
            core.phase.put_ahead(Next::Notice, MessageBuffer::default());
        }
    }

    /// The running driver, if it runs already and neither the mailbox nor the application wants anything of it.
    #[inline(always)]
    pub(super) fn plain(&mut self) -> Option<&mut Running<T>> {
        let running = &mut self.guarded.0;
        let core = &running.core;
        let is_plain = core.look().is_plain()
            && core.phase.is_open()
            && core.side.directive().is_none()
            && core.replies == 0;
        is_plain.then_some(running)
    }

    /// Parks the driver until the mailbox wakes it, and then releases the buffers that an idle connection does not need.
    /// Returns false, and does neither, if the mailbox has something for the driver already. Without `has_room` (the
    /// transport is full), or after this side's Close, an item does not wake the driver.
    #[inline(never)]
    pub(super) fn park(&mut self, cx: &Context<'_>, has_room: bool) -> bool {
        let Running { link, core } = &mut self.guarded.0;
        // After this side's Close the driver takes nothing from the mailbox.
        let wants_items = has_room && link.machine().can_send();
        let is_parked = core.side.park(cx.waker(), wants_items);
        if is_parked {
            // Another task may write to the transport by now. This releases buffers, and no more.
            link.release_buffers();
        }
        is_parked
    }

    /// Does the same as [`park`](Self::park) while the owner is idle: a notice for the owner counts too, and is kept.
    #[inline(never)]
    pub(super) fn park_for_owner(&mut self, cx: &Context<'_>, has_room: bool) -> bool {
        let Running { link, core } = &mut self.guarded.0;
        let wants_items = has_room && link.machine().can_send();
        let is_parked = core.side.park_for_owner(cx.waker(), wants_items);
        if is_parked {
            link.release_buffers();
        } else {
            self.keep_notice();
        }
        is_parked
    }

    /// The longest message of one kind that the peer may send.
    #[cfg(feature = "topics-wire")]
    pub(crate) fn message_limit(&self, kind: MessageKind) -> u64 {
        self.guarded.0.link.machine().config().limit(kind)
    }

    /// The time that a peer has for its end of the closing.
    pub(crate) fn close_timeout(&self) -> Duration {
        self.guarded.0.link.machine().config().close_timeout
    }

    /// Whether [`linger`](Self::linger) ended with something to write.
    pub(crate) fn left_unwritten(&self) -> bool {
        self.guarded.0.link.left_unwritten()
    }

    #[cfg(test)]
    pub(super) fn retained_by_link(&self) -> usize {
        self.guarded.0.link.retained_bytes()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Running<T> {
    /// Applies what the mailbox has asked for since the last look.
    #[inline]
    pub(super) fn update(&mut self) {
        if let Some(reason) = self.core.side.drive() {
            self.apply(&reason);
        }
    }

    #[cold]
    fn apply(&mut self, reason: &WakeReason) {
        if reason.is_due {
            self.link.forget_alarm();
        }
        if !reason.unsent.is_empty() {
            self.link.send_rest(&reason.unsent);
        }
    }
}

impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("phase", &self.guarded.core().phase)
            .finish_non_exhaustive()
    }
}
