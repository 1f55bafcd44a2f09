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
    ends: Ends,
    subprotocol: Option<String>,
}

/// What is known of the transport.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) peer_addr: Option<SocketAddr>,
    pub(crate) local_addr: Option<SocketAddr>,
    pub(crate) secure: bool,
}

impl Handshake {
    /// Copies what is kept: a header that shares its bytes with the request would pin the whole
    /// buffer that the request was read into.
    pub(crate) fn new(
        request: &http::request::Parts,
        path_parameters: PathParameters,
        ends: Ends,
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
            ends,
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
        self.ends.peer_addr
    }

    /// The address that the peer connected to, where the transport has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.ends.local_addr
    }

    /// Whether the connection is encrypted up to this server: what a proxy in front has ended is not.
    pub fn is_secure(&self) -> bool {
        self.ends.secure
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    pub(crate) fn parameters(&self) -> &PathParameters {
        &self.path_parameters
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;

    #[test]
    fn what_is_kept_of_a_request_shares_none_of_its_bytes() {
        let read = Bytes::from(b"/chat/room?q value".repeat(100));
        let value = HeaderValue::from_maybe_shared(read.slice(11..18)).unwrap();
        let (request, ()) = Request::get(Uri::from_maybe_shared(read.slice(..12)).unwrap())
            .header("host", value.clone())
            .header("x-custom", value.clone())
            .header("x-custom", value)
            .body(())
            .unwrap()
            .into_parts();
        assert!(!read.is_unique());
        let kept = Handshake::new(&request, PathParameters::default(), Ends::default(), None);
        drop(request);
        assert!(read.is_unique());
        assert_eq!(kept.uri(), "/chat/room?q");
        assert_eq!(kept.query(), Some("q"));
        assert_eq!(kept.headers().get_all("x-custom").iter().count(), 2);
        assert_eq!(kept.headers()["host"], "q value");
    }

    #[test]
    fn a_value_that_is_not_to_be_logged_stays_so() {
        let mut value = HeaderValue::from_static("Bearer secret");
        value.set_sensitive(true);
        let request = Request::get("/").header("authorization", value);
        let (request, ()) = request.body(()).unwrap().into_parts();
        let kept = Handshake::new(&request, PathParameters::default(), Ends::default(), None);
        assert!(!format!("{kept:?}").contains("secret"));
    }
}
