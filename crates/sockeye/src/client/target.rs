//! Where a connection goes: a URL taken apart. Knows nothing of connections.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Uri};
use percent_encoding::percent_decode_str;
use sockeye_proto::handshake::{UriError, WebSocketUri};
use url::Url;

use super::ConnectError;
use crate::secret;

/// Where to connect to: a URL of a WebSocket, or an [`http::Request`] with header fields of its own.
///
/// Host names may be international, and other characters that a URL does not have are percent-encoded. A user
/// name and password in it are sent by basic authentication (RFC 7617), unless there is a field
/// `Authorization`. The fields that the handshake writes itself may not stand in a request.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use http::Request;
/// use sockeye::Client;
///
/// let request = Request::get("wss://chat.example/river").header("x-api-key", "1234").body(())?;
/// let ws = Client::builder().connect(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Target {
    /// As it was given, serialised.
    pub(super) url: Url,
    pub(super) uri: WebSocketUri,
    /// What the user name and password in the URL come to.
    pub(super) authorization: Option<HeaderValue>,
    /// What a request had.
    pub(super) headers: HeaderMap,
    /// Whether a redirect of another origin led here.
    pub(super) is_foreign: bool,
}

impl Target {
    /// RFC 6455 §11.1: an international host name in its ASCII form, other characters percent-encoded.
    pub(super) fn parse(url: &str) -> Result<Self, ConnectError> {
        Self::of(parse_url(url)?)
    }

    /// WHATWG: `http` and `https` stand for `ws` and `wss`.
    pub(super) fn parse_any_scheme(url: &str) -> Result<Self, ConnectError> {
        let mut url = parse_url(url)?;
        let scheme = match url.scheme() {
            "http" => "ws",
            "https" => "wss",
            _ => return Self::of(url),
        };
        // All four are special schemes, between which a URL may change.
        let changed = url.set_scheme(scheme);
        debug_assert!(changed.is_ok());
        Self::of(url)
    }

    /// RFC 6455 §3 has no user name in a URL; RFC 9110 §4.2.4 leaves it to the client to make a header
    /// field of it, as browsers do.
    fn of(url: Url) -> Result<Self, ConnectError> {
        let mut bare = url.clone();
        let authorization = credentials(&url);
        // A URL that cannot have them has none.
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        let uri = WebSocketUri::parse(bare.as_str())?;
        Ok(Self {
            url,
            uri,
            authorization,
            headers: HeaderMap::new(),
            is_foreign: false,
        })
    }

    /// An IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        self.uri.host()
    }

    /// An IPv6 address without the brackets that a URL puts around it.
    pub(crate) fn bare_host(&self) -> &str {
        bare_host(self.uri.host())
    }

    pub(crate) fn port(&self) -> u16 {
        self.uri.port()
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.uri.is_secure()
    }

    /// Scheme, host and port, as WHATWG serialises them.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The URL as HTTP knows it, without a user.
    pub(super) fn http_url(&self) -> String {
        self.uri.to_string().replacen("ws", "http", 1)
    }
}

impl TryFrom<&str> for Target {
    type Error = ConnectError;

    fn try_from(url: &str) -> Result<Self, ConnectError> {
        Self::parse(url)
    }
}

impl TryFrom<String> for Target {
    type Error = ConnectError;

    fn try_from(url: String) -> Result<Self, ConnectError> {
        Self::parse(&url)
    }
}

impl TryFrom<&String> for Target {
    type Error = ConnectError;

    fn try_from(url: &String) -> Result<Self, ConnectError> {
        Self::parse(url)
    }
}

impl TryFrom<Uri> for Target {
    type Error = ConnectError;

    fn try_from(uri: Uri) -> Result<Self, ConnectError> {
        Self::parse(&uri.to_string())
    }
}

impl TryFrom<Request<()>> for Target {
    type Error = ConnectError;

    fn try_from(request: Request<()>) -> Result<Self, ConnectError> {
        let (parts, ()) = request.into_parts();
        // RFC 6455 §4.1: the method is GET.
        if parts.method != Method::GET {
            return Err(ConnectError::Method(parts.method));
        }
        let mut target = Self::try_from(parts.uri)?;
        target.headers = parts.headers;
        secret::mark_all(&mut target.headers);
        Ok(target)
    }
}

/// Without a password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("uri", &self.uri.to_string())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// A URL with a scheme. There is nothing that one without could be relative to.
fn parse_url(text: &str) -> Result<Url, ConnectError> {
    Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => UriError::Scheme.into(),
        error => error.into(),
    })
}

/// `Authorization` and `Proxy-Authorization` by RFC 7617. It is not shown where fields are.
pub(super) fn basic(user: &[u8], password: &[u8]) -> HeaderValue {
    let pair = [user, b":", password].concat();
    let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(value).expect("base64 is ASCII");
    value.set_sensitive(true);
    value
}

pub(super) fn bare_host(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |part| percent_decode_str(part).collect::<Vec<u8>>();
    let password = url.password().unwrap_or_default();
    Some(basic(&decoded(url.username()), &decoded(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_in_a_url_is_a_header_field_and_no_part_of_the_uri() {
        let target = Target::parse("ws://us%40er:p:%C3%BC@host:81/x").unwrap();
        assert_eq!(target.uri.to_string(), "ws://host:81/x");
        let value = target.authorization.unwrap();
        assert!(value.is_sensitive());
        assert_eq!(
            value,
            format!("Basic {}", BASE64_STANDARD.encode("us@er:p:ü"))
        );
        for (url, pair) in [("ws://u@h/", "u:"), ("ws://:p@h/", ":p")] {
            let value = Target::parse(url).unwrap().authorization.unwrap();
            assert_eq!(value, format!("Basic {}", BASE64_STANDARD.encode(pair)));
        }
        for url in ["ws://host/@", "ws://@host/", "ws://:@host/"] {
            assert_eq!(Target::parse(url).unwrap().authorization, None, "{url}");
        }
    }
}
