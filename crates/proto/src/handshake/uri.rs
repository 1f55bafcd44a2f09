//! `ws` and `wss` URIs: RFC 6455 section 3.
//!
//! A URI here is absolute and ASCII: relative references and international names are not supported. A program that
//! takes URLs from users converts them first, by section 11.1: IDNA for the host, percent-encoded UTF-8 elsewhere.

use std::fmt;
use std::str::FromStr;

use http::uri::PathAndQuery;

use super::host::Host;

/// A `ws` or `wss` URI, parsed into the parts that section 3 names: secure flag, host, port, resource name.
///
/// ```
/// use sockeye_proto::handshake::WebSocketUri;
///
/// let uri = WebSocketUri::parse("wss://chat.example?room=1")?;
/// assert!(uri.is_secure());
/// assert_eq!((uri.host(), uri.port()), ("chat.example", 443));
/// assert_eq!(uri.resource_name(), "/?room=1");
/// # Ok::<(), sockeye_proto::handshake::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketUri {
    secure: bool,
    /// Without the port if that is the scheme's default.
    host: Host,
    resource_name: PathAndQuery,
}

impl WebSocketUri {
    /// Parses a URI.
    ///
    /// The resource name may hold the characters that RFC 3986 allows, and a few more that browsers send unescaped:
    /// `|`, `{`, a percent sign that escapes nothing. A server may refuse those.
    ///
    /// # Errors
    ///
    /// [`UriError`] names the part that section 3 does not allow.
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        // §3: a URI must not have a fragment, and a literal '#' is written %23. This check is first, because a fragment
        // may hold any text.
        if uri.contains('#') {
            return Err(UriError::Fragment);
        }
        let (scheme, rest) = uri.split_once("://").ok_or(UriError::Scheme)?;
        // §3: the scheme ignores case.
        let secure = if scheme.eq_ignore_ascii_case("ws") {
            false
        } else if scheme.eq_ignore_ascii_case("wss") {
            true
        } else {
            return Err(UriError::Scheme);
        };

        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // §3: the authority is a host and a port only. (Credentials belong in a header field.)
        if authority.contains('@') {
            return Err(UriError::UserInfo);
        }
        let mut host = Host::parse(authority.as_bytes()).ok_or(UriError::Authority)?;
        if host.port() == Some(default_port(secure)) {
            host.forget_port();
        }

        Ok(Self {
            secure,
            host,
            resource_name: resource_name(rest).ok_or(UriError::ResourceName)?,
        })
    }

    /// Returns whether the scheme is `wss`: the connection uses TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the host, in lower case. An IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        self.host.name()
    }

    /// Returns the port: that of the URI, else 80 for `ws` and 443 for `wss`.
    pub fn port(&self) -> u16 {
        self.host.port().unwrap_or(default_port(self.secure))
    }

    /// Returns the path (`/` if it is empty), and the query if there is one.
    pub fn resource_name(&self) -> &str {
        self.resource_name.as_str()
    }

    pub(super) fn path_and_query(&self) -> &PathAndQuery {
        &self.resource_name
    }

    /// Returns the value of `Host`. It has the port only if that is not the scheme's default (§4.1).
    pub(super) fn host_field(&self) -> String {
        self.host.to_string()
    }
}

impl fmt::Display for WebSocketUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.host, self.resource_name)
    }
}

impl FromStr for WebSocketUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        Self::parse(uri)
    }
}

/// The part of a URI that section 3 does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// Host or port.
    #[error("the URI's host or port is missing or malformed")]
    Authority,
    /// A fragment, even an empty one.
    #[error("a WebSocket URI cannot have a fragment; write a literal # as %23")]
    Fragment,
    /// Path or query.
    #[error("the URI's path or query has characters that must be percent-encoded, or is too long")]
    ResourceName,
    /// No scheme, or a scheme other than `ws` and `wss`.
    #[error("expected ws:// or wss:// at the start")]
    Scheme,
    /// A user name before the host.
    #[error("a WebSocket URI cannot have a user name or a password; use the Authorization field")]
    UserInfo,
}

/// §3: "/" if the path is empty, and "?" with the query if that is not empty.
fn resource_name(path_and_query: &str) -> Option<PathAndQuery> {
    if !path_and_query.is_ascii() {
        return None;
    }
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let path = if path.is_empty() { "/" } else { path };
    let question = if query.is_empty() { "" } else { "?" };
    PathAndQuery::try_from(format!("{path}{question}{query}")).ok()
}

/// §3: port 80 for ws, 443 for wss.
fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}
