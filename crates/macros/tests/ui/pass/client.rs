//! Endpoints of clients. Warnings are errors: the generated code has none.
#![deny(
    warnings,
    elided_lifetimes_in_paths,
    rust_2018_idioms,
    unnameable_types,
    unreachable_pub,
    unused_qualifications
)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sockeye::endpoint::{IncomingKind, Pong, SharedEndpoint};
use sockeye::{Client, CloseReason, Endpoint, Error, HandlerResult, Session, client_endpoint};

#[derive(Default)]
struct Watch {
    heard: usize,
}

#[client_endpoint]
impl Watch {
    #[on_open]
    async fn open(&mut self, session: &Session) -> HandlerResult {
        session.basic_remote().send_text("subscribe").await?;
        Ok(())
    }

    #[on_message(max = 1 << 10)]
    fn text(&mut self, text: &str) {
        self.heard += text.len();
    }

    #[on_message]
    async fn binary(&mut self, (part, is_last): (Bytes, bool), session: &Session) -> HandlerResult<Option<Bytes>> {
        let _ = session;
        Ok(is_last.then_some(part))
    }

    #[on_message]
    fn pong(&mut self, pong: Pong) {
        let _ = pong;
    }

    #[on_close]
    fn close(&mut self, reason: &CloseReason) {
        let _ = reason;
    }

    #[sockeye::endpoint::on_error]
    fn error(&mut self, error: &Error) {
        let _ = error;
    }

    /// This name is reserved in an endpoint of a server only.
    fn endpoint(&self) -> usize {
        self.heard
    }
}

const _: () = assert!(matches!(
    <Watch as Endpoint>::MAX_MESSAGES,
    [(IncomingKind::Text, 1024)]
));
const _: () = assert!(<Watch as Endpoint>::IN_PARTS.len() == 1);

/// One object for several connections.
struct Board<T>(Mutex<Vec<T>>);

#[client_endpoint()]
impl<T: for<'a> From<&'a str> + Send + 'static> Board<T> {
    #[on_message(max = 80)]
    fn text(&self, text: &str) {
        self.0.lock().unwrap().push(text.into());
    }
}

const _: () = assert!(<Arc<Board<String>> as Endpoint>::MAX_MESSAGES.len() == 1);

fn is_shared<E: SharedEndpoint>(_: &E) {}

#[allow(dead_code)]
async fn connect(client: &Client, board: Arc<Board<String>>) -> HandlerResult {
    let watching = client.connect_endpoint("ws://127.0.0.1/", Watch::default()).await?;
    let listening = client.connect_endpoint("ws://127.0.0.1/", board).await?;
    watching.closed().await;
    listening.closed().await;
    Ok(())
}

fn main() {
    let board = Board::<String>(Mutex::default());
    is_shared(&board);
    board.text("called as it is");
    assert_eq!(Watch::default().endpoint(), 0);
}
