//! The handle of a running server. Knows no listener and no connection.

use super::error::DeploymentError;
use super::shared::Shared;
use crate::endpoint::{EndpointConfig, OpenSessions, Session, SessionId};
use crate::stats::Stats;
use crate::sync::Arc;
#[cfg(feature = "topics")]
use crate::topics::Topics;

/// A handle of a running server, which reaches the open sessions, adds endpoints and reads the counts. Made by
/// [`Server::handle`](crate::Server::handle); cheap to clone.
///
/// ```no_run
/// # struct Chat;
/// # impl sockeye::Endpoint for Chat {}
/// use sockeye::{Server, endpoint};
///
/// # async fn example() -> sockeye::Result {
/// let server = Server::builder()
///     .endpoint(endpoint("/chat/{room}", |_handshake| Chat))
///     .bind("127.0.0.1:8080")
///     .await?;
/// let handle = server.handle();
/// tokio::spawn(server.serve());
///
/// // Any task sends to the sessions.
/// let chat = handle.open_sessions("/chat/{room}").expect("it was added");
/// chat.with_path_parameter("room", "lobby").broadcast("it is noon");
/// # Ok(())
/// # }
/// ```
///
/// A handle does not keep the server running. It keeps the endpoints alive, until
/// [`serve_until`](crate::Server::serve_until) has stopped the server. So an endpoint may store a handle of its own
/// server: both are freed when the server has stopped.
#[derive(Clone, Debug)]
pub struct ServerHandle(Arc<Shared>);

impl ServerHandle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// Returns the open sessions of an endpoint. `path` is the endpoint's template, as it was given:
    /// `"/chat/{room}"`, not `"/chat/lobby"`. Returns `None` if there is no such endpoint.
    ///
    /// The returned handle stays valid, and knows the sessions that open later too.
    pub fn open_sessions(&self, path: &str) -> Option<OpenSessions> {
        self.0.reception.deployment.open_sessions(path)
    }

    /// Returns the open sessions of all endpoints.
    pub fn sessions(&self) -> Vec<Session> {
        self.0.reception.deployment.sessions()
    }

    /// Returns the open session of this name, whatever its endpoint is. It takes one short lock for each endpoint.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.0.reception.deployment.session(id)
    }

    /// Adds an endpoint for the requests that come from now on. The settings of the server's builder hold for it. Open
    /// connections keep their endpoints, even if the new one would match their paths.
    ///
    /// # Errors
    ///
    /// [`DeploymentError`] if another endpoint claims the same paths, or if the path is not a template. Then nothing has
    /// changed.
    pub fn add_endpoint(&self, endpoint: EndpointConfig) -> Result<(), DeploymentError> {
        self.0.reception.deployment.add(endpoint)
    }

    /// Returns what the server has counted since it was built. A monitor may call this every few seconds. It takes one
    /// short lock for each endpoint, whatever the number of sessions. It waits while a broadcast of that endpoint is
    /// handed to the sessions.
    ///
    /// ```no_run
    /// # async fn example() -> sockeye::Result {
    /// use sockeye::Server;
    ///
    /// let server = Server::builder().bind("127.0.0.1:8080").await?;
    /// let handle = server.handle();
    /// tokio::spawn(server.serve());
    /// println!("{} sessions are open", handle.stats().open_sessions);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> Stats {
        self.0.reception.deployment.stats()
    }

    /// Returns the topics that the sessions use.
    #[cfg(feature = "topics")]
    pub fn topics(&self) -> &Topics {
        &self.0.reception.deployment.topics
    }
}
