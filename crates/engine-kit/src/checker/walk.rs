//! Reads the log of each client once, and asks the rules about each event.

use sockeye_pubsub::Kept;

use super::answer::{self, Answer, Told};
use super::chain::{Chain, Received};
use super::findings::Findings;
use super::index::Index;
use super::logs::{Client, ClientEvent, Millis, Topic};
use super::settled::{self, Place};
use super::standing::Standing;
use super::unstored::Unstored;

/// Reads the logs of all clients.
pub(super) fn check<'a>(index: &Index<'a>, findings: &mut Findings<'a>) {
    let logs = index.logs;
    let mut walk = Walk {
        index,
        findings,
        client: Client(0),
        segments: 0,
        standings: vec![Standing::default(); logs.topics.len()],
        touched: Vec::new(),
        chain: Chain::new(index),
        unstored: Unstored::new(index),
    };
    for client in (0..).map(Client).take(logs.clients.len()) {
        walk.client(client);
    }
}

struct Walk<'w, 'a> {
    index: &'w Index<'a>,
    findings: &'w mut Findings<'a>,
    client: Client,
    /// The number of the last segment.
    segments: u32,
    standings: Vec<Standing>,
    /// The topics of which the present client has a standing.
    touched: Vec<Topic>,
    chain: Chain,
    unstored: Unstored,
}

impl Walk<'_, '_> {
    fn client(&mut self, client: Client) {
        self.client = client;
        for topic in self.touched.drain(..) {
            self.standings[topic.0 as usize] = Standing::default();
        }
        self.unstored.begin(client);
        let logs = self.index.logs;
        let events = &logs.clients[client.0 as usize].events;
        let mut marks = logs.settled.iter().copied().enumerate().peekable();
        let mut is_connected = true;
        for (event, (time, what)) in events.iter().enumerate() {
            while let Some(mark) = marks.next_if(|(_, mark)| mark < time) {
                self.settled(mark, event, is_connected);
            }
            match what {
                ClientEvent::Connected => is_connected = true,
                ClientEvent::Disconnected => {
                    is_connected = false;
                    self.end_all(*time);
                }
                _ => self.event(event, *time, what),
            }
        }
        for mark in marks {
            self.settled(mark, events.len(), is_connected);
        }
        self.end_all(Millis::MAX);
        self.unstored.finish(self.index, self.findings);
    }

    /// Takes an event of one topic.
    fn event(&mut self, event: usize, time: Millis, what: &ClientEvent) {
        match *what {
            ClientEvent::Connected | ClientEvent::Disconnected => {}
            ClientEvent::Asked { topic } => self.standing(topic).asked = Some(time),
            ClientEvent::Refused { topic } => self.standing(topic).asked = None,
            ClientEvent::Ended { topic } => self.end(topic, time),
            ClientEvent::Subscribed {
                topic,
                after,
                at,
                recovered,
                missed,
            } => {
                let answer = Answer {
                    after,
                    at,
                    recovered,
                    missed,
                };
                self.subscribed(self.told(topic, event, time), answer);
            }
            ClientEvent::Lost { topic, at } => {
                let told = self.told(topic, event, time);
                let before = *self.standing(topic);
                answer::check_lost(self.index, self.findings, told, at, &before);
                let segment = self.new_segment();
                let standing = self.standing(topic);
                standing.begin(segment, at);
                standing.recovered = false;
                standing.replay = 0;
            }
            ClientEvent::Message {
                topic,
                at,
                previous,
                stamp,
                replayed,
            } => {
                let received = Received {
                    client: self.client,
                    topic,
                    event,
                    at,
                    previous,
                    stamp,
                    replayed,
                };
                self.unstored.received(self.index, stamp);
                let standing = &mut self.standings[topic.0 as usize];
                self.chain
                    .check(self.index, self.findings, received, standing);
            }
        }
    }

    fn subscribed(&mut self, told: Told, answer: Answer) {
        let Told { topic, time, .. } = told;
        self.end(topic, time);
        answer::check(self.index, self.findings, told, answer);
        let before = *self.standing(topic);
        let recovered = answer.recovered == Some(true);
        if !(recovered && before.segment != 0 && before.at == answer.after) {
            let segment = self.new_segment();
            // A recovered client goes on from its own position, also where the answer gives another one.
            let at = if recovered { answer.after } else { answer.at };
            let standing = self.standing(topic);
            standing.begin(segment, at);
            standing.value = at.and_then(|at| at.id).filter(|_| recovered);
        }
        let standing = self.standing(topic);
        standing.is_subscribed = true;
        standing.asked = None;
        standing.since = time;
        standing.recovered = recovered;
        standing.has_message = false;
        standing.missed = answer.missed;
        standing.replay = answer.missed;
    }

    /// Judges where the client stands when the run has settled.
    fn settled(&mut self, (number, mark): (usize, Millis), event: usize, is_connected: bool) {
        for topic in self.touched.iter().filter(|_| is_connected) {
            let place = Place {
                client: self.client,
                topic: *topic,
                event,
                number,
                mark,
            };
            let standing = &self.standings[topic.0 as usize];
            settled::check(self.index, self.findings, place, standing);
        }
    }

    fn end_all(&mut self, time: Millis) {
        for topic in 0..self.touched.len() {
            self.end(self.touched[topic], time);
        }
    }

    fn end(&mut self, topic: Topic, time: Millis) {
        let standing = self.standing(topic);
        let (was_subscribed, since) = (standing.is_subscribed, standing.since);
        standing.end();
        if was_subscribed && self.index.kept(topic) == Kept::Off {
            self.unstored.subscribed(topic, since, time);
        }
    }

    fn standing(&mut self, topic: Topic) -> &mut Standing {
        let standing = &mut self.standings[topic.0 as usize];
        if !standing.is_touched {
            standing.is_touched = true;
            self.touched.push(topic);
        }
        standing
    }

    fn new_segment(&mut self) -> u32 {
        self.segments += 1;
        self.segments
    }

    fn told(&self, topic: Topic, event: usize, time: Millis) -> Told {
        Told {
            client: self.client,
            topic,
            event,
            time,
        }
    }
}
