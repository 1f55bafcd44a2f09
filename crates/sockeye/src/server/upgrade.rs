//! What a server answers to a request of one of its connections: an endpoint's handshake, the HTTP
//! service's, or why there is nothing.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use sockeye_proto::handshake::{RequestError, is_websocket_request};

use super::Shared;
use super::admission::{ConnectionPermit, Entry, Guest, Pending};
use super::deployment::Agreed;
use super::reception::Asked;
use crate::connection::permit::SessionPermit;
use crate::deadline;
use crate::endpoint::Properties;
use crate::endpoint::handshake::Ends;
use crate::sync::{Arc, Mutex, lock};

/// The most bytes of a request's body that the HTTP service is given.
const MAX_BODY: usize = 1 << 20;
/// How long such a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// One HTTP connection.
pub(super) struct Peer {
    shared: Arc<Shared>,
    /// `None` when there are as many connections as there may be.
    permit: Mutex<Option<ConnectionPermit>>,
    pub(super) pending: Pending,
    ends: Ends,
    /// That its last request was a handshake, which is answered with 101.
    agreed: Mutex<Option<Agreed>>,
    /// The last field: the door goes on when all the others are dropped.
    pub(super) entry: Entry,
}

impl Peer {
    pub(super) fn new(shared: Arc<Shared>, guest: Guest, ends: Ends) -> Self {
        Self {
            shared,
            permit: Mutex::new(guest.permit),
            pending: guest.pending,
            ends,
            agreed: Mutex::new(None),
            entry: guest.entry,
        }
    }

    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        self.entry.answer();
        let response = self.answer(request).await;
        if lock(&self.agreed).is_none() {
            self.entry.rest();
        }
        response
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if lock(&self.permit).is_none() {
            return full();
        }
        self.pending.end();
        let (mut parts, body) = request.into_parts();
        let route = self.shared.deployment.find(parts.uri.path());
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
        // A page's own name that resolves to the loopback must not reach what is bound to it alone. (What
        // is bound to all addresses may stand behind a proxy, which comes over the loopback too.)
        let on_loopback =
            self.shared.local_addr.ip().to_canonical().is_loopback() && !self.shared.any_host;
        let deployment = &self.shared.deployment;
        let asked = Asked {
            request: &parts,
            mounted,
            parameters,
            ends: self.ends,
            on_loopback,
            properties: Properties::default(),
        };
        match deployment.answer(asked).await {
            Ok((response, agreed)) => {
                *lock(&self.agreed) = Some(agreed);
                response.map(|()| Full::default())
            }
            Err(refusal) => refusal.map(Full::new),
        }
    }

    /// What was agreed on, when the last request was a handshake, and the permit of the session. Its answer
    /// is written when hyper is done with the connection without an error.
    pub(super) fn take_agreed(&self) -> Option<(Agreed, SessionPermit)> {
        let agreed = lock(&self.agreed).take()?;
        let permit = lock(&self.permit).take()?;
        Some((agreed, permit.into_session()))
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
    match deadline::timeout(BODY_TIMEOUT, collected).await {
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
