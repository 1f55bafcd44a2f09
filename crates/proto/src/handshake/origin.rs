//! Who may open a connection: the `Origin` check of RFC 6455 sections 4.2.2 and 10.2.
//!
//! Browsers let any page open a WebSocket to any host and send the user's cookies along, so the
//! server is the one that must ask where the page came from. It is no authentication: whoever is
//! not a browser sends what he likes (§10.1).

use core::net::Ipv4Addr;
use std::fmt;
use std::str::FromStr;

use http::header::ORIGIN;
use http::request::Parts;
use http::{Response, StatusCode};

use super::header::{Sole, sole};
use super::host::Host;
use super::server::refusal;

/// Which origins may connect. A request without `Origin` is always allowed: it is not taken for a
/// browser's (§4.2.1).
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
    /// Any origin: for services meant for pages of every site, which use no cookies.
    Any,
    /// These origins and no other, not even the server's own. Each is listed in full: there are no wildcards.
    List(Vec<Origin>),
    /// Pages served from the host and port that the request is for.
    #[default]
    SameHost,
    /// Pages served from the host and port that the request is for, and pages of these origins.
    SameHostOr(Vec<Origin>),
}

impl OriginPolicy {
    /// Checks the origin of a request that came over TLS (`secure`) or not.
    ///
    /// # Errors
    ///
    /// [`Forbidden::Origin`] if there is an `Origin` that the policy does not allow: `null`,
    /// several fields and values that are no origin included.
    pub fn check(&self, request: &Parts, secure: bool) -> Result<(), Forbidden> {
        let value = match sole(&request.headers, &ORIGIN) {
            Sole::Missing => return Ok(()),
            Sole::One(value) => Some(value),
            Sole::Repeated => None,
        };
        // `null`, which sandboxed pages and local files send alike, does not parse: it tells nobody
        // from anybody.
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
/// Upper case and the scheme's default port mean nothing, as in browsers. A final dot of the host does: browsers take
/// `https://chat.example.` for another origin.
///
/// Text that no browser sends as an origin does not parse, as it would match nothing: [`OriginProblem`] lists the
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
    /// Without a port where it is the scheme's default, so that equal origins are equal values.
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

    /// Whether a page of this origin came from `host`.
    fn is_same_host(&self, host: &Host, secure: bool) -> bool {
        let Some(default) = default_port(&self.scheme) else {
            // A page of no web server (an extension's, an application's) has no host in our sense.
            return false;
        };
        // Where Host leaves out the port, it is the default of the scheme that the client used.
        // Over TLS that is https. Without TLS it need not be http: a proxy in front may have ended
        // TLS, and an https page, which no browser lets use plain ws, shows that one has. So there
        // the page's scheme tells.
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
            // It may hold a password.
            origin: match text.contains('@') {
                true => String::new(),
                false => text.to_owned(),
            },
            problem,
        })
    }
}

impl Origin {
    /// Parses an origin that is to be compared with those of browsers. It must be one that a browser can send.
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
            // The pages of local files.
            "file" => return Err(OriginProblem::Null),
            _ => {}
        }
        // A list is no origin.
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
        // A browser normalises the hosts of web servers alone. Those of extensions and applications it leaves as they are.
        if default_port(&origin.scheme).is_some() && !is_host_of_browser(origin.host.name()) {
            return Err(OriginProblem::Host);
        }
        if origin.host.port() == Some(0) {
            return Err(OriginProblem::Port);
        }
        Ok(origin)
    }
}

/// Whether a browser writes the host of a web server like this.
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

/// Text that is not the origin of a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin{}: {problem}", Quoted(origin))]
#[non_exhaustive]
pub struct InvalidOrigin {
    /// The text; empty where it may hold a password.
    pub origin: String,
    /// What is wrong with it.
    pub problem: OriginProblem,
}

/// Why a text is not the origin of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginProblem {
    /// No browser writes a host like this: an empty label, a percent sign, a comma, an IPv4 address that is not four
    /// decimal numbers.
    #[error("browsers do not write a host like this; one origin has one host in its plain form")]
    Host,
    /// The host has characters beyond ASCII.
    #[error("write an international host in its ASCII form, which begins with xn--")]
    International,
    /// `null`, or `file:`, whose pages send `null`. All pages without an origin of their own send that.
    #[error("`null` is the origin of sandboxed pages and local files alike, and cannot be allowed")]
    Null,
    /// A path, a query or a fragment, be it only a final slash.
    #[error("an origin ends with the host or the port, without a path or a final slash")]
    Path,
    /// Port 0, on which no page is served.
    #[error("no page is served on port 0; leave the port out where it is the scheme's default")]
    Port,
    /// There is no scheme, or one of WebSocket: pages come from `http:`, `https:` and the schemes of applications.
    #[error("an origin begins with the scheme of the page, as https://")]
    Scheme,
    /// The text has another form than `scheme://host` and `scheme://host:port`.
    #[error("expected scheme://host or scheme://host:port")]
    Syntax,
    /// A user name or a password.
    #[error("an origin has no user name and no password")]
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

/// Why a well-formed request is not served: 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// A server bound to loopback was asked for under a name that is not the machine's own: what
    /// DNS rebinding looks like. See [`host_is_loopback`](super::host_is_loopback).
    #[error("this server listens on loopback and serves loopback host names only")]
    Host,
    /// A page of this origin may not connect.
    #[error("pages of this origin may not connect here")]
    Origin,
}

impl Forbidden {
    /// §10.2: 403 tells a browser's user that the page, not the network, is at fault.
    pub fn status(self) -> StatusCode {
        StatusCode::FORBIDDEN
    }

    /// The section that asks for the refusal.
    pub fn section(self) -> &'static str {
        match self {
            Self::Host => "RFC 6455 §4.2.2",
            Self::Origin => "RFC 6455 §10.2",
        }
    }

    /// The answer: status, reason in plain text, and the end of the connection.
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
