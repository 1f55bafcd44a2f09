//! The state of a room, behind its lock. It decides which events there are; it does not publish them.

use std::collections::BTreeMap;

use sockeye::proto::PreparedMessage;
use sockeye::topics::Position;
use tokio::time::Instant;

use super::message::Event;
use super::name::{Name, RoomName};
use super::others::Others;
use super::roster::{Roster, TakenName};
use super::seat::{Present, Seat};
use crate::audience::{Audience, Gathering};
use crate::pace::{Bucket, Rate};

/// The state of a room on this node.
#[derive(Debug)]
pub(super) struct State<S: Seat> {
    audience: Audience<S>,
    // By their numbers in the audience, so in the order of joining.
    people: BTreeMap<u64, Person<S>>,
    pub(super) others: Others,
    roster: Roster,
    pub(super) presence: Presence,
    changes: Bucket,
    // The members that left because they do not keep up, to be logged when the lock is released.
    pub(super) slow: Vec<TakenName>,
    // The ids of members on this node of which another node said that they have left.
    denied: Vec<String>,
    /// The position up to which `others` is known.
    pub(super) last: Option<Position>,
    pub(super) closed: bool,
}

/// A member on this node.
#[derive(Debug)]
struct Person<S> {
    id: String,
    taken: TakenName,
    seat: S,
}

/// How members learn about joining, leaving and renaming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    EachChange,
    ListDue,
    ListComing,
}

/// An event, and whether all learn of it.
#[derive(Debug)]
pub(super) enum Told {
    All(String),
    Alone(String),
}

impl<S: Seat> Gathering for State<S> {
    type Listener = S;

    fn audience(&mut self) -> &mut Audience<S> {
        &mut self.audience
    }
}

impl<S: Seat> State<S> {
    pub(super) fn new(changes: Rate) -> Self {
        Self {
            audience: Audience::default(),
            people: BTreeMap::new(),
            others: Others::default(),
            roster: Roster::default(),
            presence: Presence::EachChange,
            changes: Bucket::new(changes, Instant::now()),
            slow: Vec::new(),
            denied: Vec::new(),
            last: None,
            closed: false,
        }
    }

    /// Returns the number of members on all nodes, as far as this node knows them.
    pub(super) fn len(&self) -> usize {
        self.people.len() + self.others.len()
    }

    /// Whether no member is on this node.
    pub(super) fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Adds a member. Returns its number, and the event unless a list is due.
    pub(super) fn join(
        &mut self,
        id: String,
        wanted: &Name,
        seat: S,
        now: Instant,
    ) -> (u64, Option<String>) {
        let taken = self.take(wanted);
        let joined = Event::Joined {
            name: taken.as_str(),
            id: &id,
        };
        let joined = joined.to_json();
        let is_told = self.may_tell_change(now);
        let number = self.audience.admit(seat.clone());
        self.people.insert(number, Person { id, taken, seat });
        (number, is_told.then_some(joined))
    }

    /// Sends the welcome to a member. The list is right for the position `last`.
    pub(super) fn welcome(&mut self, number: u64, room: &RoomName, topic: &str) {
        let Some(person) = self.people.get(&number) else {
            return;
        };
        let (people, more) = self.list();
        let at = self.last.map(|last| last.to_string());
        let welcome = Event::Welcome {
            room: room.as_str(),
            name: person.taken.as_str(),
            people,
            more,
            id: &person.id,
            at: at.as_deref(),
            history: topic,
        };
        person.seat.tell_alone(welcome.to_json());
    }

    /// Removes a member, and closes the room if no member is left. Returns the event, unless a list is due. The last member
    /// leaves a list without it.
    pub(super) fn leave(&mut self, number: Option<u64>, now: Instant) -> Option<String> {
        // A client without a place, and a dropped member, have already left.
        let person = number.and_then(|number| self.people.remove(&number));
        self.closed = self.people.is_empty();
        let (number, person) = number.zip(person)?;
        self.audience.remove(number);
        self.roster.give_back(&person.taken);
        if self.may_tell_change(now) {
            let name = person.taken.as_str();
            return Some(
                Event::Left {
                    name,
                    id: &person.id,
                }
                .to_json(),
            );
        }
        self.closed.then(|| self.people_event())
    }

    pub(super) fn message(&self, number: u64, text: &str, time: &str) -> Option<String> {
        let person = self.people.get(&number)?;
        let message = Event::Message {
            from: person.taken.as_str(),
            text,
            time,
            id: &person.id,
        };
        Some(message.to_json())
    }

    /// Changes a name, to the wanted one or to that with a number behind it.
    pub(super) fn rename(&mut self, number: u64, wanted: &Name, now: Instant) -> Option<Told> {
        // A member's own name is free for it.
        let person = self.people.get_mut(&number)?;
        self.roster.give_back(&person.taken);
        let taken = self.roster.take(wanted, |key| self.others.has(key));
        let old = std::mem::replace(&mut person.taken, taken);
        if person.taken.name() == old.name() {
            return None;
        }
        let renamed = Event::Renamed {
            from: old.as_str(),
            to: person.taken.as_str(),
            id: &person.id,
        };
        let renamed = renamed.to_json();
        Some(if self.may_tell_change(now) {
            Told::All(renamed)
        } else {
            // The list that is due does not tell the member its own name.
            Told::Alone(renamed)
        })
    }

    /// Gives a member another name, if a member on another node took its name before.
    pub(super) fn give_way(&mut self, number: u64, now: Instant) -> Option<Told> {
        let taken = &self.people.get(&number)?.taken;
        if !self.others.has(taken.key()) {
            return None;
        }
        let wanted = taken.name().clone();
        self.rename(number, &wanted, now)
    }

    pub(super) fn tell_alone(&self, number: u64, event: String) {
        if let Some(person) = self.people.get(&number) {
            person.seat.tell_alone(event);
        }
    }

    /// Returns the event with the whole list. From now on each change is told again.
    pub(super) fn list_event(&mut self, now: Instant) -> String {
        self.presence = Presence::EachChange;
        self.changes.charge(self.deliveries(), now);
        self.people_event()
    }

    fn people_event(&self) -> String {
        let (people, more) = self.list();
        Event::People { people, more }.to_json()
    }

    /// Notes that an event was published. Drops the members that do not keep up, and returns the events of their leaving.
    pub(super) fn note_published(&mut self, event: &PreparedMessage, now: Instant) -> Vec<String> {
        let mut left = Vec::new();
        for number in self.audience.tell_all(event) {
            let Some(person) = self.people.remove(&number) else {
                continue;
            };
            self.roster.give_back(&person.taken);
            if self.may_tell_change(now) {
                let name = person.taken.as_str();
                left.push(
                    Event::Left {
                        name,
                        id: &person.id,
                    }
                    .to_json(),
                );
            }
            self.slow.push(person.taken);
        }
        left
    }

    /// Applies an event of another node, at its position.
    pub(super) fn apply(&mut self, event: &str, at: Position) {
        let people = &self.people;
        let is_here = |id: &str| people.values().any(|person| person.id == id);
        self.denied.extend(self.others.apply(event, at, is_here));
    }

    /// Returns the events that tell of the members on this node that another node took for gone.
    pub(super) fn take_denied(&mut self, now: Instant) -> Vec<String> {
        let mut events = Vec::new();
        for id in std::mem::take(&mut self.denied) {
            let Some(person) = self.people.values().find(|person| person.id == id) else {
                continue;
            };
            let name = person.taken.as_str();
            let joined = Event::Joined { name, id: &id }.to_json();
            if self.may_tell_change(now) {
                events.push(joined);
            }
        }
        events
    }

    /// Removes a member on another node that is gone without an event. Returns the event, and the key by which all nodes
    /// publish it once. `None` if the room does not know the member, and if a list is due.
    pub(super) fn remove_gone(&mut self, id: &str, now: Instant) -> Option<(String, String)> {
        let (name, at) = self.others.remove(id)?;
        let name = name.as_str();
        let left = Event::Left { name, id }.to_json();
        let at = at.map_or("-".to_owned(), |at| at.to_string());
        self.may_tell_change(now)
            .then(|| (left, format!("left {id} {at}")))
    }

    /// Returns the ids of the members on this node.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.people.values().map(|person| person.id.as_str())
    }

    /// Adds members on other nodes that no event of the room names. `before`: see [`Others::complete`].
    pub(super) fn complete(&mut self, present: Vec<Present>, before: u64) {
        let people = &self.people;
        let is_here = |id: &str| people.values().any(|person| person.id == id);
        self.others.complete(present, before, is_here);
    }

    /// Returns the name and the connection of a member on this node.
    pub(super) fn person(&self, number: u64) -> Option<(String, S)> {
        let person = self.people.get(&number)?;
        Some((person.taken.as_str().to_owned(), person.seat.clone()))
    }

    /// Returns the connection of a member on this node.
    pub(super) fn seat(&self) -> Option<S> {
        let first = self.people.values().next()?;
        Some(first.seat.clone())
    }

    fn take(&mut self, wanted: &Name) -> TakenName {
        self.roster.take(wanted, |key| self.others.has(key))
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

    /// Returns the newest members in the order of joining, and the number of the others.
    fn list(&self) -> (Vec<&str>, usize) {
        let here = self.people.values().map(|person| person.taken.as_str());
        let newest = here.rev().chain(self.others.names().rev());
        let mut people: Vec<&str> = newest.take(MAX_LISTED).collect();
        people.reverse();
        let more = self.len() - people.len();
        (people, more)
    }

    fn deliveries(&self) -> u32 {
        self.audience.len().try_into().unwrap_or(u32::MAX)
    }
}

/// The limit of names in a list.
const MAX_LISTED: usize = 100;
