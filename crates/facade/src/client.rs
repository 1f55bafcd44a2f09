//! Clients: what they are made of, what they return, and their errors.

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::InvalidHeaderValue;
use http::{Method, Request, Response, StatusCode};
use sockeye::browser::{
    CloseArgs, CloseError, CloseEvent, ErrorEvent, Event, Events, InvalidAccess, InvalidState,
    MessageEvent, OpenedStream, Readable, ReadyState, SyntaxError, WebSocket, WebSocketError,
    WebSocketStream, Writable,
};
use sockeye::client::{
    ClientBuilder, ConnectError, CookieJar, HttpError, InvalidUrl, OpeningEvent, Proxy, ProxyError,
    SocksError, Target,
};
use sockeye::connection::ConnectionEvent;
use sockeye::error::{BoxError, SendError};
use sockeye::proto::handshake::{OfferError, ResponseError, UriError};
use sockeye::proto::{InvalidAnswer, Outgoing};
use sockeye::reconnect::topics::{
    ErrorCode, InvalidTopicName, NotAccepted, Position, PublishFailure, Recovery, RefusedRequest,
    RequestError, RequestNumber, SubscribeOptions, TopicClient, TopicEvent, TopicName,
};
use sockeye::reconnect::{
    Interruption, QueueError, ReconnectEvent, ReconnectSender, Reconnecting, Retry,
};
use sockeye::tls::{ClientOptions, FileProblem, TlsError, rustls};
use sockeye::transport::Stream;
use sockeye::{Client, CloseCode, CloseReason, Connection, Endpoint, Error, Message, Session};
use tokio::task::JoinHandle;

/// Names what a client is made of and returns.
pub async fn client(endpoint: impl Endpoint, jar: std::sync::Arc<dyn CookieJar>, stream: Stream) {
    let _: Client = Client::new();
    let builder: ClientBuilder = Client::builder();
    let builder: Result<ClientBuilder, InvalidHeaderValue> = builder.bearer_auth("token");
    let proxy: Result<Proxy, ProxyError> = "http://proxy".parse();
    let (Ok(builder), Ok(proxy)) = (builder, proxy) else {
        return;
    };
    let config: Result<rustls::ClientConfig, TlsError> = ClientOptions::default().build();
    let Ok(config) = config else { return };
    let builder = builder.cookies(jar).proxy(proxy).tls(config);
    let builder = builder.on_opening(|event| match event {
        OpeningEvent::Request(request) => {
            let _: &Request<()> = request;
        }
        OpeningEvent::Response(response) => {
            let _: &Response<()> = response;
        }
        OpeningEvent::Unreadable(bytes) => {
            let _: &[u8] = bytes;
        }
        _ => {}
    });
    let client: Client = builder.build();
    let target: Result<Target, ConnectError> = Target::try_from("ws://host/");
    let Ok(target) = target else { return };
    let _: Result<Connection, ConnectError> = client.connect(target.clone()).await;
    let over: Result<Connection, ConnectError> = client.connect_over(stream, target.clone()).await;
    drop(over);
    let _: Result<Session, ConnectError> = client.connect_endpoint(target, endpoint).await;
    let _: Result<Connection, ConnectError> = sockeye::connect("ws://host/").await;
}

/// Names the causes for which a client does not connect.
pub fn errors_of_connecting(error: ConnectError) {
    let _: Option<StatusCode> = error.status();
    match error {
        ConnectError::Compression(error) => {
            let _: InvalidAnswer = error;
        }
        ConnectError::Connect(error) => drop::<io::Error>(error),
        ConnectError::Connector(error) => drop::<BoxError>(error),
        ConnectError::Http(error) => drop::<HttpError>(error),
        ConnectError::Method(method) => drop::<Method>(method),
        ConnectError::Offer(error) => drop::<OfferError>(error),
        ConnectError::Refused(response) => drop::<Box<Response<Bytes>>>(response),
        ConnectError::Response(error) => drop::<ResponseError>(error),
        ConnectError::Url(error) => {
            let _: InvalidUrl = error;
        }
        ConnectError::WebSocketUri(error) => {
            let _: UriError = error;
        }
        ConnectError::Tls(error) => tls(error),
        ConnectError::Proxy(error) => match error {
            ProxyError::Connect(error) => drop::<io::Error>(error),
            ProxyError::Http(error) => drop::<HttpError>(error),
            ProxyError::Refused(response) => drop::<Box<Response<Bytes>>>(response),
            ProxyError::Socks(error) => drop::<SocksError>(error),
            ProxyError::Tls(error) => tls(error),
            _ => {}
        },
        _ => {}
    }
}

fn tls(error: TlsError) {
    match error {
        TlsError::Config(error) | TlsError::Handshake(error) => drop::<rustls::Error>(error),
        TlsError::File { problem, .. } => drop::<FileProblem>(problem),
        TlsError::ServerName(error) => {
            let _: rustls::pki_types::InvalidDnsNameError = error;
        }
        _ => {}
    }
}

/// Names what a client without a runtime is made of and returns.
pub fn blocking() {
    use sockeye::blocking::{Client, ClientBuilder, Connection};

    let builder: ClientBuilder = Client::builder();
    let client: Client = builder.build();
    let _: Result<Connection, ConnectError> = sockeye::blocking::connect("ws://host/");
    let opened: Result<Connection, ConnectError> = client.connect("ws://host/");
    let Ok(mut ws) = opened else { return };
    let _: Option<&str> = ws.subprotocol();
    let _: Option<&CloseReason> = ws.close_received();
    let _: Result<Option<Message>, Error> = ws.recv();
    let _: Result<Option<ConnectionEvent>, Error> = ws.recv_event();
    let _: Result<Option<u8>, Error> = ws.recv_json();
    let _: Result<(), Error> = ws.send_json(&1);
    let _: Option<Duration> = ws.read_timeout();
    let _: Result<Poll<Option<Message>>, Error> = ws.recv_timeout(Duration::ZERO);
    let _: Result<(), Error> = ws.send("hello");
    let _: Result<(), Error> = ws.close(CloseCode::NORMAL, "");
}

/// Names what the browser's objects are made of and return.
pub async fn browser(client: Client) {
    let _: Result<WebSocket, SyntaxError> = client.clone().websocket("ws://host/");
    let _: Result<WebSocketStream, SyntaxError> = client.websocket_stream("ws://host/");
    let made: Result<WebSocket, SyntaxError> = WebSocket::new("ws://host/");
    let Ok(ws) = made else { return };
    let _: ReadyState = ws.ready_state();
    let _: Result<(), InvalidState> = ws.send("hello");
    let _: CloseArgs = CloseArgs::from(1000);
    match ws.close(1000) {
        Ok(()) => {}
        Err(CloseError::InvalidAccess(error)) => {
            let _: InvalidAccess = error;
        }
        Err(CloseError::Syntax(error)) => drop::<SyntaxError>(error),
    }
    let _: Result<(), SendError> = ws.drained().await;
    drop::<JoinHandle<CloseEvent>>(ws.spawn());
    let _: CloseEvent = ws.run().await;
    let events: Option<Events> = ws.events();
    let Some(mut events) = events else { return };
    match events.next().await {
        Some(Event::Message(event)) => drop::<MessageEvent>(event),
        Some(Event::Error(event)) => drop::<ErrorEvent>(event),
        Some(Event::Close(event)) => drop::<CloseEvent>(event),
        Some(Event::Open) | None => {}
    }

    let made: Result<WebSocketStream, SyntaxError> = WebSocketStream::new("ws://host/");
    let Ok(mut ws) = made else { return };
    let opened: Result<OpenedStream, WebSocketError> = ws.opened().await;
    let Ok(opened) = opened else { return };
    let mut readable: Readable = opened.readable;
    let _: Result<Option<Message>, WebSocketError> = readable.read().await;
    let writable: Writable = opened.writable;
    let _: Result<(), WebSocketError> = writable.write("hello").await;
    let closed: Result<CloseReason, WebSocketError> = ws.closed().await;
    let Err(error) = closed else { return };
    let _: Option<&CloseReason> = error.close_reason();
}

/// Names what a reconnecting client is made of and returns.
pub async fn reconnect(client: Client) {
    let made: Result<Reconnecting, ConnectError> = client.reconnecting("ws://host/");
    let Ok(client) = made else { return };
    let mut client: Reconnecting = client.retry(Retry::default());
    let _: Option<&Connection> = client.connection();
    let sender: ReconnectSender = client.sender();
    if let Err(error) = sender.send("hello") {
        let error: QueueError = error;
        let _: Outgoing = error.into_message();
    }
    let _: Result<(), QueueError> = sender.feed("hello").await;
    let _: Option<Duration> = sender.ping().await;
    let _: Option<Duration> = client.round_trip();
    let _: Result<(), SendError> = sender.close(CloseCode::NORMAL, "");
    let _: Result<Vec<Outgoing>, SendError> = client.close(CloseCode::NORMAL, "").await;
    match client.next().await {
        Some(ReconnectEvent::Message(message)) => drop::<Message>(message),
        Some(ReconnectEvent::Ended { why, unsent, .. }) => {
            let _: Vec<Outgoing> = unsent;
            let why: Option<Interruption> = why;
            let Some(why) = why else { return };
            let (now, date) = (Instant::now(), SystemTime::now());
            let _: Option<Duration> = Retry::default().after(&why, now, date, 0.5);
            match why {
                Interruption::Closed(reason) => drop::<CloseReason>(reason),
                Interruption::Connect(error) => drop::<ConnectError>(error),
                Interruption::Lost(error) => drop::<Error>(error),
                Interruption::Subprotocol(reason) => drop::<CloseReason>(reason),
                _ => {}
            }
        }
        _ => {}
    }
}

/// Names what a client of topics is made of and returns.
pub async fn topic_client(client: Reconnecting, position: Position) {
    let mut client: TopicClient = client.topics();
    let options: SubscribeOptions = SubscribeOptions::new().recent(5).member("{}");
    if let Err(error) = client.subscribe_with("a", &options) {
        match error {
            RequestError::Topic(error) => {
                let _: InvalidTopicName = error;
            }
            RequestError::NotAccepted(error) => {
                let _: NotAccepted = error;
            }
            _ => {}
        }
    }
    let _: Result<(), RequestError> = client.subscribe_after("b", position);
    let _: Result<RequestNumber, RequestError> = client.publish("a", "hello");
    let _: Result<RequestNumber, RequestError> = client.members("a", None);
    let positions: Vec<(&TopicName, Position)> = client.positions().collect();
    drop(positions);
    let sender: ReconnectSender = client.sender();
    drop(sender);
    let _: Option<&Connection> = client.connection();
    let _: Result<(), SendError> = client.close(CloseCode::NORMAL, "");
    let event: Option<TopicEvent> = client.next().await;
    match event {
        Some(TopicEvent::Subscribed { recovery, .. }) => {
            let _: Recovery = recovery;
        }
        Some(TopicEvent::Message { message, .. }) => drop::<Message>(message),
        Some(TopicEvent::Ended { failure, .. }) => {
            let failure: RefusedRequest = failure;
            let _: ErrorCode = failure.code;
        }
        Some(TopicEvent::PublishFailed {
            message, failure, ..
        }) => {
            drop::<Outgoing>(message);
            drop::<PublishFailure>(failure);
        }
        Some(TopicEvent::Connection(event)) => drop::<ReconnectEvent>(event),
        _ => {}
    }
}
