//! `ws` and `wss` URIs: RFC 6455 section 3.
//!
//! Knows no references to resolve and no international names: a URI here is absolute and ASCII. Who
//! takes URLs from people converts them first, as section 11.1 has it (IDNA for the host,
//! percent-encoded UTF-8 elsewhere).

use std::fmt;
use std::str::FromStr;

use http::uri::PathAndQuery;

use super::host::Host;

/// A `ws` or `wss` URI, taken apart into what section 3 names: secure flag, host, port, resource
/// name.
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
    /// Without a port where it is the scheme's default.
    host: Host,
    resource_name: PathAndQuery,
}

impl WebSocketUri {
    /// Takes a URI apart.
    ///
    /// The resource name may hold the characters that RFC 3986 allows, and the few more that
    /// browsers send as they are (`|`, `{`, a percent sign that escapes nothing): a server that
    /// refuses those says so itself.
    ///
    /// # Errors
    ///
    /// [`UriError`] names the part that section 3 does not allow.
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        // §3: a fragment means nothing to a server, so no URI that has one is used; a '#' that is
        // meant as such is written %23. This comes first: a fragment may hold anything.
        if uri.contains('#') {
            return Err(UriError::Fragment);
        }
        let (scheme, rest) = uri.split_once("://").ok_or(UriError::Scheme)?;
        // §3: the scheme is matched without regard to case.
        let secure = if scheme.eq_ignore_ascii_case("ws") {
            false
        } else if scheme.eq_ignore_ascii_case("wss") {
            true
        } else {
            return Err(UriError::Scheme);
        };

        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // §3: host and port is all that the authority holds. (Credentials are for a header field.)
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

    /// Whether the scheme is `wss`: TLS comes before the handshake.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, in lower case; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.host.name()
    }

    /// The port: that of the URI, else 80 for `ws` and 443 for `wss`.
    pub fn port(&self) -> u16 {
        self.host.port().unwrap_or(default_port(self.secure))
    }

    /// The path, `/` where it is empty, and the query if there is one.
    pub fn resource_name(&self) -> &str {
        self.resource_name.as_str()
    }

    pub(super) fn path_and_query(&self) -> &PathAndQuery {
        &self.resource_name
    }

    /// What `Host` says: the port only where it is not the scheme's default (§4.1).
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
    /// A fragment, be it empty.
    #[error("a WebSocket URI has no fragment; a literal # is written %23")]
    Fragment,
    /// Path or query.
    #[error("the URI's path or query has characters that must be percent-encoded, or is too long")]
    ResourceName,
    /// No scheme, or another than `ws` and `wss`.
    #[error("expected ws:// or wss:// at its start")]
    Scheme,
    /// A user name before the host.
    #[error("a WebSocket URI has no user name or password")]
    UserInfo,
}

/// §3: "/" where the path is empty, and "?" with the query where that is not.
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
