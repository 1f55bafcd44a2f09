//! WHATWG's `WebSocketStream`: a browser's object with a readable and a writable side, and backpressure both ways.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use sockeye_proto::{CloseReason, Message, Outgoing};

use super::argument::{self, CloseArgs, CloseError, SyntaxError};
use super::port;
use crate::client::{Client, Target};
use crate::connection::{Receiver, Sender, SplitState};
use crate::error::{BoxError, Error};

/// A client with the interface of the browser's `WebSocketStream`: a readable and a writable side.
///
/// A program that does not read stops the server from sending. A write waits while 1 MiB waits before it. The rules on
/// URLs, subprotocols, ports and codes are those of [`WebSocket`](super::WebSocket).
///
/// Dropping this object and both its sides closes the connection with 1000. Dropping only [`Readable`] discards the
/// messages that come.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::browser::WebSocketStream;
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
    open: Option<(Sender, Arc<SplitState>)>,
}

/// An open [`WebSocketStream`].
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedStream {
    /// The side that reads messages.
    pub readable: Readable,
    /// The side that writes messages.
    pub writable: Writable,
    /// The subprotocol that the server chose; empty if the client offered none.
    pub protocol: String,
    /// The extensions that the server chose, as its response writes them.
    pub extensions: String,
}

/// The readable side of a [`WebSocketStream`]. The connection reads at most one message ahead.
#[derive(Debug)]
pub struct Readable(Receiver);

/// The writable side of a [`WebSocketStream`].
#[derive(Debug)]
pub struct Writable {
    sender: Sender,
}

/// The error of a connection that failed, or did not close in order: WHATWG's `WebSocketError`.
#[derive(Clone, Debug)]
pub struct WebSocketError {
    close: Option<CloseReason>,
    cause: Arc<BoxError>,
}

impl Client {
    /// Makes a browser's `WebSocketStream`, which connects to a URL with the options of this client, but follows no
    /// redirects. See [`WebSocketStream::new`].
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocketStream::with_protocols`].
    pub fn websocket_stream(self, url: &str) -> Result<WebSocketStream, SyntaxError> {
        let target = Target::parse_any_scheme(url)?;
        let client = argument::for_browser(self, &target)?;
        Ok(WebSocketStream {
            target,
            client,
            open: None,
        })
    }
}

impl WebSocketStream {
    /// Makes an object for a `ws:` or `wss:` URL. `http:` and `https:` are converted to these. The object does nothing
    /// before [`opened`](Self::opened) is polled.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] when the URL cannot be parsed, has another scheme or a fragment.
    pub fn new(url: &str) -> Result<Self, SyntaxError> {
        Self::with_protocols(url, [""; 0])
    }

    /// Makes an object for a URL, like [`new`](Self::new), that offers subprotocols, the preferred one first. The
    /// connection fails when the server chooses none of them.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] for the URLs that [`new`](Self::new) refuses, for a subprotocol that is not a token, and for two
    /// that differ at most in case.
    pub fn with_protocols<I, S>(url: &str, protocols: I) -> Result<Self, SyntaxError>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let client = Client::builder().in_turn_of_process();
        client.subprotocols(protocols).build().websocket_stream(url)
    }

    /// The URL, serialised, with the scheme `ws` or `wss`.
    pub fn url(&self) -> &str {
        self.target.url.as_str()
    }

    /// Opens the connection, and spawns the task that drives it.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`] when the connection cannot be opened, and when it was opened before.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt, like WHATWG's `signal`. Another call starts another attempt.
    pub async fn opened(&mut self) -> Result<OpenedStream, WebSocketError> {
        if self.open.is_some() {
            return Err(WebSocketError::new("the stream was opened before"));
        }
        port::check(self.target.uri.port()).map_err(WebSocketError::new)?;
        let connecting = self.client.connect_to(self.target.clone());
        let connection = Box::pin(connecting).await.map_err(WebSocketError::new)?;
        let protocol = connection.subprotocol().unwrap_or_default().to_owned();
        let opening = connection.opening();
        let extensions = opening.map_or(String::new(), |opening| opening.extensions());
        let (sender, receiver, state) = connection.split_with_end();
        self.open = Some((sender.clone(), state));
        Ok(OpenedStream {
            readable: Readable(receiver),
            writable: Writable { sender },
            protocol,
            extensions,
        })
    }

    /// Waits for the end of the connection, and returns the code and reason of the server's Close. The connection
    /// reads on to the Close only while the program reads [`Readable`], or after it has dropped it.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`] when the server sent no Close, when a written message was not sent, and before the
    /// connection is open.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn closed(&self) -> Result<CloseReason, WebSocketError> {
        let Some((_, state)) = &self.open else {
            return Err(WebSocketError::new("the stream is not open yet"));
        };
        let end = state.end.wait().await;
        if let Some(failure) = &end.failure {
            return Err(WebSocketError::new(failure.as_str()));
        }
        let Some(reason) = &end.received else {
            return Err(WebSocketError::new("the server did not answer the Close"));
        };
        if !end.all_written {
            return Err(WebSocketError {
                close: Some(reason.clone()),
                ..WebSocketError::new("not all messages were sent")
            });
        }
        Ok(reason.clone())
    }

    /// Starts to close the connection, behind the written messages. The argument is nothing (`()`), a code, a reason
    /// (with the code 1000) or both. Does nothing if the connection is not open, or is closing already.
    ///
    /// # Errors
    ///
    /// [`CloseError`] for a code that is neither 1000 nor in 3000-4999, or a reason of more than 123 bytes, in any
    /// state of the object.
    pub fn close(&self, args: impl Into<CloseArgs>) -> Result<(), CloseError> {
        let reason = args.into().into_reason()?;
        if let Some((sender, _)) = &self.open {
            sender.mailbox().close(reason);
        }
        Ok(())
    }
}

impl Readable {
    /// Returns the next message; `None` once the connection is closed in order.
    ///
    /// # Errors
    ///
    /// Once, the error that ended the connection. Later calls return `None`.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future before it is ready loses no message.
    pub async fn read(&mut self) -> Result<Option<Message>, WebSocketError> {
        self.0.recv().await.map_err(WebSocketError::new)
    }
}

/// The messages of [`read`](Readable::read).
impl Stream for Readable {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.0).poll_next(cx);
        next.map(|message| message.map(|message| message.map_err(WebSocketError::new)))
    }
}

impl Writable {
    /// Writes a message. Completes when the connection has taken it, before it arrives.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`] once the connection is closing.
    ///
    /// # Cancel safety
    ///
    /// The first poll that finds room takes the message, which is then sent once. If the future is dropped before, the
    /// message is not sent.
    pub async fn write(&self, message: impl Into<Outgoing>) -> Result<(), WebSocketError> {
        self.sender.feed(message).await.map_err(WebSocketError::new)
    }
}

/// Sends messages like [`write`](Writable::write). Closing the sink sends a Close without a code behind the written
/// messages, and completes when the connection has ended.
impl Sink<Message> for Writable {
    type Error = WebSocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        failed(Pin::new(&mut self.sender).poll_ready(cx))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        let sent = Pin::new(&mut self.sender).start_send(message);
        sent.map_err(WebSocketError::new)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        failed(Pin::new(&mut self.sender).poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if Pin::new(&mut self.sender).poll_ready(cx).is_pending() {
            return Poll::Pending;
        }
        // Does nothing if a Close was given before.
        self.sender.mailbox().close(CloseReason::no_status());
        failed(Pin::new(&mut self.sender).poll_close(cx))
    }
}

fn failed(polled: Poll<Result<(), Error>>) -> Poll<Result<(), WebSocketError>> {
    polled.map(|done| done.map_err(WebSocketError::new))
}

impl WebSocketError {
    fn new(cause: impl Into<BoxError>) -> Self {
        Self {
            close: None,
            cause: Arc::new(cause.into()),
        }
    }

    /// The code and reason of the server's Close, if one came.
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
        // `Display` shows the cause itself, so the source is that of the cause.
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
