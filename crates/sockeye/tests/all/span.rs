//! The span of a session: the log lines of its callbacks are in it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use sockeye::endpoint::{Incoming, Reply};
use sockeye::{CloseReason, Endpoint, Error, HandlerResult, Server, Session, endpoint};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::log::{open, server};
use crate::support::TEXT;

/// Keeps the spans of this thread, and each log line with the span that it is in.
#[derive(Clone)]
struct Spans {
    state: Arc<Mutex<State>>,
    /// Whether it wants spans too.
    wants_spans: bool,
}

#[derive(Default)]
struct State {
    /// The name and the fields of each span. The id of a span is one more than its index.
    made: Vec<String>,
    entered: Vec<span::Id>,
    lines: Vec<(Option<String>, String)>,
}

impl Spans {
    fn new(wants_spans: bool) -> Self {
        Self {
            state: Arc::default(),
            wants_spans,
        }
    }

    /// Collects from now on, until the guard is dropped.
    fn keep(&self) -> tracing::subscriber::DefaultGuard {
        // As in `Lines`: with a second subscriber tracing asks both, on each thread.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(Self::new(true)));
        tracing::subscriber::set_default(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Takes the lines of the callbacks, each with its span.
    fn take_lines(&self) -> Vec<(Option<String>, String)> {
        let lines = std::mem::take(&mut self.state().lines);
        let is_of_callback = |line: &str| line.contains("callback=");
        let lines = lines.into_iter();
        lines.filter(|(_, line)| is_of_callback(line)).collect()
    }
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl tracing::Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        self.wants_spans || metadata.is_event()
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut state = self.state();
        let name = span.metadata().name();
        state.made.push(format!("{name} {}", fields.0));
        span::Id::from_u64(state.made.len() as u64)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut state = self.state();
        let entered = state.entered.last();
        let span = entered.map(|id| state.made[id.into_u64() as usize - 1].clone());
        state.lines.push((span, fields.0));
    }

    fn enter(&self, id: &span::Id) {
        self.state().entered.push(id.clone());
    }

    fn exit(&self, id: &span::Id) {
        let left = self.state().entered.pop();
        assert_eq!(left.as_ref(), Some(id), "spans are left in order");
    }
}

/// Logs a line in each callback. Its message handler suspends once.
struct Chatty;

impl Endpoint for Chatty {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        tracing::info!(callback = "on_open", session = %session.id());
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        tracing::info!(callback = "on_message", session = %session.id());
        tokio::task::yield_now().await;
        tracing::info!(callback = "on_message again", session = %session.id());
        if let Incoming::Text(text) = &message
            && &**text == "fail"
        {
            return Err("as the test wants".into());
        }
        Ok(Reply::from(message))
    }

    async fn on_close(&mut self, session: &Session, _: CloseReason) -> HandlerResult {
        tracing::info!(callback = "on_close", session = %session.id());
        Ok(())
    }

    async fn on_error(&mut self, session: &Session, _: &Error) {
        tracing::info!(callback = "on_error", session = %session.id());
    }
}

/// Two sessions at a time, each with every callback.
async fn converse() {
    let chatty = endpoint("/chatty", |_| Chatty);
    let server = server(Server::builder().endpoint(chatty)).await;
    let mut peers = [
        open(&server, "/chatty").await,
        open(&server, "/chatty").await,
    ];
    for text in ["fail", "hello"] {
        for peer in &mut peers {
            peer.send(TEXT, text.as_bytes()).await;
        }
    }
    for mut peer in peers {
        assert_eq!(peer.recv_text().await, "hello");
        peer.send_close(1000, "").await;
        assert_eq!(peer.recv_close().await.0, 1000);
        // The transport ends behind `on_close`.
        peer.recv_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_line_of_a_callback_is_in_the_span_of_its_own_session() {
    let spans = Spans::new(true);
    let _kept = spans.keep();
    converse().await;
    let lines = spans.take_lines();
    // Each of two sessions: on_open, two times on_message with two lines, on_error, on_close.
    assert_eq!(lines.len(), 2 * 7, "{lines:#?}");
    for (span, line) in &lines {
        let (_, id) = line.split_once("session=").expect("the id");
        let span = span.as_deref().unwrap_or_else(|| panic!("no span: {line}"));
        assert!(span.starts_with("session "), "{span}");
        assert!(span.contains(&format!("id={id}")), "{span} {line}");
    }
    assert!(spans.state().entered.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_has_no_span_where_the_subscriber_wants_none() {
    let spans = Spans::new(false);
    let _kept = spans.keep();
    converse().await;
    let lines = spans.take_lines();
    assert_eq!(lines.len(), 2 * 7, "{lines:#?}");
    assert!(lines.iter().all(|(span, _)| span.is_none()), "{lines:#?}");
    assert!(spans.state().made.is_empty());
}
