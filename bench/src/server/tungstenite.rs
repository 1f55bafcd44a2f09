//! tokio-tungstenite. Its read buffer of 128 KiB is cleared for each read: with 8 KiB it is at its best.

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{accept_async, accept_async_with_config};

use super::{accept, block_on};
use crate::Result;

/// Flushes when there is nothing more to receive.
pub(super) fn batched() -> Result<()> {
    block_on(accept(|tcp| async {
        let _ = echo_batched(tcp).await;
    }))
}

async fn echo_batched(tcp: TcpStream) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
    let mut ws = accept_async_with_config(tcp, Some(config)).await?;
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

/// As its example has it: what comes is sent.
pub(super) fn plain() -> Result<()> {
    block_on(accept(|tcp| async {
        let _ = echo(tcp).await;
    }))
}

async fn echo(tcp: TcpStream) -> Result<(), Error> {
    let mut ws = accept_async(tcp).await?;
    while let Some(message) = ws.next().await.transpose()? {
        if message.is_text() || message.is_binary() {
            ws.send(message).await?;
        }
    }
    Ok(())
}
