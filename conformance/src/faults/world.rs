//! The world of a run: nodes, the servers under them, and the relays between. It does what a script says.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use sockeye_engine_kit::checker::{Fault, Millis, PresenceEvent};

use super::case::{Action, Ground};
use super::evidence::{Evidence, node_name};
use super::hit::Hit;
use super::node::Node;
use super::{clock, topics};
use crate::engines::program::Program;
use crate::engines::server::Server;
use crate::error::Result;
use crate::judges;
use crate::process::Signal;
use crate::relay::{Links, Pace, Relay, Way};

/// The world of a run. Its processes end with this value.
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) servers: Vec<Server>,
    /// The relay of each node to its server. None where nodes have no server.
    relays: Vec<Relay>,
    /// The relay through which the replica reads.
    replication: Option<Relay>,
    /// The number of the server whose positions count.
    pub(super) leader: Arc<AtomicUsize>,
    faults: Vec<Fault>,
    /// The faults that run.
    open: Vec<Fault>,
    deaths: Vec<(Millis, PresenceEvent)>,
    memory: Vec<(Millis, usize, u64)>,
    feeds: Vec<Vec<u64>>,
    /// The administrator's connections, by the numbers of servers.
    admins: HashMap<usize, MultiplexedConnection>,
    hits: Vec<Hit>,
    struck: BTreeSet<usize>,
}

/// What all nodes of a world share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a> {
    /// The sockeye to judge.
    pub(super) program: &'a Path,
    /// The server under the nodes. `None` if the case needs none.
    pub(super) engine: Option<&'a Program>,
    /// The longest pause before a node connects to its server again. `None`: that of the engine.
    pub(super) reconnect: Option<Duration>,
}

impl World {
    /// Starts a world with a folder of its own.
    pub(super) async fn start(
        ground: Ground,
        settings: Settings<'_>,
        folder: &Path,
    ) -> Result<Self> {
        let mut world = Self {
            nodes: Vec::new(),
            servers: Vec::new(),
            relays: Vec::new(),
            replication: None,
            leader: Arc::new(AtomicUsize::new(0)),
            faults: Vec::new(),
            open: Vec::new(),
            deaths: Vec::new(),
            memory: Vec::new(),
            feeds: Vec::new(),
            admins: HashMap::new(),
            hits: Vec::new(),
            struck: BTreeSet::new(),
        };
        let file = folder.join("topics.toml");
        judges::write(&file, topics::FILE)?;
        let (servers, options): (_, &[&str]) = match ground {
            Ground::Memory => (0, &[]),
            Ground::Server(options) => (1, options),
            Ground::Replica => (2, &[]),
        };
        for number in 0..servers {
            let engine = settings
                .engine
                .ok_or("the case needs a server, and none was chosen")?;
            let folder = folder.join(format!("server-{number}"));
            judges::make_folder(&folder)?;
            world
                .servers
                .push(Server::start(engine, &folder, options).await?);
        }
        if ground == Ground::Replica {
            let leader = world.servers[0].address().to_string();
            world.replication = Some(Relay::start(&leader).await?);
            world.follow(1, 0).await?;
            world.await_replica(1).await?;
        }
        let nodes = if servers == 0 { 1 } else { NODES };
        for number in 0..nodes {
            world.add_node(number, settings, &file, folder).await?;
        }
        Ok(world)
    }

    async fn add_node(
        &mut self,
        number: usize,
        settings: Settings<'_>,
        file: &Path,
        folder: &Path,
    ) -> Result<()> {
        let mut url = None;
        if let Some(server) = self.servers.first() {
            let relay = Relay::start(&server.address().to_string()).await?;
            url = Some(Server::url(relay.address(), settings.reconnect));
            self.relays.push(relay);
        }
        let name = node_name(number);
        let folder = folder.join(&name);
        let (program, file) = (PathBuf::from(settings.program), PathBuf::from(file));
        let node = Node::start(name, program, file, url, folder).await?;
        self.nodes.push(node);
        Ok(())
    }

    /// Makes a server the replica of another, through the relay of replication.
    async fn follow(&self, server: usize, leader: usize) -> Result<()> {
        let relay = self
            .replication
            .as_ref()
            .ok_or("the world has no replica")?;
        relay.point_at(&self.servers[leader].address().to_string());
        let address = relay.address();
        let mut command = redis::cmd("REPLICAOF");
        command.arg(address.ip().to_string()).arg(address.port());
        self.servers[server].ask::<()>(&command).await
    }

    /// Waits until a replica has everything.
    async fn await_replica(&self, server: usize) -> Result<()> {
        for _ in 0..REPLICA_LOOKS {
            let mut command = redis::cmd("INFO");
            let info: String = self.servers[server].ask(command.arg("replication")).await?;
            if info.contains("master_link_status:up") {
                return Ok(());
            }
            tokio::time::sleep(REPLICA_PAUSE).await;
        }
        Err("the replica does not reach its primary".into())
    }

    /// Does what an action says.
    pub(super) async fn apply(&mut self, action: &Action) -> Result<()> {
        self.hits.extend(Hit::of(action, clock::now()));
        self.struck.extend(action.node());
        match *action {
            Action::Begin(name, harm) => {
                let from = clock::now();
                self.open.push(Fault {
                    name,
                    from,
                    until: from,
                    harm,
                });
            }
            Action::End => {
                let mut fault = self.open.pop().ok_or("no fault runs")?;
                fault.until = clock::now();
                self.faults.push(fault);
            }
            Action::KillNode(node) => {
                let died = PresenceEvent::Died {
                    node: u32::try_from(node)?,
                };
                self.deaths.push((clock::now(), died));
                self.nodes[node].kill().await?;
            }
            Action::StartNode(node) => self.nodes[node].start_again().await?,
            Action::FreezeNode(node) => self.nodes[node].signal(Signal::Stop)?,
            Action::ThawNode(node) => self.nodes[node].signal(Signal::Continue)?,
            Action::KillServer(server) => self.servers[server].kill().await?,
            Action::StartServer(server, data) => self.servers[server].start_again(data).await?,
            Action::LaunchServer(server, data) => self.servers[server].launch(data)?,
            Action::FreezeServer(server) => self.servers[server].freeze()?,
            Action::ThawServer(server) => self.servers[server].thaw()?,
            Action::Ask(server, words) => self.ask(server, words).await?,
            Action::NoteFeeds(server) => self.feeds.push(self.servers[server].feeds().await?),
            Action::Follow(server, leader) => self.follow(server, leader).await?,
            Action::Replicate(passes) => {
                let relay = self
                    .replication
                    .as_ref()
                    .ok_or("the world has no replica")?;
                relay.refuse(!passes);
                if !passes {
                    relay.reset(Links::All);
                }
            }
            Action::Point(node, server) => {
                self.relays[node].point_at(&self.servers[server].address().to_string());
            }
            Action::Pace(node, links, way, pace) => self.pace(node, links, way, pace),
            Action::Reset(node, links) => self.relays[node].reset(links),
            Action::Lead(server) => self.leader.store(server, Ordering::Relaxed),
            Action::Restore(server, from) => {
                self.servers[server].restore(&self.servers[from]).await?;
            }
            // The crew does it.
            Action::Publish(_) | Action::Calm => {}
        }
        // What takes long takes what was stored meanwhile, too.
        self.hits.extend(Hit::of(action, clock::now()));
        Ok(())
    }

    fn pace(&self, node: usize, links: Links, way: Way, pace: Pace) {
        self.relays[node].set(links, way, pace);
    }

    /// Sends a request on a connection that stays open, as the server may take no other one.
    async fn ask(&mut self, server: usize, words: &[&str]) -> Result<()> {
        let (name, rest) = words.split_first().ok_or("a request has a name")?;
        let mut command = redis::cmd(name);
        command.arg(rest);
        let mut open = self.admins.remove(&server);
        let answers = match &mut open {
            Some(open) => redis::cmd("PING").exec_async(open).await.is_ok(),
            None => false,
        };
        let mut connection = match open.filter(|_| answers) {
            Some(open) => open,
            None => self.servers[server].connect().await?,
        };
        command.exec_async(&mut connection).await?;
        self.admins.insert(server, connection);
        Ok(())
    }

    /// Notes the memory of each node. Fails when a process has ended by itself.
    pub(super) fn look(&mut self) -> Result<()> {
        let now = clock::now();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.check_running()?;
            if let Some(bytes) = node.memory() {
                self.memory.push((now, number, bytes));
            }
        }
        for server in &mut self.servers {
            server.check_running()?;
        }
        Ok(())
    }

    /// Writes what each server says of itself into its folder. A server that does not answer writes nothing.
    pub(super) async fn write_info(&self, folder: &Path) -> Result<()> {
        for (number, server) in self.servers.iter().enumerate() {
            let mut command = redis::cmd("INFO");
            if let Ok(info) = server.ask::<String>(command.arg("everything")).await {
                judges::write(&folder.join(format!("server-{number}/info.txt")), info)?;
            }
        }
        Ok(())
    }

    /// Returns when the last fault ended. `None` if there was none.
    pub(super) fn last_fault(&self) -> Option<Millis> {
        self.faults.iter().map(|fault| fault.until).max()
    }

    /// Gives what the world noted to the evidence.
    pub(super) fn testify(&mut self, evidence: &mut Evidence) {
        evidence.faults = std::mem::take(&mut self.faults);
        evidence.presence.append(&mut self.deaths);
        evidence.memory = std::mem::take(&mut self.memory);
        evidence.feeds = std::mem::take(&mut self.feeds);
        evidence.hits = std::mem::take(&mut self.hits);
        evidence.struck = std::mem::take(&mut self.struck);
        for (number, node) in self.nodes.iter().enumerate() {
            let said = node.said().into_iter();
            let said = said.map(|(time, line)| (time, number, line));
            evidence.said.extend(said);
        }
        evidence.server_logs = self.servers.iter().map(Server::said).collect();
    }
}

const NODES: usize = 3;
const REPLICA_LOOKS: usize = 100;
const REPLICA_PAUSE: Duration = Duration::from_millis(100);
