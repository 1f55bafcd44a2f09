//! Publishing: what is sent, what the answers mean, and the bounds of time and number.

use std::sync::Arc;
use std::time::Duration;

use sockeye_proto::Message;
use sockeye_pubsub::engine::{EngineError, EngineErrorKind, WasPublished};
use sockeye_pubsub::{
    Body, Epoch, History, KeyScope, MessageId, Position, Publication, PublishKey, TopicName,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

use super::peer::{Peer, bulk, texts};
use super::{Setup, timed};
use crate::publish::Publisher;
use crate::script::Script;

fn message(key: Option<KeyScope>) -> Publication {
    Publication {
        id: MessageId::new(u64::MAX),
        body: Body {
            message: Message::text("hi"),
            compressible: true,
        },
        key: key.map(|scope| PublishKey {
            scope,
            key: "key".into(),
        }),
    }
}

fn topic() -> TopicName {
    TopicName::new("room/42").unwrap()
}

fn window() -> History {
    History::window(100, Duration::from_secs(60))
}

/// A publisher, and the server's end of its connection.
async fn publisher() -> (Arc<Publisher>, Peer, Setup) {
    let setup = Setup::new().await;
    let Setup {
        current,
        layout,
        clock,
        ..
    } = &setup;
    let publisher = Publisher::new(Arc::clone(current), layout.clone(), Arc::clone(clock));
    let mut setup = setup;
    // The setup keeps a peer that nothing answers.
    let (_, unused) = tokio::io::duplex(1);
    let peer = std::mem::replace(&mut setup.peer, Peer::of(unused));
    (Arc::new(publisher), peer, setup)
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_window_goes_to_the_script_with_its_limits_and_a_deadline() {
    let (publisher, mut peer, _setup) = publisher().await;
    advance(Duration::from_millis(500)).await;
    let topic = topic();
    let publishing = publisher.publish(&topic, message(None), window());
    let answer = bulk("AAAAAAAAAAE:1:__________8");
    let (at, (keys, arguments)) =
        tokio::join!(publishing, peer.expect_script(Script::Publish, answer));
    let position = Position::start(Epoch::new(1)).next(MessageId::new(u64::MAX));
    assert_eq!(at, Ok(Some(position)));
    assert_eq!(
        keys,
        ["m", "s", "c"].map(|kind| format!("sockeye:{{70}}:{kind}:room/42"))
    );
    let day = 24 * 3600 * 1000;
    assert_eq!(
        arguments[..4],
        ["window", "100", "60000", &(60_000 + day).to_string()]
    );
    assert!(arguments[4].parse::<Epoch>().is_ok());
    assert_eq!(arguments[5..7], ["__________8", "\0hi"]);
    // The server's clock showed 1,000,000 ms half a second ago.
    assert_eq!(arguments[7], "1002500");
    assert_eq!(arguments[9..], ["PUBLISH"]);
}

#[tokio::test(start_paused = true)]
async fn a_latest_value_lives_for_its_time() {
    let (publisher, mut peer, _setup) = publisher().await;
    let topic = topic();
    let history = History::latest().ttl(Duration::from_secs(5));
    let publishing = publisher.publish(&topic, message(None), history);
    let answer = bulk("AAAAAAAAAAE:1:__________8");
    let (at, (_, arguments)) =
        tokio::join!(publishing, peer.expect_script(Script::Publish, answer));
    assert!(at.unwrap().is_some());
    assert_eq!(arguments[..4], ["latest", "1", "5000", "5000"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_hashed_with_its_scope_and_a_repeated_publish_has_the_first_position() {
    let (publisher, mut peer, _setup) = publisher().await;
    let topic = topic();
    let principal = KeyScope::Principal("ann".into());
    for (scope, hash, life) in [
        (KeyScope::Server, "jgzrb5pEhWJGhg8HP-Arwg", "300000"),
        (principal, "BP9X3yG6u4B2V1x1rmNd4A", "60000"),
        (KeyScope::Client, "V2KCQUo781ayODFJYuLgXQ", "60000"),
    ] {
        let publishing = publisher.publish(&topic, message(Some(scope)), window());
        let answer = texts(&["AAAAAAAAAAE:1:AAAAAAAAAAE", "again"]);
        let (at, (keys, arguments)) =
            tokio::join!(publishing, peer.expect_script(Script::Publish, answer));
        let first = Position::start(Epoch::new(1)).next(MessageId::new(1));
        assert_eq!(at, Ok(Some(first)));
        assert_eq!(keys[3], format!("sockeye:{{70}}:k:{hash}:room/42"));
        assert_eq!(arguments[8], life);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_history_is_a_plain_publish_and_has_no_key() {
    let (publisher, mut peer, _setup) = publisher().await;
    let topic = topic();
    let publishing = publisher.publish(&topic, message(None), History::off());
    let words = ["PUBLISH", "sockeye:{70}:c:room/42", "0 __________8\n\0hi"];
    let (at, command) = tokio::join!(publishing, peer.expect(&words, ":2\r\n"));
    assert_eq!((at, command.len()), (Ok(None), 3));
    let keyed = message(Some(KeyScope::Server));
    let error = publisher.publish(&topic, keyed, History::off()).await;
    assert_eq!(error.unwrap_err().published, WasPublished::No);
}

#[tokio::test(start_paused = true)]
async fn a_signal_names_the_node_that_sends_it() {
    let (publisher, mut peer, setup) = publisher().await;
    let payload = "x y".into();
    let sending = publisher.signal(setup.node.id, &payload);
    let words = ["PUBLISH", "sockeye:{460}:ctl", "0000000000000007 x y"];
    let (sent, _) = tokio::join!(sending, peer.expect(&words, ":2\r\n"));
    assert_eq!(sent, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_whether_the_message_may_have_been_published() {
    let (publisher, mut peer, _setup) = publisher().await;
    let topic = topic();
    for (answer, published, kind) in [
        (
            "-LATE the message came after its deadline\r\n",
            WasPublished::No,
            EngineErrorKind::Late,
        ),
        (
            "-OOM command not allowed\r\n",
            WasPublished::No,
            EngineErrorKind::Full,
        ),
        (
            "-ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM no\r\n",
            WasPublished::No,
            EngineErrorKind::Full,
        ),
        (
            "-WRONGTYPE Operation\r\n",
            WasPublished::Maybe,
            EngineErrorKind::Rejected,
        ),
        ("+OK\r\n", WasPublished::Maybe, EngineErrorKind::Rejected),
    ] {
        let publishing = publisher.publish(&topic, message(None), window());
        let (error, _) = tokio::join!(publishing, peer.expect(&["EVALSHA"], answer));
        let EngineError {
            published: was,
            kind: found,
            ..
        } = error.unwrap_err();
        assert_eq!((was, found), (published, kind), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_without_an_answer_may_have_been_published() {
    let (publisher, peer, _setup) = publisher().await;
    let topic = topic();
    let publishing = publisher.publish(&topic, message(None), window());
    let (error, took) = timed(publishing).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.published, error.kind),
        (WasPublished::Maybe, EngineErrorKind::Timeout)
    );
    assert_eq!(took, Duration::from_secs(2));

    let publishing = publisher.publish(&topic, message(None), window());
    let ending = async move {
        let mut peer = peer;
        peer.command().await;
        peer.command().await;
    };
    let (error, ()) = tokio::join!(publishing, ending);
    assert_eq!(error.unwrap_err().published, WasPublished::Maybe);
    // From now on the link is known to be down.
    let error = publisher.publish(&topic, message(None), window()).await;
    assert_eq!(error.unwrap_err().published, WasPublished::No);
}

#[tokio::test(start_paused = true)]
async fn beyond_4096_publishes_wait_for_room_within_their_two_seconds() {
    let (publisher, mut peer, _setup) = publisher().await;
    let mut publishes = JoinSet::new();
    for _ in 0..4096 {
        let publisher = Arc::clone(&publisher);
        publishes.spawn(async move { publisher.publish(&topic(), message(None), window()).await });
    }
    for _ in 0..4096 {
        peer.command().await;
    }
    advance(Duration::from_millis(1500)).await;
    let began = Instant::now();
    let topic = topic();
    // Half a second later the first ones end, because nothing answers. The deadline counts from the call.
    let waiting = publisher.publish(&topic, message(None), window());
    let answering = async {
        let answer = bulk("AAAAAAAAAAE:1:__________8");
        for _ in 0..4096 {
            // Nothing waits for these answers any more.
            peer.answer(&answer).await;
        }
        peer.expect_script(Script::Publish, answer).await
    };
    let (at, (_, arguments)) = tokio::join!(waiting, answering);
    assert!(at.unwrap().is_some());
    assert_eq!(arguments[7], "1003500");
    assert!(began.elapsed() <= Duration::from_secs(2));
}
