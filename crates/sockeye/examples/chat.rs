//! A chat with rooms. The path names the room: a member receives only the messages of its room.
//!
//! ```sh
//! cargo run --example chat
//! sockeye connect ws://127.0.0.1:8080/chat/lobby/ann
//! sockeye connect ws://127.0.0.1:8080/chat/lobby/bob
//! ```

use sockeye::server::ServerBuilder;
use sockeye::{CloseReason, Server, Session, server_endpoint};

/// A member of a room.
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
        // A text is cut after 500 characters, whatever the server's limit of a message is.
        let text: String = text.chars().take(500).collect();
        tell_room(session, &format!("{nick}: {text}"));
    }

    #[on_close]
    fn left(&mut self, session: &Session, _: CloseReason, #[path] nick: &str) {
        tell_room(session, &format!("* {nick} has gone"));
    }
}

/// Tells all in the session's room. The line is encoded once. It waits for no client: one that reads so slowly that its
/// outbox is full is closed with 1013.
fn tell_room(session: &Session, line: &str) {
    let room = session.path_parameter("room").unwrap_or_default();
    let sessions = session.open_sessions();
    sessions.with_path_parameter("room", room).broadcast(line);
}

pub(crate) fn server() -> ServerBuilder {
    Server::builder().default_endpoint::<Chat>()
}

#[tokio::main]
async fn main() -> sockeye::Result {
    let addr = std::env::args().nth(1);
    let addr = addr.as_deref().unwrap_or("127.0.0.1:8080");
    let server = server().bind(addr).await?;
    #[expect(clippy::print_stdout, reason = "a client needs the address")]
    {
        println!("ws://{}/chat/lobby/you", server.local_addr());
    }
    server.serve().await?;
    Ok(())
}
