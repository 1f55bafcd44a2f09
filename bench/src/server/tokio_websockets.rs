//! tokio-websockets. It flushes before it receives, so at its best it is asked for all that it can receive
//! before anything is fed. It cannot compress.

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_websockets::{Error, Message, ServerBuilder, WebSocketStream};

use super::task::{self, accept, block_on};
use super::{Form, Job, Setting};
use crate::Result;

pub(super) fn serve(setting: &Setting, form: Form) -> Result<()> {
    match setting.job {
        Job::Echo => block_on(accept(move |tcp| async move {
            let _ = echo(tcp, form).await;
        })),
        Job::FanOut => {
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

async fn echo(tcp: TcpStream, form: Form) -> Result<(), Error> {
    let (_request, ws) = ServerBuilder::new().accept(tcp).await?;
    match form {
        Form::Batched => echo_batched(ws).await,
        Form::Plain => task::echo(ws, is_data).await,
    }
}

async fn echo_batched(mut ws: WebSocketStream<TcpStream>) -> Result<(), Error> {
    let mut batch = Vec::new();
    while let Some(message) = ws.next().await.transpose()? {
        batch.push(message);
        while let Some(Some(message)) = ws.next().now_or_never() {
            batch.push(message?);
        }
        for message in batch.drain(..).filter(is_data) {
            ws.feed(message).await?;
        }
        ws.flush().await?;
    }
    Ok(())
}

async fn fan_out(
    tcp: TcpStream,
    channel: &broadcast::Sender<Bytes>,
    form: Form,
) -> Result<(), Error> {
    // Subscribes before the client learns that it is connected, so that it misses no message.
    let published = channel.subscribe();
    let (request, mut ws) = ServerBuilder::new().accept(tcp).await?;
    if request.uri().path() == "/publish" {
        drop(published);
        while let Some(message) = ws.next().await.transpose()? {
            if message.is_binary() {
                // Without subscribers it goes nowhere.
                let _ = channel.send(message.into_payload().into());
            }
        }
        return Ok(());
    }
    match form {
        Form::Batched => task::subscribe_batched(ws, published, Message::binary).await,
        Form::Plain => task::subscribe(ws, published, Message::binary).await,
    }
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}
