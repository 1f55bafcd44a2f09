//! WHATWG's `WebSocketStream`: the browser's object for who would rather read and write than be called, with
//! backpressure both ways.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use sockeye_proto::{CloseReason, Message, Outgoing};
use tokio::sync::SetOnce;

use super::argument::{self, CloseArgs, CloseError, SyntaxError};
use super::port;
use crate::client::Client;
use crate::client::target::Target;
use crate::connection::{Receiver, Sender, SenderSink, SplitEnd};
use crate::error::{BoxError, SendError};

/// A connection to read from and write to, as the browser's `WebSocketStream` is one.
///
/// Who does not read stops the server from sending, and a write waits while as much waits before it as the
/// connection takes (1 MiB). The rules on URLs, subprotocols, ports and codes are those of
/// [`WebSocket`](super::WebSocket).
///
/// Dropping this object and both sides of it closes the connection with 1000. Dropping [`Readable`] alone
/// discards what comes.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::WebSocketStream;
///
/// let mut ws = WebSocketStream::new("wss://chat.example/river")?;
/// let mut opened = ws.opened().await?;
/// opened.writable.write("hello").await?;
/// while let Some(message) = opened.readable.read().await? {
///     println!("{message}");
/// }
/// println!("{}", ws.closed().await?.code());
/// # Ok(())
/// # }
/// ```
pub struct WebSocketStream {
    target: Target,
    client: Client,
    open: Option<(Sender, Arc<SetOnce<SplitEnd>>)>,
}

/// An open [`WebSocketStream`].
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedStream {
    /// The messages that come.
    pub readable: Readable,
    /// Where messages go.
    pub writable: Writable,
    /// The subprotocol that the server chose; empty where none was asked for.
    pub protocol: String,
    /// The extensions that the server chose, as its answer has them.
    pub extensions: String,
}

/// The messages of a [`WebSocketStream`], each read when it is asked for: the connection is one ahead.
#[derive(Debug)]
pub struct Readable(Receiver);

/// Where the messages of a [`WebSocketStream`] go.
#[derive(Debug)]
pub struct Writable {
    sender: Sender,
    sink: SenderSink,
}

/// The connection failed, or ended otherwise than in order: WHATWG's `WebSocketError`.
#[derive(Clone, Debug)]
pub struct WebSocketError {
    close: Option<CloseReason>,
    cause: Arc<BoxError>,
}

impl Client {
    /// The browser's `WebSocketStream` for a URL, which connects as this client does, but follows no redirects.
    /// See [`WebSocketStream::new`].
    ///
    /// # Errors
    ///
    /// As [`WebSocketStream::with_protocols`].
    pub fn websocket_stream(self, url: &str) -> Result<WebSocketStream, SyntaxError> {
        let target = Target::parse_any_scheme(url)?;
        let client = argument::for_browser(self.redirects(0), &target)?;
        Ok(WebSocketStream {
            target,
            client,
            open: None,
        })
    }
}

impl WebSocketStream {
    /// An object for a `ws:` or `wss:` URL; `http:` and `https:` stand for them. Nothing is done before
    /// [`opened`](Self::opened) is polled.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] when the URL cannot be parsed, has another scheme or a fragment.
    pub fn new(url: &str) -> Result<Self, SyntaxError> {
        Self::with_protocols(url, [""; 0])
    }

    /// As [`new`](Self::new), offering subprotocols, the preferred first. A server that chooses none of
    /// them fails the connection.
    ///
    /// # Errors
    ///
    /// Also when a subprotocol is no token, or stands twice, if only in another case.
    pub fn with_protocols<I, S>(url: &str, protocols: I) -> Result<Self, SyntaxError>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let client = Client::builder().in_turn_of_process();
        client.subprotocols(protocols).websocket_stream(url)
    }

    /// The URL, serialised, with the scheme `ws` or `wss`.
    pub fn url(&self) -> &str {
        self.target.url.as_str()
    }

    /// Opens it, and spawns the task that drives it.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`] when it cannot be opened, and when it has been opened before.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the attempt ends, as WHATWG's `signal` would end it. Another call makes another one.
    pub async fn opened(&mut self) -> Result<OpenedStream, WebSocketError> {
        if self.open.is_some() {
            return Err(WebSocketError::new("it has been opened before"));
        }
        port::check(self.target.uri.port()).map_err(WebSocketError::new)?;
        let connecting = self.client.connect_to(self.target.clone());
        let connection = Box::pin(connecting).await.map_err(WebSocketError::new)?;
        let protocol = connection.subprotocol().unwrap_or_default().to_owned();
        let opening = connection.opening();
        let extensions = opening.map_or(String::new(), |opening| opening.extensions());
        let (sender, receiver, end) = connection.split_with_end();
        self.open = Some((sender.clone(), end));
        Ok(OpenedStream {
            readable: Readable(receiver),
            writable: Writable {
                sink: sender.clone().into_sink(),
                sender,
            },
            protocol,
            extensions,
        })
    }

    /// Completes when the connection has ended, with the code and reason of the server's Close. A server
    /// that sends is heard to its end only where [`Readable`] is read, or dropped.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`] when it ended without a Close of the server's, when something was not sent that had
    /// been taken, or when it is not open yet.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn closed(&self) -> Result<CloseReason, WebSocketError> {
        let Some((_, end)) = &self.open else {
            return Err(WebSocketError::new("it is not open yet"));
        };
        let end = end.wait().await;
        if let Some(failure) = &end.failure {
            return Err(WebSocketError::new(failure.as_str()));
        }
        let Some(reason) = &end.received else {
            return Err(WebSocketError::new("the server did not answer the Close"));
        };
        if !end.all_written {
            return Err(WebSocketError {
                close: Some(reason.clone()),
                ..WebSocketError::new("not all was sent")
            });
        }
        Ok(reason.clone())
    }

    /// Starts to close, behind what was written: with nothing (`()`), a code, a reason, which stands for 1000
    /// with it, or both. Does nothing where it is not open, or is closing already.
    ///
    /// # Errors
    ///
    /// [`CloseError`] for a code that is neither 1000 nor in 3000-4999, or a reason of more than 123
    /// bytes, however far the object is.
    pub fn close(&self, args: impl Into<CloseArgs>) -> Result<(), CloseError> {
        let reason = args.into().into_reason()?;
        if let Some((sender, _)) = &self.open {
            sender.outbox().close(reason);
        }
        Ok(())
    }
}

impl Readable {
    /// The next message; `None` once the connection is closed in order.
    ///
    /// # Errors
    ///
    /// Once, what ended it out of order; then `None`.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it is ready, it has taken nothing.
    pub async fn read(&mut self) -> Result<Option<Message>, WebSocketError> {
        self.0.recv().await.map_err(WebSocketError::new)
    }
}

/// As [`read`](Readable::read).
impl Stream for Readable {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.0).poll_next(cx);
        next.map(|message| message.map(|message| message.map_err(WebSocketError::new)))
    }
}

impl Writable {
    /// Writes a message, and completes when it is taken, not when it has arrived.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`] once the connection is closing.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the message: from then on it is sent once. Dropped before, it is
    /// not sent.
    pub async fn write(&self, message: impl Into<Outgoing>) -> Result<(), WebSocketError> {
        self.sender.feed(message).await.map_err(WebSocketError::new)
    }
}

/// As [`write`](Writable::write). Closing it closes the connection with an empty Close, behind what was
/// written, and completes when that has ended.
impl<M: Into<Outgoing>> Sink<M> for Writable {
    type Error = WebSocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        failed(Sink::<M>::poll_ready(Pin::new(&mut self.sink), cx))
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), Self::Error> {
        let sent = Pin::new(&mut self.sink).start_send(message);
        sent.map_err(WebSocketError::new)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        failed(Sink::<M>::poll_flush(Pin::new(&mut self.sink), cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if Sink::<M>::poll_ready(Pin::new(&mut self.sink), cx).is_pending() {
            return Poll::Pending;
        }
        // The first reason counts.
        self.sender.outbox().close(CloseReason::no_status());
        failed(Sink::<M>::poll_close(Pin::new(&mut self.sink), cx))
    }
}

fn failed(polled: Poll<Result<(), SendError>>) -> Poll<Result<(), WebSocketError>> {
    polled.map(|done| done.map_err(WebSocketError::new))
}

impl WebSocketError {
    fn new(cause: impl Into<BoxError>) -> Self {
        Self {
            close: None,
            cause: Arc::new(cause.into()),
        }
    }

    /// The code and reason of the server's Close, where one came.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.close.as_ref()
    }
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for WebSocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Its text is the cause's.
        self.cause.source()
    }
}

impl fmt::Debug for WebSocketStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketStream")
            .field("target", &self.target)
            .field("is_open", &self.open.is_some())
            .finish_non_exhaustive()
    }
}
