//! A client that connects again: [`retry`] judges, [`queue`] holds what is said meanwhile, and [`Reconnecting`] has
//! the connection.
//!
//! ```text
//!              ┌────────── Waiting ◀──────────┐ worth another attempt
//!              ▼                              │
//!   Idle ─▶ Connecting ──────▶ Open ──────────┤
//!              │                              ▼
//!              └───────────────────────────▶ Over
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use sockeye_proto::{Message, Outgoing};
use tokio::time::{Instant, Sleep, sleep};

use super::target::Target;
use super::{Client, ConnectError};
use crate::connection::Connection;
use crate::error::{Error, ErrorChain, SendError};
use crate::sync::Arc;

mod queue;
mod retry;

use self::queue::Queue;
pub use self::queue::{QueueError, ReconnectSender};
pub use self::retry::{Interruption, Retry};

/// A connection that is made anew when it is lost. It has no task of its own: it goes on while
/// [`next`](Self::next) is being polled.
///
/// Messages are sent through a [`sender`](Self::sender). While there is no connection they wait, up to
/// [`queue_limit`](Self::queue_limit). A message is sent at most once: what a connection may have taken with it is
/// told by [`ReconnectEvent::Interrupted`], and what is left when all is over by [`ReconnectEvent::Ended`].
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::{Client, ReconnectEvent};
///
/// let mut feed = Client::builder()
///     .reconnecting("wss://feed.example/")?
///     // Said first on each connection.
///     .greeting(|_connection| vec![r#"{"subscribe":"salmon"}"#.into()]);
/// let sender = feed.sender();
/// sender.send("hello")?;
/// while let Some(event) = feed.next().await {
///     match event {
///         ReconnectEvent::Message(message) => println!("{message}"),
///         ReconnectEvent::Interrupted { why, pause, .. } => eprintln!("{why}; again in {pause:?}"),
///         ReconnectEvent::Ended { unsent, .. } => eprintln!("{} messages are unsent", unsent.len()),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Reconnecting {
    connector: Box<dyn FnMut() -> Connecting + Send>,
    greeting: Option<Greeting>,
    retry: Retry,
    queue: Arc<Queue>,
    state: State,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;
type Greeting = Box<dyn FnMut(&Connection) -> Vec<Outgoing> + Send>;

enum State {
    Idle,
    Connecting(Connecting),
    Open(Box<Open>),
    Waiting(Pin<Box<Sleep>>),
    Over,
}

struct Open {
    connection: Connection,
    greeting: VecDeque<Outgoing>,
    /// What the connection took and may not have written yet.
    unwritten: Vec<Outgoing>,
    unwritten_bytes: usize,
    is_closing: bool,
}

/// What happened to a [`Reconnecting`] client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// An attempt begins.
    Connecting {
        /// Which one in a row, from 1.
        attempt: u32,
    },
    /// There is a connection: see [`Reconnecting::connection`].
    Opened,
    /// The peer sent a message.
    Message(Message),
    /// There is no connection, and there will be another attempt.
    Interrupted {
        /// What happened.
        why: Interruption,
        /// How long it waits.
        pause: Duration,
        /// What was given to the connection and may not have reached the peer: all that was not written to the
        /// transport when it ended, some 64 KiB and one message at most. It is not sent again.
        unconfirmed: Vec<Outgoing>,
    },
    /// It is over: the last event.
    Ended {
        /// What happened; `None` where [`ReconnectSender::close`] asked for it.
        why: Option<Interruption>,
        /// As in [`Interrupted`](Self::Interrupted).
        unconfirmed: Vec<Outgoing>,
        /// What waited for a connection.
        unsent: Vec<Outgoing>,
    },
}

impl Client {
    /// A connection to this target, made as this client does, and again when it is lost; see [`Reconnecting`].
    /// Nothing is done before [`Reconnecting::next`] is polled.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for a target that cannot be connected to.
    pub fn reconnecting(
        self,
        target: impl TryInto<Target, Error = ConnectError>,
    ) -> Result<Reconnecting, ConnectError> {
        let target = target.try_into()?;
        let client = Arc::new(self);
        Ok(Reconnecting::new(move || {
            let (client, target) = (Arc::clone(&client), target.clone());
            async move { client.connect_to(target).await }
        }))
    }
}

impl Reconnecting {
    /// How many bytes wait for a connection by default, as [`ReconnectSender::queued_bytes`] counts: 1 MiB.
    pub const DEFAULT_QUEUE_LIMIT: usize = 1 << 20;

    /// A connection that `connector` makes, anew for each attempt: the place to fetch a fresh token, or to choose
    /// another server. What fails before it connects is [`ConnectError::Connector`].
    ///
    /// ```no_run
    /// use sockeye::{Client, ConnectError, Reconnecting};
    ///
    /// # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// let feed = Reconnecting::new(|| async {
    ///     let token = fresh_token().await.map_err(|error| ConnectError::Connector(error.into()))?;
    ///     let client = Client::builder().bearer_auth(&token);
    ///     let client = client.map_err(|error| ConnectError::Connector(error.into()))?;
    ///     client.connect("wss://feed.example/").await
    /// });
    /// ```
    pub fn new<F>(mut connector: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Connection, ConnectError>> + Send + 'static,
    {
        Self {
            connector: Box::new(move || Box::pin(connector())),
            greeting: None,
            retry: Retry::default(),
            queue: Arc::new(Queue::new(Self::DEFAULT_QUEUE_LIMIT)),
            state: State::Idle,
        }
    }

    /// Sets whether and when it connects again; by default as [`Retry::default`] says.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets what is said first on each connection, before what waits: to log in again, to subscribe.
    #[must_use]
    pub fn greeting(
        mut self,
        greeting: impl FnMut(&Connection) -> Vec<Outgoing> + Send + 'static,
    ) -> Self {
        self.greeting = Some(Box::new(greeting));
        self
    }

    /// Sets how many bytes may wait, as [`ReconnectSender::queued_bytes`] counts;
    /// [`DEFAULT_QUEUE_LIMIT`](Self::DEFAULT_QUEUE_LIMIT).
    #[must_use]
    pub fn queue_limit(self, bytes: usize) -> Self {
        self.queue.set_limit(bytes);
        self
    }

    /// What sends messages, from any task.
    pub fn sender(&self) -> ReconnectSender {
        ReconnectSender(Arc::clone(&self.queue))
    }

    /// The connection, while there is one.
    pub fn connection(&self) -> Option<&Connection> {
        match &self.state {
            State::Open(open) => Some(&open.connection),
            _ => None,
        }
    }

    /// Goes on until something has happened; `None` after [`ReconnectEvent::Ended`].
    ///
    /// # Cancel safety
    ///
    /// Safe: an attempt, a pause and a connection are kept, and go on with the next call.
    pub async fn next(&mut self) -> Option<ReconnectEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ReconnectEvent>> {
        let has_connection = matches!(self.state, State::Open(_));
        if !has_connection && self.queue.closing(cx).is_some() {
            return Poll::Ready(self.end(None, Vec::new()));
        }
        let event = match &mut self.state {
            State::Idle => self.begin(),
            State::Waiting(pause) => {
                ready!(pause.as_mut().poll(cx));
                self.begin()
            }
            State::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                Ok(connection) => self.open(connection),
                Err(error) => self.interrupt(Interruption::Connect(error), Vec::new()),
            },
            State::Open(open) => match ready!(open.poll(&self.queue, cx)) {
                Ok(Some(message)) => Some(ReconnectEvent::Message(message)),
                ended => {
                    let unconfirmed = std::mem::take(&mut open.unwritten);
                    let why = match ended {
                        Err(error) => Some(Interruption::Lost(error)),
                        Ok(_) if open.is_closing => None,
                        Ok(_) => {
                            let reason = open.connection.close_received().cloned();
                            reason.map(Interruption::Closed)
                        }
                    };
                    match why {
                        Some(why) if !open.is_closing => self.interrupt(why, unconfirmed),
                        why => self.end(why, unconfirmed),
                    }
                }
            },
            State::Over => None,
        };
        Poll::Ready(event)
    }

    fn begin(&mut self) -> Option<ReconnectEvent> {
        self.state = State::Connecting((self.connector)());
        let attempt = self.retry.failures().saturating_add(1);
        Some(ReconnectEvent::Connecting { attempt })
    }

    fn open(&mut self, connection: Connection) -> Option<ReconnectEvent> {
        self.retry.connected(Instant::now().into_std());
        let greeting = self.greeting.as_mut();
        let greeting = greeting.map(|greeting| greeting(&connection));
        self.state = State::Open(Box::new(Open {
            connection,
            greeting: greeting.unwrap_or_default().into(),
            unwritten: Vec::new(),
            unwritten_bytes: 0,
            is_closing: false,
        }));
        Some(ReconnectEvent::Opened)
    }

    fn interrupt(
        &mut self,
        why: Interruption,
        unconfirmed: Vec<Outgoing>,
    ) -> Option<ReconnectEvent> {
        let now = Instant::now().into_std();
        let Some(pause) = self
            .retry
            .after(&why, now, SystemTime::now(), rand::random())
        else {
            return self.end(Some(why), unconfirmed);
        };
        self.state = State::Waiting(Box::pin(sleep(pause)));
        Some(ReconnectEvent::Interrupted {
            why,
            pause,
            unconfirmed,
        })
    }

    fn end(
        &mut self,
        why: Option<Interruption>,
        unconfirmed: Vec<Outgoing>,
    ) -> Option<ReconnectEvent> {
        if matches!(self.state, State::Over) {
            return None;
        }
        self.state = State::Over;
        Some(ReconnectEvent::Ended {
            why,
            unconfirmed,
            unsent: self.queue.end(),
        })
    }
}

/// As [`next`](Self::next).
impl Stream for Reconnecting {
    type Item = ReconnectEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ReconnectEvent>> {
        self.poll_event(cx)
    }
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.queue.end();
    }
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "Idle",
            State::Connecting(_) => "Connecting",
            State::Open(_) => "Open",
            State::Waiting(_) => "Waiting",
            State::Over => "Over",
        };
        f.debug_struct("Reconnecting")
            .field("state", &state)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// With so many bytes unwritten no more are given to the connection.
const UNWRITTEN_MARK: usize = 64 * 1024;

impl Open {
    /// Gives the connection what waits, as far as there is room, and receives.
    fn poll(
        &mut self,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        loop {
            let fed = self.poll_feed(queue, cx)?;
            let received = pin!(self.connection.recv()).poll(cx);
            // An end drops what was not written.
            let is_open = matches!(received, Poll::Pending | Poll::Ready(Ok(Some(_))));
            if is_open && self.connection.has_written() {
                self.unwritten.clear();
                self.unwritten_bytes = 0;
                // There is room for what had none.
                if fed.is_pending() && received.is_pending() {
                    continue;
                }
            }
            return received;
        }
    }

    /// Ready when nothing waits any more.
    fn poll_feed(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.is_closing {
            let greeting = self.greeting.front().cloned();
            let is_greeting = greeting.is_some();
            let Some(message) = greeting.or_else(|| queue.front(cx)) else {
                if let Some(reason) = queue.closing(cx) {
                    self.is_closing = true;
                    let (code, text) = (reason.code(), reason.reason());
                    let started = self.connection.start_closing_handshake(code, text);
                    debug_assert!(started.is_ok(), "checked when it was asked for");
                }
                break;
            };
            if self.unwritten_bytes >= UNWRITTEN_MARK {
                return Poll::Pending;
            }
            match ready!(pin!(self.connection.feed(message.clone())).poll(cx)) {
                Ok(()) if is_greeting => drop(self.greeting.pop_front()),
                Ok(()) => {
                    queue.pop();
                    self.unwritten_bytes += queue::size(&message);
                    self.unwritten.push(message);
                }
                // What it is closing for is received next; the message waits for another connection.
                Err(Error::Send(SendError::Closed)) => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Short enough for a line of a log.
impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "the peer closed with {reason}"),
            Self::Connect(error) => ErrorChain::new(error).fmt(f),
            Self::Lost(error) => ErrorChain::new(error).fmt(f),
        }
    }
}
