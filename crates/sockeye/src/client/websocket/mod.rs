//! The browser's `WebSocket` object (WHATWG WebSockets): events, `send`, `close`, `ready_state`.
//!
//! Here is what a program may call; [`run`] is what happens meanwhile. [`stream`] is its sibling `WebSocketStream`.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use sockeye_proto::Outgoing;
use tokio::sync::{Notify, SetOnce};
use tokio::task::JoinHandle;

use super::Client;
use super::target::Target;
use crate::connection::outbox::{Item, Outbox};
use crate::error::SendError;
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

/// A client shaped as the browser's object: events come to handlers, `send` and `close` never wait.
///
/// A handle: clones are the same object. Nothing happens before [`run`](Self::run) is polled, so no
/// event can be missed between making the object and setting its handlers.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::WebSocket;
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
    outbox: Arc<Outbox>,
    // Payload bytes given to `send` after the connection began to close: they are never sent, and
    // counted all the same.
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

/// What may wait to be sent, in bytes, before the connection is failed as browsers fail it.
const BUFFER_LIMIT: usize = 64 << 20;

impl WebSocket {
    /// An object for a `ws:` or `wss:` URL; `http:` and `https:` stand for them. A user name and password
    /// in it are sent by basic authentication (RFC 7617). It connects as [`Client`] does by default;
    /// [`Client::websocket`] makes one that connects otherwise. Objects made here take turns at connecting to one
    /// address all over the process (RFC 6455 §4.1): see [`Client::in_turn`].
    ///
    /// It may be made anywhere, also outside of a runtime. Whether there is a server, and whether its
    /// port is one that browsers connect to, is told by the event `error`.
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
        client.subprotocols(protocols).websocket(url)
    }

    pub(super) fn with_client(url: &str, client: Client) -> Result<Self, SyntaxError> {
        let target = Target::parse_any_scheme(url)?;
        let client = argument::for_browser(client, &target)?;
        Ok(Self(Arc::new(Inner {
            origin: target.origin().into(),
            target,
            client,
            state: AtomicU8::new(ReadyState::Connecting as u8),
            protocol: OnceLock::new(),
            extensions: OnceLock::new(),
            outbox: Outbox::new(BUFFER_LIMIT),
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

    /// How far the connection is.
    pub fn ready_state(&self) -> ReadyState {
        match self.0.state.load(Ordering::Acquire) {
            0 => ReadyState::Connecting,
            1 => ReadyState::Open,
            2 => ReadyState::Closing,
            _ => ReadyState::Closed,
        }
    }

    /// The subprotocol that the server chose; empty without one, and before the connection is open.
    pub fn protocol(&self) -> &str {
        self.0.protocol.get().map_or("", String::as_str)
    }

    /// The extensions in use, as the server's answer has them: `permessage-deflate; ...`. Empty without
    /// one, and before the connection is open.
    pub fn extensions(&self) -> &str {
        self.0.extensions.get().map_or("", String::as_str)
    }

    /// The bytes of payload given to [`send`](Self::send) that have not been handed to the transport. The
    /// close does not reset it.
    pub fn buffered_amount(&self) -> u64 {
        self.0.outbox.unsent() as u64 + self.0.discarded.load(Ordering::Relaxed)
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

    /// Queues a message. Once the connection is closing it is dropped, though
    /// [`buffered_amount`](Self::buffered_amount) counts it. More than 64 MiB in the queue fail the
    /// connection.
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
        match self.0.outbox.try_push(Item::Message(outgoing)) {
            Ok(_) => {}
            Err(error) => {
                self.0.discarded.fetch_add(len, Ordering::Relaxed);
                if error == SendError::Full {
                    let _ = self.0.overflowed.set(());
                    self.set_state(ReadyState::Closing);
                    self.0.outbox.abort();
                }
            }
        }
        Ok(())
    }

    /// Starts to close the connection, behind what was sent before: `ws.close(())`, `ws.close(1000)`,
    /// `ws.close((4001, "reason"))`, `ws.close("reason")` with 1000. Without arguments the Close has no
    /// code. While the connection is being made, it is given up. Once it is closing, nothing happens.
    ///
    /// # Errors
    ///
    /// [`CloseError`] for a code that is neither 1000 nor in 3000-4999, or a reason of more than 123
    /// bytes, however far the object is.
    pub fn close(&self, args: impl Into<CloseArgs>) -> Result<(), CloseError> {
        let reason = args.into().into_reason()?;
        if self.advance(ReadyState::Connecting, ReadyState::Closing) {
            self.0.closed_early.notify_one();
        } else if self.advance(ReadyState::Open, ReadyState::Closing) {
            self.0.outbox.close(reason);
        }
        Ok(())
    }

    /// Completes when all that was given to [`send`](Self::send) before is handed to the transport.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the connection closes before.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn drained(&self) -> Result<(), SendError> {
        self.0.outbox.flush().await
    }

    /// The object's events, one after another, in the place of handlers: those that are set are not called.
    /// Asking for the first event connects. `None` once they are taken, or the object runs: an object
    /// connects once.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use sockeye::{Event, WebSocket};
    ///
    /// let ws = WebSocket::new("ws://127.0.0.1:8080/echo")?;
    /// let mut events = ws.events().expect("they are asked for once");
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         Event::Open => ws.send("hi")?,
    ///         Event::Message(event) => println!("{}", event.data),
    ///         Event::Error(event) => eprintln!("{event}"),
    ///         Event::Close(event) => println!("{}", event.code),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> Option<Events> {
        let runs = self.0.running.swap(true, Ordering::AcqRel);
        (!runs).then(|| Events::new(self.clone()))
    }

    /// Connects and dispatches the events to their handlers, one at a time, until the connection is closed.
    /// Called again, it only waits for that: an object connects once.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the transport is dropped with it, and no further event comes: the object is closed, with
    /// 1006.
    pub async fn run(&self) -> CloseEvent {
        if let Some(mut events) = self.events() {
            while let Some(event) = events.next().await {
                self.dispatch(&event);
            }
        }
        self.0.closed.wait().await.clone()
    }

    /// As [`run`](Self::run), in a task of its own. Handlers may be set before or after; those that are
    /// set when an event comes are called.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(&self) -> JoinHandle<CloseEvent> {
        let ws = self.clone();
        tokio::spawn(async move { ws.run().await })
    }

    fn dispatch(&self, event: &Event) {
        // Copied: a handler may set another.
        let handlers = lock(&self.0.handlers).clone();
        match event {
            Event::Open => {
                if let Some(on_open) = handlers.open {
                    on_open(self);
                }
            }
            Event::Message(event) => call(handlers.message, self, event),
            Event::Error(event) => call(handlers.error, self, event),
            Event::Close(event) => call(handlers.close, self, event),
        }
    }

    /// Nothing is sent any more.
    fn finish(&self) {
        self.set_state(ReadyState::Closed);
        self.0.outbox.shut();
    }

    /// Goes from one state to the next, if that is the state: whoever does it first decides.
    fn advance(&self, from: ReadyState, to: ReadyState) -> bool {
        let state = &self.0.state;
        state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The state only goes on.
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

fn call<E>(handler: Option<Arc<OnEvent<E>>>, ws: &WebSocket, event: &E) {
    if let Some(handler) = handler {
        handler(ws, event);
    }
}
