//! The rest of a message whose handler reads it as it comes. The driver gives parts to the reader: the part that the
//! reader asks for, and one part ahead. Driver and reader are usually in one task. A handler may give its reader to
//! another task.
//!
//! ```text
//!              reader waits           a part came
//!   Unasked ───────────────▶ Asked ───────────────▶ Given ─┐
//!      ▲  │                    │                       │   │ reader takes it
//!      └──┼────────────────────┼───────────────────────┼───┘
//!         └────────────────────┴────────▶ Over ◀───────┘
//!               the connection ends, or the handler is done
//! ```

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use sockeye_mailbox::Directive;
use sockeye_proto::MessageBuffer;
use tokio::io::{AsyncRead, AsyncWrite};

use super::event::{Ending, Next};
use super::running::Driver;
use crate::connection::pool;
use crate::error::{Error, ErrorChain};
use crate::sync::{Arc, Mutex, lock};

/// The newest Pings and Pongs that come while a handler reads. They wait until the handler is done.
pub(crate) const MAX_CONTROLS: usize = 16;

/// A Ping or a Pong, with its payload.
#[derive(Debug)]
pub(crate) enum Control {
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// Access to the rest of a message, for its handler. When the handler is done this is dropped: then a reader in another
/// task ends with an error.
#[derive(Debug, Default)]
pub(crate) struct RemainingMessage(OnceLock<Arc<PartPipe>>);

/// The parts on their way from the driver to a reader.
#[derive(Debug, Default)]
pub(crate) struct PartPipe(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    // The task of the driver, while the handler is suspended.
    driver: Option<Waker>,
    // Whether the driver gave the last part.
    is_complete: bool,
    controls: VecDeque<Control>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Unasked,
    Asked(Waker),
    Given(Bytes, bool),
    Over(io::ErrorKind, String),
}

impl RemainingMessage {
    /// The source of a reader's parts.
    pub(crate) fn pipe(&self) -> Arc<PartPipe> {
        Arc::clone(self.0.get_or_init(Arc::default))
    }

    /// Whether the handler has read from the message, but not to its end.
    pub(crate) fn is_left(&self) -> bool {
        let pipe = self.0.get();
        pipe.is_some_and(|pipe| !lock(&pipe.0).is_complete)
    }

    /// The Pings and Pongs that came while the handler read.
    pub(crate) fn take_controls(&self) -> VecDeque<Control> {
        let pipe = self.0.get();
        pipe.map_or_else(VecDeque::new, |pipe| {
            std::mem::take(&mut lock(&pipe.0).controls)
        })
    }
}

impl Drop for RemainingMessage {
    fn drop(&mut self) {
        if let Some(pipe) = self.0.get() {
            pipe.end(
                io::ErrorKind::UnexpectedEof,
                "the message's handler is done",
            );
        }
    }
}

impl PartPipe {
    /// The next part, and whether it is the last. Each call after an error returns the error.
    pub(crate) fn poll_part(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Bytes, bool)>> {
        let mut state = lock(&self.0);
        match std::mem::take(&mut state.stage) {
            Stage::Given(part, is_last) => Poll::Ready(Ok((part, is_last))),
            Stage::Over(kind, why) => {
                let error = io::Error::new(kind, why.clone());
                state.stage = Stage::Over(kind, why);
                Poll::Ready(Err(error))
            }
            Stage::Unasked | Stage::Asked(_) => {
                state.stage = Stage::Asked(cx.waker().clone());
                // In the driver's own task the driver runs already.
                let driver = state.driver.take();
                drop(state);
                if let Some(driver) = driver.filter(|driver| !driver.will_wake(cx.waker())) {
                    driver.wake();
                }
                Poll::Pending
            }
        }
    }

    /// Whether a reader waits for a part. If not, a reader that comes wakes `driver`.
    fn is_asked(&self, driver: &Waker) -> bool {
        let mut state = lock(&self.0);
        let is_asked = matches!(state.stage, Stage::Asked(_));
        if !is_asked {
            state.driver = Some(driver.clone());
        }
        is_asked
    }

    fn give(&self, part: Bytes, is_last: bool, driver: &Waker) {
        let mut state = lock(&self.0);
        state.is_complete = is_last;
        let stage = std::mem::replace(&mut state.stage, Stage::Given(part, is_last));
        drop(state);
        wake_other(stage, driver);
    }

    fn fail(&self, (kind, why): (io::ErrorKind, String), driver: &Waker) {
        let stage = std::mem::replace(&mut lock(&self.0).stage, Stage::Over(kind, why));
        wake_other(stage, driver);
    }

    /// Ends the reader with an error. A part that it has not taken is dropped.
    fn end(&self, kind: io::ErrorKind, why: &str) {
        let mut state = lock(&self.0);
        if let Stage::Over(..) = state.stage {
            return;
        }
        let over = Stage::Over(kind, why.to_owned());
        let stage = std::mem::replace(&mut state.stage, over);
        drop(state);
        if let Stage::Asked(reader) = stage {
            reader.wake();
        }
    }

    fn keep_control(&self, control: Control) {
        let controls = &mut lock(&self.0).controls;
        if controls.len() == MAX_CONTROLS {
            controls.pop_front();
        }
        controls.push_back(control);
    }
}

/// Wakes the reader that waited, unless it is in the driver's own task.
fn wake_other(stage: Stage, driver: &Waker) {
    if let Stage::Asked(reader) = stage
        && !reader.will_wake(driver)
    {
        reader.wake();
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Runs a handler that got a part of a message and may read the rest, and everything else beside it. The rest comes
    /// as the handler asks for it. `None` if the connection was aborted.
    pub(crate) fn alongside_reader<F: Future>(
        &mut self,
        handler: Pin<&mut F>,
        rest: &RemainingMessage,
    ) -> impl Future<Output = Option<F::Output>> {
        let mut handler = handler;
        let mut suspended = false;
        poll_fn(move |cx| {
            loop {
                if suspended {
                    self.drive();
                }
                if let Poll::Ready(output) = handler.as_mut().poll(cx) {
                    return Poll::Ready(Some(output));
                }
                let Some(pipe) = self.asking(cx, rest) else {
                    if self.poll_suspended::<()>(cx, &mut suspended).is_ready() {
                        return Poll::Ready(None);
                    }
                    // Another task may have asked meanwhile.
                    if self.asking(cx, rest).is_none() {
                        return Poll::Pending;
                    }
                    continue;
                };
                suspended = true;
                if self.poll_rest(cx, pipe).is_pending() {
                    return Poll::Pending;
                }
                if let Some(Ending::Aborted) = self.core().phase.ending() {
                    return Poll::Ready(None);
                }
            }
        })
    }

    /// The source of a reader that waits for a part. `None` if no reader waits: one that comes wakes this task.
    fn asking<'r>(&self, cx: &Context<'_>, rest: &'r RemainingMessage) -> Option<&'r PartPipe> {
        let pipe = rest.0.get()?;
        pipe.is_asked(cx.waker()).then_some(pipe)
    }

    /// Gives the next part to the reader, or the error for which none comes.
    // The driver reads on here, so the deadlines on the peer's silence run.
    fn poll_rest(&mut self, cx: &mut Context<'_>, pipe: &PartPipe) -> Poll<()> {
        loop {
            if let Some(Directive::Close(_)) = self.core().side.directive() {
                pipe.fail(closed_here(), cx.waker());
                return Poll::Ready(());
            }
            let mut part = MessageBuffer::default();
            let next = if let Some((next, buffer)) = self.core_mut().phase.take_ahead() {
                part = buffer;
                next
            } else if self.core().phase.is_ended() {
                Next::End
            } else {
                ready!(self.poll_event_beside(cx, &mut part))
            };
            match next {
                Next::Part(is_last) => {
                    let part = pool::into_message(part).into_bytes();
                    pipe.give(part, is_last, cx.waker());
                    return Poll::Ready(());
                }
                Next::Ping(payload) => pipe.keep_control(Control::Ping(payload)),
                Next::Pong(payload) => pipe.keep_control(Control::Pong(payload)),
                Next::End => {
                    // The owner drops the handler of an aborted connection.
                    if let Some(ending) = self.core().phase.ending() {
                        pipe.fail(broken(ending), cx.waker());
                    }
                    return Poll::Ready(());
                }
                Next::Message | Next::Notice | Next::AnswerFailed(_) => {
                    debug_assert!(false, "{next:?} in the middle of a message");
                }
            }
        }
    }

    /// Waits while the application is paused.
    pub(crate) async fn released(&mut self) {
        poll_fn(|cx| {
            self.drive();
            if self.core().is_reading_paused() {
                self.poll_beside(cx);
            }
            if self.core().is_reading_paused() {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Throws away the rest of the message of which a part was given.
    pub(crate) fn skip_message(&mut self) {
        if let Some(&(Next::Part(is_last), _)) = self.core().phase.ahead() {
            self.core_mut().phase.take_ahead();
            if is_last {
                return;
            }
        }
        self.drive().link.skip_message();
    }
}

/// The reader's error for a connection that ended in the middle of the message.
fn broken(ending: &Ending) -> (io::ErrorKind, String) {
    match ending {
        Ending::ClosedByPeer(_) => {
            let why = "the peer closed the connection in the middle of the message";
            (io::ErrorKind::UnexpectedEof, why.to_owned())
        }
        Ending::ClosedHere(_) | Ending::Aborted => closed_here(),
        Ending::Failed(Error::Io(error)) => (error.kind(), error.to_string()),
        Ending::Failed(error) => {
            let kind = match error {
                Error::Protocol(_) => io::ErrorKind::InvalidData,
                _ => io::ErrorKind::UnexpectedEof,
            };
            (kind, ErrorChain::new(error).to_string())
        }
    }
}

fn closed_here() -> (io::ErrorKind, String) {
    let why = "this side closed the connection in the middle of the message";
    (io::ErrorKind::UnexpectedEof, why.to_owned())
}
