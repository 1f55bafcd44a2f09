//! The browser's objects (WHATWG WebSockets): [`WebSocket`] with events, `send`, `close` and `ready_state`, and
//! [`WebSocketStream`] with a readable and a writable side.
//!
//! They are for programs that are ported from JavaScript. Other programs use [`connect`](crate::connect).
//!
//! ```no_run
//! use sockeye::browser::WebSocket;
//!
//! # async fn example() -> sockeye::Result {
//! let ws = WebSocket::new("ws://127.0.0.1:8080/echo")?;
//! ws.on_open(|ws| {
//!     let _ = ws.send("hi");
//! });
//! ws.on_message(|_, event| println!("{}", event.data));
//! ws.run().await;
//! # Ok(())
//! # }
//! ```

// This file holds the methods for programs; `run` connects and produces the events. `stream` is the sibling
// `WebSocketStream`.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use sockeye_mailbox::{Item, SendError};
use sockeye_proto::Outgoing;
use tokio::sync::{Notify, SetOnce};

use crate::client::{Client, Target};
use crate::connection::direct::Mailbox;
use crate::sync::{Arc, Mutex, lock};

mod argument;
mod event;
mod port;
mod run;
mod stream;

pub use self::argument::{CloseArgs, CloseError, InvalidAccess, InvalidState, SyntaxError};
pub use self::event::{CloseEvent, ErrorEvent, Event, MessageEvent, ReadyState};
pub use self::run::Events;
pub use self::stream::{OpenedStream, Readable, WebSocketError, WebSocketStream, Writable};

/// A client with the interface of the browser's `WebSocket` object: handlers get the events, `send` and `close` never
/// wait.
///
/// The type is a handle: clones are the same object. The object does nothing before [`run`](Self::run) is polled. So a
/// program that sets the handlers first misses no event.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::browser::WebSocket;
///
/// let ws = WebSocket::new("ws://127.0.0.1:8080/echo")?;
/// ws.on_open(|ws| {
///     let _ = ws.send("hi");
/// });
/// ws.on_message(|ws, event| {
///     println!("{}", event.data);
///     let _ = ws.close(());
/// });
/// ws.on_close(|_, event| println!("{} {}", event.code, event.was_clean));
/// ws.run().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WebSocket(Arc<Inner>);

struct Inner {
    target: Target,
    origin: Arc<str>,
    client: Client,
    state: AtomicU8,
    protocol: OnceLock<String>,
    extensions: OnceLock<String>,
    mailbox: Arc<Mailbox>,
    // Payload bytes that were given to `send` after the connection began to close. They are counted, but never sent.
    discarded: AtomicU64,
    overflowed: OnceLock<()>,
    closed_early: Notify,
    handlers: Mutex<Handlers>,
    running: AtomicBool,
    closed: SetOnce<CloseEvent>,
}

#[derive(Clone, Default)]
struct Handlers {
    open: Option<Arc<OnOpen>>,
    message: Option<Arc<OnEvent<MessageEvent>>>,
    error: Option<Arc<OnEvent<ErrorEvent>>>,
    close: Option<Arc<OnEvent<CloseEvent>>>,
}

type OnOpen = dyn Fn(&WebSocket) + Send + Sync;
type OnEvent<E> = dyn Fn(&WebSocket, &E) + Send + Sync;

/// The most bytes that may wait to be sent. With more, the connection fails, as in browsers.
const BUFFER_LIMIT: usize = 64 << 20;

impl Client {
    /// Makes a browser's `WebSocket` object, which connects to a URL with the options of this client, but follows no
    /// redirects.
    /// See [`WebSocket::new`].
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::with_protocols`].
    pub fn websocket(self, url: &str) -> Result<WebSocket, SyntaxError> {
        WebSocket::with_client(url, self)
    }
}

impl WebSocket {
    /// Makes an object for a `ws:` or `wss:` URL, which connects when it is [run](Self::run). `http:` and `https:` are
    /// converted to these. A user name and password in the URL are sent by basic authentication (RFC 7617).
    ///
    /// The object connects with the defaults of [`Client`]; for other options, use [`Client::websocket`]. All objects
    /// of this function in the process open one connection to an address at a time (RFC 6455 §4.1): see
    /// [`ClientBuilder::in_turn`](crate::client::ClientBuilder::in_turn).
    ///
    /// It can be made outside of a runtime too. A failed connection, and a port that browsers block, are reported by
    /// the event `error`.
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
        client.subprotocols(protocols).build().websocket(url)
    }

    fn with_client(url: &str, client: Client) -> Result<Self, SyntaxError> {
        let target = Target::parse_any_scheme(url)?;
        let client = argument::for_browser(client, &target)?;
        Ok(Self(Arc::new(Inner {
            origin: target.origin().into(),
            target,
            client,
            state: AtomicU8::new(ReadyState::Connecting as u8),
            protocol: OnceLock::new(),
            extensions: OnceLock::new(),
            mailbox: Mailbox::new(BUFFER_LIMIT),
            discarded: AtomicU64::new(0),
            overflowed: OnceLock::new(),
            closed_early: Notify::new(),
            handlers: Mutex::default(),
            running: AtomicBool::new(false),
            closed: SetOnce::new(),
        })))
    }

    /// The URL, serialised, with the scheme `ws` or `wss`.
    pub fn url(&self) -> &str {
        self.0.target.url.as_str()
    }

    /// The state of the connection.
    pub fn ready_state(&self) -> ReadyState {
        match self.0.state.load(Ordering::Acquire) {
            0 => ReadyState::Connecting,
            1 => ReadyState::Open,
            2 => ReadyState::Closing,
            _ => ReadyState::Closed,
        }
    }

    /// The subprotocol that the server chose. Empty without a subprotocol, and before the connection is open.
    pub fn protocol(&self) -> &str {
        self.0.protocol.get().map_or("", String::as_str)
    }

    /// The extensions in use, as the server's response writes them: `permessage-deflate; ...`. Empty without an
    /// extension, and before the connection is open.
    pub fn extensions(&self) -> &str {
        self.0.extensions.get().map_or("", String::as_str)
    }

    /// The payload bytes that were given to [`send`](Self::send) and not yet to the transport. Closing the connection
    /// does not reset the number.
    pub fn buffered_amount(&self) -> u64 {
        self.0.mailbox.unsent() as u64 + self.0.discarded.load(Ordering::Relaxed)
    }

    /// Sets the handler of the event `open`.
    pub fn on_open(&self, handler: impl Fn(&Self) + Send + Sync + 'static) {
        lock(&self.0.handlers).open = Some(Arc::new(handler));
    }

    /// Sets the handler of the event `message`.
    pub fn on_message(&self, handler: impl Fn(&Self, &MessageEvent) + Send + Sync + 'static) {
        lock(&self.0.handlers).message = Some(Arc::new(handler));
    }

    /// Sets the handler of the event `error`: the connection failed, `close` follows.
    pub fn on_error(&self, handler: impl Fn(&Self, &ErrorEvent) + Send + Sync + 'static) {
        lock(&self.0.handlers).error = Some(Arc::new(handler));
    }

    /// Sets the handler of the event `close`, the last one.
    pub fn on_close(&self, handler: impl Fn(&Self, &CloseEvent) + Send + Sync + 'static) {
        lock(&self.0.handlers).close = Some(Arc::new(handler));
    }

    /// Queues a message. Once the connection is closing, the message is dropped, but
    /// [`buffered_amount`](Self::buffered_amount) counts it. The connection fails when more than 64 MiB are queued.
    ///
    /// # Errors
    ///
    /// [`InvalidState`] before the connection is open.
    pub fn send(&self, message: impl Into<Outgoing>) -> Result<(), InvalidState> {
        if self.ready_state() == ReadyState::Connecting {
            return Err(InvalidState);
        }
        let outgoing = message.into();
        let len = outgoing.message().as_bytes().len() as u64;
        match self.0.mailbox.offer(Item::Message(outgoing), drop) {
            Ok(_) => {}
            Err(error) => {
                self.0.discarded.fetch_add(len, Ordering::Relaxed);
                if error == SendError::Full {
                    let _ = self.0.overflowed.set(());
                    self.set_state(ReadyState::Closing);
                    self.0.mailbox.abort();
                }
            }
        }
        Ok(())
    }

    /// Starts to close the connection, behind the messages that are queued. The argument is a code, a reason or both:
    /// `ws.close(1000)`, `ws.close((4001, "reason"))`, `ws.close("reason")` with 1000. With `ws.close(())` the Close
    /// has no code.
    ///
    /// A connection that is not open yet is given up. If the connection is closing already, nothing happens.
    ///
    /// # Errors
    ///
    /// [`CloseError`] for a code that is neither 1000 nor in 3000-4999, or a reason of more than 123 bytes, in any
    /// state of the object.
    pub fn close(&self, args: impl Into<CloseArgs>) -> Result<(), CloseError> {
        let reason = args.into().into_reason()?;
        if self.advance(ReadyState::Connecting, ReadyState::Closing) {
            self.0.closed_early.notify_one();
        } else if self.advance(ReadyState::Open, ReadyState::Closing) {
            self.0.mailbox.close(reason);
        }
        Ok(())
    }

    /// Waits until the transport has taken all messages that were given to [`send`](Self::send) before.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the connection closes first.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn drained(&self) -> Result<(), SendError> {
        self.0.mailbox.flush().await
    }

    /// Ends the object: it is closed, and its outbox sends nothing more.
    fn finish(&self) {
        self.set_state(ReadyState::Closed);
        self.0.mailbox.shut();
    }

    /// Moves from one state to the next. False if another call has left `from` first.
    fn advance(&self, from: ReadyState, to: ReadyState) -> bool {
        let state = &self.0.state;
        state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Moves on to a state; never back.
    fn set_state(&self, state: ReadyState) {
        self.0.state.fetch_max(state as u8, Ordering::AcqRel);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("url", &self.0.target.uri.to_string())
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}
