//! The target of a connection: a parsed URL. Knows nothing of connections.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Uri};
use percent_encoding::percent_decode_str;
use sockeye_proto::handshake::{UriError, WebSocketUri};
use url::Url;

use super::ConnectError;
use super::error::InvalidUrl;
use crate::secret;

/// The target of a connection: a WebSocket URL, or an [`http::Request`] with header fields of its own.
///
/// Host names may be international. Other characters that a URL cannot hold are percent-encoded. The client sends a
/// user name and password of the URL by basic authentication (RFC 7617), unless the caller sets a field
/// `Authorization`. A request must not have the fields that the handshake itself writes.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use http::Request;
/// use sockeye::Client;
///
/// let request = Request::get("wss://chat.example/river").header("x-api-key", "1234").body(())?;
/// let ws = Client::new().connect(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Target {
    /// The caller's URL, serialised.
    pub(crate) url: Url,
    pub(crate) uri: WebSocketUri,
    /// The field `Authorization` for the user name and password of the URL.
    pub(super) authorization: Option<HeaderValue>,
    /// The header fields of the caller's request.
    pub(super) headers: HeaderMap,
    /// Whether a redirect led here from another origin.
    pub(crate) is_foreign: bool,
}

impl Target {
    /// Parses a URL. The host name is converted to its ASCII form, other characters are percent-encoded (RFC 6455
    /// §11.1).
    pub(super) fn parse(url: &str) -> Result<Self, ConnectError> {
        Self::of(parse_url(url)?)
    }

    /// Parses a URL as WHATWG does: `http` and `https` are converted to `ws` and `wss`.
    pub(crate) fn parse_any_scheme(url: &str) -> Result<Self, ConnectError> {
        let mut url = parse_url(url)?;
        let scheme = match url.scheme() {
            "http" => "ws",
            "https" => "wss",
            _ => return Self::of(url),
        };
        // `set_scheme` succeeds, because all four are special schemes.
        let changed = url.set_scheme(scheme);
        debug_assert!(changed.is_ok());
        Self::of(url)
    }

    /// The target for a URL. RFC 6455 §3 has no user name in a URL. RFC 9110 §4.2.4 lets a client send it as a header
    /// field, as browsers do.
    fn of(url: Url) -> Result<Self, ConnectError> {
        let mut bare = url.clone();
        let authorization = credentials(&url);
        // Both fail only for a URL that cannot hold a user name or a password.
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

    /// The host; an IPv6 address is in brackets.
    pub(crate) fn host(&self) -> &str {
        self.uri.host()
    }

    /// The host; an IPv6 address is without brackets.
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
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The URL with the scheme `http` or `https`, without a user name.
    pub(crate) fn http_url(&self) -> String {
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

/// Shows no password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("uri", &self.uri.to_string())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Parses an absolute URL: there is no base for a relative one.
fn parse_url(text: &str) -> Result<Url, ConnectError> {
    Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => UriError::Scheme.into(),
        error => InvalidUrl(error).into(),
    })
}

/// The value of `Authorization` or `Proxy-Authorization` by RFC 7617. It is sensitive: `Debug` of header fields hides
/// it.
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
