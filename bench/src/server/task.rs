//! What the servers on tokio share: a thread, a task for each connection, and the two ways to answer
//! through a stream of messages that is also their sink.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::announce;
use crate::Result;

/// Runs a server on one thread.
pub(super) fn block_on(serving: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(serving)
}

/// Accepts for ever, each connection in a task of its own. The reason why a connection ends does not matter here.
pub(super) async fn accept<F>(serve: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = listen().await?;
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            // A client that has gone already, or descriptors that will be free again.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if tcp.set_nodelay(true).is_ok() {
            tokio::spawn(serve(tcp));
        }
    }
}

/// A listener whose address is announced.
pub(super) async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    announce(addr)?;
    Ok(listener)
}

/// Echoes what `is_data`; what was fed is flushed when there is nothing more to receive.
pub(super) async fn echo_batched<S, M, E>(mut ws: S, is_data: fn(&M) -> bool) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    while let Some(message) = receive_or_flush(&mut ws).await {
        let message = message?;
        if is_data(&message) {
            ws.feed(message).await?;
        }
    }
    Ok(())
}

/// Echoes what `is_data`, each message sent by itself.
pub(super) async fn echo<S, M, E>(mut ws: S, is_data: fn(&M) -> bool) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    while let Some(message) = ws.next().await {
        let message = message?;
        if is_data(&message) {
            ws.send(message).await?;
        }
    }
    Ok(())
}

/// Flushes in the very poll that finds nothing to receive, so that a batch costs no second one.
async fn receive_or_flush<S, M, E>(ws: &mut S) -> Option<Result<M, E>>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    poll_fn(|context| {
        if let Poll::Ready(received) = ws.poll_next_unpin(context) {
            return Poll::Ready(received);
        }
        match ws.poll_flush_unpin(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Where what is published waits for each subscriber: more than any load has in flight.
pub(super) fn channel() -> broadcast::Sender<Bytes> {
    broadcast::channel(4096).0
}

/// What came by a channel, and then without waiting what else is there.
pub(super) trait Published {
    async fn receive(&mut self) -> Option<Bytes>;
    fn try_receive(&mut self) -> Option<Bytes>;
}

impl Published for broadcast::Receiver<Bytes> {
    async fn receive(&mut self) -> Option<Bytes> {
        // Also where messages were lost: to go on would hide it.
        self.recv().await.ok()
    }

    fn try_receive(&mut self) -> Option<Bytes> {
        self.try_recv().ok()
    }
}

/// Sends on what is published, all that is there with one flush, until the subscriber goes.
pub(super) async fn subscribe_batched<S, M, E>(
    mut ws: S,
    mut published: impl Published,
    message: fn(Bytes) -> M,
) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    while let Some(bytes) = receive_or_end(&mut ws, &mut published).await? {
        ws.feed(message(bytes)).await?;
        while let Some(bytes) = published.try_receive() {
            ws.feed(message(bytes)).await?;
        }
        ws.flush().await?;
    }
    Ok(())
}

/// Sends on what is published, each message by itself.
pub(super) async fn subscribe<S, M, E>(
    mut ws: S,
    mut published: impl Published,
    message: fn(Bytes) -> M,
) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    while let Some(bytes) = receive_or_end(&mut ws, &mut published).await? {
        ws.send(message(bytes)).await?;
    }
    Ok(())
}

/// What is published next; or nothing, when the subscriber has gone.
async fn receive_or_end<S, M, E>(
    ws: &mut S,
    published: &mut impl Published,
) -> Result<Option<Bytes>, E>
where
    S: Stream<Item = Result<M, E>> + Unpin,
{
    let mut receiving = pin!(published.receive());
    poll_fn(|context| {
        if let Poll::Ready(bytes) = receiving.as_mut().poll(context) {
            return Poll::Ready(Ok(bytes));
        }
        loop {
            match ws.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
