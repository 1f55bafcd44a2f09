//! The client's side of the opening handshake: RFC 6455 section 4.1.
//!
//! Knows no connection, no proxy and no redirect: it writes the request, and judges the answer.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::response::Parts;
use http::{Request, StatusCode, Uri, Version};

use super::extension::{self, Extension};
use super::header::{Sole, field_value, is_token, lists_token, sole, token};
use super::key::Key;
use super::uri::WebSocketUri;

/// One attempt to open a connection: what it asks for, and how it judges the answer.
///
/// ```
/// use http::Response;
/// use sockeye_proto::handshake::{ClientHandshake, WebSocketUri};
///
/// let uri = WebSocketUri::parse("ws://server.example.com/chat")?;
/// let handshake = ClientHandshake::new(uri, *b"the sample nonce").subprotocols(["chat"])?;
///
/// let request = handshake.request();
/// assert_eq!(request.uri(), "/chat");
/// assert_eq!(request.headers()["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
///
/// let (response, ()) = Response::builder()
///     .status(101)
///     .header("Upgrade", "websocket")
///     .header("Connection", "Upgrade")
///     .header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
///     .header("Sec-WebSocket-Protocol", "chat")
///     .body(())?
///     .into_parts();
/// let accepted = handshake.receive(&response)?;
/// assert_eq!(accepted.subprotocol.as_deref(), Some("chat"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    uri: WebSocketUri,
    key: Key,
    subprotocols: Vec<String>,
    subprotocol_required: bool,
    extensions: Vec<Extension>,
    headers: HeaderMap,
}

impl ClientHandshake {
    /// An attempt at `uri`. The nonce is 16 bytes from a random source, for this attempt alone
    /// (section 4.1).
    pub fn new(uri: WebSocketUri, nonce: [u8; 16]) -> Self {
        Self {
            uri,
            key: Key::from_nonce(nonce),
            subprotocols: Vec::new(),
            subprotocol_required: false,
            extensions: Vec::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Offers these subprotocols after those offered already, the preferred one first.
    ///
    /// # Errors
    ///
    /// [`OfferError`] if one is not a token, or is offered already.
    pub fn subprotocols<S: Into<String>>(
        mut self,
        subprotocols: impl IntoIterator<Item = S>,
    ) -> Result<Self, OfferError> {
        for subprotocol in subprotocols {
            let subprotocol = subprotocol.into();
            // §4.1: each is a token, and unlike all others.
            if !is_token(subprotocol.as_bytes()) {
                return Err(OfferError::SubprotocolNotAToken(subprotocol));
            }
            if self.subprotocols.contains(&subprotocol) {
                return Err(OfferError::SubprotocolRepeated(subprotocol));
            }
            self.subprotocols.push(subprotocol);
        }
        Ok(self)
    }

    /// Whether an answer that chooses none of the subprotocols offered fails, as it does in
    /// browsers. By default it opens the connection without a subprotocol, as section 4.1 has it.
    #[must_use]
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.subprotocol_required = required;
        self
    }

    /// Offers these extensions after those offered already, the preferred one first.
    #[must_use]
    pub fn extensions(mut self, extensions: impl IntoIterator<Item = Extension>) -> Self {
        self.extensions.extend(extensions);
        self
    }

    /// Adds a field to the request: `Origin`, `Authorization`, `Cookie`. One name may be added
    /// several times.
    ///
    /// # Errors
    ///
    /// [`OfferError::FieldReserved`] if the field is the handshake's own, or would announce a body.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Result<Self, OfferError> {
        if is_reserved(&name) {
            return Err(OfferError::FieldReserved(name));
        }
        self.headers.append(name, value);
        Ok(self)
    }

    /// Where this goes: what to connect to, and whether over TLS.
    pub fn uri(&self) -> &WebSocketUri {
        &self.uri
    }

    /// The request, in origin form. After it nothing may be sent until the answer is there (section
    /// 4.1).
    pub fn request(&self) -> Request<()> {
        let mut headers = HeaderMap::new();
        // §4.1: Host, Upgrade, Connection, key and version 13 are in every request,
        headers.insert(HOST, field_value(&self.uri.host_field()));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_KEY, field_value(self.key.as_str()));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        // and what there is to offer.
        if !self.subprotocols.is_empty() {
            let list = self.subprotocols.join(", ");
            headers.insert(SEC_WEBSOCKET_PROTOCOL, field_value(&list));
        }
        if !self.extensions.is_empty() {
            let list = extension::send(&self.extensions);
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, field_value(&list));
        }
        headers.extend(self.headers.clone());

        // §4.1: GET, at HTTP/1.1, of the resource name.
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = Uri::from(self.uri.path_and_query().clone());
        *request.headers_mut() = headers;
        request
    }

    /// Judges the answer. The connection is open if it returns `Ok`, and must be dropped if not,
    /// but for [`ResponseError::Refused`], which is plain HTTP.
    ///
    /// Which parameters an extension was accepted with is for the extension to check.
    ///
    /// # Errors
    ///
    /// [`ResponseError`] names the first rule that the answer breaks.
    pub fn receive(&self, response: &Parts) -> Result<Accepted, ResponseError> {
        let headers = &response.headers;

        // §4.1: any status but 101 is an answer of plain HTTP, whatever its fields say.
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ResponseError::Refused {
                status: response.status,
            });
        }
        // §4.2.2 with RFC 9110 §7.8: Upgrade is of HTTP/1.1, so a 101 of another version answers
        // nobody.
        if response.version != Version::HTTP_11 {
            return Err(ResponseError::HttpVersion);
        }
        // §4.1: Upgrade is websocket, alone; Connection lists Upgrade; both without regard to case.
        match sole(headers, &UPGRADE) {
            Sole::One(value) if value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(ResponseError::Upgrade),
        }
        if !lists_token(headers, &CONNECTION, "upgrade") {
            return Err(ResponseError::Connection);
        }
        // §4.1: Accept answers our key, but for whitespace around it. §11.3.3: it stands once.
        match sole(headers, &SEC_WEBSOCKET_ACCEPT) {
            Sole::One(value) if value == self.key.accept().as_str().as_bytes() => {}
            Sole::One(_) => return Err(ResponseError::AcceptWrong),
            Sole::Missing => return Err(ResponseError::AcceptMissing),
            Sole::Repeated => return Err(ResponseError::AcceptRepeated),
        }
        Ok(Accepted {
            subprotocol: self.receive_subprotocol(headers)?,
            extensions: self.receive_extensions(headers)?,
        })
    }

    fn receive_subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>, ResponseError> {
        let value = match sole(headers, &SEC_WEBSOCKET_PROTOCOL) {
            Sole::One(value) => value,
            Sole::Missing if self.subprotocol_required && !self.subprotocols.is_empty() => {
                return Err(ResponseError::SubprotocolMissing);
            }
            Sole::Missing => return Ok(None),
            // §11.3.4: the field stands at most once in an answer.
            Sole::Repeated => return Err(ResponseError::SubprotocolRepeated),
        };
        // §4.3: its value is one token, not a list, and not nothing.
        let chosen = token(value).ok_or(ResponseError::SubprotocolInvalid)?;
        // §4.1: a subprotocol that was not offered fails the connection; so does any where none was
        // offered.
        if self.subprotocols.iter().any(|offered| offered == chosen) {
            Ok(Some(chosen.to_owned()))
        } else {
            Err(ResponseError::SubprotocolNotOffered(chosen.to_owned()))
        }
    }

    fn receive_extensions(&self, headers: &HeaderMap) -> Result<Vec<Extension>, ResponseError> {
        // §4.2.2 lets the list span several fields, §11.3.2 forbids that in an answer. It cannot be
        // misread, so we take it (and send one field only, where we are the server).
        let chosen = extension::receive(headers).map_err(|_| ResponseError::ExtensionsInvalid)?;
        // §4.1, §9.1: an extension that was not offered fails the connection.
        let offered = |name| self.extensions.iter().any(|offer| offer.name() == name);
        match chosen.iter().find(|chosen| !offered(chosen.name())) {
            None => Ok(chosen),
            Some(other) => Err(ResponseError::ExtensionNotOffered(other.name().to_owned())),
        }
    }
}

/// What the server chose: the connection is open (section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The subprotocol in use, one of those offered.
    pub subprotocol: Option<String>,
    /// The extensions in use, each offered, in the order in which they process data (section 9.1).
    pub extensions: Vec<Extension>,
}

/// Something that the client must not ask for: the caller's mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The handshake writes this field itself, or has no use for it.
    #[error("the field {0} is the handshake's own")]
    FieldReserved(HeaderName),
    /// The subprotocol is empty, or has a character that is not allowed.
    #[error("the subprotocol {0:?} is not a token: visible ASCII characters, no separators")]
    SubprotocolNotAToken(String),
    /// The subprotocol is offered already.
    #[error("the subprotocol {0:?} is offered twice")]
    SubprotocolRepeated(String),
}

/// The rule that a server's answer breaks, in the order in which they are checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The status is not 101: no WebSocket here, or not for us, or not now.
    #[error("the server answered the WebSocket handshake with status {status}")]
    Refused {
        /// The status.
        status: StatusCode,
    },
    /// The 101 is not of HTTP/1.1.
    #[error("the server's 101 is not of HTTP/1.1")]
    HttpVersion,
    /// `Upgrade` is missing, repeated, or not `websocket`.
    #[error("the answer's Upgrade field is not websocket")]
    Upgrade,
    /// `Connection` does not list upgrade, or is no list of tokens.
    #[error("the answer's Connection field does not list the token Upgrade")]
    Connection,
    /// No `Sec-WebSocket-Accept`.
    #[error("the answer's Sec-WebSocket-Accept field is missing")]
    AcceptMissing,
    /// More than one `Sec-WebSocket-Accept`.
    #[error("the answer's Sec-WebSocket-Accept field is repeated")]
    AcceptRepeated,
    /// `Sec-WebSocket-Accept` does not answer our key.
    #[error("the answer's Sec-WebSocket-Accept field does not match the key that was sent")]
    AcceptWrong,
    /// Subprotocols were offered, one is [required](ClientHandshake::require_subprotocol), none was
    /// chosen.
    #[error("the server chose none of the subprotocols offered")]
    SubprotocolMissing,
    /// More than one `Sec-WebSocket-Protocol`.
    #[error("the answer's Sec-WebSocket-Protocol field is repeated")]
    SubprotocolRepeated,
    /// `Sec-WebSocket-Protocol` is not one token.
    #[error("the answer's Sec-WebSocket-Protocol field is not one token")]
    SubprotocolInvalid,
    /// This subprotocol was not offered.
    #[error("the server chose the subprotocol {0:?}, which was not offered")]
    SubprotocolNotOffered(String),
    /// `Sec-WebSocket-Extensions` breaks the grammar.
    #[error("the answer's Sec-WebSocket-Extensions field is not a list of extensions")]
    ExtensionsInvalid,
    /// The extension of this name was not offered.
    #[error("the server chose the extension {0:?}, which was not offered")]
    ExtensionNotOffered(String),
}

impl ResponseError {
    /// The section that has the rule.
    pub fn section(&self) -> &'static str {
        match self {
            Self::Refused { .. }
            | Self::Upgrade
            | Self::Connection
            | Self::AcceptMissing
            | Self::AcceptWrong
            | Self::SubprotocolNotOffered(_)
            | Self::ExtensionNotOffered(_) => "RFC 6455 §4.1",
            Self::HttpVersion => "RFC 6455 §4.2.2",
            Self::AcceptRepeated => "RFC 6455 §11.3.3",
            Self::SubprotocolMissing => "WHATWG WebSockets, opening handshake",
            Self::SubprotocolRepeated => "RFC 6455 §11.3.4",
            Self::SubprotocolInvalid => "RFC 6455 §4.3",
            Self::ExtensionsInvalid => "RFC 6455 §9.1",
        }
    }
}

/// What the handshake writes itself, what only answers carry, and what would announce a body.
fn is_reserved(name: &HeaderName) -> bool {
    [HOST, UPGRADE, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}
