//! Publishing in the simulation.

use sockeye_engine_kit::checker::PublisherEvent;
use sockeye_pubsub::{Body, Delivered, Epoch, MessageId, Position};

use crate::links::{DEADLINE, Outcome, Which};
use crate::memory::{Published, Time};
use crate::world::{MS, World};

/// A message on its way.
#[derive(Clone, Debug)]
struct Message {
    publisher: usize,
    n: u32,
    topic: usize,
    node: usize,
    key: Option<u64>,
    /// Whether it may be sent again.
    may_repeat: bool,
}

/// How a server answers a publish.
#[derive(Debug)]
enum Answer {
    Ok(Option<Position>),
    Refused,
}

impl World {
    /// Publishes a message.
    pub(crate) fn publish(&mut self, publisher: usize, node: usize, topic: usize, is_keyed: bool) {
        let n = self.publishers[publisher].next;
        self.publishers[publisher].next += 1;
        let has_history = !self.topics[topic].history.is_off();
        let key = (is_keyed && has_history).then(|| self.number());
        self.send(Message {
            publisher,
            n,
            topic,
            node,
            key,
            may_repeat: key.is_some(),
        });
    }

    fn send(&mut self, message: Message) {
        let Message { n, topic, node, .. } = message;
        let sent = PublisherEvent::Sent {
            n,
            topic: self.topics[topic].log,
            keyed: message.key.is_some(),
        };
        self.publisher_note(&message, sent);
        let deadline = self.now + DEADLINE;
        let stored = message.clone();
        let exec = move |world: &mut Self, server: usize| world.store(server, &stored, deadline);
        self.call(node, Which::Commands, exec, move |world, outcome| {
            let event = match outcome {
                Outcome::Answer(Answer::Ok(at)) => PublisherEvent::Ok { n, at },
                Outcome::Answer(Answer::Refused) | Outcome::Unsent => PublisherEvent::Unsent { n },
                Outcome::Unknown => PublisherEvent::Unknown { n },
            };
            let is_unknown = matches!(event, PublisherEvent::Unknown { .. });
            world.publisher_note(&message, event);
            if is_unknown && message.may_repeat {
                let pause = world.random.within(100..1000) * MS;
                let again = Message {
                    may_repeat: false,
                    node: world.random.index(3),
                    ..message
                };
                world.after(pause, move |world| world.send(again));
            }
        });
    }

    /// A server takes a message.
    fn store(&mut self, server: usize, message: &Message, deadline: Time) -> Answer {
        let topic = message.topic;
        let id = MessageId::new(self.random.bits());
        let fresh = Epoch::new(self.random.bits());
        let body = Body {
            message: format!("{} {}", message.publisher, message.n).into(),
            compressible: true,
        };
        let history = self.topics[topic].history;
        if history.is_off() {
            self.written(server, topic, &Delivered::Unstored { id, body });
            return Answer::Ok(None);
        }
        if self.now > deadline || !self.servers[server].is_primary {
            return Answer::Refused;
        }
        let memory = &mut self.servers[server].memory;
        let published = memory.publish(self.now, (topic, history), (id, body), message.key, fresh);
        match published {
            Published::Again(at) => Answer::Ok(Some(at)),
            Published::Stored(entry) => {
                let at = entry.position;
                self.observe(topic, &entry);
                self.written(server, topic, &Delivered::Entry(entry));
                Answer::Ok(Some(at))
            }
        }
    }

    fn publisher_note(&mut self, message: &Message, event: PublisherEvent) {
        let publisher = message.publisher;
        self.note(|| format!("publisher {publisher}: {event:?}"));
        let log = self.publishers[publisher].log;
        self.logs.published(log, self.now / MS, event);
    }
}
