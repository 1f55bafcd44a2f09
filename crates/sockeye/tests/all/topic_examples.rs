//! The examples of topics, run: each as it is, on a free port.
#![cfg(all(feature = "macros", feature = "topics-wire"))]

#[path = "../../examples/chat_topics.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod chat_topics;
#[cfg(feature = "json")]
#[path = "../../examples/ticker.rs"]
#[allow(dead_code, reason = "a test starts it in its own way")]
mod ticker;

use std::net::SocketAddr;

use crate::support::{Raw, TEXT, serve, soon};
use sockeye::reconnect::topics::{SubscribeOptions, TopicClient, TopicEvent};
use sockeye::{Client, Server};

fn client(addr: SocketAddr, target: &str) -> TopicClient {
    let client = Client::new().reconnecting(format!("ws://{addr}{target}"));
    client.expect("a URL").topics()
}

/// Waits for the next message, and returns its topic and its text.
async fn message(client: &mut TopicClient) -> (String, String) {
    loop {
        let event = soon(client.next()).await.expect("it is not over");
        if let TopicEvent::Message { topic, message, .. } = event {
            return (topic.to_string(), message.to_string());
        }
    }
}

async fn serve_chat() -> SocketAddr {
    let topics = chat_topics::topics().expect("the pattern is one");
    let server = Server::builder().topics(topics);
    serve(server.default_endpoint::<chat_topics::Chat>()).await
}

fn line(text: &str) -> (String, String) {
    ("room/lobby".to_owned(), text.to_owned())
}

#[tokio::test]
async fn chat_topics_gives_a_room_its_lines_in_one_order_and_the_newest_ones_to_a_newcomer() {
    let addr = serve_chat().await;
    let mut ann = Raw::open(addr, "/chat/lobby/ann").await;
    ann.send(TEXT, b"hello").await;
    assert_eq!(ann.recv_text().await, "ann: hello");
    let mut bob = Raw::open(addr, "/chat/lobby/bob").await;
    assert_eq!(bob.recv_text().await, "ann: hello");
    let mut eve = Raw::open(addr, "/chat/cellar/eve").await;
    bob.send(TEXT, b"hi").await;
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.recv_text().await, "bob: hi");
    }
    // Her own line is the first that she gets.
    eve.send(TEXT, b"psst").await;
    assert_eq!(eve.recv_text().await, "eve: psst");
}

#[tokio::test]
async fn chat_topics_serves_clients_of_the_subprotocol_that_subscribe_by_themselves() {
    let addr = serve_chat().await;
    let mut ann = Raw::open(addr, "/chat/lobby/ann").await;
    ann.send(TEXT, b"hello").await;
    assert_eq!(ann.recv_text().await, "ann: hello");

    let mut cid = client(addr, "/chat/lobby/cid");
    let options = SubscribeOptions::new().recent(50).member("\"cid\"");
    cid.subscribe_with("room/lobby", &options).expect("a topic");
    assert_eq!(message(&mut cid).await, line("ann: hello"));
    // A client may not publish by itself, so it cannot forge a name: the endpoint publishes what it says.
    let refused = cid.publish("room/lobby", "ann: forged").expect("a topic");
    let failed = loop {
        if let TopicEvent::PublishFailed { number, .. } = soon(cid.next()).await.expect("not over")
        {
            break number;
        }
    };
    assert_eq!(failed, refused);
    cid.sender().send("good day").expect("there is room");
    assert_eq!(message(&mut cid).await, line("cid: good day"));
    assert_eq!(ann.recv_text().await, "cid: good day");

    let asked = cid.members("room/lobby", None).expect("subscribed");
    let members = loop {
        let event = soon(cid.next()).await.expect("it is not over");
        if let TopicEvent::Members {
            number, members, ..
        } = event
        {
            assert_eq!(number, asked);
            break members;
        }
    };
    assert!(members.contains(r#""info":"ann""#), "{members}");
    assert!(members.contains(r#""info":"cid""#), "{members}");
}

#[test]
fn chat_topics_has_at_most_40_lines_of_code() {
    let source = include_str!("../../examples/chat_topics.rs");
    let lines = source.lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    assert!(code.clone().count() <= 40, "{} lines", code.count());
}

#[cfg(feature = "json")]
#[tokio::test]
async fn ticker_gives_the_latest_price_at_once_and_then_each_new_one() {
    let topics = ticker::topics().expect("the patterns are some");
    let addr = serve(ticker::server(&topics)).await;
    let publish = |price| {
        let symbol = "ACME";
        ticker::publish_tick(&topics, &ticker::Tick { symbol, price }).expect("there is room");
    };
    publish(1.0);
    publish(2.5);
    let mut page = client(addr, "/live");
    page.subscribe("price/ACME").expect("a topic");
    let tick = |price: &str| {
        let text = format!(r#"{{"symbol":"ACME","price":{price}}}"#);
        ("price/ACME".to_owned(), text)
    };
    assert_eq!(message(&mut page).await, tick("2.5"));
    publish(3.5);
    assert_eq!(message(&mut page).await, tick("3.5"));
}

#[cfg(feature = "json")]
#[tokio::test]
async fn ticker_notifies_a_user_once_of_an_order_that_is_posted_twice_and_no_other_user() {
    let topics = ticker::topics().expect("the patterns are some");
    let addr = serve(ticker::server(&topics)).await;
    let mut ann = client(addr, "/live?ticket=ann-ticket");
    let newest = SubscribeOptions::new().recent(20);
    ann.subscribe_with("user/ann/orders", &newest)
        .expect("a topic");
    for target in ["/live?ticket=bob-ticket", "/live"] {
        let mut other = client(addr, target);
        other.subscribe("user/ann/orders").expect("a topic");
        let code = loop {
            if let TopicEvent::Ended { failure, .. } = soon(other.next()).await.expect("not over") {
                break failure.code;
            }
        };
        assert_eq!(code, sockeye::reconnect::topics::ErrorCode::Denied);
    }
    let post = |body: &str| {
        let len = body.len();
        format!("POST /orders/ann HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {len}\r\n\r\n{body}")
    };
    let kite = r#"{"id":"o-1","what":"a kite"}"#;
    let drum = r#"{"id":"o-2","what":"a drum"}"#;
    for (body, status) in [(kite, 202), (kite, 202), (drum, 202), ("kite", 400)] {
        let answer = Raw::connect(addr).await.request(&post(body)).await;
        assert_eq!(answer.status, status, "{body}");
    }
    for body in [kite, drum] {
        let note = ("user/ann/orders".to_owned(), body.to_owned());
        assert_eq!(message(&mut ann).await, note);
    }
}

#[cfg(feature = "json")]
#[tokio::test]
async fn ticker_serves_its_page_and_the_client_of_pages() {
    let topics = ticker::topics().expect("the patterns are some");
    let addr = serve(ticker::server(&topics)).await;
    for (target, status) in [("/", 200), ("/sockeye.js", 200), ("/elsewhere", 404)] {
        let page = format!("GET {target} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        let answer = Raw::connect(addr).await.request(&page).await;
        assert_eq!(answer.status, status, "{target}");
    }
}
