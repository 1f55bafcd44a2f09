//! What operators read of the link: nothing at a start that succeeds but that it did, one line for a loss.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{Engine, EngineState, NodeId, NodeInfo};
use tokio::task::yield_now;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

use super::fake::Fake;
use super::heard::{Event, Heard};
use super::peer::dial;
use crate::RedisEngine;
use crate::address::Address;

/// Keeps the log lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Collects the log lines of this thread until the guard is dropped.
    fn keep(&self) -> DefaultGuard {
        // While the process has one subscriber, tracing asks only the thread that comes first to a log call, and perhaps
        // that thread has none. With a second subscriber it asks both.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Self::default().dispatch());
        tracing::dispatcher::set_default(&self.dispatch())
    }

    fn dispatch(&self) -> Dispatch {
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || lines.clone());
        Dispatch::new(subscriber.finish())
    }

    /// Takes the lines of the crate.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| line.trim().to_owned());
        lines
            .filter(|line| line.contains("sockeye_redis:"))
            .collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_subscriptions_are_no_trouble_and_those_behind_a_loss_are() {
    let lines = Lines::default();
    let _guard = lines.keep();
    let (dial, peers) = dial();
    let engine = RedisEngine::with_dial(Address::parse("redis://localhost").unwrap(), dial);
    let fake = Fake::serve(peers);
    let heard = Heard::new(&[]);
    let node = NodeInfo {
        id: NodeId(7),
        name: "node".into(),
        fingerprint: 0,
    };
    let topics = [TopicName::new("a").unwrap()];
    // A session subscribes while the link opens.
    let subscribed = async {
        while engine.listen(&topics).await.is_err() {
            yield_now().await;
        }
    };
    let (started, ()) = tokio::join!(biased; engine.start(node, heard.clone()), subscribed);
    started.unwrap();
    let is_starting = Event::State(EngineState::Degraded("topics are being subscribed"));
    let told = heard.until_state(EngineState::Ready).await;
    assert!(told.contains(&is_starting), "{told:?}");
    let server = "server=localhost:6379";
    assert_eq!(
        lines.take(),
        [
            format!("DEBUG sockeye_redis: topics are being subscribed {server}"),
            format!("INFO sockeye_redis: connected {server}"),
        ]
    );
    fake.cut_commands();
    heard.until_state(EngineState::Down).await;
    heard.until_state(EngineState::Ready).await;
    assert_eq!(
        lines.take(),
        [
            format!("WARN sockeye_redis: lost the server {server} why=\"the connection ended\""),
            format!("WARN sockeye_redis: topics are being subscribed again {server}"),
            format!("INFO sockeye_redis: connected {server}"),
        ]
    );
}
