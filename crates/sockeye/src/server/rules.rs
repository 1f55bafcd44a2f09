//! The rules of the opening handshake, apart from what brought the request (RFC 6455 §4.2.2).
//!
//! ```text
//!   form ──▶ Host ──▶ Origin ──▶ subprotocol ──▶ extensions ──▶ hook ──▶ Agreement and 101
//!    │        │         │            │                           │
//!    │        403       403          500                         its own, 500
//!    400, 405, 426, 505
//! ```
//!
//! Servers, containers, acceptors and upgrades inside of other servers all answer by these rules, so the same request gets
//! the same status everywhere. The rules know no path template, no HTTP connection, no stream and no task. They wait for
//! nothing: a hook that waits is the caller's.

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::{Method, Response, request};
use sockeye_proto::handshake::{
    Extension, Forbidden, OriginPolicy, RequestError, ServerHandshake, is_websocket_request,
};
use sockeye_proto::{DeflateConfig, DeflatePool};

use super::answer::internal;
use crate::connection::Compression;
use crate::endpoint::configurator::{ConfiguratorFailure, Configure};
use crate::endpoint::{HandshakeResponse, Refusal};
use crate::handshake::{ConnectionInfo, Handshake, Properties};
use crate::observer::{Event, HandshakeRefusal};
use crate::peer_text::PeerText;
use crate::router::PathParameters;
use crate::stats::Counters;

/// The rules for one request.
pub(super) struct Rules<'a> {
    /// The pages that may connect.
    pub(super) origins: &'a OriginPolicy,
    /// Whether a loopback address takes any `Host`.
    pub(super) any_host: bool,
    /// The subprotocols that are spoken.
    pub(super) subprotocols: &'a [String],
    pub(super) compression: Option<(&'a DeflateConfig, &'a DeflatePool)>,
    pub(super) counters: &'a Counters,
}

/// A request, and what its caller knows about the connection.
pub(super) struct Asked<'r> {
    pub(super) request: &'r request::Parts,
    pub(super) parameters: PathParameters,
    pub(super) info: ConnectionInfo,
    /// Whether `Host` has to be a name of the loopback, unless `any_host` is set.
    pub(super) on_loopback: bool,
}

/// What the application knows of a peer before the handshake.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) principal: Option<Box<str>>,
    /// The properties that the connection starts with.
    pub(crate) properties: Properties,
}

/// The outcome of an accepted handshake, which its connection starts with.
pub(super) struct Agreement {
    pub(super) handshake: Handshake,
    pub(super) compression: Option<Compression>,
}

/// The 101 with what was agreed on, or the response that refuses the request.
pub(super) type Answer = Result<(Response<()>, Box<Agreement>), Box<Response<Bytes>>>;

/// A handshake that is refused, with its answer.
pub(super) struct Refused {
    reason: HandshakeRefusal,
    // Boxed: it makes the result of an accepted handshake larger.
    response: Box<Response<Bytes>>,
}

impl Refused {
    pub(super) fn other(response: Response<Bytes>) -> Self {
        Self {
            reason: HandshakeRefusal::Other,
            response: Box::new(response),
        }
    }
}

impl From<RequestError> for Refused {
    fn from(error: RequestError) -> Self {
        Self::other(error.to_response().map(Into::into))
    }
}

/// Returns the rule that a request breaks if it does not try to open a WebSocket at all.
pub(super) fn not_a_handshake(request: &request::Parts) -> Option<RequestError> {
    if is_websocket_request(request) {
        return None;
    }
    Some(match request.method {
        Method::GET => RequestError::Upgrade,
        _ => RequestError::Method,
    })
}

/// Returns whether a connection came to a loopback address, as far as that is known.
pub(super) fn on_loopback(info: ConnectionInfo) -> bool {
    let local_addr = info.local_addr.map(|addr| addr.ip().to_canonical());
    local_addr.is_some_and(|ip| ip.is_loopback())
}

impl Rules<'_> {
    /// Agrees on a handshake: returns the 101, and what the connection starts with. A configurator has a say about the
    /// origin and the subprotocol; its hook is the caller's business.
    pub(super) fn agree(
        &self,
        asked: Asked<'_>,
        configurator: Option<&dyn Configure>,
    ) -> Result<(Response<()>, Agreement), Refused> {
        let Asked {
            request,
            parameters,
            info,
            on_loopback,
        } = asked;
        let offer = ServerHandshake::receive(request)?;
        if on_loopback && !self.any_host && !offer.host_is_loopback() {
            return Err(self.forbid(Forbidden::Host, request, info));
        }
        let mut handshake = Handshake::new(request, parameters, info);
        // §10.2
        let allowed = self.origins.check(request, info.secure).is_ok();
        let allowed = match configurator {
            Some(configurator) => configurator.check_origin(&handshake, allowed),
            None => allowed,
        };
        if !allowed {
            return Err(self.forbid(Forbidden::Origin, request, info));
        }
        let spoken = self.subprotocols;
        let subprotocol = match configurator {
            Some(configurator) => {
                let offered: Vec<&str> = offer.subprotocols().collect();
                configurator.negotiate_subprotocol(&handshake, &offered, spoken)
            }
            None => offer.choose_subprotocol(spoken),
        };
        let (compression, extension) = self.compression(&offer).unzip();
        let response = offer
            .accept(subprotocol, extension.as_slice())
            .map_err(|error| Refused::other(internal(&error)))?;
        let params = compression.as_ref().map(|agreed| agreed.params);
        handshake.agree(subprotocol, params);
        let agreement = Agreement {
            handshake,
            compression,
        };
        Ok((response, agreement))
    }

    /// Returns the compression that is agreed on, and the extension that answers for it.
    fn compression(&self, offer: &ServerHandshake) -> Option<(Compression, Extension)> {
        let (config, pool) = self.compression?;
        let (params, answer) = config.answer(offer.extensions())?;
        let compression = Compression {
            params,
            config: config.clone(),
            pool: pool.clone(),
        };
        Some((compression, answer))
    }

    /// Returns the 403 to a request whose Origin or Host may not connect. The log line has the two values that were
    /// compared.
    fn forbid(
        &self,
        forbidden: Forbidden,
        request: &request::Parts,
        info: ConnectionInfo,
    ) -> Refused {
        let log = &self.counters.log;
        let (reason, limit) = match forbidden {
            Forbidden::Host => (HandshakeRefusal::Host, &log.forbidden_host),
            _ => (HandshakeRefusal::Origin, &log.forbidden_origin),
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
            response: Box::new(forbidden.to_response().map(Into::into)),
        }
    }

    /// Takes what a hook changed: the subprotocol, fields of the answer, the principal and the properties.
    pub(super) fn configure(
        &self,
        request: &request::Parts,
        response: &mut Response<()>,
        agreement: &mut Agreement,
        changed: HandshakeResponse,
    ) -> Result<(), Refused> {
        let handshake = &mut agreement.handshake;
        if let Some(chosen) = changed.chosen_subprotocol() {
            let offer = ServerHandshake::receive(request)?;
            let (compression, extension) = self.compression(&offer).unzip();
            *response = offer
                .accept(chosen, extension.as_slice())
                .map_err(|error| Refused::other(internal(&error)))?;
            handshake.agree(chosen, compression.map(|agreed| agreed.params));
        }
        let (headers, principal, properties) = changed.finish(response.headers());
        *response.headers_mut() = headers;
        handshake.configure(principal, properties);
        Ok(())
    }

    /// Returns the refusal of a hook. If it was made of an error, the error is logged here.
    pub(super) fn refused_by_hook(&self, refusal: Refusal) -> Refused {
        let mut response = refusal.into_response();
        if let Some(ConfiguratorFailure(error)) = response.extensions_mut().remove()
            && let Some(left_out) = self.counters.log.configurator_error.admit_now()
        {
            tracing::error!(%error, left_out, "a configurator failed");
        }
        Refused::other(response)
    }

    /// Counts a refusal by its reason, logs it, and returns the answer.
    pub(super) fn report(&self, refused: Refused, info: ConnectionInfo) -> Box<Response<Bytes>> {
        let Refused { reason, response } = refused;
        self.counters.observe(Event::HandshakeRefused(reason));
        // The other reasons have lines of their own.
        if reason == HandshakeRefusal::Other {
            let peer = info.peer_addr;
            let reason = PeerText(response.body().trim_ascii());
            tracing::debug!(?peer, status = %response.status(), %reason, "refused");
        }
        response
    }
}

impl Agreement {
    /// Keeps what the application knows of the peer. There is no hook.
    pub(super) fn know(&mut self, known: Known) {
        self.handshake.configure(known.principal, known.properties);
    }
}

impl Known {
    /// Returns what a hook may change of an answer.
    pub(super) fn changeable(self, response: &Response<()>) -> HandshakeResponse {
        HandshakeResponse::new(response.headers().clone(), self.principal, self.properties)
    }
}

/// Returns all values of a header field, joined.
fn values(request: &request::Parts, name: &HeaderName) -> Vec<u8> {
    let all = request.headers.get_all(name).iter();
    let all: Vec<_> = all.map(HeaderValue::as_bytes).collect();
    all.join(&b", "[..])
}
