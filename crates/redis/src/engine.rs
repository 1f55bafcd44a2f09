//! The engine's face: what the hub calls.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{
    Catchup, Engine, EngineError, EngineErrorKind, EngineEvents, EngineFuture, EngineState,
    Generation, Member, MemberId, NodeInfo, PresenceStore, Since, WasPublished,
};
use sockeye_pubsub::{History, Kept, Position, Publication, TopicName};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::{Address, AddressError};
use crate::clock::EngineClock;
use crate::commands::CurrentCommands;
use crate::connection::Connector;
use crate::incarnation::Incarnation;
use crate::layout::Layout;
use crate::lease::Lease;
use crate::link::{Connected, Pauses, Runner, Shared};
use crate::presence::Presence;
use crate::publish::Publisher;
use crate::read;
use crate::reports::Reports;
use crate::subscribe::{BATCH, Orders};
use crate::transport::{Dial, Transport};

/// An engine of topics on one Redis or Valkey server. All nodes with the same server and prefix behave as one.
///
/// Give it to `Topics::builder().engine(…)`. It connects when the topics start, and then stays connected by itself.
///
/// ```
/// use sockeye_redis::RedisEngine;
///
/// let engine = RedisEngine::new("redis://user:secret@redis.example/0?prefix=shop")?;
/// # let _ = engine;
/// # Ok::<(), sockeye_redis::AddressError>(())
/// ```
pub struct RedisEngine {
    address: Address,
    dial: Arc<dyn Dial>,
    layout: Layout,
    pauses: Pauses,
    running: OnceLock<Running>,
    /// Held while the engine starts.
    starting: tokio::sync::Mutex<()>,
    stop: watch::Sender<bool>,
}

/// What a started engine has.
struct Running {
    shared: Arc<Shared>,
    publisher: Publisher,
    presence: Presence,
    /// The task of the link.
    link: Mutex<Option<JoinHandle<()>>>,
    done: watch::Receiver<bool>,
}

/// How long a listen waits for the server. The hub's joins wait for 10 s.
const LISTEN_WITHIN: Duration = Duration::from_secs(9);

/// How long an unlisten waits for the server.
const UNLISTEN_WITHIN: Duration = Duration::from_secs(2);

/// How long a start waits for the link when both connections are open.
const READY_WITHIN: Duration = Duration::from_secs(5);

impl RedisEngine {
    /// Makes an engine for the server of this URL: `redis://user:password@host:6379/0?prefix=sockeye`. `rediss://` is with
    /// TLS, and takes `ca=FILE`. `valkey://` is `redis://`, and `unix:///path/to/socket` is a socket. It does not connect.
    ///
    /// # Errors
    ///
    /// [`AddressError`], which says what is wrong in the URL. Its text never holds the password.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        let address = Address::parse(url)?;
        let dial = Arc::new(Transport::new(&address)?);
        Ok(Self::with_dial(address, dial))
    }

    /// Sets the longest pause before a lost connection is opened again. The pause is random, from 0.1 s to this. Default: 5 s,
    /// or what the URL says in milliseconds by `reconnect=2000`.
    #[must_use]
    pub fn max_reconnect_pause(mut self, pause: Duration) -> Self {
        self.pauses.most = pause;
        self
    }

    /// Makes an engine that opens its byte streams in this way.
    pub(crate) fn with_dial(address: Address, dial: Arc<dyn Dial>) -> Self {
        Self {
            layout: Layout::new(&address.prefix),
            pauses: Pauses {
                most: address.reconnect.unwrap_or(Pauses::default().most),
            },
            address,
            dial,
            running: OnceLock::new(),
            starting: tokio::sync::Mutex::new(()),
            stop: watch::Sender::new(false),
        }
    }

    async fn begin(
        &self,
        node: NodeInfo,
        events: Arc<dyn EngineEvents>,
    ) -> Result<(), EngineError> {
        let _starting = self.starting.lock().await;
        if self.running.get().is_some() {
            return Err(refused("the engine was started before"));
        }
        let current = Arc::new(CurrentCommands::default());
        let clock = Arc::new(EngineClock::new());
        let incarnation = Arc::new(Incarnation::new(node.id));
        let lease = Lease::new(
            self.layout.clone(),
            node.clone(),
            Arc::clone(&incarnation),
            Arc::clone(&clock),
        );
        let shared = Arc::new(Shared {
            connector: Connector::new(&self.address, Arc::clone(&self.dial)),
            layout: self.layout.clone(),
            pauses: self.pauses,
            current: Arc::clone(&current),
            lease,
            reports: Arc::new(Reports::new(events, node.id)),
            node,
            orders: Arc::new(Orders::default()),
            state: watch::Sender::new(EngineState::Down),
        });
        let connected = Connected::open(&shared).await?;
        if *self.stop.borrow() {
            return Err(refused("the engine was stopped"));
        }
        let runner = Runner::new(Arc::clone(&shared), self.stop.subscribe());
        let (done, is_done) = watch::channel(false);
        let link = tokio::spawn(async move {
            runner.run(connected).await;
            done.send_replace(true);
        });
        let mut state = shared.state.subscribe();
        let running = Running {
            publisher: Publisher::new(Arc::clone(&current), self.layout.clone(), clock),
            presence: Presence::new(current, self.layout.clone(), incarnation),
            shared,
            link: Mutex::new(Some(link)),
            done: is_done,
        };
        // No other start is under way.
        let _ = self.running.set(running);
        let ready = state.wait_for(|state| *state == EngineState::Ready);
        // The link goes on by itself, whatever happened meanwhile.
        let _ = timeout(READY_WITHIN, ready).await;
        Ok(())
    }

    fn running(&self) -> Result<&Running, EngineError> {
        match self.running.get() {
            Some(_) if *self.stop.borrow() => Err(refused("the engine was stopped")),
            Some(running) => Ok(running),
            None => Err(refused("the engine is not started")),
        }
    }

    async fn hear(&self, topics: &[TopicName]) -> Result<Vec<Generation>, EngineError> {
        let Running { shared, .. } = self.running()?;
        shared.reports.listening().want(topics);
        let answers: Vec<_> = topics
            .chunks(BATCH)
            .map(|batch| shared.orders.listen(batch))
            .collect();
        let until = Instant::now() + LISTEN_WITHIN;
        let mut generations = Vec::with_capacity(topics.len());
        for answer in answers {
            match timeout_at(until, answer).await {
                Ok(Ok(of_batch)) => generations.extend(of_batch),
                Ok(Err(_)) => return Err(refused("the engine was stopped")),
                Err(_) => {
                    return Err(EngineError {
                        published: WasPublished::No,
                        kind: EngineErrorKind::Timeout,
                        text: "the server did not confirm the subscription in time".to_owned(),
                    });
                }
            }
        }
        Ok(generations)
    }

    async fn stop_hearing(&self, topics: &[TopicName]) -> Result<(), EngineError> {
        let Running { shared, .. } = self.running()?;
        shared.reports.listening().forget(topics);
        let orders = topics
            .chunks(BATCH)
            .filter_map(|batch| shared.orders.unlisten(batch));
        let until = Instant::now() + UNLISTEN_WITHIN;
        for answer in orders.collect::<Vec<_>>() {
            // The topics are forgotten, so that the subscriptions end with the feed at the latest.
            let _ = timeout_at(until, answer).await;
        }
        Ok(())
    }

    async fn read(
        &self,
        topic: &TopicName,
        since: Since,
        history: History,
    ) -> Result<(Catchup, Generation), EngineError> {
        let Running { shared, .. } = self.running()?;
        let commands = shared.current.now()?;
        let found = read::catch_up(&commands, &self.layout, topic, since, history).await?;
        let mut listening = shared.reports.listening();
        if let Kept::Window { age, .. } = history.kept() {
            let (Catchup::Whole { top, .. } | Catchup::Lost { top } | Catchup::None { top }) =
                found;
            listening.note_window(topic, age, top);
        }
        let generation = listening.generation(topic);
        Ok((found, generation))
    }

    async fn end(&self, within: Duration) -> Result<(), EngineError> {
        self.stop.send_replace(true);
        let Some(running) = self.running.get() else {
            return Ok(());
        };
        let mut done = running.done.clone();
        let ended = timeout(within, done.wait_for(|is_done| *is_done)).await;
        running.shared.state.send_replace(EngineState::Down);
        running.shared.current.set(None);
        if let Ok(Ok(_)) = ended {
            return Ok(());
        }
        running.abort();
        Err(EngineError {
            published: WasPublished::No,
            kind: EngineErrorKind::Timeout,
            text: "the server did not release the lease in time; it lapses in 15 s".to_owned(),
        })
    }
}

impl Engine for RedisEngine {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        Box::pin(self.begin(node, events))
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        Box::pin(self.hear(topics))
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        Box::pin(self.stop_hearing(topics))
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        Box::pin(async move {
            let publisher = &self.running()?.publisher;
            publisher.publish(topic, publication, history).await
        })
    }

    fn tops<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Option<Position>>> {
        Box::pin(async move {
            let Running { shared, .. } = self.running()?;
            let commands = shared.current.now()?;
            let tops = read::tops(&commands, &self.layout, topics).await?;
            let mut listening = shared.reports.listening();
            for (topic, top) in topics.iter().zip(&tops) {
                if let Some(top) = top {
                    listening.note_top(topic, *top);
                }
            }
            Ok(tops)
        })
    }

    fn catch_up<'a>(
        &'a self,
        topic: &'a TopicName,
        since: Since,
        history: History,
    ) -> EngineFuture<'a, (Catchup, Generation)> {
        Box::pin(self.read(topic, since, history))
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            let running = self.running()?;
            running
                .publisher
                .signal(running.shared.node.id, &payload)
                .await
        })
    }

    fn presence(&self) -> Option<&dyn PresenceStore> {
        let running = self.running.get()?;
        Some(running)
    }

    fn state(&self) -> EngineState {
        let running = self.running.get();
        running.map_or(EngineState::Down, |running| *running.shared.state.borrow())
    }

    fn stop(&self, within: Duration) -> EngineFuture<'_, ()> {
        Box::pin(self.end(within))
    }
}

/// The members of topics. The link renews those that this node has written.
impl PresenceStore for Running {
    fn enter<'a>(&'a self, topic: &'a TopicName, members: &'a [Member]) -> EngineFuture<'a, ()> {
        self.shared.reports.listening().note_members(topic);
        self.presence.enter(topic, members)
    }

    fn leave<'a>(&'a self, topic: &'a TopicName, members: &'a [MemberId]) -> EngineFuture<'a, ()> {
        self.presence.leave(topic, members)
    }

    fn members<'a>(&'a self, topic: &'a TopicName, max: usize) -> EngineFuture<'a, Vec<Member>> {
        self.presence.members(topic, max)
    }

    fn set_count<'a>(&'a self, topic: &'a TopicName, count: u64) -> EngineFuture<'a, ()> {
        self.shared.reports.listening().note_members(topic);
        self.presence.set_count(topic, count)
    }

    fn count<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, u64> {
        self.presence.count(topic)
    }

    fn announce<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, ()> {
        self.presence.announce(topic)
    }

    fn written_again(&self) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            let commands = self.shared.current.now()?;
            self.shared.lease.give_up_former(&commands).await?;
            Ok(())
        })
    }
}

impl Running {
    fn abort(&self) {
        if let Some(link) = self.link().take() {
            link.abort();
        }
    }

    fn link(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abort();
    }
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEngine")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn refused(text: &str) -> EngineError {
    EngineError {
        published: WasPublished::No,
        kind: EngineErrorKind::Unavailable,
        text: text.to_owned(),
    }
}
