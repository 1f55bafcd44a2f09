//! Endpoints, sessions, remotes, and what a handler takes and returns.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use sockeye::connection::MessageWriter;
use sockeye::endpoint::{
    Argument, AsyncRemote, BasicRemote, BinaryMessage, BinaryReader, Configurator, ConnectionInfo,
    Decoder, Encoder, EndpointConfig, FilteredSessions, HandlerExists, Handshake,
    HandshakeResponse, Incoming, IncomingKind, IntoOutcome, IntoReply, Json, LogLimit,
    MessageHandler, MessagePart, OpenSessions, Overflow, Parsed, Payload, Ping, Pong, Properties,
    Refusal, Reply, SendHandle, ServerEndpoint, SessionId, SharedEndpoint, TextMessage, TextReader,
    partial, whole,
};
use sockeye::error::{BoxError, DecodeError, EncodeError, ErrorChain, HandlerError, SendError};
use sockeye::proto::handshake::Extension;
use sockeye::proto::{InvalidCloseReason, Outgoing, ProtocolError, Text, WholeMessage};
use sockeye::{CloseCode, CloseReason, Endpoint, Error, HandlerResult, Message, Session, endpoint};

/// Names what a session returns.
pub async fn session(session: &Session) {
    let _: SessionId = session.id();
    let _: &Handshake = session.request();
    let _: Vec<Extension> = session.extensions();
    let _: &Properties = session.properties();
    let open: &OpenSessions = session.open_sessions();
    let filtered: FilteredSessions<'_> = open.with_path_parameter("room", "lobby");
    let _: Vec<Session> = filtered.to_vec();
    let _: usize = open.broadcast("hello");
    let _: Result<usize, EncodeError> = open.broadcast_object(Json(1));
    let _: Vec<IncomingKind> = session.message_handlers();
    let _: Result<(), InvalidCloseReason> = session.close(CloseCode::NORMAL, "");
    let _: CloseReason = session.closed().await;
    session.set_overflow(Overflow::Refuse);
}

/// Names what the remotes of a session return.
pub async fn remotes(session: &Session, object: &impl Encoder) {
    let basic: BasicRemote<'_> = session.basic_remote();
    let _: Result<(), SendError> = basic.send_text("hello").await;
    let _: Result<(), Error> = basic.send_object(object).await;
    let _: MessageWriter<'static> = basic.text_writer();
    let queued: AsyncRemote<'_> = session.async_remote();
    let sent: Result<SendHandle, SendError> = queued.send_text("hello");
    let Ok(sent) = sent else { return };
    let _: Result<(), SendError> = sent.await;
    let _: Result<SendHandle, Error> = queued.send_object(object);
    let _: Result<(), Error> = basic.send_json(&1).await;
    let _: Result<SendHandle, Error> = queued.send_json(&1);
    let _: Result<Message, EncodeError> = Json(1).to_message();
}

/// Names what the handlers of messages are made of.
pub fn handlers(session: &Session, incoming: Incoming<'_>) {
    let handler: MessageHandler = whole(|text: String| async move { text });
    let added: Result<(), HandlerExists> = session.add_message_handler(handler);
    if let Err(HandlerExists(kind)) = added {
        let _: IncomingKind = kind;
    }
    let _: MessageHandler = partial(|(_, _): (Bytes, bool)| async {});
    let _: MessageHandler = whole(|_: TextReader| async {});
    let _: MessageHandler = whole(|_: BinaryReader| async {});
    let _: MessageHandler = whole(|Parsed(number): Parsed<u8>| async move { Parsed(number) });
    let _: MessageHandler = whole(|Json(number): Json<u8>| async move { Json(number) });
    let _: IncomingKind = incoming.kind();
    match incoming {
        Incoming::Text(text) => {
            let text: TextMessage<'_> = text;
            let _: String = text.into_string();
        }
        Incoming::Binary(bytes) => {
            let bytes: BinaryMessage<'_> = bytes;
            let _: Vec<u8> = bytes.into_vec();
        }
        Incoming::Part(part) | Incoming::LastPart(part) => drop::<MessagePart<'_>>(part),
        Incoming::Ping(ping) => {
            let ping: Ping = ping;
            let _: Bytes = ping.into_bytes();
        }
        Incoming::Pong(pong) => {
            let pong: Pong = pong;
            let _: Bytes = pong.into_bytes();
        }
        _ => {}
    }
}

/// Names what a handshake consists of, and how a configurator answers it.
pub fn handshake(handshake: &Handshake, response: &mut HandshakeResponse) -> Refusal {
    let _: &Uri = handshake.uri();
    let _: &HeaderMap = handshake.headers();
    let _: Option<SocketAddr> = handshake.peer_addr();
    let _: Vec<Extension> = handshake.extensions();
    let properties: &Properties = handshake.properties();
    let _: Option<Arc<String>> = properties.get();
    let _: &mut HeaderMap = response.headers_mut();
    let _: ConnectionInfo = ConnectionInfo::default();
    let refusal: Refusal = Refusal::new(StatusCode::FORBIDDEN);
    let _: StatusCode = refusal.status();
    refusal
}

/// Names what the callbacks of an endpoint take and return.
pub async fn callbacks<E, C>(
    mut object: E,
    configurator: C,
    session: &Session,
    incoming: Incoming<'_>,
    lent: WholeMessage<'_>,
    error: Error,
) where
    E: ServerEndpoint + SharedEndpoint + Clone,
    C: Configurator,
{
    let _: HandlerResult = Endpoint::on_open(&mut object, session).await;
    let _: HandlerResult<Reply<'_>> = Endpoint::on_message(&mut object, session, incoming).await;
    let _: Option<HandlerResult<Reply<'_>>> =
        Endpoint::on_message_at_once(&mut object, session, lent);
    let _: &[(IncomingKind, u64)] = <E as Endpoint>::MAX_MESSAGES;
    let config: EndpointConfig = endpoint("/", move |_| object.clone());
    let _: EndpointConfig = E::configure(config).configurator(configurator);
    let _: Result<Reply<'static>, HandlerError> = "hello".into_reply();
    let _: Result<(), HandlerError> = ().into_outcome();
    let _: Error = HandlerError::from("an error").into();
    static LIMIT: LogLimit = LogLimit::new();
    let _: Option<u64> = LIMIT.admit(std::time::Instant::now());
    let _: ErrorChain<'_> = ErrorChain::new(&error);
    match error {
        Error::Connect(error) | Error::Handler(error) => drop::<BoxError>(error),
        Error::Server(error) | Error::Tls(error) => drop::<BoxError>(error),
        Error::Decode(error) => drop::<DecodeError>(error),
        Error::Encode(error) => drop::<EncodeError>(error),
        Error::Io(error) => drop::<std::io::Error>(error),
        Error::Protocol(error) => {
            let _: ProtocolError = error;
        }
        Error::Send(error) => {
            let _: SendError = error;
        }
        _ => {}
    }
}

/// A type that is decoded from a text, and encoded as one.
#[derive(Debug)]
pub struct Word(Text);

impl Decoder for Word {
    type Message = str;
    type Error = BoxError;

    fn decode(message: &str) -> Result<Self, BoxError> {
        Ok(Self(message.into()))
    }
}

impl Encoder for Word {
    type Error = BoxError;

    fn encode(&self) -> Result<Outgoing, BoxError> {
        Ok(self.0.clone().into())
    }
}

/// Names the bounds of what a handler takes.
pub fn is_an_argument<T>()
where
    T: Decoder + for<'m> Argument<'m>,
    T::Message: Payload,
{
}
