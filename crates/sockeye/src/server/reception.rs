//! The reception: answers a request for an endpoint, whatever version of HTTP brought it (RFC 6455 §4.2.2).
//!
//! ```text
//!   find ──▶ permit ──▶ answer: rules (form, Host, Origin, subprotocol, extensions) ──▶ configurator ──▶ Agreed
//!    │        │                  │                                                      │
//!    │        │                  400, 403, 405, 426, 500, 505                           its own, 500, 503
//!    │        503: full, or stopping
//!    404: no endpoint; 405, 426: no handshake
//! ```
//!
//! The caller brings the request, takes the permit, sends the answer, and gives the connection to its endpoint:
//! `upgrade.rs` for HTTP/1.1, `container.rs` for another HTTP server. The reception knows no listener, no HTTP connection,
//! no stream and no task. What does not depend on an endpoint is in `rules.rs`.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, request};
use sockeye_proto::handshake::{OriginPolicy, RequestError};
use sockeye_proto::{DeflateConfig, DeflatePool};

use super::answer::{internal, plain, refusal};
use super::deployment::{Agreed, Deployment};
use super::rules::{self, Agreement, Known, Refused, Rules};
use crate::endpoint::configurator::Configure;
use crate::endpoint::life::CatchPanic;
use crate::endpoint::report::panic_text;
use crate::endpoint::{HandshakeResponse, Mounted, Refusal};
use crate::handshake::{ConnectionInfo, Handshake};
use crate::router::PathParameters;
use crate::sync::Arc;

/// The reception of a server, or of a container.
pub(super) struct Reception {
    pub(super) deployment: Deployment,
    /// The pages that may connect, where an endpoint has no policy of its own.
    pub(super) origins: OriginPolicy,
    /// Whether a loopback address takes any `Host`.
    pub(super) any_host: bool,
    pub(super) compression: Option<(DeflateConfig, DeflatePool)>,
    /// The time that a configurator has.
    pub(super) handshake_timeout: Duration,
}

/// The endpoint that a handshake asks for, and the parameters of its path.
pub(super) struct Target {
    mounted: Arc<Mounted>,
    parameters: PathParameters,
}

/// A handshake, and what its caller knows about the connection.
pub(super) struct Asked<'r> {
    pub(super) request: &'r request::Parts,
    pub(super) target: Target,
    pub(super) info: ConnectionInfo,
    /// Whether `Host` has to be a name of the loopback, unless `any_host` is set.
    pub(super) on_loopback: bool,
    pub(super) known: Known,
}

/// The reason why a request is answered without a look at its handshake.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rejection {
    NoEndpoint {
        is_handshake: bool,
    },
    /// The request is no handshake, and breaks this rule first.
    NoHandshake(RequestError),
    /// No permit is left: the server has its largest number of connections.
    Full,
    /// The server is stopping.
    Stopping,
}

// Boxed: the value is moved often on its way, and an HTTP connection has room for it all its life.
type Answer = Result<(Response<()>, Box<Agreed>), Response<Bytes>>;

impl Reception {
    /// Returns the endpoint that a handshake asks for.
    pub(super) fn find(&self, request: &request::Parts) -> Result<Target, Rejection> {
        let not_a_handshake = rules::not_a_handshake(request);
        let found = self.deployment.find(request.uri.path());
        let is_handshake = not_a_handshake.is_none();
        let (mounted, parameters) = found.ok_or(Rejection::NoEndpoint { is_handshake })?;
        match not_a_handshake {
            None => Ok(Target {
                mounted,
                parameters,
            }),
            Some(error) => Err(Rejection::NoHandshake(error)),
        }
    }

    /// Answers a handshake: returns the 101 with what was agreed on, or the response that refuses it. Counts a refusal by
    /// its reason.
    pub(super) async fn answer(&self, asked: Asked<'_>) -> Answer {
        let Asked {
            request,
            target,
            info,
            on_loopback,
            known,
        } = asked;
        let Target {
            mounted,
            parameters,
        } = target;
        let rules = Rules {
            origins: mounted.origins().unwrap_or(&self.origins),
            any_host: self.any_host,
            subprotocols: mounted.subprotocols(),
            compression: self
                .compression
                .as_ref()
                .map(|(config, pool)| (config, pool)),
            counters: &self.deployment.counters,
        };
        let asked = rules::Asked {
            request,
            parameters,
            info,
            on_loopback,
        };
        let accepting = self.accept(&rules, asked, mounted.configurator(), known);
        // A configurator is code of the application, and may panic.
        let accepted = match CatchPanic(pin!(accepting)).await {
            Ok(accepted) => accepted,
            Err(panic) => {
                let limit = &self.deployment.counters.log.configurator_panic;
                if let Some(left_out) = limit.admit_now() {
                    let panic = panic_text(&*panic);
                    tracing::error!(panic, left_out, "a configurator panicked");
                }
                Err(Refused::other(internal("the server could not decide")))
            }
        };
        match accepted {
            Ok((response, agreement)) => {
                let agreed = Agreed { mounted, agreement };
                Ok((response, Box::new(agreed)))
            }
            Err(refused) => Err(*rules.report(refused, info)),
        }
    }

    async fn accept(
        &self,
        rules: &Rules<'_>,
        asked: rules::Asked<'_>,
        configurator: Option<&dyn Configure>,
        known: Known,
    ) -> Result<(Response<()>, Agreement), Refused> {
        let request = asked.request;
        let (mut response, mut agreement) = rules.agree(asked, configurator)?;
        match configurator {
            Some(configurator) => {
                let mut changed = known.changeable(&response);
                let hook = self.configure(configurator, &agreement.handshake, &mut changed);
                let decided = Box::pin(hook).await;
                decided.map_err(|refusal| rules.refused_by_hook(refusal))?;
                rules.configure(request, &mut response, &mut agreement, changed)?;
            }
            None => agreement.know(known),
        }
        Ok((response, agreement))
    }

    /// Lets a configurator see the request, and change the answer or refuse.
    async fn configure(
        &self,
        configurator: &dyn Configure,
        handshake: &Handshake,
        response: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        let hook = configurator.modify_handshake(handshake, response);
        // The client has done its part: this deadline is for the application.
        match tokio::time::timeout(self.handshake_timeout, hook).await {
            Ok(decided) => decided,
            Err(_) => {
                let limit = &self.deployment.counters.log.configurator_timeout;
                if let Some(left_out) = limit.admit_now() {
                    let timeout = self.handshake_timeout;
                    tracing::warn!(?timeout, left_out, "a configurator took too long");
                }
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE)
                    .body("the server could not decide in time\n"))
            }
        }
    }
}

impl From<Rejection> for Response<Bytes> {
    fn from(rejection: Rejection) -> Self {
        const NO_ENDPOINT: &str = "there is no endpoint at this path";
        // The client of a 503 may try again, or elsewhere.
        let unavailable = |reason| refusal(StatusCode::SERVICE_UNAVAILABLE, reason);
        match rejection {
            Rejection::NoEndpoint { is_handshake: true } => {
                refusal(StatusCode::NOT_FOUND, NO_ENDPOINT)
            }
            Rejection::NoEndpoint {
                is_handshake: false,
            } => plain(StatusCode::NOT_FOUND, NO_ENDPOINT),
            Rejection::NoHandshake(error) => error.to_response().map(Into::into),
            Rejection::Full => {
                unavailable("the server is full: it has as many connections as its limit allows")
            }
            Rejection::Stopping => unavailable("the server is stopping"),
        }
    }
}

impl fmt::Debug for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reception")
            .field("deployment", &self.deployment)
            .finish_non_exhaustive()
    }
}
