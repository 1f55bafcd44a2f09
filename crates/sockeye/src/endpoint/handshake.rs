//! The request that opened a connection, as a session keeps it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;

use http::{HeaderMap, Uri};
use sockeye_proto::DeflateParams;
use sockeye_proto::handshake::Extension;

use super::head::Head;
use super::idle::Idle;
use super::properties::Properties;
use crate::router::PathParameters;
use crate::secret;

/// The opening handshake's request: what an endpoint's factory sees, and a session keeps.
///
/// It is kept in fewer bytes than it came in, and decoded when [`uri`](Self::uri), [`query`](Self::query) or
/// [`headers`](Self::headers) is first asked for; from then on it takes some 100 bytes more for each field.
#[derive(Clone)]
pub struct Handshake {
    head: Head,
    decoded: OnceLock<Box<Decoded>>,
    path_parameters: PathParameters,
    info: ConnectionInfo,
    compression: Option<DeflateParams>,
    extra: OnceLock<Box<Extra>>,
}

/// What few connections have.
#[derive(Clone, Debug, Default)]
struct Extra {
    subprotocol: Option<Box<str>>,
    principal: Option<Box<str>>,
    properties: Properties,
    idle: Idle,
}

#[derive(Clone, Debug)]
struct Decoded {
    uri: Uri,
    headers: HeaderMap,
}

/// What is known of the transport. An HTTP server that is another's puts it among a request's extensions before
/// [`Container::upgrade`](crate::Container::upgrade); by default nothing is known, and nothing is encrypted.
///
/// ```
/// use sockeye::ConnectionInfo;
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
    /// The address of the peer.
    pub fn peer_addr(mut self, addr: SocketAddr) -> Self {
        self.peer_addr = Some(addr);
        self
    }

    /// The address that the peer connected to. On a loopback address only the loopback's names are taken in
    /// `Host`, unless [`ServerBuilder::any_host`](crate::ServerBuilder::any_host) says otherwise.
    pub fn local_addr(mut self, addr: SocketAddr) -> Self {
        self.local_addr = Some(addr);
        self
    }

    /// Whether the connection is encrypted: then pages of the same host came by `https:` too.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }
}

impl Handshake {
    /// Copies what is kept: a header that shares its bytes with the request would pin the whole
    /// buffer that the request was read into.
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

    /// Keeps what was agreed on.
    pub(crate) fn agree(&mut self, subprotocol: Option<&str>, compression: Option<DeflateParams>) {
        self.compression = compression;
        if let Some(subprotocol) = subprotocol {
            self.extra_mut().subprotocol = Some(subprotocol.into());
        }
    }

    /// Keeps what a configurator has said. What it has looked at need not stay decoded.
    pub(crate) fn configure(&mut self, principal: Option<Box<str>>, properties: Properties) {
        self.decoded.take();
        if principal.is_some() || !properties.is_empty() {
            let extra = self.extra_mut();
            extra.principal = principal;
            extra.properties = properties;
        }
    }

    /// What is known of how idle the connection is; nothing where that was never asked for.
    #[inline]
    pub(super) fn known_idle(&self) -> Option<&Idle> {
        self.extra.get().map(|extra| &extra.idle)
    }

    pub(super) fn idle(&self) -> &Idle {
        &self.extra.get_or_init(Box::default).idle
    }

    fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_init(Box::default);
        self.extra.get_mut().expect("it was just made")
    }

    /// The request's target, as it was sent.
    pub fn uri(&self) -> &Uri {
        &self.decoded().uri
    }

    /// The target's query, undecoded.
    pub fn query(&self) -> Option<&str> {
        self.uri().query()
    }

    /// The request's header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.decoded().headers
    }

    fn decoded(&self) -> &Decoded {
        self.decoded.get_or_init(|| {
            let (uri, headers) = self.head.decode();
            Box::new(Decoded { uri, headers })
        })
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
        self.info.peer_addr
    }

    /// The address that the peer connected to, where the transport has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.info.local_addr
    }

    /// Whether the connection is encrypted up to this server: what a proxy in front has ended is not.
    pub fn is_secure(&self) -> bool {
        self.info.secure
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.extra.get()?.subprotocol.as_deref()
    }

    /// The extensions that were agreed on, with their parameters but for those that have their default.
    pub fn extensions(&self) -> Vec<Extension> {
        let deflate = self.compression.as_ref().map(DeflateParams::to_extension);
        deflate.into_iter().collect()
    }

    /// Who the peer is, if a [`Configurator`](super::Configurator) has said so.
    pub fn principal(&self) -> Option<&str> {
        self.extra.get()?.principal.as_deref()
    }

    /// The application's own values of this connection.
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

    /// Each session has one of these. A subprotocol, a principal, properties and an idle limit are behind one pointer.
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
