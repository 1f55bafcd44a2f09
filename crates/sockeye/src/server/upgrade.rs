//! From a request to an endpoint's connection: which requests are handshakes, which are refused, and
//! how the raw stream leaves hyper.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use sockeye_proto::CloseCode;
use sockeye_proto::handshake::{
    Extension, Forbidden, RequestError, ServerHandshake, host_is_loopback, is_websocket_request,
};
use tokio::sync::watch;

use super::admission::{Guest, Pending};
use super::{Shared, Stage};
use crate::connection::Compression;
use crate::endpoint::handshake::Ends;
use crate::endpoint::life::{Opened, Place};
use crate::endpoint::{Handshake, Mounted};
use crate::router::PathParameters;
use crate::sync::{Arc, Mutex, lock};
use crate::transport::Stream;

/// The most bytes of a request's body that the HTTP service is given.
const MAX_BODY: usize = 1 << 20;
/// How long such a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// One HTTP connection.
pub(super) struct Peer {
    shared: Arc<Shared>,
    /// `None` when there are as many connections as there may be.
    place: Mutex<Option<Place>>,
    pub(super) pending: Pending,
    ends: Ends,
    /// That its last request was a handshake, which is answered with 101.
    agreed: Mutex<Option<Agreed>>,
}

/// What the connection of an accepted handshake starts with.
pub(super) struct Agreed {
    mounted: Arc<Mounted>,
    handshake: Handshake,
    compression: Option<Compression>,
}

impl Peer {
    pub(super) fn new(shared: Arc<Shared>, guest: Guest, ends: Ends) -> Self {
        Self {
            shared,
            place: Mutex::new(guest.place),
            pending: guest.pending,
            ends,
            agreed: Mutex::new(None),
        }
    }

    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        if lock(&self.place).is_none() {
            return full();
        }
        self.pending.end();
        let (mut parts, body) = request.into_parts();
        let route = self.shared.router.find(parts.uri.path());
        if !is_websocket_request(&parts) {
            return match (&self.shared.http, route) {
                (Some(http), _) => match read_body(body).await {
                    Ok(body) => {
                        // Nothing else leaves hyper than what is accepted below.
                        parts.extensions.remove::<OnUpgrade>();
                        http(Request::from_parts(parts, body)).await.map(Full::new)
                    }
                    Err((status, reason)) => plain(status, reason),
                },
                (None, Some(_)) if parts.method != Method::GET => {
                    text(RequestError::Method.to_response())
                }
                (None, Some(_)) => text(RequestError::Upgrade.to_response()),
                (None, None) => plain(StatusCode::NOT_FOUND, "there is nothing at this path"),
            };
        }
        let Some((mounted, parameters)) = route else {
            return plain(StatusCode::NOT_FOUND, "there is no endpoint at this path");
        };
        match self.accept(&parts, mounted, parameters) {
            Ok((response, agreed)) => {
                *lock(&self.agreed) = Some(agreed);
                response.map(|()| Full::default())
            }
            Err(refusal) => {
                tracing::debug!(peer = ?self.ends.peer_addr, status = %refusal.status(), reason = refusal.body(), "refused");
                text(refusal)
            }
        }
    }

    /// RFC 6455 §4.2.2: the answer to a handshake, or the refusal with its reason.
    #[expect(
        clippy::result_large_err,
        reason = "a refusal is moved once, to where it is sent"
    )]
    fn accept(
        &self,
        request: &http::request::Parts,
        mounted: &Arc<Mounted>,
        parameters: PathParameters,
    ) -> Result<(Response<()>, Agreed), Response<String>> {
        let handshake = ServerHandshake::receive(request).map_err(|error| error.to_response())?;
        // A page's own name that resolves to the loopback must not reach what is bound to it alone. (What
        // is bound to all addresses may stand behind a proxy, which comes over the loopback too.)
        if self.shared.local_addr.ip().to_canonical().is_loopback()
            && !self.shared.any_host
            && !host_is_loopback(handshake.host())
        {
            return Err(Forbidden::Host.to_response());
        }
        // §10.2
        let origins = &self.shared.origins;
        origins
            .check(request, self.ends.secure)
            .map_err(|forbidden| forbidden.to_response())?;
        let subprotocol = handshake.choose_subprotocol(mounted.subprotocols());
        let (compression, extension) = self.compression(&handshake).unzip();
        let response = handshake
            .accept(subprotocol, extension.as_slice())
            .map_err(|error| {
                let mut response = Response::new(error.to_string());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            })?;
        let handshake = Handshake::new(request, parameters, self.ends, subprotocol);
        let agreed = Agreed {
            mounted: Arc::clone(mounted),
            handshake,
            compression,
        };
        Ok((response, agreed))
    }

    /// What is agreed on about compression, and how that is answered.
    fn compression(&self, handshake: &ServerHandshake) -> Option<(Compression, Extension)> {
        let (config, pool) = self.shared.compression.as_ref()?;
        let (params, answer) = config.answer(handshake.extensions())?;
        let compression = Compression {
            params,
            config: config.clone(),
            pool: pool.clone(),
        };
        Some((compression, answer))
    }

    /// What was agreed on, when the last request was a handshake, and the place of the connection. Its answer
    /// is written when hyper is done with the connection without an error.
    pub(super) fn take_agreed(&self) -> Option<(Agreed, Place)> {
        lock(&self.agreed).take().zip(lock(&self.place).take())
    }
}

impl Shared {
    /// Starts the endpoint on a stream that has left hyper, `read_ahead` being what came behind the
    /// handshake.
    pub(super) fn open(
        &self,
        stream: Stream,
        read_ahead: Bytes,
        (agreed, place): (Agreed, Place),
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
            place,
        });
        let stage = *stage.borrow();
        if stage > Stage::Serving {
            // The sessions that were open when the server stopped were told; this one was not yet.
            for session in mounted.open_sessions().to_vec() {
                let closed = session.close(CloseCode::GOING_AWAY, "the server stops");
                debug_assert!(closed.is_ok(), "1001 may be sent");
                if stage == Stage::Dropping {
                    session.abort();
                }
            }
        }
    }
}

async fn read_body(body: Incoming) -> Result<Bytes, (StatusCode, &'static str)> {
    const TOO_LARGE: (StatusCode, &str) = (
        StatusCode::PAYLOAD_TOO_LARGE,
        "the request's body is too large",
    );
    // What is announced to be too large is not waited for.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(TOO_LARGE);
    }
    let collected = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the request's body cannot be read")),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not come in time",
        )),
    }
}

fn plain(status: StatusCode, reason: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{reason}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Whoever gets this may try again, or elsewhere.
fn full() -> Response<Full<Bytes>> {
    let mut response = plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "this server has as many connections as it may have",
    );
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

fn text(response: Response<String>) -> Response<Full<Bytes>> {
    response.map(Full::from)
}
