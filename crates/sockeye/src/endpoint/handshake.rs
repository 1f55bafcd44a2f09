//! The request that opened a connection, as a session keeps it.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Uri};

use crate::router::PathParameters;

/// The opening handshake's request: what an endpoint's factory sees, and a session keeps.
#[derive(Clone, Debug)]
pub struct Handshake {
    uri: Uri,
    headers: HeaderMap,
    path_parameters: PathParameters,
    peer_addr: Option<SocketAddr>,
    local_addr: Option<SocketAddr>,
    subprotocol: Option<String>,
}

impl Handshake {
    /// Copies what is kept: a header that shares its bytes with the request would pin the whole
    /// buffer that the request was read into.
    pub(crate) fn new(
        request: &http::request::Parts,
        path_parameters: PathParameters,
        peer_addr: Option<SocketAddr>,
        local_addr: Option<SocketAddr>,
        subprotocol: Option<String>,
    ) -> Self {
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, value) in &request.headers {
            if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
                copy.set_sensitive(value.is_sensitive());
                headers.append(name.as_str().parse().unwrap_or_else(|_| name.clone()), copy);
            }
        }
        Self {
            uri: request.uri.to_string().parse().unwrap_or_default(),
            headers,
            path_parameters,
            peer_addr,
            local_addr,
            subprotocol,
        }
    }

    /// The request's target, as it was sent.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The target's query, undecoded.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// The request's header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The decoded value of a variable of the endpoint's path template.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters.get(name)
    }

    /// The variables of the path template with their decoded values, in order.
    pub fn path_parameters(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.path_parameters.iter()
    }

    /// The address of the peer, where the transport has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }

    /// The address that the peer connected to, where the transport has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    pub(crate) fn parameters(&self) -> &PathParameters {
        &self.path_parameters
    }
}
