//! A client that connects again, with servers in memory and a clock that stands.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::client::ConnectError;
use sockeye::connection::ConnectionEvent;
use sockeye::proto::{Config, Role};
use sockeye::reconnect::{Interruption, QueueError, ReconnectEvent, Reconnecting, Retry};
use sockeye::transport::Stream;
use sockeye::{Client, CloseCode, Connection, Error, Message};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

type Served = Connection<DuplexStream>;

/// A client whose connections lead to the other side; with each server that it is given it has one.
fn pair() -> (Reconnecting, mpsc::Receiver<Served>) {
    let (sender, servers) = mpsc::channel(1);
    let client = Reconnecting::new(move || {
        let sender = sender.clone();
        async move {
            let (near, far) = tokio::io::duplex(1024);
            let server = Connection::server(far, Config::new(Role::Server));
            // Fails when the test needs no more servers.
            sender
                .send(server)
                .await
                .map_err(|_| ConnectError::NoResponse)?;
            Ok(Connection::client(
                Stream::new(near),
                Config::new(Role::Client),
            ))
        }
    });
    (client, servers)
}

/// The next event but for those that say how connecting goes.
async fn told(client: &mut Reconnecting) -> ReconnectEvent {
    loop {
        match client.next().await.expect("it is not over") {
            ReconnectEvent::Connecting { .. } | ReconnectEvent::Opened => {}
            event => return event,
        }
    }
}

async fn heard(server: &mut Served) -> String {
    let heard = server.recv().await.expect("no failure");
    heard.expect("a message").to_string()
}

#[tokio::test(start_paused = true)]
async fn it_survives_50_kills_of_its_server_and_says_everything_once_and_in_order() {
    let (client, mut servers) = pair();
    let mut client = client.greeting(|_| vec!["subscribe".into()]);
    let sender = client.sender();
    let serving = tokio::spawn(async move {
        for life in 0..50 {
            let mut server = servers.recv().await.unwrap();
            assert_eq!(heard(&mut server).await, "subscribe");
            assert_eq!(heard(&mut server).await, format!("said {life}"));
            server.send(format!("answer {life}")).await.unwrap();
            // Killed: no Close, and what is on its way is lost.
            drop(server);
        }
        let mut server = servers.recv().await.unwrap();
        assert_eq!(heard(&mut server).await, "subscribe");
        assert_eq!(heard(&mut server).await, "the last");
        server.send("heard").await.unwrap();
        assert_eq!(server.recv().await.unwrap(), None);
    });
    for life in 0..50 {
        // Taken while there is no connection.
        sender.send(format!("said {life}")).unwrap();
        let ReconnectEvent::Message(answer) = told(&mut client).await else {
            panic!("no answer in life {life}");
        };
        assert_eq!(answer, Message::from(format!("answer {life}")));
        let lost = told(&mut client).await;
        let ReconnectEvent::Interrupted {
            why,
            pause,
            unconfirmed,
        } = lost
        else {
            panic!("no end of life {life}: {lost:?}");
        };
        assert!(
            matches!(why, Interruption::Lost(Error::UnexpectedEnd)),
            "{why}"
        );
        assert!(pause <= Duration::from_secs(20));
        assert!(unconfirmed.is_empty(), "{unconfirmed:?}");
    }
    sender.send("the last").unwrap();
    let heard = told(&mut client).await;
    assert!(matches!(heard, ReconnectEvent::Message(_)), "{heard:?}");
    sender.close(CloseCode::NORMAL, "").unwrap();
    let ended = told(&mut client).await;
    let ReconnectEvent::Ended {
        why: None, unsent, ..
    } = ended
    else {
        panic!("{ended:?}");
    };
    assert!(unsent.is_empty());
    assert!(client.next().await.is_none());
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_state_is_an_event_and_attempts_count_from_1() {
    let (mut client, mut servers) = pair();
    let mut events = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            events.push(match client.next().await {
                Some(ReconnectEvent::Connecting { attempt }) => format!("connecting {attempt}"),
                Some(ReconnectEvent::Opened) => "opened".to_owned(),
                other => panic!("{other:?}"),
            });
        }
        assert!(client.connection().is_some());
        drop(servers.recv().await);
        let lost = client.next().await;
        assert!(
            matches!(lost, Some(ReconnectEvent::Interrupted { .. })),
            "{lost:?}"
        );
        assert!(client.connection().is_none());
    }
    let expected = [
        "connecting 1",
        "opened",
        "connecting 2",
        "opened",
        "connecting 3",
        "opened",
    ];
    assert_eq!(events, expected);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_waited_for_and_kept_when_the_call_is_dropped() {
    let (mut client, mut servers) = pair();
    let lost = loop {
        tokio::select! {
            event = told(&mut client) => break event,
            server = servers.recv() => drop(server),
        }
    };
    let ReconnectEvent::Interrupted { pause, .. } = lost else {
        panic!("{lost:?}");
    };
    let started = Instant::now();
    // Polled and dropped until it is done.
    let event = loop {
        let waiting = tokio::time::timeout(Duration::from_millis(7), client.next());
        if let Ok(event) = waiting.await {
            break event;
        }
    };
    assert!(matches!(
        event,
        Some(ReconnectEvent::Connecting { attempt: 2 })
    ));
    // Timers have a resolution of a millisecond.
    let waited = started.elapsed();
    assert!(
        pause <= waited && waited <= pause + Duration::from_millis(2),
        "{pause:?} {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_final_code_ends_it_and_gives_back_what_waits() {
    for (code, is_final) in [(1000, true), (1008, true), (4001, true), (1012, false)] {
        let (mut client, mut servers) = pair();
        let sender = client.sender();
        let serving = async {
            let mut server = servers.recv().await.unwrap();
            let code = CloseCode::try_from(code).unwrap();
            server.close(code, "").await.unwrap();
        };
        let (told, ()) = tokio::join!(told(&mut client), serving);
        match told {
            ReconnectEvent::Ended {
                why: Some(Interruption::Closed(reason)),
                ..
            } if is_final => {
                assert_eq!(reason.code().get(), code);
                let refused = sender.send("too late").unwrap_err();
                assert!(matches!(refused, QueueError::Closed(_)));
            }
            ReconnectEvent::Interrupted { .. } if !is_final => {}
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_takes_what_its_limit_says_and_gives_back_the_rest() {
    let (client, _servers) = pair();
    let mut client = client.queue_limit(2 * (64 + 5));
    let sender = client.sender();
    sender.send("first").unwrap();
    let full = sender.send("longer").unwrap_err();
    assert!(matches!(full, QueueError::Full(_)));
    assert_eq!(full.into_message().message(), &Message::from("longer"));
    sender.send("other").unwrap();
    assert_eq!(sender.queued_bytes(), 138);
    assert!(sender.send("").is_err());
    // Without a connection there is nothing to wait for.
    sender.close(CloseCode::NORMAL, "").unwrap();
    let Some(ReconnectEvent::Ended {
        why: None, unsent, ..
    }) = client.next().await
    else {
        panic!("it goes on");
    };
    let unsent: Vec<_> = unsent
        .iter()
        .map(|message| message.message().to_string())
        .collect();
    assert_eq!(unsent, ["first", "other"]);
    assert_eq!(sender.queued_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_who_goes_on_nothing_is_taken() {
    let (client, _servers) = pair();
    let sender = client.sender();
    sender.send("first").unwrap();
    drop(client);
    let refused = sender.clone().send("second").unwrap_err();
    assert!(matches!(refused, QueueError::Closed(_)), "{refused}");
    assert_eq!(sender.queued_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_had_not_written_is_told_and_nothing_else_is() {
    let (mut client, mut servers) = pair();
    let sender = client.sender();
    // More than the transport and the connection hold, of which the peer reads nothing.
    for number in 0..200 {
        sender.send(format!("{number:01000}")).unwrap();
    }
    let lost = tokio::select! {
        event = told(&mut client) => event,
        _ = async {
            let server = servers.recv().await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(server);
            std::future::pending::<()>().await
        } => unreachable!(),
    };
    let ReconnectEvent::Interrupted { unconfirmed, .. } = lost else {
        panic!("{lost:?}");
    };
    assert!(!unconfirmed.is_empty());
    let number = |text: String| text.parse::<usize>().unwrap();
    let numbers: Vec<_> = unconfirmed
        .iter()
        .map(|m| number(m.message().to_string()))
        .collect();
    let last = numbers.len() - 1;
    assert_eq!(numbers, (0..=last).collect::<Vec<_>>());
    assert!(last < 66, "{last}");
    // The next connection goes on behind it.
    let serving = async {
        let mut server = servers.recv().await.unwrap();
        for expected in last + 1..200 {
            assert_eq!(number(heard(&mut server).await), expected);
        }
    };
    tokio::select! {
        event = async { loop { told(&mut client).await; } } => event,
        () = serving => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_fails_is_tried_again_as_often_as_the_limit_says() {
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let mut client = Reconnecting::new(move || {
        *counted.lock().unwrap() += 1;
        async { Err(ConnectError::Connector("no token".into())) }
    })
    .retry(Retry::default().limit(3));
    for _ in 0..3 {
        let event = told(&mut client).await;
        let ReconnectEvent::Interrupted { why, .. } = event else {
            panic!("{event:?}");
        };
        assert_eq!(why.to_string(), "cannot connect: no token");
    }
    let ended = told(&mut client).await;
    assert!(matches!(
        ended,
        ReconnectEvent::Ended {
            why: Some(Interruption::Connect(_)),
            ..
        }
    ));
    assert_eq!(*calls.lock().unwrap(), 4);
}

#[tokio::test]
async fn a_client_makes_the_connections_of_its_own_target() {
    assert!(Client::new().reconnecting("ftp://127.0.0.1/").is_err());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new().reconnecting(url).unwrap();
    let mut client = client.retry(Retry::default().limit(0));
    let ended = told(&mut client).await;
    let ReconnectEvent::Ended { why: Some(why), .. } = ended else {
        panic!("{ended:?}");
    };
    assert!(
        matches!(why, Interruption::Connect(ConnectError::Connect(_))),
        "{why}"
    );
}

/// Drives a client in a task of its own, until the test ends.
fn driven(mut client: Reconnecting) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { while client.next().await.is_some() {} })
}

#[tokio::test(start_paused = true)]
async fn feed_waits_for_room_and_keeps_the_order_of_its_task() {
    let (client, mut servers) = pair();
    // Room for two of these messages.
    let client = client.queue_limit(2 * (64 + 10));
    let sender = client.sender();
    sender.send("x".repeat(10)).unwrap();
    sender.send("y".repeat(10)).unwrap();
    assert!(matches!(sender.send("z"), Err(QueueError::Full(_))));
    let feeding = {
        let sender = sender.clone();
        tokio::spawn(async move {
            for number in 0..20 {
                sender.feed(format!("{number:010}")).await.unwrap();
            }
        })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!feeding.is_finished());
    let driving = driven(client);
    let mut server = servers.recv().await.unwrap();
    assert_eq!(heard(&mut server).await, "xxxxxxxxxx");
    assert_eq!(heard(&mut server).await, "yyyyyyyyyy");
    for number in 0..20 {
        assert_eq!(heard(&mut server).await, format!("{number:010}"));
    }
    feeding.await.unwrap();
    driving.abort();
}

#[tokio::test(start_paused = true)]
async fn feed_gives_back_what_will_never_be_sent() {
    let (client, _servers) = pair();
    let client = client.queue_limit(100);
    let sender = client.sender();
    // A message that alone exceeds the limit does not wait for ever. One at the limit does not wait at all.
    let refused = sender.feed("x".repeat(37)).await.unwrap_err();
    assert!(matches!(&refused, QueueError::Full(_)));
    assert_eq!(refused.into_message().message().as_bytes().len(), 37);
    sender.feed("x".repeat(36)).await.unwrap();
    for end in [true, false] {
        let waiting = {
            let sender = sender.clone();
            tokio::spawn(async move { sender.feed("y").await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        if end {
            waiting.abort();
            continue;
        }
        sender.close(CloseCode::NORMAL, "").unwrap();
        let refused = waiting.await.unwrap().unwrap_err();
        assert!(matches!(refused, QueueError::Closed(_)), "{refused}");
    }
    let (client, _servers) = pair();
    let client = client.queue_limit(65);
    let sender = client.sender();
    sender.send("a").unwrap();
    let waiting = tokio::spawn(async move { sender.feed("b").await });
    tokio::task::yield_now().await;
    drop(client);
    let refused = waiting.await.unwrap().unwrap_err();
    assert!(matches!(refused, QueueError::Closed(_)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_ping_measures_the_round_trip_of_the_connection_that_there_is() {
    let (client, mut servers) = pair();
    let sender = client.sender();
    assert_eq!(sender.ping().await, None, "there is no connection");
    let driving = driven(client);
    let mut server = servers.recv().await.unwrap();
    tokio::task::yield_now().await;
    let ping = |sender: &sockeye::reconnect::ReconnectSender| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.ping().await })
    };
    // Two at one time share a Ping, and one that comes later has its own.
    let (one, other) = (ping(&sender), ping(&sender));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let later = ping(&sender);
    let mut pings = 0;
    while pings < 2 {
        let event = server.recv_event().await.unwrap();
        assert!(matches!(event, Some(ConnectionEvent::Ping(_))), "{event:?}");
        pings += 1;
    }
    // The second Pong leaves too.
    server.flush().await.unwrap();
    for measured in [one, other] {
        assert_eq!(measured.await.unwrap(), Some(Duration::from_secs(3)));
    }
    assert!(later.await.unwrap().is_some());
    // Lost before the Pong.
    let lost = ping(&sender);
    tokio::task::yield_now().await;
    drop(server);
    assert_eq!(lost.await.unwrap(), None);
    driving.abort();
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_is_that_of_the_open_connection() {
    let (mut client, mut servers) = pair();
    let sender = client.sender();
    for _ in 0..2 {
        client.next().await.unwrap();
    }
    assert_eq!(client.round_trip(), None);
    let mut server = servers.recv().await.unwrap();
    let pinging = tokio::spawn(async move { sender.ping().await });
    let serving = tokio::spawn(async move {
        server.recv_event().await.unwrap();
        server.send("enough").await.unwrap();
        server
    });
    told(&mut client).await;
    let measured = pinging.await.unwrap();
    assert!(measured.is_some());
    assert_eq!(client.round_trip(), measured);
    drop(serving.await.unwrap());
    told(&mut client).await;
    assert_eq!(client.round_trip(), None);
}

#[tokio::test(start_paused = true)]
async fn close_needs_no_loop_and_sends_what_waits_before() {
    let (mut client, mut servers) = pair();
    for _ in 0..2 {
        client.next().await.unwrap();
    }
    client.sender().send("last").unwrap();
    let refused = client.close(CloseCode::ABNORMAL, "").await;
    assert!(refused.is_err());
    let serving = tokio::spawn(async move {
        let mut server = servers.recv().await.unwrap();
        server.send("unread").await.unwrap();
        assert_eq!(heard(&mut server).await, "last");
        assert_eq!(server.recv().await.unwrap(), None);
        server.close_received().cloned()
    });
    let left = client.close(CloseCode::GOING_AWAY, "bye").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    let reason = serving.await.unwrap().unwrap();
    assert_eq!(reason.to_string(), "1001 bye");
    assert!(client.next().await.is_none());
    assert!(
        client
            .close(CloseCode::NORMAL, "")
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn close_without_a_connection_gives_back_what_waits() {
    let (mut client, servers) = pair();
    client.sender().send("one").unwrap();
    client.sender().send("two").unwrap();
    drop(servers);
    // It waits between two attempts.
    told(&mut client).await;
    let left = client.close(CloseCode::NORMAL, "").await.unwrap();
    let left: Vec<_> = left.iter().map(|left| left.message().to_string()).collect();
    assert_eq!(left, ["one", "two"]);
}
