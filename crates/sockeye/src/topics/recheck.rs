//! Asks [`Authorize`](super::Authorize) again about the subscriptions of clients. A node does so when signals of other nodes
//! may be missing: one of them may have been an eviction.
//!
//! ```text
//!   signals_lost ─▶ a round begins ─▶ each client of each topic ─▶ ask ─▶ allowed: the subscription stays
//!                                            ▲                      └───▶ denied: it ends
//!   attach, by a permission from before ─────┘
//! ```

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use sockeye_pubsub::TopicName;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::endings::Ending;
use super::form::{self, Form};
use super::handle::{Inner, WeakInner};
use super::permission::Permission;
use super::rechecks::Next;
use super::rules::permit_subscribe;
use crate::endpoint::Session;
use crate::sync::{Arc, lock};

/// The time between two questions: at most 1,000 are asked in a second.
const PACE: Duration = Duration::from_millis(1);
/// How many questions may wait for their answers.
const MAX_ASKED: usize = 256;
/// How many subscribers of a topic are looked at while it is locked.
const CHUNK: usize = 256;

impl Inner {
    /// Asks again about each subscription of a client. Without `Authorize` the patterns decide alone, and they do not
    /// change.
    pub(super) fn recheck_all(self: &Arc<Self>) {
        if self.authority.is_none() {
            // The node that evicts knows it by the number of nodes that have acknowledged.
            tracing::debug!("signals of other nodes may be missing: an evicted client may stay");
            return;
        }
        tracing::warn!("signals of other nodes may be missing: asking again about each client");
        self.hub.outlet().rechecks().add_round();
        self.recheck();
    }

    /// Starts the task that asks, if there is something to ask and no task.
    pub(super) fn recheck(self: &Arc<Self>) {
        if self.hub.outlet().rechecks().begin() {
            self.spawn(run(Running(Arc::downgrade(self))));
        }
    }

    /// Returns clients that subscribe to a topic, and whether there are more behind these places.
    fn clients(&self, topic: &TopicName, form: Form, from: usize) -> (Vec<Ending>, bool) {
        let mut sessions = Vec::new();
        let look = |session: &Session| sessions.push(session.clone());
        let has_more = self.hub.with(topic, |topic| {
            let channel = topic.existing(form);
            channel.is_some_and(|channel| channel.look(from..from + CHUNK, look))
        });
        // The handles that are left out are dropped here, while nothing is locked.
        let clients = sessions.into_iter().filter_map(|session| {
            let part = session.topics_part()?;
            let join = lock(&part.memberships).join_of_client(topic)?;
            let topic = topic.clone();
            Some(Ending {
                session,
                topic,
                join,
            })
        });
        (clients.collect(), has_more.unwrap_or(false))
    }

    /// Ends the subscription of a client, and tells the client that it is denied.
    pub(super) fn deny(subscription: &Ending) {
        let Ending {
            session,
            topic,
            join,
        } = subscription;
        if session.leave_if(topic, *join) {
            Form::of(session).tell_end(session, topic, form::Ending::Denied);
        }
    }
}

/// The task that asks. Dropping it, as at the end of its runtime, lets another task ask.
struct Running(WeakInner);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.hub.outlet().rechecks().task_ended();
        }
    }
}

async fn run(running: Running) {
    let mut questions = Questions::new();
    while let Some(inner) = running.0.upgrade()
        && let Some(next) = inner.hub.outlet().rechecks().next()
    {
        drop(inner);
        match next {
            Next::Round => ask_all(&running.0, &mut questions).await,
            Next::Late(late) => {
                for subscription in late {
                    questions.ask(subscription).await;
                }
            }
        }
        questions.finish().await;
    }
}

async fn ask_all(topics: &WeakInner, questions: &mut Questions) {
    let mut shard = 0;
    while let Some(names) = topics.upgrade().and_then(|inner| inner.hub.names(shard)) {
        for (topic, form) in names
            .iter()
            .flat_map(|name| Form::ALL.map(|form| (name, form)))
        {
            let mut from = 0;
            loop {
                let Some(inner) = topics.upgrade() else {
                    return;
                };
                let (clients, has_more) = inner.clients(topic, form, from);
                drop(inner);
                for client in clients {
                    questions.ask(client).await;
                }
                if !has_more {
                    break;
                }
                from += CHUNK;
            }
        }
        shard += 1;
    }
}

/// The questions that wait for their answers.
struct Questions {
    pace: Interval,
    waiting: FuturesUnordered<Question>,
}

type Question = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Questions {
    fn new() -> Self {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            pace,
            waiting: FuturesUnordered::new(),
        }
    }

    /// Begins to ask about a subscription, when it is time.
    async fn ask(&mut self, subscription: Ending) {
        loop {
            let has_room = self.waiting.len() < MAX_ASKED;
            tokio::select! {
                biased;
                Some(()) = self.waiting.next() => {}
                _ = self.pace.tick(), if has_room => break,
            }
        }
        self.waiting.push(Box::pin(async move {
            tokio::select! {
                () = ask(&subscription) => {}
                _ = subscription.session.closed() => {}
            }
        }));
    }

    async fn finish(&mut self) {
        while self.waiting.next().await.is_some() {}
    }
}

/// Asks about a subscription, and ends it if it is denied.
async fn ask(subscription: &Ending) {
    let Ending {
        session,
        topic,
        join,
    } = subscription;
    match permit_subscribe(session.topics(), session, topic).await {
        Ok(permission) => extend(session, topic, *join, permission),
        Err(_) => Inner::deny(subscription),
    }
}

/// Sets when the permission of a subscription ends.
fn extend(session: &Session, topic: &TopicName, join: u32, permission: Permission) {
    let node = session.topics().0.hub.outlet();
    let Some(part) = session.topics_part() else {
        return;
    };
    let memberships = lock(&part.memberships);
    if memberships.join_of_client(topic) != Some(join) {
        return;
    }
    let before = node.endings().remove(session, join);
    node.note_permission(session, topic, join, permission);
    drop(memberships);
    drop(before);
}
