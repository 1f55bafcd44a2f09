//! Connections as `Stream` and `Sink`, over memory.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::{Sink, SinkExt, StreamExt};
use sockeye::connection::{Sender, SenderSink};
use sockeye::error::SendError;
use sockeye::proto::{Config, Role};
use sockeye::{CloseCode, Connection, Error, Message};
use tokio::io::{DuplexStream, duplex};

fn pair(room: usize) -> (Connection<DuplexStream>, Connection<DuplexStream>) {
    let (near, far) = duplex(room);
    (
        Connection::client(near, Config::new(Role::Client)),
        Connection::server(far, Config::new(Role::Server)),
    )
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_messages_ends_with_the_close_and_forwards_into_a_sink() {
    let (mut client, server) = pair(1024);
    // An echo of two adapters.
    let (sender, receiver) = server.split();
    let echo = tokio::spawn(receiver.forward(sender));
    for text in ["one", "two", "three"] {
        SinkExt::send(&mut client, text.into()).await.unwrap();
        assert_eq!(
            StreamExt::next(&mut client).await.unwrap().unwrap(),
            Message::from(text)
        );
    }
    SinkExt::close(&mut client).await.unwrap();
    assert!(StreamExt::next(&mut client).await.is_none());
    echo.await.unwrap().unwrap();
}

/// The streams and sinks of a connection have one type of error, so each stream fits each sink.
#[tokio::test(start_paused = true)]
async fn what_one_connection_receives_is_forwarded_into_another_in_each_form() {
    let (mut first, near) = pair(1024);
    let (far, mut last) = pair(1024);
    let (sender, receiver) = far.split();
    let there = tokio::spawn(near.forward(sender));
    SinkExt::send(&mut first, "there".into()).await.unwrap();
    let came = StreamExt::next(&mut last).await.unwrap().unwrap();
    assert_eq!(came, Message::from("there"));
    SinkExt::close(&mut first).await.unwrap();
    there.await.unwrap().unwrap();
    assert!(StreamExt::next(&mut last).await.is_none());
    assert_eq!(receiver.close_reason().unwrap().code(), CloseCode::NORMAL);
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_what_ended_it_once() {
    let (mut client, server) = pair(1024);
    drop(server);
    let lost = StreamExt::next(&mut client).await;
    assert!(matches!(lost, Some(Err(Error::UnexpectedEnd))), "{lost:?}");
    assert!(StreamExt::next(&mut client).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sink_is_ready_as_long_as_there_is_room_and_again_when_it_is_written() {
    let (mut client, mut server) = pair(64);
    let mut cx = Context::from_waker(Waker::noop());
    let mut fed = 0;
    while Sink::poll_ready(Pin::new(&mut client), &mut cx).is_ready() {
        Pin::new(&mut client)
            .start_send("x".repeat(1000).into())
            .unwrap();
        fed += 1;
        assert!(fed < 100, "it never ends");
    }
    assert!(fed > 64, "{fed}");
    let reading = async {
        for _ in 0..fed {
            server.recv().await.unwrap().unwrap();
        }
    };
    let (flushed, ()) = tokio::join!(SinkExt::flush(&mut client), reading);
    flushed.unwrap();
    assert!(Sink::poll_ready(Pin::new(&mut client), &mut cx).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_closed_sink_refuses_messages() {
    let (mut client, server) = pair(1024);
    let (sender, mut receiver) = server.split();
    client.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(receiver.next().await.is_none());
    let mut sink = sender.into_sink();
    let refused = sink.send("too late".into()).await;
    assert!(
        matches!(refused, Err(Error::Send(SendError::Closed))),
        "{refused:?}"
    );
    let refused = SinkExt::send(&mut client, "too late".into()).await;
    assert!(
        matches!(refused, Err(Error::Send(SendError::Closed))),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_sink_of_a_sender_holds_one_message_until_there_is_room() {
    let (client, mut server) = pair(64);
    let (sender, _receiver) = client.split();
    let mut sink = sender.clone().into_sink();
    let large = "x".repeat(1 << 20);
    let mut taken = 0;
    // Neither the transport nor the outbox takes any more.
    let mut cx = Context::from_waker(Waker::noop());
    let ready =
        |sink: &mut SenderSink, cx: &mut Context<'_>| Pin::new(sink).poll_ready(cx).is_ready();
    while ready(&mut sink, &mut cx) {
        Pin::new(&mut sink)
            .start_send(large.as_str().into())
            .unwrap();
        taken += 1;
        assert!(taken < 10, "it never ends");
        tokio::task::yield_now().await;
    }
    let refused = Pin::new(&mut sink).start_send("x".into());
    assert!(matches!(refused, Err(Error::Send(SendError::Full))));
    assert_eq!(sender.try_send(large.as_str()), Err(SendError::Full));
    let reading = async {
        for _ in 0..taken {
            assert_eq!(
                server.recv().await.unwrap().unwrap().as_bytes().len(),
                large.len()
            );
        }
    };
    let (flushed, ()) = tokio::join!(SinkExt::flush(&mut sink), reading);
    flushed.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_a_senders_sink_closes_behind_what_it_was_given() {
    let (client, mut server) = pair(1024);
    let (sender, receiver) = client.split();
    let mut sink = sender.into_sink();
    sink.feed("last".into()).await.unwrap();
    let closing = sink.close();
    let reading = async {
        let last = server.recv().await.unwrap();
        assert_eq!(last, Some(Message::from("last")));
        assert_eq!(server.recv().await.unwrap(), None);
        server.close_received().unwrap().code()
    };
    let (closed, code) = tokio::join!(closing, reading);
    closed.unwrap();
    assert_eq!(code, CloseCode::NORMAL);
    drop(receiver);
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_sender_send_from_any_task_over_one_connection() {
    fn usable_anywhere<T: Clone + Send + Sync + 'static>(_: &T) {}
    let (client, mut server) = pair(1 << 16);
    let (sender, _receiver) = client.split();
    usable_anywhere(&sender);
    let say = |sender: Sender, name: usize| async move {
        for number in 0..10 {
            sender.send(format!("{name} {number}")).await.unwrap();
        }
    };
    for name in 0..4 {
        tokio::spawn(say(sender.clone(), name));
    }
    let mut next = [0; 4];
    for _ in 0..40 {
        let said = server.recv().await.unwrap().unwrap().to_string();
        let (name, number) = said.split_once(' ').unwrap();
        let name: usize = name.parse().unwrap();
        // Each in its own order.
        assert_eq!(number, next[name].to_string());
        next[name] += 1;
    }
    // One clone that goes closes nothing: the last one does.
    drop(sender.clone());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(pin!(server.recv()).poll(&mut cx).map(drop), Poll::Pending);
}
