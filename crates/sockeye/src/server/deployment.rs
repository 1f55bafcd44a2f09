//! The deployed endpoints: finds them by path, starts their sessions, and stops all. Knows no listener, no HTTP connection
//! and no request.

use std::fmt;
use std::future::Future;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use sockeye_proto::{CloseCode, Config};
use tokio::sync::watch;

use super::error::DeploymentError;
use super::rules::Agreement;
use super::stage::Stage;
use crate::connection::budget::AssemblyBudget;
use crate::connection::permit::SessionPermit;
use crate::endpoint::life::Opened;
use crate::endpoint::{EndpointConfig, Mounted, OpenSessions, Session, SessionId};
use crate::router::{PathParameters, Router};
use crate::stats::{Counters, Stats};
use crate::sync::Arc;
#[cfg(feature = "topics")]
use crate::topics::Topics;
use crate::transport::Stream;

/// The deployed endpoints, and the settings of their sessions.
pub(super) struct Deployment {
    /// Read for each request, and written when an endpoint is added. No code of the application runs under this lock.
    pub(super) router: RwLock<Router<Arc<Mounted>>>,
    pub(super) config: Arc<Config>,
    pub(super) outbox_limit: usize,
    /// The memory that the unfinished messages of all connections may take.
    pub(super) budget: Arc<AssemblyBudget>,
    pub(super) stop_timeout: Duration,
    /// The counters of the server, its endpoints and their sessions.
    pub(super) counters: Arc<Counters>,
    #[cfg(feature = "topics")]
    pub(super) topics: Topics,
}

/// The outcome of an accepted handshake, which its session starts with.
pub(super) struct Agreed {
    pub(super) mounted: Arc<Mounted>,
    pub(super) agreement: Agreement,
}

impl Deployment {
    /// Returns the endpoint of a path, and the parameters of the path.
    pub(super) fn find(&self, path: &str) -> Option<(Arc<Mounted>, PathParameters)> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let (mounted, parameters) = router.find(path)?;
        Some((Arc::clone(mounted), parameters))
    }

    /// Adds an endpoint for the requests that come from now on.
    pub(super) fn add(&self, endpoint: EndpointConfig) -> Result<(), DeploymentError> {
        let path = endpoint.path().to_owned();
        let mounted = Mounted::new(endpoint, &self.config, &self.counters);
        #[cfg(feature = "topics")]
        mounted.set_topics(Arc::new(self.topics.clone()));
        let mounted = Arc::new(mounted);
        // A rejected endpoint is dropped after the lock: its drop may run code of the application.
        let added = Arc::clone(&mounted);
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        Ok(router.insert(&path, added)?)
    }

    /// Starts the endpoint on a stream that has left HTTP. `read_ahead` is the input behind the handshake.
    pub(super) fn open(
        &self,
        stream: Stream,
        read_ahead: Bytes,
        (agreed, permit): (Box<Agreed>, SessionPermit),
        stage: &watch::Receiver<Stage>,
    ) {
        let Agreed { mounted, agreement } = *agreed;
        let Agreement {
            handshake,
            compression,
        } = agreement;
        mounted.launch(Opened {
            stream,
            read_ahead,
            handshake,
            config: Arc::clone(mounted.limits()),
            compression,
            outbox_limit: self.outbox_limit,
            overflow: mounted.overflow(),
            max_idle_timeout: mounted.max_idle_timeout(),
            budget: Arc::clone(&self.budget),
            permit,
        });
        // Read after the launch: an earlier stop is seen here, and a later one finds this session among the open ones.
        let stage = *stage.borrow();
        if stage > Stage::Serving {
            // Sessions that were open when the server stopped have had their Close; this one has not.
            for session in mounted.open_sessions().to_vec() {
                going_away(&session);
                if stage == Stage::Dropping {
                    session.abort();
                }
            }
        }
    }

    /// Returns the open sessions of the endpoint with this path template.
    pub(super) fn open_sessions(&self, path: &str) -> Option<OpenSessions> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = router.values();
        let mounted = all.find(|mounted| mounted.path() == path)?;
        Some(mounted.open_sessions().clone())
    }

    /// Returns the open sessions of all endpoints.
    pub(super) fn sessions(&self) -> Vec<Session> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let all = router.values().map(|mounted| mounted.open_sessions());
        all.flat_map(OpenSessions::to_vec).collect()
    }

    /// Returns the open session of this name.
    pub(super) fn session(&self, id: SessionId) -> Option<Session> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = router.values().map(|mounted| mounted.open_sessions());
        all.find_map(|sessions| sessions.get(id))
    }

    /// Returns the counts, and the number of open sessions of all endpoints.
    pub(super) fn stats(&self) -> Stats {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let all = router.values().map(|mounted| mounted.open_sessions());
        let open_sessions = all.map(OpenSessions::len).sum();
        let mut stats = self.counters.snapshot(open_sessions);
        (stats.assembling_bytes, stats.given_up_messages) = self.budget.usage();
        stats
    }

    /// Closes every session with 1001, and waits for `all_gone`. At the stop timeout it calls `dropping`, and drops the
    /// sessions that are left. Then it drops the endpoints.
    pub(super) async fn stop(&self, all_gone: impl Future<Output = ()>, dropping: impl FnOnce()) {
        for session in self.sessions() {
            going_away(&session);
        }
        if tokio::time::timeout(self.stop_timeout, all_gone)
            .await
            .is_err()
        {
            dropping();
            let sessions = self.sessions();
            tracing::warn!(sessions = sessions.len(), "dropped at the stop timeout");
            for session in sessions {
                session.abort();
            }
        }
        // An endpoint may hold a handle of its own server: kept here, neither would ever be freed.
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        let endpoints = std::mem::replace(&mut *router, Router::new());
        // The drop of an endpoint runs code of the application.
        drop(router);
        drop(endpoints);
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment")
            .field("router", &self.router)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn going_away(session: &Session) {
    let closed = session.close(CloseCode::GOING_AWAY, "the server stops");
    debug_assert!(closed.is_ok(), "1001 may be sent");
}
