//! actix-ws. Its session is a channel that a response's body drains, so what is sent at once is written
//! at once, without being asked. It cannot compress.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use actix_ws::{Message, MessageStream, Session};

use super::announce;
use crate::Result;

/// One worker; beside it the library has a thread that accepts.
pub(super) fn serve() -> Result<()> {
    rt::System::new()
        .block_on(async {
            let server = HttpServer::new(|| App::new().route("/", web::get().to(respond)))
                .workers(1)
                .tcp_nodelay(true)
                .disable_signals()
                .bind("127.0.0.1:0")?;
            for addr in server.addrs() {
                announce(addr).map_err(std::io::Error::other)?;
            }
            server.run().await
        })
        .map_err(|error| error.to_string())
}

async fn respond(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    // 64 KiB would be the most by default.
    rt::spawn(echo(session, messages.max_frame_size(16 << 20)));
    Ok(response)
}

async fn echo(mut session: Session, mut messages: MessageStream) {
    while let Some(Ok(message)) = messages.recv().await {
        let sent = match message {
            Message::Text(text) => session.text(text).await,
            Message::Binary(bytes) => session.binary(bytes).await,
            Message::Ping(bytes) => session.pong(&bytes).await,
            Message::Close(_) => break,
            _ => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
    let _ = session.close(None).await;
}
