//! Connecting: the client's requests, the ways to the server, and redirects.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::proxy::{http_proxy, socks_proxy};
use crate::support::{PING, PONG, Raw, accept, listen, raw_server, soon, unmasked, unmasked_close};
use http::{HeaderValue, Request, Uri, header};
use sockeye::client::{ConnectError, CookieJar, Proxy, ProxyError, SocksError};
use sockeye::{Client, CloseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Accepts one connection, answers its request with `answer`, and gives the request. No answer is a 101.
async fn answer(listener: &TcpListener, answer: Option<&str>) -> (String, Raw) {
    let (tcp, _) = soon(listener.accept()).await.unwrap();
    let mut peer = Raw::new(tcp);
    let request = peer.head().await.expect("a request");
    match answer {
        Some(answer) => peer.write(answer.as_bytes()).await,
        None => peer.write(accept(&request, "").as_bytes()).await,
    }
    (request, peer)
}

fn redirect(to: &str, fields: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n{fields}\r\n")
}

/// The value of a field of a request.
fn field<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[tokio::test]
async fn the_request_has_the_fields_that_the_caller_and_the_request_have_set() {
    let (listener, url) = listen().await;
    let client = Client::builder()
        .origin(HeaderValue::from_static("https://page.example"))
        .bearer_auth("token")
        .unwrap()
        .build();
    let request = Request::get(&url).header("x-key", "1").body(()).unwrap();
    let (opened, (asked, _peer)) =
        soon(async { tokio::join!(client.connect(request), answer(&listener, None)) }).await;
    let opened = opened.unwrap();
    assert_eq!(field(&asked, "origin"), Some("https://page.example"));
    assert_eq!(field(&asked, "authorization"), Some("Bearer token"));
    assert_eq!(field(&asked, "x-key"), Some("1"));
    let opening = opened.opening().unwrap();
    assert_eq!(opening.request.headers()["x-key"], "1");
    assert_eq!(opening.response.status(), 101);
    let timings = opening.timings;
    assert!(timings.resolve.is_some());
    assert_eq!((timings.proxy, timings.tls), (None, None));
    assert!(!format!("{opening:?} {client:?}").contains("token"));

    // A field of the caller's own comes before the URL's user.
    let url = url.replace("ws://", "ws://user:pw@");
    let (opened, (asked, _peer)) =
        soon(async { tokio::join!(client.connect(&url), answer(&listener, None)) }).await;
    opened.unwrap();
    assert_eq!(field(&asked, "authorization"), Some("Bearer token"));
    let client = Client::builder()
        .basic_auth("Aladdin", "open sesame")
        .build();
    let uri: Uri = url.replace("user:pw@", "").parse().unwrap();
    let (opened, (asked, _peer)) =
        soon(async { tokio::join!(client.connect(uri), answer(&listener, None)) }).await;
    opened.unwrap();
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(field(&asked, "authorization"), Some(basic));
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_refused_before_anything_is_connected_to() {
    let client = Client::new();
    let post = Request::post("ws://host.invalid/").body(()).unwrap();
    let error = client.connect(post).await.unwrap_err();
    assert!(matches!(error, ConnectError::Method(_)), "{error:?}");
    let key = Request::get("ws://host.invalid/").header("sec-websocket-key", "x");
    let error = client.connect(key.body(()).unwrap()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Offer(_)), "{error:?}");
    let relative = Request::get("/chat").body(()).unwrap();
    assert!(client.connect(relative).await.is_err());
    assert!(Client::builder().bearer_auth("a\nb").is_err());
}

#[tokio::test]
async fn redirects_are_followed_as_often_as_is_said_and_else_refused() {
    let (listener, url) = listen().await;
    let serve = async |count| {
        let mut targets = Vec::new();
        for _ in 0..count {
            let moved = redirect("next?a=b", "");
            let (request, _peer) = answer(&listener, Some(&moved)).await;
            targets.push(request.lines().next().unwrap().to_owned());
        }
        targets
    };
    let client = Client::new();
    let (refused, _) = soon(async { tokio::join!(client.connect(&url), serve(1)) }).await;
    assert_eq!(refused.unwrap_err().status().unwrap(), 302);

    let client = Client::builder().redirects(2).build();
    let url = format!("{url}path/first");
    let (ended, targets) = soon(async { tokio::join!(client.connect(&url), serve(3)) }).await;
    assert!(matches!(ended, Err(ConnectError::TooManyRedirects(2))));
    let next = "GET /path/next?a=b HTTP/1.1";
    assert_eq!(targets, ["GET /path/first HTTP/1.1", next, next]);

    let two_and_open = async {
        serve(2).await;
        answer(&listener, None).await
    };
    let (opened, _) = soon(async { tokio::join!(client.connect(&url), two_and_open) }).await;
    opened.unwrap();
}

#[tokio::test]
async fn credentials_do_not_cross_to_another_origin_though_it_redirects_back() {
    let (one, one_url) = listen().await;
    let (two, two_url) = listen().await;
    let client = Client::builder()
        .redirects(4)
        .origin(HeaderValue::from_static("https://page.example"))
        .header(header::COOKIE, HeaderValue::from_static("secret=1"))
        .header("x-api-key".parse().unwrap(), HeaderValue::from_static("1"))
        .basic_auth("user", "pw")
        .build();
    let serving = async {
        let same = redirect("/same", "");
        let (first, _peer) = answer(&one, Some(&same)).await;
        let away = redirect(&two_url.replace("ws:", "http:"), "");
        let (second, _peer) = answer(&one, Some(&away)).await;
        let (third, _peer) = answer(&two, Some(&redirect(&one_url, ""))).await;
        let (fourth, peer) = answer(&one, None).await;
        ([first, second, third, fourth], peer)
    };
    let request = Request::get(&one_url)
        .header("x-own", "1")
        .body(())
        .unwrap();
    let (opened, (requests, _peer)) =
        soon(async { tokio::join!(client.connect(request), serving) }).await;
    opened.unwrap();
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(field(request, "origin"), Some("https://page.example"));
        for secret in ["cookie", "x-api-key", "authorization", "x-own"] {
            let is_sent = field(request, secret).is_some();
            assert_eq!(is_sent, index < 2, "{secret} in {request}");
        }
    }
}

#[derive(Debug, Default)]
struct Jar(Mutex<Vec<String>>);

impl CookieJar for Jar {
    fn cookies(&self, url: &str) -> Option<HeaderValue> {
        let jar = self.0.lock().unwrap();
        let last = jar.last()?;
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        HeaderValue::try_from(last.split(';').next()?).ok()
    }

    fn store(&self, _: &str, set_cookie: &HeaderValue) {
        let text = set_cookie.to_str().unwrap().to_owned();
        self.0.lock().unwrap().push(text);
    }
}

#[tokio::test]
async fn cookies_come_from_the_jar_and_those_of_every_answer_go_to_it() {
    let (listener, url) = listen().await;
    let jar = Arc::new(Jar::default());
    let client = Client::builder().redirects(1).cookies(jar.clone()).build();
    let serving = async {
        let set = redirect("/in", "Set-Cookie: a=1; Path=/\r\n");
        let (first, _peer) = answer(&listener, Some(&set)).await;
        let set =
            "HTTP/1.1 403 No\r\nContent-Length: 0\r\nSet-Cookie: b=2\r\nSet-Cookie: c=3\r\n\r\n";
        let (second, _peer) = answer(&listener, Some(set)).await;
        [first, second]
    };
    let (refused, [first, second]) =
        soon(async { tokio::join!(client.connect(&url), serving) }).await;
    assert_eq!(refused.unwrap_err().status().unwrap(), 403);
    assert_eq!(field(&first, "cookie"), None);
    assert_eq!(field(&second, "cookie"), Some("a=1"));
    assert_eq!(*jar.0.lock().unwrap(), ["a=1; Path=/", "b=2", "c=3"]);

    let own = HeaderValue::from_static("own=1");
    let own = Client::builder().cookies(jar).header(header::COOKIE, own);
    let own = own.build();
    let (opened, (request, _peer)) =
        soon(async { tokio::join!(own.connect(&url), answer(&listener, None)) }).await;
    opened.unwrap();
    assert_eq!(field(&request, "cookie"), Some("own=1"));
}

#[tokio::test]
async fn a_client_connects_from_the_address_and_to_the_addresses_that_it_is_told() {
    let (listener, _) = listen().await;
    let port = listener.local_addr().unwrap().port();
    let local = IpAddr::from([127, 0, 0, 2]);
    let told = Client::builder()
        .resolve("chat.invalid", [[127, 0, 0, 1].into()])
        .tcp_keepalive(true)
        .tcp_buffers(64 * 1024, 64 * 1024)
        .local_address(local);
    let client = told.clone().build();
    let url = format!("ws://chat.invalid:{port}/");
    let serving = async {
        let (tcp, from) = listener.accept().await.unwrap();
        let mut peer = Raw::new(tcp);
        let request = peer.head().await.unwrap();
        peer.write(accept(&request, "").as_bytes()).await;
        (from.ip(), request)
    };
    let (opened, (from, request)) =
        soon(async { tokio::join!(client.connect(&url), serving) }).await;
    opened.unwrap();
    assert_eq!(from, local);
    let host = format!("chat.invalid:{port}");
    assert_eq!(field(&request, "host"), Some(host.as_str()));
    let client = told.ipv6_only().build();
    let error = client.connect(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect(_)), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_connected_to_whatever_the_host_is() {
    let name = format!("client-{}.sock", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let client = Client::builder().unix(&path).build();
    let serving = async {
        let (unix, _) = listener.accept().await.unwrap();
        let mut peer = Raw::new(unix);
        let request = peer.head().await.unwrap();
        let answer = [accept(&request, "").into_bytes(), unmasked(1, b"hi")].concat();
        peer.write(&answer).await;
        (request, peer)
    };
    let connecting = client.connect("ws://chat.invalid/river");
    let (opened, (request, _peer)) =
        Box::pin(soon(async { tokio::join!(connecting, serving) })).await;
    assert_eq!(field(&request, "host"), Some("chat.invalid"));
    let message = soon(opened.unwrap().recv()).await.unwrap();
    assert_eq!(message, Some("hi".into()));
    std::fs::remove_file(&path).unwrap();
    let error = client.connect("ws://chat.invalid/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect(_)), "{error:?}");
}

#[tokio::test]
async fn http_and_socks_proxies_are_asked_for_the_name_and_told_who_asks() {
    let (listener, _) = listen().await;
    let server = listener.local_addr().unwrap();
    // Only the proxy can resolve this host.
    let url = "ws://chat.invalid:81/";
    let (proxy, asked) = http_proxy(server).await;
    let client = |url: String| {
        Client::builder()
            .proxy(url.parse::<Proxy>().unwrap())
            .build()
    };
    let by_http = client(format!("http://Aladdin:open%20sesame@{proxy}"));
    let (opened, peer) =
        soon(async { tokio::join!(by_http.connect(url), raw_server(&listener, "", b"")) }).await;
    let timings = opened.unwrap().opening().unwrap().timings;
    assert!(timings.resolve.is_some() && timings.proxy.is_some());
    drop(peer);
    let asked = soon(asked).await.unwrap();
    assert!(
        asked.starts_with("CONNECT chat.invalid:81 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert_eq!(field(&asked, "host"), Some("chat.invalid:81"));
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(field(&asked, "proxy-authorization"), Some(basic));

    for (user, expected) in [
        ("", "name chat.invalid:81"),
        ("u:p%40@", "u:p@@name chat.invalid:81"),
    ] {
        let (proxy, asked) = socks_proxy(server).await;
        let by_socks = client(format!("socks5h://{user}{proxy}"));
        let (opened, peer) =
            soon(async { tokio::join!(by_socks.connect(url), raw_server(&listener, "", b"")) })
                .await;
        drop((opened.unwrap(), peer));
        assert_eq!(soon(asked).await.unwrap(), expected);
    }

    let (proxy, asked) = socks_proxy(server).await;
    let proxy: Proxy = format!("socks5://{proxy}").parse().unwrap();
    let by_address = Client::builder()
        .proxy(proxy)
        .resolve("chat.invalid", [[9, 8, 7, 6].into()])
        .build();
    let (opened, peer) =
        soon(async { tokio::join!(by_address.connect(url), raw_server(&listener, "", b"")) }).await;
    drop((opened.unwrap(), peer));
    assert_eq!(soon(asked).await.unwrap(), "9.8.7.6:81");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_from_a_server_that_does() {
    let (listener, url) = listen().await;
    let proxied = |scheme| {
        let proxy = url.replace("ws://", scheme);
        Client::builder()
            .proxy(proxy.trim_end_matches('/').parse::<Proxy>().unwrap())
            .build()
    };
    let no = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nwho";
    let client = proxied("http://");
    let (refused, _) = soon(async {
        tokio::join!(
            client.connect("ws://host.invalid/"),
            answer(&listener, Some(no))
        )
    })
    .await;
    let error = refused.unwrap_err();
    let ConnectError::Proxy(ProxyError::Refused(response)) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(response.status(), 407);
    assert_eq!(response.headers()["proxy-authenticate"], "Basic");
    assert_eq!(response.body(), "who");
    assert_eq!(error.status(), None);
    assert!(!error.is_transient());

    let early = "HTTP/1.1 200 Go\r\n\r\nHTTP/1.1 101";
    let (refused, _) = soon(async {
        tokio::join!(
            client.connect("ws://host.invalid/"),
            answer(&listener, Some(early))
        )
    })
    .await;
    assert!(matches!(
        refused,
        Err(ConnectError::Proxy(ProxyError::TooEarly))
    ));

    // It speaks no SOCKS.
    let client = proxied("socks5h://");
    let serving = async {
        let (tcp, _) = listener.accept().await.unwrap();
        Raw::new(tcp).write(b"HTTP/1.1 400 What?\r\n\r\n").await;
    };
    let (refused, ()) =
        soon(async { tokio::join!(client.connect("ws://host.invalid/"), serving) }).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(error, ConnectError::Proxy(ProxyError::Socks(_))),
        "{error:?}"
    );
    let long = format!(
        "socks5h://{}@{}",
        "u".repeat(256),
        listener.local_addr().unwrap()
    );
    let client = Client::builder()
        .proxy(long.parse::<Proxy>().unwrap())
        .build();
    let error = soon(client.connect("ws://host.invalid/"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Proxy(ProxyError::Socks(SocksError::Credentials))
        ),
        "{error:?}"
    );

    drop(listener);
    let error = soon(proxied("http://").connect("ws://host.invalid/")).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ConnectError::Proxy(ProxyError::Connect(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_socks_proxy_that_does_not_take_the_password_is_not_worth_another_attempt() {
    // Said to the greeting, and behind the password or the request.
    for (first, second, passes) in [
        (&b"\x05\xff"[..], &b""[..], false),
        (b"\x05\x02", b"\x01\x01", false),
        (b"\x05\x00", b"\x05\x02\x00\x01", false),
        (b"\x05\x00", b"\x05\x05\x00\x01", true),
        (b"\x05\x00", b"", true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("socks5h://u:p@{}", listener.local_addr().unwrap());
        let client = Client::builder()
            .proxy(proxy.parse::<Proxy>().unwrap())
            .build();
        let serving = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.read_exact(&mut [0; 4]).await.unwrap();
            tcp.write_all(first).await.unwrap();
            // If the client goes on with the handshake, the proxy answers once more.
            let _ = tcp.read(&mut [0; 64]).await.unwrap();
            tcp.write_all(second).await.unwrap();
        };
        let (failed, ()) =
            soon(async { tokio::join!(client.connect("ws://host.invalid/"), serving) }).await;
        let error = failed.unwrap_err();
        assert_eq!(error.is_transient(), passes, "{error:?}");
    }
}

#[tokio::test]
async fn the_connect_deadline_is_for_a_proxy_too() {
    let (listener, url) = listen().await;
    let proxy: Proxy = url.replace("ws:", "http:").parse().unwrap();
    let client = Client::builder().proxy(proxy).build();
    let connecting = tokio::spawn(async move { client.connect("ws://host.invalid/").await });
    let (tcp, _) = soon(listener.accept()).await.unwrap();
    let mut peer = Raw::new(tcp);
    peer.head().await.expect("a request");
    tokio::time::pause();
    let error = connecting.await.unwrap().unwrap_err();
    let expected = Duration::from_secs(10);
    assert!(
        matches!(error, ConnectError::ConnectTimeout(time) if time == expected),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_round_trip_is_measured_by_the_pong_that_answers_the_last_ping() {
    let (listener, url) = listen().await;
    let client = Client::new();
    let (opened, mut peer) =
        soon(async { tokio::join!(client.connect(&url), raw_server(&listener, "", b"")) }).await;
    let mut ws = opened.unwrap();
    assert_eq!(ws.round_trip(), None);
    ws.ping(b"one").await.unwrap();
    assert_eq!(peer.recv().await, Some((PING, b"one".to_vec())));
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(40)).await;
    tokio::time::resume();
    // An older one says nothing.
    peer.write(&[unmasked(PONG, b"zero"), unmasked(1, b"x")].concat())
        .await;
    soon(ws.recv()).await.unwrap();
    assert_eq!(ws.round_trip(), None);
    let tail = [unmasked(PONG, b"one"), unmasked_close(1000, "")].concat();
    peer.write(&tail).await;
    let server = async move {
        peer.recv_close().await;
        // The client waits for the end of TCP.
        drop(peer);
    };
    let (ended, ()) = soon(async { tokio::join!(ws.recv(), server) }).await;
    assert_eq!(ended.unwrap(), None);
    assert!(ws.round_trip().unwrap() >= Duration::from_millis(40));
    soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
}
