//! A server as the backend of the kit's checks. Its time is real.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sockeye_engine_kit::{Backend, Capability, Wait};
use sockeye_pubsub::Engine;
use sockeye_pubsub::engine::NodeId;
use tokio::time::sleep;

use super::node::Node;
use super::server::Server;
use crate::error::Result;

/// A server, and the engines that a check has made on it.
pub(super) struct ServerBackend {
    server: Server,
    capabilities: Vec<Capability>,
    nodes: Mutex<Vec<Arc<Node>>>,
}

impl ServerBackend {
    /// Makes the backend of most checks.
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            capabilities: CAPABILITIES.to_vec(),
            nodes: Mutex::default(),
        }
    }

    /// Makes the backend of the checks that let minutes pass. They really pass.
    pub(super) fn patient(server: Server) -> Self {
        let mut backend = Self::new(server);
        backend.capabilities.push(Capability::Clock);
        backend
    }

    /// Fails when the server has ended by itself.
    pub(super) fn check_running(&mut self) -> Result<()> {
        self.server.check_running()
    }

    /// Returns the engine with this id.
    fn node(&self, id: NodeId) -> Arc<Node> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let node = nodes.iter().find(|node| node.is(id)).cloned();
        node.expect("a check names engines that it has started")
    }

    /// Sends a request to the server. It is up while a check asks for this.
    async fn ask(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        let asked = self.server.ask::<redis::Value>(command.arg(&words[1..]));
        asked.await.expect("the server answers its administrator");
    }
}

impl Backend for ServerBackend {
    fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    fn engine(&self) -> Wait<'_, Arc<dyn Engine>> {
        Box::pin(async {
            let node = Node::new(&self.server).await;
            let node = Arc::new(node.expect("the URL is that of a server"));
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.push(Arc::clone(&node));
            let engine: Arc<dyn Engine> = node;
            engine
        })
    }

    fn pass(&self, time: Duration) -> Wait<'_> {
        Box::pin(sleep(time))
    }

    fn overdue(&self) -> Wait<'_> {
        Box::pin(sleep(OVERDUE))
    }

    fn quiet(&self) -> Wait<'_> {
        Box::pin(sleep(QUIET))
    }

    fn forget(&self) -> Wait<'_> {
        Box::pin(self.ask(&["FLUSHALL"]))
    }

    /// Cuts the feeds of all nodes: the server knows no node.
    fn cut(&self, _: NodeId) -> Wait<'_> {
        Box::pin(self.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]))
    }

    fn kill(&self, node: NodeId) -> Wait<'_> {
        Box::pin(async move { self.node(node).kill() })
    }

    fn freeze(&self) -> Wait<'_> {
        Box::pin(async { self.server.freeze().expect("the server runs") })
    }

    fn thaw(&self) -> Wait<'_> {
        Box::pin(async { self.server.thaw().expect("the server runs") })
    }

    fn delay(&self, node: NodeId, time: Duration) -> Wait<'_> {
        Box::pin(async move { self.node(node).delay(time) })
    }
}

const CAPABILITIES: &[Capability] = &[
    Capability::Nodes,
    Capability::Presence,
    Capability::Forget,
    Capability::Cut,
    Capability::Kill,
    Capability::Freeze,
    Capability::Delay,
];
/// A lease is renewed each 5 s, and a lost connection is opened again within 5 s.
const OVERDUE: Duration = Duration::from_secs(15);
const QUIET: Duration = Duration::from_millis(300);
