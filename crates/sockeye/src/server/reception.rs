//! The reception of a request: the answer to a request for an endpoint, and what is agreed on with its peer (RFC 6455
//! §4.2.2). Knows no listener, no HTTP connection and no stream.

use std::pin::pin;

use bytes::Bytes;
use http::header::{HOST, HeaderName, ORIGIN};
use http::{Response, StatusCode, request};
use sockeye_proto::handshake::{Extension, Forbidden, ServerHandshake};

use super::deployment::{Agreed, Deployment};
use crate::connection::Compression;
use crate::endpoint::configurator::{ConfiguratorFailure, Configure};
use crate::endpoint::handshake::Ends;
use crate::endpoint::life::CatchPanic;
use crate::endpoint::report::panic_text;
use crate::endpoint::{Handshake, HandshakeResponse, Mounted, Properties, Refusal};
use crate::peer_text::PeerText;
use crate::router::PathParameters;
use crate::sync::Arc;

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

type Answer = Result<(Response<()>, Agreed), Response<Bytes>>;

/// A handshake that is not accepted, with its answer.
enum Refused {
    /// By Origin or Host. It is logged already.
    Forbidden(Response<Bytes>),
    Other(Response<Bytes>),
}

impl Deployment {
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
