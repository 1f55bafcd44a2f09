//! The examples, run: each as it is, on a free port.
#![cfg(feature = "macros")]

#[path = "../../examples/auth.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod auth;
#[cfg(feature = "axum")]
#[path = "../../examples/axum.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod axum_example;
#[path = "../../examples/chat.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod chat;
#[path = "../../examples/download.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod download;
#[path = "../../examples/upload.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod upload;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[cfg(feature = "axum")]
use crate::support::{CLOSE, serving::bind};
use crate::support::{Raw, TEXT, request, serve, soon};
use sockeye::proto::DeflateConfig;
use sockeye::{Client, CloseCode, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_serves_endpoints_beside_its_pages_and_stops_with_them() {
    let (router, app) = axum_example::application().unwrap();
    let (listener, addr) = bind().await;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    let ask = async |line: &str| {
        let page = format!("{line} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        Raw::connect(addr).await.request(&page).await
    };
    let login = async |name: &str| {
        let answer = ask(&format!("POST /login/{name}")).await;
        let cookie = answer.field("set-cookie").unwrap();
        let (cookie, _) = cookie.split_once(';').unwrap();
        format!("Cookie: other=1; {cookie}\r\n")
    };
    let open = async |target: &str, cookie: &str| {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, target, cookie)).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        peer
    };

    for cookie in ["", "Cookie: login=guessed\r\n"] {
        let asked = request(addr, "/rooms/lobby", cookie);
        assert_eq!(Raw::connect(addr).await.request(&asked).await.status, 401);
    }
    let (ann, bob) = (login("ann").await, login("bob").await);
    let mut ann = open("/rooms/lobby", &ann).await;
    assert_eq!(
        ann.recv_text().await,
        "ann is here, from 127.0.0.1 (1 online)"
    );
    let mut kicked = open("/rooms/lobby", &bob).await;
    let mut other = open("/rooms/cellar", &bob).await;
    // The others are counted when they are told.
    assert!(
        ann.recv_text()
            .await
            .starts_with("bob is here, from 127.0.0.1 (")
    );
    kicked.send(TEXT, b"hello").await;
    assert!(ann.recv_text().await.starts_with("bob says hello ("));
    assert_eq!(ask("GET /people/cellar").await.body, "bob\n");
    assert_eq!(ask("GET /people/attic").await.body, "");

    // A handler of axum's closes the sessions of one user, in all rooms.
    assert_eq!(ask("POST /kick/eve").await.body, "0 closed\n");
    assert_eq!(ask("POST /kick/bob").await.body, "2 closed\n");
    while let Some((opcode, payload)) = other.recv().await {
        if opcode == CLOSE {
            assert_eq!(payload[..2], 1008_u16.to_be_bytes());
            break;
        }
    }
    assert!(ann.recv_text().await.starts_with("bob has gone ("));

    let stopping = tokio::spawn(async move { app.container.stop().await });
    assert_eq!(ann.recv_close().await.0, 1001);
    ann.close().await;
    drop((kicked, other));
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn auth_knows_a_token_in_a_field_the_query_or_a_subprotocol_and_refuses_others_with_401() {
    let addr = serve(auth::server()).await;
    for (target, fields, who) in [
        ("/me", "Authorization: Bearer open-sesame\r\n", "ali"),
        ("/me?a=b&token=guest", "", "guest"),
        (
            "/me",
            "Sec-WebSocket-Protocol: me.v1, token.open-sesame\r\n",
            "ali",
        ),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, target, fields)).await;
        assert_eq!(answer.status, 101, "{target} {fields}");
        let agreed = fields.contains("me.v1").then_some("me.v1");
        assert_eq!(answer.field("sec-websocket-protocol"), agreed);
        peer.send(TEXT, b"?").await;
        let said = peer.recv_text().await;
        assert!(said.starts_with(&format!("you are {who}, ")), "{said}");
    }
    for (target, fields) in [
        ("/me", ""),
        ("/me?token=wrong", ""),
        ("/me", "Authorization: Basic open-sesame\r\n"),
        ("/me", "Sec-WebSocket-Protocol: me.v1, token.wrong\r\n"),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, target, fields)).await;
        assert_eq!(answer.status, 401, "{target} {fields}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
        peer.recv_end().await;
    }
}

#[tokio::test]
async fn chat_tells_a_room_what_is_said_in_it_and_no_other() {
    let addr = serve(chat::server()).await;
    let mut ann = Raw::open(addr, "/chat/lobby/ann").await;
    assert_eq!(ann.recv_text().await, "* ann is here");
    let mut bob = Raw::open(addr, "/chat/lobby/bob").await;
    let mut eve = Raw::open(addr, "/chat/cellar/eve").await;
    assert_eq!(ann.recv_text().await, "* bob is here");
    assert_eq!(bob.recv_text().await, "* bob is here");
    assert_eq!(eve.recv_text().await, "* eve is here");
    ann.send(TEXT, "x".repeat(501).as_bytes()).await;
    assert_eq!(bob.recv_text().await, format!("ann: {}", "x".repeat(500)));
    eve.send(TEXT, b"hello").await;
    assert_eq!(eve.recv_text().await, "eve: hello");
    bob.close().await;
    assert_eq!(ann.recv_text().await.len(), "ann: ".len() + 500);
    assert_eq!(ann.recv_text().await, "* bob has gone");
}

/// A directory of a test's own, which is empty.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory of the build's");
    directory
}

/// What is in a file.
fn contents() -> Vec<u8> {
    let numbers = 0..3_000_000_u32;
    numbers
        .map(|number| (number.wrapping_mul(number) >> 7) as u8)
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory of the test's");
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let mut names: Vec<_> = entries.filter_map(name).collect();
    names.sort();
    names
}

/// Names that lead elsewhere, or hide, or are too long; as a request has them.
fn unsafe_names() -> [String; 6] {
    let names = ["..%2Fx", ".x", "a%20b", "a%5Cb", "c:x"].map(String::from);
    let [a, b, c, d, e] = names;
    [a, b, c, d, e, "x".repeat(101)]
}

async fn status_of(addr: SocketAddr, target: &str) -> u16 {
    let request = request(addr, target, "");
    Raw::connect(addr).await.request(&request).await.status
}

#[tokio::test]
async fn upload_stores_a_file_as_it_comes_under_a_safe_name_and_replaces_none() {
    let directory = directory("upload");
    let addr = serve(upload::server(directory.clone()).unwrap()).await;
    let bytes = contents();
    for (name, deflate) in [("plain.bin", false), ("x".repeat(100).as_str(), true)] {
        let mut client = Client::builder();
        if deflate {
            client = client.compression(DeflateConfig::default());
        }
        let client = client.build();
        let url = format!("ws://{addr}/upload/{name}");
        let mut ws = client.connect(&*url).await.unwrap();
        let mut message = ws.binary_writer();
        message.write_all(&bytes).await.unwrap();
        message.shutdown().await.unwrap();
        drop(message);
        let stored = soon(ws.recv()).await.unwrap();
        let said = format!("{name}: 3000000 bytes");
        assert_eq!(stored, Some(Message::from(&*said)));
        assert_eq!(fs::read(directory.join(name)).unwrap(), bytes);

        // There is one of that name now.
        ws.send(&b"another"[..]).await.unwrap();
        assert_eq!(soon(ws.recv()).await.unwrap(), None);
        let close = ws.close_received().unwrap();
        assert_eq!(close.code(), CloseCode::INTERNAL_ERROR);
        assert_eq!(fs::read(directory.join(name)).unwrap(), bytes);
    }
    assert_eq!(names(&directory).len(), 2);
    for name in unsafe_names() {
        assert_eq!(status_of(addr, &format!("/upload/{name}")).await, 400);
    }
    let page = format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    assert_eq!(Raw::connect(addr).await.request(&page).await.status, 200);
}

#[tokio::test]
async fn upload_leaves_nothing_of_a_file_that_is_not_complete_or_too_long() {
    let directory = directory("upload-unfinished");
    let addr = serve(upload::server(directory.clone()).unwrap()).await;
    let mut peer = Raw::open(addr, "/upload/lost").await;
    // The first fragment of a message, masked with zeros.
    let mut begun = vec![0x02, 0x80 | 3, 0, 0, 0, 0];
    begun.extend(b"abc");
    peer.write(&begun).await;
    // While the upload goes on, its file exists under a hidden name.
    soon(async {
        while names(&directory).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(names(&directory)[0].starts_with('.'));
    drop(peer);
    soon(async {
        while !names(&directory).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let mut peer = Raw::open(addr, "/upload/long").await;
    let mut header = vec![0x82, 0x80 | 127];
    header.extend((upload::MAX_FILE + 1).to_be_bytes());
    header.extend([0; 4]);
    peer.write(&header).await;
    assert_eq!(peer.recv_close().await.0, 1009);
    assert_eq!(names(&directory), [""; 0]);
}

#[tokio::test]
async fn download_gives_a_file_as_one_message_and_closes_and_none_that_is_not_there() {
    let directory = directory("download");
    let bytes = contents();
    fs::write(directory.join("file.bin"), &bytes).unwrap();
    fs::write(directory.join("empty"), "").unwrap();
    fs::create_dir(directory.join("folder")).unwrap();
    let long = fs::File::create(directory.join("long")).unwrap();
    long.set_len(download::MAX_FILE + 1).unwrap();
    let addr = serve(download::server(directory.clone())).await;
    for (name, expected) in [("file.bin", &*bytes), ("empty", &[])] {
        let url = format!("ws://{addr}/download/{name}");
        let mut ws = sockeye::connect(&*url).await.unwrap();
        let mut message = soon(ws.recv_reader()).await.unwrap().unwrap();
        let mut came = Vec::new();
        soon(message.read_to_end(&mut came)).await.unwrap();
        assert!(!message.is_text() && came == expected);
        drop(message);
        assert_eq!(soon(ws.recv()).await.unwrap(), None);
        let close = ws.close_received().unwrap();
        assert_eq!(close.code(), CloseCode::NORMAL);
    }
    for (name, status) in [("nothing", 404), ("folder", 404), ("long", 413)] {
        assert_eq!(status_of(addr, &format!("/download/{name}")).await, status);
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc/passwd", directory.join("link")).unwrap();
        assert_eq!(status_of(addr, "/download/link").await, 404);
    }
    for name in unsafe_names() {
        assert_eq!(status_of(addr, &format!("/download/{name}")).await, 400);
    }
    let page = format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    assert_eq!(Raw::connect(addr).await.request(&page).await.status, 200);
    assert_eq!(status_of(addr, "/elsewhere").await, 404);
}
