//! Connections, whole and split.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use sockeye::connection::{
    BridgeEnd, BridgeError, BridgeSide, ConnectionEvent, MessageReader, MessageWriter, Opening,
    Receiver, Sender, SenderSink, Timings, bridge,
};
use sockeye::error::SendError;
use sockeye::proto::{Config, MessageBuffer, Role};
use sockeye::transport::Stream;
use sockeye::{CloseCode, CloseReason, Connection, Endpoint, Error, Message, Session};
use tokio::net::TcpStream;

/// Names what a connection returns.
pub async fn connection(tcp: TcpStream, endpoint: impl Endpoint) {
    let stream: Stream = Stream::from(tcp);
    let mut ws: Connection<Stream> = Connection::server(stream, Config::new(Role::Server));
    let _: Option<&str> = ws.subprotocol();
    let _: Option<&CloseReason> = ws.close_received();
    let _: Option<Duration> = ws.round_trip();
    if let Some(opening) = ws.opening() {
        let opening: &Opening = opening;
        let _: &Request<()> = &opening.request;
        let _: &Response<()> = &opening.response;
        let _: Timings = opening.timings;
    }
    let _: Result<Option<Message>, Error> = ws.recv().await;
    let event: Result<Option<ConnectionEvent>, Error> = ws.recv_event().await;
    if let Ok(Some(ConnectionEvent::Ping(payload) | ConnectionEvent::Pong(payload))) = event {
        let _: Bytes = payload;
    }
    let _: Result<(), Error> = ws.pong(b"hello").await;
    let _: Result<(), Error> = ws.send_json(&1).await;
    let _: Result<Option<u8>, Error> = ws.recv_json().await;
    let mut buffer = MessageBuffer::default();
    let _: Result<bool, Error> = ws.recv_into(&mut buffer).await;
    let _: Result<(), Error> = ws.send("hello").await;
    let _: Result<(), Error> = ws.feed_text("hello").await;
    let _: Result<(), SendError> = ws.start_closing_handshake(CloseCode::NORMAL, "");
    let reading: Result<Option<MessageReader<'_, Stream>>, Error> = ws.recv_reader().await;
    if let Ok(Some(mut reader)) = reading {
        let _: Result<Option<Bytes>, Error> = reader.next_part().await;
    }
    let mut writer: MessageWriter<'_> = ws.text_writer();
    let _: Result<(), Error> = writer.send_part("hello").await;
    drop(writer);
    let _: Result<(), Error> = ws.close(CloseCode::NORMAL, "").await;
    let _: Session = ws.serve(endpoint);
}

/// Names what the two sides of a split connection return.
pub async fn split(ws: Connection) {
    let (sender, mut receiver): (Sender, Receiver) = ws.split();
    let _: Result<(), SendError> = sender.send("hello").await;
    let _: Result<(), SendError> = sender.try_send("hello");
    let _: MessageWriter<'_> = sender.text_writer();
    let _: Result<Option<Message>, Error> = receiver.recv().await;
    let _: Result<Option<ConnectionEvent>, Error> = receiver.recv_event().await;
    let _: Result<Option<u8>, Error> = receiver.recv_json().await;
    let _: Option<CloseReason> = receiver.close_reason();
    let _: Result<(), SendError> = sender.pong(b"hello").await;
    let _: Result<(), Error> = sender.send_json(&1).await;
    let _: SenderSink = sender.into_sink();
}

/// Names what a bridge of two connections returns.
pub async fn bridging(first: Connection, second: Connection) {
    let bridged: Result<BridgeEnd, BridgeError> = bridge(first, second).await;
    match bridged {
        Ok(end) => {
            let _: BridgeSide = end.side;
            let _: CloseReason = end.reason;
        }
        Err(error) => {
            let _: BridgeSide = error.side;
            drop::<Error>(error.error);
        }
    }
}
