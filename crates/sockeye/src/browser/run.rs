//! The run of a [`WebSocket`]: it connects, then yields the events until the last. There is one run for an object.
//!
//! ```text
//! Connecting ──▶ Open ──▶ Lingering ──▶ Closed ──▶ Done
//!      │                      ▲            ▲
//!      └──────── failed ──────┼────────────┤
//!                             └─ failed ───┘   (the event `error` on the way)
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sockeye_proto::{CloseReason, MessageBuffer};
use tokio::task::JoinHandle;

use super::event::{CloseEvent, ErrorEvent, Event, MessageEvent, ReadyState};
use super::{OnEvent, WebSocket, port};
use crate::connection::Connection;
use crate::connection::driver::{Driver, Ending, Next};
use crate::connection::pool;
use crate::error::BoxError;
use crate::sync::lock;
use crate::transport::Stream;

/// The events of a [`WebSocket`], for programs that ask for events instead of setting handlers. See
/// [`WebSocket::events`].
///
/// Dropping it before the last event drops the transport: the object is then closed with 1006.
pub struct Events {
    ws: WebSocket,
    step: Step,
    last: CloseEvent,
}

enum Step {
    Connecting(Working<Result<Connection, BoxError>>),
    Open {
        driver: Box<Driver<Stream>>,
        message: MessageBuffer,
    },
    Lingering(Working<Outcome>),
    /// The event `close` is due.
    Closed,
    Done,
}

type Working<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The outcome of the connection.
struct Outcome {
    ending: Ending,
    /// The peer's Close.
    received: Option<CloseReason>,
}

impl WebSocket {
    /// Returns the object's events, to be used in place of handlers: handlers are not called then. Asking for the first
    /// event connects. `None` if the events were taken before, or the object runs: an object connects once.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use sockeye::browser::{Event, WebSocket};
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

    /// Connects, and calls the handlers of the events one at a time until the connection is closed. A second call only
    /// waits for that: an object connects once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the transport. No further event comes, and the object is closed with 1006.
    pub async fn run(&self) -> CloseEvent {
        if let Some(mut events) = self.events() {
            while let Some(event) = events.next().await {
                self.dispatch(&event);
            }
        }
        self.0.closed.wait().await.clone()
    }

    /// Spawns a task that does [`run`](Self::run). Handlers may be set before or after: an event calls the handler
    /// that is set when it comes.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(&self) -> JoinHandle<CloseEvent> {
        let ws = self.clone();
        tokio::spawn(async move { ws.run().await })
    }

    fn dispatch(&self, event: &Event) {
        // Cloned, so that a handler can set another one without a deadlock.
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
}

impl Events {
    pub(super) fn new(ws: WebSocket) -> Self {
        let connecting = connect(ws.clone());
        Self {
            ws,
            step: Step::Connecting(Box::pin(connecting)),
            last: CloseEvent::abnormal(),
        }
    }

    /// Returns the next event; `None` after [`Event::Close`]. The object's state changes only when this method
    /// returns the event of the change, and when [`WebSocket::close`] is called.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future before it is ready loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match &mut self.step {
                Step::Connecting(connecting) => {
                    let connected = tokio::select! {
                        biased;
                        () = self.ws.0.closed_early.notified() => Err(CLOSED_EARLY.into()),
                        connected = connecting => connected,
                    };
                    let opened = connected.and_then(|connection| self.open(connection));
                    return Some(match opened {
                        Ok(()) => Event::Open,
                        Err(error) => self.fail(error),
                    });
                }
                Step::Open { driver, message } => match driver.next(message).await {
                    // After `close`, messages are dropped.
                    Next::Message if self.ws.ready_state() == ReadyState::Open => {
                        let data = pool::into_message(std::mem::take(message));
                        let origin = Arc::clone(&self.ws.0.origin);
                        return Some(Event::Message(MessageEvent::new(data, origin)));
                    }
                    Next::Message
                    | Next::Part(_)
                    | Next::Ping(_)
                    | Next::Pong(_)
                    | Next::Notice
                    | Next::AnswerFailed(_) => {}
                    Next::End => self.linger(),
                },
                Step::Lingering(lingering) => {
                    let outcome = lingering.await;
                    match self.judge(outcome) {
                        Ok(event) => {
                            self.ws.finish();
                            self.last = event;
                            self.step = Step::Closed;
                        }
                        Err(cause) => return Some(self.fail(cause)),
                    }
                }
                Step::Closed => {
                    self.step = Step::Done;
                    return Some(Event::Close(self.last.clone()));
                }
                Step::Done => return None,
            }
        }
    }

    /// Enters the state `Open`. Fails when `close` was called meanwhile.
    fn open(&mut self, connection: Connection) -> Result<(), BoxError> {
        let ws = &self.ws;
        if let Some(protocol) = connection.subprotocol() {
            let _ = ws.0.protocol.set(protocol.to_owned());
        }
        if let Some(opening) = connection.opening() {
            let _ = ws.0.extensions.set(opening.extensions());
        }
        if !ws.advance(ReadyState::Connecting, ReadyState::Open) {
            return Err(CLOSED_EARLY.into());
        }
        let driver = Box::new(connection.into_driver(Arc::clone(&ws.0.mailbox)));
        self.step = Step::Open {
            driver,
            message: MessageBuffer::default(),
        };
        Ok(())
    }

    /// Leaves the state `Open` after the last message, and starts to wait for the end of the transport.
    fn linger(&mut self) {
        let Step::Open { mut driver, .. } = std::mem::replace(&mut self.step, Step::Done) else {
            return;
        };
        self.ws.set_state(ReadyState::Closing);
        let ending = driver.take_ending();
        if matches!(ending, Ending::Aborted) {
            // The messages that wait are not sent.
            self.ws.0.mailbox.shut();
        }
        self.step = Step::Lingering(Box::pin(async move {
            // The event's code is that of the peer's first Close, whichever side closed first.
            let received = driver.linger().await;
            Outcome { ending, received }
        }));
    }

    fn judge(&self, outcome: Outcome) -> Result<CloseEvent, BoxError> {
        match (outcome.received, outcome.ending) {
            (_, Ending::Failed(error)) => Err(error.into()),
            (_, Ending::Aborted) => Err(match self.ws.0.overflowed.get() {
                Some(()) => "the send buffer is full".into(),
                None => "aborted".into(),
            }),
            (Some(reason), _) => Ok(CloseEvent::new(&reason, true)),
            (None, _) => Err("the peer did not answer the Close".into()),
        }
    }

    /// Ends with a failure: the state becomes closed, then come the events `error` and `close`.
    fn fail(&mut self, cause: BoxError) -> Event {
        self.ws.finish();
        self.step = Step::Closed;
        Event::Error(ErrorEvent::new(cause))
    }
}

/// Every end of the run wakes the callers that wait for it.
impl Drop for Events {
    fn drop(&mut self) {
        self.ws.finish();
        // Only this run sets it.
        let _ = self.ws.0.closed.set(self.last.clone());
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.ws).finish()
    }
}

fn call<E>(handler: Option<Arc<OnEvent<E>>>, ws: &WebSocket, event: &E) {
    if let Some(handler) = handler {
        handler(ws, event);
    }
}

async fn connect(ws: WebSocket) -> Result<Connection, BoxError> {
    port::check(ws.0.target.uri.port())?;
    Ok(ws.0.client.connect_to(ws.0.target.clone()).await?)
}

const CLOSED_EARLY: &str = "closed before the connection was open";
