//! A chat with rooms. The rooms are a path: who is at one path's room hears only that room.
//!
//! ```sh
//! cargo run --example chat
//! sockeye connect ws://127.0.0.1:8080/chat/lobby/ann
//! sockeye connect ws://127.0.0.1:8080/chat/lobby/bob
//! ```

use std::error::Error;

use sockeye::{
    CloseReason, PreparedMessage, Result, Server, ServerBuilder, Session, server_endpoint,
};

/// One who chats.
#[derive(Default)]
struct Chat;

#[server_endpoint("/chat/{room}/{nick}")]
impl Chat {
    #[on_open]
    fn joined(&mut self, session: &Session, #[path] nick: &str) {
        tell_room(session, &format!("* {nick} is here"));
    }

    #[on_message]
    fn said(&mut self, session: &Session, text: &str, #[path] nick: &str) {
        // What one says is bounded, whatever the server's limit of a message is.
        let text: String = text.chars().take(500).collect();
        tell_room(session, &format!("{nick}: {text}"));
    }

    #[on_close]
    fn left(&mut self, session: &Session, _: CloseReason, #[path] nick: &str) {
        tell_room(session, &format!("* {nick} has gone"));
    }
}

/// Tells all in the session's room. It is encoded once; and who takes nothing, so that their outbox is full, is
/// left out: nobody waits for them.
fn tell_room(session: &Session, line: &str) {
    let room = session.path_parameter("room");
    let message = PreparedMessage::new(line);
    for other in session.open_sessions().to_vec() {
        if other.path_parameter("room") == room {
            let _ = other.async_remote().send(&message);
        }
    }
}

pub(crate) fn server() -> ServerBuilder {
    Server::builder().default_endpoint::<Chat>()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1);
    let addr = addr.as_deref().unwrap_or("127.0.0.1:8080");
    let server = server().bind(addr).await?;
    #[expect(clippy::print_stdout, reason = "whoever connects needs the address")]
    {
        println!("ws://{}/chat/lobby/you", server.local_addr());
    }
    server.serve().await?;
    Ok(())
}
