//! F11: ten clients stop reading while topics bring 10 MB a second. Each meets the policy of its topic, and the others do not
//! notice.
//!
//! ```text
//!  each round:  measure ── ten clients come, and are held ── all buffers are full ── measure ── released: what each was told
//! ```
//!
//! The figures of a round are compared with those from just before and from just behind. A limit is broken if all rounds but
//! one break it. On a machine that does something else, single rounds differ by a fifth and more: only an idle machine
//! shows small costs. A busy machine also publishes less than 10 MB a second. Then a round takes longer, because it
//! counts messages and not seconds. A node gives up a client that takes nothing for 30 s. So what the ten were told is
//! judged in rounds that are quicker, and one has to be.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sockeye::topics::{Clients, History, Policy, SlowSubscriber};
use sockeye::{Client, Topics};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::embedded::started;
use super::talk::{self, Heard, Talk};
use super::{Scene, Stage, until};
use crate::engines::program::Brand;
use crate::engines::server::Server;
use crate::error::Result;
use crate::faults::case::Run;
use crate::faults::node::Node;
use crate::relay::{Links, Pace, Relay, Way};

pub(super) const SCENE: Scene = Scene {
    id: "F11",
    title: "ten clients stop reading at 10 MB of topics a second",
    run: Run::Full,
    brands: &Brand::ALL,
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> Result<()> {
    let server = stage.server(&[]).await?;
    let url = Server::url(server.address(), None);
    let node = stage.node("node", "node-0", FILE, &url).await?;
    let topics = started(policies(), &url).await?;
    let traffic = Arc::new(Traffic::new());
    let mut running = JoinSet::new();
    for subject in 0..SUBJECTS.len() {
        running.spawn(publish(topics.clone(), subject, Arc::clone(&traffic)));
        for _ in 0..READERS {
            let talk = Talk::open(&talk::many(), &node.address()).await?;
            running.spawn(read(talk, subject, Arc::clone(&traffic)));
        }
    }
    let world = World {
        traffic,
        client: talk::many(),
        relay: Relay::start(&node.address()).await?,
        node,
    };
    let rounds = tokio::select! {
        rounds = world.rounds() => rounds?,
        // Publishers and readers never end by themselves.
        Some(ended) = running.join_next() => {
            ended??;
            return Err("a reader ended".into());
        }
    };
    judge(&rounds)
}

/// A kind of topic, and what its policy does with a client that does not read.
struct Subject {
    topic: &'static str,
    /// The clients that stop reading.
    slow: usize,
    fate: Fate,
}

/// What becomes of a client that does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is closed with 1013.
    Closed,
    /// It gets the newest message alone, and then all.
    Newest,
    /// It gets the messages that the outbox holds, and then all.
    Dropped,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        topic: "window/0",
        slow: 3,
        fate: Fate::Closed,
    },
    Subject {
        topic: "off/0",
        slow: 2,
        fate: Fate::Closed,
    },
    Subject {
        topic: "latest/0",
        slow: 3,
        fate: Fate::Newest,
    },
    Subject {
        topic: "drop/0",
        slow: 2,
        fate: Fate::Dropped,
    },
];

/// The file of topics of the node.
const FILE: &str = r#"
[[topics.pattern]]
match = "window/{id}"
history = { count = 100, age = "60s" }
clients = "subscribe"

[[topics.pattern]]
match = "off/{id}"
clients = "subscribe"

[[topics.pattern]]
match = "latest/{id}"
history = "latest"
clients = "subscribe"

[[topics.pattern]]
match = "drop/{id}"
slow_subscriber = "drop-oldest"
clients = "subscribe"
"#;

/// The same for the node that publishes.
fn policies() -> sockeye::topics::TopicsBuilder {
    let policy = Policy::new().clients(Clients::subscribe());
    let window = History::window(100, Duration::from_secs(60));
    let drops = SlowSubscriber::DropOldest;
    Topics::builder()
        .pattern("window/{id}", policy.clone().history(window))
        .pattern("off/{id}", policy.clone())
        .pattern("latest/{id}", policy.clone().history(History::latest()))
        .pattern("drop/{id}", policy.slow_subscriber(drops))
}

/// What is published and read.
struct Traffic {
    base: Instant,
    /// The number of messages of each subject.
    published: [AtomicU64; SUBJECTS.len()],
    read: AtomicU64,
    /// The microseconds from the publish of each message to its reader.
    delays: Mutex<Vec<u64>>,
}

impl Traffic {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            published: Default::default(),
            read: AtomicU64::new(0),
            delays: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn published(&self, subject: usize) -> u64 {
        self.published[subject].load(Ordering::Relaxed)
    }

    /// Waits until each subject has so many messages more.
    async fn pass(&self, messages: u64) -> Result<()> {
        let wanted: Vec<u64> = (0..SUBJECTS.len())
            .map(|subject| self.published(subject) + messages)
            .collect();
        let are_published = || {
            let mut wanted = wanted.iter().enumerate();
            wanted.all(|(subject, wanted)| self.published(subject) >= *wanted)
        };
        // A busy machine takes longer.
        for _ in 0..MOST_WAITS {
            if until("messages are published", are_published).await.is_ok() {
                return Ok(());
            }
        }
        Err("the publishers stand still".into())
    }

    fn delays(&self) -> Vec<u64> {
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *delays)
    }
}

/// Publishes messages of a subject, at most so many in a second.
async fn publish(topics: Topics, subject: usize, traffic: Arc<Traffic>) -> Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let topic = SUBJECTS[subject].topic;
    loop {
        ticks.tick().await;
        let mut last = None;
        for _ in 0..IN_TICK {
            let n = traffic.published[subject].fetch_add(1, Ordering::Relaxed);
            let body = format!("{:016} {n:010} {:x<LEN$}", traffic.now(), "");
            last = Some(topics.publish(topic, body).queue()?);
        }
        if let Some(last) = last {
            last.await?;
        }
    }
}

/// Reads a subject for ever, and notes how long each message took.
async fn read(mut talk: Talk, subject: usize, traffic: Arc<Traffic>) -> Result<()> {
    talk.subscribe(SUBJECTS[subject].topic, None).await?;
    loop {
        match talk.next().await? {
            Heard::Frame(header, body) if header.get("m").is_some() => {
                let (time, _) = stamp(&body)?;
                traffic.read.fetch_add(1, Ordering::Relaxed);
                let mut delays = traffic
                    .delays
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                delays.push(traffic.now().saturating_sub(time));
            }
            Heard::Frame(..) => {}
            Heard::End(code) => {
                let topic = SUBJECTS[subject].topic;
                return Err(format!("a reader of {topic} was closed: {code:?}").into());
            }
        }
    }
}

/// The time and the number of a message.
fn stamp(body: &str) -> Result<(u64, u64)> {
    let mut words = body.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok());
    number()
        .zip(number())
        .ok_or_else(|| "a message without a stamp".into())
}

/// The figures of some messages.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// The processor time of the node for each message that a reader got, in nanoseconds.
    cost: f64,
    /// The delay that 99 of 100 messages keep, in microseconds.
    delay: f64,
    /// The bytes that were published in a second.
    rate: f64,
    /// The memory of the node.
    memory: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, memory) = (self.rate / 1e6, self.memory >> 20);
        write!(
            f,
            "{:.0} ns a delivery, 99 % within {:.0} µs, {rate:.1} MB/s, {memory} MiB of memory",
            self.cost, self.delay,
        )
    }
}

/// The figures of a round: without slow clients, with them, and without them again.
#[derive(Clone, Copy, Debug)]
struct Round {
    before: Figures,
    during: Figures,
    behind: Figures,
}

impl Round {
    /// Returns by how much a figure is larger with slow clients.
    fn ratio(&self, figure: fn(&Figures) -> f64) -> f64 {
        figure(&self.during) / (figure(&self.before) * figure(&self.behind)).sqrt()
    }
}

struct World {
    traffic: Arc<Traffic>,
    client: Client,
    /// The way of the slow clients.
    relay: Relay,
    node: Node,
}

impl World {
    async fn rounds(&self) -> Result<Vec<Round>> {
        self.traffic.pass(MEASURED).await?;
        let (mut rounds, mut quick) = (Vec::new(), 0);
        let mut before = self.measure().await?;
        for number in 0..ROUNDS {
            let (during, was_quick) = self.stop_ten().await?;
            let behind = self.measure().await?;
            println!("F11 round {number}: without slow clients: {before}; with them: {during}");
            rounds.push(Round {
                before,
                during,
                behind,
            });
            before = behind;
            quick += usize::from(was_quick);
        }
        match quick {
            0 => Err("the machine is too busy to judge what slow clients were told".into()),
            _ => Ok(rounds),
        }
    }

    /// Measures some messages.
    async fn measure(&self) -> Result<Figures> {
        let used = || {
            let used = self.node.processor_time();
            used.ok_or("the system does not tell the processor time of a process")
        };
        self.traffic.delays();
        let (began, from, read) = (Instant::now(), used()?, self.read());
        self.traffic.pass(MEASURED).await?;
        let (time, used, read) = (began.elapsed(), used()? - from, self.read() - read);
        let mut delays = self.traffic.delays();
        delays.sort_unstable();
        let delay = delays.get(delays.len() * 99 / 100).copied();
        Ok(Figures {
            cost: used.as_nanos() as f64 / read as f64,
            delay: delay.ok_or("no message was read")? as f64,
            rate: (MEASURED as usize * SUBJECTS.len() * LEN) as f64 / time.as_secs_f64(),
            memory: self.node.memory().ok_or("the node has no memory")?,
        })
    }

    fn read(&self) -> u64 {
        self.traffic.read.load(Ordering::Relaxed)
    }

    /// Lets ten clients come and stop reading, measures the others, and judges what the ten were told. Returns whether
    /// that could be judged, too.
    async fn stop_ten(&self) -> Result<(Figures, bool)> {
        let mut slow = JoinSet::new();
        for (
            subject,
            Subject {
                topic, slow: count, ..
            },
        ) in SUBJECTS.iter().enumerate()
        {
            for _ in 0..*count {
                let address = self.relay.address().to_string();
                let mut talk = Talk::open(&self.client, &address).await?;
                talk.subscribe(topic, None).await?;
                slow.spawn(be_slow(talk, subject));
            }
        }
        let began = Instant::now();
        self.relay.set(Links::All, Way::Down, Pace::Hold);
        let held = self.numbers();
        self.traffic.pass(STUCK).await?;
        let during = self.measure().await?;
        let released = self.numbers();
        self.relay.set(Links::All, Way::Down, Pace::Pass);
        let was_quick = began.elapsed() < GIVEN_UP;
        self.traffic.pass(LAST).await?;
        self.relay.reset(Links::All);
        while let Some(told) = slow.join_next().await {
            let told = told??;
            if was_quick {
                told.judge(held[told.subject], released[told.subject])?;
            }
        }
        Ok((during, was_quick))
    }

    /// The numbers of the next messages.
    fn numbers(&self) -> [u64; SUBJECTS.len()] {
        std::array::from_fn(|subject| self.traffic.published(subject))
    }
}

/// What a slow client was told.
#[derive(Debug)]
struct Told {
    subject: usize,
    /// The numbers of its messages.
    numbers: Vec<u64>,
    end: Option<u16>,
}

/// Reads until the connection ends. The relay holds what comes meanwhile.
async fn be_slow(mut talk: Talk, subject: usize) -> Result<Told> {
    let mut numbers = Vec::new();
    loop {
        match talk.next().await? {
            Heard::Frame(header, body) if header.get("m").is_some() => {
                numbers.push(stamp(&body)?.1);
            }
            Heard::Frame(..) => {}
            Heard::End(end) => {
                return Ok(Told {
                    subject,
                    numbers,
                    end,
                });
            }
        }
    }
}

impl Told {
    /// Judges what the client was told. It did not read from the message `held` on, up to the message `released`.
    fn judge(&self, held: u64, released: u64) -> Result<()> {
        let Subject { topic, fate, .. } = &SUBJECTS[self.subject];
        // A message that is under way while a number is read may come one too early or too late.
        let missed = (released - held) as usize;
        let got = self.numbers.iter().filter(|n| (held..released).contains(n));
        let got = got.count();
        let steps = self.numbers.windows(2);
        let rises = steps.clone().all(|two| two[0] < two[1]);
        let mut gaps = steps.filter(|two| two[0] + 1 < two[1]);
        let behind_gap = gaps.next_back().map(|two| two[1]);
        let is_live = self.numbers.last().is_some_and(|last| *last > released);
        let goes_on_at = |from: u64| behind_gap.is_some_and(|first| first + MARGIN >= from);
        let is_good = rises
            && match fate {
                Fate::Closed => self.end == Some(1013) && behind_gap.is_none(),
                Fate::Newest => is_live && got < missed / 2 && goes_on_at(released),
                Fate::Dropped => is_live && got < missed / 2 && goes_on_at(released - OUTBOX),
            };
        if is_good {
            return Ok(());
        }
        Err(format!(
            "a slow client of {topic} has to be {fate:?}: it was closed with {:?}, and read {got} of the {missed} messages \
             from {held} to {released}; behind the last gap came {behind_gap:?}, and last {:?}",
            self.end,
            self.numbers.last(),
        )
        .into())
    }
}

/// Two rounds keep each limit at least. All rounds keep that of memory.
fn judge(rounds: &[Round]) -> Result<()> {
    let ratios = |figure: fn(&Figures) -> f64| {
        let mut ratios: Vec<f64> = rounds.iter().map(|round| round.ratio(figure)).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    };
    let costs = ratios(|figures| figures.cost);
    let delays = ratios(|figures| figures.delay);
    let memory = |round: &Round| round.during.memory;
    let first = rounds.first().map_or(0, |round| round.before.memory);
    let growth = rounds
        .iter()
        .map(memory)
        .max()
        .unwrap_or(0)
        .saturating_sub(first);
    println!("F11: costs {costs:.3?}, delays {delays:.2?}, {growth} bytes more");
    let is_kept = |ratios: &[f64], limit: f64| ratios.get(1).is_some_and(|ratio| *ratio <= limit);
    if !is_kept(&costs, COST) {
        return Err(format!("a delivery costs the node more: {costs:.3?} times").into());
    }
    if !is_kept(&delays, DELAY) {
        return Err(format!("messages take longer: {delays:.2?} times").into());
    }
    if growth > GROWTH {
        return Err(format!("the node has {growth} bytes more than before").into());
    }
    Ok(())
}

/// The bytes of a message beside its stamp. 625 are published of each subject in a second: 10 MB in all.
const LEN: usize = 4_000;
const TICK: Duration = Duration::from_millis(8);
const IN_TICK: usize = 5;
/// The clients of each subject that read on.
const READERS: usize = 10;
const ROUNDS: usize = 10;
/// The messages of each subject that are measured.
const MEASURED: u64 = 1_500;
/// The messages of each subject that fill all buffers between a node and a client: 4 MB of a socket, and the outbox of 1 MiB
/// with its log.
const STUCK: u64 = 2_000;
/// The messages of each subject at the end of a round.
const LAST: u64 = 500;
/// More messages than the outbox of 1 MiB holds, and its share of the log.
const OUTBOX: u64 = 400;
/// The messages that may be under way when the clients read again.
const MARGIN: u64 = 100;
/// The most that deliveries may cost, and take, with slow clients.
const COST: f64 = 1.1;
const DELAY: f64 = 2.0;
/// The most memory of ten full outboxes, and as much again for what the allocator keeps.
const GROWTH: u64 = 32 << 20;
/// The time after which a node may have given up a client that takes nothing.
const GIVEN_UP: Duration = Duration::from_secs(25);
const MOST_WAITS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a slow client of a subject was told what its policy says. It did not read from message 90 on, and again
    /// from message 5,000 on.
    fn is_good(subject: usize, numbers: impl IntoIterator<Item = u64>, end: Option<u16>) -> bool {
        let numbers = numbers.into_iter().collect();
        let told = Told {
            subject,
            numbers,
            end,
        };
        told.judge(90, 5_000).is_ok()
    }

    #[test]
    fn a_client_that_must_go_is_closed_with_1013_behind_what_found_room() {
        for subject in [0, 1] {
            assert!(is_good(subject, 50..1_000, Some(1013)));
            assert!(!is_good(subject, 50..1_000, Some(1008)));
            assert!(!is_good(subject, 50..1_000, None));
            assert!(!is_good(subject, (50..100).chain(102..1_000), Some(1013)));
            assert!(!is_good(subject, 50..5_100, None));
        }
    }

    #[test]
    fn a_client_of_the_newest_message_gets_that_and_none_that_waited() {
        assert!(is_good(2, (50..1_000).chain(4_999..5_100), None));
        assert!(!is_good(2, (50..1_000).chain(4_700..5_100), None));
        assert!(!is_good(2, 50..5_100, None));
        assert!(!is_good(2, 50..1_000, Some(1013)));
        assert!(!is_good(2, (50..1_000).chain([5_000, 5_000]), None));
    }

    #[test]
    fn a_client_whose_messages_are_dropped_gets_those_that_found_room() {
        assert!(is_good(3, (50..1_000).chain(4_700..5_100), None));
        assert!(!is_good(3, (50..1_000).chain(4_000..5_100), None));
        assert!(!is_good(3, (50..1_000).chain(4_700..4_900), None));
    }

    fn rounds(ratios: &[f64], growth: u64) -> Vec<Round> {
        let figures = |cost: f64, memory: u64| Figures {
            cost,
            delay: 1.0,
            rate: 1e7,
            memory,
        };
        let round = |ratio: &f64| Round {
            before: figures(2.0, 1 << 20),
            during: figures(4.0 * ratio, (1 << 20) + growth),
            behind: figures(8.0, 1 << 30),
        };
        ratios.iter().map(round).collect()
    }

    #[test]
    fn a_limit_is_broken_if_all_rounds_but_one_break_it_and_that_of_memory_by_one() {
        assert!(judge(&rounds(&[1.5, 1.0, 1.3, 1.09], 0)).is_ok());
        assert!(judge(&rounds(&[1.5, 1.0, 1.3, 1.12], 0)).is_err());
        assert!(judge(&rounds(&[1.0, 1.0], GROWTH)).is_ok());
        assert!(judge(&rounds(&[1.0, 1.0], GROWTH + 1)).is_err());
    }
}
