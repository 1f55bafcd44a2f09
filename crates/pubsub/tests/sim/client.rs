//! The clients of the simulation: they subscribe with their positions, and note what they get.

use std::collections::BTreeMap;

use sockeye_engine_kit::checker::{self, ClientEvent, Stamp};
use sockeye_pubsub::hub::{Recovery, Wants};
use sockeye_pubsub::{Body, Delivered, Entry, Epoch, MessageId, Position};

use crate::memory::Time;
use crate::node::{Ticket, Told};
use crate::schedule::QUIET;
use crate::world::{MS, Publisher, World};

/// The most messages that wait for a client. One more closes its connection.
const OUTBOX: u64 = 40;

/// A client.
pub(crate) struct Client {
    pub(crate) log: checker::Client,
    pub(crate) node: usize,
    /// The number of the connection. `None` while there is none.
    pub(crate) connection: Option<u64>,
    pub(crate) wanted: BTreeMap<usize, Subscription>,
    /// Until when the client reads nothing.
    pub(crate) slow_until: Time,
    last_read: Time,
    unread: u64,
}

/// What a client knows of a topic that it wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subscription {
    position: Option<Position>,
    /// A position that the client had before.
    earlier: Option<Position>,
    number: u64,
    after: Option<Position>,
}

/// What a client reads.
enum Read {
    Welcome {
        at: Option<Position>,
        recovery: Recovery,
        replay: Vec<Entry>,
    },
    Refused,
    Evicted,
    Message(Delivered),
    Lost(Option<Position>),
}

impl Client {
    pub(crate) fn new(log: checker::Client) -> Self {
        Self {
            log,
            node: 0,
            connection: None,
            wanted: BTreeMap::new(),
            slow_until: 0,
            last_read: 0,
            unread: 0,
        }
    }
}

/// Returns what the publisher wrote into a message.
pub(crate) fn stamp_of(body: &Body, publishers: &[Publisher]) -> Stamp {
    let text = std::str::from_utf8(body.message.as_bytes()).expect("a text");
    let (publisher, n) = text.split_once(' ').expect("two numbers");
    let publisher: usize = publisher.parse().expect("a number");
    Stamp {
        publisher: publishers[publisher].log,
        n: n.parse().expect("a number"),
    }
}

impl World {
    /// A client connects to a node, and subscribes to all that it wants.
    pub(crate) fn connect_client(&mut self, client: usize, node: usize) {
        if self.clients[client].connection.is_some() {
            return;
        }
        if self.nodes[node].hub.is_none() {
            let (pause, other) = (self.random.within(100..1000), self.random.index(3));
            return self.after(pause * MS, move |world| world.connect_client(client, other));
        }
        let connection = self.number();
        let state = &mut self.clients[client];
        state.connection = Some(connection);
        state.node = node;
        state.unread = 0;
        self.desks[node].open(client, connection);
        self.client_note(client, ClientEvent::Connected);
        let topics: Vec<usize> = self.clients[client].wanted.keys().copied().collect();
        for topic in topics {
            self.ask(client, topic);
        }
    }

    /// The connection of a client ends. The node notices it now, or after a pause.
    pub(crate) fn disconnect_client(&mut self, client: usize, pause: Time) {
        let state = &mut self.clients[client];
        let node = state.node;
        let Some(connection) = state.connection.take() else {
            return;
        };
        self.client_note(client, ClientEvent::Disconnected);
        let life = self.nodes[node].life;
        self.after(pause, move |world| {
            if world.nodes[node].life == life {
                world.forget_connection(node, client, connection);
            }
        });
    }

    fn forget_connection(&mut self, node: usize, client: usize, connection: u64) {
        self.desks[node].close(client, connection);
        let is_meant =
            move |ticket: &Ticket| ticket.client == client && ticket.connection == connection;
        for topic in 0..self.topics.len() {
            let name = self.topics[topic].name.clone();
            self.hub(node, |hub| {
                hub.cancel(&name, is_meant);
                hub.leave(&name, |topic| remove(topic, is_meant));
            });
        }
    }

    /// A client wants a topic from now on.
    pub(crate) fn want(&mut self, client: usize, topic: usize) {
        if self.clients[client].wanted.contains_key(&topic) {
            return;
        }
        let subscription = Subscription::default();
        self.clients[client].wanted.insert(topic, subscription);
        self.ask(client, topic);
    }

    /// A client wants a topic no more.
    pub(crate) fn unwant(&mut self, client: usize, topic: usize) {
        let state = &mut self.clients[client];
        if state.wanted.remove(&topic).is_none() {
            return;
        }
        let (node, connection) = (state.node, state.connection);
        let Some(connection) = connection else {
            return;
        };
        let log = self.topics[topic].log;
        self.client_note(client, ClientEvent::Ended { topic: log });
        let pause = self.random.within(100..2000);
        self.after(pause, move |world| {
            let name = world.topics[topic].name.clone();
            let wanted = world.clients[client].wanted.get(&topic);
            let newer = wanted.map(|subscription| subscription.number);
            let is_meant = move |ticket: &Ticket| {
                ticket.client == client
                    && ticket.connection == connection
                    && Some(ticket.number) != newer
            };
            world.hub(node, |hub| {
                hub.cancel(&name, is_meant);
                hub.leave(&name, |topic| remove(topic, is_meant));
            });
        });
    }

    /// The application ends the subscription of a client.
    pub(crate) fn evict(&mut self, client: usize, topic: usize) {
        let node = self.clients[client].node;
        let name = self.topics[topic].name.clone();
        let is_meant = move |ticket: &Ticket| ticket.client == client;
        let mut evicted = Vec::new();
        self.hub(node, |hub| {
            hub.evict(&name, is_meant, |topic| {
                let (ended, rest) = topic.iter().partition(|ticket| is_meant(ticket));
                *topic = rest;
                evicted = ended;
                evicted.len()
            })
        });
        for ticket in evicted {
            self.tell(node, Told::Evicted(ticket));
        }
    }

    /// A client asks for a subscription, from its position on.
    fn ask(&mut self, client: usize, topic: usize) {
        let number = self.number();
        let recent = self.random.within(0..8);
        let (kind, forged) = (self.random.within(0..100), self.random.bits());
        let state = &mut self.clients[client];
        let (node, Some(connection)) = (state.node, state.connection) else {
            return;
        };
        let Some(subscription) = state.wanted.get_mut(&topic) else {
            return;
        };
        subscription.number = number;
        subscription.after = match (kind, subscription.position) {
            (0..10, _) => subscription.earlier,
            (10..13, _) => Some(forge(subscription.position, forged)),
            (_, position) => position,
        };
        let wants = match subscription.after {
            Some(position) => Wants::After(position),
            None if recent < 4 => Wants::Live,
            None => Wants::Recent(u32::try_from(recent).expect("a small number")),
        };
        let log = self.topics[topic].log;
        self.client_note(client, ClientEvent::Asked { topic: log });
        let ticket = Ticket {
            client,
            connection,
            topic,
            number,
        };
        let pause = self.random.within(100..2000);
        self.after(pause, move |world| {
            if !world.desks[node].is_open(client, connection) {
                return;
            }
            let (name, history) = (
                world.topics[topic].name.clone(),
                world.topics[topic].history,
            );
            world.hub(node, |hub| hub.join(&name, history, wants, ticket));
        });
    }

    /// Sends a client what its node tells it.
    pub(crate) fn tell(&mut self, node: usize, told: Told) {
        let (ticket, read) = match told {
            Told::Welcome {
                ticket,
                at,
                recovery,
                replay,
            } => (
                ticket,
                Read::Welcome {
                    at,
                    recovery,
                    replay,
                },
            ),
            Told::Refused(ticket) => (ticket, Read::Refused),
            Told::Evicted(ticket) => (ticket, Read::Evicted),
            Told::Message(ticket, delivered) => (ticket, Read::Message(delivered)),
            Told::Lost(ticket, at) => (ticket, Read::Lost(at)),
        };
        let Ticket {
            client, connection, ..
        } = ticket;
        let pause = self.random.within(50..1500);
        let now = self.now;
        let state = &mut self.clients[client];
        if state.connection != Some(connection) {
            return;
        }
        let at = (now + pause).max(state.last_read + 1).max(state.slow_until);
        state.last_read = at;
        state.unread += 1;
        if state.unread > OUTBOX {
            // Too slow: the node closes the connection, and the client comes back.
            self.note(|| format!("client {client} is too slow for node {node}"));
            self.desks[node].close(client, connection);
            return self.after(0, move |world| {
                if world.clients[client].connection == Some(connection) {
                    world.disconnect_client(client, 0);
                    let (pause, node) = (world.random.within(500..2000), world.random.index(3));
                    world.after(pause * MS, move |world| world.connect_client(client, node));
                }
            });
        }
        self.at(at, move |world| {
            if world.clients[client].connection == Some(connection) {
                world.clients[client].unread -= 1;
                world.read(ticket, read);
            }
        });
    }

    fn read(&mut self, ticket: Ticket, read: Read) {
        let Ticket { client, topic, .. } = ticket;
        let log = self.topics[topic].log;
        let wanted = self.clients[client].wanted.get_mut(&topic);
        let Some(subscription) = wanted.filter(|wanted| wanted.number == ticket.number) else {
            return;
        };
        match read {
            Read::Welcome {
                at,
                recovery,
                replay,
            } => {
                let after = subscription.after;
                subscription.position = at;
                let (recovered, missed) = match recovery {
                    Recovery::Fresh => (None, replay.len()),
                    Recovery::Recovered { missed } => (Some(true), missed),
                    Recovery::Lost => (Some(false), 0),
                };
                let missed = u32::try_from(missed).expect("a short replay");
                self.client_note(
                    client,
                    ClientEvent::Subscribed {
                        topic: log,
                        after,
                        at,
                        recovered,
                        missed,
                    },
                );
                // The replay is a message each: the connection may end between two of them.
                for entry in replay {
                    if self.now < QUIET && self.random.chance(1) {
                        self.disconnect_client(client, 0);
                        let node = self.random.index(3);
                        return self
                            .after(20 * MS, move |world| world.connect_client(client, node));
                    }
                    self.message(ticket, &Delivered::Entry(entry), true);
                }
            }
            Read::Refused => {
                self.client_note(client, ClientEvent::Refused { topic: log });
                self.ask_later(ticket, 1000..5000);
            }
            Read::Evicted => {
                self.client_note(client, ClientEvent::Refused { topic: log });
                self.client_note(client, ClientEvent::Ended { topic: log });
                self.ask_later(ticket, 0..3000);
            }
            Read::Message(delivered) => self.message(ticket, &delivered, false),
            Read::Lost(at) => {
                subscription.position = at;
                self.client_note(client, ClientEvent::Lost { topic: log, at });
            }
        }
    }

    fn message(&mut self, ticket: Ticket, delivered: &Delivered, replayed: bool) {
        let Ticket { client, topic, .. } = ticket;
        let (at, previous) = match delivered {
            Delivered::Entry(entry) => (Some(entry.position), entry.previous),
            Delivered::Unstored { .. } => (None, None),
        };
        let is_earlier = self.random.chance(10);
        if let Some(subscription) = self.clients[client].wanted.get_mut(&topic) {
            subscription.position = at;
            if is_earlier {
                subscription.earlier = at;
            }
        }
        let event = ClientEvent::Message {
            topic: self.topics[topic].log,
            at,
            previous,
            stamp: stamp_of(delivered.body(), &self.publishers),
            replayed: Some(replayed),
        };
        self.client_note(client, event);
    }

    fn ask_later(&mut self, ticket: Ticket, pause: std::ops::Range<u64>) {
        let pause = self.random.within(pause);
        self.after(pause * MS, move |world| {
            let state = &world.clients[ticket.client];
            let subscription = state.wanted.get(&ticket.topic);
            if state.connection == Some(ticket.connection)
                && subscription.is_some_and(|wanted| wanted.number == ticket.number)
            {
                world.ask(ticket.client, ticket.topic);
            }
        });
    }

    pub(crate) fn client_note(&mut self, client: usize, event: ClientEvent) {
        self.note(|| format!("client {client}: {event:?}"));
        let log = self.clients[client].log;
        self.logs.note(log, self.now / MS, event);
    }

    /// Each client connects again.
    pub(crate) fn reconnect_all(&mut self) {
        for client in 0..self.clients.len() {
            self.disconnect_client(client, 0);
            let (pause, node) = (self.random.within(1..800), self.random.index(3));
            self.after(pause * MS, move |world| world.connect_client(client, node));
        }
    }
}

/// Makes a position that no server gave.
fn forge(position: Option<Position>, bits: u64) -> Position {
    let id = MessageId::new(bits);
    match position {
        Some(position) if bits.is_multiple_of(3) && position.id.is_some() => Position {
            id: Some(id),
            ..position
        },
        Some(position) if bits % 3 == 1 => Position {
            offset: position.offset + 1 + bits % 50,
            id: Some(id),
            ..position
        },
        _ => Position {
            epoch: Epoch::new(bits),
            offset: 1 + bits % 20,
            id: Some(id),
        },
    }
}

fn remove(topic: &mut Vec<Ticket>, is_meant: impl Fn(&Ticket) -> bool) -> usize {
    let before = topic.len();
    topic.retain(|ticket| !is_meant(ticket));
    before - topic.len()
}
