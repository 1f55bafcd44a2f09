//! The request that opened a connection, as a session or a connection keeps it. Knows no endpoint and no session.

mod head;
mod properties;

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, Uri};
use sockeye_proto::DeflateParams;
use sockeye_proto::handshake::Extension;

use self::head::Head;
pub use self::properties::Properties;
use crate::router::PathParameters;
use crate::secret;
use crate::transport::Stream;

/// The request of an opening handshake, which an endpoint's factory gets and a session keeps.
///
/// It is stored in fewer bytes than it had on the wire. The first call of [`uri`](Self::uri), [`query`](Self::query) or
/// [`headers`](Self::headers) decodes it; from then on it takes some 100 bytes more for each field.
#[derive(Clone)]
pub struct Handshake {
    head: Head,
    decoded: OnceLock<Box<Decoded>>,
    path_parameters: PathParameters,
    info: ConnectionInfo,
    compression: Option<DeflateParams>,
    extra: OnceLock<Box<Extra>>,
}

/// The facts that few connections have.
#[derive(Clone, Debug, Default)]
struct Extra {
    subprotocol: Option<Box<str>>,
    principal: Option<Box<str>>,
    properties: Properties,
}

#[derive(Clone, Debug)]
struct Decoded {
    uri: Uri,
    headers: HeaderMap,
}

/// The facts that are known about a connection: its addresses, and whether it is encrypted. By default no address is
/// known, and the connection is not encrypted.
///
/// An application adds it to the extensions of a request before [`Container::upgrade`](crate::server::Container::upgrade).
///
/// ```
/// use sockeye::endpoint::ConnectionInfo;
///
/// let info = ConnectionInfo::default().peer_addr(([192, 0, 2, 1], 50_000).into()).secure(true);
/// let request = http::Request::get("/chat").extension(info).body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ConnectionInfo {
    pub(crate) peer_addr: Option<SocketAddr>,
    pub(crate) local_addr: Option<SocketAddr>,
    pub(crate) secure: bool,
}

impl ConnectionInfo {
    /// Returns what a stream knows of itself.
    pub(crate) fn of(stream: &Stream) -> Self {
        Self {
            peer_addr: stream.peer_addr().ok(),
            local_addr: stream.local_addr().ok(),
            secure: stream.is_secure(),
        }
    }

    /// Sets the address of the peer.
    pub fn peer_addr(mut self, addr: SocketAddr) -> Self {
        self.peer_addr = Some(addr);
        self
    }

    /// Sets the address that the peer connected to. On a loopback address `Host` must be a name of the loopback, unless
    /// [`ServerBuilder::any_host`](crate::server::ServerBuilder::any_host) is set.
    pub fn local_addr(mut self, addr: SocketAddr) -> Self {
        self.local_addr = Some(addr);
        self
    }

    /// Sets whether the connection is encrypted. Then pages of the same host have `https:` origins.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }
}

impl Handshake {
    /// Copies the parts of the request that are kept. A header that shared its bytes with the request would pin the
    /// whole read buffer.
    pub(crate) fn new(
        request: &http::request::Parts,
        path_parameters: PathParameters,
        info: ConnectionInfo,
    ) -> Self {
        Self {
            head: Head::of(request),
            decoded: OnceLock::new(),
            path_parameters,
            info,
            compression: None,
            extra: OnceLock::new(),
        }
    }

    /// Keeps the subprotocol and the compression that were agreed on.
    pub(crate) fn agree(&mut self, subprotocol: Option<&str>, compression: Option<DeflateParams>) {
        self.compression = compression;
        if self.subprotocol() != subprotocol {
            self.extra_mut().subprotocol = subprotocol.map(Into::into);
        }
    }

    /// Keeps what a configurator has set, and drops the decoded request.
    pub(crate) fn configure(&mut self, principal: Option<Box<str>>, properties: Properties) {
        self.decoded.take();
        if principal.is_some() || !properties.is_empty() {
            let extra = self.extra_mut();
            extra.principal = principal;
            extra.properties = properties;
        }
    }

    /// Keeps the name of the peer.
    #[cfg(feature = "test-util")]
    pub(crate) fn set_principal(&mut self, principal: Box<str>) {
        self.extra_mut().principal = Some(principal);
    }

    fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_init(Box::default);
        self.extra.get_mut().expect("it was just made")
    }

    /// Returns the request's target, as it was sent.
    pub fn uri(&self) -> &Uri {
        &self.decoded().uri
    }

    /// Returns the target's query, undecoded.
    pub fn query(&self) -> Option<&str> {
        self.uri().query()
    }

    /// Returns the request's header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.decoded().headers
    }

    fn decoded(&self) -> &Decoded {
        self.decoded.get_or_init(|| {
            let (uri, headers) = self.head.decode();
            Box::new(Decoded { uri, headers })
        })
    }

    /// Returns the decoded value of a variable of the endpoint's path template.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters.get(name)
    }

    /// Returns the variables of the path template with their decoded values, in order.
    pub fn path_parameters(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.path_parameters.iter()
    }

    /// Returns the address of the peer, if the transport has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.info.peer_addr
    }

    /// Returns the address that the peer connected to, if the transport has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.info.local_addr
    }

    /// Returns whether the connection to this server is encrypted. Behind a proxy that ends TLS it is not.
    pub fn is_secure(&self) -> bool {
        self.info.secure
    }

    /// Returns the subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.extra.get()?.subprotocol.as_deref()
    }

    /// Returns the subprotocols that the client offered, the preferred one first.
    pub fn offered_subprotocols(&self) -> impl Iterator<Item = &str> {
        let lines = self.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let lists = lines.filter_map(|line| line.to_str().ok());
        let names = lists.flat_map(|list| list.split(','));
        names.map(str::trim).filter(|name| !name.is_empty())
    }

    /// Returns the extensions that were agreed on, with the parameters that differ from their defaults.
    pub fn extensions(&self) -> Vec<Extension> {
        let deflate = self.compression.as_ref().map(DeflateParams::to_extension);
        deflate.into_iter().collect()
    }

    /// Returns the name of the peer, if a [`Configurator`](crate::endpoint::Configurator) has set one.
    pub fn principal(&self) -> Option<&str> {
        self.extra.get()?.principal.as_deref()
    }

    /// Returns the application's own values of this connection.
    pub fn properties(&self) -> &Properties {
        &self.extra.get_or_init(Box::default).properties
    }

    pub(crate) fn parameters(&self) -> &PathParameters {
        &self.path_parameters
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uri, mut headers) = self.head.decode();
        secret::mark_all(&mut headers);
        f.debug_struct("Handshake")
            .field("uri", &uri)
            .field("headers", &headers)
            .field("path_parameters", &self.path_parameters)
            .field("connection", &self.info)
            .field("extensions", &self.extensions())
            .field("extra", &self.extra.get())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, Request};

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
        let kept = Handshake::new(
            &request,
            PathParameters::default(),
            ConnectionInfo::default(),
        );
        drop(request);
        assert!(read.is_unique());
        assert_eq!(kept.uri(), "/chat/room?q");
        assert_eq!(kept.query(), Some("q"));
        assert_eq!(kept.headers().get_all("x-custom").iter().count(), 2);
        assert_eq!(kept.headers()["host"], "q value");
    }

    /// Each session has one of these. A subprotocol, a principal and properties are behind one pointer.
    #[test]
    fn what_few_sessions_have_takes_no_room_in_the_others() {
        let size = size_of::<Handshake>();
        assert!(size <= 144, "{size} bytes");
        let (request, ()) = Request::get("/").body(()).unwrap().into_parts();
        let mut kept = Handshake::new(
            &request,
            PathParameters::default(),
            ConnectionInfo::default(),
        );
        kept.agree(None, None);
        kept.headers();
        kept.configure(None, Properties::default());
        assert!(kept.extra.get().is_none() && kept.decoded.get().is_none());
        assert_eq!((kept.subprotocol(), kept.principal()), (None, None));
        assert!(kept.extra.get().is_none());
    }

    #[test]
    fn fields_are_kept_as_they_came_in_their_order() {
        let fields = [
            ("host", &b"a:1"[..]),
            ("x", b""),
            ("sec-websocket-protocol", b"a, b"),
            ("x", b":: \t\xff!"),
            ("a!b", b" spaced "),
        ];
        let mut request = Request::get("ws://host/%41?x:y=%0a&z");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        let kept = Handshake::new(
            &request,
            PathParameters::default(),
            ConnectionInfo::default(),
        );
        assert_eq!(kept.uri(), &request.uri);
        assert_eq!(kept.headers(), &request.headers);
    }

    #[test]
    fn a_value_that_is_not_to_be_logged_stays_so() {
        let mut value = HeaderValue::from_static("Bearer secret");
        value.set_sensitive(true);
        let request = Request::get("/").header("authorization", value);
        let (request, ()) = request.body(()).unwrap().into_parts();
        let kept = Handshake::new(
            &request,
            PathParameters::default(),
            ConnectionInfo::default(),
        );
        assert!(!format!("{kept:?}").contains("secret"));
        assert_eq!(kept.headers()["authorization"], "Bearer secret");
        assert!(kept.headers()["authorization"].is_sensitive());
    }
}
