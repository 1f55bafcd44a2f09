//! The client's side of the opening handshake: RFC 6455 section 4.1.
//!
//! It writes the request, and checks the answer. Knows no connection, no proxy and no redirect.

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

/// One attempt to open a connection. It makes the request, and checks the answer.
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
    /// Creates an attempt to connect to `uri`. The nonce is 16 bytes from a random source, for this attempt alone
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

    /// Adds subprotocols to the offer, behind those that are offered already, the preferred one first.
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
            // §4.1: each is a token, and differs from all others.
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

    /// Sets whether an answer fails if it chooses none of the offered subprotocols, as in browsers. By default it opens
    /// the connection without a subprotocol, as section 4.1 specifies.
    #[must_use]
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.subprotocol_required = required;
        self
    }

    /// Adds extensions to the offer, behind those that are offered already, the preferred one first.
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
    /// [`OfferError::FieldReserved`] if the handshake sets the field itself, or if the field announces a body.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Result<Self, OfferError> {
        if is_reserved(&name) {
            return Err(OfferError::FieldReserved(name));
        }
        self.headers.append(name, value);
        Ok(self)
    }

    /// Returns the URI to connect to.
    pub fn uri(&self) -> &WebSocketUri {
        &self.uri
    }

    /// Returns the request, in origin form. The client may send nothing behind it until the answer arrives (section
    /// 4.1).
    pub fn request(&self) -> Request<()> {
        let mut headers = HeaderMap::new();
        // §4.1: Host, Upgrade, Connection, the key and version 13 are in every request.
        headers.insert(HOST, field_value(&self.uri.host_field()));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_KEY, field_value(self.key.as_str()));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        // §4.1: the offers are in the request if there are any.
        if !self.subprotocols.is_empty() {
            let list = self.subprotocols.join(", ");
            headers.insert(SEC_WEBSOCKET_PROTOCOL, field_value(&list));
        }
        if !self.extensions.is_empty() {
            let list = extension::send(&self.extensions);
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, field_value(&list));
        }
        headers.extend(self.headers.clone());

        // §4.1: a GET of the resource name, with HTTP/1.1.
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = Uri::from(self.uri.path_and_query().clone());
        *request.headers_mut() = headers;
        request
    }

    /// Checks the answer. If it returns `Ok`, the connection is open. After an error the connection must be dropped,
    /// except after [`ResponseError::Refused`]: that answer is plain HTTP.
    ///
    /// It does not check the parameters of the extensions; each extension has to.
    ///
    /// # Errors
    ///
    /// [`ResponseError`] names the first rule that the answer breaks.
    pub fn receive(&self, response: &Parts) -> Result<Accepted, ResponseError> {
        let headers = &response.headers;

        // §4.1: an answer with any status but 101 is plain HTTP, with any fields.
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ResponseError::Refused {
                status: response.status,
            });
        }
        // §4.2.2 with RFC 9110 §7.8: Upgrade exists in HTTP/1.1 only, so a 101 of another version is not an answer.
        if response.version != Version::HTTP_11 {
            return Err(ResponseError::HttpVersion);
        }
        // §4.1: Upgrade is websocket alone, and Connection lists Upgrade. Both ignore case.
        match sole(headers, &UPGRADE) {
            Sole::One(value) if value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(ResponseError::Upgrade),
        }
        if !lists_token(headers, &CONNECTION, "upgrade") {
            return Err(ResponseError::Connection);
        }
        // §4.1: Accept answers our key; whitespace around it is ignored. §11.3.3: it occurs once.
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
            // §11.3.4: the field occurs at most once in an answer.
            Sole::Repeated => return Err(ResponseError::SubprotocolRepeated),
        };
        // §4.3: its value is one token: not a list, and not empty.
        let chosen = token(value).ok_or(ResponseError::SubprotocolInvalid)?;
        // §4.1: a subprotocol that was not offered fails the connection.
        if self.subprotocols.iter().any(|offered| offered == chosen) {
            Ok(Some(chosen.to_owned()))
        } else {
            Err(ResponseError::SubprotocolNotOffered(chosen.to_owned()))
        }
    }

    fn receive_extensions(&self, headers: &HeaderMap) -> Result<Vec<Extension>, ResponseError> {
        // §4.2.2 allows a list over several fields, but §11.3.2 forbids that in an answer. It cannot be misread, so we
        // accept it. As a server we send one field only.
        let chosen = extension::receive(headers).map_err(|_| ResponseError::ExtensionsInvalid)?;
        // §4.1, §9.1: an extension that was not offered fails the connection.
        let offered = |name| self.extensions.iter().any(|offer| offer.name() == name);
        match chosen.iter().find(|chosen| !offered(chosen.name())) {
            None => Ok(chosen),
            Some(other) => Err(ResponseError::ExtensionNotOffered(other.name().to_owned())),
        }
    }
}

/// The choices of a server that accepted the handshake: the connection is open (section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The subprotocol in use, one of those offered.
    pub subprotocol: Option<String>,
    /// The extensions in use, each offered, in the order in which they process data (section 9.1).
    pub extensions: Vec<Extension>,
}

/// An error of the caller: an offer that a client must not make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The handshake sets this field itself, or the field announces a body.
    #[error("cannot add the field {0}: it is reserved for the handshake")]
    FieldReserved(HeaderName),
    /// The subprotocol is empty, or has a character that is not allowed.
    #[error("the subprotocol {0:?} is not a token: visible ASCII characters, no separators")]
    SubprotocolNotAToken(String),
    /// The subprotocol is offered already.
    #[error("the subprotocol {0:?} is offered twice")]
    SubprotocolRepeated(String),
}

/// The rule that a server's answer breaks. The variants are in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The status is not 101: the server refuses the handshake.
    #[error("the server answered the WebSocket handshake with status {status}")]
    Refused {
        /// The status.
        status: StatusCode,
    },
    /// The 101 is not of HTTP/1.1.
    #[error("the server's 101 answer does not have HTTP version 1.1")]
    HttpVersion,
    /// `Upgrade` is missing, repeated, or not `websocket`.
    #[error("the answer's Upgrade field is not websocket")]
    Upgrade,
    /// `Connection` does not list upgrade, or is not a list of tokens.
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
    /// The server chose no subprotocol, but one is [required](ClientHandshake::require_subprotocol).
    #[error("the server chose none of the offered subprotocols")]
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
    /// Returns the section with the rule.
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

/// Returns whether a field is reserved: set by the handshake itself, for answers only, or an announcement of a body.
fn is_reserved(name: &HeaderName) -> bool {
    [HOST, UPGRADE, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}
