//! One connection of HTTP/1.1: its requests go to the reception or to the HTTP service, and it is upgraded once.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use sockeye_proto::handshake::is_websocket_request;

use super::admission::{ConnectionPermit, Entry, Guest, Pending};
use super::answer;
use super::deployment::Agreed;
use super::reception::{Asked, Rejection};
use super::rules::Known;
use super::shared::Shared;
use crate::connection::permit::SessionPermit;
use crate::deadline;
use crate::handshake::ConnectionInfo;
use crate::sync::{Arc, Mutex, lock};

/// The largest request body that the HTTP service gets.
const MAX_BODY: usize = 1 << 20;
/// The time in which the whole body has to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// One HTTP connection.
pub(super) struct Peer {
    shared: Arc<Shared>,
    /// `None` if there are as many connections as there may be.
    permit: Mutex<Option<ConnectionPermit>>,
    pub(super) pending: Pending,
    info: ConnectionInfo,
    /// Set if the last request was a handshake that is answered with 101.
    agreed: Mutex<Option<Box<Agreed>>>,
    /// The last field: the admission goes on when all other fields are dropped.
    pub(super) entry: Entry,
}

impl Peer {
    pub(super) fn new(shared: Arc<Shared>, guest: Guest, info: ConnectionInfo) -> Self {
        Self {
            shared,
            permit: Mutex::new(guest.permit),
            pending: guest.pending,
            info,
            agreed: Mutex::new(None),
            entry: guest.entry,
        }
    }

    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        self.entry.answer();
        let response = match self.answer(request).await {
            Ok(response) | Err(response) => response,
        };
        if lock(&self.agreed).is_none() {
            self.entry.rest();
        }
        response.map(Full::new)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Bytes>, Response<Bytes>> {
        if lock(&self.permit).is_none() {
            return Err(Rejection::Full.into());
        }
        self.pending.end();
        let (mut parts, body) = request.into_parts();
        if let Some(http) = &self.shared.http
            && !is_websocket_request(&parts)
        {
            let body = read_body(body).await?;
            // Only a handshake that is accepted below leaves hyper.
            parts.extensions.remove::<OnUpgrade>();
            return Ok(http(Request::from_parts(parts, body)).await);
        }
        let reception = &self.shared.reception;
        let asked = Asked {
            target: reception.find(&parts)?,
            request: &parts,
            info: self.info,
            // A page whose own name resolves to the loopback must not reach a server that is bound to the loopback
            // alone. A server that is bound to all addresses may have a proxy on the loopback.
            on_loopback: self.shared.local_addr.ip().to_canonical().is_loopback(),
            known: Known::default(),
        };
        let (response, agreed) = reception.answer(asked).await?;
        *lock(&self.agreed) = Some(agreed);
        Ok(response.map(|()| Bytes::new()))
    }

    /// Takes the outcome of the handshake, and the permit of its session, if the last request was a handshake. The answer
    /// is written when hyper is done with the connection without an error.
    pub(super) fn take_agreed(&self) -> Option<(Box<Agreed>, SessionPermit)> {
        let agreed = lock(&self.agreed).take()?;
        let permit = lock(&self.permit).take()?;
        Some((agreed, permit.into_session()))
    }
}

async fn read_body(body: Incoming) -> Result<Bytes, Response<Bytes>> {
    let too_large = || {
        let reason = "the request body is too large: the limit is 1 MiB";
        answer::plain(StatusCode::PAYLOAD_TOO_LARGE, reason)
    };
    // A body that is announced as too large is not read.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let collected = Limited::new(body, MAX_BODY).collect();
    match deadline::timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            let reason = "cannot read the request body";
            Err(answer::plain(StatusCode::BAD_REQUEST, reason))
        }
        Err(_) => {
            let reason = "the request body took too long";
            Err(answer::plain(StatusCode::REQUEST_TIMEOUT, reason))
        }
    }
}
