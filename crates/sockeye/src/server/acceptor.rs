//! The acceptor: opens the server's end of one connection after the other, without endpoints.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use http::{Request, Response, request};
use sockeye_proto::handshake::OriginPolicy;
use sockeye_proto::{Config, DeflateConfig};

use super::accepting;
use super::body::ResponseBody;
use super::error::AcceptError;
use super::foreign::Facts;
use super::options::Options;
use super::upgrading::{self, Upgrading};
use crate::connection::Connection;
use crate::connection::budget::AssemblyBudget;
use crate::endpoint::{HandshakeResponse, Refusal};
use crate::handshake::Handshake;
use crate::sync::Arc;
use crate::transport::Stream;

/// Accepts connections: reads a client's opening handshake on a stream, answers it, and returns the open [`Connection`]. It
/// is the counterpart of [`Client`](crate::Client). [`new`](Self::new) makes one with the default options,
/// [`builder`](Self::builder) one with others.
///
/// It listens nowhere, and knows no endpoints and no paths: the application brings each stream, and has the connection. A
/// [`Server`](crate::Server) does more.
///
/// ```no_run
/// use http::StatusCode;
/// use sockeye::endpoint::Refusal;
/// use sockeye::server::Acceptor;
/// use tokio::net::{TcpListener, TcpStream};
///
/// async fn echo(acceptor: Acceptor, tcp: TcpStream) -> sockeye::Result {
///     let mut ws = acceptor.accept(tcp).await?;
///     while let Some(message) = ws.recv().await? {
///         ws.send(message).await?;
///     }
///     Ok(())
/// }
///
/// # async fn example() -> sockeye::Result {
/// let acceptor = Acceptor::builder()
///     .subprotocols(["chat.v1"])
///     .on_request(|request, _response| match request.uri().path() {
///         "/chat" => Ok(()),
///         _ => Err(Refusal::new(StatusCode::NOT_FOUND).body("there is only a chat\n")),
///     })
///     .build();
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// loop {
///     let (tcp, _) = listener.accept().await?;
///     tokio::spawn(echo(acceptor.clone(), tcp));
/// }
/// # }
/// ```
///
/// Cheap to clone. Its connections share its compressors.
#[derive(Clone)]
pub struct Acceptor(pub(super) Arc<Options>);

impl Acceptor {
    /// Makes an acceptor with the defaults. It speaks no subprotocol, compresses nothing, and lets pages of the request's own
    /// host connect. A client has 10 s for its request.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Makes a builder, which has the defaults of [`new`](Self::new) until they are set.
    pub fn builder() -> AcceptorBuilder {
        AcceptorBuilder(Options::default())
    }

    /// Accepts a connection on a stream: reads the request, and answers it. A `TcpStream` is a stream; any other transport
    /// becomes one by [`Stream::new`]. TLS is the caller's: the stream is what TLS decrypts.
    ///
    /// Bytes that the client sent behind its request are not lost. The connection knows the request:
    /// [`Connection::request`].
    ///
    /// ```
    /// use sockeye::server::{AcceptError, Acceptor};
    /// use sockeye::transport::Stream;
    /// use sockeye::Client;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> sockeye::Result {
    /// let (near, far) = tokio::io::duplex(64 * 1024);
    /// let (acceptor, client) = (Acceptor::new(), Client::new());
    /// let (accepted, connected) = tokio::join!(
    ///     acceptor.accept(Stream::new(near)),
    ///     client.connect_over(Stream::new(far), "ws://chat.example/river"),
    /// );
    /// let (mut server, mut client) = (accepted?, connected?);
    /// assert_eq!(server.request().expect("it was accepted").uri(), "/river");
    /// client.send("hello").await?;
    /// assert_eq!(server.recv().await?, Some("hello".into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`AcceptError`] says what was wrong. If it is [`AcceptError::Refused`], the client got that response, with the reason
    /// in its body. A server's endpoint would have answered with the same status.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    pub async fn accept(&self, stream: impl Into<Stream>) -> Result<Connection, AcceptError> {
        // Boxed: hyper's state is large, and the caller's future would have room for it as long as the connection lives.
        Box::pin(accepting::accept(&self.0, stream.into())).await
    }

    /// Answers a request inside another HTTP server that is built on hyper. Returns the response, which the caller returns
    /// to its server, and a future of the connection, which the caller awaits in a task.
    ///
    /// The response is a 101 without a body, or a refusal with the reason in its body; then the future has the error at once.
    /// The statuses are those of a server's endpoint. The caller may add header fields to the response.
    ///
    /// The request has to have hyper's extension, by which the connection is upgraded; else the answer is 500. If it has a
    /// [`ConnectionInfo`](crate::endpoint::ConnectionInfo) or a [`Properties`](crate::endpoint::Properties) among its
    /// extensions, the connection's request has them too. hyper's HTTP/1.1 connection needs `with_upgrades`.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use hyper::body::Incoming;
    /// use sockeye::server::{Acceptor, ResponseBody, Upgrading};
    ///
    /// /// The service of an HTTP server.
    /// async fn answer(acceptor: &Acceptor, mut request: Request<Incoming>) -> Response<ResponseBody> {
    ///     let (response, upgrading) = acceptor.upgrade(&mut request);
    ///     tokio::spawn(echo(upgrading));
    ///     response
    /// }
    ///
    /// async fn echo(upgrading: Upgrading) -> sockeye::Result {
    ///     let mut ws = upgrading.await?;
    ///     while let Some(message) = ws.recv().await? {
    ///         ws.send(message).await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = answer;
    /// ```
    pub fn upgrade<B>(&self, request: &mut Request<B>) -> (Response<ResponseBody>, Upgrading) {
        let facts = Facts::take(request.extensions_mut());
        let (response, upgrading) = lend_parts(request, |request| {
            upgrading::upgrade(&self.0, request, facts)
        });
        (response.map(ResponseBody::from), upgrading)
    }
}

impl Default for Acceptor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.0).finish()
    }
}

/// The acceptor of [`accept`] and [`upgrade`].
pub(super) static DEFAULT: LazyLock<Acceptor> = LazyLock::new(Acceptor::new);

/// Accepts a connection on a stream with the defaults of [`Acceptor`].
///
/// ```no_run
/// use tokio::net::{TcpListener, TcpStream};
///
/// async fn echo(tcp: TcpStream) -> sockeye::Result {
///     let mut ws = sockeye::accept(tcp).await?;
///     while let Some(message) = ws.recv().await? {
///         ws.send(message).await?;
///     }
///     Ok(())
/// }
///
/// # async fn example() -> sockeye::Result {
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// loop {
///     let (tcp, _) = listener.accept().await?;
///     tokio::spawn(echo(tcp));
/// }
/// # }
/// ```
///
/// # Errors
///
/// [`AcceptError`] says what was wrong.
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn accept(stream: impl Into<Stream>) -> Result<Connection, AcceptError> {
    DEFAULT.accept(stream).await
}

/// Answers a request inside another HTTP server with the defaults of [`Acceptor`]: see [`Acceptor::upgrade`].
///
/// ```
/// use http::{Request, Response};
/// use hyper::body::Incoming;
/// use sockeye::server::ResponseBody;
///
/// async fn greet(mut request: Request<Incoming>) -> Response<ResponseBody> {
///     let (response, upgrading) = sockeye::upgrade(&mut request);
///     tokio::spawn(async move {
///         let mut ws = upgrading.await?;
///         ws.send("hello").await
///     });
///     response
/// }
/// # let _ = greet;
/// ```
pub fn upgrade<B>(request: &mut Request<B>) -> (Response<ResponseBody>, Upgrading) {
    DEFAULT.upgrade(request)
}

/// Builds an [`Acceptor`]. [`Acceptor::builder`] makes it.
///
/// ```
/// use sockeye::proto::{Config, DeflateConfig, Role};
/// use sockeye::server::Acceptor;
///
/// let acceptor = Acceptor::builder()
///     .config(Config::new(Role::Server).max_message(64 * 1024))
///     .compression(DeflateConfig::default())
///     .build();
/// ```
#[derive(Clone)]
#[must_use]
pub struct AcceptorBuilder(pub(super) Options);

impl AcceptorBuilder {
    /// Builds the acceptor.
    pub fn build(self) -> Acceptor {
        Acceptor(Arc::new(self.0))
    }

    /// Sets the subprotocols that are spoken. The first one in the client's list that is spoken is agreed on. If there is
    /// none, the connection has no subprotocol.
    pub fn subprotocols<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.0.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets which pages may connect (RFC 6455 §10.2). By default the pages of the request's own host may, and clients that
    /// send no Origin. Others get 403.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.0.origins = policy;
        self
    }

    /// Accepts any `Host` on a loopback address. By default a connection that came to a loopback address must name the
    /// loopback in `Host`; else it gets 403. So a page cannot reach a local program by a name that was made to resolve to
    /// the loopback (DNS rebinding). Behind a proxy on the same machine, which keeps the `Host` of the client, call this.
    pub fn any_host(mut self) -> Self {
        self.0.any_host = true;
        self
    }

    /// Sets the limits and deadlines of each connection. By default a message has at most 1 MiB.
    pub fn config(mut self, config: Config) -> Self {
        self.0.config = Arc::new(config);
        self
    }

    /// Sets the longest message that a connection takes, in bytes, inclusive. By default 1 MiB. A longer one closes the
    /// connection with 1009. Another [`config`](Self::config) replaces it.
    pub fn max_message(mut self, bytes: u64) -> Self {
        let config = Config::clone(&self.0.config).max_message(bytes);
        self.0.config = Arc::new(config);
        self
    }

    /// Compresses messages for clients that offer it (RFC 7692). By default no message is compressed. See
    /// [`ServerBuilder::compression`](crate::server::ServerBuilder::compression) about secrets.
    pub fn compression(mut self, config: impl Into<Option<DeflateConfig>>) -> Self {
        self.0.compression = config.into();
        self
    }

    /// Sets how many bytes the unfinished messages of the acceptor's connections may take together, beyond the first 64 KiB
    /// of each connection, which are free. By default they share one limit with all connections of the process that
    /// belong to no server and no client. It is that of
    /// [`ServerBuilder::max_assembling`](crate::server::ServerBuilder::max_assembling).
    pub fn max_assembling(mut self, bytes: u64) -> Self {
        self.0.budget = AssemblyBudget::new(bytes);
        self
    }

    /// Sets how long a client may take for its request. By default 10 s. Then the stream is dropped. It has no effect on
    /// [`Acceptor::upgrade`]: there the other server read the request.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.0.handshake_timeout = timeout;
        self
    }

    /// Sets how many bytes the head of a request may have, its first line and the empty last one included. By default
    /// 16 KiB. A larger one is answered 431. It has no effect on [`Acceptor::upgrade`].
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.0.head_limits.bytes = bytes;
        self
    }

    /// Sets how many header fields a request may have. By default 100. One with more is answered 431. It has no effect on
    /// [`Acceptor::upgrade`].
    pub fn max_header_fields(mut self, fields: usize) -> Self {
        self.0.head_limits.fields = fields;
        self
    }

    /// Sets a function that sees each request that fulfils the rules. It may add header fields to the answer, name the
    /// peer, keep properties for the connection, or refuse with any status. It is called in the task that accepts, and
    /// must not block.
    ///
    /// ```
    /// use http::StatusCode;
    /// use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
    /// use sockeye::endpoint::Refusal;
    /// use sockeye::server::Acceptor;
    ///
    /// let acceptor = Acceptor::builder()
    ///     .on_request(|request, response| {
    ///         match request.headers().get(AUTHORIZATION) {
    ///             Some(token) if token == "Bearer secret" => response.set_principal("ann"),
    ///             _ => return Err(Refusal::new(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, "Bearer")?),
    ///         }
    ///         Ok(())
    ///     })
    ///     .build();
    /// ```
    ///
    /// [`Connection::request`] has the principal and the properties.
    pub fn on_request(
        mut self,
        hook: impl Fn(&Handshake, &mut HandshakeResponse) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.0.hook = Some(Arc::new(hook));
        self
    }
}

impl fmt::Debug for AcceptorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcceptorBuilder").field(&self.0).finish()
    }
}

/// Lends a request as the parts of its head, without its extensions.
fn lend_parts<B, R>(request: &mut Request<B>, look: impl FnOnce(&request::Parts) -> R) -> R {
    let (mut parts, ()) = Request::new(()).into_parts();
    let mut swap = |parts: &mut request::Parts| {
        std::mem::swap(request.method_mut(), &mut parts.method);
        std::mem::swap(request.uri_mut(), &mut parts.uri);
        std::mem::swap(request.version_mut(), &mut parts.version);
        std::mem::swap(request.headers_mut(), &mut parts.headers);
    };
    swap(&mut parts);
    let seen = look(&parts);
    swap(&mut parts);
    seen
}
