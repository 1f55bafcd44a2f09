//! What an application decides of an opening handshake at one endpoint: which pages may connect, which
//! subprotocol is spoken, who the peer is, and whether it is let in at all. Knows no sockets.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, Response, StatusCode};

use super::handshake::Handshake;
use super::properties::Properties;
use crate::error::ErrorChain;
use crate::sync::Arc;

/// Decides of the opening handshakes of one endpoint; given to
/// [`EndpointConfig::configurator`](super::EndpointConfig::configurator).
///
/// Its methods are called in the order of Jakarta's: the request is found to be a handshake, then
/// [`check_origin`](Self::check_origin), [`negotiate_subprotocol`](Self::negotiate_subprotocol), the
/// extensions, [`modify_handshake`](Self::modify_handshake), the 101, the endpoint's factory, `on_open`. Each
/// has a default that decides nothing.
///
/// One that panics refuses with 500, and touches no other connection.
///
/// ```
/// use http::StatusCode;
/// use sockeye::{Configurator, Endpoint, Handshake, HandshakeResponse, Refusal, endpoint};
///
/// struct Gate;
///
/// impl Configurator for Gate {
///     async fn modify_handshake(
///         &self,
///         request: &Handshake,
///         response: &mut HandshakeResponse,
///     ) -> Result<(), Refusal> {
///         // This may as well await a database.
///         match request.query() {
///             Some("token=secret") => response.set_principal("alice"),
///             _ => return Err(Refusal::new(StatusCode::UNAUTHORIZED).body("who are you?\n")),
///         }
///         Ok(())
///     }
/// }
///
/// struct Private;
///
/// impl Endpoint for Private {}
///
/// let config = endpoint("/private", |_handshake| Private).configurator(Gate);
/// ```
///
/// An annotated endpoint names it: `#[server_endpoint("/private", configurator = Gate)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Configurator`",
    note = "implement `Configurator` for it: each of its methods has a default"
)]
pub trait Configurator: Send + Sync + 'static {
    /// Whether a page of the request's `Origin` may connect (RFC 6455 §10.2); else it gets 403. `allowed`
    /// says what the policy of the endpoint, or the server, makes of it, which is the default.
    fn check_origin(&self, request: &Handshake, allowed: bool) -> bool {
        let _ = request;
        allowed
    }

    /// The subprotocol that is agreed on, or none. `offered` are the client's, the one it prefers first,
    /// `spoken` the endpoint's. The default is the first offered one that is spoken.
    ///
    /// One that was not offered refuses with 500: no client would take it (§4.1).
    fn negotiate_subprotocol<'o>(
        &self,
        request: &Handshake,
        offered: &[&'o str],
        spoken: &[String],
    ) -> Option<&'o str> {
        let _ = request;
        first_spoken(offered, spoken)
    }

    /// Looks at the whole request, and changes the answer, or refuses.
    ///
    /// It has as long as the server's handshake timeout, then the client gets 503.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] is sent instead of the 101. Any other error becomes one with 500: it is logged, and
    /// the client is not told what it was.
    ///
    /// # Cancel safety
    ///
    /// It is dropped when it takes too long or the client goes away.
    fn modify_handshake(
        &self,
        request: &Handshake,
        response: &mut HandshakeResponse,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = (request, response);
        ready(Ok(()))
    }
}

/// The first offered subprotocol that is spoken, as Jakarta's compatibility kit has it.
fn first_spoken<'o>(offered: &[&'o str], spoken: &[String]) -> Option<&'o str> {
    let mut offered = offered.iter().copied();
    offered.find(|offered| spoken.iter().any(|name| name == offered))
}

/// A [`Configurator`] of any type.
pub(crate) trait Configure: Send + Sync {
    fn check_origin(&self, request: &Handshake, allowed: bool) -> bool;

    fn negotiate_subprotocol<'o>(
        &self,
        request: &Handshake,
        offered: &[&'o str],
        spoken: &[String],
    ) -> Option<&'o str>;

    fn modify_handshake<'c>(
        &'c self,
        request: &'c Handshake,
        response: &'c mut HandshakeResponse,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'c>>;
}

impl<C: Configurator> Configure for C {
    fn check_origin(&self, request: &Handshake, allowed: bool) -> bool {
        Configurator::check_origin(self, request, allowed)
    }

    fn negotiate_subprotocol<'o>(
        &self,
        request: &Handshake,
        offered: &[&'o str],
        spoken: &[String],
    ) -> Option<&'o str> {
        Configurator::negotiate_subprotocol(self, request, offered, spoken)
    }

    fn modify_handshake<'c>(
        &'c self,
        request: &'c Handshake,
        response: &'c mut HandshakeResponse,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'c>> {
        Box::pin(Configurator::modify_handshake(self, request, response))
    }
}

/// The 101 that is about to be sent, and what the session starts with.
#[derive(Debug)]
pub struct HandshakeResponse {
    headers: HeaderMap,
    principal: Option<Box<str>>,
    properties: Properties,
}

impl HandshakeResponse {
    pub(crate) fn new(headers: HeaderMap, properties: Properties) -> Self {
        Self {
            headers,
            principal: None,
            properties,
        }
    }

    /// The header fields of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// As [`headers`](Self::headers), to be changed. What makes it the answer to this handshake stays as it
    /// is, whatever is done to it here: `Connection`, `Upgrade`, and `Sec-WebSocket-Accept`, `-Extensions`
    /// and `-Protocol` (§4.2.2).
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Says who the peer is: what [`Session::principal`](super::Session::principal) answers.
    pub fn set_principal(&mut self, name: impl Into<Box<str>>) {
        self.principal = Some(name.into());
    }

    /// The session's own properties, which the endpoint's factory sees first.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The fields that are sent, where `agreed` are those that were before a configurator saw them; and what
    /// the session starts with.
    pub(crate) fn finish(
        mut self,
        agreed: &HeaderMap,
    ) -> (HeaderMap, Option<Box<str>>, Properties) {
        for name in FIXED {
            self.headers.remove(&name);
            if let Some(value) = agreed.get(&name) {
                self.headers.insert(name, value.clone());
            }
        }
        (self.headers, self.principal, self.properties)
    }
}

/// What no configurator changes. A 101 has no body (RFC 9110 §8.6).
const FIXED: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_LENGTH,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// An answer that lets nobody in: any status, header fields and body. The connection ends behind it: what
/// follows a refused handshake may have been meant as frames.
///
/// ```
/// use http::StatusCode;
/// use http::header::WWW_AUTHENTICATE;
/// use sockeye::Refusal;
///
/// let refusal = Refusal::new(StatusCode::UNAUTHORIZED)
///     .header(WWW_AUTHENTICATE, "Bearer")?
///     .body("a token is needed\n");
/// assert_eq!(refusal.status(), 401);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub struct Refusal(Box<Response<Bytes>>);

impl Refusal {
    /// A refusal with a status, and nothing else. One below 200 would be no final answer: it is 500 then.
    pub fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self::from_response(response)
    }

    /// A refusal that is this answer.
    pub fn from_response(response: Response<impl Into<Bytes>>) -> Self {
        Self(Box::new(response.map(Into::into)))
    }

    /// Adds a header field.
    ///
    /// # Errors
    ///
    /// When no field may have that value.
    pub fn header(
        mut self,
        name: HeaderName,
        value: impl TryInto<HeaderValue, Error = InvalidHeaderValue>,
    ) -> Result<Self, InvalidHeaderValue> {
        self.0.headers_mut().append(name, value.try_into()?);
        Ok(self)
    }

    /// Sets the body; plain text, unless the fields say otherwise.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.0.body_mut() = body.into();
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let mut response = *self.0;
        if response.status().is_informational() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let headers = response.headers_mut();
        // How long the body is is told by who writes it.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.entry(CONTENT_TYPE).or_insert(text);
        response
    }
}

/// The error of a configurator, kept beside its refusal until the server logs it.
#[derive(Clone)]
pub(crate) struct ConfiguratorFailure(pub(crate) Arc<str>);

/// What could not be found out: 500.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        let refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR);
        let mut refusal = refusal.body("the server could not decide\n");
        let failure = ConfiguratorFailure(ErrorChain::new(&error).to_string().into());
        refusal.0.extensions_mut().insert(failure);
        refusal
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
