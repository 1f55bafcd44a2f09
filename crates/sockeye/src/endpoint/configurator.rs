//! The configurator of an endpoint, by which an application decides about opening handshakes: the pages that may
//! connect, the subprotocol, the name of the peer, and the answer. Knows no sockets.

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

use crate::error::ErrorChain;
use crate::handshake::{Handshake, Properties};
use crate::sync::Arc;

/// Decides about the opening handshakes of one endpoint; given to
/// [`EndpointConfig::configurator`](super::EndpointConfig::configurator).
///
/// The order of the calls is that of Jakarta: the check of the request, [`check_origin`](Self::check_origin),
/// [`negotiate_subprotocol`](Self::negotiate_subprotocol), the extensions,
/// [`modify_handshake`](Self::modify_handshake), the 101, the endpoint's factory, `on_open`. Each method has a default
/// that changes nothing.
///
/// If it panics, the handshake is refused with 500, and no other connection is touched.
///
/// ```
/// use http::StatusCode;
/// use sockeye::endpoint::{Configurator, Handshake, HandshakeResponse, Refusal};
/// use sockeye::{Endpoint, endpoint};
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
    /// Returns whether a page of the request's `Origin` may connect (RFC 6455 §10.2); else it gets 403. `allowed` is
    /// the decision of the policy of the endpoint, or of the server. It is the default.
    fn check_origin(&self, request: &Handshake, allowed: bool) -> bool {
        let _ = request;
        allowed
    }

    /// Returns the subprotocol to agree on, or none. `offered` are the client's, the preferred one first; `spoken` are
    /// the endpoint's. The default is the first offered one that is spoken.
    ///
    /// A subprotocol that was not offered leads to 500: clients do not accept it (§4.1).
    fn negotiate_subprotocol<'o>(
        &self,
        request: &Handshake,
        offered: &[&'o str],
        spoken: &[String],
    ) -> Option<&'o str> {
        let _ = request;
        first_spoken(offered, spoken)
    }

    /// Sees the whole request, and changes the answer, or refuses.
    ///
    /// After the server's handshake timeout it is dropped, and the client gets 503.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] is sent in place of the 101. `?` makes any other error a refusal with 500. When the refusal is
    /// sent, the server logs the error; the client does not see it.
    ///
    /// # Cancel safety
    ///
    /// It is dropped when it takes too long, or when the client goes away.
    fn modify_handshake(
        &self,
        request: &Handshake,
        response: &mut HandshakeResponse,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = (request, response);
        ready(Ok(()))
    }
}

/// Returns the first offered subprotocol that is spoken, as Jakarta's compatibility kit demands.
fn first_spoken<'o>(offered: &[&'o str], spoken: &[String]) -> Option<&'o str> {
    let mut offered = offered.iter().copied();
    offered.find(|offered| spoken.iter().any(|name| name == offered))
}

/// A [`Configurator`] as a trait object.
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
    // The configurator's choice, if it has made one.
    subprotocol: Option<Option<Box<str>>>,
    principal: Option<Box<str>>,
    properties: Properties,
}

impl HandshakeResponse {
    pub(crate) fn new(
        headers: HeaderMap,
        principal: Option<Box<str>>,
        properties: Properties,
    ) -> Self {
        Self {
            headers,
            subprotocol: None,
            principal,
            properties,
        }
    }

    /// Returns the subprotocol that the 101 will name: the choice of
    /// [`negotiate_subprotocol`](Configurator::negotiate_subprotocol), or that of
    /// [`set_subprotocol`](Self::set_subprotocol).
    pub fn subprotocol(&self) -> Option<&str> {
        match &self.subprotocol {
            Some(chosen) => chosen.as_deref(),
            None => self.headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok(),
        }
    }

    /// Sets the subprotocol to agree on; `None` for none. It replaces the choice of
    /// [`negotiate_subprotocol`](Configurator::negotiate_subprotocol), for a choice that has to be waited for. The
    /// endpoint need not list it among its own.
    ///
    /// A subprotocol that was [not offered](Handshake::offered_subprotocols) leads to 500: clients do not accept it
    /// (RFC 6455 §4.1).
    ///
    /// ```
    /// use sockeye::endpoint::{Configurator, Handshake, HandshakeResponse, Refusal};
    ///
    /// /// Agrees on what the server behind this one chooses.
    /// struct Proxy;
    ///
    /// # async fn ask_upstream(offered: Vec<&str>) -> Option<String> { offered.last().map(|name| (*name).to_owned()) }
    /// impl Configurator for Proxy {
    ///     async fn modify_handshake(
    ///         &self,
    ///         request: &Handshake,
    ///         response: &mut HandshakeResponse,
    ///     ) -> Result<(), Refusal> {
    ///         let chosen = ask_upstream(request.offered_subprotocols().collect()).await;
    ///         response.set_subprotocol(chosen.as_deref());
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn set_subprotocol(&mut self, name: Option<&str>) {
        self.subprotocol = Some(name.map(Into::into));
    }

    /// Returns the configurator's choice of the subprotocol, if it has made one.
    pub(crate) fn chosen_subprotocol(&self) -> Option<Option<&str>> {
        self.subprotocol.as_ref().map(Option::as_deref)
    }

    /// Returns the header fields of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the header fields of the answer, to be changed. Changes to the fields of the handshake itself have no
    /// effect: `Connection`, `Upgrade`, and `Sec-WebSocket-Accept`, `-Extensions` and `-Protocol` (§4.2.2).
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Sets the name of the peer, which [`Session::principal`](super::Session::principal) returns.
    pub fn set_principal(&mut self, name: impl Into<Box<str>>) {
        self.principal = Some(name.into());
    }

    /// Returns the properties that the session starts with. The endpoint's factory sees them.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Returns the fields to send, the principal and the properties. `agreed` are the fields of the handshake itself,
    /// which no configurator changes.
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

/// The fields that no configurator changes. A 101 has no body (RFC 9110 §8.6).
const FIXED: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_LENGTH,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The answer to a handshake that is refused: any status, header fields and body. The connection ends behind it,
/// because the client may have sent frames behind its handshake.
///
/// `?` makes a refusal with 500 of any error. When the refusal is sent, the server logs the error; a refusal that is
/// dropped is not logged.
///
/// ```
/// use http::StatusCode;
/// use http::header::WWW_AUTHENTICATE;
/// use sockeye::endpoint::Refusal;
///
/// let refusal = Refusal::new(StatusCode::UNAUTHORIZED)
///     .header(WWW_AUTHENTICATE, "Bearer")?
///     .body("a token is needed\n");
/// assert_eq!(refusal.status(), 401);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub struct Refusal(Box<Response<Bytes>>);

impl Refusal {
    /// Creates a refusal with a status alone. A status below 200 is not a final answer, and becomes 500.
    pub fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self::from_response(response)
    }

    /// Creates a refusal of a whole answer.
    pub fn from_response(response: Response<impl Into<Bytes>>) -> Self {
        Self(Box::new(response.map(Into::into)))
    }

    /// Adds a header field to the refusal.
    ///
    /// # Errors
    ///
    /// [`InvalidHeaderValue`] if the value has bytes that no header field may have.
    pub fn header(
        mut self,
        name: HeaderName,
        value: impl TryInto<HeaderValue, Error = InvalidHeaderValue>,
    ) -> Result<Self, InvalidHeaderValue> {
        self.0.headers_mut().append(name, value.try_into()?);
        Ok(self)
    }

    /// Sets the body. It is plain text, unless a `Content-Type` says otherwise.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.0.body_mut() = body.into();
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let mut response = *self.0;
        if response.status().is_informational() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let headers = response.headers_mut();
        // hyper adds the length of the body.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.entry(CONTENT_TYPE).or_insert(text);
        response
    }
}

/// The error of a configurator, kept in its refusal until the reception sends the refusal and logs the error.
#[derive(Clone)]
pub(crate) struct ConfiguratorFailure(pub(crate) Arc<str>);

/// Makes a refusal with 500 of an error. It logs nothing: the reception does, when it sends the refusal.
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
