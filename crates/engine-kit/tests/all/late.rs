//! Engines whose events come from another thread, some time after the call that caused them: as with a networked engine.

use std::future::poll_fn;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use sockeye_engine_kit::checks::check_engine;
use sockeye_engine_kit::{Backend, Capability, Wait};
use sockeye_pubsub::engine::{
    Catchup, EngineEvents, EngineFuture, EngineState, Generation, NodeId, NodeInfo, PresenceStore,
    Since,
};
use sockeye_pubsub::{Delivered, Engine, History, Position, Publication, TopicName};

use crate::cluster::Cluster;
use crate::run::run;

type Job = Box<dyn FnOnce() + Send>;

/// A right backend, and a thread that reports its events.
struct Late {
    right: Cluster,
    jobs: SyncSender<Job>,
}

impl Late {
    fn new() -> Self {
        let (jobs, queue) = sync_channel::<Job>(10_000);
        thread::spawn(move || {
            for job in queue {
                job();
            }
        });
        Self {
            right: Cluster::new(),
            jobs,
        }
    }

    /// Ends when the thread has reported all events.
    fn drained(&self) -> Wait<'_> {
        let state = Arc::new(Mutex::new((false, Waker::noop().clone())));
        let ended = Arc::clone(&state);
        let job = move || {
            let mut ended = ended.lock().expect("no panic");
            ended.0 = true;
            ended.1.wake_by_ref();
        };
        self.jobs.send(Box::new(job)).expect("the thread runs");
        Box::pin(poll_fn(move |context| {
            let mut state = state.lock().expect("no panic");
            state.1 = context.waker().clone();
            if state.0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }
}

impl Backend for Late {
    fn capabilities(&self) -> &[Capability] {
        self.right.capabilities()
    }

    fn engine(&self) -> Wait<'_, Arc<dyn Engine>> {
        Box::pin(async {
            let engine: Arc<dyn Engine> = Arc::new(LateEngine {
                inner: self.right.engine().await,
                jobs: self.jobs.clone(),
            });
            engine
        })
    }

    fn pass(&self, time: Duration) -> Wait<'_> {
        self.right.pass(time)
    }

    fn overdue(&self) -> Wait<'_> {
        self.drained()
    }

    fn quiet(&self) -> Wait<'_> {
        self.drained()
    }

    fn forget(&self) -> Wait<'_> {
        self.right.forget()
    }

    fn cut(&self, node: NodeId) -> Wait<'_> {
        self.right.cut(node)
    }

    fn kill(&self, node: NodeId) -> Wait<'_> {
        self.right.kill(node)
    }

    fn freeze(&self) -> Wait<'_> {
        self.right.freeze()
    }

    fn thaw(&self) -> Wait<'_> {
        self.right.thaw()
    }

    fn delay(&self, node: NodeId, time: Duration) -> Wait<'_> {
        self.right.delay(node, time)
    }
}

/// A right engine whose events come late.
struct LateEngine {
    inner: Arc<dyn Engine>,
    jobs: SyncSender<Job>,
}

impl Engine for LateEngine {
    fn start(&self, node: NodeInfo, events: Arc<dyn EngineEvents>) -> EngineFuture<'_, ()> {
        let jobs = self.jobs.clone();
        self.inner
            .start(node, Arc::new(LateEvents { events, jobs }))
    }

    fn listen<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, Vec<Generation>> {
        self.inner.listen(topics)
    }

    fn unlisten<'a>(&'a self, topics: &'a [TopicName]) -> EngineFuture<'a, ()> {
        self.inner.unlisten(topics)
    }

    fn publish<'a>(
        &'a self,
        topic: &'a TopicName,
        publication: Publication,
        history: History,
    ) -> EngineFuture<'a, Option<Position>> {
        self.inner.publish(topic, publication, history)
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
        self.inner.catch_up(topic, since, history)
    }

    fn signal(&self, payload: Bytes) -> EngineFuture<'_, ()> {
        self.inner.signal(payload)
    }

    fn presence(&self) -> Option<&dyn PresenceStore> {
        self.inner.presence()
    }

    fn state(&self) -> EngineState {
        self.inner.state()
    }

    fn stop(&self, within: Duration) -> EngineFuture<'_, ()> {
        self.inner.stop(within)
    }
}

/// Reports events on the thread.
struct LateEvents {
    events: Arc<dyn EngineEvents>,
    jobs: SyncSender<Job>,
}

impl LateEvents {
    fn report(&self, report: impl FnOnce(&dyn EngineEvents) + Send + 'static) {
        let events = Arc::clone(&self.events);
        let job = move || report(&*events);
        self.jobs.send(Box::new(job)).expect("the thread runs");
    }
}

impl EngineEvents for LateEvents {
    fn delivered(&self, topic: &str, delivered: Delivered) {
        let topic = topic.to_owned();
        self.report(move |events| events.delivered(&topic, delivered));
    }

    fn gap(&self, _: &dyn Fn(&str) -> bool) {
        // A cut concerns all topics.
        self.report(|events| events.gap(&|_| true));
    }

    fn listened(&self, generation: Generation, topics: &[TopicName]) {
        let topics = topics.to_vec();
        self.report(move |events| events.listened(generation, &topics));
    }

    fn signal(&self, from: NodeId, payload: Bytes) {
        self.report(move |events| events.signal(from, payload));
    }

    fn signals_lost(&self) {
        self.report(|events| events.signals_lost());
    }

    fn nodes(&self, live: &[NodeInfo]) {
        let live = live.to_vec();
        self.report(move |events| events.nodes(&live));
    }

    fn state(&self, state: EngineState) {
        self.report(move |events| events.state(state));
    }
}

#[test]
fn checks_wait_for_events_that_come_from_another_thread() {
    let report = run(check_engine(&Late::new()));
    assert_eq!(report.failures().count(), 0, "{report}");
    assert_eq!(report.skipped().count(), 0, "{report}");
}
