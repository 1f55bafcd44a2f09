//! sockudo-ws. Its `accept` negotiates no compression, so the parts of its handshake are put together
//! here; what is published goes through its own topics.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sockudo_ws::deflate::negotiate_server_deflate;
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::stream::CompressedWebSocketStream;
use sockudo_ws::{Config, DeflateConfig, Error, Message, PubSub, WebSocketStream};
use sockudo_ws::{Http1, server::WebSocketServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::task::{self, Published, accept, block_on};
use super::{Form, Job, Setting};
use crate::Result;

pub(super) fn serve(setting: &Setting, form: Form) -> Result<()> {
    let server = WebSocketServer::<Http1>::new(Config::default());
    if setting.job == Job::FanOut {
        let topics = Arc::new(PubSub::new());
        return block_on(accept(move |tcp| {
            let (server, topics) = (server.clone(), topics.clone());
            async move {
                let _ = fan_out(tcp, &server, &topics, form).await;
            }
        }));
    }
    match deflate(setting) {
        None => block_on(accept(move |tcp| {
            let server = server.clone();
            async move {
                let _ = echo(tcp, &server, form).await;
            }
        })),
        Some(deflate) => block_on(accept(move |tcp| {
            let deflate = deflate.clone();
            async move {
                let _ = compressed_echo(tcp, &deflate, form).await;
            }
        })),
    }
}

fn deflate(setting: &Setting) -> Option<DeflateConfig> {
    Some(DeflateConfig {
        compression_level: setting.deflate?,
        server_no_context_takeover: !setting.takeover,
        client_no_context_takeover: !setting.takeover,
        ..DeflateConfig::default()
    })
}

async fn echo(tcp: TcpStream, server: &WebSocketServer<Http1>, form: Form) -> Result<(), Error> {
    let (ws, _handshake) = server.accept_raw(tcp).await?;
    match form {
        Form::Batched => task::echo_batched(ws, is_data).await,
        Form::Plain => task::echo(ws, is_data).await,
    }
}

async fn compressed_echo(
    mut tcp: TcpStream,
    policy: &DeflateConfig,
    form: Form,
) -> Result<(), Error> {
    let mut head = BytesMut::with_capacity(4096);
    let (agreed, length) = loop {
        if tcp.read_buf(&mut head).await? == 0 {
            return Err(Error::ConnectionClosed);
        }
        let Some((request, length)) = parse_request(&head)? else {
            continue;
        };
        let offers = request.extensions.unwrap_or_default();
        let agreed = negotiate_server_deflate(offers, policy);
        let answer = agreed.as_ref().map(|agreed| agreed.to_response_header());
        let accept = generate_accept_key(request.key);
        let response = build_response(&accept, None, answer.as_deref());
        tcp.write_all(&response).await?;
        break (agreed, length);
    };
    let rest = Some(head.split_off(length).freeze());
    let config = Config::default();
    let Some(agreed) = agreed else {
        // Who offered nothing gets nothing compressed.
        let role = sockudo_ws::Role::Server;
        let ws = WebSocketStream::from_raw_with_leftover(tcp, role, config, rest);
        return task::echo(ws, is_data).await;
    };
    let ws = CompressedWebSocketStream::server_with_leftover(tcp, config, agreed.config, rest);
    match form {
        Form::Batched => task::echo_batched(ws, is_data).await,
        Form::Plain => task::echo(ws, is_data).await,
    }
}

async fn fan_out(
    tcp: TcpStream,
    server: &WebSocketServer<Http1>,
    topics: &PubSub,
    form: Form,
) -> Result<(), Error> {
    #[expect(clippy::disallowed_methods, reason = "its topics take no other")]
    let (sender, published) = mpsc::unbounded_channel();
    // Subscribes before the client learns that it is connected, so that it misses no message.
    let own = topics.create_subscriber(sender);
    topics.subscribe(own, TOPIC);
    let outcome = async {
        let (mut ws, handshake) = server.accept_raw(tcp).await?;
        if handshake.path == "/publish" {
            topics.unsubscribe(own, TOPIC);
            while let Some(message) = ws.next().await.transpose()? {
                if matches!(message, Message::Binary(_)) {
                    topics.publish(TOPIC, message);
                }
            }
            return Ok(());
        }
        match form {
            Form::Batched => task::subscribe_batched(ws, published, Message::Binary).await,
            Form::Plain => task::subscribe(ws, published, Message::Binary).await,
        }
    }
    .await;
    topics.remove_subscriber(own);
    outcome
}

impl Published for mpsc::UnboundedReceiver<Message> {
    async fn receive(&mut self) -> Option<Bytes> {
        self.recv().await.and_then(payload)
    }

    fn try_receive(&mut self) -> Option<Bytes> {
        self.try_recv().ok().and_then(payload)
    }
}

fn payload(message: Message) -> Option<Bytes> {
    match message {
        Message::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

fn is_data(message: &Message) -> bool {
    matches!(message, Message::Text(_) | Message::Binary(_))
}

const TOPIC: &str = "all";
