//! The task of the link: looks after both connections, and opens them again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::feed_side::{FeedNews, FeedSide};
use super::life::{Life, News};
use super::status::{Status, TARGET};
use super::{LinkEvent, Shared};
use crate::beat::{Finding, Judge};
use crate::commands::Commands;
use crate::failure::ConnectError;
use crate::feed::Notice;
use crate::lease::{self, Renewal};
use crate::outcome::CallError;
use crate::upkeep::{self, Schedule};

/// The task of the link.
#[derive(Debug)]
pub(crate) struct Runner {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    status: Status,
    judge: Judge,
    /// The number of beats that were sent.
    beats: usize,
    calls: JoinSet<Call>,
    lease_at: Instant,
    upkeep: Schedule,
}

/// Both connections, just opened.
#[derive(Debug)]
pub(crate) struct Connected {
    commands: Arc<Commands>,
    renewal: Renewal,
    life: Life,
}

/// A call of the link that has ended.
#[derive(Debug)]
enum Call {
    Beat(u64, Result<u64, CallError>),
    Lease(Result<Renewal, CallError>),
    Upkeep(Result<(), CallError>),
}

/// Why both connections are given up.
#[derive(Debug)]
enum End {
    Lost(String),
    Stopped,
}

/// The time between two renewals of the lease.
const LEASE_EVERY: Duration = Duration::from_secs(5);

/// The time after which a beat has no reply any more. The judge gives the server up before.
const BEAT_WITHIN: Duration = Duration::from_secs(20);

impl Connected {
    /// Opens both connections, and takes a lease. Each step is bounded by 2 s.
    pub(crate) async fn open(shared: &Shared) -> Result<Self, ConnectError> {
        let commands = Commands::open(&shared.connector, &shared.node.name).await?;
        let renewal = shared.lease.renew(&commands).await;
        let refused = |error| shared.connector.refused("the script of the lease", error);
        let renewal = renewal.map_err(refused)?;
        Ok(Self {
            commands: Arc::new(commands),
            renewal,
            life: Life::open(shared).await?,
        })
    }
}

impl Runner {
    pub(crate) fn new(shared: Arc<Shared>, stop: watch::Receiver<bool>) -> Self {
        let now = Instant::now();
        Self {
            status: Status::new(Arc::clone(&shared)),
            shared,
            stop,
            judge: Judge::new(now),
            beats: 0,
            calls: JoinSet::new(),
            lease_at: now,
            upkeep: Schedule::new(now, rand::random),
        }
    }

    /// Runs until the engine stops.
    pub(crate) async fn run(mut self, mut connected: Connected) {
        loop {
            let commands = Arc::clone(&connected.commands);
            match self.serve(connected).await {
                End::Lost(why) => {
                    // The next server may be another one, that never got a leave which this one confirmed.
                    self.shared.lease.want_new_name();
                    self.status.take(LinkEvent::CommandsEnded, Some(&why));
                    drop(commands);
                }
                End::Stopped => {
                    self.stop(Some(&commands)).await;
                    return;
                }
            }
            connected = match self.reconnect().await {
                Some(connected) => connected,
                None => return self.stop(None).await,
            };
        }
    }

    /// Looks after both connections until one for commands is lost, or the engine stops. Ends both.
    async fn serve(&mut self, connected: Connected) -> End {
        let Connected {
            commands,
            renewal,
            mut life,
        } = connected;
        let now = Instant::now();
        self.judge = Judge::new(now);
        self.lease_at = now + LEASE_EVERY;
        self.shared.current.set(Some(Arc::clone(&commands)));
        self.status.note_nodes(renewal);
        self.status.take(LinkEvent::Connected, None);
        // A server that lost acknowledged writes may have lost joins.
        self.shared.reports.events().members_lost();
        life.subscribe(&self.shared);
        let mut side = FeedSide::Open(life);
        let end = self.attend(&commands, &mut side).await;
        self.shared.current.set(None);
        self.calls.shutdown().await;
        if let FeedSide::Open(life) = side {
            life.end().await;
            if matches!(end, End::Lost(_)) {
                self.shared.reports.life_ended();
            }
        }
        end
    }

    async fn attend(&mut self, commands: &Arc<Commands>, side: &mut FeedSide) -> End {
        loop {
            let shared = Arc::clone(&self.shared);
            let next = self.judge.next(commands.last_heard());
            let findings = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return End::Stopped,
                end = commands.ended() => return End::Lost(end.to_string()),
                Some(call) = self.calls.join_next() => match call {
                    Ok(call) => self.note_call(call),
                    Err(_) => Vec::new(),
                },
                () = commands.memory_lost() => {
                    self.judge.memory_lost(Instant::now());
                    self.note_memory_lost(commands);
                    Vec::new()
                }
                news = side.news(&shared) => self.note_news(side, news).await,
                () = sleep_until(next) => {
                    self.judge.time(Instant::now(), commands.last_heard())
                }
                () = sleep_until(self.lease_at) => {
                    self.renew_lease(commands);
                    Vec::new()
                }
                () = sleep_until(self.upkeep.next()) => {
                    self.keep_up(commands);
                    Vec::new()
                }
            };
            for finding in findings {
                match finding {
                    Finding::Silent => {
                        return End::Lost("the server answered nothing for 10 s".to_owned());
                    }
                    Finding::Beat => self.send_beat(commands, side),
                    Finding::Slow => self.status.set_slow(true),
                    Finding::Prompt => self.status.set_slow(false),
                    Finding::MemoryLost => {
                        commands.forget_count();
                        self.note_memory_lost(commands);
                    }
                    Finding::Proved => shared.reports.proved(),
                    Finding::FeedDead => self.end_feed(side, "two beats did not come").await,
                }
            }
        }
    }

    /// The server went back to an older state. The hub writes the members again when the node's new name has a lease.
    fn note_memory_lost(&mut self, commands: &Arc<Commands>) {
        let shared = &self.shared;
        tracing::warn!(target: TARGET, server = %shared.connector, "the server lost what it had stored");
        shared.reports.memory_lost();
        shared.lease.want_new_name();
        self.renew_lease(commands);
    }

    /// Opens both connections again. `None` if the engine stops.
    async fn reconnect(&mut self) -> Option<Connected> {
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                () = stopped(&mut self.stop) => return None,
                () = sleep(shared.pauses.of_link()) => {}
            }
            self.status.take(LinkEvent::PauseOver, None);
            let opened = tokio::select! {
                () = stopped(&mut self.stop) => return None,
                opened = Connected::open(&shared) => opened,
            };
            match opened {
                Ok(connected) => return Some(connected),
                Err(error) => self.status.note_failure(error),
            }
        }
    }

    /// Releases the lease.
    async fn stop(mut self, commands: Option<&Commands>) {
        self.status.take(LinkEvent::Stop, None);
        self.shared.orders.clear();
        if let Some(commands) = commands {
            // A lease that is not released lapses.
            let _ = self.shared.lease.release(commands).await;
        }
    }

    fn send_beat(&mut self, commands: &Arc<Commands>, side: &mut FeedSide) {
        let nonce = rand::random::<u64>().max(1);
        let now = Instant::now();
        self.beats += 1;
        self.judge.sent(nonce, commands.counted(), now);
        if let Some(life) = side.life() {
            life.feed.expect_beat(self.beats, nonce);
        }
        let (shared, commands) = (Arc::clone(&self.shared), Arc::clone(commands));
        self.calls.spawn(async move {
            let (layout, node) = (&shared.layout, shared.node.id);
            let count = lease::beat(&commands, layout, node, nonce, now + BEAT_WITHIN).await;
            Call::Beat(nonce, count)
        });
    }

    /// Begins to renew the lease.
    fn renew_lease(&mut self, commands: &Arc<Commands>) {
        self.lease_at = Instant::now() + LEASE_EVERY;
        let (shared, commands) = (Arc::clone(&self.shared), Arc::clone(commands));
        self.calls
            .spawn(async move { Call::Lease(shared.lease.renew(&commands).await) });
    }

    /// Renews what is due of the topics.
    fn keep_up(&mut self, commands: &Arc<Commands>) {
        let now = Instant::now();
        while let Some(what) = self.upkeep.take(now, rand::random()) {
            let (shared, commands) = (Arc::clone(&self.shared), Arc::clone(commands));
            self.calls.spawn(async move {
                let Shared {
                    layout, reports, ..
                } = &*shared;
                Call::Upkeep(upkeep::renew(&commands, layout, reports, what).await)
            });
        }
    }

    fn note_call(&mut self, call: Call) -> Vec<Finding> {
        let now = Instant::now();
        match call {
            Call::Beat(nonce, Ok(count)) => self.judge.replied(nonce, count, now),
            // The server answers, but it does not write now, as when its memory is full.
            Call::Beat(nonce, Err(CallError::Refused(_))) => self.judge.refused(nonce, now),
            Call::Beat(..) => Vec::new(),
            Call::Lease(Ok(renewal)) => {
                let has_moved = renewal.has_moved;
                self.status.note_nodes(renewal);
                if has_moved {
                    tracing::warn!(target: TARGET, "the members of this node are written again, under a new name");
                    self.shared.reports.events().members_lost();
                }
                Vec::new()
            }
            Call::Lease(Err(error)) => {
                tracing::debug!(target: TARGET, %error, "cannot renew the lease");
                Vec::new()
            }
            Call::Upkeep(renewed) => {
                if let Err(error) = renewed {
                    tracing::debug!(target: TARGET, %error, "cannot renew what topics have on the server");
                }
                Vec::new()
            }
        }
    }

    async fn note_news(&mut self, side: &mut FeedSide, news: FeedNews) -> Vec<Finding> {
        match news {
            FeedNews::Life(News::Notice(Notice::Beat { nonce, count })) => {
                return self.judge.seen(nonce, count);
            }
            FeedNews::Life(News::Notice(Notice::Subscribed)) => {
                self.status.take(LinkEvent::Subscribed, None)
            }
            FeedNews::Life(News::Notice(Notice::Unsubscribed)) => {
                self.end_feed(side, "the server ended a subscription").await;
            }
            FeedNews::Life(News::Ended(why)) => self.end_feed(side, &why).await,
            FeedNews::Opened => {
                self.judge.feed_opened(Instant::now());
                // What a new feed brings is from behind all losses.
                self.shared.reports.proved();
                self.status.take(LinkEvent::FeedOpened, None);
                if let Some(life) = side.life() {
                    life.subscribe(&self.shared);
                }
            }
            FeedNews::Failed(error) => {
                tracing::debug!(target: TARGET, %error, "cannot open the feed again");
            }
        }
        Vec::new()
    }

    /// Ends the feed, and begins to open another one.
    async fn end_feed(&mut self, side: &mut FeedSide, why: &str) {
        let opening = FeedSide::opening(&self.shared, 0);
        if let FeedSide::Open(life) = std::mem::replace(side, opening) {
            life.end().await;
            self.shared.reports.life_ended();
        }
        self.judge.feed_ended();
        self.status.take(LinkEvent::FeedEnded, Some(why));
    }
}

/// Waits until the engine is to stop, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|is_stopped| *is_stopped).await;
}
