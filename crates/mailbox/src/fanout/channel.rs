//! A channel: one stream of messages to many mailboxes. Each message is framed once. The members that can share frames
//! read them from the channel's log, and the others take the message as an item.
//!
//! ```text
//!   publish ──▶ log ──▶ a member whose driver runs, or has items: the driver reads the log
//!      │         └────▶ a member whose driver is parked: the deliverer writes to its transport
//!      └──────────────▶ a member without a subscription: an item in its outbox
//! ```
//!
//! A member gets the messages of one channel in the order in which they were published, each once. What a task sends to a
//! member comes behind what the member's channels held before. Nothing is promised between two channels.
//!
//! A conflated channel brings the newest message only, its value. A member that has not read the last one reads the newest
//! in its place. Such a value has no order with what a task sends to the member.

use std::fmt;
use std::ops::Range;

use sockeye_proto::PreparedMessage;

use super::config::ChannelConfig;
use super::delivery::{Deliver, Delivery};
use super::log::{Copied, Log, Pushed, Slot, Subscription};
use super::members::{Member, Members};
use crate::direct::DirectWrite;
use crate::mailbox::Mailbox;
use crate::mailbox::offer::{Offer, Round};
use crate::mailbox::policy::Overflowed;
use crate::sync::{Arc, Mutex, lock};

/// One stream of messages to many mailboxes. `T` is what its owner keeps of each member, such as the session. `N` is what
/// its owner keeps of the channel, such as a name.
pub struct Channel<D, T, N = ()> {
    // Lock order: this, then a mailbox, then the log.
    members: Mutex<Members<D, T>>,
    log: Arc<Log>,
    name: N,
}

impl<D, T> Default for Channel<D, T> {
    fn default() -> Self {
        Self {
            members: Mutex::default(),
            log: Arc::default(),
            name: (),
        }
    }
}

impl<D, T> Channel<D, T> {
    /// Creates a channel without members.
    pub fn new(config: ChannelConfig) -> Arc<Self> {
        Self::named((), config)
    }
}

impl<D, T, N> Channel<D, T, N> {
    /// Creates a channel without members that has a name.
    pub fn named(name: N, config: ChannelConfig) -> Arc<Self> {
        Arc::new(Self {
            members: Mutex::default(),
            log: Log::new(config),
            name,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &N {
        &self.name
    }

    /// Returns whether the channel keeps only its newest message for a member that has not read.
    pub fn is_conflated(&self) -> bool {
        self.log.config().is_conflated
    }

    /// Reserves a place for a member, and returns its number and its subscription.
    pub fn reserve(&self) -> (u32, Subscription) {
        let member = lock(&self.members).reserve();
        (member, self.log.subscription(member))
    }

    /// Makes a mailbox the member of this number, which was [reserved](Self::reserve): it gets each message from now on.
    /// `delivery` is where a deliverer waits, if the mailbox may be delivered to.
    pub fn join(&self, member: u32, mailbox: Arc<Mailbox<D>>, kept: T, delivery: Option<Delivery>) {
        self.join_locked(&mut lock(&self.members), member, mailbox, kept, delivery);
    }

    /// Makes a mailbox a member, and returns its number: it gets each message from now on. `delivery` is where a
    /// deliverer waits, if the mailbox may be delivered to. Any task may call this.
    pub fn subscribe(&self, mailbox: Arc<Mailbox<D>>, kept: T, delivery: Option<Delivery>) -> u32 {
        let mut members = lock(&self.members);
        let member = members.reserve();
        self.join_locked(&mut members, member, mailbox, kept, delivery);
        member
    }

    fn join_locked(
        &self,
        members: &mut Members<D, T>,
        member: u32,
        mailbox: Arc<Mailbox<D>>,
        kept: T,
        delivery: Option<Delivery>,
    ) {
        let slot = mailbox.join(&self.log.subscription(member));
        if let Some(delivery) = delivery
            && slot.is_some()
            && members.is_delivered_by(delivery)
        {
            mailbox.begin_delivery();
        }
        if slot.is_none() {
            self.log.expect_visit();
        }
        let joined = Member {
            mailbox,
            kept,
            slot,
        };
        members.join(member, joined);
    }

    /// Frees the place of a member, if `is_meant` says that it is still the same one. The member gets no message any more,
    /// not even one that it has not read. Returns what was kept of it.
    pub fn leave(&self, member: u32, is_meant: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut members = lock(&self.members);
        let left = members.leave(member, is_meant)?;
        left.mailbox.leave(left.slot, &self.log);
        Some(left.kept)
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        lock(&self.members).joined()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at the members in these places. Returns whether there are places behind them. `look` is called while the
    /// members are locked, so it must not come back to the channel.
    pub fn look(&self, places: Range<usize>, mut look: impl FnMut(&T)) -> bool {
        let members = lock(&self.members);
        let end = places.end;
        members.at(places).for_each(|member| look(&member.kept));
        end < members.places()
    }

    /// Sends a message to some of the members, as items. All messages of the channel keep their order. `is_meant` and
    /// `overflowed` are called as in [`publish`](Self::publish).
    pub fn publish_to(
        &self,
        message: &PreparedMessage,
        is_meant: impl Fn(&T) -> bool,
        mut overflowed: impl FnMut(&T, Overflowed),
    ) -> usize {
        let members = lock(&self.members);
        let mut many = 0;
        for member in members.iter().filter(|member| is_meant(&member.kept)) {
            let offer = self.offer_alone(member, message);
            many += count(offer, |lost| overflowed(&member.kept, lost));
        }
        many
    }

    /// The bytes of memory on the heap, besides the channel itself.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn retained_bytes(&self) -> usize {
        lock(&self.members).retained_bytes() + self.log.retained_bytes()
    }

    /// Offers a message to one member, past the log.
    fn offer_alone(&self, member: &Member<D, T>, message: &PreparedMessage) -> Offer {
        let config = self.log.config();
        if config.is_conflated {
            return member.mailbox.offer_value(member.slot, &self.log, message);
        }
        member.mailbox.offer_item(message, config.overflow)
    }
}

impl<D, T, N> Channel<D, T, N>
where
    D: DirectWrite + Send + 'static,
    T: Send + 'static,
    N: Send + Sync + 'static,
{
    /// Sends a message to all members. Returns the number of those that accepted it. Calls `overflowed` for each member that
    /// lost messages. It is called while the members are locked, so it must not come back to the channel.
    // Not inlined: in the code of its caller the loop has too few registers.
    #[inline(never)]
    pub fn publish(
        self: &Arc<Self>,
        message: &PreparedMessage,
        mut overflowed: impl FnMut(&T, Overflowed),
    ) -> usize {
        // No code of the application runs while the lock is held: a wake-up only makes a task ready.
        let mut members = lock(&self.members);
        let number = loop {
            match self.log.push(message) {
                Pushed::Kept(number) => break Some(number),
                Pushed::Known(many) => return many,
                Pushed::Unfit => break None,
                Pushed::Full(slow) => {
                    for member in slow {
                        members.catch_up(member, &mut overflowed);
                    }
                }
            }
        };
        let mut round = Round {
            is_settled: number.is_some(),
            wants_delivery: false,
        };
        let mut many = 0;
        let config = self.log.config();
        for member in members.iter() {
            let offer = match number.zip(member.slot) {
                Some((number, slot)) if !config.is_conflated => {
                    let overflow = config.overflow;
                    let mailbox = &member.mailbox;
                    mailbox.offer_logged(slot, number, message, overflow, &mut round)
                }
                Some((_, slot)) => {
                    let mailbox = &member.mailbox;
                    mailbox.offer_logged_value(slot, &self.log, &mut round)
                }
                None => {
                    round.is_settled = false;
                    self.offer_alone(member, message)
                }
            };
            match offer {
                Offer::Taken => many += 1,
                offer => many += count(offer, |lost| overflowed(&member.kept, lost)),
            }
        }
        if round.is_settled {
            self.log.notified(many);
        }
        if round.wants_delivery {
            members.request_delivery(self);
        }
        many
    }
}

impl<D, T, N> Deliver for Channel<D, T, N>
where
    D: DirectWrite + Send + 'static,
    T: Send + 'static,
    N: Send + Sync + 'static,
{
    fn begin_delivery(&self) -> usize {
        let mut members = lock(&self.members);
        members.is_queued = false;
        members.places()
    }

    fn deliver(&self, places: Range<usize>, copied: &mut Copied) -> bool {
        let members = lock(&self.members).mailboxes_at(places);
        let are_any = !members.is_empty();
        for (mailbox, slot) in members {
            mailbox.deliver(slot, &self.log, copied);
        }
        are_any
    }

    fn end_delivery(&self) {
        lock(&self.members).end_delivery();
    }
}

impl<D, T> Members<D, T> {
    /// The mailboxes of the members in these places, without those that take items.
    fn mailboxes_at(&self, places: Range<usize>) -> Vec<(Arc<Mailbox<D>>, Slot)> {
        let with_slot = |member: &Member<D, T>| Some((Arc::clone(&member.mailbox), member.slot?));
        let mut mailboxes = Vec::with_capacity(places.len().min(self.places()));
        mailboxes.extend(self.at(places).filter_map(with_slot));
        mailboxes
    }

    /// Moves what a member has not read into its outbox.
    fn catch_up(&self, number: u32, overflowed: &mut impl FnMut(&T, Overflowed)) {
        if let Some(member) = self.get(number)
            && let Some(slot) = member.slot
            && let Some(lost) = member.mailbox.catch_up(slot)
        {
            overflowed(&member.kept, lost);
        }
    }
}

impl<D, T> Members<D, T>
where
    D: DirectWrite + Send + 'static,
    T: Send + 'static,
{
    fn request_delivery<N>(&mut self, channel: &Arc<Channel<D, T, N>>)
    where
        N: Send + Sync + 'static,
    {
        if self.is_queued {
            return;
        }
        self.is_queued = true;
        let is_taken =
            |delivery: &Delivery| delivery.request(Arc::<Channel<D, T, N>>::clone(channel));
        if !self.delivery.as_ref().is_some_and(is_taken) {
            self.end_delivery();
        }
    }
}

/// How many members an offer counts for: one, or none.
#[inline(never)]
fn count(offer: Offer, overflowed: impl FnOnce(Overflowed)) -> usize {
    match offer {
        Offer::Taken => 1,
        Offer::Closed => 0,
        Offer::Overflowed(lost) => {
            overflowed(lost);
            usize::from(lost.ticket.is_some())
        }
    }
}

impl<D, T, N> fmt::Debug for Channel<D, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("members", &self.len())
            .finish_non_exhaustive()
    }
}
