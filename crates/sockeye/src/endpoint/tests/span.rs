//! The span of a session costs nothing where no subscriber wants it.

use tracing::span;

use crate::endpoint::span::SessionSpan;

/// A subscriber that wants nothing.
struct Deaf;

impl tracing::Subscriber for Deaf {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        panic!("it wants no span")
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_session_keeps_no_span_that_the_subscriber_does_not_want() {
    let _deaf = tracing::subscriber::set_default(Deaf);
    let span = SessionSpan::new("id", None);
    assert_eq!(format!("{span:?}"), "SessionSpan(None)");
    assert!(span.into_span().is_none());
    assert_eq!(size_of::<SessionSpan>(), size_of::<usize>());
}
