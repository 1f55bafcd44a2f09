//! Topics whose networked engine starts late: a server serves before its engine has reached the other nodes.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sockeye_pubsub::engine::{
    Catchup, EngineError, EngineErrorKind, EngineEvents, EngineFuture, EngineState, Generation,
    NodeInfo, PresenceStore, Since, WasPublished,
};
use sockeye_pubsub::{Engine, MemoryEngine, MemoryLimits, Publication, SubscribeError, TopicName};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;
use crate::topics::Clients;
use crate::topics::surroundings::Real;

/// An engine that starts when the test lets it. Until then it refuses everything, as an engine without a server does.
struct LateEngine {
    inner: MemoryEngine,
    /// A permit ends one start.
    starts: Arc<Semaphore>,
    /// Whether a start fails.
    fails: Arc<AtomicBool>,
}

impl Engine for LateEngine {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            self.starts.acquire().await.unwrap().forget();
            if self.fails.load(Ordering::Relaxed) {
                return Err(EngineError {
                    published: WasPublished::No,
                    kind: EngineErrorKind::Unavailable,
                    text: "as the test wants".to_owned(),
                });
            }
            self.inner.start(node, events).await
        })
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        Engine::listen(&self.inner, topics)
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        Engine::unlisten(&self.inner, topics)
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        Engine::publish(&self.inner, topic, publication, history)
    }

    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>> {
        self.inner.tops(topics)
    }

    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)> {
        Engine::catch_up(&self.inner, topic, since, history)
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        self.inner.signal(payload)
    }

    fn presence(&self) -> Option<&dyn PresenceStore> {
        Engine::presence(&self.inner)
    }

    fn state(&self) -> EngineState {
        self.inner.state()
    }

    fn stop(&self, within: Duration) -> EngineFuture<'_, ()> {
        self.inner.stop(within)
    }
}

/// The reason of a Close behind an `on_open` that failed.
const NOT_OPENED: &str = "the endpoint failed to open the session";

/// A node whose engine has not started.
struct Starting {
    world: World,
    starts: Arc<Semaphore>,
    fails: Arc<AtomicBool>,
}

impl Starting {
    fn new() -> Self {
        let (starts, fails) = (
            Arc::new(Semaphore::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let engine = LateEngine {
            inner: MemoryEngine::new(MemoryLimits::default(), Arc::new(Real)),
            starts: Arc::clone(&starts),
            fails: Arc::clone(&fails),
        };
        let policy = kept(3).clients(Clients::subscribe());
        let topics = Topics::builder().pattern("a/**", policy).engine(engine);
        Self {
            world: World::new(topics.build().unwrap()),
            starts,
            fails,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_before_the_engine_has_started_waits_for_it() {
    for topic in ["a/1", "without/history"] {
        let Starting { world, starts, .. } = Starting::new();
        let client = world.raw();
        let began = Instant::now();
        let start = async {
            tokio::time::sleep(Duration::from_secs(8)).await;
            starts.add_permits(1);
        };
        let (subscribed, ()) = tokio::join!(client.session.subscribe(topic).into_future(), start);
        assert_eq!(subscribed.unwrap().topic(), topic);
        assert_eq!(began.elapsed().as_secs(), 8);
        world.publish(topic, "live").await;
        assert_eq!(client.read().await, ["live"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_waits_no_longer_than_nine_seconds_for_the_start() {
    let Starting { world, starts, .. } = Starting::new();
    let client = world.raw();
    let began = Instant::now();
    let error = client.session.subscribe("a/1").await.unwrap_err();
    assert!(
        matches!(error, SubscribeError::Unavailable { .. }),
        "{error}"
    );
    assert_eq!(began.elapsed().as_secs(), 9);
    starts.add_permits(1);
    client.session.subscribe("a/1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscription_waits_through_starts_that_fail() {
    let Starting {
        world,
        starts,
        fails,
    } = Starting::new();
    fails.store(true, Ordering::Relaxed);
    starts.add_permits(3);
    let client = world.raw();
    let mend = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(
            starts.available_permits(),
            0,
            "a start was tried each second"
        );
        fails.store(false, Ordering::Relaxed);
        starts.add_permits(1);
    };
    let subscribe = client.session.subscribe("a/1").into_future();
    let (subscribed, ()) = tokio::join!(subscribe, mend);
    subscribed.unwrap();
    world.publish("a/1", "live").await;
    assert_eq!(client.read().await, ["live"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_subscribe_when_it_opens_may_try_again_later() {
    let Starting { world, starts, .. } = Starting::new();
    world.endpoint.topic.set("a/1").unwrap();
    let client = world.raw();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(client.close(), Some((1013, NOT_OPENED.to_owned())));
    starts.add_permits(1);
    let client = world.raw();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.publish("a/1", "live").await;
    assert_eq!(client.read().await, ["live"]);
    // Another error is a fault of the application.
    let world = World::with(kept(3));
    world.endpoint.topic.set("").unwrap();
    let client = world.raw();
    idle().await;
    assert_eq!(client.close(), Some((1011, NOT_OPENED.to_owned())));
}

#[cfg(feature = "topics-wire")]
#[tokio::test(start_paused = true)]
async fn a_client_that_comes_before_the_engine_has_started_is_answered_later_and_stays() {
    let Starting { world, starts, .. } = Starting::new();
    let client = world.enveloped().await;
    assert_eq!(client.ask(r#"{"sub":"a/1","ref":1}"#).await, [""; 0]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let [told] = &client.read().await[..] else {
        panic!("one answer");
    };
    assert!(
        told.starts_with(r#"{"err":1,"code":"unavailable""#),
        "{told}"
    );
    assert_eq!(client.ask(r#"{"sub":"a/1","ref":2}"#).await, [""; 0]);
    starts.add_permits(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = client.read().await;
    assert!(
        told.concat().starts_with(r#"{"ok":2,"topic":"a/1""#),
        "{told:?}"
    );
    assert!(!client.is_gone());
}
