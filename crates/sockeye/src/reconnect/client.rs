//! The client: its connection, its attempts and its pauses.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use sockeye_mailbox::SendError;
#[cfg(feature = "topics-wire")]
use sockeye_proto::CloseReason;
use sockeye_proto::{CloseCode, Message, Outgoing};
use tokio::time::{Instant, Sleep, sleep};

use super::log::log_interruption;
use super::open::{Open, Plain, Protocol};
use super::queue::{Queue, ReconnectSender};
use super::retry::{Interruption, Retry};
use crate::client::{Client, ConnectError, Target};
use crate::connection::Connection;
#[cfg(feature = "topics-wire")]
use crate::error::Error;
use crate::sync::Arc;

/// A client that opens its connection again when it is lost. It has no task of its own: it works only while
/// [`next`](Self::next) is polled.
///
/// A program sends messages through a [`sender`](Self::sender): `send` does not wait, and `feed` waits for room. Without a
/// connection they wait, up to [`queue_limit`](Self::queue_limit). [`close`](Self::close) ends the client from the loop's
/// own task, and [`ReconnectSender::close`] from any other. A message is sent at most once. [`ReconnectEvent::Interrupted`] returns the
/// messages that may be lost with a connection, and [`ReconnectEvent::Ended`] also those that were never sent.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::Client;
/// use sockeye::reconnect::ReconnectEvent;
///
/// let mut feed = Client::new()
///     .reconnecting("wss://feed.example/")?
///     // The first messages on each connection.
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
    connector: Connector,
    greeting: Option<Greeting>,
    retry: Retry,
    /// The pause that the peer asked for, in place of that of `retry`.
    asked_pause: Option<Duration>,
    queue: Arc<Queue>,
    state: State,
}

/// How an attempt is made.
enum Connector {
    /// By a client, to its target.
    Client(Arc<Client>, Box<Target>),
    /// By a function of the application.
    Function(Box<dyn FnMut() -> Connecting + Send>),
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

/// An event of a [`Reconnecting`] client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// An attempt begins.
    Connecting {
        /// The number of the attempt since the last stable connection, from 1.
        attempt: u32,
    },
    /// A connection is open: see [`Reconnecting::connection`].
    Opened,
    /// The peer sent a message.
    Message(Message),
    /// The connection was lost, or an attempt failed. Another attempt follows.
    Interrupted {
        /// The cause.
        why: Interruption,
        /// The pause before the next attempt.
        pause: Duration,
        /// The messages that the connection took and may not have written to the transport: at most about 64 KiB and
        /// one message. They may not have reached the peer, and are not sent again.
        unconfirmed: Vec<Outgoing>,
    },
    /// The client has ended: the last event.
    Ended {
        /// The cause; `None` after [`ReconnectSender::close`].
        why: Option<Interruption>,
        /// The messages that may not have reached the peer, as in [`Interrupted`](Self::Interrupted).
        unconfirmed: Vec<Outgoing>,
        /// The messages that still waited for a connection.
        unsent: Vec<Outgoing>,
    },
}

impl Client {
    /// Makes a client that connects to this target with the options of this one, and again when the connection is lost.
    /// It does nothing before [`Reconnecting::next`] is polled.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for an invalid target.
    pub fn reconnecting(
        self,
        target: impl TryInto<Target, Error: Into<ConnectError>>,
    ) -> Result<Reconnecting, ConnectError> {
        let target = target.try_into().map_err(Into::into)?;
        let connector = Connector::Client(Arc::new(self), Box::new(target));
        Ok(Reconnecting::by(connector))
    }
}

impl Reconnecting {
    /// The default of [`queue_limit`](Self::queue_limit): 1 MiB.
    pub const DEFAULT_QUEUE_LIMIT: usize = 1 << 20;

    /// Makes a client whose connections `connector` opens, one for each attempt. The connector can fetch a fresh token, or
    /// choose another server. Its own failures are [`ConnectError::Connector`].
    ///
    /// ```no_run
    /// use sockeye::Client;
    /// use sockeye::client::ConnectError;
    /// use sockeye::reconnect::Reconnecting;
    ///
    /// # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// let feed = Reconnecting::new(|| async {
    ///     let token = fresh_token().await.map_err(|error| ConnectError::Connector(error.into()))?;
    ///     let client = Client::builder().bearer_auth(&token);
    ///     let client = client.map_err(|error| ConnectError::Connector(error.into()))?;
    ///     client.build().connect("wss://feed.example/").await
    /// });
    /// ```
    pub fn new<F>(mut connector: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Connection, ConnectError>> + Send + 'static,
    {
        Self::by(Connector::Function(Box::new(move || Box::pin(connector()))))
    }

    fn by(connector: Connector) -> Self {
        Self {
            connector,
            greeting: None,
            retry: Retry::default(),
            asked_pause: None,
            queue: Arc::new(Queue::new(Self::DEFAULT_QUEUE_LIMIT)),
            state: State::Idle,
        }
    }

    /// Sets whether and when the client connects again. The default is [`Retry::default`].
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the function that makes the first messages of each connection, sent before those that wait: for example to
    /// log in or to subscribe again.
    #[must_use]
    pub fn greeting(
        mut self,
        greeting: impl FnMut(&Connection) -> Vec<Outgoing> + Send + 'static,
    ) -> Self {
        self.greeting = Some(Box::new(greeting));
        self
    }

    /// Sets the most bytes that may wait for a connection, as [`ReconnectSender::queued_bytes`] counts them. The
    /// default is [`DEFAULT_QUEUE_LIMIT`](Self::DEFAULT_QUEUE_LIMIT).
    #[must_use]
    pub fn queue_limit(self, bytes: usize) -> Self {
        self.queue.set_limit(bytes);
        self
    }

    /// Returns a handle that sends messages from any task.
    pub fn sender(&self) -> ReconnectSender {
        ReconnectSender(Arc::clone(&self.queue))
    }

    /// Closes the client, and drives it to its end: no loop is needed. With a connection, a Close goes behind the messages
    /// that wait, and the peer's messages are dropped until it answers. Without one, the client ends at once. Returns the
    /// messages that may not have reached the peer, in the order in which they were given: those of
    /// [`ReconnectEvent::Ended`]. A client that has ended returns none.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry. Then nothing is closed.
    ///
    /// # Cancel safety
    ///
    /// The first poll asks for the Close. If the future is dropped then, [`next`](Self::next) or another `close` goes on.
    pub async fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
    ) -> Result<Vec<Outgoing>, SendError> {
        self.sender().close(code, reason)?;
        while let Some(event) = self.next().await {
            if let ReconnectEvent::Ended {
                mut unconfirmed,
                unsent,
                ..
            } = event
            {
                unconfirmed.extend(unsent);
                return Ok(unconfirmed);
            }
        }
        Ok(Vec::new())
    }

    /// The time from a [`ping`](ReconnectSender::ping) to its Pong, of the last one over the open connection. `None`
    /// without a connection, and until the Pong has come.
    pub fn round_trip(&self) -> Option<Duration> {
        self.connection()?.round_trip()
    }

    /// The open connection, if there is one.
    pub fn connection(&self) -> Option<&Connection> {
        match &self.state {
            State::Open(open) => Some(&open.connection),
            _ => None,
        }
    }

    /// Waits for the next event; `None` after [`ReconnectEvent::Ended`].
    ///
    /// # Cancel safety
    ///
    /// Safe: an attempt, a pause or a connection continues with the next call.
    pub async fn next(&mut self) -> Option<ReconnectEvent> {
        poll_fn(|cx| self.poll_event(&mut Plain, cx)).await
    }

    pub(super) fn poll_event(
        &mut self,
        protocol: &mut impl Protocol,
        cx: &mut Context<'_>,
    ) -> Poll<Option<ReconnectEvent>> {
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
            State::Open(open) => match ready!(open.poll(protocol, &self.queue, cx)) {
                Ok(Some(message)) => Some(ReconnectEvent::Message(message)),
                ended => {
                    let unconfirmed = std::mem::take(&mut open.unwritten);
                    let failure = open.take_failure();
                    let why = match ended {
                        _ if failure.is_some() => failure,
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
        self.state = State::Connecting(self.connector.connect());
        let attempt = self.retry.failures().saturating_add(1);
        Some(ReconnectEvent::Connecting { attempt })
    }

    fn open(&mut self, connection: Connection) -> Option<ReconnectEvent> {
        self.retry.connected(Instant::now().into_std());
        let greeting = self.greeting.as_mut();
        let greeting = greeting.map(|greeting| greeting(&connection));
        let greeting = greeting.unwrap_or_default();
        self.state = State::Open(Box::new(Open::new(connection, greeting)));
        self.queue.set_connected(true);
        Some(ReconnectEvent::Opened)
    }

    fn interrupt(
        &mut self,
        why: Interruption,
        unconfirmed: Vec<Outgoing>,
    ) -> Option<ReconnectEvent> {
        self.queue.set_connected(false);
        let now = Instant::now().into_std();
        let date = SystemTime::now();
        let pause = self.retry.after(&why, now, date, rand::random());
        let asked = self.asked_pause.take();
        let pause = pause.map(|pause| asked.unwrap_or(pause));
        log_interruption(&why, pause);
        let Some(pause) = pause else {
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

/// The events of [`next`](Self::next).
impl Stream for Reconnecting {
    type Item = ReconnectEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ReconnectEvent>> {
        self.poll_event(&mut Plain, cx)
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

impl Connector {
    fn connect(&mut self) -> Connecting {
        match self {
            Self::Client(client, target) => {
                let (client, target) = (Arc::clone(client), target.clone());
                Box::pin(async move { client.connect_to(*target).await })
            }
            Self::Function(connect) => connect(),
        }
    }
}

/// What a client of a subprotocol needs.
#[cfg(feature = "topics-wire")]
impl Reconnecting {
    /// Offers these subprotocols before those that the application offers. A connection that was opened without them is
    /// dropped. A connector of the application has to offer them itself.
    pub(super) fn offer(&mut self, subprotocols: &[&str]) {
        if let Connector::Client(client, _) = &mut self.connector {
            let client = Arc::make_mut(client);
            let others = std::mem::take(&mut client.subprotocols);
            let wanted = subprotocols.iter().map(|name| (*name).to_owned());
            let others = others.into_iter();
            let others = others.filter(|name| !subprotocols.contains(&&**name));
            client.subprotocols = wanted.chain(others).collect();
        }
        if !matches!(self.state, State::Over) {
            self.state = State::Idle;
        }
    }

    /// Sets the pause before the next attempt, as the peer asked for it. It counts if another attempt follows.
    pub(super) fn ask_pause(&mut self, pause: Option<Duration>) {
        self.asked_pause = pause;
    }

    /// Closes the connection, and ends the client with it: the peer does not speak the subprotocol.
    pub(super) fn refuse(&mut self, reason: &CloseReason) {
        if let State::Open(open) = &mut self.state {
            let why = Interruption::Subprotocol(reason.clone());
            log_interruption(&why, None);
            open.begin_close(reason, Some(why));
        }
    }

    /// Drops the connection, because the peer does not answer.
    pub(super) fn abandon(&mut self) -> Option<ReconnectEvent> {
        let State::Open(open) = &mut self.state else {
            return None;
        };
        let unconfirmed = std::mem::take(&mut open.unwritten);
        self.interrupt(Interruption::Lost(Error::PeerDead), unconfirmed)
    }
}
