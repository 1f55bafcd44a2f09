//! yawc. By default it takes text as it comes; here it has to see that it is UTF-8, as all others do. At its
//! best it has the buffers that its authors measure it with. It compresses by zlib-rs, which sockudo-ws turns
//! on for all of flate2 here.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use yawc::{
    CompressionLevel, DeflateOptions, DeflatePool, Frame, OpCode, Options, UpgradeFut, WebSocket,
    WebSocketError,
};

use super::task::{self, accept, block_on};
use super::{Form, Setting};
use crate::Result;

pub(super) fn serve(setting: &Setting, form: Form) -> Result<()> {
    let options = options(setting, form);
    block_on(accept(move |tcp| shake_hands(tcp, options.clone(), form)))
}

fn options(setting: &Setting, form: Form) -> Options {
    // The limit is exclusive, and 1 MiB is to pass.
    let mut options = Options::default()
        .with_utf8()
        .with_max_payload_read(16 << 20);
    if let Form::Batched = form {
        options = options
            .with_read_buffer_capacity(128 * 1024)
            .with_backpressure_boundary(64 * 1024);
    }
    options.compression = setting.deflate.map(|level| DeflateOptions {
        level: CompressionLevel::new(level),
        server_no_context_takeover: !setting.takeover,
        client_no_context_takeover: !setting.takeover,
        // As many as there are threads.
        pool: matches!(form, Form::Batched).then(|| DeflatePool::new(1)),
        ..DeflateOptions::default()
    });
    options
}

async fn shake_hands(tcp: TcpStream, options: Options, form: Form) {
    let respond = |request: Request<Incoming>| {
        let response = respond(request, options.clone(), form);
        async { Ok::<_, Infallible>(response) }
    };
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(tcp), service_fn(respond))
        .with_upgrades()
        .await;
}

fn respond(request: Request<Incoming>, options: Options, form: Form) -> Response<Empty<Bytes>> {
    match WebSocket::upgrade_with_options(request, options) {
        Ok((response, opening)) => {
            tokio::spawn(async move {
                let _ = echo(opening, form).await;
            });
            response
        }
        Err(_) => {
            let mut response = Response::new(Empty::new());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

async fn echo(opening: UpgradeFut, form: Form) -> Result<(), WebSocketError> {
    // Its stream ends where another's says what is wrong.
    let ws = opening.await?.map(Ok);
    match form {
        Form::Batched => task::echo_batched(ws, is_data).await,
        Form::Plain => task::echo(ws, is_data).await,
    }
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}
