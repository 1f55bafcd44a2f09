//! Enveloped sessions: their peers agreed on the subprotocol of topics. A message of the application has a line feed in
//! front, both ways.

use std::convert::Infallible;

use bytes::Bytes;
use sockeye_proto::{
    CloseCode, CloseReason, DeflateConfig, DeflatePool, Outgoing, PreparedMessage, WholeMessage,
};
use tokio::io::AsyncWriteExt;

use super::life::texts;
use super::*;
use crate::connection::Compression;
use crate::connection::tests::wire::{BINARY, CLOSE, Frame, PONG, TEXT, masked};
use crate::endpoint::envelope::{HEADER_ROOM, SUBPROTOCOL};
use crate::endpoint::{
    BinaryReader, Encoder, Incoming, IncomingKind, Reply, SharedEndpoint, partial, whole,
};
use crate::error::{Error, HandlerResult};

const STARTS: u8 = 0x01;
const ENDS: u8 = 0x80;

/// Replies with the message, and keeps what it was called with.
#[derive(Default)]
struct Echo(std::sync::Mutex<Vec<String>>);

impl Echo {
    fn keep(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl SharedEndpoint for Echo {
    // An enveloped session gives whole messages all the same.
    const IN_PARTS: &'static [IncomingKind] = &[IncomingKind::Binary];

    async fn on_message<'m>(&self, _: &Session, message: Incoming<'m>) -> HandlerResult<Reply<'m>> {
        self.keep(format!("{message:?}"));
        match &message {
            Incoming::Text(text) if &**text == "fail" => Err("it fails".into()),
            Incoming::Text(text) if &**text == "nothing" => Ok(Reply::None),
            Incoming::Pong(_) => Ok(Reply::Text("a pong came")),
            _ => Ok(Reply::from(message)),
        }
    }

    fn on_message_at_once<'m>(
        &self,
        _: &Session,
        message: WholeMessage<'m>,
    ) -> Option<HandlerResult<Reply<'m>>> {
        self.keep(format!("at once: {message:?}"));
        None
    }

    async fn on_close(&self, _: &Session, reason: CloseReason) -> HandlerResult {
        self.keep(format!("closed: {}", u16::from(reason.code())));
        Ok(())
    }

    async fn on_error(&self, session: &Session, error: &Error) {
        self.keep(error.to_string());
        let _ = session.async_remote().send_text("failed");
    }
}

/// Sessions of one endpoint that speaks topics.
struct Room {
    sessions: OpenSessions,
    endpoint: Arc<Echo>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            sessions: OpenSessions::with_topics(Arc::default()),
            endpoint: Arc::default(),
        }
    }
}

impl Room {
    /// A room whose sessions use topics.
    fn with_topics() -> Self {
        let room = Self::default();
        let topics = crate::topics::Topics::default();
        room.sessions.set_topics(Arc::new(topics));
        room
    }

    fn join(&self, subprotocol: Option<&str>) -> (Peer, Session) {
        self.join_with(subprotocol, |_| {})
    }

    fn join_with(
        &self,
        subprotocol: Option<&str>,
        change: impl FnOnce(&mut Opened<crate::connection::tests::wire::Wire>),
    ) -> (Peer, Session) {
        let (stream, peer) = wire();
        let places = Arc::new(Semaphore::new(1));
        let mut opened = opened(stream, Config::new(Role::Server), &places);
        opened.handshake.agree(subprotocol, None);
        change(&mut opened);
        let before = self.sessions.to_vec();
        let endpoint = Arc::clone(&self.endpoint);
        Factory(move |_: &Handshake| Arc::clone(&endpoint)).start(opened, None, &self.sessions);
        let mut sessions = self.sessions.to_vec().into_iter();
        let session = sessions.find(|session| !before.contains(session)).unwrap();
        (peer, session)
    }
}

fn enveloped() -> (Peer, Session, Arc<Echo>) {
    let room = Room::default();
    let (peer, session) = room.join(Some(SUBPROTOCOL));
    (peer, session, room.endpoint)
}

fn payloads(frames: &[Frame]) -> Vec<(u8, &[u8])> {
    frames
        .iter()
        .map(|frame| (frame.first, &*frame.payload))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_handed_on_without_the_envelope_and_its_reply_is_in_one() {
    let (peer, session, endpoint) = enveloped();
    assert!(session.is_enveloped());
    for (first, frame) in [
        (TEXT, "\ntext"),
        (BINARY, "\n\nbinary"),
        (TEXT, "\n"),
        (TEXT, "\nnothing"),
    ] {
        peer.segment(masked(first, frame));
    }
    peer.segment([masked(STARTS, ""), masked(ENDS, "\nin two frames")].concat());
    idle().await;
    let frames = peer.frames();
    let expected: [(u8, &[u8]); 4] = [
        (TEXT, b"\ntext"),
        (BINARY, b"\n\nbinary"),
        (TEXT, b"\n"),
        (TEXT, b"\nin two frames"),
    ];
    assert_eq!(payloads(&frames), expected);
    // None was answered in the read buffer, and none came in parts.
    let binary = format!("Binary({:?})", b"\nbinary");
    assert_eq!(
        endpoint.take(),
        [
            r#"Text("text")"#,
            &binary,
            r#"Text("")"#,
            r#"Text("nothing")"#,
            r#"Text("in two frames")"#
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_message_is_handed_on_and_sent_back_whole() {
    let (peer, ..) = enveloped();
    let frame = format!("\n{}", "x".repeat(100_000));
    peer.segment(masked(TEXT, &frame));
    idle().await;
    assert_eq!(texts(&peer.frames()), [frame]);
}

#[tokio::test(start_paused = true)]
async fn a_pong_has_no_envelope_and_the_reply_to_it_does() {
    let (peer, _, endpoint) = enveloped();
    peer.segment(masked(PONG, "p"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["\na pong came"]);
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn added_handlers_get_the_whole_message_without_its_envelope() {
    let (peer, session, endpoint) = enveloped();
    let text = |(part, is_last): (String, bool)| async move { format!("{part} {is_last}") };
    session.add_message_handler(partial(text)).unwrap();
    let bytes = |mut body: BinaryReader| async move {
        let mut read = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut body, &mut read)
            .await
            .unwrap();
        read
    };
    session.add_message_handler(whole(bytes)).unwrap();
    idle().await;
    for part in [
        masked(STARTS, "\na"),
        masked(ENDS, "b"),
        masked(BINARY, b"\n\xff"),
    ] {
        peer.segment(part);
        idle().await;
    }
    let frames = peer.frames();
    let expected: [(u8, &[u8]); 2] = [(TEXT, b"\nab true"), (BINARY, b"\n\xff")];
    assert_eq!(payloads(&frames), expected);
    assert_eq!(endpoint.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_handler_goes_to_on_error_and_the_session_stays() {
    let (peer, session, endpoint) = enveloped();
    peer.segment(masked(TEXT, "\nfail"));
    idle().await;
    assert_eq!(texts(&peer.frames()), ["\nfailed"]);
    assert_eq!(endpoint.take(), [r#"Text("fail")"#, "a handler failed"]);
    assert!(session.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_frame_without_a_header_closes_the_session_with_1008() {
    let no_line_feed = "the frame has no line feed behind its header";
    for (frame, reason) in [
        (masked(TEXT, "text"), no_line_feed),
        (masked(BINARY, ""), no_line_feed),
        (masked(TEXT, "text\n"), "the header is not a JSON object"),
    ] {
        let room = Room::with_topics();
        let (peer, _) = room.join(Some(SUBPROTOCOL));
        peer.segment(frame);
        idle().await;
        // The first frame is the greeting.
        let frames = peer.frames();
        assert_eq!((frames.len(), frames[1].code()), (2, 1008));
        assert_eq!(&frames[1].payload[2..], reason.as_bytes());
        assert_eq!(room.endpoint.take(), ["closed: 1008"]);
    }
}

struct Object;

impl Encoder for Object {
    type Error = Infallible;

    fn encode(&self) -> Result<Outgoing, Infallible> {
        Ok("object".into())
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_remotes_send_is_in_an_envelope() {
    let (peer, session, _) = enveloped();
    let (basic, queue) = (session.basic_remote(), session.async_remote());
    basic.send_text("a").await.unwrap();
    basic.send_binary(&b"b"[..]).await.unwrap();
    basic.send_object(&Object).await.unwrap();
    drop(queue.send_text("").unwrap());
    drop(queue.send_binary(&b"\n"[..]).unwrap());
    drop(queue.send(PreparedMessage::new("c")).unwrap());
    queue.send_object(&Object).unwrap().await.unwrap();
    basic.send_pong(b"p").await.unwrap();
    let frames = peer.frames();
    let expected: [(u8, &[u8]); 8] = [
        (TEXT, b"\na"),
        (BINARY, b"\nb"),
        (TEXT, b"\nobject"),
        (TEXT, b"\n"),
        (BINARY, b"\n\n"),
        (TEXT, b"\nc"),
        (TEXT, b"\nobject"),
        (PONG, b"p"),
    ];
    assert_eq!(payloads(&frames), expected);
}

#[tokio::test(start_paused = true)]
async fn a_writer_puts_the_line_feed_in_front_of_the_first_part() {
    let (peer, session, _) = enveloped();
    let remote = session.basic_remote();
    // Without a part there is no message.
    remote.text_writer().finish().await.unwrap();
    let mut message = remote.text_writer();
    assert!(message.send_part(vec![0xff]).await.is_err());
    message.send_part("a").await.unwrap();
    message.send_last_part("b").await.unwrap();
    remote.text_writer().send_last_part("").await.unwrap();
    let mut message = remote.binary_writer();
    message.write_all(b"c").await.unwrap();
    message.write_all(b"d").await.unwrap();
    message.flush().await.unwrap();
    message.write_all(b"e").await.unwrap();
    message.shutdown().await.unwrap();
    let frames = peer.frames();
    let expected: [(u8, &[u8]); 5] = [
        (STARTS, b"\na"),
        (ENDS, b"b"),
        (TEXT, b"\n"),
        (0x02, b"\ncd"),
        (ENDS, b"e"),
    ];
    assert_eq!(payloads(&frames), expected);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_compressed_is_compressed_in_its_envelope() {
    let config = DeflateConfig::default();
    let room = Room::default();
    let (peer, session) = room.join_with(Some(SUBPROTOCOL), |opened| {
        opened.compression = Some(Compression {
            params: config.answer(&[config.offer()]).unwrap().0,
            config: config.clone(),
            pool: DeflatePool::default(),
        });
    });
    let text = "compressible ".repeat(100);
    let remote = session.basic_remote();
    remote.send_text(text.as_str()).await.unwrap();
    remote
        .text_writer()
        .send_last_part(text.as_str())
        .await
        .unwrap();
    assert_eq!(room.sessions.broadcast(text.as_str()), 1);
    peer.segment(masked(TEXT, format!("\n{text}")));
    idle().await;
    remote
        .send(Outgoing::uncompressed(text.as_str()))
        .await
        .unwrap();
    let first: Vec<_> = peer.frames().iter().map(|frame| frame.first).collect();
    // RFC 7692 §6.1: RSV1.
    assert_eq!(
        first,
        [0x40 | TEXT, 0x40 | TEXT, 0x40 | TEXT, 0x40 | TEXT, TEXT]
    );
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_all_sessions_of_the_endpoint_each_in_its_form() {
    let room = Room::default();
    let all = [None, Some(SUBPROTOCOL), Some("another"), Some(SUBPROTOCOL)];
    let joined = all.map(|subprotocol| room.join(subprotocol));
    let sessions = &room.sessions;
    assert_eq!((sessions.len(), sessions.is_empty()), (4, false));
    idle().await;
    assert_eq!(sessions.broadcast("news"), 4);
    assert_eq!(sessions.broadcast(vec![0xff]), 4);
    let filtered = |session: &Session| *session == joined[0].1 || *session == joined[3].1;
    let only = PreparedMessage::new("only");
    assert_eq!(sessions.broadcast_to(&only, filtered), 2);
    assert_eq!(
        sessions.with_path_parameter("room", "1").broadcast("none"),
        0
    );
    idle().await;
    let came: Vec<Vec<_>> = joined
        .iter()
        .map(|(peer, _)| {
            peer.frames()
                .into_iter()
                .map(|frame| frame.payload)
                .collect()
        })
        .collect();
    let expected: [&[&[u8]]; 4] = [
        &[b"news", b"\xff", b"only"],
        &[b"\nnews", b"\n\xff"],
        &[b"news", b"\xff"],
        &[b"\nnews", b"\n\xff", b"\nonly"],
    ];
    assert_eq!(came, expected);
    for (peer, session) in &joined[1..] {
        session.abort();
        idle().await;
        assert!(peer.is_dropped());
        assert!(!sessions.to_vec().contains(session));
    }
    assert_eq!((sessions.len(), sessions.broadcast("more")), (1, 1));
}

#[test]
fn broadcasts_of_many_threads_reach_all_sessions_in_one_order() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let room = Room::default();
    let _entered = runtime.enter();
    let joined = [None, Some(SUBPROTOCOL)].map(|subprotocol| room.join(subprotocol));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sessions = &room.sessions;
            scope.spawn(move || {
                for number in 0..100 {
                    sessions.broadcast(format!("{thread} {number}"));
                }
            });
        }
    });
    runtime.block_on(idle());
    let [raw, enveloped] = joined.map(|(peer, _)| peer.frames());
    assert_eq!(raw.len(), 400);
    let in_envelope: Vec<_> = raw
        .iter()
        .map(|frame| format!("\n{}", frame.text()))
        .collect();
    assert_eq!(texts(&enveloped), in_envelope);
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_that_of_the_message_without_its_envelope() {
    const LIMIT: usize = 100;
    let header = "x".repeat(usize::try_from(HEADER_ROOM).unwrap());
    let cases: [(String, u16); 3] = [
        (format!("\n{}", "x".repeat(LIMIT + 1)), 1009),
        // A header has room of its own. This one is none.
        (format!("{header}{}", "x".repeat(LIMIT)), 1008),
        (format!("{header}{}", "x".repeat(LIMIT + 1)), 1009),
    ];
    for (frame, code) in cases {
        let room = Room::with_topics();
        let limits = Config::new(Role::Server)
            .max_message(10)
            .max_text(LIMIT as u64);
        let (peer, _) = room.join_with(Some(SUBPROTOCOL), |opened| opened.config = limits.into());
        let longest = format!("\n{}", "x".repeat(LIMIT));
        peer.segment(masked(TEXT, &longest));
        idle().await;
        assert_eq!(texts(&peer.frames())[1..], [longest]);
        room.endpoint.take();
        peer.segment(masked(TEXT, &frame));
        idle().await;
        let closes = peer
            .frames()
            .into_iter()
            .filter(|frame| frame.first == CLOSE);
        assert_eq!(closes.map(|frame| frame.code()).collect::<Vec<_>>(), [code]);
        let lines = room.endpoint.take();
        assert_eq!(lines.last().unwrap(), &format!("closed: {code}"));
        // As for any other session, a message that is too big is an error.
        assert_eq!(lines.len(), if code == 1009 { 2 } else { 1 }, "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_closed_as_any_other() {
    let room = Room::default();
    let idle_after = |opened: &mut Opened<_>| opened.max_idle_timeout = Some(seconds(5));
    let joined = [None, Some(SUBPROTOCOL)].map(|agreed| room.join_with(agreed, idle_after));
    tokio::time::sleep(seconds(4)).await;
    // A message starts the time of both again.
    room.sessions.broadcast("news");
    tokio::time::sleep(seconds(4)).await;
    assert_eq!(room.sessions.len(), 2);
    tokio::time::sleep(seconds(4)).await;
    for (peer, _) in joined {
        assert_eq!(peer.frames()[1].code(), u16::from(CloseCode::GOING_AWAY));
    }
    assert_eq!(room.sessions.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_topics_has_no_enveloped_session() {
    let room = Room {
        sessions: OpenSessions::counted_by(Arc::default()),
        ..Room::default()
    };
    let (peer, session) = room.join(Some(SUBPROTOCOL));
    assert!(!session.is_enveloped());
    peer.segment(masked(TEXT, "\ntext"));
    session
        .async_remote()
        .send_binary(Bytes::from("b"))
        .unwrap()
        .await
        .unwrap();
    idle().await;
    let frames = peer.frames();
    let expected: [(u8, &[u8]); 2] = [(BINARY, b"b"), (TEXT, b"\ntext")];
    assert_eq!(payloads(&frames), expected);
}
