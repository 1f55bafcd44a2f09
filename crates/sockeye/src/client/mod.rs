//! Connecting: the opening handshake of a client over TCP, or over TLS. hyper speaks HTTP; the stream leaves it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sockeye_proto::handshake::{
    Accepted, ClientHandshake, Extension, OfferError, ResponseError, UriError,
};
use sockeye_proto::{Config, DeflateConfig, DeflatePool, InvalidAnswer, Role};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use crate::connection::{Compression, Connection, Opening, client_machine};
use crate::transport::Stream;
#[cfg(feature = "tls")]
use crate::transport::tls::{self, TlsError, rustls};

use self::target::Target;

mod target;
mod websocket;

pub use self::websocket::{
    CloseArgs, CloseError, CloseEvent, ErrorEvent, Event, Events, InvalidAccess, InvalidState,
    MessageEvent, ReadyState, SyntaxError, WebSocket,
};

/// Connects to a WebSocket server with the defaults of [`Client`].
///
/// # Errors
///
/// As [`Client::connect`].
///
/// # Cancel safety
///
/// Dropped, the attempt ends.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
/// ws.send("hello").await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: impl AsRef<str>) -> Result<Connection, ConnectError> {
    Client::builder().connect(url).await
}

/// How to connect. It connects as often as it is asked to.
#[derive(Clone, Debug)]
#[must_use]
pub struct Client {
    config: Config,
    compression: Option<DeflateConfig>,
    deflate_pool: DeflatePool,
    headers: Vec<(HeaderName, HeaderValue)>,
    subprotocols: Vec<String>,
    require_subprotocol: bool,
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    connect_timeout: Duration,
    handshake_timeout: Duration,
}

/// The most bytes of a refusal's body that its error tells, and how long it waits for them.
const MAX_REFUSAL_BODY: usize = 4 * 1024;
const REFUSAL_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// The most bytes of a response's head, and the most header fields.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

impl Client {
    /// The defaults: no header fields of its own, no subprotocols, 10 s to connect and 10 s for the
    /// handshake.
    pub fn builder() -> Self {
        Self {
            config: Config::new(Role::Client),
            compression: Some(DeflateConfig::default()),
            deflate_pool: DeflatePool::default(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            require_subprotocol: false,
            #[cfg(feature = "tls")]
            tls: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
        }
    }

    /// Adds a header field to the request.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Offers subprotocols, the preferred first.
    pub fn subprotocols<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a server that chooses none of the subprotocols offered fails the handshake, as it does
    /// in browsers; RFC 6455 lets it pass, and so does the default.
    pub fn require_subprotocol(mut self, required: bool) -> Self {
        self.require_subprotocol = required;
        self
    }

    /// Sets the limits and deadlines of the connection.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets what is offered about compression (RFC 7692); `None` offers none. By default it is offered, as
    /// browsers do, without context takeover.
    pub fn compression(mut self, config: impl Into<Option<DeflateConfig>>) -> Self {
        self.compression = config.into();
        self
    }

    /// Sets how `wss:` URLs are connected to; by default as [`tls::client_config`] says: the server's
    /// certificate must be for the URL's host and from an authority that the system trusts. Of ALPN
    /// this client offers what it speaks, whatever `config` says.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.tls = Some(tls::for_client(config));
        self
    }

    /// Sets how long finding the host and TCP may take; 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long the opening handshake may take, TLS included; 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Connects to a `ws:` or `wss:` URL. Host names may be international, and other characters that a URL does
    /// not have are percent-encoded. A user name and password in it are sent by basic authentication
    /// (RFC 7617), unless there is a field `Authorization`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which says how far it came.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the attempt ends.
    pub async fn connect(&self, url: impl AsRef<str>) -> Result<Connection, ConnectError> {
        self.connect_to(Target::parse(url.as_ref())?).await
    }

    /// The browser's object for a URL, which connects as this client does. See [`WebSocket::new`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::with_protocols`].
    pub fn websocket(self, url: &str) -> Result<WebSocket, SyntaxError> {
        WebSocket::with_client(url, self)
    }

    async fn connect_to(&self, target: Target) -> Result<Connection, ConnectError> {
        let handshake = self.handshake(&target)?;
        let tcp = self.open_tcp(&target).await?;
        let mut deadline = pin!(sleep(self.handshake_timeout));
        let securing = self.secure(tcp, &target);
        let stream = self.in_time(deadline.as_mut(), securing).await??;
        self.shake_hands(stream, handshake, deadline).await
    }

    fn handshake(&self, target: &Target) -> Result<ClientHandshake, ConnectError> {
        // RFC 6455 §4.1: 16 bytes chosen at random for each connection.
        let mut handshake = ClientHandshake::new(target.uri.clone(), rand::random())
            .subprotocols(self.subprotocols.iter().cloned())?
            .require_subprotocol(self.require_subprotocol);
        if let Some(compression) = &self.compression {
            handshake = handshake.extensions([compression.offer()]);
        }
        for (name, value) in &self.headers {
            handshake = handshake.header(name.clone(), value.clone())?;
        }
        let is_given = self.headers.iter().any(|(name, _)| name == AUTHORIZATION);
        if let Some(value) = &target.authorization
            && !is_given
        {
            handshake = handshake.header(AUTHORIZATION, value.clone())?;
        }
        Ok(handshake)
    }

    /// What the server answers about compression.
    fn agreed_compression(
        &self,
        chosen: &[Extension],
    ) -> Result<Option<Compression>, ConnectError> {
        let Some(config) = &self.compression else {
            return Ok(None);
        };
        let params = config.accept(chosen)?;
        Ok(params.map(|params| Compression {
            params,
            config: config.clone(),
            pool: self.deflate_pool.clone(),
        }))
    }

    async fn open_tcp(&self, target: &Target) -> Result<TcpStream, ConnectError> {
        let uri = &target.uri;
        if uri.is_secure() && cfg!(not(feature = "tls")) {
            return Err(ConnectError::TlsUnsupported);
        }
        let connecting = TcpStream::connect((target.bare_host(), uri.port()));
        timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| ConnectError::ConnectTimeout(self.connect_timeout))?
            .map_err(ConnectError::Connect)
    }

    /// RFC 6455 §4.1: the TLS handshake comes first, with the host's name for the server to choose its
    /// certificate by.
    async fn secure(&self, tcp: TcpStream, target: &Target) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        if target.uri.is_secure() {
            let connecting = tls::connect(self.tls.as_ref(), target.bare_host(), tcp);
            return Ok(Box::pin(connecting).await?);
        }
        debug_assert!(!target.uri.is_secure(), "refused before");
        Ok(Stream::from(tcp))
    }

    /// One deadline for all of the handshake: what waits for a part of it, or that it is late.
    async fn in_time<F: Future>(
        &self,
        deadline: Pin<&mut Sleep>,
        waiting: F,
    ) -> Result<F::Output, ConnectError> {
        tokio::select! {
            biased;
            output = waiting => Ok(output),
            () = deadline => Err(ConnectError::HandshakeTimeout(self.handshake_timeout)),
        }
    }

    async fn shake_hands(
        &self,
        stream: Stream,
        handshake: ClientHandshake,
        deadline: Pin<&mut Sleep>,
    ) -> Result<Connection, ConnectError> {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await?;
        // Boxed: it is large, and done with long before the connection is.
        let mut connection = Some(Box::pin(connection.with_upgrades()));
        let asked = handshake.request();
        let request = asked.clone().map(|()| Empty::<Bytes>::new());
        let response = beside(&mut connection, sender.send_request(request));
        let response = self.in_time(deadline, response).await?;
        let response = response.map_err(ConnectError::unanswered)?;
        let (parts, mut body) = response.into_parts();
        let accepted = match handshake.receive(&parts) {
            Ok(accepted) => accepted,
            Err(ResponseError::Refused { .. }) => {
                // The status has come: what of the body comes soon is told with it.
                let mut start = Vec::new();
                let reading = beside(&mut connection, read_start(&mut body, &mut start));
                let _ = timeout(REFUSAL_BODY_TIMEOUT, reading).await;
                let response = Box::new(Response::from_parts(parts, start.into()));
                return Err(ConnectError::Refused(response));
            }
            Err(error) => return Err(ConnectError::Response(error)),
        };
        let Accepted {
            subprotocol,
            extensions,
            ..
        } = accepted;
        let compression = self.agreed_compression(&extensions)?;
        drop(sender);
        let opening = Opening {
            request: asked,
            response: Response::from_parts(parts.clone(), ()),
        };
        let on_upgrade = hyper::upgrade::on(Response::from_parts(parts, body));
        let upgraded = beside(&mut connection, on_upgrade).await?;
        let Ok(stream) = upgraded.downcast::<TokioIo<Stream>>() else {
            return Err(ConnectError::NoResponse);
        };
        let machine = client_machine(self.config.clone(), compression);
        let raw = stream.io.into_inner();
        let connection = Connection::new(raw, machine, &stream.read_buf, subprotocol);
        Ok(connection.with_opening(opening))
    }
}

/// Why connecting failed, and how far it came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's answer on compression does not fit what was offered.
    #[error(transparent)]
    Compression(#[from] InvalidAnswer),
    /// TCP could not be established, or the host has no address.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// TCP was not established in time.
    #[error("cannot connect: no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The handshake was not answered in time.
    #[error("the server did not answer the handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// The server's answer is not HTTP, or the transport failed.
    #[error("the handshake failed: {0}")]
    Http(#[from] hyper::Error),
    /// The server ended the connection without an answer.
    #[error("the server closed the connection without an answer")]
    NoResponse,
    /// What was to be offered may not be.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The server answered with another status than 101: here it is, with the start of its body.
    #[error("the server refused the handshake: {}", .0.status())]
    Refused(Box<Response<Bytes>>),
    /// The server's 101 is not a WebSocket's.
    #[error("the server's answer is wrong: {0}")]
    Response(#[source] ResponseError),
    /// The connection could not be secured.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// `wss:` needs this crate's feature `tls`.
    #[error("wss: URLs need the feature `tls` of sockeye, which this program is built without")]
    TlsUnsupported,
    /// The URL cannot be parsed.
    #[error("the URL cannot be parsed: {0}")]
    Url(#[from] url::ParseError),
    /// The URL is none of a WebSocket.
    #[error("the URL is none of a WebSocket: {0}")]
    WebSocketUri(#[from] UriError),
}

impl ConnectError {
    fn unanswered(error: hyper::Error) -> Self {
        // What hyper calls a connection that ended before the answer did.
        if error.is_incomplete_message() || error.is_canceled() {
            Self::NoResponse
        } else {
            Self::Http(error)
        }
    }

    /// The status with which the server refused the handshake, if it did.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(response) => Some(response.status()),
            _ => None,
        }
    }
}

async fn read_start(body: &mut Incoming, start: &mut Vec<u8>) {
    while start.len() < MAX_REFUSAL_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            let room = MAX_REFUSAL_BODY - start.len();
            start.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
}

/// Drives an HTTP connection beside what waits for something of it. It may end first, with what is
/// waited for read already; its errors come that way too.
async fn beside<C: Future, F: Future>(
    connection: &mut Option<Pin<Box<C>>>,
    waiting: F,
) -> F::Output {
    let mut waiting = pin!(waiting);
    poll_fn(|cx| {
        if let Some(driven) = connection
            && driven.as_mut().poll(cx).is_ready()
        {
            *connection = None;
        }
        waiting.as_mut().poll(cx)
    })
    .await
}
