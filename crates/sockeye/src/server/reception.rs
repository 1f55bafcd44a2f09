//! The reception: answers a request for an endpoint, whatever version of HTTP brought it (RFC 6455 §4.2.2).
//!
//! ```text
//!   find ──▶ permit ──▶ answer: form ──▶ Host, Origin ──▶ subprotocol, extensions ──▶ configurator ──▶ Agreed
//!    │        │                  │        │                │                           │
//!    │        │                  400, 405 403              500                         its own, 500, 503
//!    │        │                  426, 505
//!    │        503: full, or stopping
//!    404: no endpoint; 405, 426: no handshake
//! ```
//!
//! The caller brings the request, takes the permit, sends the answer, and gives the connection to its endpoint:
//! `upgrade.rs` for HTTP/1.1, `container.rs` for another HTTP server. The reception knows no listener, no HTTP connection,
//! no stream and no task.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN};
use http::{Method, Response, StatusCode, request};
use sockeye_proto::handshake::{
    Extension, Forbidden, OriginPolicy, RequestError, ServerHandshake, is_websocket_request,
};
use sockeye_proto::{DeflateConfig, DeflatePool};

use super::deployment::{Agreed, Deployment};
use crate::connection::Compression;
use crate::endpoint::configurator::{ConfiguratorFailure, Configure};
use crate::endpoint::life::CatchPanic;
use crate::endpoint::report::panic_text;
use crate::endpoint::{Handshake, HandshakeResponse, Mounted, Properties, Refusal};
use crate::handshake::ConnectionInfo;
use crate::observer::{Event, HandshakeRefusal};
use crate::peer_text::PeerText;
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
    /// The properties that the session starts with.
    pub(super) properties: Properties,
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

/// A handshake that is refused, with its answer.
struct Refused {
    reason: HandshakeRefusal,
    response: Response<Bytes>,
}

impl Refused {
    fn other(response: Response<Bytes>) -> Self {
        Self {
            reason: HandshakeRefusal::Other,
            response,
        }
    }
}

impl Reception {
    /// Returns the endpoint that a handshake asks for.
    pub(super) fn find(&self, request: &request::Parts) -> Result<Target, Rejection> {
        let is_handshake = is_websocket_request(request);
        let found = self.deployment.find(request.uri.path());
        let (mounted, parameters) = found.ok_or(Rejection::NoEndpoint { is_handshake })?;
        if is_handshake {
            return Ok(Target {
                mounted,
                parameters,
            });
        }
        Err(Rejection::NoHandshake(match request.method {
            Method::GET => RequestError::Upgrade,
            _ => RequestError::Method,
        }))
    }

    /// Answers a handshake: returns the 101 with what was agreed on, or the response that refuses it. Counts a refusal by
    /// its reason.
    pub(super) async fn answer(&self, asked: Asked<'_>) -> Answer {
        let peer = asked.info.peer_addr;
        let counters = &self.deployment.counters;
        // A configurator is code of the application, and may panic.
        let accepted = match CatchPanic(pin!(self.accept(asked))).await {
            Ok(accepted) => accepted,
            Err(panic) => {
                if let Some(left_out) = counters.log.configurator_panic.admit_now() {
                    let panic = panic_text(&*panic);
                    tracing::error!(panic, left_out, "a configurator panicked");
                }
                Err(Refused::other(internal("the server could not decide")))
            }
        };
        accepted.map_err(|Refused { reason, response }| {
            counters.observe(Event::HandshakeRefused(reason));
            // The other reasons have lines of their own.
            if reason == HandshakeRefusal::Other {
                let reason = PeerText(response.body().trim_ascii());
                tracing::debug!(?peer, status = %response.status(), %reason, "refused");
            }
            response
        })
    }

    async fn accept(&self, asked: Asked<'_>) -> Result<(Response<()>, Box<Agreed>), Refused> {
        let Asked {
            request,
            target,
            info,
            on_loopback,
            properties,
        } = asked;
        let Target {
            mounted,
            parameters,
        } = target;
        let offer =
            ServerHandshake::receive(request).map_err(|error| Refused::other(answer_to(error)))?;
        if on_loopback && !self.any_host && !offer.host_is_loopback() {
            return Err(self.forbid(Forbidden::Host, request, info));
        }
        let mut handshake = Handshake::new(request, parameters, info);
        let configurator = mounted.configurator();
        // §10.2
        let origins = mounted.origins().unwrap_or(&self.origins);
        let allowed = origins.check(request, info.secure).is_ok();
        let allowed = match configurator {
            Some(configurator) => configurator.check_origin(&handshake, allowed),
            None => allowed,
        };
        if !allowed {
            return Err(self.forbid(Forbidden::Origin, request, info));
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
            .map_err(|error| Refused::other(internal(&error)))?;
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
        let agreed = Box::new(Agreed {
            mounted,
            handshake,
            compression,
        });
        Ok((response, agreed))
    }

    /// Returns the 403 to a request whose Origin or Host may not connect. The log line has the two values that were
    /// compared.
    fn forbid(
        &self,
        forbidden: Forbidden,
        request: &request::Parts,
        info: ConnectionInfo,
    ) -> Refused {
        let counters = &self.deployment.counters;
        let (reason, limit) = match forbidden {
            Forbidden::Host => (HandshakeRefusal::Host, &counters.log.forbidden_host),
            _ => (HandshakeRefusal::Origin, &counters.log.forbidden_origin),
        };
        if let Some(left_out) = limit.admit_now() {
            // §4.2.2: the authority of a target in absolute form goes before Host (RFC 9112 §3.2.2).
            let host = match request.uri.authority() {
                Some(authority) => authority.as_str().as_bytes().to_vec(),
                None => values(request, &HOST),
            };
            tracing::info!(
                peer = info.peer_addr.map(tracing::field::display),
                origin = %PeerText(&values(request, &ORIGIN)),
                host = %PeerText(&host),
                left_out,
                "refused with 403: {forbidden}"
            );
        }
        Refused {
            reason,
            response: forbidden.to_response().map(Into::into),
        }
    }

    /// Returns the answer of a configurator that refuses. If the refusal was made of an error, the error is logged here.
    fn refused_by_configurator(&self, refusal: Refusal) -> Refused {
        let mut response = refusal.into_response();
        if let Some(ConfiguratorFailure(error)) = response.extensions_mut().remove()
            && let Some(left_out) = self.deployment.counters.log.configurator_error.admit_now()
        {
            tracing::error!(%error, left_out, "a configurator failed");
        }
        Refused::other(response)
    }

    /// Lets a configurator see the request, and change the answer or refuse.
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
        // The client has done its part: this deadline is for the application.
        match tokio::time::timeout(self.handshake_timeout, hook).await {
            Ok(decided) => decided?,
            Err(_) => {
                let limit = &self.deployment.counters.log.configurator_timeout;
                if let Some(left_out) = limit.admit_now() {
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

    /// Returns the compression that is agreed on, and the extension that answers for it.
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
            Rejection::NoHandshake(error) => answer_to(error),
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

/// An answer with a reason in plain text. The connection may go on.
pub(super) fn plain(status: StatusCode, reason: impl fmt::Display) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{reason}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// An answer with a reason in plain text that ends the connection: the client may have sent frames behind its handshake.
pub(super) fn refusal(status: StatusCode, reason: impl fmt::Display) -> Response<Bytes> {
    let mut response = plain(status, reason);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

fn internal(reason: impl fmt::Display) -> Response<Bytes> {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, reason)
}

fn answer_to(error: RequestError) -> Response<Bytes> {
    error.to_response().map(Into::into)
}

/// Returns all values of a header field, joined.
fn values(request: &request::Parts, name: &HeaderName) -> Vec<u8> {
    let all = request.headers.get_all(name).iter();
    let all: Vec<_> = all.map(HeaderValue::as_bytes).collect();
    all.join(&b", "[..])
}
