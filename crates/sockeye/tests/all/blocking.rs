//! The client without a runtime, against Sockeye's server, which has one in a thread of its own, and against a
//! peer that speaks bytes.
#![cfg(all(feature = "macros", feature = "tls"))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::support::proxy::{http_proxy, socks_proxy};
use http::{HeaderName, HeaderValue, Request};
use sockeye::client::{ConnectError, ProxyError, SocksError};
use sockeye::error::SendError;
use sockeye::proto::{Config, DeflateConfig, KeepAlive, Role};
use sockeye::server::ServerBuilder;
use sockeye::{CloseCode, Error, Message, Server, blocking, server_endpoint, tls};
use sockeye_proto::handshake::Key;

#[derive(Default)]
struct Echo;

#[server_endpoint("/echo", subprotocols = ["chat"])]
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

/// Serves until the test ends.
fn serve(builder: ServerBuilder) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async move {
            let server = builder.default_endpoint::<Echo>().bind("127.0.0.1:0").await;
            let server = server.expect("a free port");
            sender.send(server.local_addr()).expect("the test waits");
            server.serve().await.expect("it serves");
        });
    });
    receiver.recv().expect("it listens")
}

/// A peer that speaks bytes: it answers the handshake, with these bytes behind, and does the rest.
fn peer(
    behind: &'static [u8],
    rest: impl FnOnce(TcpStream) + Send + 'static,
) -> (String, thread::JoinHandle<String>) {
    peer_with("", behind, rest)
}

/// Starts a peer that adds these fields to its answer.
fn peer_with(
    fields: &'static str,
    behind: &'static [u8],
    rest: impl FnOnce(TcpStream) + Send + 'static,
) -> (String, thread::JoinHandle<String>) {
    let (listener, url) = listen();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let head = read_head(&mut stream);
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let key = Key::parse(key.expect("a key").as_bytes()).expect("a key");
        let answer = format!(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n{fields}\r\n",
            key.accept()
        );
        let bytes = [answer.as_bytes(), behind].concat();
        stream.write_all(&bytes).expect("it reads");
        rest(stream);
        head
    });
    (url, serving)
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a request");
        head.extend(byte);
    }
    String::from_utf8(head).expect("ASCII")
}

/// Answers the handshake with this.
fn answer(bytes: &'static [u8]) -> ConnectError {
    let (listener, url) = listen();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        read_head(&mut stream);
        stream.write_all(bytes).expect("it reads");
    });
    let failed = blocking::connect(url).expect_err("no WebSocket");
    serving.join().expect("no panic");
    failed
}

/// A Close as a client sends it: its code.
fn read_close(stream: &mut TcpStream) -> u16 {
    let mut frame = [0; 8];
    stream.read_exact(&mut frame).expect("a Close");
    let [kind, _, a, b, _, _, x, y] = frame;
    assert_eq!(kind, 0x88);
    u16::from_be_bytes([x ^ a, y ^ b])
}

#[test]
fn messages_of_all_sizes_go_both_ways() {
    let url = format!("ws://{}/echo", serve(Server::builder()));
    let mut ws = blocking::connect(&url).unwrap();
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let message = Message::from(vec![size as u8; size]);
        ws.send(&message).unwrap();
        assert_eq!(ws.recv().unwrap(), Some(message));
    }
    for text in ["one", "two", "grüße"] {
        ws.send(text).unwrap();
    }
    for text in ["one", "two", "grüße"] {
        assert_eq!(ws.recv().unwrap(), Some(Message::from(text)));
    }
    ws.close(CloseCode::NORMAL, "bye").unwrap();
    assert_eq!(ws.close_received().unwrap().code(), CloseCode::NORMAL);
    // There is nothing more to do, and nothing more comes.
    ws.close(CloseCode::NORMAL, "bye").unwrap();
    assert_eq!(ws.recv().unwrap(), None);
    let refused = ws.send("too late");
    assert!(
        matches!(refused, Err(Error::Send(SendError::Closed))),
        "{refused:?}"
    );
}

#[test]
fn it_goes_over_tls_to_who_is_trusted() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let identity = rcgen::generate_simple_self_signed(names).unwrap();
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let cert = folder.join(format!("blocking-{}.pem", std::process::id()));
    let key = folder.join(format!("blocking-{}.key", std::process::id()));
    std::fs::write(&cert, identity.cert.pem()).unwrap();
    std::fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
    let server = Server::builder().tls(tls::server_config(&cert, &key).unwrap());
    let url = format!("wss://{}/echo", serve(server));
    let trusting = tls::client_config_trusting(&cert).unwrap();
    for file in [&cert, &key] {
        std::fs::remove_file(file).unwrap();
    }
    let mut ws = blocking::Client::builder()
        .tls(trusting)
        .build()
        .connect(&url)
        .unwrap();
    let large = Message::from("x".repeat(1 << 20));
    ws.send(&large).unwrap();
    assert_eq!(ws.recv().unwrap(), Some(large));
    ws.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(ws.close_received().unwrap().code(), CloseCode::NORMAL);
    assert!(blocking::connect(&url).is_err());
}

#[test]
fn messages_are_compressed_both_ways_where_that_is_agreed_on() {
    // RFC 7692 §7.2.3.1.
    let hello = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
    let fields = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                  client_no_context_takeover\r\n";
    let (url, serving) = peer_with(fields, hello, |mut stream| {
        let mut start = [0; 1];
        stream.read_exact(&mut start).expect("a message");
        // RSV1 is set: the message is compressed.
        assert_eq!(start, [0xc1]);
    });
    let mut ws = blocking::connect(&url).unwrap();
    assert_eq!(ws.recv().unwrap(), Some(Message::from("Hello")));
    ws.send("Hello".repeat(1000)).unwrap();
    serving.join().unwrap();

    let takeover = DeflateConfig::default().context_takeover(true);
    let url = serve(Server::builder().compression(takeover.clone()));
    let url = format!("ws://{url}/echo");
    for config in [Some(takeover), Some(DeflateConfig::default()), None] {
        let client = blocking::Client::builder().compression(config).build();
        let mut ws = client.connect(&url).unwrap();
        for count in [0, 1, 2000, 100_000] {
            let message = Message::from("salmon ".repeat(count));
            ws.send(&message).unwrap();
            assert!(ws.recv().unwrap() == Some(message), "{count}");
        }
        ws.close(CloseCode::NORMAL, "").unwrap();
    }
}

#[test]
fn an_answer_on_compression_that_was_not_asked_for_opens_nothing() {
    let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let (url, serving) = peer_with(fields, b"", drop);
    let client = blocking::Client::builder().compression(None).build();
    let refused = client.connect(&url).unwrap_err();
    assert!(matches!(refused, ConnectError::Response(_)), "{refused:?}");
    serving.join().unwrap();
}

#[test]
fn a_proxy_is_asked_for_the_host_and_told_who_asks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = serve(Server::builder());
    // Only the proxy can resolve this host.
    let url = "ws://chat.invalid:81/echo";
    let talk = |proxy: String, url: &str| {
        let client = blocking::Client::builder()
            .proxy(proxy.parse().unwrap())
            .build();
        client.connect(url)
    };
    let (proxy, asked) = runtime.block_on(http_proxy(server));
    let ended = talk(format!("http://Aladdin:open%20sesame@{proxy}"), url);
    // The server is on a loopback address, and refuses a host of another name: so it was reached.
    assert!(matches!(ended, Err(ConnectError::Refused(_))), "{ended:?}");
    let asked = runtime.block_on(asked).unwrap();
    assert!(asked.starts_with("CONNECT chat.invalid:81 HTTP/1.1\r\n"));
    let basic = "proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert!(asked.contains(basic), "{asked}");

    for (scheme, url, expected) in [
        ("socks5h://u:p%40@", url, "u:p@@name chat.invalid:81"),
        ("socks5://", "ws://127.0.0.1:81/echo", "127.0.0.1:81"),
    ] {
        let (proxy, asked) = runtime.block_on(socks_proxy(server));
        drop(talk(format!("{scheme}{proxy}"), url));
        assert_eq!(runtime.block_on(asked).unwrap(), expected);
    }
}

#[test]
fn a_proxy_that_does_not_connect_is_told_from_a_server_that_does_not() {
    for (scheme, bytes, is_as_expected) in [
        (
            "http",
            &b"HTTP/1.1 407 Who?\r\n\r\n"[..],
            (|error| matches!(error, ProxyError::Refused(_))) as fn(&ProxyError) -> bool,
        ),
        ("http", b"SSH-2.0-x\r\n", |error| {
            matches!(error, ProxyError::Head)
        }),
        ("http", b"", |error| matches!(error, ProxyError::NoResponse)),
        ("http", b"HTTP/1.1 200 Go\r\n\r\nx", |error| {
            matches!(error, ProxyError::TooEarly)
        }),
        ("socks5h", b"\x05\xff", |error| {
            matches!(error, ProxyError::Socks(SocksError::Unauthorized))
        }),
        ("socks5h", b"\x05", |error| {
            matches!(error, ProxyError::Socks(SocksError::Io(_)))
        }),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("{scheme}://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let asked = stream.read(&mut [0; 1024]).expect("it is asked");
            assert_ne!(asked, 0);
            stream.write_all(bytes).expect("it reads");
        });
        let client = blocking::Client::builder()
            .proxy(proxy.parse().unwrap())
            .build();
        let error = client.connect("ws://host.invalid/").unwrap_err();
        serving.join().unwrap();
        let ConnectError::Proxy(error) = error else {
            panic!("{error:?}");
        };
        assert!(is_as_expected(&error), "{error:?}");
    }
}

#[test]
fn each_deadline_is_of_what_was_waited_for() {
    // The listener accepts no connection, so no answer comes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap();
    let instant = Duration::from_millis(1);
    let hasty = blocking::Client::builder()
        .handshake_timeout(instant)
        .build();
    for url in [format!("ws://{addr}/"), format!("wss://{addr}/")] {
        let late = hasty.connect(&url);
        assert!(
            matches!(late, Err(ConnectError::HandshakeTimeout(_))),
            "{late:?}"
        );
    }
    for scheme in ["http", "https", "socks5h"] {
        let proxy = format!("{scheme}://{addr}").parse().unwrap();
        let hasty = blocking::Client::builder().proxy(proxy);
        let hasty = hasty.connect_timeout(instant).build();
        let late = hasty.connect("ws://host.invalid/");
        assert!(
            matches!(late, Err(ConnectError::ConnectTimeout(_))),
            "{late:?}"
        );
    }
}

#[test]
fn what_is_offered_and_asked_reaches_the_server() {
    let url = format!("ws://{}/echo", serve(Server::builder()));
    let client = blocking::Client::builder()
        .subprotocols(["other", "chat"])
        .build();
    assert_eq!(client.connect(&url).unwrap().subprotocol(), Some("chat"));
    // Another origin is refused, and the error holds the server's response.
    let origin = HeaderValue::from_static("https://elsewhere.example");
    let foreign = blocking::Client::builder()
        .header(HeaderName::from_static("origin"), origin)
        .build();
    let request = Request::get(&url).header("x-key", "1").body(()).unwrap();
    let refused = foreign.connect(request).unwrap_err();
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(403));
}

#[test]
fn a_wait_may_end_without_a_message() {
    let url = format!("ws://{}/echo", serve(Server::builder()));
    let mut ws = blocking::connect(&url).unwrap();
    let none = ws.recv_timeout(Duration::from_millis(1)).unwrap();
    assert_eq!(none, Poll::Pending);
    ws.send("hello").unwrap();
    let some = ws.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(some, Poll::Ready(Some(Message::from("hello"))));
}

#[test]
fn fragments_and_pings_that_came_with_the_answer_are_handled() {
    let (url, serving) = peer(
        b"\x01\x02he\x89\x01p\x80\x03llo\x88\x02\x0f\xa1",
        |mut stream| {
            let mut pong = [0; 7];
            stream.read_exact(&mut pong).expect("a pong");
            assert_eq!(&pong[..2], b"\x8a\x81");
            assert_eq!(pong[6] ^ pong[2], b'p');
            assert_eq!(read_close(&mut stream), 4001);
        },
    );
    let mut ws = blocking::connect(url).unwrap();
    assert_eq!(ws.recv().unwrap(), Some(Message::from("hello")));
    assert_eq!(ws.recv().unwrap(), None);
    assert_eq!(ws.close_received().unwrap().code().get(), 4001);
    serving.join().unwrap();
}

#[test]
fn a_broken_rule_is_told_to_both_sides_and_a_loss_is_told_from_a_close() {
    // A reserved opcode.
    let (url, serving) = peer(b"\x83\x00", |mut stream| {
        assert_eq!(read_close(&mut stream), 1002);
    });
    let mut ws = blocking::connect(url).unwrap();
    assert!(matches!(ws.recv(), Err(Error::Protocol(_))));
    assert_eq!(ws.recv().unwrap(), None);
    serving.join().unwrap();

    let (url, serving) = peer(b"", drop);
    let mut ws = blocking::connect(url).unwrap();
    assert!(matches!(ws.recv(), Err(Error::UnexpectedEnd)));
    assert_eq!(ws.recv().unwrap(), None);
    serving.join().unwrap();
}

#[test]
fn limits_and_keep_alive_are_the_configs() {
    let (url, serving) = peer(b"\x81\x03abc", |mut stream| {
        assert_eq!(read_close(&mut stream), 1009);
    });
    let small = Config::new(Role::Client).max_message(2);
    assert!(
        blocking::Client::builder()
            .config(small)
            .build()
            .connect(url)
            .unwrap()
            .recv()
            .is_err()
    );
    serving.join().unwrap();

    // The peer is silent, and does not end TCP: a caller that waits for the end gets an error all the same.
    let (url, serving) = peer(b"", |mut stream| {
        // A Ping, and then the end.
        assert!(stream.read_to_end(&mut Vec::new()).is_ok());
    });
    let instant = Duration::from_millis(1);
    let watchful = Config::new(Role::Client).keep_alive(KeepAlive::new(instant, instant));
    let client = blocking::Client::builder().config(watchful).build();
    let mut ws = client.connect(url).unwrap();
    assert!(matches!(ws.recv(), Err(Error::PeerDead)));
    drop(ws);
    serving.join().unwrap();
}

#[test]
fn answers_that_open_nothing_are_errors() {
    assert!(matches!(
        answer(b"SSH-2.0-something\r\n"),
        ConnectError::Head
    ));
    assert!(matches!(answer(b""), ConnectError::NoResponse));
    assert!(matches!(
        answer(b"HTTP/1.1 101 Switching\r\n\r\n"),
        ConnectError::Response(_)
    ));
    let refused = answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(403));
    assert!(matches!(
        blocking::connect("ftp://a/"),
        Err(ConnectError::WebSocketUri(_))
    ));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(
        blocking::connect(url),
        Err(ConnectError::Connect(_))
    ));
}

/// Answers requests one after the other with redirects to these, and gives the requests.
fn redirecting(listener: TcpListener, to: Vec<String>) -> thread::JoinHandle<Vec<String>> {
    thread::spawn(move || {
        to.iter()
            .map(|to| {
                let (mut stream, _) = listener.accept().expect("a client");
                let head = read_head(&mut stream);
                let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n");
                stream.write_all(answer.as_bytes()).expect("it reads");
                head
            })
            .collect()
    })
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    (listener, url)
}

#[test]
fn redirects_are_followed_as_often_as_is_said_and_else_refused() {
    let next = "next?a=b".to_owned();
    let (listener, url) = listen();
    let serving = redirecting(listener, vec![next.clone()]);
    let refused = blocking::connect(&url).unwrap_err();
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(302));
    serving.join().unwrap();

    let (listener, url) = listen();
    let serving = redirecting(listener, vec![next; 3]);
    let client = blocking::Client::builder().redirects(2).build();
    let ended = client.connect(&*format!("{url}path/first"));
    assert!(matches!(ended, Err(ConnectError::TooManyRedirects(2))));
    let targets = serving.join().unwrap();
    let targets = targets.iter().map(|head| head.lines().next().unwrap());
    let next = "GET /path/next?a=b HTTP/1.1";
    assert!(targets.eq(["GET /path/first HTTP/1.1", next, next]));
}

#[test]
fn where_a_redirect_leads_to_another_origin_credentials_stay_behind() {
    let (there, serving) = peer(b"\x81\x02hi", |_| {});
    let (listener, url) = listen();
    let moved = redirecting(listener, vec![there.replace("ws:", "http:")]);
    let secret = HeaderValue::from_static("secret");
    let client = blocking::Client::builder()
        .header(http::header::AUTHORIZATION, secret)
        .redirects(1)
        .build();
    let mut ws = client.connect(&*url).unwrap();
    assert_eq!(ws.recv().unwrap(), Some(Message::from("hi")));
    let asked = moved.join().unwrap();
    assert!(asked[0].contains("authorization: secret"), "{asked:?}");
    let asked = serving.join().unwrap();
    assert!(!asked.contains("secret"), "{asked}");
}

#[test]
fn polling_with_no_time_at_all_takes_what_is_there_answers_pings_and_notices_the_close() {
    for timeout in [Duration::ZERO, Duration::from_nanos(1)] {
        let (url, serving) = peer(b"", |mut stream| {
            stream.write_all(b"\x89\x04ping\x81\x02hi").unwrap();
            let mut pong = [0; 10];
            stream.read_exact(&mut pong).unwrap();
            assert_eq!(pong[..2], [0x8a, 0x84]);
            stream.write_all(b"\x88\x02\x03\xe8").unwrap();
            assert_eq!(read_close(&mut stream), 1000);
        });
        let mut ws = blocking::connect(&url).unwrap();
        let mut poll = || loop {
            match ws.recv_timeout(timeout).unwrap() {
                Poll::Ready(received) => return received,
                Poll::Pending => thread::yield_now(),
            }
        };
        assert_eq!(poll(), Some(Message::text("hi")));
        assert_eq!(poll(), None);
        serving.join().unwrap();
    }
}

#[test]
fn a_peer_that_only_pings_does_not_keep_a_caller_that_has_no_time() {
    let (url, serving) = peer(b"", |mut stream| {
        let pings = b"\x89\x00".repeat(8 * 1024);
        while stream.write_all(&pings).is_ok() {}
    });
    let mut ws = blocking::connect(&url).unwrap();
    for _ in 0..10 {
        assert!(ws.recv_timeout(Duration::ZERO).unwrap().is_pending());
    }
    drop(ws);
    serving.join().unwrap();
}

/// The first fragment of a message, with `len` bytes of payload.
fn first_fragment(len: usize) -> Vec<u8> {
    let mut frame = vec![0x02, 127];
    frame.extend((len as u64).to_be_bytes());
    frame.resize(frame.len() + len, 7);
    frame
}

#[test]
fn an_unfinished_message_has_64_kib_and_what_the_client_allows_beyond() {
    const FREE: usize = 64 * 1024;
    for (allowed, len, passes) in [
        (0, FREE, true),
        (0, FREE + 1, false),
        (64 * 1024, 2 * FREE, true),
        (64 * 1024, 2 * FREE + 1, false),
    ] {
        let (url, serving) = peer(b"", move |mut stream| {
            stream.write_all(&first_fragment(len)).unwrap();
            stream.write_all(b"\x80\x00").unwrap();
            let code = read_close(&mut stream);
            assert_eq!(code, if passes { 1000 } else { 1013 });
        });
        let client = blocking::Client::builder().max_assembling(allowed).build();
        let mut ws = client.connect(&url).unwrap();
        if passes {
            assert_eq!(ws.recv().unwrap(), Some(Message::binary(vec![7; len])));
            ws.close(CloseCode::NORMAL, "").unwrap();
        } else {
            let brief = Duration::from_millis(100);
            assert!(ws.recv_timeout(brief).unwrap().is_pending());
            assert!(matches!(
                ws.recv(),
                Err(Error::Protocol(
                    sockeye::proto::ProtocolError::MessageGivenUp
                ))
            ));
        }
        serving.join().unwrap();
    }
}
