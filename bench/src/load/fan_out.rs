//! One publishes, many receive. A message is delivered to a subscriber when it has come whole and right;
//! the next is published when the last subscriber has it.
//!
//! With topics, message n goes to topic n modulo their number, and connection n subscribes to the topic of the
//! same rule. So each topic has its own part of the ring of messages, and the same number of subscribers.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Result;
use crate::message::Payload;
use crate::server::Dialect;
use crate::workload::{Load, Workload};

use super::echo::{connect, exchange, without_waiting};
use super::exact::Exact;
use super::reply::Replies;
use super::ring::{self, Position, Ring};
use super::stream::{self, BUFFER};
use super::{Loading, Options, Poller, opening, socket_io};

pub(super) struct FanOut {
    poller: Poller,
    publisher: mio::net::TcpStream,
    position: Position,
    frames: Ring,
    subscribers: Vec<Subscriber>,
    /// What the subscribers of each topic get.
    replies: Vec<Exact>,
    buffer: Vec<u8>,
    window: Window,
    delivered: u64,
    stopping: bool,
}

struct Subscriber {
    tcp: mio::net::TcpStream,
    /// How many messages it has.
    received: u64,
}

/// The messages in flight.
struct Window {
    /// How many subscribers lack each, from the oldest on.
    missing: VecDeque<usize>,
    /// How many messages came before the oldest.
    complete: u64,
    subscribers: usize,
}

impl Window {
    fn new(messages: usize, subscribers: usize) -> Self {
        Self {
            missing: vec![subscribers; messages].into(),
            complete: 0,
            subscribers,
        }
    }

    /// A subscriber has the message of this number.
    fn deliver(&mut self, message: u64) -> Result<()> {
        let missing = message
            .checked_sub(self.complete)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.missing.get_mut(index));
        *missing.ok_or("a message came that was not published")? -= 1;
        Ok(())
    }

    /// Removes the messages that every receiver has; they are the oldest ones.
    fn complete(&mut self) -> usize {
        let complete = self.missing.iter().take_while(|missing| **missing == 0);
        let complete = complete.count();
        self.missing.drain(..complete);
        self.complete += complete as u64;
        complete
    }

    fn publish(&mut self, messages: usize) {
        let more = std::iter::repeat_n(self.subscribers, messages);
        self.missing.extend(more);
    }
}

impl FanOut {
    pub(super) fn connect(options: &Options, workload: &Workload) -> Result<Self> {
        let Load::FanOut {
            subscribers: count,
            in_flight,
            size,
        } = workload.load
        else {
            return Err(format!("{} fans nothing out", workload.name));
        };
        let topics = workload.setting.topics.map_or(1, usize::from);
        if !count.is_multiple_of(topics) {
            return Err(format!("{count} subscribers are no multiple of {topics}"));
        }
        let poller = Poller::new()?;
        let mut subscribers = Vec::new();
        for token in 0..count {
            let topic = workload.setting.topics.map(|_| token % topics);
            let tcp = join(options, workload, Part::Subscriber(topic))?;
            let mut tcp = without_waiting(tcp)?;
            poller.register(&mut tcp, token)?;
            subscribers.push(Subscriber { tcp, received: 0 });
        }
        let publisher = join(&options.of_publisher(), workload, Part::Publisher)?;
        // Who has the response is not yet in the list of subscribers everywhere, nor is its node in that of the engine.
        let settling = if workload.is_shared() { 1000 } else { 200 };
        std::thread::sleep(Duration::from_millis(settling));
        let mut publisher = without_waiting(publisher)?;
        poller.register(&mut publisher, count)?;
        // Of one topic, no message looks as the one before.
        let messages = topics * (ring::len(size) / topics).max(2);
        let (mut frames, replies) = match options.dialect {
            Dialect::SocketIo => socket_io::exchange(size, messages),
            _ => exchange(Payload::Binary, size, messages, false),
        };
        if options.is_raw() {
            // It sends bytes as they came: those of a server from the start.
            frames.clone_from(&replies);
        }
        Ok(Self {
            poller,
            publisher,
            position: Position::new(in_flight),
            frames: Ring::new(&frames, in_flight),
            subscribers,
            replies: by_topic(&replies, topics, count / topics),
            buffer: vec![0; BUFFER],
            window: Window::new(in_flight, count / topics),
            delivered: 0,
            stopping: false,
        })
    }
}

/// What a connection does in a fan-out.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Publisher,
    /// Of one topic, where there are topics.
    Subscriber(Option<usize>),
}

/// Opens a connection. A server without HTTP is told a letter, and the topic as a byte.
pub(super) fn join(options: &Options, workload: &Workload, part: Part) -> Result<TcpStream> {
    let mut tcp = connect(options)?;
    let path = match part {
        Part::Publisher => "/publish".to_owned(),
        Part::Subscriber(None) => "/subscribe".to_owned(),
        Part::Subscriber(Some(topic)) => format!("/subscribe/{topic}"),
    };
    match (options.dialect, part) {
        (Dialect::WebSocket, _) => opening(options, workload, &path).open(&mut tcp)?,
        (Dialect::SocketIo, _) => socket_io::open(options, workload, &path, &mut tcp)?,
        (Dialect::Raw, Part::Publisher) => tell(&mut tcp, b"p")?,
        (Dialect::Raw, Part::Subscriber(None)) => tell(&mut tcp, b"s")?,
        (Dialect::Raw, Part::Subscriber(Some(topic))) => tell(&mut tcp, &[b's', topic as u8])?,
    }
    Ok(tcp)
}

fn tell(tcp: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    tcp.write_all(bytes)
        .map_err(|error| format!("cannot write: {error}"))
}

/// The replies for `subscribers` of each topic.
fn by_topic(replies: &[Vec<u8>], topics: usize, subscribers: usize) -> Vec<Exact> {
    let of_topic = |topic| -> Vec<Vec<u8>> {
        let own = replies.iter().skip(topic).step_by(topics);
        own.cloned().collect()
    };
    (0..topics)
        .map(|topic| Exact::new(&of_topic(topic), subscribers, BUFFER))
        .collect()
}

impl Loading for FanOut {
    fn turn(&mut self, until: Instant) -> Result<()> {
        self.poller.wait(until)?;
        let topics = self.replies.len();
        for event in &self.poller.events {
            let token = event.token().0;
            let Some(Subscriber { tcp, received }) = self.subscribers.get_mut(token) else {
                continue;
            };
            if !event.is_readable() {
                continue;
            }
            let (topic, connection) = (token % topics, token / topics);
            stream::read(tcp, &mut self.buffer, |bytes| {
                for _ in 0..self.replies[topic].take(connection, bytes)? {
                    let message = *received * topics as u64 + topic as u64;
                    self.window.deliver(message)?;
                    *received += 1;
                    self.delivered += 1;
                }
                Ok(())
            })?;
        }
        let complete = self.window.complete();
        if !self.stopping {
            self.window.publish(complete);
            self.position.release(complete);
        }
        stream::write(&mut self.publisher, &mut self.position, &self.frames)
    }

    /// Of deliveries: a message to a thousand counts a thousand times.
    fn count(&self) -> u64 {
        self.delivered
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn in_flight(&self) -> usize {
        self.window.missing.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::frame;

    #[test]
    fn a_message_is_complete_when_the_last_has_it() {
        let mut window = Window::new(2, 2);
        window.deliver(0).unwrap();
        window.deliver(1).unwrap();
        assert_eq!(window.complete(), 0);
        window.deliver(0).unwrap();
        assert_eq!(window.complete(), 1);
        window.publish(1);
        window.deliver(1).unwrap();
        window.deliver(2).unwrap();
        window.deliver(2).unwrap();
        assert_eq!(window.complete(), 2);
    }

    #[test]
    fn each_topic_gets_every_message_of_its_turn() {
        let replies: Vec<Vec<u8>> = (0..4).map(|number| frame(0x82, &[number], None)).collect();
        let mut topics = by_topic(&replies, 2, 1);
        let own = [&replies[1][..], &replies[3], &replies[1]].concat();
        assert_eq!(topics[1].take(0, &own), Ok(3));
        assert!(topics[0].take(0, &replies[1]).is_err());
    }

    #[test]
    fn a_message_that_nobody_published_is_a_fault() {
        assert!(Window::new(2, 2).deliver(2).is_err());
    }
}
