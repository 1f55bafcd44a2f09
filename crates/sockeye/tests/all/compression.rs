//! permessage-deflate between Sockeye's client and server over TCP, as both are switched on.

use std::net::SocketAddr;

use sockeye::browser::WebSocket;
use sockeye::client::ConnectError;
use sockeye::error::BoxError;
use sockeye::proto::{DeflateConfig, Outgoing, PreparedMessage, WindowBits};
use sockeye::{
    Client, CloseCode, HandlerResult, Message, Server, Session, blocking, server_endpoint,
};
use tokio::net::TcpListener;

use crate::support::{Raw, TEXT, listen, raw_server, request, serve, soon};

#[derive(Default)]
struct Echo;

#[server_endpoint("/")]
impl Echo {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }

    #[on_message]
    fn binary<'m>(&self, bytes: &'m [u8]) -> &'m [u8] {
        bytes
    }
}

/// Starts an echo that compresses as `compression` says. Returns its URL.
async fn echo(compression: Option<DeflateConfig>) -> String {
    let mut builder = Server::builder().default_endpoint::<Echo>();
    if let Some(compression) = compression {
        builder = builder.compression(compression);
    }
    format!("ws://{}/", serve(builder).await)
}

fn messages() -> Vec<Message> {
    let noise: Vec<u8> = (0..300_000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    vec![
        Message::from(""),
        Message::from("short"),
        Message::from("compressible ".repeat(10_000)),
        Message::from("ünïcödé ".repeat(20_000)),
        Message::from(noise),
        Message::from(vec![0; 1 << 20]),
        Message::from("compressible ".repeat(10_000)),
    ]
}

#[tokio::test]
async fn messages_of_all_sizes_are_echoed_whatever_is_agreed_on() -> HandlerResult {
    let small = DeflateConfig::default()
        .server_max_window_bits(WindowBits::MIN)
        .client_max_window_bits(WindowBits::MIN);
    let takeover = DeflateConfig::default().context_takeover(true);
    for server in [None, Some(DeflateConfig::default()), Some(takeover.clone())] {
        let url = echo(server).await;
        for client in [
            None,
            Some(DeflateConfig::default()),
            Some(takeover.clone()),
            Some(small.clone()),
        ] {
            let mut ws = Client::builder()
                .compression(client)
                .build()
                .connect(&url)
                .await?;
            for message in messages() {
                ws.send(message.clone()).await?;
                assert_eq!(ws.recv().await?, Some(message));
            }
            ws.close(CloseCode::NORMAL, "").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_bomb_is_refused_and_the_server_goes_on() -> HandlerResult {
    let url = echo(Some(DeflateConfig::default())).await;
    let mut ws = Client::new().connect(&url).await?;
    // A thousandth of it on the wire; the server takes 1 MiB.
    ws.send(vec![0; 15 << 20]).await?;
    assert_eq!(ws.recv().await?, None);
    let code = ws.close_received().map(|reason| reason.code().get());
    assert_eq!(code, Some(1009));
    let mut next = Client::new().connect(&url).await?;
    next.send("still there").await?;
    assert_eq!(next.recv().await?, Some("still there".into()));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_offer_fails_the_handshake() {
    for answer in [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=7",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
        let fields = format!("Sec-WebSocket-Extensions: {answer}\r\n");
        let (connected, _raw) =
            tokio::join!(sockeye::connect(&url), raw_server(&listener, &fields, b""));
        assert!(
            matches!(connected, Err(ConnectError::Compression(_))),
            "{answer}: {connected:?}"
        );
    }
}

/// RFC 7692 §7.2.3.2: a text of "Hello", and one that refers to it in the window of the server.
const HELLO_TWICE: &[u8] = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00";

#[tokio::test]
async fn a_server_that_keeps_its_window_though_asked_not_to_is_understood() -> HandlerResult {
    let small = DeflateConfig::default().server_max_window_bits(WindowBits::MIN);
    for (config, answer) in [
        (DeflateConfig::default(), "permessage-deflate"),
        (small.clone(), "permessage-deflate"),
        (small, "permessage-deflate; server_max_window_bits=15"),
    ] {
        let (listener, url) = listen().await;
        let fields = format!("Sec-WebSocket-Extensions: {answer}\r\n");
        let client = Client::builder().compression(config.clone()).build();
        let (ws, mut peer) = tokio::join!(
            client.connect(&url),
            raw_server(&listener, &fields, HELLO_TWICE)
        );
        let mut ws = ws?;
        for _ in 0..2 {
            assert_eq!(ws.recv().await?, Some(Message::from("Hello")));
        }
        // The client itself does what it offered: both messages stand alone.
        ws.feed(news()).await?;
        ws.send(news()).await?;
        let first = peer.recv_frame().await.expect("a message");
        assert_eq!(first.0, COMPRESSED_TEXT_FRAME);
        assert_eq!(peer.recv_frame().await, Some(first));

        let url = url.clone();
        let client = blocking::Client::builder().compression(config).build();
        let receiving = tokio::task::spawn_blocking(move || {
            let mut ws = client.connect(url)?;
            Ok::<_, BoxError>([ws.recv()?, ws.recv()?])
        });
        let _peer = raw_server(&listener, &fields, HELLO_TWICE).await;
        let hello = || Some(Message::from("Hello"));
        assert_eq!(soon(receiving).await??, [hello(), hello()]);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_keeps_its_window_though_told_not_to_is_understood() {
    let addr = serve(
        Server::builder()
            .default_endpoint::<Echo>()
            .compression(DeflateConfig::default()),
    )
    .await;
    // Tornado's client offers this, and reads no parameter without a value in the answer.
    let mut peer = offering(addr, "permessage-deflate; client_max_window_bits").await;
    let hello = b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00";
    let refers_back = b"\xc1\x85\0\0\0\0\xf2\x00\x11\x00\x00";
    peer.write(hello).await;
    for _ in 0..10 {
        assert_eq!(peer.recv().await, Some((TEXT, b"Hello".to_vec())));
        peer.write(refers_back).await;
    }
    assert_eq!(peer.recv().await, Some((TEXT, b"Hello".to_vec())));
}

/// Sends on request, in each way there is.
#[derive(Default)]
struct Sends;

#[server_endpoint("/")]
impl Sends {
    #[on_message]
    async fn send(&self, session: &Session, way: &str) -> HandlerResult<Option<Outgoing>> {
        match way.strip_prefix("plain ") {
            Some(way) => send(session, way, Outgoing::uncompressed(news())).await,
            None => send(session, way, news().into()).await,
        }
    }
}

async fn send(session: &Session, way: &str, news: Outgoing) -> HandlerResult<Option<Outgoing>> {
    match way {
        "reply" => return Ok(Some(news)),
        "awaited" => session.basic_remote().send(news).await?,
        "queued" => drop(session.async_remote().send(news)?),
        "prepared" => drop(session.async_remote().send(PreparedMessage::new(news))?),
        "broadcast" => drop(session.open_sessions().broadcast(news)),
        _ => return Err(format!("there is no way {way}").into()),
    }
    Ok(None)
}

/// Longer than the smallest windows, with repetitions that are further away.
fn news() -> String {
    let names: String = (0..300).map(|i: u32| format!("{i} ")).collect();
    names.repeat(3)
}

async fn sends() -> SocketAddr {
    let takeover = DeflateConfig::default().context_takeover(true);
    serve(
        Server::builder()
            .default_endpoint::<Sends>()
            .compression(takeover),
    )
    .await
}

/// A peer that offers what `offer` says.
async fn offering(addr: SocketAddr, offer: &str) -> Raw {
    let mut peer = Raw::connect(addr).await;
    let fields = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    let answer = peer.request(&request(addr, "/", &fields)).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    peer
}

const TEXT_FRAME: u8 = 0x81;
const COMPRESSED_TEXT_FRAME: u8 = 0xc1;

#[tokio::test]
async fn whatever_way_it_goes_a_message_is_compressed_unless_it_says_otherwise() {
    let mut peer = offering(sends().await, "permessage-deflate").await;
    for way in ["reply", "awaited", "queued", "prepared", "broadcast"] {
        peer.send(TEXT, way.as_bytes()).await;
        let (first, payload) = peer.recv_frame().await.expect("a message");
        assert_eq!(first, COMPRESSED_TEXT_FRAME, "{way}");
        assert!(payload.len() < news().len() / 2, "{way}");
        peer.send(TEXT, format!("plain {way}").as_bytes()).await;
        let plain = (TEXT_FRAME, news().into_bytes());
        assert_eq!(peer.recv_frame().await, Some(plain), "{way}");
    }
}

#[tokio::test]
async fn a_client_too_sends_uncompressed_what_says_so() -> HandlerResult {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let accepted = "Sec-WebSocket-Extensions: permessage-deflate; \
        server_no_context_takeover; client_no_context_takeover\r\n";
    let plain = || Outgoing::uncompressed(news());

    let (ws, mut peer) = tokio::join!(sockeye::connect(&url), raw_server(&listener, accepted, b""));
    let mut ws = ws?;
    ws.send(news()).await?;
    ws.feed(plain()).await?;
    ws.send(&PreparedMessage::new(news())).await?;
    ws.send(PreparedMessage::new(plain())).await?;
    let (sender, _receiver) = ws.split();
    sender.send(news()).await?;
    sender.feed(plain()).await?;
    sender.try_send(news())?;
    sender.send(plain()).await?;
    for _ in 0..4 {
        let (first, _) = peer.recv_frame().await.expect("a message");
        assert_eq!(first, COMPRESSED_TEXT_FRAME);
        let expected = (TEXT_FRAME, news().into_bytes());
        assert_eq!(peer.recv_frame().await, Some(expected));
    }

    let ws = WebSocket::new(&url)?;
    ws.on_open(move |ws| {
        for outgoing in [news().into(), plain()] {
            ws.send(outgoing).expect("it is open");
        }
    });
    let running = tokio::spawn(async move { ws.run().await });
    let mut peer = raw_server(&listener, accepted, b"").await;
    for expected in [COMPRESSED_TEXT_FRAME, TEXT_FRAME] {
        let (first, _) = peer.recv_frame().await.expect("a message");
        assert_eq!(first, expected);
    }
    drop(peer);
    soon(running).await?;
    Ok(())
}

#[tokio::test]
async fn a_broadcast_has_one_compressed_form_for_each_window() {
    let addr = sends().await;
    let mut peers = Vec::new();
    for offer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9",
        "x-unknown",
    ] {
        let mut peer = offering(addr, offer).await;
        // Earlier messages leave no trace in it, whatever the context.
        peer.send(TEXT, b"reply").await;
        peer.recv_frame().await.expect("a message");
        peers.push(peer);
    }
    peers[0].send(TEXT, b"broadcast").await;
    let mut frames = Vec::new();
    for peer in &mut peers {
        frames.push(peer.recv_frame().await.expect("a message"));
    }
    let firsts: Vec<_> = frames.iter().map(|(first, _)| *first).collect();
    let compressed = COMPRESSED_TEXT_FRAME;
    assert_eq!(firsts, [compressed, compressed, compressed, TEXT_FRAME]);
    assert_eq!(frames[0], frames[1]);
    assert_ne!(frames[0], frames[2]);
    assert_eq!(frames[3].1, news().into_bytes());
}

#[tokio::test]
async fn broadcasts_arrive_amid_a_sessions_own_messages_whatever_is_agreed_on() -> HandlerResult {
    let url = format!("ws://{}/", sends().await);
    let takeover = DeflateConfig::default().context_takeover(true);
    let small = takeover.clone().server_max_window_bits(WindowBits::MIN);
    let all = [
        None,
        Some(DeflateConfig::default()),
        Some(takeover),
        Some(small),
    ];
    let mut clients = Vec::new();
    for compression in all {
        clients.push(
            Client::builder()
                .compression(compression)
                .build()
                .connect(&url)
                .await?,
        );
    }
    for round in 0..3 {
        for ws in &mut clients {
            for way in ["reply", "plain reply", "queued"] {
                ws.send(way).await?;
                assert_eq!(soon(ws.recv()).await?, Some(news().into()));
            }
        }
        clients[round].send("broadcast").await?;
        for ws in &mut clients {
            assert_eq!(soon(ws.recv()).await?, Some(news().into()));
        }
    }
    Ok(())
}
