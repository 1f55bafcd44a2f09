//! The work between the hub and the engine: the engine answers what the hub wants, and the hub is told what the engine
//! reports. One task calls the hub when time has passed.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use sockeye_pubsub::engine::{
    Engine, EngineError, EngineEvents, EngineState, Generation, NodeId, NodeInfo,
};
use sockeye_pubsub::hub::Request;
use sockeye_pubsub::{Delivered, MemoryEngine, TopicName};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::backend::Backend;
use super::handle::{Inner, Topics, WeakInner};
use super::surroundings::now;
use super::timer::Watch;
use crate::sync::{Arc, lock};

/// The pause before an engine is started again that did not start.
const START_AGAIN: Duration = Duration::from_secs(1);

/// How long a subscription waits for the start of the engine. The hub's joins wait for 10 s.
const START_WITHIN: Duration = Duration::from_secs(9);

impl Inner {
    /// Starts the engine, if it is not started.
    async fn start(self: &Arc<Self>) -> Result<(), EngineError> {
        let Backend::Networked(engine) = &self.backend else {
            return Ok(());
        };
        let _starting = self.starting.lock().await;
        if !*self.is_started.borrow() {
            let events = Arc::new(Events(Arc::downgrade(self)));
            engine.start(self.node.clone(), events).await?;
            self.is_started.send_replace(true);
        }
        Ok(())
    }

    /// Waits until a networked engine is started, but not for ever.
    async fn await_start(&self) {
        let mut is_started = self.is_started.subscribe();
        let started = is_started.wait_for(|is_started| *is_started);
        // An engine that is not started refuses what it is asked for.
        let _ = timeout(START_WITHIN, started).await;
    }

    /// Carries out what the hub wants, and reports what slow subscribers lost. The caller holds no lock.
    pub(super) fn work(self: &Arc<Self>) {
        while let Some(request) = self.hub.next_request() {
            match &self.backend {
                Backend::Memory(engine) => self.answer(engine, request),
                Backend::Networked(engine) => {
                    let (inner, engine) = (Arc::clone(self), Arc::clone(engine));
                    self.spawn(async move { inner.ask(&*engine, request).await });
                }
            }
        }
        let node = self.hub.outlet();
        node.do_rest();
        if !node.timer().is_watched() {
            self.run();
        }
        if node.presence().has_changes() {
            self.write_presence();
            node.timer().notify();
        }
    }

    /// Lets the memory engine answer a request.
    fn answer(&self, engine: &MemoryEngine, request: Request) {
        match request {
            Request::Listen(topics) => {
                for topic in topics {
                    let generation = engine.listen(&topic).map(|generation| vec![generation]);
                    self.hub.listen_done(&[topic], generation);
                }
            }
            Request::Unlisten(topics) => {
                topics.iter().for_each(|topic| engine.unlisten(topic));
                self.hub.unlistened(&topics);
            }
            Request::CatchUp {
                topic,
                since,
                history,
                read,
            } => {
                let answer = engine.catch_up(&topic, since, history);
                self.hub.caught_up(&topic, read, answer);
            }
            Request::Tops { topics, read } => {
                let tops = topics.iter().map(|topic| engine.top(topic)).collect();
                self.hub.tops(&topics, read, Ok(tops));
            }
        }
    }

    /// Asks a networked engine.
    async fn ask(self: Arc<Self>, engine: &dyn Engine, request: Request) {
        match request {
            Request::Listen(topics) => {
                // A server serves before the engine is started.
                self.await_start().await;
                let listened = engine.listen(&topics).await;
                self.hub.listen_done(&topics, listened);
            }
            Request::Unlisten(topics) => {
                // A topic that the engine still delivers does no harm: the hub drops its messages.
                let _ = engine.unlisten(&topics).await;
                self.hub.unlistened(&topics);
            }
            Request::CatchUp {
                topic,
                since,
                history,
                read,
            } => {
                let answer = engine.catch_up(&topic, since, history).await;
                self.hub.caught_up(&topic, read, answer);
            }
            Request::Tops { topics, read } => {
                let tops = engine.tops(&topics).await;
                self.hub.tops(&topics, read, tops);
            }
        }
        self.work();
    }
}

impl Inner {
    /// Ends the subscriptions whose permission has ended.
    fn end_permissions(&self) {
        for ending in self.hub.outlet().endings().take_due(now()) {
            Self::deny(&ending);
        }
    }
}

impl Topics {
    /// Starts the topics in a program without a server. A server starts its topics itself, and tries again each second if the
    /// engine does not start. It serves meanwhile: a subscription waits up to 9 s for the engine, and then fails with
    /// [`SubscribeError::Unavailable`](super::SubscribeError::Unavailable). Await this before `bind` to have an engine that is
    /// started, or to see why it is not.
    ///
    /// # Errors
    ///
    /// If the engine cannot be started.
    ///
    /// # Panics
    ///
    /// If the caller is not in a tokio runtime.
    pub async fn start(&self) -> Result<(), EngineError> {
        self.0.start().await?;
        self.0.run();
        Ok(())
    }

    /// Stops the engine, and releases what it holds for this node. Sessions stay open, and get no messages any more.
    ///
    /// # Errors
    ///
    /// If the engine did not stop in time. It is stopped nevertheless.
    pub async fn stop(&self, within: Duration) -> Result<(), EngineError> {
        self.0.backend.engine().stop(within).await
    }

    /// Starts the task of the topics, if it does not run and the caller is in a tokio runtime.
    pub(crate) fn run(&self) {
        self.0.run();
    }
}

impl Inner {
    /// Starts the task of the topics, if it does not run and the caller is in a tokio runtime. The task ends with its
    /// runtime. Then the next call of the topics in another runtime starts it there.
    fn run(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut task = lock(&self.task);
        let timer = self.hub.outlet().timer();
        if let Some(watch) = timer.watch() {
            let run = run(Arc::downgrade(self), watch);
            *task = Some(runtime.spawn(run).abort_handle());
            *lock(&self.runtime) = Some(runtime);
        }
    }

    /// Spawns a task in the current runtime, or else in that of the topics' task. Without either there is no engine that
    /// could do the task's work.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match Handle::try_current() {
            Ok(here) => drop(here.spawn(task)),
            Err(_) => {
                let runtime = lock(&self.runtime).clone();
                runtime.map(|runtime| runtime.spawn(task));
            }
        }
    }
}

/// What the engine reports goes to the hub.
pub(super) struct Events(pub(super) WeakInner);

impl Events {
    fn tell(&self, tell: impl FnOnce(&Arc<Inner>)) {
        if let Some(inner) = self.0.upgrade() {
            tell(&inner);
            // The memory engine reports while it holds a lock. Its caller carries out what the hub wants.
            if let Backend::Networked(_) = inner.backend {
                inner.work();
            }
        }
    }
}

impl EngineEvents for Events {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        self.tell(|inner| inner.hub.delivered(topic, delivered));
    }

    fn gap(&self, affected: &dyn Fn(&str) -> bool) {
        self.tell(|inner| {
            inner.hub.gap(affected);
            inner.stir_soon();
        });
    }

    fn listened(&self, generation: Generation, topics: &[TopicName]) {
        self.tell(|inner| inner.hub.listened(generation, topics));
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        self.tell(|inner| inner.signalled(from, &payload));
    }

    fn signals_lost(&self) {
        self.tell(|inner| inner.recheck_all());
    }

    fn nodes(&self, live: &[NodeInfo]) {
        self.tell(|inner| inner.note_nodes(live));
    }

    fn state(&self, state: EngineState) {
        self.tell(|inner| inner.hub.engine_state(state));
    }

    fn members_changed(&self, topic: &str) {
        self.tell(|inner| inner.note_members(topic));
    }

    fn any_members_changed(&self) {
        self.tell(|inner| inner.stir_soon());
    }

    fn members_lost(&self) {
        self.tell(|inner| inner.hub.outlet().presence().write_all_again());
    }
}

/// The task of the topics of a node: starts the engine, calls the hub when time has passed, and the memory engine when
/// something is old. Joins that wait for the start of the engine need the hub's time, too.
async fn run(topics: WeakInner, watch: Watch) {
    let mut starting = pin!(start(WeakInner::clone(&topics)));
    let mut is_started = false;
    loop {
        let Some(inner) = topics.upgrade() else {
            return;
        };
        inner.hub.handle_timeout();
        inner.work();
        inner.stir();
        inner.end_permissions();
        inner.recheck();
        let pruning = match &inner.backend {
            Backend::Memory(engine) => Some(engine.prune(now())),
            Backend::Networked(_) => None,
        };
        let node = inner.hub.outlet();
        let presence = node.presence().next_due();
        let endings = node.endings().next_due();
        drop(inner);
        let others = [pruning, presence, endings];
        tokio::select! {
            () = &mut starting, if !is_started => is_started = true,
            () = watch.wait(others.into_iter().flatten().min()) => {}
        }
    }
}

/// Starts the engine, again and again until it is started.
async fn start(topics: WeakInner) {
    while let Some(inner) = topics.upgrade() {
        let Err(error) = inner.start().await else {
            return;
        };
        tracing::error!(%error, "cannot start the engine of the topics");
        drop(inner);
        sleep(START_AGAIN).await;
    }
}
