//! Rule 6 for topics without history: in quiet periods each confirmed message reaches each subscriber.

use sockeye_pubsub::Kept;

use super::findings::Findings;
use super::index::Index;
use super::logs::{Client, Millis, Publisher, Stamp, Topic};
use super::violation::Rule;

/// What subscribers of topics without history must get.
#[derive(Debug)]
pub(super) struct Unstored {
    expected: Vec<Expected>,
    /// For each message the last client that got it, counted from 1.
    received: Vec<u32>,
    client: Client,
    /// The subscriptions of the present client.
    subscriptions: Vec<Subscription>,
}

/// A message that each subscriber must get.
#[derive(Clone, Copy, Debug)]
struct Expected {
    topic: Topic,
    place: usize,
    stamp: Stamp,
    sent: Millis,
    /// The time by which the message must have come.
    by: Millis,
}

/// A time for which a client was subscribed.
#[derive(Clone, Copy, Debug)]
struct Subscription {
    topic: Topic,
    from: Millis,
    until: Millis,
}

impl Unstored {
    pub(super) fn new(index: &Index<'_>) -> Self {
        let mut expected = Vec::new();
        let is_off = |topic: Topic| index.kept(topic) == Kept::Off;
        if (0..).map(Topic).take(index.logs.topics.len()).any(is_off) {
            for publisher in (0..).map(Publisher).take(index.logs.publishers.len()) {
                expected.extend(of_publisher(index, publisher));
            }
        }
        Self {
            expected,
            received: vec![0; index.publishes().len()],
            client: Client(0),
            subscriptions: Vec::new(),
        }
    }

    /// Begins to read the log of a client.
    pub(super) fn begin(&mut self, client: Client) {
        self.client = client;
        self.subscriptions.clear();
    }

    /// Notes that the client got a message.
    pub(super) fn received(&mut self, index: &Index<'_>, stamp: Stamp) {
        if let Some(place) = index.place(stamp) {
            self.received[place] = self.client.0 + 1;
        }
    }

    /// Notes a time for which the client was subscribed.
    pub(super) fn subscribed(&mut self, topic: Topic, from: Millis, until: Millis) {
        self.subscriptions.push(Subscription { topic, from, until });
    }

    /// Judges the client at the end of its log.
    pub(super) fn finish(&self, index: &Index<'_>, findings: &mut Findings<'_>) {
        for subscription in &self.subscriptions {
            let until = subscription.until.min(index.end);
            let missing = self.expected.iter().find(|message| {
                message.topic == subscription.topic
                    && message.sent > subscription.from
                    && message.by <= until
                    && self.received[message.place] != self.client.0 + 1
            });
            let Some(message) = missing else { continue };
            let events = &index.logs.clients[self.client.0 as usize].events;
            let event = events.partition_point(|(time, _)| *time <= message.by);
            findings.client(
                Rule::Acknowledged,
                self.client,
                message.topic,
                event,
                || {
                    format!(
                        "{} was confirmed in a quiet period, and did not come by {} ms",
                        message.stamp, message.by
                    )
                },
            );
        }
    }
}

/// The messages of a publisher that each subscriber of their topics must get.
fn of_publisher<'i>(
    index: &'i Index<'_>,
    publisher: Publisher,
) -> impl Iterator<Item = Expected> + 'i {
    let stamps = (0..).map(move |n| Stamp { publisher, n });
    let places = stamps.map_while(|stamp| Some((stamp, index.place(stamp)?)));
    places.filter_map(|(stamp, place)| {
        let publish = index.publishes()[place];
        let topic = publish.topic?;
        let sent = publish.first_sent?.time;
        let by = publish.ok?.time + index.bounds.delivery;
        let counts = index.kept(topic) == Kept::Off && !index.is_disturbed(sent, by);
        counts.then_some(Expected {
            topic,
            place,
            stamp,
            sent,
            by,
        })
    })
}
