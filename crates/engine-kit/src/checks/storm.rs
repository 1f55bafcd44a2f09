//! Checks of many calls at once.

use std::sync::atomic::{AtomicU64, Ordering};

use sockeye_pubsub::engine::Since;
use sockeye_pubsub::{Body, History, Position, TopicName};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, Node, texts, window};
use super::poll::all;
use crate::checker::{
    Bounds, Client, ClientEvent, Logs, Millis, Publisher, PublisherEvent, Stamp, Stored, Topic,
    check,
};

/// A node listens to a thousand topics at once, and gets a message of each.
pub(super) async fn a_thousand_topics_at_once(ground: &Ground<'_>) -> Result<(), Failure> {
    let topics: Vec<TopicName> = (0..1000).map(|_| ground.topic()).collect();
    let node = ground.other();
    let generations = node.engine.listen(&topics).await?;
    ensure_eq!(
        generations.len(),
        1000,
        "the generations of a thousand topics"
    );
    let publishes = topics.iter().map(|topic| {
        let message = ground.message(topic.as_str());
        ground.node().store(topic, message, window())
    });
    for published in all(publishes).await {
        published?;
    }
    for topic in &topics {
        let came = ground.delivered(node, topic, 1).await?;
        let came = texts(came.iter().map(|delivered| delivered.body()));
        ensure_eq!(
            came,
            [topic.as_str()],
            "the messages of one of a thousand topics"
        );
    }
    let tops = node.engine.tops(&topics).await?;
    let known = tops.iter().flatten().count();
    ensure_eq!(known, 1000, "the tops of a thousand topics");
    node.engine.unlisten(&topics).await?;
    Ok(())
}

/// A thousand publishes to one topic at once have a thousand positions, and come in their order.
pub(super) async fn a_thousand_publishes_at_once(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ground.listen(&topic).await?;
    let publishes = (0..1000).map(|number| {
        let node = &ground.nodes[number % ground.nodes.len()];
        node.store(&topic, ground.message(number.to_string()), window())
    });
    let mut positions = Vec::new();
    for published in all(publishes).await {
        positions.push(published?);
    }
    positions.sort_by_key(|at| at.offset);
    let offsets: Vec<u64> = positions.iter().map(|at| at.offset).collect();
    let expected: Vec<u64> = (1..=1000).collect();
    ensure!(
        offsets == expected,
        "the offsets of a thousand publishes have holes or repeat"
    );
    for node in &ground.nodes {
        let came = ground.entries(node, &topic, 1000).await?;
        let came: Vec<Position> = came.iter().map(|entry| entry.position).collect();
        ensure!(
            came == positions,
            "a thousand messages came to {} in another order",
            node.info.name
        );
    }
    Ok(())
}

/// The checker accepts the logs of publishers and nodes that publish to several topics at once.
pub(super) async fn a_storm_passes_the_checker(ground: &Ground<'_>) -> Result<(), Failure> {
    let mut storm = Storm::new(ground, [window(), window(), History::off()]).await?;
    storm.run().await?;
    storm.observe().await?;
    let violations = check(&storm.logs, &Bounds::default());
    match violations.first() {
        None => Ok(()),
        Some(violation) => Err(Failure::new(format!("the checker found: {violation}"))),
    }
}

/// Publishers that publish at once, and the logs of what happened.
struct Storm<'g, 'b> {
    ground: &'g Ground<'b>,
    logs: Logs,
    topics: Vec<(Topic, TopicName, History)>,
    clients: Vec<Client>,
    publishers: Vec<Publisher>,
    /// Each event has a time of its own.
    now: AtomicU64,
}

impl<'g, 'b> Storm<'g, 'b> {
    /// Lets each node listen to topics with these histories.
    async fn new(
        ground: &'g Ground<'b>,
        histories: impl IntoIterator<Item = History>,
    ) -> Result<Self, Failure> {
        let mut logs = Logs::new();
        let clients = ground
            .nodes
            .iter()
            .map(|node| logs.client(&*node.info.name));
        let clients: Vec<Client> = clients.collect();
        let publishers = (0..4).map(|number| logs.publisher(format!("publisher {number}")));
        let publishers = publishers.collect();
        let mut topics = Vec::new();
        for history in histories {
            let name = ground.topic();
            let topic = logs.topic(name.as_str(), history.kept());
            for (node, client) in ground.nodes.iter().zip(&clients) {
                node.listen(&name).await?;
                let at = if history.is_off() {
                    None
                } else {
                    Some(node.whole(&name, Since::Top, history).await?.top)
                };
                let event = ClientEvent::Subscribed {
                    topic,
                    after: None,
                    at,
                    recovered: None,
                    missed: 0,
                };
                logs.note(*client, 0, event);
            }
            topics.push((topic, name, history));
        }
        Ok(Self {
            ground,
            logs,
            topics,
            clients,
            publishers,
            now: AtomicU64::new(0),
        })
    }

    fn tick(&self) -> Millis {
        self.now.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Publishes by all publishers at once.
    async fn run(&mut self) -> Result<(), Failure> {
        let publishers = self.publishers.iter().enumerate();
        let noted = all(publishers.map(|(index, publisher)| {
            let node = &self.ground.nodes[index % self.ground.nodes.len()];
            self.publish(node, *publisher)
        }));
        for noted in noted.await {
            let (publisher, events) = noted?;
            for (time, event) in events {
                self.logs.published(publisher, time, event);
            }
        }
        Ok(())
    }

    async fn publish(
        &self,
        node: &Node,
        publisher: Publisher,
    ) -> Result<(Publisher, Vec<(Millis, PublisherEvent)>), Failure> {
        let mut events = Vec::new();
        for (n, (topic, name, history)) in (1..=EACH).zip(self.topics.iter().cycle()) {
            let topic = *topic;
            let sent = PublisherEvent::Sent {
                n,
                topic,
                keyed: false,
            };
            events.push((self.tick(), sent));
            let message = self.ground.message(format!("{}/{n}", publisher.0));
            let at = node.engine.publish(name, message, *history).await?;
            events.push((self.tick(), PublisherEvent::Ok { n, at }));
        }
        Ok((publisher, events))
    }

    /// Notes what came to the nodes and what the engine stored.
    async fn observe(&mut self) -> Result<(), Failure> {
        let now = self.tick();
        let published = EACH as usize * self.publishers.len();
        for (topic, name, history) in &self.topics {
            if !history.is_off() {
                let since = Since::Recent(1000);
                let read = self.ground.node().whole(name, since, *history).await?;
                for entry in &read.entries {
                    self.logs.stored(Stored {
                        topic: *topic,
                        position: entry.position,
                        previous: entry.previous,
                        stamp: stamp(&entry.body)?,
                        len: 0,
                        time: 1,
                    });
                }
                self.logs.top(now, *topic, Some(read.top));
            }
            for (node, client) in self.ground.nodes.iter().zip(&self.clients) {
                // A message that is missing is the checker's to find.
                let expected = published / self.topics.len();
                let _ = self.ground.delivered(node, name, expected).await;
                for delivered in self.ground.all(node, name).await {
                    let event = ClientEvent::Message {
                        topic: *topic,
                        at: delivered.position(),
                        previous: None,
                        stamp: stamp(delivered.body())?,
                        replayed: None,
                    };
                    self.logs.note(*client, now, event);
                }
            }
        }
        self.logs.settled(now + Bounds::default().delivery + 1);
        Ok(())
    }
}

/// Reads the stamp in a message.
fn stamp(body: &Body) -> Result<Stamp, Failure> {
    let text = body.message.as_text().unwrap_or_default();
    let stamp = text.split_once('/').and_then(|(publisher, n)| {
        Some(Stamp {
            publisher: Publisher(publisher.parse().ok()?),
            n: n.parse().ok()?,
        })
    });
    stamp.ok_or_else(|| Failure::new(format!("a message came that is not of the storm: {text:?}")))
}

/// The number of messages of each publisher.
const EACH: u32 = 60;
