//! Scenes: cases with a world of their own and few clients, which follow a plot and need no checker.

mod denied;
mod embedded;
mod replay;
mod slow;
mod storm;
mod talk;
mod tls;
mod twins;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use sockeye::reconnect::topics::{SUBPROTOCOLS, TopicClient};
use sockeye::reconnect::{Reconnecting, Retry};
use tokio::time::{Instant, sleep};

use super::case::Run;
use super::node::Node;
use super::topics;
use crate::engines::program::{Brand, Program};
use crate::engines::server::Server;
use crate::error::Result;
use crate::judges;

/// A scene.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) run: Run,
    /// The servers on which the scene can be played.
    pub(super) brands: &'static [Brand],
    /// Plays the scene. The error says what is not as it must be.
    pub(super) play: fn(Stage) -> Play,
}

/// A scene that is played.
pub(super) type Play = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Where a scene is played.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// The sockeye to judge.
    pub(super) program: PathBuf,
    /// The server under the nodes.
    pub(super) engine: Program,
    pub(super) folder: PathBuf,
}

/// Returns all scenes.
pub(super) fn all() -> Vec<Scene> {
    vec![
        tls::SCENE,
        replay::SCENE,
        twins::SCENE,
        denied::SCENE,
        storm::SCENE,
        slow::SCENE,
    ]
}

impl Stage {
    /// Starts a server with these lines in its configuration.
    async fn server(&self, options: &[&str]) -> Result<Server> {
        let folder = self.folder.join("server");
        judges::make_folder(&folder)?;
        Server::start(&self.engine, &folder, options).await
    }

    /// Starts a node on a server, in a folder of its own. `topics` is the text of its file of topics.
    async fn node(&self, folder: &str, name: &str, topics: &str, engine: &str) -> Result<Node> {
        let folder = self.folder.join(folder);
        judges::make_folder(&folder)?;
        let file = folder.join("topics.toml");
        judges::write(&file, topics)?;
        let engine = Some(engine.to_owned());
        Node::start(name.to_owned(), self.program.clone(), file, engine, folder).await
    }

    fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        judges::write(&path, content)?;
        Ok(path)
    }
}

/// Makes a client of topics that reaches a node, or a relay before it, at `host:port`.
fn client(address: &str) -> TopicClient {
    let client = sockeye::Client::builder()
        .subprotocols(SUBPROTOCOLS)
        .in_turn(false)
        .build();
    let url = format!("ws://{address}/topics");
    let connector = Reconnecting::new(move || {
        let (client, url) = (client.clone(), url.clone());
        async move { client.connect(&*url).await }
    });
    let retry = Retry::default().longest_pause(Duration::from_millis(200));
    connector.retry(retry).topics()
}

/// Waits until something is so. The error says what is not.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() >= deadline {
            return Err(format!("not so after {PATIENCE:?}: {what}").into());
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Twice the 15 s in which a node finds that its feed is dead.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// The file of topics of the world.
const TOPICS: &str = topics::FILE;

fn display(path: &Path) -> String {
    path.display().to_string()
}
