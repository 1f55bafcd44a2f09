//! The task of an endpoint. It calls one callback after another, in the order of the graph in [`endpoint`](super), and
//! catches panics.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use sockeye_mailbox::{LOG_LIMIT, OverflowPolicy};
use sockeye_proto::{CloseCode, CloseReason, Config, MessageBuffer, ProtocolError, WholeMessage};
#[cfg(feature = "topics")]
use sockeye_pubsub::SubscribeError;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument;

use super::Endpoint;
use super::incoming::Incoming;
use super::outcome::{reply, report_error};
use super::part::wanted;
use super::rare::{boxed, is_rare, start};
use super::report;
use super::session::{OpenSessions, Session, SessionGuard};
use crate::connection::budget::AssemblyBudget;
use crate::connection::direct::Direct;
use crate::connection::direct::Mailbox;
use crate::connection::driver::{Answer, AnswerAtOnce, Answered, Driver, Ending, Next};
use crate::connection::link::{Link, Wanted};
use crate::connection::permit::SessionPermit;
use crate::connection::{Compression, server_machine};
use crate::error::{Error, ErrorChain, HandlerError};
use crate::handshake::Handshake;
use crate::observer::{Event, SessionEnd};
use crate::sync::Arc;
use crate::transport::Stream;

/// A connection whose opening handshake is done.
pub(crate) struct Opened<T = Stream> {
    pub(crate) stream: T,
    pub(crate) read_ahead: Bytes,
    pub(crate) handshake: Handshake,
    pub(crate) config: Arc<Config>,
    pub(crate) compression: Option<Compression>,
    pub(crate) outbox_limit: usize,
    pub(crate) overflow: OverflowPolicy,
    pub(crate) max_idle_timeout: Option<Duration>,
    pub(crate) budget: Arc<AssemblyBudget>,
    /// Counts the connection at its server, which waits for all permits when it stops.
    pub(crate) permit: SessionPermit,
}

impl<T> Opened<T> {
    /// Returns whether the session reads broadcasts from the log. The log's frames are not compressed, and the limit of
    /// the outbox must not be smaller than the log's.
    fn reads_log(&self) -> bool {
        self.compression.is_none() && self.outbox_limit >= LOG_LIMIT
    }
}

/// A [`Factory`] as a trait object: starts endpoints of one type.
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
        let (stream, writer) = if opened.reads_log() {
            opened.stream.shared()
        } else {
            (opened.stream, None)
        };
        let opened = Opened { stream, ..opened };
        self.start(opened, writer.map(Direct::tcp), open_sessions);
    }
}

impl<E, F> Factory<F>
where
    E: Endpoint,
    F: Fn(&Handshake) -> E,
{
    /// Starts an endpoint on any transport, such as a stream of HTTP/2, or a test's. `direct` writes to the socket past
    /// the transport.
    pub(crate) fn start<T>(
        &self,
        opened: Opened<T>,
        direct: Option<Direct>,
        open_sessions: &OpenSessions,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (slot, broadcasts) = open_sessions.reserve_slot(&opened.handshake);
        let broadcasts = opened.reads_log().then_some(broadcasts);
        let mailbox = Mailbox::of_session(opened.outbox_limit, opened.overflow, broadcasts, direct);
        let config = open_sessions.limits(&opened.handshake, opened.config);
        let machine = server_machine(config, opened.compression);
        let link = Link::new(opened.stream, machine, &opened.read_ahead, opened.budget);
        // Boxed, so that the task moves and stores only a pointer.
        let driver = Box::new(Driver::new(link, mailbox.clone()).holding(opened.permit));
        let made = catch_unwind(AssertUnwindSafe(|| (self.0)(&opened.handshake)));
        let max_idle = opened.max_idle_timeout;
        let open_sessions = open_sessions.clone();
        let session = SessionGuard::new(opened.handshake, max_idle, mailbox, open_sessions, slot);
        match made {
            Ok(endpoint) => {
                spawn(endpoint, session, driver);
            }
            Err(panic) => {
                report::panic(session.counters(), &*panic);
                close_failed(&session, CloseCode::INTERNAL_ERROR, FACTORY_FAILED);
                tokio::spawn(end_without_endpoint(session, driver));
            }
        }
    }
}

/// Spawns the task of an endpoint whose connection is open.
pub(super) fn spawn<E, T>(endpoint: E, session: SessionGuard, driver: Box<Driver<T>>)
where
    E: Endpoint,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(live(endpoint, session, driver));
}

// Not an `async fn`: that would store each argument twice. This future is the larger part of an idle connection's
// memory, so the steps after `serve` are in a future of their own.
#[expect(clippy::manual_async_fn, reason = "see above")]
fn live<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin + Send>(
    mut endpoint: E,
    session: SessionGuard,
    mut driver: Box<Driver<T>>,
) -> impl Future<Output = ()> + Send {
    async move {
        // One guard for the whole of `serve`: a guard for each callback would cost a tenth of the time of a message.
        let served = CatchPanic(pin!(serve(&mut endpoint, &session, &mut driver))).await;
        let panic = served.err();
        boxed(move || last_steps(endpoint, session, driver, panic)).await;
    }
}

/// Ends a connection after `serve`, in the span of the session.
fn last_steps<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin + Send>(
    endpoint: E,
    mut session: SessionGuard,
    driver: Box<Driver<T>>,
    panic: Option<Panic>,
) -> impl Future<Output = ()> + Send {
    let span = session.take_span().into_span();
    conclude(endpoint, session, driver, panic).instrument(span)
}

/// Ends a connection after `serve`: calls the last callbacks, and closes the transport.
async fn conclude<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    mut endpoint: E,
    session: SessionGuard,
    mut driver: Box<Driver<T>>,
    panic: Option<Panic>,
) {
    if let Some(panic) = panic {
        report::panic(session.counters(), &*panic);
        close_failed(&session, CloseCode::INTERNAL_ERROR, CALLBACK_FAILED);
        until_end(&mut driver).await;
    }
    let ending = driver.take_ending();
    let counters = session.counters();
    counters.observe(Event::SessionEnded(match &ending {
        Ending::Failed(Error::Protocol(_)) => SessionEnd::BrokenProtocol,
        Ending::Failed(_) => SessionEnd::Lost,
        _ => SessionEnd::Intended,
    }));
    let reason = session.reason_for_on_close(ending.reason());
    session.mailbox().note_end(reason.clone());
    driver.settle();
    session.retire();
    if let Ending::Aborted = ending {
        // The transport is dropped at once. `on_close` runs after that, and is never dropped.
        let (permit, timeout) = (driver.take_permit(), driver.close_timeout());
        linger(&session, driver, reason.clone()).await;
        let mut last = pin!(close_without_transport(endpoint, &session, reason));
        // The permit is released after the close timeout, even if `on_close` still runs.
        if tokio::time::timeout(timeout, &mut last).await.is_err() {
            drop(permit);
            last.await;
        }
        return;
    }
    if let Ending::Failed(error) = ending {
        tracing::debug!(session = %session.id(), error = %ErrorChain::new(&error), "the connection failed");
        if let Error::Protocol(ProtocolError::MessageTooBig { .. }) = error {
            guarded(&session, &mut driver, endpoint.on_error(&session, &error)).await;
        }
    }
    let closed = guarded(
        &session,
        &mut driver,
        endpoint.on_close(&session, reason.clone()),
    )
    .await;
    if let Some(Err(error)) = closed {
        let error = Error::from(error);
        guarded(&session, &mut driver, endpoint.on_error(&session, &error)).await;
    }
    drop(endpoint);
    linger(&session, driver, reason).await;
}

/// Calls one callback after another, until the driver has no more events.
#[expect(clippy::manual_async_fn, reason = "as `live`")]
fn serve<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin + Send>(
    endpoint: &mut E,
    session: &SessionGuard,
    driver: &mut Driver<T>,
) -> impl Future<Output = ()> + Send {
    async move {
        driver.give(session.wanted(wanted::<E>()));
        let opening = boxed(|| open(endpoint, session, driver));
        session.span().around(opening).await;
        let mut message = MessageBuffer::default();
        loop {
            let answering = AtOnce {
                endpoint: &mut *endpoint,
                session,
            };
            let next = driver.next_unanswered(&mut message, answering).await;
            let (endpoint, driver) = (&mut *endpoint, &mut *driver);
            // All rare steps share one `await` below: each further one would cost time for every message.
            let rare = match next {
                Next::End => return,
                Next::Message if !is_rare(session, &message) => {
                    let _busy = session.busy();
                    let handled = match session.start_handler(Incoming::of(&mut message)) {
                        Ok(running) => {
                            let running = pin!(running);
                            let running = driver.alongside(running);
                            session.span().around(running).await
                        }
                        Err(incoming) => {
                            let running = pin!(endpoint.on_message(session, incoming));
                            let running = driver.alongside(running);
                            session.span().around(running).await
                        }
                    };
                    match reply(driver, handled) {
                        Ok(()) => continue,
                        Err(error) => Next::AnswerFailed(error),
                    }
                }
                rare => rare,
            };
            let rare_step = start(rare, &mut message, endpoint, session, driver);
            session.span().around(rare_step).await;
        }
    }
}

/// Calls [`Endpoint::on_message_at_once`] with messages in the read buffer, unless the session has an added handler.
struct AtOnce<'s, E> {
    endpoint: &'s mut E,
    session: &'s Session,
}

impl<E: Endpoint> AnswerAtOnce for AtOnce<'_, E> {
    #[inline(always)]
    fn wanted(&self) -> Wanted {
        self.session.wanted(wanted::<E>())
    }

    #[inline(always)]
    fn answer(&mut self, message: WholeMessage<'_>, answer: Answer<'_, '_>) -> Answered {
        if self.session.note_message() {
            return Answered::Declined;
        }
        match self.endpoint.on_message_at_once(self.session, message) {
            None => Answered::Declined,
            Some(Ok(reply)) => answer.send(reply),
            Some(Err(error)) => Answered::Failed(error.into()),
        }
    }
}

/// Calls `on_open`. Its error closes the session.
async fn open<E: Endpoint, T: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &mut E,
    session: &Session,
    driver: &mut Driver<T>,
) {
    let _busy = session.busy();
    #[cfg(feature = "topics-wire")]
    if session.is_enveloped()
        && let Some(topics) = session.open_sessions().known_topics()
    {
        topics.greet(session);
    }
    let opened = driver.alongside(pin!(endpoint.on_open(session))).await;
    if let Some(Err(error)) = opened {
        let code = code_of(&error);
        let error = Error::from(error);
        // A parameter of the path is the peer's own, and no secret. Any other error is the application's.
        let why = match &error {
            Error::Path(error) => error.to_string(),
            _ => NOT_OPENED.to_owned(),
        };
        report_error(endpoint, session, driver, error).await;
        close_failed(session, code, &why);
    }
}

/// Returns the code for a session whose `on_open` failed: a topic that is unavailable now is no fault of the server.
fn code_of(error: &HandlerError) -> CloseCode {
    #[cfg(feature = "topics")]
    if let Some(SubscribeError::Unavailable { .. }) = error.cause().downcast_ref() {
        return CloseCode::TRY_AGAIN_LATER;
    }
    let _ = error;
    CloseCode::INTERNAL_ERROR
}

/// Drives a connection to its end without its endpoint, and drops its messages.
async fn until_end<T: AsyncRead + AsyncWrite + Unpin>(driver: &mut Driver<T>) {
    let mut message = MessageBuffer::default();
    while !matches!(driver.next(&mut message).await, Next::End) {}
}

/// Calls `on_close` of an endpoint whose transport is gone, and `on_error` if that fails.
async fn close_without_transport<E: Endpoint>(
    mut endpoint: E,
    session: &Session,
    reason: CloseReason,
) {
    let last = async {
        if let Err(error) = endpoint.on_close(session, reason).await {
            endpoint.on_error(session, &Error::from(error)).await;
        }
    };
    if let Err(panic) = CatchPanic(pin!(last)).await {
        report::panic(session.counters(), &*panic);
    }
}

/// Ends a connection whose endpoint could not be made.
async fn end_without_endpoint<T: AsyncRead + AsyncWrite + Unpin>(
    session: SessionGuard,
    mut driver: Box<Driver<T>>,
) {
    until_end(&mut driver).await;
    let reason = driver.take_ending().reason();
    session.retire();
    linger(&session, driver, reason).await;
}

async fn linger<T: AsyncRead + AsyncWrite + Unpin>(
    session: &Session,
    mut driver: Box<Driver<T>>,
    reason: CloseReason,
) {
    driver.linger().await;
    drop(driver);
    session.mailbox().end(reason);
}

/// Runs a callback while the driver serves the connection. Returns `None` if the callback panicked, or if the
/// connection was aborted.
async fn guarded<F: Future, T: AsyncRead + AsyncWrite + Unpin>(
    session: &Session,
    driver: &mut Driver<T>,
    callback: F,
) -> Option<F::Output> {
    let callback = pin!(callback);
    match driver.alongside(pin!(CatchPanic(callback))).await? {
        Ok(output) => Some(output),
        Err(panic) => {
            report::panic(session.counters(), &*panic);
            None
        }
    }
}

/// Closes a session with 1011 or 1013, and says why.
fn close_failed(session: &Session, code: CloseCode, why: &str) {
    let reason = CloseReason::truncated(code, why);
    debug_assert!(reason.is_ok(), "1011 and 1013 may be sent");
    if let Ok(reason) = reason {
        session.mailbox().close(reason);
    }
}

/// The reasons of such a Close. They tell the peer which step failed, and nothing of the application.
const FACTORY_FAILED: &str = "the endpoint's factory failed";
const NOT_OPENED: &str = "the endpoint failed to open the session";
const CALLBACK_FAILED: &str = "a callback of the endpoint failed";

/// What a callback panicked with.
type Panic = Box<dyn Any + Send>;

/// A future that returns a panic as an error, so that the panic affects no other connection.
pub(crate) struct CatchPanic<F>(pub(crate) F);

impl<F: Future + Unpin> Future for CatchPanic<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Unwind safety: after a panic neither the future nor the connection's messages are used again.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Silent;

    impl Endpoint for Silent {}

    /// The task is the larger part of an idle connection's memory.
    #[test]
    fn the_task_of_an_idle_connection_is_small() {
        fn task_size<F: Future>(_: fn(Silent, SessionGuard, Box<Driver<Stream>>) -> F) -> usize {
            size_of::<F>()
        }

        let size = task_size(live::<Silent, Stream>);
        assert!(size <= 1024, "{size} bytes");
    }
}
