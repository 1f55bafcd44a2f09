//! An endpoint that wraps another one keeps its fast path and its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::serve;
use sockeye::endpoint::{Incoming, IncomingKind, Reply};
use sockeye::proto::WholeMessage;
use sockeye::{Client, CloseCode, Endpoint, HandlerResult, Message, Server, Session, endpoint};

/// The number of calls of each method that takes messages.
#[derive(Default)]
struct Calls {
    at_once: AtomicUsize,
    with_future: AtomicUsize,
}

/// Answers texts at once, and limits them to 100 bytes.
struct Inner(Arc<Calls>);

impl Endpoint for Inner {
    const MAX_MESSAGES: &'static [(IncomingKind, u64)] = &[(IncomingKind::Text, 100)];

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        self.0.with_future.fetch_add(1, SeqCst);
        Ok(Reply::from(message))
    }

    fn on_message_at_once<'m>(
        &mut self,
        _: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        match message {
            WholeMessage::Text(text) => {
                self.0.at_once.fetch_add(1, SeqCst);
                Some(Ok(Reply::Text(text)))
            }
            WholeMessage::Binary(_) => None,
        }
    }
}

struct Wrapper<E>(E);

impl<E: Endpoint> Endpoint for Wrapper<E> {
    const IN_PARTS: &'static [IncomingKind] = E::IN_PARTS;
    const MAX_MESSAGES: &'static [(IncomingKind, u64)] = E::MAX_MESSAGES;

    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        self.0.on_message(session, message).await
    }

    fn on_message_at_once<'m>(
        &mut self,
        session: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        self.0.on_message_at_once(session, message)
    }
}

#[tokio::test]
async fn a_wrapper_keeps_the_fast_path_and_the_limits_of_its_endpoint() {
    let calls = Arc::<Calls>::default();
    let shared = Arc::clone(&calls);
    let wrapped = endpoint("/", move |_| Wrapper(Inner(Arc::clone(&shared))));
    let addr = serve(Server::builder().endpoint(wrapped)).await;
    let client = Client::new();
    let mut ws = client.connect(format!("ws://{addr}/")).await.unwrap();
    for message in [Message::from("x".repeat(100)), Message::from(vec![1; 101])] {
        ws.send(message.clone()).await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some(message));
    }
    assert_eq!(calls.at_once.load(SeqCst), 1);
    assert_eq!(calls.with_future.load(SeqCst), 1);

    ws.send("x".repeat(101)).await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), None);
    let reason = ws.close_received().unwrap();
    assert_eq!(reason.code(), CloseCode::MESSAGE_TOO_BIG);
}
