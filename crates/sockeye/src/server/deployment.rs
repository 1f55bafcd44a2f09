//! The endpoints in their places, and from a request for one of them to its connection: which are refused,
//! and what is agreed on with the others (RFC 6455 §4.2.2). Knows no listener and no HTTP connection.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, ORIGIN};
use http::{Response, StatusCode, request};
use sockeye_proto::handshake::{Extension, Forbidden, OriginPolicy, ServerHandshake};
use sockeye_proto::{CloseCode, Config, DeflateConfig, DeflatePool};
use tokio::sync::watch;

use super::{DeploymentError, Stage};
use crate::connection::Compression;
use crate::connection::budget::AssemblyBudget;
use crate::connection::permit::SessionPermit;
use crate::endpoint::configurator::{ConfiguratorFailure, Configure};
use crate::endpoint::handshake::Ends;
use crate::endpoint::life::{CatchPanic, Opened};
use crate::endpoint::report::panic_text;
use crate::endpoint::{
    EndpointConfig, Handshake, HandshakeResponse, Mounted, OpenSessions, Properties, Refusal,
    Session,
};
use crate::peer_text::PeerText;
use crate::router::{PathParameters, Router};
use crate::stats::{Counters, Stats};
use crate::sync::Arc;
use crate::transport::Stream;

/// Endpoints, and how their connections begin.
pub(super) struct Deployment {
    /// Read for each request, and written when an endpoint is added. Nothing of the application's runs meanwhile.
    pub(super) router: RwLock<Router<Arc<Mounted>>>,
    pub(super) config: Arc<Config>,
    pub(super) compression: Option<(DeflateConfig, DeflatePool)>,
    pub(super) outbox_limit: usize,
    /// What the unfinished messages of all connections may hold.
    pub(super) budget: Arc<AssemblyBudget>,
    pub(super) origins: OriginPolicy,
    pub(super) handshake_timeout: Duration,
    pub(super) stop_timeout: Duration,
    /// Of the server, its endpoints and their sessions.
    pub(super) counters: Arc<Counters>,
}

/// A request that asks for an endpoint.
pub(super) struct Asked<'r> {
    pub(super) request: &'r request::Parts,
    pub(super) mounted: Arc<Mounted>,
    pub(super) parameters: PathParameters,
    pub(super) ends: Ends,
    /// Whether only the loopback's names are taken in `Host`.
    pub(super) on_loopback: bool,
    /// What the session starts with.
    pub(super) properties: Properties,
}

/// What the connection of an accepted handshake starts with.
pub(super) struct Agreed {
    mounted: Arc<Mounted>,
    handshake: Handshake,
    compression: Option<Compression>,
}

type Answer = Result<(Response<()>, Agreed), Response<Bytes>>;

/// A handshake that is not accepted, with its answer.
enum Refused {
    /// By Origin or Host. It is logged already.
    Forbidden(Response<Bytes>),
    Other(Response<Bytes>),
}

impl Deployment {
    /// The endpoint that answers a path, and the path's parameters.
    pub(super) fn find(&self, path: &str) -> Option<(Arc<Mounted>, PathParameters)> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let (mounted, parameters) = router.find(path)?;
        Some((Arc::clone(mounted), parameters))
    }

    /// Adds an endpoint for the requests that come from now on.
    pub(super) fn add(&self, endpoint: EndpointConfig) -> Result<(), DeploymentError> {
        let path = endpoint.path().to_owned();
        let mounted = Arc::new(Mounted::new(endpoint, &self.config, &self.counters));
        // One that is refused is dropped behind the lock: what it holds is the application's.
        let added = Arc::clone(&mounted);
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        router.insert(&path, added).map_err(DeploymentError)
    }

    /// The 101 to a handshake, or the refusal with its reason.
    pub(super) async fn answer(&self, asked: Asked<'_>) -> Answer {
        let peer = asked.ends.peer_addr;
        // What a configurator does is the application's: it may panic.
        let accepted = match CatchPanic(pin!(self.accept(asked))).await {
            Ok(accepted) => accepted,
            Err(panic) => {
                if let Some(left_out) = self.counters.log.configurator_panic.admit_now() {
                    let panic = panic_text(&*panic);
                    tracing::error!(panic, left_out, "a configurator panicked");
                }
                Err(Refused::Other(
                    internal("the server could not decide\n").into_response(),
                ))
            }
        };
        accepted.map_err(|refused| {
            self.counters.refused_handshakes.increment();
            match refused {
                Refused::Forbidden(response) => response,
                Refused::Other(response) => {
                    let reason = PeerText(response.body().trim_ascii());
                    tracing::debug!(?peer, status = %response.status(), %reason, "refused");
                    response
                }
            }
        })
    }

    async fn accept(&self, asked: Asked<'_>) -> Result<(Response<()>, Agreed), Refused> {
        let Asked {
            request,
            mounted,
            parameters,
            ends,
            on_loopback,
            properties,
        } = asked;
        let offer = ServerHandshake::receive(request)
            .map_err(|error| Refused::Other(error.to_response().map(Into::into)))?;
        if on_loopback && !offer.host_is_loopback() {
            return Err(self.forbid(Forbidden::Host, request, ends));
        }
        let mut handshake = Handshake::new(request, parameters, ends);
        let configurator = mounted.configurator();
        // §10.2
        let origins = mounted.origins().unwrap_or(&self.origins);
        let allowed = origins.check(request, ends.secure).is_ok();
        let allowed = match configurator {
            Some(configurator) => configurator.check_origin(&handshake, allowed),
            None => allowed,
        };
        if !allowed {
            return Err(self.forbid(Forbidden::Origin, request, ends));
        }
        let spoken = mounted.subprotocols();
        let subprotocol = match configurator {
            Some(configurator) => {
                let offered: Vec<&str> = offer.subprotocols().collect();
                configurator.negotiate_subprotocol(&handshake, &offered, spoken)
            }
            None => offer.choose_subprotocol(spoken),
        };
        let (compression, extension) = self.compression(&offer).unzip();
        let mut response = offer
            .accept(subprotocol, extension.as_slice())
            .map_err(|error| Refused::Other(internal(format!("{error}\n")).into_response()))?;
        let params = compression.as_ref().map(|agreed| agreed.params);
        handshake.agree(subprotocol, params);
        match configurator {
            Some(configurator) => {
                let hook = self.configure(configurator, &mut handshake, &mut response, properties);
                let decided = Box::pin(hook).await;
                decided.map_err(|refusal| self.refused_by_configurator(refusal))?;
            }
            None => handshake.configure(None, properties),
        }
        let agreed = Agreed {
            mounted,
            handshake,
            compression,
        };
        Ok((response, agreed))
    }

    /// The 403 to a request whose Origin or Host may not connect. Its log line has the two values that were compared.
    fn forbid(&self, forbidden: Forbidden, request: &request::Parts, ends: Ends) -> Refused {
        let (counter, limit) = match forbidden {
            Forbidden::Host => (
                &self.counters.forbidden_hosts,
                &self.counters.log.forbidden_host,
            ),
            _ => (
                &self.counters.forbidden_origins,
                &self.counters.log.forbidden_origin,
            ),
        };
        counter.increment();
        if let Some(left_out) = limit.admit_now() {
            // §4.2.2: the authority of a target in absolute form goes before Host (RFC 9112 §3.2.2).
            let host = match request.uri.authority() {
                Some(authority) => authority.as_str().as_bytes().to_vec(),
                None => values(request, &HOST),
            };
            tracing::info!(
                peer = ends.peer_addr.map(tracing::field::display),
                origin = %PeerText(&values(request, &ORIGIN)),
                host = %PeerText(&host),
                left_out,
                "refused with 403: {forbidden}"
            );
        }
        Refused::Forbidden(forbidden.to_response().map(Into::into))
    }

    fn refused_by_configurator(&self, refusal: Refusal) -> Refused {
        let response = refusal.into_response();
        if let Some(ConfiguratorFailure(error)) = response.extensions().get()
            && let Some(left_out) = self.counters.log.configurator_error.admit_now()
        {
            tracing::error!(%error, left_out, "a configurator failed");
        }
        Refused::Other(response)
    }

    /// Lets a configurator look at the request and change the answer.
    async fn configure(
        &self,
        configurator: &dyn Configure,
        handshake: &mut Handshake,
        response: &mut Response<()>,
        properties: Properties,
    ) -> Result<(), Refusal> {
        let headers = response.headers().clone();
        let mut changed = HandshakeResponse::new(headers, properties);
        let hook = configurator.modify_handshake(handshake, &mut changed);
        // The client has done its part: this deadline is the application's.
        match tokio::time::timeout(self.handshake_timeout, hook).await {
            Ok(decided) => decided?,
            Err(_) => {
                if let Some(left_out) = self.counters.log.configurator_timeout.admit_now() {
                    let timeout = self.handshake_timeout;
                    tracing::warn!(?timeout, left_out, "a configurator took too long");
                }
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE)
                    .body("the server could not decide in time\n"));
            }
        }
        let (headers, principal, properties) = changed.finish(response.headers());
        *response.headers_mut() = headers;
        handshake.configure(principal, properties);
        Ok(())
    }

    /// What is agreed on about compression, and how that is answered.
    fn compression(&self, offer: &ServerHandshake) -> Option<(Compression, Extension)> {
        let (config, pool) = self.compression.as_ref()?;
        let (params, answer) = config.answer(offer.extensions())?;
        let compression = Compression {
            params,
            config: config.clone(),
            pool: pool.clone(),
        };
        Some((compression, answer))
    }

    /// Starts the endpoint on a stream that has left HTTP, `read_ahead` being what came behind the
    /// handshake.
    pub(super) fn open(
        &self,
        stream: Stream,
        read_ahead: Bytes,
        (agreed, permit): (Agreed, SessionPermit),
        stage: &watch::Receiver<Stage>,
    ) {
        let mounted = agreed.mounted;
        mounted.launch(Opened {
            stream,
            read_ahead,
            handshake: agreed.handshake,
            config: Arc::clone(mounted.limits()),
            compression: agreed.compression,
            outbox_limit: self.outbox_limit,
            overflow: mounted.overflow(),
            budget: Arc::clone(&self.budget),
            permit,
        });
        // Looked at only now: what stopped before saw this session among the open ones, or is seen here.
        let stage = *stage.borrow();
        if stage > Stage::Serving {
            // The sessions that were open when the server stopped were told; this one was not yet.
            for session in mounted.open_sessions().to_vec() {
                going_away(&session);
                if stage == Stage::Dropping {
                    session.abort();
                }
            }
        }
    }

    /// The open sessions of all endpoints.
    fn sessions(&self) -> Vec<Session> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let all = router.values().map(|mounted| mounted.open_sessions());
        all.flat_map(OpenSessions::to_vec).collect()
    }

    /// The counts, and the number of open sessions of all endpoints.
    pub(super) fn stats(&self) -> Stats {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let all = router.values().map(|mounted| mounted.open_sessions());
        let open_sessions = all.map(OpenSessions::len).sum();
        let mut stats = self.counters.snapshot(open_sessions);
        (stats.assembling_bytes, stats.given_up_messages) = self.budget.usage();
        stats
    }

    /// Tells every session that it is over, and waits until `all_gone`; at the stop timeout drops those that
    /// are left, after `dropping`.
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

/// All values of a header field.
fn values(request: &request::Parts, name: &HeaderName) -> Vec<u8> {
    let all = request.headers.get_all(name).iter();
    let all: Vec<_> = all.map(http::HeaderValue::as_bytes).collect();
    all.join(&b", "[..])
}

fn internal(reason: impl Into<Bytes>) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR).body(reason)
}
