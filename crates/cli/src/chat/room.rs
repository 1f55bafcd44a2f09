//! The rooms and their members. This module does not know sockets: it sends messages to a [`Listener`].
//!
//! A room has one lock. A message is sent to all members under the lock, so all members get the same messages in the same
//! order. Sending does not wait, and nothing is logged under the lock. A room exists while it has a member:
//!
//! ```text
//!   (none) ── first joins ──▶ open ── last leaves ──▶ closed, and no longer listed
//! ```
//!
//! A client that finds a closed room searches again: the last member has left in between.
//!
//! Each joining, leaving and renaming is sent to all members. So a crowd that joins costs the square of its size. The
//! budget [`CHANGES`] bounds that: it counts each member to which a change is sent. When the budget is used up, changes
//! are no longer sent. A task sends the whole list to all members one second later:
//!
//! ```text
//!              the budget is used up            a task was started
//!   EachChange ──────────────────────▶ ListDue ──────────────────▶ ListComing
//!       ▲                                                              │
//!       └────────────── the list was sent, a second later ─────────────┘
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sockeye::proto::PreparedMessage;
use tokio::time::{Instant, sleep};

use super::message::Event;
use super::name::{Name, RoomName};
use super::roster::{Roster, TakenName};
use crate::audience::{Audience, Gathering, Listener, Shared};
use crate::pace::{Bucket, Rate, rate};
use crate::time::rfc3339;

/// All rooms. A handle.
#[derive(Debug)]
pub(crate) struct Rooms<L: Listener> {
    listed: Arc<Mutex<HashMap<String, SharedRoom<L>>>>,
    max_people: NonZeroUsize,
    changes: Rate,
}

type SharedRoom<L> = Arc<Shared<Room<L>>>;

/// The error of joining a full room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RoomFull;

impl<L: Listener + 'static> Rooms<L> {
    /// Creates an empty list of rooms. Each room will hold at most `max_people` members.
    pub(crate) fn new(max_people: NonZeroUsize) -> Self {
        Self {
            listed: Arc::default(),
            max_people,
            changes: CHANGES,
        }
    }

    /// Joins a room, with the wanted name or with a number behind it.
    ///
    /// # Errors
    ///
    /// [`RoomFull`].
    pub(super) fn join(
        &self,
        name: &RoomName,
        wanted: &Name,
        listener: L,
    ) -> Result<Member<L>, RoomFull> {
        let key = name.key();
        loop {
            let room = self.find_or_open(&key);
            let mut state = room.lock();
            if state.closed {
                drop(state);
                self.forget(&key, &room);
                continue;
            }
            if state.people.len() >= self.max_people.get() {
                return Err(RoomFull);
            }
            let id = state.join(name, wanted, listener, Instant::now());
            let slow = finish(&room, state);
            tracing::debug!(room = ?name.as_str(), "joined");
            log_slow(&slow);
            return Ok(Member {
                id,
                key,
                room,
                rooms: self.clone(),
            });
        }
    }

    fn find_or_open(&self, key: &str) -> SharedRoom<L> {
        let mut rooms = lock(&self.listed);
        if let Some(room) = rooms.get(key) {
            return Arc::clone(room);
        }
        let room = Arc::new(Shared::new(Room::new(self.changes)));
        rooms.insert(key.to_owned(), Arc::clone(&room));
        room
    }
}

impl<L: Listener> Rooms<L> {
    /// Removes a closed room from the list, unless a new room has replaced it.
    fn forget(&self, key: &str, room: &SharedRoom<L>) {
        let mut rooms = lock(&self.listed);
        if rooms
            .get(key)
            .is_some_and(|listed| Arc::ptr_eq(listed, room))
        {
            rooms.remove(key);
        }
        // The list does not keep the memory of its largest size.
        if rooms.capacity() > 64 && rooms.len() < rooms.capacity() / 4 {
            rooms.shrink_to_fit();
        }
    }
}

impl<L: Listener> Clone for Rooms<L> {
    fn clone(&self) -> Self {
        Self {
            listed: Arc::clone(&self.listed),
            ..*self
        }
    }
}

/// The membership of a client in a room. Dropping it leaves the room.
#[derive(Debug)]
pub(super) struct Member<L: Listener + 'static> {
    id: u64,
    key: String,
    room: SharedRoom<L>,
    rooms: Rooms<L>,
}

impl<L: Listener + 'static> Member<L> {
    /// Sends a text to all members, then waits at most 100 ms for members that read and are behind.
    pub(super) async fn say(&self, text: &str, now: SystemTime) {
        let say = |room: &mut Room<L>| {
            room.say(self.id, text, now, Instant::now());
            self.schedule(room);
            std::mem::take(&mut room.slow)
        };
        let slow = self.room.speak(say).await;
        log_slow(&slow);
    }

    /// Changes the name, to the wanted one or to that with a number behind it.
    pub(super) fn rename(&self, wanted: &Name) {
        let mut room = self.room.lock();
        room.rename(self.id, wanted, Instant::now());
        let slow = finish(&self.room, room);
        tracing::debug!(to = ?wanted.as_str(), "renamed");
        log_slow(&slow);
    }

    fn schedule(&self, room: &mut Room<L>) {
        schedule(&self.room, room);
    }
}

impl<L: Listener + 'static> Drop for Member<L> {
    fn drop(&mut self) {
        let mut room = self.room.lock();
        room.leave(self.id, Instant::now());
        room.closed = room.people.is_empty();
        let is_closed = room.closed;
        let slow = finish(&self.room, room);
        if is_closed {
            self.rooms.forget(&self.key, &self.room);
        }
        tracing::debug!("left");
        log_slow(&slow);
    }
}

/// Releases the lock. Returns the names of dropped members, to be logged.
fn finish<L: Listener + 'static>(
    shared: &SharedRoom<L>,
    mut room: MutexGuard<'_, Room<L>>,
) -> Vec<TakenName> {
    schedule(shared, &mut room);
    std::mem::take(&mut room.slow)
}

/// Starts a task that sends the list, if the list is due and no task was started.
fn schedule<L: Listener + 'static>(shared: &SharedRoom<L>, room: &mut Room<L>) {
    if room.presence != Presence::ListDue {
        return;
    }
    room.presence = Presence::ListComing;
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        sleep(LIST_PERIOD).await;
        if let Some(shared) = shared.upgrade() {
            let mut room = shared.lock();
            room.send_list(Instant::now());
            let slow = finish(&shared, room);
            log_slow(&slow);
        }
    });
}

/// Logs the names of dropped members. Never called under a room's lock: a slow log would block the room.
fn log_slow(slow: &[TakenName]) {
    for taken in slow {
        tracing::debug!(name = ?taken.as_str(), "reads too slowly");
    }
}

/// The state of a room, behind its lock.
#[derive(Debug)]
struct Room<L: Listener> {
    audience: Audience<L>,
    // By their numbers in the audience, so in the order of joining.
    people: BTreeMap<u64, TakenName>,
    roster: Roster,
    presence: Presence,
    changes: Bucket,
    // Members that were dropped since the lock was taken.
    slow: Vec<TakenName>,
    closed: bool,
}

/// How members learn about joining, leaving and renaming.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    EachChange,
    ListDue,
    ListComing,
}

impl<L: Listener> Gathering for Room<L> {
    type Listener = L;

    fn audience(&mut self) -> &mut Audience<L> {
        &mut self.audience
    }
}

impl<L: Listener> Room<L> {
    fn new(changes: Rate) -> Self {
        Self {
            audience: Audience::default(),
            people: BTreeMap::new(),
            roster: Roster::default(),
            presence: Presence::EachChange,
            changes: Bucket::new(changes, Instant::now()),
            slow: Vec::new(),
            closed: false,
        }
    }

    fn join(&mut self, room: &RoomName, wanted: &Name, listener: L, now: Instant) -> u64 {
        let taken = self.roster.take(wanted);
        let name = taken.as_str().to_owned();
        self.tell_change(&Event::Joined { name: &name }, now);
        let id = self.audience.admit(listener);
        self.people.insert(id, taken);
        let (people, more) = self.list();
        let welcome = Event::Welcome {
            room: room.as_str(),
            name: &name,
            people,
            more,
        };
        let welcome = prepare(&welcome);
        self.audience.tell(id, &welcome);
        id
    }

    fn leave(&mut self, id: u64, now: Instant) {
        // A dropped member has already left.
        let Some(taken) = self.people.remove(&id) else {
            return;
        };
        self.audience.remove(id);
        self.roster.give_back(&taken);
        let name = taken.as_str();
        self.tell_change(&Event::Left { name }, now);
    }

    fn say(&mut self, id: u64, text: &str, time: SystemTime, now: Instant) {
        let Some(taken) = self.people.get(&id) else {
            return;
        };
        let message = prepare(&Event::Message {
            from: taken.as_str(),
            text,
            time: &rfc3339(time),
        });
        self.tell_all(&message, now);
    }

    fn rename(&mut self, id: u64, wanted: &Name, now: Instant) {
        let Some(taken) = self.people.get_mut(&id) else {
            return;
        };
        // A member's own name is free for it.
        self.roster.give_back(taken);
        let old = std::mem::replace(taken, self.roster.take(wanted));
        let new = taken.name().clone();
        if new == *old.name() {
            return;
        }
        let renamed = prepare(&Event::Renamed {
            from: old.as_str(),
            to: new.as_str(),
        });
        if self.may_tell_change(now) {
            self.tell_all(&renamed, now);
        } else {
            // The list that is due does not tell the member its own name.
            self.audience.tell(id, &renamed);
        }
    }

    /// Sends a change to all members, unless the list is due.
    fn tell_change(&mut self, change: &Event<'_>, now: Instant) {
        if self.may_tell_change(now) {
            self.tell_all(&prepare(change), now);
        }
    }

    fn may_tell_change(&mut self, now: Instant) -> bool {
        if self.presence != Presence::EachChange {
            return false;
        }
        let may = self.changes.try_take(self.deliveries(), now);
        if !may {
            self.presence = Presence::ListDue;
        }
        may
    }

    fn send_list(&mut self, now: Instant) {
        self.presence = Presence::EachChange;
        self.changes.charge(self.deliveries(), now);
        let (people, more) = self.list();
        let list = prepare(&Event::People { people, more });
        self.tell_all(&list, now);
    }

    /// Returns the newest members in the order of joining, and the number of the others.
    fn list(&self) -> (Vec<&str>, usize) {
        let newest = self.people.values().rev().take(MAX_LISTED);
        let mut people: Vec<&str> = newest.map(TakenName::as_str).collect();
        people.reverse();
        let more = self.people.len() - people.len();
        (people, more)
    }

    /// Sends a message to all members, and drops those that do not keep up. The others learn that these left.
    fn tell_all(&mut self, message: &PreparedMessage, now: Instant) {
        let mut slow = VecDeque::from(self.audience.tell_all(message));
        while let Some(id) = slow.pop_front() {
            let Some(taken) = self.people.remove(&id) else {
                continue;
            };
            self.roster.give_back(&taken);
            if self.may_tell_change(now) {
                let name = taken.as_str();
                slow.extend(self.audience.tell_all(&prepare(&Event::Left { name })));
            }
            self.slow.push(taken);
        }
    }

    fn deliveries(&self) -> u32 {
        self.audience.len().try_into().unwrap_or(u32::MAX)
    }
}

/// Encodes an event once, for all members.
fn prepare(event: &Event<'_>) -> PreparedMessage {
    PreparedMessage::new(event.to_json())
}

/// Locks a mutex. No callback runs under the lock, so the data is consistent even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The default limit of people in a room.
pub(crate) const MAX_PEOPLE: NonZeroUsize = NonZeroUsize::new(500).expect("not 0");
/// The limit of names in a list.
const MAX_LISTED: usize = 100;
/// The budget for changes in a room, for each second and at once. A change costs one for each member to which it is sent.
const CHANGES: Rate = rate(1000, 5000);
/// The time between two lists, while there are too many changes.
const LIST_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
