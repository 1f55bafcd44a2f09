//! F31: the application ends subscriptions, and denies them from then on, while the feed of another node is cut. That node
//! hears of nothing. Behind the gap it asks again about each client.
//!
//! ```text
//!  all hear ── evict: 2 of 2, a join that waits for `Authorize` too
//!  feed held ── a join asks, deny, evict: 1 of 2 ── feed reset: gap ── the answer to the join comes
//!  feed held ── deny, evict: 1 of 2 ── the beats find the gap
//! ```

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sockeye::reconnect::topics::{ErrorCode, TopicEvent};
use sockeye::topics::{
    Authorize, Clients, Denied, Evicted, Grant, History, Policy, Subscribers, Topic, TopicsBuilder,
};
use sockeye::{Session, Topics};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::embedded::Embedded;
use super::{Scene, Stage, client, until};
use crate::engines::program::Brand;
use crate::engines::server::Server;
use crate::error::Result;
use crate::faults::case::Run;
use crate::relay::{Links, Pace, Relay, Way};

pub(super) const SCENE: Scene = Scene {
    id: "F31",
    title: "subscriptions are ended and denied while the feed of a node is cut",
    run: Run::Long,
    brands: &Brand::ALL,
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> Result<()> {
    let server = stage.server(&[]).await?;
    let relay = Relay::start(&server.address().to_string()).await?;
    let rules = Arc::new(Rules::default());
    let near = Embedded::start(topics(&rules), &url(server.address())).await?;
    let far = Embedded::start(topics(&rules), &url(relay.address())).await?;
    let world = World {
        near: near.topics.clone(),
        far: far.topics.clone(),
        address: far.address().to_owned(),
        rules,
        relay,
    };
    world.all_hear().await?;
    world.the_feed_is_reset().await?;
    world.the_feed_is_silent().await
}

/// Two nodes. The subscribers are at the far one, whose links to the server pass the relay.
struct World {
    near: Topics,
    far: Topics,
    address: String,
    rules: Arc<Rules>,
    relay: Relay,
}

impl World {
    /// While both nodes hear each other, an eviction reaches each subscription and each join.
    async fn all_hear(&self) -> Result<()> {
        let subscriber = Watched::start(&self.address, "open/0")?;
        subscriber.is_told(&Told::Subscribed).await?;
        // The near node learns of the far one with its lease.
        let mut evicted = self.near.evict("open/none", Subscribers::All).await;
        for _ in 0..LEASES {
            if evicted.live == 2 {
                break;
            }
            tokio::time::sleep(LEASE / LEASES).await;
            evicted = self.near.evict("open/none", Subscribers::All).await;
        }
        heard_by(&evicted, 2)?;
        let pending = Watched::start(&self.address, "slow/0")?;
        self.rules.is_asked("slow/0").await?;
        let (one, other) = tokio::join!(
            self.near.evict("open/0", Subscribers::All),
            self.near.evict("slow/0", Subscribers::All),
        );
        heard_by(&one, 2)?;
        heard_by(&other, 2)?;
        subscriber.is_told(&Told::Ended(ErrorCode::Evicted)).await?;
        pending.is_told(&Told::Ended(ErrorCode::Evicted)).await
    }

    /// The feed of the far node is held, and then ends.
    async fn the_feed_is_reset(&self) -> Result<()> {
        let evicted = Watched::start(&self.address, "open/evicted")?;
        let denied = Watched::start(&self.address, "open/denied")?;
        let kept = Watched::start(&self.address, "open/kept")?;
        for subscriber in [&evicted, &denied, &kept] {
            subscriber.is_told(&Told::Subscribed).await?;
        }
        self.relay.set(Links::Feeds, Way::Down, Pace::Hold);
        let pending = Watched::start(&self.address, "slow/pending")?;
        self.rules.is_asked("slow/pending").await?;
        let names = ["open/evicted", "open/denied", "slow/pending"];
        names.iter().for_each(|name| self.rules.deny(name));
        let before = self.rules.questions("open/denied");
        let (one, other) = tokio::join!(
            self.near.evict("open/evicted", Subscribers::All),
            self.near.evict("slow/pending", Subscribers::All),
        );
        heard_by(&one, 1)?;
        heard_by(&other, 1)?;
        self.relay.reset(Links::Feeds);
        let is_asked = || self.rules.questions("open/denied") > before;
        until("the node asks again about its clients", is_asked).await?;
        // The question of the join is older than the gap, and the answer to it comes behind.
        self.rules.answer();
        for subscriber in [&evicted, &denied, &pending] {
            subscriber.is_told(&Told::Ended(ErrorCode::Denied)).await?;
        }
        self.none_holds(&names).await?;
        self.goes_on(&kept, &names, &[&evicted, &denied, &pending])
            .await
    }

    /// The feed of the far node brings nothing, and only the beats show that.
    async fn the_feed_is_silent(&self) -> Result<()> {
        let evicted = Watched::start(&self.address, "open/again")?;
        let kept = Watched::start(&self.address, "open/kept")?;
        evicted.is_told(&Told::Subscribed).await?;
        kept.is_told(&Told::Subscribed).await?;
        self.relay.set(Links::Feeds, Way::Down, Pace::Hold);
        self.rules.deny("open/again");
        let heard = self.near.evict("open/again", Subscribers::All).await;
        heard_by(&heard, 1)?;
        evicted.is_told(&Told::Ended(ErrorCode::Denied)).await?;
        self.none_holds(&["open/again"]).await?;
        self.relay.set(Links::Feeds, Way::Down, Pace::Pass);
        self.goes_on(&kept, &["open/again"], &[&evicted]).await?;
        // What was not acknowledged is to be repeated.
        let heard = self.near.evict("open/again", Subscribers::All).await;
        heard_by(&heard, 2)
    }

    /// No client subscribes to one of these topics.
    async fn none_holds(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let is_free = || self.far.subscribers(name) == 0;
            until(&format!("no client subscribes to {name}"), is_free).await?;
        }
        Ok(())
    }

    /// A subscriber that is not denied gets what is published, and the others get nothing.
    async fn goes_on(&self, kept: &Watched, names: &[&str], others: &[&Watched]) -> Result<()> {
        for name in names {
            self.near.publish(*name, "secret").await?;
        }
        self.near.publish("open/kept", "for all").await?;
        kept.is_told(&Told::Message("for all".to_owned())).await?;
        let secret = Told::Message("secret".to_owned());
        match others.iter().find(|other| other.was_told(&secret)) {
            Some(other) => {
                Err(format!("{} got a message that it may not have", other.topic).into())
            }
            None => Ok(()),
        }
    }
}

/// An eviction was acknowledged by so many of the two nodes.
fn heard_by(evicted: &Evicted, nodes: usize) -> Result<()> {
    match (evicted.acknowledged, evicted.live) {
        (acknowledged, 2) if acknowledged == nodes => Ok(()),
        _ => Err(format!("{nodes} of 2 nodes acknowledge, but the answer is {evicted:?}").into()),
    }
}

/// What the application allows. All nodes ask it, as if it were a database.
#[derive(Default)]
struct Rules {
    denied: Mutex<HashSet<String>>,
    asked: Mutex<Vec<String>>,
    /// Whether questions about slow topics are answered.
    answers: watch::Sender<bool>,
}

impl Rules {
    /// Denies a topic to all.
    fn deny(&self, topic: &str) {
        lock(&self.denied).insert(topic.to_owned());
    }

    /// Answers the questions about slow topics.
    fn answer(&self) {
        self.answers.send_replace(true);
    }

    /// Returns how often nodes have asked about a topic.
    fn questions(&self, topic: &str) -> usize {
        let asked = lock(&self.asked);
        asked.iter().filter(|asked| *asked == topic).count()
    }

    async fn is_asked(&self, topic: &str) -> Result<()> {
        until("the node asks", || self.questions(topic) > 0).await
    }
}

/// The rules, for a node.
struct Asking(Arc<Rules>);

impl Authorize for Asking {
    /// The answer is right for the time of the question, however late it comes.
    async fn subscribe(&self, _: &Session, topic: &Topic) -> std::result::Result<Grant, Denied> {
        let rules = &self.0;
        let is_denied = lock(&rules.denied).contains(topic.name());
        lock(&rules.asked).push(topic.name().to_owned());
        if topic.pattern() == Some("slow/{id}") {
            let mut answers = rules.answers.subscribe();
            // The rules last longer than their questions.
            let _ = answers.wait_for(|answers| *answers).await;
        }
        match is_denied {
            true => Err(Denied::default()),
            false => Ok(Grant::default()),
        }
    }
}

fn topics(rules: &Arc<Rules>) -> TopicsBuilder {
    let policy = Policy::new()
        .history(History::window(100, Duration::from_secs(60)))
        .clients(Clients::subscribe());
    Topics::builder()
        .pattern("open/{id}", policy.clone())
        .pattern("slow/{id}", policy)
        .authorize(Asking(Arc::clone(rules)))
}

fn url(address: std::net::SocketAddr) -> String {
    Server::url(address, Some(RECONNECT))
}

/// What a client was told of its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Subscribed,
    Message(String),
    Ended(ErrorCode),
}

/// A client of one topic that runs in a task.
struct Watched {
    topic: String,
    told: Arc<Mutex<Vec<Told>>>,
    running: AbortHandle,
}

impl Watched {
    fn start(address: &str, topic: &str) -> Result<Self> {
        let mut client = client(address);
        client.subscribe(topic)?;
        let told = Arc::<Mutex<Vec<Told>>>::default();
        let noted = Arc::clone(&told);
        let running = tokio::spawn(async move {
            while let Some(event) = client.next().await {
                let told = match event {
                    TopicEvent::Subscribed { .. } => Told::Subscribed,
                    TopicEvent::Message { message, .. } => {
                        Told::Message(message.as_text().unwrap_or_default().to_owned())
                    }
                    TopicEvent::Ended { failure, .. } => Told::Ended(failure.code),
                    _ => continue,
                };
                lock(&noted).push(told);
            }
        });
        Ok(Self {
            topic: topic.to_owned(),
            told,
            running: running.abort_handle(),
        })
    }

    fn was_told(&self, what: &Told) -> bool {
        lock(&self.told).contains(what)
    }

    async fn is_told(&self, what: &Told) -> Result<()> {
        let expected = format!("the client of {} is told {what:?}", self.topic);
        let told = until(&expected, || self.was_told(what)).await;
        told.map_err(|error| format!("{error}; it was told {:?}", lock(&self.told)).into())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const RECONNECT: Duration = Duration::from_secs(1);
/// The time within which each node knows the others, twice what is promised, and the number of looks in it.
const LEASE: Duration = Duration::from_secs(30);
const LEASES: u32 = 60;
