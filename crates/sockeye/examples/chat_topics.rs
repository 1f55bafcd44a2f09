//! A chat with rooms that remember. Each room is a topic: who enters gets the last 50 lines first, and a client of the
//! subprotocol that was away gets what it missed. Members are known by their nicknames.
//!
//! ```sh
//! cargo run --example chat_topics --features topics-wire
//! sockeye connect ws://127.0.0.1:8080/chat/lobby/ann
//! sockeye connect --topics room/lobby --recent 50 --retry ws://127.0.0.1:8080/chat/lobby/bob
//! ```

use sockeye::topics::{Clients, History, Policy, Presence, TopicsError};
use sockeye::{HandlerResult, Server, Session, Topics, server_endpoint};

/// A member of a room.
#[derive(Default)]
pub(crate) struct Chat;

#[server_endpoint("/chat/{room}/{nick}", topics)]
impl Chat {
    #[on_open]
    async fn enter(&self, session: &Session, #[path] room: &str) -> HandlerResult {
        // A client of the subprotocol subscribes by itself, and knows where it was.
        if !session.speaks_topics() {
            let room = session.subscribe(format!("room/{room}")).recent(50);
            let nick = session.path_parameter("nick");
            room.member(serde_json::to_string(&nick)?).await?;
        }
        Ok(())
    }

    #[on_message]
    async fn say(&self, session: &Session, text: &str, #[path] room: &str) -> HandlerResult {
        // All members get the line in one order, the speaker too.
        let nick = session.path_parameter("nick").unwrap_or_default();
        let (room, line) = (format!("room/{room}"), format!("{nick}: {text}"));
        session.topics().publish(room, line).await?;
        Ok(())
    }

    #[on_gap]
    fn gap(&self, session: &Session) {
        // A session that closes needs no note.
        let _ = session.async_remote().send_text("* lines are missing");
    }
}

pub(crate) fn topics() -> Result<Topics, TopicsError> {
    let rooms = Policy::new()
        .history(History::window(100, std::time::Duration::from_secs(3600)))
        .presence(Presence::members(500))
        .clients(Clients::subscribe());
    Topics::builder().pattern("room/{room}", rooms).build()
}

#[tokio::main]
async fn main() -> sockeye::Result {
    let server = Server::builder().topics(topics()?);
    let server = server.default_endpoint::<Chat>().bind("127.0.0.1:8080");
    Ok(server.await?.serve().await?)
}
