//! Who is in which room. Knows no sockets: those who listen are told through [`Listener`].
//!
//! A room has one lock, and what changes it is told to all before the lock is given back: everybody is
//! told the same in the same order, so a list kept by the events is who is here. Telling does not wait.
//! A room is there while somebody is in it:
//!
//! ```text
//!   (none) ── first joins ──▶ open ── last leaves ──▶ closed, and no longer listed
//! ```
//!
//! Whoever finds a closed room was overtaken by the last one's leaving, and looks again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sockeye::{PreparedMessage, SendError};

use super::message::Event;
use super::name::{Name, RoomName};
use crate::clock::rfc3339;

/// One who is told what happens in a room.
pub(crate) trait Listener: Send {
    /// Takes a message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when it has too much to read already. Other errors: it is about to leave.
    fn tell(&self, message: &PreparedMessage) -> Result<(), SendError>;

    /// It did not keep up, and is told nothing more.
    fn give_up(&self);
}

/// All rooms. A handle.
#[derive(Debug)]
pub(crate) struct Rooms<L>(Arc<Mutex<HashMap<String, SharedRoom<L>>>>);

type SharedRoom<L> = Arc<Mutex<Room<L>>>;

impl<L: Listener> Rooms<L> {
    /// Goes into a room, under the name that is wanted or one like it.
    pub(super) fn join(&self, name: &RoomName, wanted: &Name, listener: L) -> Seat<L> {
        loop {
            let room = self.find_or_open(name);
            let mut state = lock(&room);
            if state.closed {
                drop(state);
                self.forget(name, &room);
                continue;
            }
            let id = state.join(name, wanted, listener);
            drop(state);
            return Seat {
                id,
                name: name.clone(),
                room,
                rooms: self.clone(),
            };
        }
    }

    fn find_or_open(&self, name: &RoomName) -> SharedRoom<L> {
        let mut rooms = lock(&self.0);
        if let Some(room) = rooms.get(name.as_str()) {
            return Arc::clone(room);
        }
        let room = SharedRoom::default();
        rooms.insert(name.as_str().to_owned(), Arc::clone(&room));
        room
    }
}

impl<L> Rooms<L> {
    /// Takes a closed room off the list, unless another has its place already.
    fn forget(&self, name: &RoomName, room: &SharedRoom<L>) {
        let mut rooms = lock(&self.0);
        if rooms
            .get(name.as_str())
            .is_some_and(|listed| Arc::ptr_eq(listed, room))
        {
            rooms.remove(name.as_str());
        }
        // The largest chat of the past is no reason to keep its memory.
        if rooms.capacity() > 64 && rooms.len() < rooms.capacity() / 4 {
            rooms.shrink_to_fit();
        }
    }
}

impl<L> Clone for Rooms<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L> Default for Rooms<L> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Somebody's place in a room. Dropping it is leaving.
#[derive(Debug)]
pub(super) struct Seat<L: Listener> {
    id: u64,
    name: RoomName,
    room: SharedRoom<L>,
    rooms: Rooms<L>,
}

impl<L: Listener> Seat<L> {
    /// Says something to everybody in the room.
    pub(super) fn say(&self, text: &str, now: SystemTime) {
        lock(&self.room).say(self.id, text, now);
    }

    /// Takes another name, or one like it.
    pub(super) fn rename(&self, wanted: &Name) {
        lock(&self.room).rename(self.id, wanted);
    }
}

impl<L: Listener> Drop for Seat<L> {
    fn drop(&mut self) {
        let mut room = lock(&self.room);
        room.leave(self.id);
        if room.members.is_empty() {
            room.closed = true;
            drop(room);
            self.rooms.forget(&self.name, &self.room);
        }
    }
}

/// One room, as its lock guards it.
#[derive(Debug)]
struct Room<L> {
    // In the order of coming.
    members: Vec<Member<L>>,
    // The keys of the members' names.
    taken: HashSet<String>,
    next_id: u64,
    closed: bool,
}

#[derive(Debug)]
struct Member<L> {
    id: u64,
    name: Name,
    listener: L,
}

impl<L: Listener> Room<L> {
    fn join(&mut self, room: &RoomName, wanted: &Name, listener: L) -> u64 {
        let name = self.free_name(wanted);
        self.taken.insert(name.key());
        tracing::info!(room = ?room.as_str(), name = ?name.as_str(), "joined");
        self.tell_all(&Event::Joined {
            name: name.as_str(),
        });
        let id = self.next_id;
        self.next_id += 1;
        self.members.push(Member { id, name, listener });
        if let Some(member) = self.members.last() {
            let people = self.members.iter().map(|member| member.name.as_str());
            let welcome = Event::Welcome {
                room: room.as_str(),
                name: member.name.as_str(),
                people: people.collect(),
            };
            // Nothing was told before it, so there is room for it; or it is about to leave.
            let _ = member.listener.tell(&prepare(&welcome));
        }
        id
    }

    fn leave(&mut self, id: u64) {
        let Some(name) = self.name(id) else { return };
        self.members.retain(|member| member.id != id);
        self.taken.remove(&name.key());
        tracing::info!(name = ?name.as_str(), "left");
        self.tell_all(&Event::Left {
            name: name.as_str(),
        });
    }

    fn say(&mut self, id: u64, text: &str, now: SystemTime) {
        let Some(name) = self.name(id) else { return };
        self.tell_all(&Event::Message {
            from: name.as_str(),
            text,
            time: &rfc3339(now),
        });
    }

    fn rename(&mut self, id: u64, wanted: &Name) {
        let Some(old) = self.name(id) else { return };
        // One's own name is free.
        self.taken.remove(&old.key());
        let new = self.free_name(wanted);
        self.taken.insert(new.key());
        if new == old {
            return;
        }
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.name = new.clone();
        }
        tracing::info!(from = ?old.as_str(), to = ?new.as_str(), "renamed");
        self.tell_all(&Event::Renamed {
            from: old.as_str(),
            to: new.as_str(),
        });
    }

    /// Tells everybody, and gives up on those who do not keep up; of which the others are told.
    fn tell_all(&mut self, event: &Event<'_>) {
        let mut messages = VecDeque::from([prepare(event)]);
        while let Some(message) = messages.pop_front() {
            let (members, taken) = (&mut self.members, &mut self.taken);
            members.retain(|member| {
                if member.listener.tell(&message) != Err(SendError::Full) {
                    return true;
                }
                tracing::info!(name = ?member.name.as_str(), "reads too slowly");
                member.listener.give_up();
                taken.remove(&member.name.key());
                messages.push_back(prepare(&Event::Left {
                    name: member.name.as_str(),
                }));
                false
            });
        }
    }

    fn free_name(&self, wanted: &Name) -> Name {
        let is_free = |name: &Name| !self.taken.contains(&name.key());
        if is_free(wanted) {
            return wanted.clone();
        }
        (2..)
            .map(|number| wanted.numbered(number))
            .find(is_free)
            .expect("there are more numbers than people")
    }

    /// The name of a member; who was given up is none any more.
    fn name(&self, id: u64) -> Option<Name> {
        let member = self.members.iter().find(|member| member.id == id)?;
        Some(member.name.clone())
    }
}

impl<L> Default for Room<L> {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            taken: HashSet::new(),
            next_id: 0,
            closed: false,
        }
    }
}

/// Encoded once, however many are told.
fn prepare(event: &Event<'_>) -> PreparedMessage {
    PreparedMessage::new(event.to_json())
}

/// No callback runs under these locks, so what a panic leaves behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
