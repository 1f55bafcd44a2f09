//! What a client logs of its attempts to connect: each step at `debug`, and no secret.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use sockeye::client::{ConnectError, Proxy};
use sockeye::reconnect::{ReconnectEvent, Reconnecting, Retry};
use sockeye::{Client, blocking};
use tracing::Level;

use crate::log::Lines;
use crate::support::proxy::{http_proxy, socks_proxy};
use crate::support::{Raw, accept, listen, soon};

/// A word that stands for a secret in these tests.
const SECRET: &str = "hunter2";

/// The messages of the lines, in order. Each line is at `debug`, and none has the secret.
fn messages(lines: &Lines) -> Vec<String> {
    let lines = lines.take().into_iter();
    let message = |(level, line): (Level, String)| {
        assert_eq!(level, Level::DEBUG, "{line}");
        assert!(!line.contains(SECRET), "{line}");
        let (_, rest) = line.split_once("message=").expect("a message");
        let fields = [" host=", " to=", " took=", " proxy="];
        let end = fields.iter().filter_map(|field| rest.find(field)).min();
        rest[..end.unwrap_or(rest.len())].trim().to_owned()
    };
    lines.map(message).collect()
}

/// Accepts a connection, and answers its request with these lines; with none by a 101.
async fn answer(listener: &tokio::net::TcpListener, lines: &[String]) -> Raw {
    let (tcp, _) = soon(listener.accept()).await.unwrap();
    let mut peer = Raw::new(tcp);
    let request = peer.head().await.expect("a request");
    match lines {
        [] => peer.write(accept(&request, "").as_bytes()).await,
        lines => {
            let head = lines.join("\r\n");
            let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
            peer.write(answer.as_bytes()).await;
        }
    }
    peer
}

#[tokio::test]
async fn each_step_of_an_attempt_and_each_redirect_is_a_line_without_a_secret() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let (listener, url) = listen().await;
    let moved = [
        "302 Found".to_owned(),
        format!("Location: next?token={SECRET}"),
        format!("Set-Cookie: {SECRET}"),
    ];
    let served = async {
        drop(answer(&listener, &moved).await);
        answer(&listener, &[]).await
    };
    let host = url.trim_start_matches("ws://");
    let url = format!("ws://user:{SECRET}@{host}?token={SECRET}");
    let client = Client::builder().redirects(1).build();
    let (opened, _peer) = soon(async { tokio::join!(client.connect(&url), served) }).await;
    opened.unwrap();
    assert_eq!(
        messages(&lines),
        [
            "resolved a host",
            "connected",
            "the server refused the handshake",
            "following a redirect",
            "resolved a host",
            "connected",
            "the server accepted the handshake",
        ]
    );
}

#[tokio::test]
async fn an_attempt_that_fails_is_one_line_with_the_cause() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let client = Client::builder().resolve("host.invalid", [[0, 0, 0, 0].into()]);
    let client = client.ipv6_only().build();
    let failed = client.connect("ws://host.invalid/").await;
    assert!(matches!(failed, Err(ConnectError::Connect(_))));
    let [(level, line)] = &lines.take()[..] else {
        panic!("one line")
    };
    assert_eq!(*level, Level::DEBUG);
    assert!(line.contains("an attempt to connect failed"), "{line}");
    assert!(line.contains("cannot connect: "), "{line}");
}

#[tokio::test]
async fn a_proxy_is_a_step_of_its_own_and_its_password_is_not_logged() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let (listener, url) = listen().await;
    let server = listener.local_addr().unwrap();
    let http = http_proxy(server).await.0;
    let socks = socks_proxy(server).await.0;
    for proxy in [
        format!("http://user:{SECRET}@{http}"),
        format!("socks5h://user:{SECRET}@{socks}"),
    ] {
        let client = Client::builder()
            .proxy(proxy.parse::<Proxy>().unwrap())
            .build();
        let connecting = async { tokio::join!(client.connect(&url), answer(&listener, &[])) };
        let (opened, _peer) = soon(connecting).await;
        opened.unwrap();
        assert_eq!(
            messages(&lines),
            [
                "resolved a host",
                "connected",
                "the proxy connected",
                "the server accepted the handshake",
            ]
        );
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_is_a_step_of_its_own() {
    use crate::support::serve;
    use crate::tls::{Authority, echo};

    let lines = Lines::default();
    let authority = Authority::new("attempts");
    let addr = serve(echo().tls(authority.localhost().config())).await;
    let _logged = lines.keep();
    let client = Client::builder().tls(authority.trusted()).build();
    let url = format!("wss://localhost:{}/", addr.port());
    soon(Box::pin(client.connect(&url))).await.unwrap();
    let messages = messages(&lines);
    let steps = [
        "resolved a host",
        "connected",
        "the TLS handshake is done",
        "the server accepted the handshake",
    ];
    let of_client = messages
        .iter()
        .filter(|message| steps.contains(&message.as_str()));
    assert!(of_client.eq(steps.iter()), "{messages:#?}");
}

#[test]
fn the_blocking_client_logs_the_same_steps() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let (listener, url) = listen().await;
            sender.send(url).unwrap();
            answer(&listener, &[]).await
        })
    });
    let url = receiver.recv().unwrap();
    blocking::Client::new().connect(&url).unwrap();
    let expected = [
        "resolved a host",
        "connected",
        "the server accepted the handshake",
    ];
    assert_eq!(messages(&lines), expected);
    drop(serving.join().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_reconnecting_client_says_why_and_for_how_long_it_pauses() {
    let lines = Lines::default();
    let _logged = lines.keep();
    let mut attempts = 0;
    let mut client = Reconnecting::new(move || {
        attempts += 1;
        let late = ConnectError::ConnectTimeout(Duration::from_secs(1));
        let insecure = ConnectError::InsecureRedirect(format!("ws://host/?token={SECRET}"));
        let error = if attempts == 1 { late } else { insecure };
        std::future::ready(Err(error))
    })
    .retry(Retry::default());
    while let Some(event) = client.next().await {
        let _: ReconnectEvent = event;
    }
    let all = lines.take();
    let [(_, first), (_, last)] = &all[..] else {
        panic!("two lines: {all:#?}")
    };
    assert!(first.contains("connecting again after a pause"), "{first}");
    assert!(first.contains("no connection within 1s"), "{first}");
    assert!(first.contains("pause="), "{first}");
    assert!(last.contains("connecting no more"), "{last}");
    assert!(!last.contains(SECRET), "{last}");
    assert!(all.iter().all(|(level, _)| *level == Level::DEBUG));
}
