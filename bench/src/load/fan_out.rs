//! One publishes, many receive. A message is delivered to a subscriber when it has come whole and right;
//! the next is published when the last subscriber has it.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Result;
use crate::message::Payload;
use crate::workload::{Load, Workload};

use super::echo::{connect, exchange, without_waiting};
use super::exact::Exact;
use super::reply::Replies;
use super::ring::{self, Position, Ring};
use super::stream::{self, BUFFER};
use super::{Loading, Options, Poller, opening};

pub(super) struct FanOut {
    poller: Poller,
    publisher: mio::net::TcpStream,
    position: Position,
    frames: Ring,
    subscribers: Vec<Subscriber>,
    replies: Exact,
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

    /// A subscriber that had `received` messages has one more.
    fn deliver(&mut self, received: u64) -> Result<()> {
        let missing = usize::try_from(received - self.complete)
            .ok()
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
        let poller = Poller::new()?;
        let mut subscribers = Vec::new();
        for token in 0..count {
            let tcp = join(options, workload, "/subscribe")?;
            let mut tcp = without_waiting(tcp)?;
            poller.register(&mut tcp, token)?;
            subscribers.push(Subscriber { tcp, received: 0 });
        }
        let publisher = join(options, workload, "/publish")?;
        // Who has the response is not yet in the list of subscribers everywhere.
        std::thread::sleep(Duration::from_millis(200));
        let mut publisher = without_waiting(publisher)?;
        poller.register(&mut publisher, count)?;
        let (mut frames, replies) = exchange(Payload::Binary, size, ring::len(size), false);
        if options.raw {
            // It sends bytes as they came: those of a server from the start.
            frames.clone_from(&replies);
        }
        Ok(Self {
            poller,
            publisher,
            position: Position::new(in_flight),
            frames: Ring::new(&frames, in_flight),
            subscribers,
            replies: Exact::new(&replies, count, BUFFER),
            buffer: vec![0; BUFFER],
            window: Window::new(in_flight, count),
            delivered: 0,
            stopping: false,
        })
    }
}

/// A connection to that path. A server without HTTP is told its first letter.
fn join(options: &Options, workload: &Workload, path: &str) -> Result<TcpStream> {
    let mut tcp = connect(options)?;
    if options.raw {
        tcp.write_all(&path.as_bytes()[1..2])
            .map_err(|error| format!("cannot write: {error}"))?;
    } else {
        opening(options, workload, path).open(&mut tcp)?;
    }
    Ok(tcp)
}

impl Loading for FanOut {
    fn turn(&mut self, until: Instant) -> Result<()> {
        self.poller.wait(until)?;
        for event in &self.poller.events {
            let token = event.token().0;
            let Some(Subscriber { tcp, received }) = self.subscribers.get_mut(token) else {
                continue;
            };
            if !event.is_readable() {
                continue;
            }
            stream::read(tcp, &mut self.buffer, |bytes| {
                for _ in 0..self.replies.take(token, bytes)? {
                    self.window.deliver(*received)?;
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
    fn a_message_that_nobody_published_is_a_fault() {
        assert!(Window::new(2, 2).deliver(2).is_err());
    }
}
