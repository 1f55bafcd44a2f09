//! tokio-websockets.

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Error, ServerBuilder};

use super::{accept, block_on};
use crate::Result;

/// Flushes when there is nothing more to receive.
pub(super) fn batched() -> Result<()> {
    block_on(accept(|tcp| async {
        let _ = echo(tcp).await;
    }))
}

async fn echo(tcp: TcpStream) -> Result<(), Error> {
    let (_request, mut ws) = ServerBuilder::new().accept(tcp).await?;
    loop {
        let received = match ws.next().now_or_never() {
            Some(received) => received,
            None => {
                ws.flush().await?;
                ws.next().await
            }
        };
        let Some(message) = received.transpose()? else {
            return Ok(());
        };
        if message.is_text() || message.is_binary() {
            ws.feed(message).await?;
        }
    }
}
