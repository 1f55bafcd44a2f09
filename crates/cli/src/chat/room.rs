//! The rooms and their members. This module does not know sockets: a member has a [`Seat`].
//!
//! A room is a topic. The server publishes each event to it, and the topic brings the events to the members of all nodes in
//! one order. The part of a room on a node exists while a member is on that node:
//!
//! ```text
//!   (none) ── first joins ──▶ open ── last leaves ──▶ closed, and no longer listed
//! ```
//!
//! A client that finds a closed room searches again: the last member has left in between.
//!
//! There are two locks. The *order* is held from the choice of an event until the topic has ordered it. So the events of a
//! node come in the order in which its state changed. The state has a lock of its own, which is never held during a wait.
//!
//! A node gives a name that is free by what it knows. When an event with a name was ordered, the node reads the events of
//! other nodes before it. If one of them has that name, this node's event is the later one, and the node renames its member.
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

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sockeye::Topics;
use sockeye::proto::PreparedMessage;
use sockeye::topics::{Catchup, Position, PublishError, Since, SubscribeError};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::name::{Name, RoomName};
use super::seat::Seat;
use super::state::{Presence, State, Told};
use crate::audience::Shared;
use crate::pace::{Rate, rate};
use crate::time::rfc3339;

/// All rooms. A handle.
#[derive(Debug)]
pub(crate) struct Rooms<S: Seat> {
    listed: Arc<Mutex<HashMap<String, SharedRoom<S>>>>,
    topics: Topics,
    max_people: NonZeroUsize,
    changes: Rate,
    nodes: Nodes,
}

type SharedRoom<S> = Arc<Room<S>>;

/// The nodes that share the rooms: one, with the memory engine, or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nodes {
    One,
    Many,
}

/// The part of a room on this node.
#[derive(Debug)]
pub(super) struct Room<S: Seat> {
    topics: Topics,
    topic: String,
    pub(super) order: tokio::sync::Mutex<()>,
    pub(super) state: Shared<State<S>>,
}

/// Events of a room are lost: the engine no longer has all events behind the last one that the node knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HistoryLost;

/// Why a client cannot join a room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JoinError {
    Full,
    Unavailable,
}

impl<S: Seat> Rooms<S> {
    /// Creates an empty list of rooms. Each room will hold at most `max_people` members.
    pub(crate) fn new(topics: Topics, max_people: NonZeroUsize, nodes: Nodes) -> Self {
        Self {
            listed: Arc::default(),
            topics,
            max_people,
            changes: CHANGES,
            nodes,
        }
    }

    /// Joins a room, with the wanted name or with a number behind it.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub(super) async fn join(
        &self,
        name: &RoomName,
        wanted: &Name,
        seat: S,
    ) -> Result<Member<S>, JoinError> {
        let key = name.key();
        loop {
            let room = self.find_or_open(&key, name);
            let order = room.order.lock().await;
            if room.state.lock().closed {
                drop(order);
                self.forget(&key, &room);
                continue;
            }
            let mut member = Member {
                number: None,
                key,
                room: Arc::clone(&room),
                rooms: self.clone(),
            };
            let entered = member.enter(name, wanted, seat).await;
            room.finish();
            drop(order);
            entered?;
            tracing::debug!(room = ?name.as_str(), "joined");
            return Ok(member);
        }
    }

    fn find_or_open(&self, key: &str, name: &RoomName) -> SharedRoom<S> {
        let mut rooms = lock(&self.listed);
        if let Some(room) = rooms.get(key) {
            return Arc::clone(room);
        }
        let room = Arc::new(Room {
            topics: self.topics.clone(),
            topic: name.topic(),
            order: tokio::sync::Mutex::new(()),
            state: Shared::new(State::new(self.changes)),
        });
        rooms.insert(key.to_owned(), Arc::clone(&room));
        if self.nodes == Nodes::Many {
            room.watch();
        }
        room
    }

    /// Removes a closed room from the list, unless a new room has replaced it.
    fn forget(&self, key: &str, room: &SharedRoom<S>) {
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

impl<S: Seat> Clone for Rooms<S> {
    fn clone(&self) -> Self {
        Self {
            listed: Arc::clone(&self.listed),
            topics: self.topics.clone(),
            ..*self
        }
    }
}

/// The membership of a client in a room. Dropping it leaves the room.
#[derive(Debug)]
pub(super) struct Member<S: Seat> {
    // `None` until the client has a place.
    number: Option<u64>,
    key: String,
    room: SharedRoom<S>,
    rooms: Rooms<S>,
}

impl<S: Seat> Member<S> {
    /// Takes a place, tells the others, and welcomes the member. The caller holds the order.
    async fn enter(&mut self, name: &RoomName, wanted: &Name, seat: S) -> Result<(), JoinError> {
        let room = &self.room;
        let is_first = room.state.lock().last.is_none();
        room.learn(None).await;
        if is_first && self.rooms.nodes == Nodes::Many {
            room.learn_silent(&seat).await;
        }
        let (number, joined) = {
            let mut state = room.state.lock();
            if state.len() >= self.rooms.max_people.get() {
                return Err(JoinError::Full);
            }
            state.join(seat.id(), wanted, seat.clone(), Instant::now())
        };
        self.number = Some(number);
        let unavailable = |error: &dyn std::error::Error| {
            tracing::debug!(%error, "cannot join");
            JoinError::Unavailable
        };
        let shown = self.show(number, None).await;
        let shown = shown.map_err(|error| unavailable(&error))?;
        let named = room.tell_name(number, joined.map(Told::All)).await;
        named.map_err(|error| unavailable(&error))?;
        let shown = self.show(number, shown.as_deref()).await;
        shown.map_err(|error| unavailable(&error))?;
        let last = {
            let mut state = room.state.lock();
            state.welcome(number, name, &room.topic);
            state.last
        };
        let listening = seat.listen(&room.topic, last).await;
        listening.map_err(|error| unavailable(&error))
    }

    /// Sends a text to all members, then waits at most 100 ms for members that read and are behind.
    ///
    /// # Errors
    ///
    /// If the topic cannot take the message.
    pub(super) async fn say(&self, text: &str, now: SystemTime) -> Result<(), PublishError> {
        let room = &self.room;
        let say = async {
            let _order = room.order.lock().await;
            let say = |number| room.state.lock().message(number, text, &rfc3339(now));
            let Some(message) = self.number.and_then(say) else {
                return Ok(());
            };
            let said = room.publish(message).await;
            room.finish();
            said
        };
        room.state.speak_async(say).await
    }

    /// Changes the name, to the wanted one or to that with a number behind it.
    ///
    /// # Errors
    ///
    /// If the topic cannot take the message.
    pub(super) async fn rename(&self, wanted: &Name) -> Result<(), PublishError> {
        let Some(number) = self.number else {
            return Ok(());
        };
        let room = &self.room;
        let _order = room.order.lock().await;
        let before = room.state.lock().person(number).map(|(name, _)| name);
        let told = room.state.lock().rename(number, wanted, Instant::now());
        let renamed = room.tell_name(number, told).await;
        room.finish();
        tracing::debug!(to = ?wanted.as_str(), "renamed");
        if let Err(error) = self.show(number, before.as_deref()).await {
            tracing::debug!(%error, "cannot show a new name");
        }
        renamed
    }

    /// Shows the name of the member where nodes look that open the room later. `shown` is the name that stands there.
    /// Returns the name.
    async fn show(
        &self,
        number: u64,
        shown: Option<&str>,
    ) -> Result<Option<String>, SubscribeError> {
        let room = &self.room;
        let Some((name, seat)) = room.state.lock().person(number) else {
            return Ok(None);
        };
        if self.rooms.nodes == Nodes::Many && shown != Some(&*name) {
            seat.appear(&room.presence_topic(), &name).await?;
        }
        Ok(Some(name))
    }
}

impl<S: Seat> Drop for Member<S> {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (room, rooms) = (Arc::clone(&self.room), self.rooms.clone());
        let (key, number) = (std::mem::take(&mut self.key), self.number);
        runtime.spawn(async move {
            let _order = room.order.lock().await;
            let (left, is_closed) = {
                let mut state = room.state.lock();
                (state.leave(number, Instant::now()), state.closed)
            };
            if let Some(left) = left
                && let Err(error) = room.publish(left).await
            {
                tracing::debug!(%error, "cannot tell that a member left");
            }
            // Until then the next client waits for the order of this room, and then reads that the member has left.
            if is_closed {
                rooms.forget(&key, &room);
            }
            room.finish();
            tracing::debug!("left");
        });
    }
}

impl<S: Seat> Room<S> {
    /// Returns the topic in which the members of the room are present. See [`watch`](super::watch).
    pub(super) fn presence_topic(&self) -> String {
        self.topic.replacen("room/", "here/", 1)
    }

    /// Publishes an event, and the events that follow from it. The caller holds the order.
    async fn publish(&self, event: String) -> Result<(), PublishError> {
        self.publish_once(event, None).await
    }

    /// Publishes an event once on all nodes that use this key for it, and the events that follow from it. The caller holds
    /// the order.
    pub(super) async fn publish_once(
        &self,
        event: String,
        key: Option<String>,
    ) -> Result<(), PublishError> {
        let mut events = VecDeque::from([(event, key)]);
        while let Some((event, key)) = events.pop_front() {
            let event = PreparedMessage::new(event);
            let mut publish = self.topics.publish(&*self.topic, &event);
            if let Some(key) = key {
                publish = publish.key(key);
            }
            if let Some(position) = publish.await?.position() {
                self.learn(Some(position)).await;
            }
            let (mut state, now) = (self.state.lock(), Instant::now());
            let mut follow = state.note_published(&event, now);
            follow.extend(state.take_denied(now));
            events.extend(follow.into_iter().map(|event| (event, None)));
        }
        Ok(())
    }

    /// Tells the name of a member. If another node gave the name to a member before, it gives another one, and tells it.
    async fn tell_name(&self, number: u64, mut told: Option<Told>) -> Result<(), PublishError> {
        while let Some(event) = told.take() {
            match event {
                Told::All(event) => self.publish(event).await?,
                Told::Alone(event) => self.state.lock().tell_alone(number, event),
            }
            told = self.state.lock().give_way(number, Instant::now());
        }
        Ok(())
    }

    /// Reads the events of other nodes up to a position, or up to the newest one when the room opens. The caller holds the
    /// order. Nothing is read if this node's last event is the one before the position.
    async fn learn(&self, until: Option<Position>) {
        let last = self.state.lock().last;
        let since = match (last, until) {
            (Some(_), None) => return,
            (Some(last), Some(until)) if is_next(last, until) => {
                self.state.lock().last = Some(until);
                return;
            }
            // Another node has published this event before, with the same key.
            (Some(last), Some(until)) if is_known(last, until) => return,
            (Some(last), Some(_)) => Since::After(last),
            (None, _) => RECENT,
        };
        // The members of other nodes are still known. `watch` finds those that have left meanwhile.
        let _ = self.read(since, until).await;
    }

    /// Learns of the members on other nodes that no event of the room names, once its events were read for the first time.
    /// The caller holds the order.
    async fn learn_silent(&self, seat: &S) {
        let present = seat.present(&self.presence_topic()).await;
        let before = SystemTime::now() - JOINING;
        let before = before.duration_since(SystemTime::UNIX_EPOCH);
        let before = before.map_or(0, |before| {
            before.as_millis().try_into().unwrap_or(u64::MAX)
        });
        // If the list cannot be read, the events alone tell who is there.
        let present = present.unwrap_or_default();
        self.state.lock().complete(present, before);
    }

    /// Reads the events of other nodes up to the newest one. The caller holds the order.
    ///
    /// # Errors
    ///
    /// [`HistoryLost`]. The events that are kept were read.
    pub(super) async fn catch_up(&self) -> Result<(), HistoryLost> {
        let last = self.state.lock().last;
        self.read(last.map_or(RECENT, Since::After), None).await
    }

    async fn read(&self, since: Since, until: Option<Position>) -> Result<(), HistoryLost> {
        let mut page = self.topics.history(&self.topic, since).await;
        let is_lost = matches!(page, Ok(Catchup::Lost { .. }));
        if is_lost {
            page = self.topics.history(&self.topic, RECENT).await;
        }
        let outcome = if is_lost { Err(HistoryLost) } else { Ok(()) };
        let Ok(Catchup::Whole { entries, top, .. }) = page else {
            return outcome;
        };
        let mut state = self.state.lock();
        for entry in entries {
            if let Some(event) = entry.body.message.as_text() {
                state.apply(event, entry.position);
            }
            if Some(entry.position) == until {
                break;
            }
        }
        state.last = until.or(Some(top));
        outcome
    }

    /// Does what follows from an event: it starts a task that sends the list if that is due, and logs slow members.
    pub(super) fn finish(self: &Arc<Self>) {
        let (is_due, slow) = {
            let mut state = self.state.lock();
            let is_due = state.presence == Presence::ListDue && !state.closed;
            if is_due {
                state.presence = Presence::ListComing;
            }
            (is_due, std::mem::take(&mut state.slow))
        };
        // A slow log does not block the room: the lock is released.
        for taken in slow {
            tracing::debug!(name = ?taken.as_str(), "reads too slowly");
        }
        if !is_due {
            return;
        }
        let room = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(LIST_PERIOD).await;
            if let Some(room) = room.upgrade() {
                room.send_list().await;
            }
        });
    }

    async fn send_list(self: Arc<Self>) {
        let _order = self.order.lock().await;
        let list = {
            let mut state = self.state.lock();
            if state.is_empty() {
                return;
            }
            state.list_event(Instant::now())
        };
        if let Err(error) = self.publish(list).await {
            tracing::debug!(%error, "cannot send the list");
        }
        self.finish();
    }
}

/// Whether no event stands between two positions.
fn is_next(last: Position, next: Position) -> bool {
    next.epoch == last.epoch && next.offset == last.offset + 1
}

/// Whether a position is not behind the last one that is known.
fn is_known(last: Position, position: Position) -> bool {
    position.epoch == last.epoch && position.offset <= last.offset
}

/// Locks a mutex. No callback runs under the lock, so the data is consistent even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The default limit of people in a room.
pub(crate) const MAX_PEOPLE: NonZeroUsize = NonZeroUsize::new(500).expect("not 0");
/// The budget for changes in a room, for each second and at once. A change costs one for each member to which it is sent.
const CHANGES: Rate = rate(1000, 5000);
/// The time between two lists, while there are too many changes.
const LIST_PERIOD: Duration = Duration::from_secs(1);
/// The time between a member's presence and the event that names it, with some for clocks that differ.
const JOINING: Duration = Duration::from_secs(10);
/// The events that a node reads when it knows none: all that a room keeps.
const RECENT: Since = Since::Recent(100);

#[cfg(test)]
mod tests;
