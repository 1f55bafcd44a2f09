//! axum, whose WebSocket is tokio-tungstenite's: the same is best for it.

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;

use super::Form;
use super::task::{self, block_on, listen};
use crate::Result;

pub(super) fn serve(form: Form) -> Result<()> {
    let route = match form {
        Form::Batched => any(batched),
        Form::Plain => any(plain),
    };
    let router = Router::new().route("/", route);
    block_on(async {
        let listener = listen().await?.tap_io(|tcp| {
            // A client that has gone already is told of soon enough.
            let _ = tcp.set_nodelay(true);
        });
        axum::serve(listener, router)
            .await
            .map_err(|error| error.to_string())
    })
}

async fn batched(upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(8 * 1024).on_upgrade(|ws| async {
        let _ = task::echo_batched(ws, is_data).await;
    })
}

async fn plain(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|ws: WebSocket| async {
        let _ = task::echo(ws, is_data).await;
    })
}

fn is_data(message: &Message) -> bool {
    matches!(message, Message::Text(_) | Message::Binary(_))
}
