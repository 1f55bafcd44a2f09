//! The annotated endpoint of the architecture's public shape, and a shared one.

use std::sync::Arc;

use sockeye::endpoint::{EndpointConfig, ServerEndpoint, SharedEndpoint};
use sockeye::{CloseReason, Endpoint, Error, HandlerResult, Session, server_endpoint};

#[derive(Default)]
struct Chat {
    nick: String,
}

#[server_endpoint("/chat/{room}")]
impl Chat {
    #[on_open]
    async fn joined(&mut self, session: &Session, #[path] room: &str) -> HandlerResult<()> {
        session.basic_remote().send_text(room).await?;
        self.nick = room.to_owned();
        Ok(())
    }

    #[on_message]
    async fn said(&mut self, session: &Session, text: &str) -> HandlerResult<Option<String>> {
        session.basic_remote().send_text(text).await?;
        Ok(Some(format!("{}: {text}", self.nick)))
    }

    #[on_message]
    async fn drew(&mut self, _session: &Session, strokes: &[u8]) -> HandlerResult<()> {
        let _ = strokes.len();
        Ok(())
    }

    #[on_close]
    async fn left(&mut self, _session: &Session, _reason: CloseReason) {}

    #[on_error]
    async fn failed(&mut self, _session: &sockeye::Session, _error: &Error) {}

    fn helper(&self) -> usize {
        self.nick.len()
    }
}

struct Echo;

#[server_endpoint("/echo", subprotocols = ["echo.v2", "echo.v1"])]
impl Echo {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }
}

fn is_endpoint<E: Endpoint>() {}
fn is_shared<E: SharedEndpoint>() {}

fn main() {
    is_endpoint::<Chat>();
    is_endpoint::<Echo>();
    is_endpoint::<Arc<Echo>>();
    is_shared::<Echo>();
    assert_eq!(Chat::PATH, "/chat/{room}");
    assert_eq!(Chat::default().helper(), 0);
    assert_eq!(Echo.text("called as any method"), "called as any method");

    let _: EndpointConfig = Chat::endpoint(|_handshake| Chat::default());
    let _: EndpointConfig = Echo::endpoint(|_| Echo);
    let shared = Arc::new(Echo);
    let _: EndpointConfig = Echo::endpoint(move |_| shared.clone());
}
