//! The wire side: what a client of the subprotocol asks for, and what it is answered.

use super::*;
use crate::connection::tests::wire::BINARY;
use crate::topics::{Clients, Presence};

fn world() -> World {
    let open = kept(3).clients(Clients::publish());
    let topics = Topics::builder()
        .pattern("a/{id}", open.clone().presence(Presence::members(9)))
        .pattern("off/{id}", Policy::new().clients(Clients::publish()))
        .pattern("read/{id}", kept(3).clients(Clients::subscribe()))
        .pattern("small/{id}", open.max_message(4))
        .pattern(
            "user/{who}/**",
            kept(3).owner("who").clients(Clients::subscribe()),
        )
        .pattern("secret/{id}", kept(3));
    World::new(topics.build().unwrap())
}

/// Returns a header without positions and other random names.
fn plain(frame: &str) -> String {
    let (header, body) = frame.split_once('\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_str(header).unwrap();
    for name in ["at", "stored"] {
        if let Some(position) = header.get_mut(name) {
            let offset = position.as_str().unwrap().split(':').nth(1).unwrap();
            *position = offset.to_owned().into();
        }
    }
    for name in ["message", "retry"] {
        header.as_object_mut().unwrap().remove(name);
    }
    format!("{header} {body}").trim_end().to_owned()
}

/// Asks, and returns the plain answers.
async fn ask(client: &Client, header: &str, body: &str) -> Vec<String> {
    let answers = client.say(header, body).await;
    answers.iter().map(|frame| plain(frame)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_server_greets_a_client_with_its_name_and_its_limits() {
    let topics = Topics::builder().node("n1").build().unwrap();
    let world = World::new(topics);
    let client = world.open(Some(crate::endpoint::envelope::SUBPROTOCOL), None, |_| {});
    let greeting = client.read().await;
    let hello: serde_json::Value = serde_json::from_str(greeting[0].trim_end()).unwrap();
    assert_eq!((&hello["hello"], &hello["node"]), (&1.into(), &"n1".into()));
    assert_eq!(
        (&hello["ping"], &hello["topics"]),
        (&25.into(), &128.into())
    );
    assert_eq!(hello["me"].as_str().unwrap().len(), 11);
    assert_eq!(greeting.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_request_has_its_answer() {
    let world = world();
    let client = world.enveloped().await;
    let cases = [
        (
            r#"{"sub":"a/1","ref":1,"member":7}"#,
            "",
            vec![
                r#"{"at":"0","missed":0,"ok":1,"recovered":null,"topic":"a/1"} "#,
                r#"{"stir":"a/1"} "#,
            ],
        ),
        (
            r#"{"pub":"a/1","ref":2}"#,
            "hello",
            vec![r#"{"at":"1","m":"a/1"} hello"#, r#"{"ok":2,"stored":"1"} "#],
        ),
        (
            r#"{"count":"a/1","ref":3}"#,
            "",
            vec![r#"{"count":1,"ok":3} "#],
        ),
        (r#"{"ping":4}"#, "", vec![r#"{"pong":4} "#]),
        (r#"{"unsub":"a/1","ref":5}"#, "", vec![r#"{"ok":5} "#]),
        (
            r#"{"sub":"a/1","ref":6,"recent":5}"#,
            "",
            vec![
                r#"{"at":"0","missed":1,"ok":6,"recovered":null,"topic":"a/1"} "#,
                r#"{"at":"1","m":"a/1"} hello"#,
            ],
        ),
        (
            r#"{"sub":"off/1","ref":7}"#,
            "",
            vec![r#"{"missed":0,"ok":7,"recovered":null,"topic":"off/1"} "#],
        ),
        (
            r#"{"pub":"off/1","ref":8}"#,
            "line\nline",
            vec!["{\"m\":\"off/1\"} line\nline", r#"{"ok":8} "#],
        ),
    ];
    for (header, body, expected) in cases {
        let answers = ask(&client, header, body).await;
        let expected: Vec<_> = expected.iter().map(|text| text.trim_end()).collect();
        assert_eq!(answers, expected, "{header}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_has_its_code_and_the_connection_stays() {
    let world = world();
    let client = world.enveloped().await;
    for (header, body, code) in [
        (r#"{"sub":"a//b","ref":1}"#, "", "bad-topic"),
        (r#"{"sub":"$a","ref":1}"#, "", "bad-topic"),
        (r#"{"sub":"nowhere","ref":1}"#, "", "denied"),
        (r#"{"sub":"secret/1","ref":1}"#, "", "denied"),
        (r#"{"pub":"secret/1","ref":1}"#, "x", "denied"),
        (r#"{"pub":"read/1","ref":1}"#, "x", "denied"),
        (r#"{"pub":"small/1","ref":1}"#, "large", "too-large"),
        (r#"{"who":"a/1","ref":1}"#, "", "denied"),
        (r#"{"count":"a/1","ref":1}"#, "", "denied"),
        (r#"{"fly":"a/1","ref":1}"#, "", "bad-request"),
        (r#"{"sub":"a/1","ref":1,"at":"?"}"#, "", "bad-request"),
        (r#"{"pub":"a/1","ref":1,"key":"short"}"#, "x", "bad-request"),
    ] {
        let answers = ask(&client, header, body).await;
        let answer: serde_json::Value = serde_json::from_str(answers[0].trim_end()).unwrap();
        assert_eq!(answer["code"], code, "{header}");
        assert_eq!(answers.len(), 1, "{header}: {answers:?}");
    }
    assert!(client.session.is_open());
    assert_eq!(client.session.subscriptions(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_header_closes_with_1008_and_a_reason_that_names_its_fault() {
    let world = world();
    for (first, frame, reason) in [
        (TEXT, "no line feed".to_owned(), "line feed"),
        (TEXT, "[1]\n".to_owned(), "JSON"),
        (TEXT, "{\"sub\":\n".to_owned(), "JSON"),
        (BINARY, "{\"sub\":\"\u{0}\n".to_owned(), "JSON"),
        (
            TEXT,
            format!("{{\"sub\":\"{}\"}}\n", "a".repeat(5000)),
            "4096",
        ),
        (
            TEXT,
            "{\"sub\":\"a/1\",\"sub\":\"a/2\",\"ref\":1}\n".to_owned(),
            "sub",
        ),
        (TEXT, "{\"sub\":\"a/1\"}\n".to_owned(), "ref"),
        (TEXT, "{\"sub\":\"a/1\",\"ref\":0}\n".to_owned(), "ref"),
    ] {
        let client = world.enveloped().await;
        client.peer.segment(masked(first, &frame));
        idle().await;
        let (code, text) = client.close().expect("a Close");
        assert_eq!(code, 1008, "{frame}");
        assert!(text.contains(reason), "{frame}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_a_principal_is_for_that_principal_alone() {
    let world = world();
    for (principal, is_allowed) in [(Some("ann"), true), (Some("bob"), false), (None, false)] {
        let client = world.named(principal).await;
        let answers = client.ask(r#"{"sub":"user/ann/orders","ref":1}"#).await;
        assert_eq!(answers[0].contains("\"ok\":1"), is_allowed, "{principal:?}");
        assert_eq!(answers[0].contains("denied"), !is_allowed, "{principal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_binary_message_keeps_its_kind_for_raw_and_enveloped_subscribers() {
    let world = world();
    let (raw, enveloped) = (world.raw(), world.enveloped().await);
    raw.session.subscribe("off/1").await.unwrap();
    enveloped.ask(r#"{"sub":"off/1","ref":1}"#).await;
    let frame = [
        b"{\"pub\":\"off/1\",\"ref\":2}\n".as_slice(),
        &[0xff, b'\n'],
    ]
    .concat();
    enveloped.peer.segment(masked(BINARY, frame));
    idle().await;
    let frames = raw.peer.frames();
    assert_eq!(
        (frames[0].first, &*frames[0].payload),
        (BINARY, &[0xff, b'\n'][..])
    );
    let frames = enveloped.peer.frames();
    let expected = [b"{\"m\":\"off/1\"}\n".as_slice(), &[0xff, b'\n']].concat();
    assert_eq!((frames[0].first, &*frames[0].payload), (BINARY, &*expected));
}

#[tokio::test(start_paused = true)]
async fn a_publish_repeated_with_its_key_is_one_message() {
    let world = world();
    let client = world.enveloped().await;
    let header = r#"{"pub":"a/1","ref":1,"key":"0123456789012345678901"}"#;
    let first = client.say(header, "once").await;
    let again = client.say(header, "once").await;
    assert_eq!(first, again);
    // Another principal's key is another key.
    let other = world.named(Some("ann")).await;
    assert_ne!(other.say(header, "once").await, first);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_at_most_128_subscriptions() {
    let world = world();
    let client = world.enveloped().await;
    for n in 1..=129 {
        let answers = client
            .ask(&format!(r#"{{"sub":"off/{n}","ref":{n}}}"#))
            .await;
        // New topics have a budget of their own.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let is_last = n == 129;
        assert_eq!(answers[0].contains("too-many"), is_last, "{answers:?}");
    }
    let again = client.ask(r#"{"sub":"off/1","ref":200}"#).await;
    assert!(again[0].contains("\"ok\":200"), "{again:?}");
    assert_eq!(client.session.subscriptions().len(), 128);
}
