//! Pings and Pongs of the peer: shown to a caller that asks for them, and answered in any case.
#![cfg(feature = "macros")]

use crate::support::{Log, PING, PONG, Raw, TEXT, log, masked, serve, soon};
use sockeye::connection::ConnectionEvent;
use sockeye::endpoint::{Incoming, IncomingKind, Ping, Pong, Reply, whole};
use sockeye::proto::{Config, Role};
use sockeye::{
    CloseCode, Connection, Endpoint, HandlerResult, Message, Server, Session, endpoint,
    server_endpoint,
};
use tokio::io::{DuplexStream, duplex};

fn ends() -> (Raw<DuplexStream>, Connection<DuplexStream>) {
    let (peer, near) = duplex(64 * 1024);
    let near = Connection::server(near, Config::new(Role::Server));
    (Raw::new(peer), near)
}

/// All that a peer may send, in one segment.
fn segment() -> Vec<u8> {
    [
        masked(PING, b"a"),
        masked(TEXT, b"one"),
        masked(PONG, b"b"),
        masked(PING, b""),
        masked(TEXT, b"two"),
    ]
    .concat()
}

fn ping(payload: &'static [u8]) -> ConnectionEvent {
    ConnectionEvent::Ping(payload.into())
}

fn pong(payload: &'static [u8]) -> ConnectionEvent {
    ConnectionEvent::Pong(payload.into())
}

fn message(text: &str) -> ConnectionEvent {
    ConnectionEvent::Message(text.into())
}

fn all() -> [ConnectionEvent; 5] {
    [
        ping(b"a"),
        message("one"),
        pong(b"b"),
        ping(b""),
        message("two"),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_connection_shows_pings_and_pongs_in_their_place_to_who_asks_and_answers_them() {
    let (mut peer, mut near) = ends();
    peer.write(&segment()).await;
    for expected in all() {
        assert_eq!(near.recv_event().await.unwrap(), Some(expected));
    }
    // The same by the other method.
    peer.write(&segment()).await;
    for expected in ["one", "two"] {
        assert_eq!(near.recv().await.unwrap(), Some(Message::from(expected)));
    }
    peer.send_close(1000, "").await;
    assert_eq!(near.recv_event().await.unwrap(), None);
    for payload in [&b"a"[..], b"", b"a", b""] {
        assert_eq!(peer.recv().await, Some((PONG, payload.to_vec())));
    }
}

/// The keep-alive is the connection's own business.
#[tokio::test(start_paused = true)]
async fn the_answer_to_a_ping_of_the_keep_alive_is_not_shown() {
    let (mut peer, mut near) = ends();
    let answering = async {
        let (opcode, payload) = peer.recv().await.unwrap();
        assert_eq!(opcode, PING);
        peer.send(PONG, &payload).await;
        peer.send(PONG, b"mine").await;
        peer
    };
    let (event, _peer) = tokio::join!(near.recv_event(), answering);
    assert_eq!(event.unwrap(), Some(pong(b"mine")));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_shows_pings_and_pongs_from_the_first_time_that_it_is_asked() {
    let (mut peer, near) = ends();
    let (sender, mut receiver) = near.split();
    peer.write(&segment()).await;
    for expected in ["one", "two"] {
        assert_eq!(
            receiver.recv().await.unwrap(),
            Some(Message::from(expected))
        );
    }
    for payload in [&b"a"[..], b""] {
        assert_eq!(peer.recv().await, Some((PONG, payload.to_vec())));
    }
    let asking = tokio::spawn(async move {
        let mut events = Vec::new();
        while events.len() < 5 {
            events.extend(receiver.recv_event().await.unwrap());
        }
        (events, receiver)
    });
    // The first poll of the receiver asks.
    tokio::task::yield_now().await;
    peer.write(&segment()).await;
    let (events, mut receiver) = soon(asking).await.unwrap();
    assert_eq!(events, all());
    // Messages alone again: `recv` skips the rest.
    peer.write(&segment()).await;
    assert_eq!(receiver.recv().await.unwrap(), Some("one".into()));
    assert_eq!(receiver.recv().await.unwrap(), Some("two".into()));
    drop(sender);
}

/// Pings that the program does not ask for take no place: while the receiver is not read, they are answered.
#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_the_program_does_not_receive() {
    let (mut peer, near) = ends();
    let (_sender, _receiver) = near.split();
    for round in 0..100_u8 {
        peer.send(PING, &[round]).await;
        assert_eq!(peer.recv().await, Some((PONG, vec![round])));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsolicited_pong_is_sent_by_a_connection_and_by_a_sender() {
    let (mut peer, mut near) = ends();
    near.pong(b"one").await.unwrap();
    assert_eq!(peer.recv().await, Some((PONG, b"one".to_vec())));
    assert!(near.pong(&[0; 126]).await.is_err());
    let (sender, _receiver) = near.split();
    sender.pong(b"two").await.unwrap();
    assert_eq!(peer.recv().await, Some((PONG, b"two".to_vec())));
    assert!(sender.pong(&[0; 126]).await.is_err());
}

/// The halves of a connection know how it ended.
#[tokio::test(start_paused = true)]
async fn a_receiver_knows_the_reason_of_the_end_when_it_has_received_all() {
    // The peer closes.
    let (mut peer, near) = ends();
    let (_sender, mut receiver) = near.split();
    assert_eq!(receiver.close_reason(), None);
    peer.send(TEXT, b"last").await;
    peer.send_close(4321, "why").await;
    assert_eq!(receiver.recv().await.unwrap(), Some("last".into()));
    peer.recv_close().await;
    drop(peer);
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert_eq!(receiver.close_reason().unwrap().to_string(), "4321 why");

    // This side closes.
    let (mut peer, near) = ends();
    let (sender, mut receiver) = near.split();
    let closing = tokio::spawn(async move {
        sender.close(CloseCode::NO_STATUS, "").await.unwrap();
    });
    assert_eq!(peer.recv_frame().await, Some((0x88, Vec::new())));
    peer.send_close(1000, "").await;
    drop(peer);
    closing.await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert_eq!(
        receiver.close_reason().unwrap().code(),
        CloseCode::NO_STATUS
    );

    // The peer vanishes.
    let (peer, near) = ends();
    let (_sender, mut receiver) = near.split();
    drop(peer);
    receiver.recv().await.unwrap_err();
    let reason = receiver.close_reason().unwrap();
    assert_eq!(
        reason.to_string(),
        "1006 the peer went away without a Close"
    );
    assert_eq!(receiver.recv().await.unwrap(), None);
}

/// Tells each control frame of its peer.
struct Annotated(Log);

#[server_endpoint("/annotated")]
impl Annotated {
    #[on_message]
    fn text(&mut self, text: &str) -> String {
        text.to_owned()
    }

    #[on_message]
    fn pinged(&mut self, ping: Ping) -> String {
        self.0.push(format!("ping {:?}", ping.payload()));
        format!("pinged {}", ping.into_bytes().len())
    }

    #[on_message]
    fn ponged(&mut self, pong: Pong) {
        self.0
            .push(format!("pong {:?}", pong.into_bytes().to_vec()));
    }
}

/// Takes whatever comes.
struct Programmatic<const PINGED: bool>(Log);

impl<const PINGED: bool> Endpoint for Programmatic<PINGED> {
    const PINGS: bool = PINGED;

    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        if session.request().query() == Some("added") {
            let log = self.0.clone();
            session.add_message_handler(whole(move |ping: Ping| {
                log.push(format!("added {:?}", ping.payload()));
                async {}
            }))?;
            assert_eq!(session.message_handlers(), [IncomingKind::Ping]);
        }
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        self.0.push(format!("{} {message:?}", message.kind()));
        Ok(Reply::from(message))
    }
}

#[tokio::test]
async fn an_endpoint_gets_pings_if_it_has_a_method_for_them_or_says_so() {
    let (log, mut events) = log();
    let annotated = log.clone();
    let (with, without) = (log.clone(), log.clone());
    let builder = Server::builder()
        .endpoint(Annotated::endpoint(move |_| Annotated(annotated.clone())))
        .endpoint(endpoint("/with", move |_| {
            Programmatic::<true>(with.clone())
        }))
        .endpoint(endpoint("/without", move |_| {
            Programmatic::<false>(without.clone())
        }));
    let addr = serve(builder).await;

    let mut peer = Raw::open(addr, "/annotated").await;
    peer.send(PING, b"a").await;
    assert_eq!(peer.recv().await, Some((PONG, b"a".to_vec())));
    assert_eq!(peer.recv_text().await, "pinged 1");
    peer.send(PONG, b"b").await;
    peer.send(TEXT, b"c").await;
    assert_eq!(peer.recv_text().await, "c");
    assert_eq!(events.next().await, "ping [97]");
    assert_eq!(events.next().await, "pong [98]");

    for (path, pings) in [
        ("/with", &["ping Ping(Ping(b\"a\"))"][..]),
        ("/without", &[]),
        ("/without?added", &["added [97]"]),
    ] {
        let mut peer = Raw::open(addr, path).await;
        peer.send(PING, b"a").await;
        peer.send(TEXT, b"c").await;
        assert_eq!(peer.recv().await, Some((PONG, b"a".to_vec())), "{path}");
        assert_eq!(peer.recv_text().await, "c", "{path}");
        for ping in pings {
            assert_eq!(events.next().await, *ping, "{path}");
        }
        assert_eq!(events.next().await, "text Text(\"c\")", "{path}");
    }
}

/// A handler that takes a `Message` takes both kinds.
struct Either;

#[server_endpoint("/either")]
impl Either {
    #[on_message(max = 4)]
    async fn came(&mut self, message: Message) -> Message {
        message
    }
}

#[tokio::test]
async fn a_handler_takes_whole_messages_of_either_kind() {
    let addr = serve(Server::builder().endpoint(Either::endpoint(|_| Either))).await;
    let mut peer = Raw::open(addr, "/either").await;
    peer.send(TEXT, b"text").await;
    assert_eq!(peer.recv_text().await, "text");
    // In two fragments: whole all the same.
    peer.write(&[0x02, 0x81, 0, 0, 0, 0, 1, 0x80, 0x81, 0, 0, 0, 0, 2])
        .await;
    assert_eq!(peer.recv_binary().await, [1, 2]);
    // Its limit is that of both kinds.
    for opcode in [TEXT, crate::support::BINARY] {
        let mut peer = Raw::open(addr, "/either").await;
        peer.send(opcode, b"five5").await;
        assert_eq!(peer.recv_close().await.0, 1009);
    }
}

#[tokio::test(start_paused = true)]
async fn an_added_handler_of_either_kind_leaves_no_room_for_one_of_each() {
    struct Adding;

    impl Endpoint for Adding {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            let either = || whole(|message: Message| async move { message });
            session.add_message_handler(either())?;
            let kinds = [IncomingKind::Text, IncomingKind::Binary];
            assert_eq!(session.message_handlers(), kinds);
            for (rival, kind) in [
                (whole(|_: String| async {}), IncomingKind::Text),
                (whole(|_: Vec<u8>| async {}), IncomingKind::Binary),
                (either(), IncomingKind::Text),
            ] {
                let refused = session.add_message_handler(rival).unwrap_err();
                assert_eq!(refused.0, kind);
            }
            assert!(session.remove_message_handler(IncomingKind::Binary));
            assert_eq!(session.message_handlers(), []);
            session.add_message_handler(whole(|_: Vec<u8>| async {}))?;
            let refused = session.add_message_handler(either()).unwrap_err();
            assert_eq!(refused.0, IncomingKind::Binary);
            session.remove_message_handler(IncomingKind::Binary);
            session.add_message_handler(either())?;
            Ok(())
        }
    }

    let (mut peer, near) = ends();
    near.serve(Adding);
    peer.send(TEXT, b"text").await;
    assert_eq!(peer.recv_text().await, "text");
    peer.send(crate::support::BINARY, &[1]).await;
    assert_eq!(peer.recv_binary().await, [1]);
}
