use sockeye::{CloseReason, Result, Server, Session, server_endpoint};

#[derive(Default)]
struct Chat {
    said: u32,
}

#[server_endpoint("/chat/{room}")]
impl Chat {
    #[on_open]
    async fn joined(&mut self, session: &Session, #[path] room: &str) -> Result {
        session.basic_remote().send_text(format!("welcome to {room}")).await?;
        Ok(())
    }

    #[on_message]
    async fn said(&mut self, session: &Session, text: &str, #[path] room: &str) -> String {
        self.said += 1;
        session.open_sessions().with_path_parameter("room", room).broadcast(text);
        format!("that was your message {}", self.said)
    }

    #[on_close]
    async fn left(&mut self, reason: CloseReason) {
        println!("gone: {reason}");
    }
}

#[tokio::main]
async fn main() -> Result {
    let server = Server::builder()
        .default_endpoint::<Chat>()
        .bind("127.0.0.1:8080")
        .await?;
    Ok(server.serve().await?)
}
