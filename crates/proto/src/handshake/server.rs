//! The server's side of the opening handshake: RFC 6455 section 4.2.
//!
//! It checks the form of the request, holds the offers, and writes the answer. Knows no routes, no policy about origins
//! or credentials, and no extension.

use std::collections::BTreeSet;
use std::fmt;

use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri, Version};

use super::extension::{self, Extension};
use super::header::{Sole, field_value, lists_protocol, lists_token, mentions, sole, tokens, trim};
use super::host::Host;
use super::key::Key;

/// A valid request for a WebSocket, with its offers. It borrows nothing from the request.
///
/// ```
/// use http::Request;
/// use sockeye_proto::handshake::ServerHandshake;
///
/// let (request, ()) = Request::get("/chat")
///     .header("Host", "server.example.com")
///     .header("Upgrade", "websocket")
///     .header("Connection", "Upgrade")
///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .header("Sec-WebSocket-Protocol", "chat, superchat")
///     .header("Sec-WebSocket-Version", "13")
///     .body(())?
///     .into_parts();
///
/// let handshake = ServerHandshake::receive(&request)?;
/// let subprotocol = handshake.choose_subprotocol(&["superchat"]);
/// let response = handshake.accept(subprotocol, &[])?;
/// assert_eq!(response.status(), 101);
/// assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHandshake {
    host: Host,
    key: Key,
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
}

impl ServerHandshake {
    /// Checks a request by the rules of section 4.2.1, in this order: method, HTTP version, target, `Host`, body,
    /// `Upgrade`, `Connection`, `Sec-WebSocket-Version`, `-Key`, `-Protocol`, `-Extensions`. The fields may be in any
    /// order, and unknown fields are ignored.
    ///
    /// This is for HTTP/1.1. A request in HTTP/2 has another form (RFC 8441).
    ///
    /// # Errors
    ///
    /// [`RequestError`] names the first rule that the request breaks, and makes the answer.
    pub fn receive(request: &Parts) -> Result<Self, RequestError> {
        let headers = &request.headers;

        // §4.2.1: the request is a GET,
        if request.method != Method::GET {
            return Err(RequestError::Method);
        }
        // with HTTP/1.1,
        if request.version != Version::HTTP_11 {
            return Err(RequestError::HttpVersion);
        }
        // for a resource name or an absolute URI that has one.
        if !is_target(&request.uri) {
            return Err(RequestError::Target);
        }
        let host = receive_host(request)?;
        if announces_body(headers) {
            return Err(RequestError::Body);
        }
        // §4.2.1: Upgrade has the value websocket, and Connection has the token Upgrade. Both ignore case.
        if !lists_protocol(headers, &UPGRADE, "websocket") {
            return Err(RequestError::Upgrade);
        }
        if !lists_token(headers, &CONNECTION, "upgrade") {
            return Err(RequestError::Connection);
        }
        // §4.2.1: the version is 13. §4.1 allows one spelling of it.
        match sole(headers, &SEC_WEBSOCKET_VERSION) {
            Sole::One(b"13") => {}
            Sole::One(_) => return Err(RequestError::VersionUnsupported),
            Sole::Missing => return Err(RequestError::VersionMissing),
            // §11.3.5: a request has one version, even if the second one is the same.
            Sole::Repeated => return Err(RequestError::VersionRepeated),
        }
        let key = match sole(headers, &SEC_WEBSOCKET_KEY) {
            Sole::One(value) => Key::parse(value).map_err(|_| RequestError::KeyInvalid)?,
            Sole::Missing => return Err(RequestError::KeyMissing),
            // §11.3.1: a request has one key.
            Sole::Repeated => return Err(RequestError::KeyRepeated),
        };
        let subprotocols = receive_subprotocols(headers)?;
        // §9.1: an extension list that breaks the grammar fails the handshake, although a server may ignore offers.
        let extensions =
            extension::receive(headers).map_err(|_| RequestError::ExtensionsInvalid)?;

        Ok(Self {
            host,
            key,
            subprotocols,
            extensions,
        })
    }

    /// Returns the host of the request, with its port if it has one: that of an absolute target, else that of `Host`.
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// Returns whether [`host`](Self::host) names the local machine, by the rule of
    /// [`host_is_loopback`](super::host_is_loopback).
    pub fn host_is_loopback(&self) -> bool {
        self.host.is_loopback()
    }

    /// Returns the client's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the subprotocols that the client offers, the preferred one first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.subprotocols.iter().map(String::as_str)
    }

    /// Returns the extensions that the client offers, the preferred one first. A name may occur several times, with
    /// different parameters. The caller ignores unknown extensions.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Returns the first subprotocol of the client's list that the server supports. The comparison is case-sensitive.
    pub fn choose_subprotocol(&self, supported: &[impl AsRef<str>]) -> Option<&str> {
        self.subprotocols()
            .find(|offered| supported.iter().any(|known| known.as_ref() == *offered))
    }

    /// Returns the 101 that opens the connection, with a subprotocol and extensions that the client offered.
    ///
    /// The caller may add further fields, such as a cookie.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] if the client did not offer the subprotocol or an extension.
    pub fn accept(
        &self,
        subprotocol: Option<&str>,
        extensions: &[Extension],
    ) -> Result<Response<()>, AcceptError> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        // §4.2.2: these three make a 101 the answer to this handshake.
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(
            SEC_WEBSOCKET_ACCEPT,
            field_value(self.key.accept().as_str()),
        );

        // §4.2.2: without a subprotocol there is no such field. An empty field would be illegal.
        if let Some(subprotocol) = subprotocol {
            if !self.subprotocols().any(|offered| offered == subprotocol) {
                return Err(AcceptError::SubprotocolNotOffered(subprotocol.to_owned()));
            }
            headers.insert(SEC_WEBSOCKET_PROTOCOL, field_value(subprotocol));
        }

        // §4.2.2, §9: an answer names no extension that was not offered.
        let offered = |name| self.extensions.iter().any(|offer| offer.name() == name);
        if let Some(chosen) = extensions.iter().find(|chosen| !offered(chosen.name())) {
            return Err(AcceptError::ExtensionNotOffered(chosen.name().to_owned()));
        }
        // §11.3.2: the field occurs at most once in an answer, although §4.2.2 allows several.
        if !extensions.is_empty() {
            let list = extension::send(extensions);
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, field_value(&list));
        }
        Ok(response)
    }
}

/// Returns whether a request tries to open a WebSocket, validly or not: its `Upgrade` mentions websocket, or it has a
/// field that only such a request has. Other requests are for the HTTP service.
///
/// ```
/// use http::Request;
/// use sockeye_proto::handshake::is_websocket_request;
///
/// let (page, ()) = Request::get("/").header("Host", "chat.example").body(())?.into_parts();
/// assert!(!is_websocket_request(&page));
/// # Ok::<(), http::Error>(())
/// ```
pub fn is_websocket_request(request: &Parts) -> bool {
    let headers = &request.headers;
    headers.contains_key(SEC_WEBSOCKET_KEY)
        || headers.contains_key(SEC_WEBSOCKET_VERSION)
        || mentions(headers, &UPGRADE, "websocket")
}

/// The rule that a client's request breaks. The variants are in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The method is not GET.
    #[error("the method of a WebSocket handshake must be GET")]
    Method,
    /// The HTTP version is not 1.1.
    #[error("a WebSocket handshake with Upgrade must use HTTP/1.1")]
    HttpVersion,
    /// The target is neither a path nor an absolute URI of a web server.
    #[error("the request target is neither a path nor an absolute http, https, ws or wss URI")]
    Target,
    /// No `Host`.
    #[error("the Host field is missing")]
    HostMissing,
    /// More than one `Host`.
    #[error("the Host field is repeated")]
    HostRepeated,
    /// `Host` is not a host with an optional port.
    #[error("the Host field is not a host with an optional port")]
    HostInvalid,
    /// The request announces a body.
    #[error("a WebSocket handshake must not have a body")]
    Body,
    /// `Upgrade` does not list websocket, or is not a list.
    #[error("the Upgrade field does not list websocket")]
    Upgrade,
    /// `Connection` does not list upgrade, or is not a list of tokens.
    #[error("the Connection field does not list the token Upgrade")]
    Connection,
    /// No `Sec-WebSocket-Version`.
    #[error("the Sec-WebSocket-Version field is missing")]
    VersionMissing,
    /// More than one `Sec-WebSocket-Version`.
    #[error("the Sec-WebSocket-Version field is repeated")]
    VersionRepeated,
    /// A version other than 13.
    #[error("the only supported Sec-WebSocket-Version is 13")]
    VersionUnsupported,
    /// No `Sec-WebSocket-Key`.
    #[error("the Sec-WebSocket-Key field is missing")]
    KeyMissing,
    /// More than one `Sec-WebSocket-Key`.
    #[error("the Sec-WebSocket-Key field is repeated")]
    KeyRepeated,
    /// The key is not the base64 form of 16 bytes.
    #[error("the Sec-WebSocket-Key field is not the base64 form of 16 bytes")]
    KeyInvalid,
    /// `Sec-WebSocket-Protocol` is not a list of at least one token.
    #[error("the Sec-WebSocket-Protocol field is not a list of tokens")]
    SubprotocolsInvalid,
    /// A subprotocol is offered twice.
    #[error("the Sec-WebSocket-Protocol field offers one subprotocol twice")]
    SubprotocolRepeated,
    /// `Sec-WebSocket-Extensions` breaks the grammar.
    #[error("the Sec-WebSocket-Extensions field is not a list of extensions")]
    ExtensionsInvalid,
}

impl RequestError {
    /// Returns the status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            // §4.4: this status, with the supported version, tells a client of another version what to use.
            Self::Upgrade | Self::VersionUnsupported => StatusCode::UPGRADE_REQUIRED,
            // §4.2.1, §10.7: any other invalid request gets an appropriate error.
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the section with the rule.
    pub fn section(self) -> &'static str {
        match self {
            Self::Method
            | Self::HttpVersion
            | Self::Target
            | Self::Upgrade
            | Self::Connection
            | Self::VersionMissing
            | Self::KeyMissing
            | Self::KeyInvalid => "RFC 6455 §4.2.1",
            Self::HostMissing | Self::HostRepeated | Self::HostInvalid => "RFC 9112 §3.2",
            Self::Body => "RFC 9110 §9.3.1",
            Self::VersionRepeated => "RFC 6455 §11.3.5",
            Self::VersionUnsupported => "RFC 6455 §4.4",
            Self::KeyRepeated => "RFC 6455 §11.3.1",
            Self::SubprotocolsInvalid | Self::SubprotocolRepeated => "RFC 6455 §4.1",
            Self::ExtensionsInvalid => "RFC 6455 §9.1",
        }
    }

    /// Returns the answer: the status, its fields, the reason in plain text, and `Connection: close`.
    pub fn to_response(self) -> Response<String> {
        let mut response = refusal(self.status(), &self);
        let headers = response.headers_mut();
        match self {
            // RFC 9110 §15.5.6: a 405 lists the methods that are allowed.
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            // RFC 9110 §15.5.22: a 426 names the protocol to upgrade to. §7.8: a sender of Upgrade lists it in
            // Connection. RFC 6455 §4.4: the answer to another version lists all supported versions.
            Self::Upgrade | Self::VersionUnsupported => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, close"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}

/// An error of the caller: a choice that the client did not offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The client did not offer an extension of this name.
    #[error("the client did not offer the extension {0:?}")]
    ExtensionNotOffered(String),
    /// The client did not offer this subprotocol.
    #[error("the client did not offer the subprotocol {0:?}")]
    SubprotocolNotOffered(String),
}

/// Returns an answer that ends the handshake and the connection.
///
/// The bytes behind a refused request may be frames, and must not be read as the next request.
pub(super) fn refusal(status: StatusCode, reason: &dyn fmt::Display) -> Response<String> {
    let mut response = Response::new(format!("{reason}\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// §4.2.1: the target is a resource name, or an absolute URI with one. The rule names http and https. Clients know the
/// resource by its ws or wss URI, so these are accepted too.
fn is_target(uri: &Uri) -> bool {
    let origin_form = uri.scheme().is_none() && uri.authority().is_none();
    let absolute_form = matches!(uri.scheme_str(), Some("http" | "https" | "ws" | "wss"));
    (origin_form || absolute_form) && uri.path().starts_with('/')
}

/// RFC 9112 §3.2: a request gets a 400 if Host is missing, repeated or invalid, even if an absolute target makes Host
/// irrelevant.
fn receive_host(request: &Parts) -> Result<Host, RequestError> {
    let host = match sole(&request.headers, &HOST) {
        Sole::One(value) => Host::parse(value).ok_or(RequestError::HostInvalid)?,
        Sole::Missing => return Err(RequestError::HostMissing),
        Sole::Repeated => return Err(RequestError::HostRepeated),
    };
    match request.uri.authority() {
        Some(_) => Host::of_request(request).ok_or(RequestError::Target),
        None => Ok(host),
    }
}

/// RFC 9110 §9.3.1: the body of a GET has no meaning. Here it would be dangerous: this server could read it as frames,
/// and a proxy as a body, or the other way round.
fn announces_body(headers: &HeaderMap) -> bool {
    let is_zero = |value: &[u8]| !value.is_empty() && value.iter().all(|&byte| byte == b'0');
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get_all(CONTENT_LENGTH)
            .iter()
            .any(|value| !is_zero(trim(value.as_bytes())))
}

/// §4.1: each subprotocol is a token, and all differ. §11.3.4: several lines are one list.
fn receive_subprotocols(headers: &HeaderMap) -> Result<Vec<String>, RequestError> {
    let name = &SEC_WEBSOCKET_PROTOCOL;
    if !headers.contains_key(name) {
        return Ok(Vec::new());
    }
    let offered = tokens(headers, name).ok_or(RequestError::SubprotocolsInvalid)?;
    // §4.3: the list has at least one element.
    if offered.is_empty() {
        return Err(RequestError::SubprotocolsInvalid);
    }
    let distinct: BTreeSet<&str> = offered.iter().copied().collect();
    if distinct.len() < offered.len() {
        return Err(RequestError::SubprotocolRepeated);
    }
    Ok(offered.into_iter().map(str::to_owned).collect())
}
