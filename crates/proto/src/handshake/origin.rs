//! Who may open a connection: the `Origin` check of RFC 6455 sections 4.2.2 and 10.2.
//!
//! Browsers let any page open a WebSocket to any host and send the user's cookies along, so the
//! server is the one that must ask where the page came from. It is no authentication: whoever is
//! not a browser sends what he likes (§10.1).

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
    /// These origins and no other, not even the server's own.
    List(Vec<Origin>),
    /// Pages served from the host and port that the request is for.
    #[default]
    SameHost,
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
        let allowed = match self {
            Self::Any => true,
            Self::List(list) => origin().is_some_and(|origin| list.contains(&origin)),
            Self::SameHost => origin()
                .zip(Host::of_request(request))
                .is_some_and(|(origin, host)| origin.is_same_host(&host, secure)),
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
/// ```
/// use sockeye_proto::handshake::Origin;
///
/// let origin: Origin = "https://Chat.example:443".parse()?;
/// assert_eq!(origin.to_string(), "https://chat.example");
/// assert!("null".parse::<Origin>().is_err());
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
        if host.port == default_port(&scheme) {
            host.port = None;
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
        self.host.name == host.name
            && self.host.port.unwrap_or(default) == host.port.unwrap_or(implied)
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
        Self::parse(text.as_bytes()).ok_or_else(|| InvalidOrigin(text.to_owned()))
    }
}

/// Text that is no origin; `null` is none that a list could allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin: scheme://host or scheme://host:port")]
pub struct InvalidOrigin(pub String);

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
