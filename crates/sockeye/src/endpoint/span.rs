//! The `tracing` span of a session: the log lines of its callbacks carry the session's id and its peer's address.
//! Where no subscriber wants the span, a message that is answered in the read buffer costs nothing for it, and a poll of
//! another handler a look at a pointer. A session with a span answers no message in the read buffer.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::Span;
use tracing::subscriber::NoSubscriber;

/// The span of a session, if a subscriber wanted it when the session opened.
// Boxed: most sessions have none, and an idle task has memory for a pointer only.
#[derive(Debug, Default)]
pub(super) struct SessionSpan(Option<Box<Span>>);

impl SessionSpan {
    /// The span of the session that opens now.
    pub(super) fn new(id: impl fmt::Display, peer: Option<SocketAddr>) -> Self {
        let peer = peer.map(tracing::field::display);
        let span = tracing::debug_span!("session", %id, peer);
        // Without a subscriber of its own, a thread may get a span that leads nowhere: another thread's wants it.
        let leads = span.with_subscriber(|(_, subscriber)| !subscriber.is::<NoSubscriber>());
        Self((leads == Some(true)).then(|| Box::new(span)))
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Returns a future that enters the span for each poll of `future`.
    #[inline]
    pub(super) fn around<F>(&self, future: F) -> InSpan<'_, F> {
        let span = self.0.as_deref();
        InSpan { span, future }
    }

    /// Returns the span itself; a disabled one if there is none.
    pub(super) fn into_span(self) -> Span {
        self.0.map_or_else(Span::none, |span| *span)
    }
}

/// A future each of whose polls is in a span.
pub(super) struct InSpan<'s, F> {
    span: Option<&'s Span>,
    future: F,
}

impl<F: Future + Unpin> Future for InSpan<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = Entered::new(self.span);
        Pin::new(&mut self.future).poll(cx)
    }
}

/// A guard: the thread is in the span, if there is one. As that of `tracing`, but its code is out of line, so that the
/// loop of a session stays small.
struct Entered<'s>(Option<&'s Span>);

impl<'s> Entered<'s> {
    #[inline]
    fn new(span: Option<&'s Span>) -> Self {
        if let Some(span) = span {
            enter(span);
        }
        Self(span)
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(span) = self.0 {
            exit(span);
        }
    }
}

#[cold]
#[inline(never)]
fn enter(span: &Span) {
    span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
}

#[cold]
#[inline(never)]
fn exit(span: &Span) {
    span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
}
