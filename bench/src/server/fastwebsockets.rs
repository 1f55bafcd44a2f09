//! fastwebsockets, as its echo example has it: a frame that is read is written. It has no other way, and
//! it cannot compress.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::broadcast;

use super::task::{self, Published, accept, block_on};
use super::{Job, Setting};
use crate::Result;

pub(super) fn serve(setting: &Setting) -> Result<()> {
    match setting.job {
        Job::Echo => block_on(accept(|tcp| {
            shake_hands(tcp, |_path, opening| echo(opening))
        })),
        Job::FanOut => {
            let channel = task::channel();
            block_on(accept(move |tcp| {
                let channel = channel.clone();
                shake_hands(tcp, move |path, opening| {
                    let publishes = path == "/publish";
                    // Subscribes before the client learns that it is connected, so that it misses no message.
                    let published = channel.subscribe();
                    let channel = channel.clone();
                    async move {
                        match publishes {
                            true => publish(opening, &channel).await,
                            false => subscribe(opening, published).await,
                        }
                    }
                })
            }))
        }
    }
}

/// Answers by HTTP, and runs in a task of its own what the upgraded connection is for.
async fn shake_hands<F>(tcp: TcpStream, run: impl Fn(&str, upgrade::UpgradeFut) -> F)
where
    F: Future<Output = Result<(), WebSocketError>> + Send + 'static,
{
    let respond = |mut request: Request<Incoming>| {
        let answer = upgrade::upgrade(&mut request);
        let answer = answer.map(|(response, opening)| {
            let running = run(request.uri().path(), opening);
            tokio::spawn(async {
                let _ = running.await;
            });
            response
        });
        async { Ok::<_, Infallible>(answer.unwrap_or_else(|_| refusal())) }
    };
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(tcp), service_fn(respond))
        .with_upgrades()
        .await;
}

fn refusal() -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
    response
}

async fn echo(opening: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = FragmentCollector::new(opening.await?);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn publish(
    opening: upgrade::UpgradeFut,
    channel: &broadcast::Sender<Bytes>,
) -> Result<(), WebSocketError> {
    let mut ws = FragmentCollector::new(opening.await?);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Binary => {
                let bytes = match frame.payload {
                    Payload::Bytes(bytes) => bytes.freeze(),
                    other => Bytes::copy_from_slice(&other),
                };
                // Without subscribers it goes nowhere.
                let _ = channel.send(bytes);
            }
            _ => {}
        }
    }
}

async fn subscribe(
    opening: upgrade::UpgradeFut,
    mut published: impl Published,
) -> Result<(), WebSocketError> {
    let mut ws = FragmentCollector::new(opening.await?);
    loop {
        tokio::select! {
            bytes = published.receive() => match bytes {
                Some(bytes) => {
                    let frame = Frame::binary(Payload::Borrowed(&bytes));
                    ws.write_frame(frame).await?;
                }
                None => return Ok(()),
            },
            frame = ws.read_frame() => {
                if frame?.opcode == OpCode::Close {
                    return Ok(());
                }
            }
        }
    }
}
