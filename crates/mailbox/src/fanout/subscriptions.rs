//! All subscriptions of one mailbox except the first one. Each has a slot, which is a number. A slot may be free.

use super::growth;
use super::log::{Slot, Subscription};

/// The subscriptions of a mailbox behind its first one.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    // At place 0 lies the subscription of the slot after `Slot::FIRST`.
    slots: Vec<Option<Subscription>>,
    // The slot whose log the driver has read last.
    last_read: Slot,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            last_read: Slot::FIRST,
        }
    }
}

impl Subscriptions {
    /// Adds a subscription. `None` if all slots are taken.
    pub(crate) fn add(&mut self, subscription: Subscription) -> Option<Slot> {
        let free = self.slots.iter().position(Option::is_none);
        let place = free.unwrap_or(self.slots.len());
        let slot = Slot::new(u32::try_from(place + 1).ok()?)?;
        match self.slots.get_mut(place) {
            Some(free) => *free = Some(subscription),
            None => growth::push(&mut self.slots, Some(subscription)),
        }
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Subscription> {
        self.slots.get_mut(place(slot)?)?.take()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Subscription> {
        self.slots.get(place(slot)?)?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.slots.iter().flatten()
    }

    /// Whether no slot has a subscription.
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The bytes of memory on the heap, these included.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn retained_bytes(&self) -> usize {
        size_of::<Self>() + self.slots.capacity() * size_of::<Option<Subscription>>()
    }

    pub(crate) fn last_read(&self) -> Slot {
        self.last_read
    }

    pub(crate) fn note_read(&mut self, slot: Slot) {
        self.last_read = slot;
    }
}

fn place(slot: Slot) -> Option<usize> {
    usize::try_from(slot.number()).ok()?.checked_sub(1)
}
