//! An endpoint's life: one task that calls one callback after another, in the order that is drawn in
//! [`endpoint`](super), and isolates what panics.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use sockeye_proto::{CloseCode, CloseReason, Config, MessageBuffer, ProtocolError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::Endpoint;
use super::handshake::Handshake;
use super::incoming::{Incoming, Pong};
use super::reply::Reply;
use super::session::{OpenSessions, Session, Tenure};
use crate::connection::driver::{Driver, Ending, Next};
use crate::connection::link::Link;
use crate::connection::outbox::Outbox;
use crate::connection::{Compression, server_machine};
use crate::error::{Error, Result};
use crate::sync::{Arc, lock};
use crate::transport::Stream;

/// A connection whose opening handshake is done.
pub(crate) struct Opened<T = Stream> {
    pub(crate) stream: T,
    pub(crate) read_ahead: Bytes,
    pub(crate) handshake: Handshake,
    pub(crate) config: Config,
    pub(crate) compression: Option<Compression>,
    pub(crate) outbox_limit: usize,
    pub(crate) place: Place,
}

/// Kept until the connection is gone: by these a server counts how many it has, and waits for them to
/// go when it stops.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

/// Starts endpoints of one type.
pub(crate) trait Launch: Send + Sync {
    fn launch(&self, opened: Opened, open_sessions: &OpenSessions);
}

pub(crate) struct Factory<F>(pub(crate) F);

impl<E, F> Launch for Factory<F>
where
    E: Endpoint,
    F: Fn(&Handshake) -> E + Send + Sync + 'static,
{
    fn launch(&self, opened: Opened, open_sessions: &OpenSessions) {
        self.start(opened, open_sessions);
    }
}

impl<E, F> Factory<F>
where
    E: Endpoint,
    F: Fn(&Handshake) -> E,
{
    /// Starts an endpoint on any transport: sessions of HTTP/2 have none of their own, tests have theirs.
    pub(crate) fn start<T>(&self, opened: Opened<T>, open_sessions: &OpenSessions)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let outbox = Outbox::new(opened.outbox_limit);
        let machine = server_machine(opened.config, opened.compression);
        let link = Link::new(opened.stream, machine, &opened.read_ahead);
        // Boxed, so that the task moves and keeps a pointer: an idle connection is little more than this.
        let driver = Box::new(Driver::new(link, outbox.clone()));
        let made = catch_unwind(AssertUnwindSafe(|| (self.0)(&opened.handshake)));
        let session = Tenure::new(opened.handshake, outbox, open_sessions.clone());
        match made {
            Ok(endpoint) => {
                tokio::spawn(live(endpoint, session, driver, opened.place));
            }
            Err(panic) => {
                tracing::error!(
                    panic = panic_text(&*panic),
                    "an endpoint's factory panicked"
                );
                close_failed(&session);
                tokio::spawn(end(session, driver, opened.place));
            }
        }
    }
}

/// Why a callback gave no result.
enum Failure {
    Error(Error),
    Panicked,
    Aborted,
}

async fn live<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    mut endpoint: E,
    session: Tenure,
    mut driver: Box<Driver<T>>,
    place: Place,
) {
    let opened = call(&mut driver, endpoint.on_open(&session)).await;
    if let Err(failure) = opened.and_then(|result| result.map_err(Failure::handler)) {
        report(&mut endpoint, &session, &mut driver, failure).await;
        close_failed(&session);
    }
    let mut message = MessageBuffer::default();
    loop {
        let result = match driver.next(&mut message).await {
            Next::Message => {
                let incoming = Incoming::of(&mut message);
                handle(&mut endpoint, &session, &mut driver, incoming).await
            }
            Next::Pong(payload) => {
                let pong = Incoming::Pong(Pong(payload.into()));
                handle(&mut endpoint, &session, &mut driver, pong).await
            }
            Next::End => break,
        };
        if let Err(failure) = result {
            let panicked = matches!(failure, Failure::Panicked);
            report(&mut endpoint, &session, &mut driver, failure).await;
            if panicked {
                close_failed(&session);
            }
        }
    }

    let ending = driver.take_ending();
    let reason = ending.reason();
    driver.settle();
    session.retire();
    if let Ending::Aborted = ending {
        // The transport goes at once. What `on_close` does waits for nobody, and nothing drops it.
        linger(&session, driver, reason.clone()).await;
        return outlive(endpoint, &session, reason).await;
    }
    if let Ending::Failed(error) = ending {
        tracing::debug!(session = %session.id(), %error, "the connection failed");
        if let Error::Protocol(ProtocolError::MessageTooBig { .. }) = error {
            report(&mut endpoint, &session, &mut driver, Failure::Error(error)).await;
        }
    }
    let closed = call(&mut driver, endpoint.on_close(&session, reason.clone())).await;
    if let Err(failure) = closed.and_then(|result| result.map_err(Failure::handler)) {
        report(&mut endpoint, &session, &mut driver, failure).await;
    }
    drop(endpoint);
    linger(&session, driver, reason).await;
    drop(place);
}

/// What is left of an endpoint whose transport is gone.
async fn outlive<E: Endpoint>(mut endpoint: E, session: &Session, reason: CloseReason) {
    let closed = CatchPanic(pin!(endpoint.on_close(session, reason))).await;
    let closed = closed.map_err(|panic| Failure::panicked(&*panic));
    let outcome = closed.and_then(|result| result.map_err(Failure::handler));
    if let Err(Failure::Error(error)) = outcome
        && let Err(panic) = CatchPanic(pin!(endpoint.on_error(session, &error))).await
    {
        Failure::panicked(&*panic);
    }
}

/// What is left of a connection that has no endpoint.
async fn end<T: AsyncRead + AsyncWrite + Unpin>(
    session: Tenure,
    mut driver: Box<Driver<T>>,
    place: Place,
) {
    let mut message = MessageBuffer::default();
    while !matches!(driver.next(&mut message).await, Next::End) {}
    let reason = driver.take_ending().reason();
    session.retire();
    linger(&session, driver, reason).await;
    drop(place);
}

async fn linger<T: AsyncRead + AsyncWrite + Unpin>(
    session: &Session,
    mut driver: Box<Driver<T>>,
    reason: CloseReason,
) {
    driver.linger().await;
    drop(driver);
    session.outbox().end(reason);
}

/// Gives a message to its handler, and sends what that returns.
async fn handle<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    message: Incoming<'_>,
) -> Result<(), Failure> {
    let result = match session.handler(message.kind()) {
        // A message keeps the handler that it started with.
        Some(handler) => {
            let started = catch_unwind(AssertUnwindSafe(|| lock(&handler).call(message)));
            let running = started.map_err(|panic| Failure::panicked(&*panic))?;
            call(driver, running).await?
        }
        None => call(driver, endpoint.on_message(session, message)).await?,
    };
    let sent = match result.map_err(Failure::handler)? {
        Reply::None => Ok(()),
        Reply::Text(text) => driver.reply_text(text),
        Reply::Binary(bytes) => driver.reply_binary(bytes),
        Reply::Message(outgoing) => driver.reply(outgoing),
    };
    sent.map_err(Failure::Error)
}

/// Runs a callback beside everything else that the connection does.
async fn call<F: Future, T: AsyncRead + AsyncWrite + Unpin>(
    driver: &mut Driver<T>,
    callback: F,
) -> Result<F::Output, Failure> {
    let callback = pin!(callback);
    match driver.alongside(pin!(CatchPanic(callback))).await {
        Some(Ok(output)) => Ok(output),
        Some(Err(panic)) => Err(Failure::panicked(&*panic)),
        None => Err(Failure::Aborted),
    }
}

/// Tells the endpoint of an error. That a callback panicked, its own `on_error` is not told.
async fn report<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
    failure: Failure,
) {
    if let Failure::Error(error) = failure
        && let Err(Failure::Panicked) = call(driver, endpoint.on_error(session, &error)).await
    {
        close_failed(session);
    }
}

fn close_failed(session: &Session) {
    let closed = session.close(CloseCode::INTERNAL_ERROR, "");
    debug_assert!(closed.is_ok(), "1011 may be sent");
}

impl Failure {
    fn handler(error: crate::BoxError) -> Self {
        Self::Error(Error::Handler(error))
    }

    fn panicked(panic: &(dyn Any + Send)) -> Self {
        tracing::error!(panic = panic_text(panic), "a callback panicked");
        Self::Panicked
    }
}

/// A future whose panic is a value, so that it touches no other connection.
struct CatchPanic<F>(F);

impl<F: Future + Unpin> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic neither the future nor the connection's messages are looked at again.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Silent;

    impl Endpoint for Silent {}

    /// The task of an idle connection is the larger part of what the connection costs.
    #[test]
    fn the_task_of_an_idle_connection_is_small() {
        type Live<F> = fn(Silent, Tenure, Box<Driver<Stream>>, Place) -> F;

        fn task_size<F: Future>(_: Live<F>) -> usize {
            size_of::<F>()
        }

        let size = task_size(live::<Silent, Stream>);
        assert!(size <= 1024, "{size} bytes");
    }
}
