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

use std::fmt;
use std::ops::Range;

use sockeye_proto::PreparedMessage;

use super::delivery::Delivery;
use super::log::{Copied, Log, Pushed, Slot, Subscription};
use crate::direct::DirectWrite;
use crate::mailbox::Mailbox;
use crate::mailbox::offer::{Offer, Round};
use crate::mailbox::policy::Overflowed;
use crate::sync::{Arc, Mutex, lock};

/// One stream of messages to many mailboxes.
pub struct Channel<D> {
    // Lock order: this, then a mailbox, then the log.
    members: Mutex<Members<D>>,
    log: Arc<Log>,
}

/// The members of a channel. A member has the same number in the log.
struct Members<D> {
    mailboxes: Vec<Option<Arc<Mailbox<D>>>>,
    // The slot by which each mailbox knows the channel. Without one it takes items.
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    // Where the channel waits for a deliverer, once a member can be delivered to.
    delivery: Option<Delivery<Channel<D>>>,
    // Whether the channel waits for a deliverer now.
    is_queued: bool,
}

impl<D> Default for Channel<D> {
    fn default() -> Self {
        Self {
            members: Mutex::new(Members {
                mailboxes: Vec::new(),
                slots: Vec::new(),
                free: Vec::new(),
                delivery: None,
                is_queued: false,
            }),
            log: Arc::default(),
        }
    }
}

impl<D> Channel<D> {
    /// Reserves a place for a member, and returns its number and its subscription.
    pub fn reserve(&self) -> (u32, Subscription) {
        let mut members = lock(&self.members);
        let member = members.free.pop().unwrap_or_else(|| {
            members.mailboxes.push(None);
            members.slots.push(None);
            u32::try_from(members.mailboxes.len() - 1)
                .expect("fewer mailboxes than 2^32 fit in memory")
        });
        (member, self.log.subscription(member))
    }

    /// Makes a mailbox the member of this number: it gets each message from now on. `delivery` is where a deliverer waits,
    /// if the mailbox may be delivered to.
    pub fn join(&self, member: u32, mailbox: Arc<Mailbox<D>>, delivery: Option<Delivery<Self>>) {
        let mut members = lock(&self.members);
        let slot = mailbox.join(&self.log.subscription(member));
        if let Some(delivery) = delivery
            && slot.is_some()
            && members.is_delivered_by(delivery)
        {
            mailbox.begin_delivery();
        }
        let Members {
            mailboxes, slots, ..
        } = &mut *members;
        let place = member as usize;
        // Both are there: see `reserve`.
        if let (Some(joined), Some(known)) = (mailboxes.get_mut(place), slots.get_mut(place)) {
            *joined = Some(mailbox);
            *known = slot;
        }
    }

    /// Frees the place of a member. It gets no message any more, not even one that it has not read.
    pub fn leave(&self, member: u32) {
        let mut members = lock(&self.members);
        let place = member as usize;
        let slot = members.slots.get_mut(place).and_then(Option::take);
        let left = members.mailboxes.get_mut(place).and_then(Option::take);
        if let (Some(mailbox), Some(slot)) = (left, slot) {
            mailbox.leave(slot);
        }
        members.free.push(member);
    }

    /// The number of messages that were ever put into the log.
    pub fn logged(&self) -> u64 {
        self.log.pushed()
    }

    /// Sends a message to all members. Returns the number of those that accepted it. Calls `overflowed` with the number of
    /// each member that lost messages. It is called while the members are locked, so it must not come back to the channel.
    // Not inlined: in the code of its caller the loop has too few registers.
    #[inline(never)]
    pub fn publish(
        self: &Arc<Self>,
        message: &PreparedMessage,
        mut overflowed: impl FnMut(u32, Overflowed),
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
                        if let Some(lost) = members.catch_up(member) {
                            overflowed(member, lost);
                        }
                    }
                }
            }
        };
        let mut round = Round {
            is_settled: number.is_some(),
            wants_delivery: false,
        };
        let mut many = 0;
        for (member, mailbox, slot) in members.joined() {
            let offer = match number.zip(slot) {
                Some((number, slot)) => mailbox.offer_logged(slot, number, message, &mut round),
                None => {
                    round.is_settled = false;
                    mailbox.offer_item(message)
                }
            };
            match offer {
                Offer::Taken => many += 1,
                offer => many += count(offer, |lost| overflowed(member, lost)),
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

    /// Sends a message to some of the members, as items. All messages of the channel keep their order. `is_meant` and
    /// `overflowed` get a member's number, and are called as in [`publish`](Self::publish).
    pub fn publish_to(
        &self,
        message: &PreparedMessage,
        is_meant: impl Fn(u32) -> bool,
        mut overflowed: impl FnMut(u32, Overflowed),
    ) -> usize {
        let members = lock(&self.members);
        let mut many = 0;
        for (member, mailbox, _) in members.joined().filter(|(member, ..)| is_meant(*member)) {
            many += count(mailbox.offer_item(message), |lost| overflowed(member, lost));
        }
        many
    }

    /// The number of places, free ones included.
    pub fn places(&self) -> usize {
        lock(&self.members).mailboxes.len()
    }

    /// Notes that a deliverer has taken the channel: the next message asks for another delivery.
    pub fn begin_delivery(&self) {
        lock(&self.members).is_queued = false;
    }

    /// Leaves the messages to the drivers of the members from now on.
    pub fn end_delivery(&self) {
        lock(&self.members).end_delivery();
    }
}

impl<D: DirectWrite> Channel<D> {
    /// Writes what the log holds to the transports of the members in these places whose drivers are parked. Returns
    /// whether there are members.
    pub fn deliver(&self, places: Range<usize>, copied: &mut Copied) -> bool {
        let members = lock(&self.members).mailboxes_at(places);
        let are_any = !members.is_empty();
        for (mailbox, slot) in members {
            mailbox.deliver(slot, &self.log, copied);
        }
        are_any
    }
}

impl<D> Members<D> {
    fn joined(&self) -> impl Iterator<Item = (u32, &Mailbox<D>, Option<Slot>)> {
        // A zip of both would cost a quarter of what an offer costs.
        (0..).zip(&self.mailboxes).filter_map(|(member, mailbox)| {
            let mailbox = mailbox.as_ref()?;
            Some((member, &**mailbox, *self.slots.get(member as usize)?))
        })
    }

    /// The mailboxes of the members in these places, without those that take items.
    fn mailboxes_at(&self, places: Range<usize>) -> Vec<(Arc<Mailbox<D>>, Slot)> {
        let end = places.end.min(self.mailboxes.len());
        let places = places.start.min(end)..end;
        let mailboxes = self.mailboxes.get(places.clone()).into_iter().flatten();
        let slots = self.slots.get(places).into_iter().flatten();
        let members = mailboxes.zip(slots);
        members
            .filter_map(|(mailbox, slot)| Some((mailbox.clone()?, (*slot)?)))
            .collect()
    }

    /// Moves what a member has not read into its outbox. Returns what it lost.
    fn catch_up(&self, member: u32) -> Option<Overflowed> {
        let place = member as usize;
        let mailbox = self.mailboxes.get(place)?.as_ref()?;
        mailbox.catch_up((*self.slots.get(place)?)?)
    }

    /// Whether a member may be delivered to by this deliverer. The first deliverer has the channel for as long as it lives.
    fn is_delivered_by(&mut self, delivery: Delivery<Channel<D>>) -> bool {
        match &self.delivery {
            Some(known) if !known.has_ended() => known.is_same(&delivery),
            ended => {
                if ended.is_some() {
                    self.end_delivery();
                }
                self.delivery = Some(delivery);
                true
            }
        }
    }

    fn request_delivery(&mut self, channel: &Arc<Channel<D>>) {
        if self.is_queued {
            return;
        }
        self.is_queued = true;
        let is_wanted = |delivery: &Delivery<_>| delivery.request(Arc::clone(channel));
        if !self.delivery.as_ref().is_some_and(is_wanted) {
            self.end_delivery();
        }
    }

    fn end_delivery(&mut self) {
        self.delivery = None;
        self.is_queued = false;
        for mailbox in self.mailboxes.iter().flatten() {
            mailbox.end_delivery();
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

impl<D> fmt::Debug for Channel<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("places", &self.places())
            .finish_non_exhaustive()
    }
}
