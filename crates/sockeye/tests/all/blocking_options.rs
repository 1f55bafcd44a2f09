//! The options of a blocking client: it has those of the asynchronous one, and each has its effect.
#![cfg(feature = "macros")]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::HeaderValue;
use http::header::{AUTHORIZATION, ORIGIN};
use sockeye::blocking::{Client, ClientBuilder};
use sockeye::client::{ConnectError, CookieJar};
use sockeye::connection::ConnectionEvent;
use sockeye::{CloseCode, Error, Message};
use sockeye_proto::handshake::Key;

/// A server that opens one connection with these fields in its answer, and returns the head of the request and the
/// address of the client.
fn server(
    listener: TcpListener,
    fields: &'static str,
    rest: impl FnOnce(TcpStream) + Send + 'static,
) -> JoinHandle<(String, SocketAddr)> {
    thread::spawn(move || {
        let (mut stream, addr) = listener.accept().expect("a client");
        let head = answer(&mut stream, fields);
        rest(stream);
        (head, addr)
    })
}

/// Takes a request, and accepts it.
fn answer(stream: &mut (impl Read + Write), fields: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a request");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("ASCII");
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let key = Key::parse(key.expect("a key").as_bytes()).expect("a key");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{fields}\r\n",
        key.accept()
    );
    stream.write_all(answer.as_bytes()).expect("it reads");
    head
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    (listener, url)
}

/// The value of a field of a request.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn no_rest(_: TcpStream) {}

#[test]
fn credentials_and_an_origin_are_sent() {
    let (listener, url) = listen();
    let serving = server(listener, "", no_rest);
    let client = Client::builder().bearer_auth("a-token").unwrap();
    let client = client
        .origin(HeaderValue::from_static("https://a.example"))
        .build();
    client.connect(&*url).unwrap();
    let (head, _) = serving.join().unwrap();
    assert_eq!(field(&head, AUTHORIZATION.as_str()), Some("Bearer a-token"));
    assert_eq!(field(&head, ORIGIN.as_str()), Some("https://a.example"));
    assert!(Client::builder().bearer_auth("a\ntoken").is_err());
}

#[test]
fn an_asynchronous_client_becomes_a_blocking_one() {
    let (listener, url) = listen();
    let serving = server(listener, "", no_rest);
    let client = sockeye::Client::builder()
        .basic_auth("ann", "secret")
        .build();
    Client::from(client).connect(&*url).unwrap();
    let (head, _) = serving.join().unwrap();
    assert_eq!(
        field(&head, AUTHORIZATION.as_str()),
        Some("Basic YW5uOnNlY3JldA==")
    );
}

/// A jar that notes what it is asked and told.
#[derive(Debug, Default)]
struct Jar(Mutex<Vec<String>>);

impl CookieJar for Jar {
    fn cookies(&self, url: &str) -> Option<HeaderValue> {
        self.0.lock().expect("no panic").push(format!("get {url}"));
        Some(HeaderValue::from_static("a=b"))
    }

    fn store(&self, url: &str, set_cookie: &HeaderValue) {
        let value = set_cookie.to_str().expect("ASCII");
        self.0
            .lock()
            .expect("no panic")
            .push(format!("set {url} {value}"));
    }
}

#[test]
fn cookies_come_from_the_jar_and_go_into_it() {
    let (listener, url) = listen();
    let serving = server(listener, "Set-Cookie: c=d\r\nSet-Cookie: e=f\r\n", no_rest);
    let jar = Arc::new(Jar::default());
    let client = Client::builder()
        .cookies(Arc::clone(&jar) as Arc<dyn CookieJar>)
        .build();
    client.connect(&*url).unwrap();
    let (head, _) = serving.join().unwrap();
    assert_eq!(field(&head, "cookie"), Some("a=b"));
    let http = url.replace("ws:", "http:");
    let expected = [
        format!("get {http}"),
        format!("set {http} c=d"),
        format!("set {http} e=f"),
    ];
    assert_eq!(*jar.0.lock().unwrap(), expected);
}

#[test]
fn a_subprotocol_may_be_required() {
    for (required, fields, is_open) in [
        (true, "Sec-WebSocket-Protocol: a\r\n", true),
        (true, "", false),
        (false, "", true),
    ] {
        let (listener, url) = listen();
        let serving = server(listener, fields, no_rest);
        let client = Client::builder()
            .subprotocols(["a"])
            .require_subprotocol(required)
            .build();
        let opened = client.connect(&*url);
        assert_eq!(opened.is_ok(), is_open, "{required} {fields}");
        serving.join().unwrap();
    }
}

#[test]
fn a_host_is_where_the_caller_says() {
    let (listener, url) = listen();
    let port = url
        .trim_end_matches('/')
        .rsplit_once(':')
        .unwrap()
        .1
        .to_owned();
    let serving = server(listener, "", no_rest);
    let here = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let client = Client::builder().resolve("nowhere.invalid", here).build();
    client
        .connect(&*format!("ws://nowhere.invalid:{port}/"))
        .unwrap();
    let (head, _) = serving.join().unwrap();
    assert_eq!(
        field(&head, "host"),
        Some(&*format!("nowhere.invalid:{port}"))
    );
}

#[test]
fn addresses_of_another_family_are_not_used() {
    let (listener, url) = listen();
    let refused = |builder: ClientBuilder| {
        let error = builder.build().connect(&*url).unwrap_err();
        let ConnectError::Connect(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    };
    refused(Client::builder().ipv6_only());
    refused(Client::builder().local_address(Ipv6Addr::LOCALHOST.into()));
    let serving = server(listener, "", no_rest);
    let builder = Client::builder()
        .ipv4_only()
        .tcp_keepalive(true)
        .tcp_buffers(32_768, 32_768);
    let builder = builder.local_address(Ipv4Addr::LOCALHOST.into());
    builder.build().connect(&*url).unwrap();
    let (_, addr) = serving.join().unwrap();
    assert_eq!(addr.ip(), Ipv4Addr::LOCALHOST);
}

#[cfg(unix)]
#[test]
fn it_goes_over_a_unix_socket() {
    use std::os::unix::net::UnixListener;

    let path = std::env::temp_dir().join(format!("sockeye-blocking-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a free path");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let head = answer(&mut stream, "");
        stream.write_all(&[0x81, 2, b'h', b'i']).expect("it reads");
        head
    });
    let client = Client::builder().unix(&path).build();
    let mut ws = client.connect("ws://a.example/socket").unwrap();
    assert_eq!(ws.recv().unwrap(), Some(Message::from("hi")));
    let head = serving.join().unwrap();
    assert!(head.starts_with("GET /socket "), "{head}");
    assert_eq!(field(&head, "host"), Some("a.example"));
    std::fs::remove_file(&path).expect("it is there");
    let error = client.connect("ws://a.example/socket").unwrap_err();
    assert!(matches!(error, ConnectError::Connect(_)), "{error:?}");
}

/// RFC 6455 §4.1: a client opens one connection to an address at a time.
#[test]
fn threads_take_turns_at_one_address_unless_they_are_told_not_to() {
    for in_turn in [true, false] {
        let (listener, url) = listen();
        let client = Client::builder().in_turn(in_turn).build();
        // Both threads may reach this at once only without turns.
        let met = Arc::new(Barrier::new(2));
        let connecting: Vec<_> = (0..2)
            .map(|_| {
                let (client, url) = (client.clone(), url.clone());
                thread::spawn(move || client.connect(&*url).map(drop))
            })
            .collect();
        if in_turn {
            let (mut first, _) = listener.accept().unwrap();
            // The second one waits for the handshake of the first.
            listener.set_nonblocking(true).unwrap();
            for _ in 0..50 {
                let waiting = listener.accept().map(drop).unwrap_err();
                assert_eq!(waiting.kind(), ErrorKind::WouldBlock);
                thread::yield_now();
            }
            listener.set_nonblocking(false).unwrap();
            answer(&mut first, "");
            let (mut second, _) = listener.accept().unwrap();
            answer(&mut second, "");
        } else {
            let serving: Vec<_> = (0..2)
                .map(|_| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let met = Arc::clone(&met);
                    thread::spawn(move || {
                        met.wait();
                        answer(&mut stream, "");
                    })
                })
                .collect();
            serving
                .into_iter()
                .for_each(|serving| serving.join().unwrap());
        }
        for connecting in connecting {
            connecting.join().unwrap().unwrap();
        }
    }
}

#[test]
fn a_read_timeout_ends_a_wait_and_not_the_connection() {
    let (listener, url) = listen();
    let (go, wait) = std::sync::mpsc::sync_channel(1);
    let serving = server(listener, "", move |mut stream| {
        wait.recv().expect("the test goes on");
        stream.write_all(&[0x81, 2, b'h', b'i']).expect("it reads");
        // Until the client closes.
        let _ = stream.read(&mut [0; 64]);
    });
    let mut ws = Client::new().connect(&*url).unwrap();
    assert_eq!(ws.read_timeout(), None);
    ws.set_read_timeout(Some(Duration::from_millis(1)));
    for _ in 0..3 {
        let error = ws.recv().unwrap_err();
        assert!(
            matches!(&error, Error::Io(error) if error.kind() == ErrorKind::TimedOut),
            "{error:?}"
        );
    }
    ws.set_read_timeout(None);
    go.send(()).unwrap();
    assert_eq!(ws.recv().unwrap(), Some(Message::from("hi")));
    ws.close(CloseCode::NORMAL, "").unwrap();
    serving.join().unwrap();
}

#[test]
fn pings_and_pongs_are_shown_to_a_caller_that_asks_for_them() {
    let (listener, url) = listen();
    // A Ping, a text and a Pong, twice.
    let frames = b"\x89\x01a\x81\x01b\x8a\x01c".repeat(2);
    let serving = server(listener, "", move |mut stream| {
        stream.write_all(&frames).expect("it reads");
        // The Pongs, and the client's Close.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut ws = Client::new().connect(&*url).unwrap();
    for expected in [
        ConnectionEvent::Ping((&b"a"[..]).into()),
        ConnectionEvent::Message("b".into()),
        ConnectionEvent::Pong((&b"c"[..]).into()),
    ] {
        assert_eq!(ws.recv_event().unwrap(), Some(expected));
    }
    assert_eq!(ws.recv().unwrap(), Some(Message::from("b")));
    drop(ws);
    serving.join().unwrap();
}

#[cfg(feature = "json")]
#[test]
fn values_are_sent_and_received_as_json() {
    let (listener, url) = listen();
    let serving = server(listener, "", |mut stream| {
        stream
            .write_all(b"\x81\x05[1,2]\x81\x01x")
            .expect("it reads");
        let mut frame = [0; 11];
        stream.read_exact(&mut frame).expect("a message");
        assert_eq!(frame[..2], [0x81, 0x85]);
        let (key, payload) = (&frame[2..6], &frame[6..]);
        let unmasked = payload.iter().zip(key.iter().cycle());
        let unmasked: Vec<u8> = unmasked.map(|(byte, key)| byte ^ key).collect();
        assert_eq!(unmasked, b"[3,4]");
    });
    let mut ws = Client::new().connect(&*url).unwrap();
    assert_eq!(ws.recv_json().unwrap(), Some((1, 2)));
    let error = ws.recv_json::<u8>().unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error:?}");
    ws.send_json(&(3, 4)).unwrap();
    serving.join().unwrap();
}
