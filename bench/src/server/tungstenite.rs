//! tokio-tungstenite. Its read buffer of 128 KiB is cleared for each read: with 8 KiB it is at its best.
//! It cannot compress.

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{accept_async_with_config, accept_hdr_async_with_config};

use super::task::{self, accept, block_on};
use super::{Form, Job, Setting, tls};
use crate::Result;

pub(super) fn serve(setting: &Setting, form: Form) -> Result<()> {
    match (setting.job, setting.tls) {
        (Job::Echo, false) => block_on(accept(move |tcp| async move {
            let _ = echo(tcp, form).await;
        })),
        (Job::Echo, true) => {
            let acceptor = tls::acceptor()?;
            block_on(accept(move |tcp| {
                let opening = acceptor.accept(tcp);
                async move {
                    if let Ok(stream) = opening.await {
                        let _ = echo(stream, form).await;
                    }
                }
            }))
        }
        (Job::FanOut, _) => {
            let channel = task::channel();
            block_on(accept(move |tcp| {
                let channel = channel.clone();
                async move {
                    let _ = fan_out(tcp, &channel, form).await;
                }
            }))
        }
    }
}

async fn echo<S>(stream: S, form: Form) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ws = accept_async_with_config(stream, config(form)).await?;
    match form {
        Form::Batched => task::echo_batched(ws, is_data).await,
        Form::Plain => task::echo(ws, is_data).await,
    }
}

async fn fan_out<S>(stream: S, channel: &broadcast::Sender<Bytes>, form: Form) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut publishes = false;
    #[expect(clippy::result_large_err, reason = "the type is its library's")]
    let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        publishes = request.uri().path() == "/publish";
        Ok(response)
    };
    // Subscribes before the client learns that it is connected, so that it misses no message.
    let published = channel.subscribe();
    let mut ws = accept_hdr_async_with_config(stream, note, config(form)).await?;
    if publishes {
        drop(published);
        while let Some(message) = ws.next().await {
            if let Message::Binary(bytes) = message? {
                // Without subscribers it goes nowhere.
                let _ = channel.send(bytes);
            }
        }
        return Ok(());
    }
    match form {
        Form::Batched => task::subscribe_batched(ws, published, Message::Binary).await,
        Form::Plain => task::subscribe(ws, published, Message::Binary).await,
    }
}

fn config(form: Form) -> Option<WebSocketConfig> {
    match form {
        Form::Batched => Some(WebSocketConfig::default().read_buffer_size(8 * 1024)),
        Form::Plain => None,
    }
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}
