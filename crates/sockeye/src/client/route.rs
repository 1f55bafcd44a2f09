//! The route to a server: directly, through a proxy, or over a Unix socket. Knows nothing of how a connection is opened.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::proxy::Proxy;
use super::target::Target;
use super::turn::Peer;

/// The route to a server, with the addresses that were resolved for it.
pub(crate) enum Route {
    Direct(Vec<SocketAddr>),
    /// The proxy, its addresses, and the server's address if the proxy wants one.
    Proxy(Proxy, Vec<SocketAddr>, Option<SocketAddr>),
    Unix(PathBuf),
}

impl Route {
    /// The peers to serialise on (§4.1: one pending connection to a host). A Unix socket has none.
    pub(crate) fn peers(&self, target: &Target) -> Vec<Peer> {
        match self {
            Self::Direct(addresses) => {
                let addresses = addresses.iter().copied();
                addresses.map(Peer::Address).collect()
            }
            Self::Proxy(_, _, Some(server)) => vec![Peer::Address(*server)],
            Self::Proxy(_, _, None) => {
                let host = target.uri.host().to_owned();
                vec![Peer::Name(host, target.uri.port())]
            }
            Self::Unix(_) => Vec::new(),
        }
    }
}

/// The host that a proxy is asked for: the server's address if the proxy wants one, else its name. An IPv6 address is in
/// brackets.
pub(crate) fn host_for_proxy(server: Option<SocketAddr>, target: &Target) -> String {
    match server.map(|address| address.ip()) {
        None => target.uri.host().to_owned(),
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => format!("[{ip}]"),
    }
}
