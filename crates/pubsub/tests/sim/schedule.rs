//! What happens in a run: drawn from its seed.

use sockeye_engine_kit::checker::Harm;

use crate::links::Which;
use crate::memory::{Memory, Time};
use crate::node::PARTITIONS;
use crate::random::Random;
use crate::world::{MS, SECOND, World};

/// When the faults of a run end.
pub(crate) const FAULTS_END: Time = 42 * SECOND;
/// When publishing ends, and when the run has settled.
pub(crate) const QUIET: Time = 60 * SECOND;
pub(crate) const SETTLED: Time = 64 * SECOND;
/// When all clients have connected again, and the run has settled once more.
pub(crate) const END: Time = 69 * SECOND;

/// One step of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Want {
        client: usize,
        topic: usize,
    },
    Unwant {
        client: usize,
        topic: usize,
    },
    Evict {
        client: usize,
        topic: usize,
    },
    Return {
        client: usize,
        node: usize,
        pause: Time,
        notice: Time,
    },
    Slow {
        client: usize,
        pause: Time,
    },
    Publish {
        publisher: usize,
        node: usize,
        topic: usize,
        is_keyed: bool,
    },
    /// The feed ends, or both connections.
    Cut {
        node: usize,
        is_feed_alone: bool,
    },
    Deafen {
        node: usize,
        which: Option<Which>,
    },
    Freeze {
        pause: Time,
    },
    KillNode {
        node: usize,
        pause: Time,
    },
    Overflow {
        node: usize,
        partition: usize,
    },
    Restart {
        pause: Time,
        is_empty: bool,
    },
    MoveReads {
        node: usize,
    },
    Reset,
    Restore {
        age: Time,
    },
    Failover {
        lag: Time,
    },
    TwoPrimaries {
        lag: Time,
        pause: Time,
    },
    LoseMeta {
        topic: usize,
    },
    LoseStream {
        topic: usize,
    },
}

/// Returns whether a run has a loss that only the question in turn may find.
pub(crate) fn has_quiet_loss(steps: &[(Time, Step)]) -> bool {
    let is_quiet = |step: &Step| {
        matches!(
            step,
            Step::LoseMeta { .. } | Step::LoseStream { .. } | Step::MoveReads { .. }
        )
    };
    steps.iter().any(|(_, step)| is_quiet(step))
}

/// Draws the steps of a run.
pub(crate) fn draw(seed: u64) -> Vec<(Time, Step)> {
    let mut random = Random::new(seed ^ 0x5eed);
    let random = &mut random;
    let mut steps = Vec::new();
    let topics = 7;
    let clients = 9;
    // What the faults of this run may cost.
    let worst = random.index(100);
    for client in 0..clients {
        for _ in 0..random.within(1..5) {
            steps.push((
                random.within(0..2) * SECOND,
                Step::Want {
                    client,
                    topic: random.index(topics),
                },
            ));
        }
    }
    // Now and then much happens to clients and links.
    let is_storm = random.chance(30);
    let client_steps = if is_storm { 60..200 } else { 10..50 };
    for _ in 0..random.within(client_steps) {
        let client = random.index(clients);
        let topic = random.index(topics);
        let at = random.within(1..58) * SECOND + random.within(0..1000) * MS;
        let step = match random.index(12) {
            0..4 => Step::Want { client, topic },
            4..6 => Step::Unwant { client, topic },
            6 => Step::Evict { client, topic },
            7..10 => Step::Return {
                client,
                node: random.index(3),
                pause: random.within(0..3000) * MS,
                notice: if random.chance(70) {
                    0
                } else {
                    random.within(0..2000) * MS
                },
            },
            _ => Step::Slow {
                client,
                pause: random.within(100..3000) * MS,
            },
        };
        steps.push((at, step));
    }
    let mut at = random.within(100..1000) * MS;
    let pace = random.within(50..400);
    // Some topics become quiet: no later message shows what is missing.
    let ends: Vec<Time> = (0..topics)
        .map(|_| match random.index(2) {
            0 => QUIET,
            _ => random.within(5..50) * SECOND,
        })
        .collect();
    while at < QUIET - 4 * SECOND {
        let topic = random.index(topics);
        if at > ends[topic] {
            at += random.within(1..2 * pace) * MS;
            continue;
        }
        // Now and then many messages of one topic come at once.
        let count = if random.chance(4) {
            random.within(5..30)
        } else {
            1
        };
        for number in 0..count {
            let step = Step::Publish {
                publisher: random.index(3),
                node: random.index(3),
                topic,
                is_keyed: random.chance(33),
            };
            steps.push((at + number * random.within(1..2000), step));
        }
        at += random.within(1..2 * pace) * MS;
    }
    let faults = if is_storm { 6..25 } else { 1..6 };
    for _ in 0..random.within(faults) {
        let at = random.within(2..29) * SECOND + random.within(0..1000) * MS;
        let node = random.index(3);
        let topic = random.index(topics - 1);
        let pause = random.within(100..5000) * MS;
        if random.chance(50) {
            // Clients come and go at the time of the fault, and messages too.
            for _ in 0..random.within(1..8) {
                let at = at - 300 * MS + random.within(0..900) * MS;
                let client = random.index(clients);
                steps.push((at, around(random, client, node)));
            }
        }
        let which = [Some(Which::Commands), Some(Which::Feed), None][random.index(3)];
        let kinds = if worst < 35 {
            7
        } else if worst < 50 {
            9
        } else {
            17
        };
        let step = match random.index(kinds) {
            0 | 1 => Step::Cut {
                node,
                is_feed_alone: random.chance(50),
            },
            2 => Step::Deafen { node, which },
            3 => Step::Freeze { pause },
            4 => Step::KillNode { node, pause },
            5 => Step::Overflow {
                node,
                partition: random.index(PARTITIONS),
            },
            6 => Step::Restart {
                // Longer than a join waits, now and then.
                pause: if random.chance(30) {
                    12 * SECOND
                } else {
                    pause
                },
                is_empty: false,
            },
            7 | 8 => Step::MoveReads { node },
            9 => Step::Restart {
                pause,
                is_empty: true,
            },
            10 => Step::Reset,
            11 => Step::Restore { age: pause },
            12 | 13 => Step::Failover { lag: pause },
            14 => Step::TwoPrimaries {
                lag: pause / 2,
                pause,
            },
            15 => Step::LoseMeta { topic },
            _ => Step::LoseStream { topic },
        };
        steps.push((at, step));
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

/// Draws what a client does at the time of a fault.
fn around(random: &mut Random, client: usize, node: usize) -> Step {
    let topic = random.index(7);
    match random.index(6) {
        0 => Step::Unwant { client, topic },
        1 => Step::Want { client, topic },
        2 => Step::Publish {
            publisher: random.index(3),
            node: random.index(3),
            topic,
            is_keyed: false,
        },
        _ => Step::Return {
            client,
            node,
            pause: random.within(0..300) * MS,
            notice: 0,
        },
    }
}

impl World {
    /// Does a step.
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Publish {
                publisher,
                node,
                topic,
                is_keyed,
            } => {
                self.publish(publisher, node, topic, is_keyed);
            }
            Step::Want { client, topic } => self.want(client, topic),
            Step::Unwant { client, topic } => self.unwant(client, topic),
            Step::Evict { client, topic } => self.evict(client, topic),
            Step::Return {
                client,
                node,
                pause,
                notice,
            } => {
                self.disconnect_client(client, notice);
                self.after(pause, move |world| world.connect_client(client, node));
            }
            Step::Slow { client, pause } => self.clients[client].slow_until = self.now + pause,
            Step::Cut {
                node,
                is_feed_alone,
            } => {
                self.fault("cut", self.now, Harm::Nothing);
                if is_feed_alone {
                    self.disconnect_feed(node);
                } else {
                    self.disconnect(node);
                }
            }
            Step::Deafen { node, which } => {
                self.fault("deaf link", self.now + 6 * SECOND, Harm::Nothing);
                let state = &mut self.nodes[node];
                state.commands.is_deaf |= which != Some(Which::Feed);
                state.feed.is_deaf |= which != Some(Which::Commands);
            }
            Step::Freeze { pause } => {
                self.fault("frozen server", self.now + pause, Harm::Nothing);
                let server = &mut self.servers[self.primary];
                server.frozen_until = server.frozen_until.max(self.now + pause);
            }
            Step::KillNode { node, pause } => self.kill_node(node, pause),
            Step::Overflow { node, partition } => {
                self.fault("overflow", self.now + SECOND, Harm::Nothing);
                self.overflow(node, partition);
            }
            Step::Restart { pause, is_empty } => self.restart(pause, is_empty),
            Step::MoveReads { node } => {
                // The other server has an older branch: to its readers the rest is lost.
                self.fault(
                    "reads by another server",
                    self.now + 10 * SECOND,
                    Harm::Confirmed,
                );
                self.servers[1 - self.primary].copies = None;
                self.nodes[node].commands.server = 1 - self.primary;
            }
            Step::Reset => {
                self.fault("reset", self.now + 5 * SECOND, Harm::Confirmed);
                self.replace_memory(self.primary, Memory::default());
            }
            Step::Restore { age } => {
                self.fault(
                    "restored backup",
                    self.now + age + 5 * SECOND,
                    Harm::Confirmed,
                );
                let backup = self.servers[self.primary].memory.clone();
                self.after(age, move |world| {
                    world.replace_memory(world.primary, backup)
                });
            }
            Step::Failover { lag } => {
                self.fault("failover", self.now + lag, Harm::Confirmed);
                let old = self.primary;
                self.servers[1 - old].copies = None;
                self.after(lag, move |world| {
                    if world.primary == old {
                        world.promote(1 - old);
                        world.kill_server(old);
                        world.after(SECOND, move |world| world.follow(old));
                    }
                });
            }
            Step::TwoPrimaries { lag, pause } => {
                self.fault(
                    "two primaries",
                    self.now + lag + pause + 5 * SECOND,
                    Harm::Confirmed,
                );
                let old = self.primary;
                self.servers[1 - old].copies = None;
                self.after(lag, move |world| {
                    if world.primary == old {
                        world.promote(1 - old);
                        // Some nodes see the new primary, others do not.
                        for node in 0..world.nodes.len() {
                            if world.random.chance(50) {
                                world.disconnect(node);
                            }
                        }
                        world.after(pause, move |world| world.follow(old));
                    }
                });
            }
            Step::LoseMeta { topic } => {
                self.fault("evicted meta", self.now + 8 * SECOND, Harm::Confirmed);
                for server in &mut self.servers {
                    server.memory.metas.remove(&topic);
                }
            }
            Step::LoseStream { topic } => {
                self.fault("evicted stream", self.now, Harm::Confirmed);
                for server in &mut self.servers {
                    server.memory.streams.remove(&topic);
                }
            }
        }
    }

    fn kill_node(&mut self, node: usize, pause: Time) {
        if self.nodes[node].hub.is_none() {
            return;
        }
        self.fault("killed node", self.now + pause, Harm::Nothing);
        for client in 0..self.clients.len() {
            if self.clients[client].node == node && self.clients[client].connection.is_some() {
                self.disconnect_client(client, 0);
                let (pause, other) = (self.random.within(0..1000) * MS, self.random.index(3));
                self.after(pause, move |world| world.connect_client(client, other));
            }
        }
        self.desks[node].close_all();
        let state = &mut self.nodes[node];
        state.hub = None;
        state.life += 1;
        self.end_connections(node);
        self.after(pause, move |world| world.start_node(node));
    }

    fn restart(&mut self, pause: Time, is_empty: bool) {
        let server = self.primary;
        let (name, harm) = if is_empty {
            ("killed server, empty", Harm::Confirmed)
        } else {
            ("killed server", Harm::Nothing)
        };
        self.fault(name, self.now + pause, harm);
        self.kill_server(server);
        self.after(pause, move |world| {
            if is_empty {
                world.replace_memory(server, Memory::default());
            }
            world.servers[server].is_dead = false;
        });
    }

    /// All connections of a server end.
    fn kill_server(&mut self, server: usize) {
        self.servers[server].is_dead = true;
        self.disconnect_all(server);
    }

    fn disconnect_all(&mut self, server: usize) {
        for node in 0..self.nodes.len() {
            let state = &self.nodes[node];
            if state.commands.server == server || state.feed.server == server {
                self.disconnect(node);
            }
        }
    }

    fn promote(&mut self, server: usize) {
        self.note(|| format!("server {server} is the primary"));
        self.primary = server;
        let server = &mut self.servers[server];
        server.is_primary = true;
        server.copies = None;
        server.is_dead = false;
    }

    /// A server follows the primary, and takes over its memory. Its connections may stay.
    fn follow(&mut self, server: usize) {
        if server == self.primary {
            return;
        }
        self.note(|| format!("server {server} follows"));
        let memory = self.servers[self.primary].memory.clone();
        let number = self.number();
        let primary = self.primary;
        let state = &mut self.servers[server];
        state.is_primary = false;
        state.is_dead = false;
        state.copies = Some(primary);
        state.memory = memory;
        state.memory_number = number;
        if self.random.chance(50) {
            self.disconnect_all(server);
        }
    }

    fn replace_memory(&mut self, server: usize, memory: Memory) {
        self.note(|| format!("server {server} has another memory"));
        let number = self.number();
        let other = 1 - server;
        if self.servers[other].copies == Some(server) {
            self.servers[other].memory = memory.clone();
        }
        self.servers[server].memory = memory;
        self.servers[server].memory_number = number;
    }

    /// The faults are over: the other server follows the primary.
    pub(crate) fn heal(&mut self) {
        let other = 1 - self.primary;
        self.servers[self.primary].is_dead = false;
        if self.servers[other].copies.is_none() {
            self.follow(other);
        }
    }
}
