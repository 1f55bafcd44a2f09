//! A host with its port, as in `Host`, `Origin` and a URI's authority: RFC 3986 section 3.2.
//!
//! Knows no scheme, and so no default port. Resolves no names.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;
use std::fmt::{self, Write as _};

use http::header::HOST;
use http::request::Parts;

use super::header::{Sole, sole, trim};

/// uri-host [ ":" port ], the host in lower case and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// `name` or `name:port`.
    text: String,
    name_len: usize,
    /// `None` means the default port of the scheme.
    port: Option<u16>,
}

impl Host {
    /// Parses a host. Returns `None` if the syntax does not allow it, for example if there is user information.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            // RFC 3986 §3.2.2: an IPv6 address is in brackets. (The rule also allows future versions of IP addresses,
            // of which none exists.)
            let (address, port) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (Cow::Owned(format!("[{address}]")), port)
        } else {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                return None;
            }
            (Cow::Borrowed(name), port)
        };
        let port = match port.strip_prefix(':') {
            // RFC 3986 §3.2.3: a colon without digits means the default port, as does no colon.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        let mut host = String::with_capacity(name.len() + ":65535".len());
        host.push_str(&name);
        host.make_ascii_lowercase();
        if let Some(port) = port {
            // A write to a string cannot fail.
            let _ = write!(host, ":{port}");
        }
        Some(Self {
            text: host,
            name_len: name.len(),
            port,
        })
    }

    /// Returns the host: a name, an IPv4 address, or an IPv6 address in brackets and in canonical form.
    pub(super) fn name(&self) -> &str {
        self.text.get(..self.name_len).unwrap_or_default()
    }

    /// Returns the host as text: `name` or `name:port`.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Removes the port.
    pub(super) fn forget_port(&mut self) {
        self.text.truncate(self.name_len);
        self.port = None;
    }

    /// Returns the host that a request is for; `None` if it is missing, repeated or illegal.
    pub(super) fn of_request(request: &Parts) -> Option<Self> {
        // RFC 9112 §3.2.2: if the target is in absolute form, its authority counts, and Host does not.
        match (request.uri.authority(), sole(&request.headers, &HOST)) {
            (Some(authority), _) => Self::parse(authority.as_str().as_bytes()),
            (None, Sole::One(value)) => Self::parse(value),
            (None, _) => None,
        }
    }

    pub(super) fn is_loopback(&self) -> bool {
        // A final dot marks a name as complete. It is the same name.
        let name = self.name();
        let name = name.strip_suffix('.').unwrap_or(name);
        let address = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(address) = address {
            return address
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| address.to_canonical().is_loopback());
        }
        // RFC 6761 §6.3: localhost and every name below it are the machine itself.
        name == "localhost"
            || name.ends_with(".localhost")
            || name
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns whether a host, with or without a port, names the local machine independently of DNS: `localhost` and names
/// below it, 127.0.0.0/8, `[::1]`.
///
/// A server on a loopback address that serves only such hosts is safe from DNS rebinding. In that attack the name of a
/// page's host resolves to 127.0.0.1: `Host` and `Origin` are equal, and both name the attacker's host.
///
/// ```
/// use sockeye_proto::handshake::host_is_loopback;
///
/// assert!(host_is_loopback("localhost:8080"));
/// assert!(!host_is_loopback("rebound.example:8080"));
/// ```
pub fn host_is_loopback(host: &str) -> bool {
    Host::parse(trim(host.as_bytes())).is_some_and(|host| host.is_loopback())
}

/// RFC 3986 §3.2.2: unreserved characters, sub-delimiters, and the percent sign of an escaped character.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte)
}
