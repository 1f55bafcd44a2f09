//! The `Origin` check of RFC 6455 sections 4.2.2 and 10.2: which pages may open a connection.
//!
//! Browsers let any page open a WebSocket to any host, and send the user's cookies with it. So the server must check
//! the page's origin. This is not authentication: other clients can send any origin (§10.1).

use core::net::Ipv4Addr;
use std::fmt;
use std::str::FromStr;

use http::header::ORIGIN;
use http::request::Parts;
use http::{Response, StatusCode};

use super::header::{Sole, sole};
use super::host::Host;
use super::server::refusal;

/// The origins that may connect. A request without `Origin` is always allowed: it does not come from a browser
/// (§4.2.1).
///
/// ```
/// use http::Request;
/// use sockeye_proto::handshake::OriginPolicy;
///
/// let (request, ()) = Request::get("/chat")
///     .header("Host", "chat.example")
///     .header("Origin", "https://elsewhere.example")
///     .body(())?
///     .into_parts();
///
/// let refused = OriginPolicy::SameHost.check(&request, true).unwrap_err();
/// assert_eq!(refused.to_response().status(), 403);
///
/// let list = OriginPolicy::List(vec!["https://elsewhere.example".parse()?]);
/// assert!(list.check(&request, true).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Any origin. This is for services that use no cookies, and that pages of any site may use.
    Any,
    /// These origins and no others, not even the server's own. Each is listed in full: there are no wildcards.
    List(Vec<Origin>),
    /// Pages from the host and port of the request.
    #[default]
    SameHost,
    /// Pages from the host and port of the request, and pages of these origins.
    SameHostOr(Vec<Origin>),
}

impl OriginPolicy {
    /// Checks the origin of a request. `secure` is whether the request came over TLS.
    ///
    /// # Errors
    ///
    /// [`Forbidden::Origin`] if there is an `Origin` that the policy does not allow. That includes `null`, several
    /// fields, and a value that is not an origin.
    pub fn check(&self, request: &Parts, secure: bool) -> Result<(), Forbidden> {
        let value = match sole(&request.headers, &ORIGIN) {
            Sole::Missing => return Ok(()),
            Sole::One(value) => Some(value),
            Sole::Repeated => None,
        };
        // `null` does not parse: sandboxed pages and local files all send it, so it identifies no page.
        let origin = || Origin::parse(value?);
        let is_listed = |list: &[Origin]| origin().is_some_and(|origin| list.contains(&origin));
        let is_same_host = || {
            origin()
                .zip(Host::of_request(request))
                .is_some_and(|(origin, host)| origin.is_same_host(&host, secure))
        };
        let allowed = match self {
            Self::Any => true,
            Self::List(list) => is_listed(list),
            Self::SameHost => is_same_host(),
            Self::SameHostOr(list) => is_same_host() || is_listed(list),
        };
        if allowed {
            Ok(())
        } else {
            Err(Forbidden::Origin)
        }
    }
}

/// The origin of a page, as RFC 6454 section 6.2 writes it: `https://chat.example`,
/// `http://localhost:3000`.
///
/// Upper case and the scheme's default port are ignored, as in browsers. A final dot of the host counts: for browsers
/// `https://chat.example.` is another origin.
///
/// Text that no browser sends as an origin does not parse, because it would match no page. [`OriginProblem`] lists the
/// reasons.
///
/// ```
/// use sockeye_proto::handshake::{Origin, OriginProblem};
///
/// let origin: Origin = "https://Chat.example:443".parse()?;
/// assert_eq!(origin.to_string(), "https://chat.example");
/// let error = "https://*.example".parse::<Origin>().unwrap_err();
/// assert_eq!(error.problem, OriginProblem::Wildcard);
/// # Ok::<(), sockeye_proto::handshake::InvalidOrigin>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    /// Without the port if that is the scheme's default, so that equal origins are equal values.
    host: Host,
}

impl Origin {
    fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, host) = str::from_utf8(value).ok()?.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let well_formed = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !well_formed {
            return None;
        }
        let mut host = Host::parse(host.as_bytes())?;
        if host.port() == default_port(&scheme) {
            host.forget_port();
        }
        Some(Self { scheme, host })
    }

    /// Returns whether a page of this origin came from `host`.
    fn is_same_host(&self, host: &Host, secure: bool) -> bool {
        let Some(default) = default_port(&self.scheme) else {
            // A page of an extension or an application comes from no web server, and so from no host.
            return false;
        };
        // A Host without a port means the default port of the scheme that the client used. Over TLS that scheme is
        // https. Without TLS it may still be https, because a proxy may have ended TLS. The page's scheme tells:
        // browsers do not let an https page use plain ws, so an https page shows that a proxy ended TLS.
        let implied = if secure { HTTPS_PORT } else { default };
        self.host.name() == host.name()
            && self.host.port().unwrap_or(default) == host.port().unwrap_or(implied)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        Self::parse_listed(text).map_err(|problem| InvalidOrigin {
            // The text may hold a password.
            origin: match text.contains('@') {
                true => String::new(),
                false => text.to_owned(),
            },
            problem,
        })
    }
}

impl Origin {
    /// Parses an origin for the comparison with those of browsers. It must be one that a browser can send.
    fn parse_listed(text: &str) -> Result<Self, OriginProblem> {
        if text.eq_ignore_ascii_case("null") {
            return Err(OriginProblem::Null);
        }
        if text.contains('*') && !text.contains('@') {
            return Err(OriginProblem::Wildcard);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginProblem::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "ws" | "wss" => return Err(OriginProblem::Scheme),
            // Pages of local files send `null`.
            "file" => return Err(OriginProblem::Null),
            _ => {}
        }
        // A list is not an origin.
        if rest.contains(',') {
            return Err(OriginProblem::Host);
        }
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(OriginProblem::UserInfo);
        }
        if !path.is_empty() {
            return Err(OriginProblem::Path);
        }
        if !authority.is_ascii() {
            return Err(OriginProblem::International);
        }
        let origin = Self::parse(text.as_bytes()).ok_or(OriginProblem::Syntax)?;
        // A browser normalises only the hosts of web servers. It does not change those of extensions and applications.
        if default_port(&origin.scheme).is_some() && !is_host_of_browser(origin.host.name()) {
            return Err(OriginProblem::Host);
        }
        if origin.host.port() == Some(0) {
            return Err(OriginProblem::Port);
        }
        Ok(origin)
    }
}

/// Returns whether a browser writes the host of a web server like this.
fn is_host_of_browser(name: &str) -> bool {
    if name.starts_with('[') {
        return true;
    }
    let labels = name.strip_suffix('.').unwrap_or(name);
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let are_legal = labels
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(is_legal));
    // WHATWG URL, "ends in a number": such a host is an IPv4 address, and written as four decimal numbers.
    let last = labels.rsplit('.').next().unwrap_or(labels);
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    are_legal && (!is_number || name.parse::<Ipv4Addr>().is_ok())
}

/// An error: the text is not the origin of a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin{}: {problem}", Quoted(origin))]
#[non_exhaustive]
pub struct InvalidOrigin {
    /// The text; empty if it may hold a password.
    pub origin: String,
    /// The reason.
    pub problem: OriginProblem,
}

/// The reason why a text is not the origin of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginProblem {
    /// No browser writes a host like this: an empty label, a percent sign, a comma, an IPv4 address that is not four
    /// decimal numbers.
    #[error("browsers do not write a host like this; write one host in its normalized form")]
    Host,
    /// The host has characters beyond ASCII.
    #[error("write an international host in its ASCII form, which begins with xn--")]
    International,
    /// `null`, or `file:`, whose pages send `null`. All pages without an origin of their own send `null`.
    #[error("`null` cannot be allowed: all sandboxed pages and local files have this origin")]
    Null,
    /// A path, a query or a fragment, even if it is only a final slash.
    #[error("an origin ends with the host or the port; remove the path or the final slash")]
    Path,
    /// Port 0, on which no page is served.
    #[error("no page comes from port 0; leave the port out if it is the scheme's default")]
    Port,
    /// There is no scheme, or a scheme of WebSocket. Pages come from `http:`, `https:` and the schemes of applications.
    #[error("an origin begins with the scheme of the page, such as https://")]
    Scheme,
    /// The text has a form other than `scheme://host` and `scheme://host:port`.
    #[error("expected scheme://host or scheme://host:port")]
    Syntax,
    /// A user name or a password.
    #[error("an origin cannot have a user name or a password")]
    UserInfo,
    /// A `*`.
    #[error("wildcards are not supported: list each origin in full")]
    Wildcard,
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            text => write!(f, ": {text:?}"),
        }
    }
}

/// The reason why a well-formed request gets 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// A request to a server on a loopback address has a host that is not the local machine, as in an attack by DNS
    /// rebinding. See [`host_is_loopback`](super::host_is_loopback).
    #[error("this server listens on a loopback address and serves only loopback host names")]
    Host,
    /// A page of this origin may not connect.
    #[error("pages of this origin may not connect here")]
    Origin,
}

impl Forbidden {
    /// Returns the status, 403 (§10.2).
    pub fn status(self) -> StatusCode {
        StatusCode::FORBIDDEN
    }

    /// Returns the section that asks for the refusal.
    pub fn section(self) -> &'static str {
        match self {
            Self::Host => "RFC 6455 §4.2.2",
            Self::Origin => "RFC 6455 §10.2",
        }
    }

    /// Returns the answer: the status, the reason in plain text, and `Connection: close`.
    pub fn to_response(self) -> Response<String> {
        refusal(self.status(), &self)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(HTTP_PORT),
        "https" => Some(HTTPS_PORT),
        _ => None,
    }
}

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
