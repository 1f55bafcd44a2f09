//! The engine's side of a node: connections to servers, requests and their answers, the feed, and the beat.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use sockeye_pubsub::engine::{
    Catchup, EngineError, EngineErrorKind, EngineState, Generation, Since, WasPublished,
};
use sockeye_pubsub::hub::{ReadNumber, Request};
use sockeye_pubsub::{Entry, Epoch, TopicName};

use crate::memory::{Page, Time};
use crate::node::{Link, PARTITIONS};
use crate::world::{Event, MS, SECOND, World};

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome<R> {
    Answer(R),
    /// The request did not leave the node.
    Unsent,
    Unknown,
}

/// The connections of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Commands,
    Feed,
}

type Done<R> = Box<dyn FnOnce(&mut World, Outcome<R>)>;

impl World {
    /// Connects a node to the primary server.
    pub(crate) fn connect(&mut self, node: usize) {
        let life = self.nodes[node].life;
        let server = self.primary;
        if self.servers[server].is_dead {
            let pause = self.random.within(100..1000) * MS;
            return self.after(pause, move |world| {
                if world.nodes[node].life == life {
                    world.connect(node);
                }
            });
        }
        let (commands, feed) = (self.number(), self.number());
        let link = |connection| Link {
            server,
            connection: Some(connection),
            ..Link::default()
        };
        let memory = self.servers[server].memory_number;
        let state = &mut self.nodes[node];
        state.commands = link(commands);
        state.feed = link(feed);
        state.memory_number = memory;
        state.strikes = 0;
        self.note(|| format!("node {node} connects to server {server}"));
        self.hub(node, |hub| hub.engine_state(EngineState::Ready));
        self.listen_to_all(node);
        self.after(5 * SECOND, move |world| world.beat(node, commands));
    }

    fn listen_to_all(&mut self, node: usize) {
        // Topics are listened to again in parts.
        let topics: Vec<usize> = self.nodes[node].listened.iter().copied().collect();
        for topics in topics.chunks(2) {
            self.listen_again(node, topics.to_vec());
        }
    }

    fn listen_again(&mut self, node: usize, topics: Vec<usize>) {
        let Some(connection) = self.nodes[node].feed.connection else {
            return;
        };
        let subscribed = topics.clone();
        let exec = move |world: &mut Self, server: usize| {
            let feed = world.servers[server].subscribed.entry((node, connection));
            feed.or_default().extend(&subscribed);
        };
        self.call(node, Which::Feed, exec, move |world, outcome| {
            if world.nodes[node].feed.connection != Some(connection) {
                return;
            }
            match outcome {
                Outcome::Answer(()) => {
                    for topic in topics {
                        world.report_listened(node, topic);
                    }
                }
                // A slow server: the engine repeats it.
                Outcome::Unknown | Outcome::Unsent => world.listen_again(node, topics),
            }
        });
    }

    fn report_listened(&mut self, node: usize, topic: usize) {
        if self.nodes[node].listened.contains(&topic) {
            let generation = self.nodes[node].generation(topic);
            let name = self.topics[topic].name.clone();
            self.hub(node, |hub| hub.listened(generation, &[name]));
        }
    }

    /// Both connections of a node end, and it connects again.
    pub(crate) fn disconnect(&mut self, node: usize) {
        if self.nodes[node].commands.connection.is_none() {
            return;
        }
        self.note(|| format!("node {node} is disconnected"));
        let life = self.nodes[node].life;
        self.report_gap(node);
        self.end_connections(node);
        self.hub(node, |hub| hub.engine_state(EngineState::Down));
        let pause = self.random.within(100..3000) * MS;
        self.after(pause, move |world| {
            if world.nodes[node].life == life {
                world.connect(node);
            }
        });
    }

    /// The generations are counted first. The hub hears of the gap a little later.
    fn report_gap(&mut self, node: usize) {
        let life = self.nodes[node].life;
        let pause = self.random.within(0..2000);
        self.after(pause, move |world| {
            if world.nodes[node].life == life {
                world.hub(node, |hub| hub.gap(&|_| true));
            }
        });
    }

    /// The feed of a node ends. Its commands go on.
    pub(crate) fn disconnect_feed(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(feed) = state.feed.connection.take() else {
            return;
        };
        let life = state.life;
        let calls = std::mem::take(&mut state.feed.calls);
        self.note(|| format!("node {node} has no feed"));
        self.end_feed(node, feed, calls);
        self.report_gap(node);
        let pause = self.random.within(100..3000) * MS;
        self.after(pause, move |world| {
            let feed = world.number();
            let state = &mut world.nodes[node];
            let is_open = state.life == life && state.commands.connection.is_some();
            if !is_open || state.feed.connection.is_some() {
                return;
            }
            state.feed = Link {
                server: state.commands.server,
                connection: Some(feed),
                ..Link::default()
            };
            world.listen_to_all(node);
        });
    }

    fn end_feed(&mut self, node: usize, feed: u64, calls: BTreeSet<u64>) {
        let state = &mut self.nodes[node];
        state.dropping = [false; PARTITIONS];
        state.dropped = [false; PARTITIONS];
        for generation in &mut state.generations {
            *generation += 1;
        }
        for server in &mut self.servers {
            server.subscribed.remove(&(node, feed));
        }
        for call in calls {
            self.fail(call);
        }
    }

    /// The connections of a node end.
    pub(crate) fn end_connections(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let feed = state.feed.connection.take();
        state.commands.connection = None;
        let mut calls = std::mem::take(&mut state.commands.calls);
        calls.append(&mut state.feed.calls);
        self.end_feed(node, feed.unwrap_or_default(), calls);
    }

    /// The memory of the server went back while the links were up. Messages of the old memory may still be on their way: the
    /// topics are listened to again when the feed has answered, and no answer overtakes a message.
    fn gap_of_all(&mut self, node: usize) {
        for generation in &mut self.nodes[node].generations {
            *generation += 1;
        }
        self.hub(node, |hub| hub.gap(&|_| true));
        self.listen_to_all(node);
    }

    /// The feed of a node drops what comes for a partition, until its worker notices.
    pub(crate) fn overflow(&mut self, node: usize, partition: usize) {
        if self.nodes[node].feed.connection.is_none() {
            return;
        }
        let life = self.nodes[node].life;
        self.nodes[node].dropping[partition] = true;
        let pause = self.random.within(1..400) * MS;
        self.after(pause, move |world| {
            let state = &mut world.nodes[node];
            if state.life != life || !std::mem::take(&mut state.dropping[partition]) {
                return;
            }
            if !std::mem::take(&mut state.dropped[partition]) {
                return;
            }
            let names: Vec<TopicName> = world
                .topics
                .iter()
                .map(|topic| topic.name.clone())
                .collect();
            let is_affected = move |name: &str| {
                let topic = names.iter().position(|known| &**known == name);
                topic.is_some_and(|topic| topic % PARTITIONS == partition)
            };
            world.hub(node, |hub| hub.gap(&is_affected));
            if world.nodes[node].feed.connection.is_none() {
                return;
            }
            for topic in (0..world.topics.len()).filter(|topic| topic % PARTITIONS == partition) {
                world.report_listened(node, topic);
            }
        });
    }

    /// The beat, every 5 s: it finds dead feeds, demoted servers, and memory that went back.
    fn beat(&mut self, node: usize, commands: u64) {
        let state = &mut self.nodes[node];
        if state.commands.connection != Some(commands) {
            return;
        }
        let server = &self.servers[state.commands.server];
        let is_frozen = server.frozen_until > self.now;
        let is_deaf = state.commands.is_deaf || state.feed.is_deaf;
        if is_deaf || state.commands.server != state.feed.server {
            state.strikes += 1;
        }
        if state.strikes >= 2 || !server.is_primary || server.is_dead {
            return self.disconnect(node);
        }
        if !is_deaf && !is_frozen && state.memory_number != server.memory_number {
            state.memory_number = server.memory_number;
            self.note(|| format!("node {node} finds another memory"));
            self.gap_of_all(node);
        }
        self.after(5 * SECOND, move |world| world.beat(node, commands));
    }

    /// Sends a request by a connection. It is answered once, after 2 s at the latest.
    pub(crate) fn call<R: 'static>(
        &mut self,
        node: usize,
        which: Which,
        exec: impl FnOnce(&mut Self, usize) -> R + 'static,
        done: impl FnOnce(&mut Self, Outcome<R>) + 'static,
    ) {
        let done: Rc<RefCell<Option<Done<R>>>> = Rc::new(RefCell::new(Some(Box::new(done))));
        let finish = move |world: &mut Self, outcome: Outcome<R>| {
            let done = done.borrow_mut().take();
            if let Some(done) = done {
                done(world, outcome);
            }
        };
        let Some(connection) = self.link(node, which).connection else {
            let pause = self.random.within(1..500);
            return self.after(pause, move |world| finish(world, Outcome::Unsent));
        };
        let call = self.number();
        self.link(node, which).calls.insert(call);
        let failed = finish.clone();
        self.failures
            .insert(call, Box::new(move |world| failed(world, Outcome::Unknown)));
        self.after(2 * SECOND, move |world| {
            world.link(node, which).calls.remove(&call);
            world.fail(call);
        });
        let pause = self.random.within(100..self.latency);
        let earliest = self.now + pause;
        let link = self.link(node, which);
        let at = earliest.max(link.last_out + 1);
        link.last_out = at;
        let server = link.server;
        let answer = move |world: &mut Self| {
            let result = exec(world, server);
            let pause = world.random.within(100..world.latency);
            let earliest = world.now + pause;
            let link = world.link(node, which);
            if link.connection != Some(connection) {
                return;
            }
            let at = earliest.max(link.last_back + 1);
            link.last_back = at;
            world.at(at, move |world| {
                let link = world.link(node, which);
                if link.connection == Some(connection) && !link.is_deaf {
                    link.calls.remove(&call);
                    world.failures.remove(&call);
                    finish(world, Outcome::Answer(result));
                }
            });
        };
        self.at(at, move |world| {
            world.arrive(node, which, connection, server, Box::new(answer))
        });
    }

    /// A request comes to a server.
    fn arrive(&mut self, node: usize, which: Which, connection: u64, server: usize, exec: Event) {
        let is_open = self.link(node, which).connection == Some(connection);
        let is_deaf = is_open && self.link(node, which).is_deaf;
        // The bytes of a connection that has ended may have come, or not.
        let comes = is_open || which == Which::Commands && self.random.chance(50);
        if is_deaf || !comes || self.servers[server].is_dead {
            return;
        }
        if !is_open {
            return exec(self);
        }
        self.link(node, which).queue.push_back(exec);
        self.work_off(node, which, connection, server);
    }

    /// A server works off what has come by a connection, in its order, unless it is frozen.
    fn work_off(&mut self, node: usize, which: Which, connection: u64, server: usize) {
        while self.link(node, which).connection == Some(connection) {
            let frozen_until = self.servers[server].frozen_until;
            if frozen_until > self.now {
                return self.at(frozen_until, move |world| {
                    world.work_off(node, which, connection, server);
                });
            }
            let Some(exec) = self.link(node, which).queue.pop_front() else {
                return;
            };
            exec(self);
        }
    }

    /// Brings a message by the feed.
    pub(crate) fn feed_back(
        &mut self,
        node: usize,
        connection: u64,
        topic: usize,
        event: impl FnOnce(&mut Self) + 'static,
    ) {
        let pause = self.random.within(100..self.latency);
        let earliest = self.now + pause + self.lags[node];
        let link = self.link(node, Which::Feed);
        if link.connection != Some(connection) {
            return;
        }
        let at = earliest.max(link.last_back + 1);
        link.last_back = at;
        self.at(at, move |world| {
            let state = &mut world.nodes[node];
            if state.feed.connection != Some(connection) || state.feed.is_deaf {
                return;
            }
            let partition = topic % PARTITIONS;
            if state.dropping[partition] {
                if !state.dropped[partition] {
                    state.generations[partition] += 1;
                }
                state.dropped[partition] = true;
                world.note(|| format!("node {node} drops a message of topic {topic}"));
                return;
            }
            event(world);
        });
    }

    fn link(&mut self, node: usize, which: Which) -> &mut Link {
        let node = &mut self.nodes[node];
        match which {
            Which::Commands => &mut node.commands,
            Which::Feed => &mut node.feed,
        }
    }

    fn fail(&mut self, call: u64) {
        if let Some(failure) = self.failures.remove(&call) {
            failure(self);
        }
    }

    /// Carries out what a hub wants.
    pub(crate) fn request(&mut self, node: usize, request: Request) {
        self.note(|| format!("node {node} wants {request:?}"));
        match request {
            Request::Listen(names) => self.listen(node, names),
            Request::Unlisten(names) => self.unlisten(node, names),
            Request::Tops { topics, read } => self.ask_tops(node, topics, read),
            Request::CatchUp {
                topic, since, read, ..
            } => {
                let number = self.number_of(&topic);
                self.page(node, number, since, Vec::new(), read);
            }
        }
    }

    /// Gives an answer to the hub, when its owner comes to it.
    fn answer(&mut self, node: usize, answer: impl FnOnce(&mut Self) + 'static) {
        let life = self.nodes[node].life;
        // Now and then the owner is busy.
        let most = if self.random.chance(10) {
            300 * MS
        } else {
            2 * MS
        };
        let pause = self.random.within(0..most);
        self.after(pause, move |world| {
            if world.nodes[node].life == life {
                answer(world);
            }
        });
    }

    fn listen(&mut self, node: usize, names: Vec<TopicName>) {
        let topics: Vec<usize> = names.iter().map(|name| self.number_of(name)).collect();
        let connection = self.nodes[node].feed.connection.unwrap_or_default();
        let life = self.nodes[node].life;
        let subscribed = topics.clone();
        let exec = move |world: &mut Self, server: usize| {
            let feed = world.servers[server].subscribed.entry((node, connection));
            feed.or_default().extend(&subscribed);
        };
        self.call(node, Which::Feed, exec, move |world, outcome| {
            if world.nodes[node].life != life {
                return;
            }
            let result = match outcome {
                Outcome::Answer(()) => {
                    let state = &mut world.nodes[node];
                    state.listened.extend(&topics);
                    Ok(topics
                        .iter()
                        .map(|&topic| state.generation(topic))
                        .collect())
                }
                Outcome::Unsent | Outcome::Unknown => Err(unavailable()),
            };
            world.answer(node, move |world| {
                world.hub(node, |hub| hub.listen_done(&names, result));
            });
        });
    }

    fn unlisten(&mut self, node: usize, names: Vec<TopicName>) {
        let topics: Vec<usize> = names.iter().map(|name| self.number_of(name)).collect();
        let connection = self.nodes[node].feed.connection.unwrap_or_default();
        for topic in &topics {
            self.nodes[node].listened.remove(topic);
        }
        let exec = move |world: &mut Self, server: usize| {
            let feed = world.servers[server].subscribed.entry((node, connection));
            feed.or_default().retain(|topic| !topics.contains(topic));
        };
        self.call(node, Which::Feed, exec, move |world, _| {
            world.answer(node, move |world| {
                world.hub(node, |hub| hub.unlistened(&names));
            });
        });
    }

    fn ask_tops(&mut self, node: usize, names: Vec<TopicName>, read: ReadNumber) {
        let topics: Vec<usize> = names.iter().map(|name| self.number_of(name)).collect();
        let exec = move |world: &mut Self, server: usize| {
            let memory = &world.servers[server].memory;
            topics.iter().map(|&topic| memory.top(topic)).collect()
        };
        self.call(node, Which::Commands, exec, move |world, outcome| {
            let result = match outcome {
                Outcome::Answer(tops) => Ok(tops),
                Outcome::Unsent | Outcome::Unknown => Err(unavailable()),
            };
            world.answer(node, move |world| {
                world.note(|| format!("node {node} hears {read:?}: {result:?}"));
                world.hub(node, |hub| hub.tops(&names, read, result));
            });
        });
    }

    /// Reads a topic, page by page.
    fn page(
        &mut self,
        node: usize,
        topic: usize,
        since: Since,
        mut read_before: Vec<Entry>,
        read: ReadNumber,
    ) {
        let fresh = Epoch::new(self.random.bits());
        let exec = move |world: &mut Self, server: usize| {
            let (now, history) = (world.now, world.topics[topic].history);
            // On slow links pages are large, or a read would take longer than a join waits.
            let most = if world.latency > 100 * MS { 40 } else { 4 };
            let server_state = &mut world.servers[server];
            if !server_state.is_primary && server_state.memory.top(topic).is_none() {
                return None;
            }
            let is_new = server_state.memory.top(topic).is_none();
            let page = server_state
                .memory
                .page(now, topic, history, since, (fresh, most));
            if is_new {
                world.copied(server, topic);
            }
            Some(page)
        };
        self.call(node, Which::Commands, exec, move |world, outcome| {
            let page = match outcome {
                Outcome::Answer(page) => page,
                Outcome::Unsent | Outcome::Unknown => None,
            };
            let result = match page {
                None => Err(unavailable()),
                Some(Page::More(entries)) => {
                    read_before.extend(entries);
                    let last = read_before.last().expect("a page has a message").position;
                    return world.page(node, topic, Since::After(last), read_before, read);
                }
                Some(Page::Whole(entries, top)) => {
                    read_before.extend(entries);
                    let before = read_before.first().map_or(top, Entry::before);
                    let entries = read_before;
                    Ok(Catchup::Whole {
                        before,
                        entries,
                        top,
                    })
                }
                Some(Page::Lost(top)) => Ok(Catchup::Lost { top }),
                Some(Page::None(top)) => Ok(Catchup::None { top }),
            };
            let generation: Generation = world.nodes[node].generation(topic);
            let result = result.map(|catchup| (catchup, generation));
            let name = world.topics[topic].name.clone();
            world.answer(node, move |world| {
                world.note(|| format!("node {node} reads {name} by {read:?}: {result:?}"));
                world.hub(node, |hub| hub.caught_up(&name, read, result));
            });
        });
    }

    fn number_of(&self, name: &TopicName) -> usize {
        let mut topics = self.topics.iter();
        let number = topics.position(|topic| topic.name == *name);
        number.expect("a topic of the run")
    }
}

/// The time after which a server refuses a publish.
pub(crate) const DEADLINE: Time = 2 * SECOND;

fn unavailable() -> EngineError {
    EngineError {
        published: WasPublished::No,
        kind: EngineErrorKind::Unavailable,
        text: "the run says so".to_owned(),
    }
}
