//! Publishing messages with keys to a topic with history, while two nodes listen to it. The floor is a client that drives
//! the same script with the same arguments, and does nothing else.
//!
//! Redis has a processor for itself. The publisher and the two nodes share the other one.

mod engine;
pub(crate) mod listen;
mod script;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::child::{Priority, conversing, cost, own};
use crate::load::Cost;
use crate::process;
use crate::redis::{Asking, Redis};
use crate::run::Conditions;
use crate::server::lock;
use crate::workload::{self, Load, RAW_SCRIPT, Workload};

/// A client that can be measured.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    publish: fn(&Options, Shape) -> Result<Cost>,
}

pub(crate) const ALL: &[Contender] = &[
    Contender {
        name: RAW_SCRIPT,
        note: "a blocking client that pipelines the same script",
        publish: script::publish,
    },
    Contender {
        name: "sockeye-redis",
        note: "",
        publish: engine::publish,
    },
];

impl Contender {
    pub(crate) fn version(&self) -> String {
        match self.name {
            RAW_SCRIPT => "no library".to_owned(),
            library => lock::version(library),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    name: String,
    #[arg(long)]
    redis: SocketAddr,
    /// The process of the Redis server
    #[arg(long)]
    redis_pid: u32,
    #[arg(long)]
    workload: String,
    #[arg(long)]
    warm_up_ms: u64,
    #[arg(long)]
    measure_ms: u64,
}

/// What is published.
#[derive(Clone, Copy)]
struct Shape {
    in_flight: usize,
    size: usize,
}

/// The topic, and its names on the server: `sockeye-redis` promises that they stay.
const TOPIC: &str = "room/42";
const META: &str = "sockeye:{70}:m:room/42";

/// Publishes by this client from a process of its own, and sees that both nodes got all.
pub(crate) fn measure(
    conditions: &Conditions<'_>,
    publisher: &Contender,
    workload: &Workload,
) -> Result<Cost> {
    let [for_redis, for_clients] = *conditions.processors else {
        return Err("two processors are wanted".to_owned());
    };
    let redis = Redis::start(for_redis)?;
    let addr = redis.addr().to_string();
    let listening = own(["listen", "--redis", &addr])?;
    let mut listening = conversing(Priority::Normal, for_clients, &listening)?;
    if listening.first_line()? != listen::READY {
        return Err(listening.complaint());
    }
    let publishing = own([
        "publish",
        publisher.name,
        &format!("--redis={addr}"),
        &format!("--redis-pid={}", redis.pid()),
        &format!("--workload={}", workload.name),
        &format!("--warm-up-ms={}", conditions.measure / 3),
        &format!("--measure-ms={}", conditions.measure),
    ])?;
    let cost = cost(for_clients, &publishing)?;
    let published = Asking::connect(redis.addr())?.ask(&["HGET", META, "o"])?;
    let published = published.lines().nth(1).unwrap_or_default().to_owned();
    listening.go_on()?;
    let got = listening.first_line()?;
    match got == format!("{published} {published}") {
        true => Ok(cost),
        false => Err(format!("the nodes got {got} of {published} messages")),
    }
}

pub(crate) fn publish(options: &Options) -> Result<()> {
    let name = &options.name;
    let contender = ALL.iter().find(|contender| contender.name == name);
    let contender = contender.ok_or_else(|| format!("no publisher is called `{name}`"))?;
    let name = &options.workload;
    let workload = workload::find(name).ok_or_else(|| format!("no workload is called `{name}`"))?;
    let Load::Publish { in_flight, size } = workload.load else {
        return Err(format!("{name} wants a server"));
    };
    let cost = (contender.publish)(options, Shape { in_flight, size })?;
    let cost = serde_json::to_string(&cost).map_err(|error| error.to_string())?;
    println!("{cost}");
    Ok(())
}

/// Counts what a publisher publishes after its warm-up.
struct Meter {
    redis_pid: u32,
    begin: Instant,
    end: Instant,
    started: Option<Start>,
    count: u64,
}

struct Start {
    at: Instant,
    count: u64,
    own: Duration,
    redis: Duration,
}

impl Meter {
    fn new(options: &Options) -> Self {
        let begin = Instant::now() + Duration::from_millis(options.warm_up_ms);
        Self {
            redis_pid: options.redis_pid,
            begin,
            end: begin + Duration::from_millis(options.measure_ms),
            started: None,
            count: 0,
        }
    }

    /// So many more are published. Returns the cost when the time is over.
    fn published(&mut self, messages: u64) -> Result<Option<Cost>> {
        self.count += messages;
        let now = Instant::now();
        if now < self.begin {
            return Ok(None);
        }
        let times = |pid| process::times(pid).map(|times| times.all);
        let Some(start) = &self.started else {
            self.started = Some(Start {
                at: now,
                count: self.count,
                own: times(std::process::id())?,
                redis: times(self.redis_pid)?,
            });
            return Ok(None);
        };
        if now < self.end {
            return Ok(None);
        }
        let of = |pid, start| Ok(times(pid)?.saturating_sub(start).as_secs_f64());
        let redis: Result<f64> = of(self.redis_pid, start.redis);
        Ok(Some(Cost {
            count: self.count - start.count,
            seconds: (now - start.at).as_secs_f64(),
            cpu_seconds: of(std::process::id(), start.own)?,
            redis_cpu_seconds: Some(redis?),
            resident_bytes: process::resident(std::process::id())?,
            ..Cost::default()
        }))
    }
}
