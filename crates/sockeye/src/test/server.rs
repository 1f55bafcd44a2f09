//! Endpoints under test: a server without a listener, and peers that reach it over memory. The opening handshake is that
//! of a real server, without the bytes of HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue, ORIGIN,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Request, Response, StatusCode, Uri};
use sockeye_proto::handshake::Key;
use sockeye_proto::{Config, Role};
use tokio::io::{DuplexStream, duplex};

use crate::connection::budget::AssemblyBudget;
use crate::connection::{Connection, client_machine};
use crate::endpoint::{
    ConnectionInfo, EndpointConfig, OpenSessions, Properties, ServerEndpoint, Session,
};
use crate::error::Error;
use crate::server::{Container, DeploymentError, Opening, Server, ServerBuilder};
use crate::transport::Stream;

/// Endpoints without a listener, for the tests of an application. [`get`](Self::get) begins a handshake, which is answered
/// as by a real server: the path is routed, the Origin and the configurator decide, the factory makes the endpoint.
///
/// ```
/// use sockeye::test::TestServer;
/// use sockeye::{Session, endpoint, server_endpoint};
///
/// struct Whoami;
///
/// #[server_endpoint("/whoami")]
/// impl Whoami {
///     #[on_message]
///     fn asked(&mut self, session: &Session, _text: &str) -> String {
///         session.principal().unwrap_or("unknown").to_owned()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> sockeye::Result {
/// let server = TestServer::new(Whoami::endpoint(|_| Whoami))?;
/// let mut peer = server.get("/whoami").principal("ann").open().await?;
/// peer.send("who am I?").await?;
/// assert_eq!(peer.recv().await?, Some("ann".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TestServer {
    container: Container,
}

/// A handshake that is about to be made with a [`TestServer`].
#[derive(Debug)]
#[must_use = "it is made by `open`"]
pub struct TestRequest {
    container: Container,
    target: String,
    headers: HeaderMap,
    subprotocols: Vec<String>,
    principal: Option<Box<str>>,
    properties: Properties,
    info: ConnectionInfo,
    config: Config,
    buffer: usize,
}

/// The client's end of a connection to an endpoint under test. It is a [`Connection`] over memory, by `Deref`.
#[derive(Debug)]
pub struct TestPeer {
    connection: Connection<DuplexStream>,
    session: Session,
    answer: Response<()>,
}

/// The error for a handshake that a [`TestServer`] refused. It shows the status and the reason.
#[derive(Debug)]
pub struct Refused(Box<Response<Bytes>>);

impl TestServer {
    /// Makes a server of one endpoint, with the defaults of [`Server::builder`].
    ///
    /// # Errors
    ///
    /// [`DeploymentError`] if the path is not a template.
    pub fn new(endpoint: EndpointConfig) -> Result<Self, DeploymentError> {
        Self::with(Server::builder().endpoint(endpoint))
    }

    /// Makes a server of one annotated endpoint, whose objects are the defaults of its type.
    ///
    /// # Errors
    ///
    /// [`DeploymentError`] if the path is not a template.
    pub fn of<E: ServerEndpoint + Default>() -> Result<Self, DeploymentError> {
        Self::with(Server::builder().default_endpoint::<E>())
    }

    /// Makes a server with the endpoints and settings of a builder: limits, origins, topics. What concerns TCP, TLS and
    /// HTTP has no effect.
    ///
    /// # Errors
    ///
    /// [`DeploymentError`] if two endpoints claim the same paths, or if a path is not a template.
    pub fn with(builder: ServerBuilder) -> Result<Self, DeploymentError> {
        let container = builder.container()?;
        Ok(Self { container })
    }

    /// Begins a handshake for a path, which may have a query.
    pub fn get(&self, target: &str) -> TestRequest {
        TestRequest {
            container: self.container.clone(),
            target: target.to_owned(),
            headers: HeaderMap::new(),
            subprotocols: Vec::new(),
            principal: None,
            properties: Properties::default(),
            info: ConnectionInfo::default(),
            // A peer of a test does what the test says, and nothing else.
            config: Config::new(Role::Client).keep_alive(None),
            buffer: BUFFER,
        }
    }

    /// Returns the endpoints: for their [`Stats`](crate::server::Stats), their topics, and to stop them.
    pub fn container(&self) -> &Container {
        &self.container
    }
}

/// The default of [`TestRequest::buffer`].
const BUFFER: usize = 64 * 1024;

impl TestRequest {
    /// Adds a header field to the request.
    ///
    /// # Panics
    ///
    /// If the name or the value is not one of a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: Result<HeaderName, _> = name.parse();
        let value: Result<HeaderValue, InvalidHeaderValue> = value.parse();
        match (name, value) {
            (Ok(name), Ok(value)) => drop(self.headers.append(name, value)),
            (Err(error), _) => panic!("not the name of a header field: {error}"),
            (_, Err(error)) => panic!("not the value of a header field: {error}"),
        }
        self
    }

    /// Sets the `Origin` of the request: the page that the client stands for.
    ///
    /// # Panics
    ///
    /// If the value is not one of a header field.
    pub fn origin(self, origin: &str) -> Self {
        self.header(ORIGIN.as_str(), origin)
    }

    /// Sets the subprotocols to offer, the preferred one first.
    pub fn subprotocols<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the name of the peer, in place of the one that the endpoint's configurator sets. The configurator still decides
    /// whether the peer comes in.
    pub fn principal(mut self, name: impl Into<Box<str>>) -> Self {
        self.principal = Some(name.into());
        self
    }

    /// Adds a value to the properties that the session starts with, as a configurator does.
    pub fn property<T: Send + Sync + 'static>(self, value: T) -> Self {
        self.properties.insert(value);
        self
    }

    /// Sets the address of the peer. By default it is unknown.
    pub fn peer_addr(mut self, addr: SocketAddr) -> Self {
        self.info = self.info.peer_addr(addr);
        self
    }

    /// Sets the limits and deadlines of the client's end. By default it has no keep-alive of its own: it is silent until the
    /// test sends something.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets how many bytes each direction of the transport holds. By default 64 KiB. With few bytes a peer that does not
    /// read soon holds the endpoint back.
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// Makes the handshake. The endpoint's task begins.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the status and the reason of the answer, if it is no 101.
    ///
    /// # Panics
    ///
    /// If the path is not one of a request, a subprotocol is not a token, or the caller is not in a tokio runtime.
    pub async fn open(self) -> Result<TestPeer, Refused> {
        let uri: Uri = match self.target.parse() {
            Ok(uri) => uri,
            Err(error) => panic!("`{}` is not the path of a request: {error}", self.target),
        };
        let mut request = Request::get(uri)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "Upgrade")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, Key::from_nonce(rand::random()).as_str());
        if !self.headers.contains_key(HOST) {
            request = request.header(HOST, "test");
        }
        if !self.subprotocols.is_empty() {
            request = request.header(SEC_WEBSOCKET_PROTOCOL, self.subprotocols.join(", "));
        }
        let (mut parts, ()) = match request.body(()) {
            Ok(request) => request.into_parts(),
            Err(error) => panic!("not a request: {error}"),
        };
        parts.headers.extend(self.headers);
        let mark = Mark::new();
        self.properties.insert(mark);
        let (near, far) = duplex(self.buffer);
        let opening = Opening {
            request: parts,
            info: self.info,
            properties: self.properties,
            principal: self.principal,
            stream: Stream::new(far),
        };
        let (answer, open_sessions) = match self.container.open(opening).await {
            Ok(opened) => opened,
            Err(refusal) => return Err(Refused(Box::new(refusal))),
        };
        let Some(session) = mark.find(&open_sessions) else {
            // Only a server that is dropping its sessions has none.
            let mut refusal = Response::new(Bytes::from_static(b"the session was dropped\n"));
            *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Refused(Box::new(refusal)));
        };
        let subprotocol = session.subprotocol().map(str::to_owned);
        let machine = client_machine(self.config, None);
        let budget = AssemblyBudget::of_others();
        Ok(TestPeer {
            connection: Connection::new(near, machine, &[], subprotocol, budget),
            session,
            answer,
        })
    }
}

impl TestPeer {
    /// Returns the session at the endpoint's end.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the 101 that opened the connection.
    pub fn answer(&self) -> &Response<()> {
        &self.answer
    }

    /// Returns the connection.
    pub fn into_inner(self) -> Connection<DuplexStream> {
        self.connection
    }
}

impl Deref for TestPeer {
    type Target = Connection<DuplexStream>;

    fn deref(&self) -> &Connection<DuplexStream> {
        &self.connection
    }
}

impl DerefMut for TestPeer {
    fn deref_mut(&mut self) -> &mut Connection<DuplexStream> {
        &mut self.connection
    }
}

/// A property by which the session of a handshake is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u64);

impl Mark {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn find(self, sessions: &OpenSessions) -> Option<Session> {
        let is_marked = |session: &Session| session.properties().get().as_deref() == Some(&self);
        let found = sessions.to_vec().into_iter().find(is_marked);
        if let Some(session) = &found {
            session.properties().remove::<Self>();
        }
        found
    }
}

impl Refused {
    /// Returns the status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Returns the whole answer. Its body says why the handshake was refused.
    pub fn response(&self) -> &Response<Bytes> {
        &self.0
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = String::from_utf8_lossy(self.0.body());
        write!(f, "refused with {}: {}", self.0.status(), reason.trim_end())
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(error: Refused) -> Self {
        Self::Connect(error.into())
    }
}
