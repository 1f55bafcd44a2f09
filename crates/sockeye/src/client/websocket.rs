//! The browser's `WebSocket` object (WHATWG WebSockets): events, `send`, `close`, `ready_state`.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use sockeye_proto::handshake::{OfferError, WebSocketUri};
use sockeye_proto::{CloseCode, CloseReason, InvalidCloseReason, Message, MessageBuffer, Outgoing};
use tokio::sync::{Notify, SetOnce};

use super::{Client, ConnectError};
use crate::connection::driver::{Driver, Ending, Next};
use crate::connection::outbox::{Item, Outbox};
use crate::connection::pool;
use crate::error::{BoxError, SendError};
use crate::sync::{Arc, Mutex, lock};
use crate::transport::Stream;

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
    url: String,
    subprotocols: Vec<String>,
    state: AtomicU8,
    protocol: OnceLock<String>,
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
    /// An object for a `ws:` or `wss:` URL; `http:` and `https:` stand for them.
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
        let uri = parse_url(url)?;
        let subprotocols: Vec<String> = protocols.into_iter().map(Into::into).collect();
        let client = Client::builder().subprotocols(subprotocols.iter().cloned());
        client.handshake(uri.clone()).map_err(SyntaxError::new)?;
        refuse_repeated(&subprotocols)?;
        Ok(Self(Arc::new(Inner {
            url: uri.to_string(),
            subprotocols,
            state: AtomicU8::new(ReadyState::Connecting as u8),
            protocol: OnceLock::new(),
            outbox: Outbox::new(BUFFER_LIMIT),
            discarded: AtomicU64::new(0),
            overflowed: OnceLock::new(),
            closed_early: Notify::new(),
            handlers: Mutex::default(),
            running: AtomicBool::new(false),
            closed: SetOnce::new(),
        })))
    }

    /// The URL, serialised.
    pub fn url(&self) -> &str {
        &self.0.url
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
    /// `ws.close((4001, "reason"))`. While the connection is being made, it is given up. Once it is
    /// closing, nothing happens.
    ///
    /// # Errors
    ///
    /// [`InvalidAccess`] for a code that is neither 1000 nor in 3000-4999, or a reason of more than 123
    /// bytes.
    pub fn close(&self, args: impl Into<CloseArgs>) -> Result<(), InvalidAccess> {
        let reason = args.into().into_reason()?;
        if self.advance(ReadyState::Connecting, ReadyState::Closing) {
            self.0.closed_early.notify_one();
        } else if self.advance(ReadyState::Open, ReadyState::Closing) {
            self.0.outbox.close(reason);
        }
        Ok(())
    }

    /// Connects and dispatches the events, one at a time, until the connection is closed. Called again, it
    /// only waits for that: an object connects once.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the transport is dropped with it, and no further event comes: the object is closed, with
    /// 1006.
    pub async fn run(&self) -> CloseEvent {
        if self.0.running.swap(true, Ordering::AcqRel) {
            return self.0.closed.wait().await.clone();
        }
        let mut running = Running {
            ws: self,
            event: CloseEvent::new(&CloseReason::abnormal(""), false),
        };
        let end = match self.connect().await {
            Ok(driver) => self.dispatch(driver).await,
            Err(error) => Err(error),
        };
        running.event = match &end {
            Ok(reason) => CloseEvent::new(reason, true),
            Err((reason, _)) => CloseEvent::new(reason, false),
        };
        self.finish();
        let handlers = self.handlers();
        if let Err((_, source)) = end
            && let Some(on_error) = &handlers.error
        {
            on_error(self, &ErrorEvent { source });
        }
        if let Some(on_close) = &handlers.close {
            on_close(self, &running.event);
        }
        running.event.clone()
    }

    async fn connect(&self) -> Result<Driver<Stream>, (CloseReason, BoxError)> {
        let client = Client::builder()
            .subprotocols(self.0.subprotocols.iter().cloned())
            // WHATWG is stricter than RFC 6455: a subprotocol that was asked for has to be chosen.
            .require_subprotocol(!self.0.subprotocols.is_empty());
        let connection = tokio::select! {
            biased;
            () = self.0.closed_early.notified() => {
                return Err(closed_early());
            }
            connected = client.connect(&self.0.url) => {
                connected.map_err(|error| (CloseReason::abnormal(""), error.into()))?
            }
        };
        if let Some(protocol) = connection.subprotocol() {
            let _ = self.0.protocol.set(protocol.to_owned());
        }
        Ok(connection.into_driver(Arc::clone(&self.0.outbox)))
    }

    async fn dispatch(
        &self,
        mut driver: Driver<Stream>,
    ) -> Result<CloseReason, (CloseReason, BoxError)> {
        if !self.advance(ReadyState::Connecting, ReadyState::Open) {
            return Err(closed_early());
        }
        if let Some(on_open) = self.handlers().open {
            on_open(self);
        }
        let mut message = MessageBuffer::default();
        loop {
            match driver.next(&mut message).await {
                Next::Message => {
                    // Messages come while the state is open, and no more after `close`.
                    if self.ready_state() != ReadyState::Open {
                        continue;
                    }
                    if let Some(on_message) = self.handlers().message {
                        let data = pool::into_message(std::mem::take(&mut message));
                        on_message(self, &MessageEvent { data });
                    }
                }
                Next::Input | Next::Pong(_) => {}
                Next::End => break,
            }
        }
        self.set_state(ReadyState::Closing);
        let ending = driver.take_ending();
        if matches!(ending, Ending::Aborted) {
            // None of what waits is sent any more.
            self.0.outbox.shut();
        }
        // The code is the peer's first Close's, whoever closed first.
        let received = driver.linger().await;
        drop(driver);
        match (received, ending) {
            (_, Ending::Failed(error)) => Err((CloseReason::abnormal(""), error.into())),
            (_, Ending::Aborted) => {
                let cause = match self.0.overflowed.get() {
                    Some(()) => "more was sent than the buffer takes",
                    None => "aborted",
                };
                Err((CloseReason::abnormal(""), cause.into()))
            }
            (Some(reason), _) => Ok(reason),
            (None, _) => Err((
                CloseReason::abnormal(""),
                "the peer did not answer the Close".into(),
            )),
        }
    }

    fn handlers(&self) -> Handlers {
        lock(&self.0.handlers).clone()
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

/// The one run of an object: however it ends, whoever waits for that is told.
struct Running<'w> {
    ws: &'w WebSocket,
    event: CloseEvent,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.ws.finish();
        // Only this run sets it.
        let _ = self.ws.0.closed.set(self.event.clone());
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("url", &self.0.url)
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}

/// How far a [`WebSocket`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "WHATWG's four states")]
pub enum ReadyState {
    /// 0: the connection is not open yet.
    Connecting = 0,
    /// 1: messages go both ways.
    Open = 1,
    /// 2: the closing handshake has begun, or [`WebSocket::close`] was called.
    Closing = 2,
    /// 3: the connection is closed, or could not be opened.
    Closed = 3,
}

/// The event `message`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessageEvent {
    /// The message.
    pub data: Message,
}

/// The event `error`. Browsers keep its cause from pages; here it is.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ErrorEvent {
    source: BoxError,
}

/// The event `close`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseEvent {
    /// The code of the peer's Close; 1005 when it had none, 1006 when there was no Close.
    pub code: u16,
    /// The reason of the peer's Close.
    pub reason: String,
    /// Whether the closing handshake was completed.
    pub was_clean: bool,
}

impl CloseEvent {
    fn new(reason: &CloseReason, was_clean: bool) -> Self {
        Self {
            code: reason.code().get(),
            reason: reason.reason().to_owned(),
            was_clean,
        }
    }
}

/// The arguments of [`WebSocket::close`]: none, a code, or a code and a reason.
#[derive(Clone, Debug, Default)]
pub struct CloseArgs {
    code: Option<u16>,
    reason: String,
}

impl CloseArgs {
    fn into_reason(self) -> Result<CloseReason, InvalidAccess> {
        let Some(code) = self.code else {
            return Ok(CloseReason::no_status());
        };
        if code != CloseCode::NORMAL.get() && !(3000..=4999).contains(&code) {
            return Err(InvalidAccess(InvalidCloseReason::Code(code)));
        }
        let code = CloseCode::try_from(code).map_err(InvalidAccess)?;
        CloseReason::new(code, &self.reason).map_err(InvalidAccess)
    }
}

impl From<()> for CloseArgs {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<u16> for CloseArgs {
    fn from(code: u16) -> Self {
        Self::from((code, ""))
    }
}

impl From<(u16, &str)> for CloseArgs {
    fn from((code, reason): (u16, &str)) -> Self {
        Self {
            code: Some(code),
            reason: reason.to_owned(),
        }
    }
}

/// The URL or a subprotocol is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(#[source] Box<ConnectError>);

impl SyntaxError {
    fn new(error: impl Into<ConnectError>) -> Self {
        Self(Box::new(error.into()))
    }
}

/// The connection is not open yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is not open yet")]
pub struct InvalidState;

/// A code or reason that [`WebSocket::close`] does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct InvalidAccess(InvalidCloseReason);

fn closed_early() -> (CloseReason, BoxError) {
    let cause = "closed before the connection was open";
    (CloseReason::abnormal(""), cause.into())
}

/// RFC 6455 compares subprotocols as they are written; browsers take no two that differ in case only.
fn refuse_repeated(subprotocols: &[String]) -> Result<(), SyntaxError> {
    for (index, name) in subprotocols.iter().enumerate() {
        let earlier = &subprotocols[..index];
        if earlier.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            let repeated = OfferError::SubprotocolRepeated(name.clone());
            return Err(SyntaxError::new(repeated));
        }
    }
    Ok(())
}

/// WHATWG: `http` and `https` stand for `ws` and `wss`.
fn parse_url(url: &str) -> Result<WebSocketUri, SyntaxError> {
    let mut url = url::Url::parse(url).map_err(SyntaxError::new)?;
    let scheme = match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => return WebSocketUri::parse(url.as_str()).map_err(SyntaxError::new),
    };
    // Both are special schemes, between which a URL may change.
    let changed = url.set_scheme(scheme);
    debug_assert!(changed.is_ok());
    WebSocketUri::parse(url.as_str()).map_err(SyntaxError::new)
}
