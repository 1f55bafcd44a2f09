//! Who uses the world and watches it: processes of clients, publishers, the reader, and an observer of each server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sockeye_engine_kit::checker::Stored;
use sockeye_engine_kit::schedule::Chance;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::client::Config;
use super::engine::{Found, Observer, Reading};
use super::evidence::{Evidence, Story};
use super::listener::Listener;
use super::party::Party;
use super::publisher::{self, Load};
use super::reader::{Census, Read, Reader};
use super::topics;
use super::world::World;
use crate::error::Result;
use crate::judges;

/// How many use the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// The clients of each of the three processes in Rust, and of the one in Node.
    pub(super) clients: usize,
    pub(super) clients_in_node: usize,
    pub(super) publishers: u32,
    /// The messages a second of each publisher.
    pub(super) rate: u32,
}

impl Size {
    /// 12 clients that are told little.
    pub(super) const RECORDED: Self = Self {
        clients: 3,
        clients_in_node: 3,
        publishers: 4,
        rate: 3,
    };

    /// 60 clients.
    pub(super) const QUICK: Self = Self {
        clients: 15,
        clients_in_node: 15,
        publishers: 8,
        rate: 15,
    };

    /// 350 clients.
    pub(super) const FULL: Self = Self {
        clients: 100,
        clients_in_node: 50,
        publishers: 8,
        rate: 15,
    };
}

/// The program that runs JavaScript, and the client for it.
#[derive(Clone, Debug)]
pub(super) struct JavaScript {
    pub(super) node: PathBuf,
    pub(super) client: PathBuf,
}

/// Who uses the world and watches it.
pub(super) struct Crew {
    parties: Vec<Party>,
    publishers: JoinSet<Result<(u32, publisher::Log)>>,
    load: watch::Sender<Load>,
    reader: Task<Census, Result<Read>>,
    observers: Vec<Task<Reading, Found>>,
    listeners: Vec<Task<oneshot::Sender<()>, Vec<Stored>>>,
}

/// A task that answers requests, and its outcome.
struct Task<Q, T> {
    requests: mpsc::Sender<Q>,
    outcome: JoinHandle<T>,
}

impl Crew {
    /// Starts all of them.
    pub(super) fn start(
        world: &World,
        (size, padding): (Size, usize),
        javascript: &JavaScript,
        folder: &Path,
        chance: &mut Chance,
    ) -> Result<Self> {
        let topics = topics::all();
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let nodes: Vec<String> = world.nodes.iter().map(|node| node.address()).collect();
        let with_members = (0..topics.len()).filter(|topic| topics[*topic].has_members);
        let config = Config {
            log: PathBuf::new(),
            clients: size.clients,
            seed: 0,
            nodes: nodes.clone(),
            topics: names.clone(),
            with_members: with_members.collect(),
        };
        let is_observer = world.servers.is_empty();
        let reader = Reader::new(nodes.clone(), &topics, is_observer, chance.bits())?;
        let reader = Task::spawn(|requests| reader.run(requests));
        let (mut observers, mut listeners) = (Vec::new(), Vec::new());
        for (number, server) in world.servers.iter().enumerate() {
            let (client, leader) = (server.admin(), Arc::clone(&world.leader));
            let observer = Observer::new(client, names.clone(), number, leader);
            observers.push(Task::spawn(|requests| observer.run(requests)));
            let listener = Listener::new(server.listening_admin()?, names.clone());
            listeners.push(Task::spawn(|requests| listener.run(requests)));
        }
        let mut parties = Vec::new();
        for number in 0..PARTIES {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(CLIENT_ROLE);
            let mut config = config.clone();
            config.seed = chance.bits();
            let name = format!("rust-{number}");
            parties.push(Party::start(&name, command, &folder.join(&name), config)?);
        }
        let script = folder.join("client.js");
        judges::write(&script, include_str!("client.js"))?;
        let mut command = Command::new(&javascript.node);
        command
            .arg(&script)
            .env("SOCKEYE_CLIENT", &javascript.client);
        let mut config = config;
        (config.clients, config.seed) = (size.clients_in_node, chance.bits());
        parties.push(Party::start("node", command, &folder.join("js"), config)?);
        let load = watch::Sender::new(Load::Full);
        let mut publishers = JoinSet::new();
        for number in 0..size.publishers {
            let topics = topics.iter();
            let topics = topics.map(|topic| {
                let has_history = topic.history != sockeye_pubsub::History::off();
                (topic.name.clone(), has_history)
            });
            let plan = publisher::Plan {
                number,
                seed: chance.bits(),
                nodes: nodes.clone(),
                rate: size.rate,
                padding,
                topics: topics.collect(),
            };
            let loads = load.subscribe();
            publishers.spawn(async move { Ok((number, publisher::run(plan, loads).await?)) });
        }
        Ok(Self {
            parties,
            publishers,
            load,
            reader,
            observers,
            listeners,
        })
    }

    /// Sets what the publishers do.
    pub(super) fn load(&self, load: Load) {
        self.load.send_replace(load);
    }

    /// Tells all clients a word.
    pub(super) async fn tell(&mut self, word: &str) -> Result<()> {
        for party in &mut self.parties {
            party.tell(word).await?;
        }
        Ok(())
    }

    /// Lets the reader list all members, and then the observers read all topics.
    pub(super) async fn look(&self) -> Result<()> {
        let census = self.reader.ask();
        timeout(PATIENCE, census)
            .await
            .map_err(|_| format!("the members were not listed in {PATIENCE:?}"))??;
        for observer in &self.observers {
            // The server of a case may stay down.
            observer.ask().await?;
        }
        Ok(())
    }

    /// Ends all of them. The evidence gets what they noted.
    pub(super) async fn end(mut self, evidence: &mut Evidence) -> Result<()> {
        self.load(Load::Over);
        for party in self.parties {
            let (name, lines) = party.end().await?;
            evidence.add_party(&name, &lines)?;
        }
        let mut logs = Vec::new();
        while let Some(ended) = self.publishers.join_next().await {
            logs.push(ended??);
        }
        logs.sort_by_key(|(number, _)| *number);
        for (number, events) in logs {
            let name = format!("publisher {number}");
            evidence.publishers.push(Story {
                name,
                events,
                cuts: Vec::new(),
                nodes: Vec::new(),
            });
        }
        let Read {
            mut presence,
            found,
        } = self.reader.end().await??;
        evidence.presence.append(&mut presence);
        evidence.found.append(found);
        for observer in self.observers {
            evidence.found.append(observer.end().await?);
        }
        for listener in self.listeners {
            evidence.heard.push(listener.end().await?);
        }
        Ok(())
    }
}

impl<A: Send + 'static, T: Send + 'static> Task<oneshot::Sender<A>, T> {
    fn spawn<F>(run: impl FnOnce(mpsc::Receiver<oneshot::Sender<A>>) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (requests, asked) = mpsc::channel(1);
        Self {
            requests,
            outcome: tokio::spawn(run(asked)),
        }
    }

    async fn ask(&self) -> Result<A> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(answer).await;
        sent.map_err(|_| "a watcher has ended")?;
        Ok(answered.await.map_err(|_| "a watcher has ended")?)
    }

    async fn end(self) -> Result<T> {
        drop(self.requests);
        Ok(self.outcome.await?)
    }
}

/// The first argument of this program when it is a process of clients.
pub(crate) const CLIENT_ROLE: &str = "faults-client";
const PARTIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(15);
