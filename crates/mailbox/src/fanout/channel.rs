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

use super::delivery::{Deliver, Delivery};
use super::log::{Copied, Log, Pushed, Slot, Subscription};
use crate::direct::DirectWrite;
use crate::mailbox::Mailbox;
use crate::mailbox::offer::{Offer, Round};
use crate::mailbox::policy::Overflowed;
use crate::sync::{Arc, Mutex, lock};

/// One stream of messages to many mailboxes. `T` is what its owner keeps of each member, such as the session.
pub struct Channel<D, T> {
    // Lock order: this, then a mailbox, then the log.
    members: Mutex<Members<D, T>>,
    log: Arc<Log>,
}

/// The members of a channel. A member has the same number in the log.
struct Members<D, T> {
    all: Vec<Option<Member<D, T>>>,
    // The slot by which each member's mailbox knows the channel. Without one it takes items.
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    joined: usize,
    // Where the channel waits for a deliverer, once a member can be delivered to.
    delivery: Option<Delivery>,
    // Whether the channel waits for a deliverer now.
    is_queued: bool,
}

struct Member<D, T> {
    mailbox: Arc<Mailbox<D>>,
    kept: T,
}

impl<D, T> Default for Channel<D, T> {
    fn default() -> Self {
        Self {
            members: Mutex::new(Members {
                all: Vec::new(),
                slots: Vec::new(),
                free: Vec::new(),
                joined: 0,
                delivery: None,
                is_queued: false,
            }),
            log: Arc::default(),
        }
    }
}

impl<D, T> Channel<D, T> {
    /// Reserves a place for a member, and returns its number and its subscription.
    pub fn reserve(&self) -> (u32, Subscription) {
        let mut members = lock(&self.members);
        let member = members.free.pop().unwrap_or_else(|| {
            members.all.push(None);
            members.slots.push(None);
            u32::try_from(members.all.len() - 1).expect("fewer mailboxes than 2^32 fit in memory")
        });
        (member, self.log.subscription(member))
    }

    /// Makes a mailbox the member of this number, which was [reserved](Self::reserve): it gets each message from now on.
    /// `delivery` is where a deliverer waits, if the mailbox may be delivered to.
    pub fn join(&self, member: u32, mailbox: Arc<Mailbox<D>>, kept: T, delivery: Option<Delivery>) {
        let mut members = lock(&self.members);
        let slot = mailbox.join(&self.log.subscription(member));
        if let Some(delivery) = delivery
            && slot.is_some()
            && members.is_delivered_by(delivery)
        {
            mailbox.begin_delivery();
        }
        let Members {
            all, slots, joined, ..
        } = &mut *members;
        let place = member as usize;
        if let (Some(free), Some(known)) = (all.get_mut(place), slots.get_mut(place)) {
            *free = Some(Member { mailbox, kept });
            *known = slot;
            *joined += 1;
        }
    }

    /// Frees the place of a member, if `is_meant` says that it is still the same one. The member gets no message any more,
    /// not even one that it has not read. Returns what was kept of it.
    pub fn leave(&self, member: u32, is_meant: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut members = lock(&self.members);
        let place = member as usize;
        let joined = members.all.get_mut(place)?;
        let left = joined.take_if(|member| is_meant(&member.kept))?;
        if let Some(slot) = members.slots.get_mut(place).and_then(Option::take) {
            left.mailbox.leave(slot);
        }
        members.joined -= 1;
        members.free.push(member);
        Some(left.kept)
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        lock(&self.members).joined
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at the members in these places. Returns whether there are places behind them. `look` is called while the
    /// members are locked, so it must not come back to the channel.
    pub fn look(&self, places: Range<usize>, mut look: impl FnMut(&T)) -> bool {
        let members = lock(&self.members);
        members
            .at(places.clone())
            .for_each(|member| look(&member.kept));
        places.end < members.all.len()
    }

    /// The number of messages that were ever put into the log.
    pub fn logged(&self) -> u64 {
        self.log.pushed()
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
        for member in members
            .all
            .iter()
            .flatten()
            .filter(|member| is_meant(&member.kept))
        {
            let offer = member.mailbox.offer_item(message);
            many += count(offer, |lost| overflowed(&member.kept, lost));
        }
        many
    }
}

impl<D, T> Channel<D, T>
where
    D: DirectWrite + Send + 'static,
    T: Send + 'static,
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
        for (place, member) in members.all.iter().enumerate() {
            let Some(member) = member else {
                continue;
            };
            let slot = members.slots.get(place).copied().flatten();
            let offer = match number.zip(slot) {
                Some((number, slot)) => {
                    let mailbox = &member.mailbox;
                    mailbox.offer_logged(slot, number, message, &mut round)
                }
                None => {
                    round.is_settled = false;
                    member.mailbox.offer_item(message)
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

impl<D, T> Deliver for Channel<D, T>
where
    D: DirectWrite + Send + 'static,
    T: Send + 'static,
{
    fn begin_delivery(&self) -> usize {
        let mut members = lock(&self.members);
        members.is_queued = false;
        members.all.len()
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
    fn at(&self, places: Range<usize>) -> impl Iterator<Item = &Member<D, T>> {
        let end = places.end.min(self.all.len());
        let places = places.start.min(end)..end;
        self.all.get(places).into_iter().flatten().flatten()
    }

    /// The mailboxes of the members in these places, without those that take items.
    fn mailboxes_at(&self, places: Range<usize>) -> Vec<(Arc<Mailbox<D>>, Slot)> {
        let end = places.end.min(self.all.len());
        let places = places.start.min(end)..end;
        let members = self.all.get(places.clone()).into_iter().flatten();
        let slots = self.slots.get(places).into_iter().flatten();
        let both = members.zip(slots);
        both.filter_map(|(member, slot)| Some((Arc::clone(&member.as_ref()?.mailbox), (*slot)?)))
            .collect()
    }

    /// Moves what a member has not read into its outbox.
    fn catch_up(&self, member: u32, overflowed: &mut impl FnMut(&T, Overflowed)) {
        let place = member as usize;
        let slot = self.slots.get(place).copied().flatten();
        if let (Some(Some(member)), Some(slot)) = (self.all.get(place), slot)
            && let Some(lost) = member.mailbox.catch_up(slot)
        {
            overflowed(&member.kept, lost);
        }
    }

    /// Whether a member may be delivered to by this deliverer. The first deliverer has the channel for as long as it lives.
    fn is_delivered_by(&mut self, delivery: Delivery) -> bool {
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

    fn end_delivery(&mut self) {
        self.delivery = None;
        self.is_queued = false;
        for member in self.all.iter().flatten() {
            member.mailbox.end_delivery();
        }
    }
}

impl<D, T> Members<D, T>
where
    D: DirectWrite + Send + 'static,
    T: Send + 'static,
{
    fn request_delivery(&mut self, channel: &Arc<Channel<D, T>>) {
        if self.is_queued {
            return;
        }
        self.is_queued = true;
        let is_taken = |delivery: &Delivery| delivery.request(Arc::<Channel<D, T>>::clone(channel));
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

impl<D, T> fmt::Debug for Channel<D, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("members", &self.len())
            .finish_non_exhaustive()
    }
}
