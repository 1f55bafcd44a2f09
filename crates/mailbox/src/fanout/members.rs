//! The members of a channel, each at a place whose number it has in the log too.

use std::ops::Range;

use super::delivery::Delivery;
use super::growth;
use super::log::Slot;
use crate::mailbox::Mailbox;
use crate::sync::Arc;

/// The members of a channel, and its way to a deliverer.
pub(super) struct Members<D, T> {
    places: Vec<Place<D, T>>,
    // The number of the place that was freed last.
    free: u32,
    joined: u32,
    // Where the channel waits for a deliverer, once a member can be delivered to.
    pub(super) delivery: Option<Delivery>,
    // Whether the channel waits for a deliverer now.
    pub(super) is_queued: bool,
}

enum Place<D, T> {
    Joined(Member<D, T>),
    Reserved,
    /// The number of the place that was freed before, or `NONE`.
    Free(u32),
}

const NONE: u32 = u32::MAX;

pub(super) struct Member<D, T> {
    pub(super) mailbox: Arc<Mailbox<D>>,
    pub(super) kept: T,
    // The slot by which the mailbox knows the channel. Without one it takes items.
    pub(super) slot: Option<Slot>,
}

impl<D, T> Default for Members<D, T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: NONE,
            joined: 0,
            delivery: None,
            is_queued: false,
        }
    }
}

impl<D, T> Members<D, T> {
    /// Reserves a place, and returns its number.
    pub(super) fn reserve(&mut self) -> u32 {
        let number = self.free;
        if let Some(place) = self.places.get_mut(number as usize)
            && let Place::Free(next) = *place
        {
            *place = Place::Reserved;
            self.free = next;
            return number;
        }
        growth::push(&mut self.places, Place::Reserved);
        u32::try_from(self.places.len() - 1).expect("fewer mailboxes than 2^32 fit in memory")
    }

    /// Puts a member into a reserved place.
    pub(super) fn join(&mut self, number: u32, member: Member<D, T>) {
        let place = self.places.get_mut(number as usize);
        if let Some(place @ Place::Reserved) = place {
            *place = Place::Joined(member);
            self.joined += 1;
        }
    }

    /// Removes the member with this number, if it is the one that is meant.
    pub(super) fn leave(
        &mut self,
        number: u32,
        is_meant: impl FnOnce(&T) -> bool,
    ) -> Option<Member<D, T>> {
        let place = self.places.get_mut(number as usize)?;
        if !matches!(place, Place::Joined(member) if is_meant(&member.kept)) {
            return None;
        }
        let left = std::mem::replace(place, Place::Free(self.free));
        self.free = number;
        self.joined -= 1;
        left.member()
    }

    /// The number of members.
    pub(super) fn joined(&self) -> usize {
        self.joined as usize
    }

    /// The number of places, free ones included.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Member<D, T>> {
        self.places.get(number as usize)?.as_member()
    }

    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member<D, T>> {
        self.places.iter().filter_map(Place::as_member)
    }

    /// The members in these places.
    pub(super) fn at(&self, places: Range<usize>) -> impl Iterator<Item = &Member<D, T>> {
        let end = places.end.min(self.places.len());
        let places = places.start.min(end)..end;
        let places = self.places.get(places).into_iter().flatten();
        places.filter_map(Place::as_member)
    }

    /// Whether a member may be delivered to by this deliverer. The first deliverer has the channel for as long as it lives.
    pub(super) fn is_delivered_by(&mut self, delivery: Delivery) -> bool {
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

    pub(super) fn end_delivery(&mut self) {
        self.delivery = None;
        self.is_queued = false;
        for member in self.iter() {
            member.mailbox.end_delivery();
        }
    }

    /// The bytes of memory on the heap.
    #[cfg(all(test, not(loom)))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Place<D, T>>()
    }
}

impl<D, T> Place<D, T> {
    #[inline]
    fn as_member(&self) -> Option<&Member<D, T>> {
        match self {
            Self::Joined(member) => Some(member),
            Self::Reserved | Self::Free(_) => None,
        }
    }

    fn member(self) -> Option<Member<D, T>> {
        match self {
            Self::Joined(member) => Some(member),
            Self::Reserved | Self::Free(_) => None,
        }
    }
}
