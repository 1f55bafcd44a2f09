//! The load: one thread, one poll, frames that were made before. Each reply is compared with what it has
//! to be, and none may be missing at the end, so a server that is fast and wrong fails.

mod echo;
mod exact;
mod fan_out;
mod handshake;
mod idle;
mod inflating;
pub(crate) mod opening;
mod recovery;
pub(crate) mod reply;
mod ring;
mod socket_io;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::process;
use crate::server::Dialect;
use crate::workload::{self, Load, Unit, Workload};

use self::echo::Echo;
use self::fan_out::FanOut;
use self::handshake::Handshakes;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    addr: SocketAddr,
    /// The server's process
    #[arg(long)]
    pid: u32,
    #[command(flatten)]
    beside: Beside,
    #[arg(long)]
    workload: String,
    #[arg(long, value_enum, default_value_t)]
    dialect: Dialect,
    #[arg(long)]
    warm_up_ms: u64,
    #[arg(long)]
    measure_ms: u64,
    /// Count the server's system calls too, with `perf`, after the rest is measured
    #[arg(long)]
    system_calls: bool,
}

/// Where topics are shared: what there is beside the node that is measured.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Beside {
    /// The node that is published to
    #[arg(long, value_name = "ADDR")]
    publish_at: Option<SocketAddr>,
    /// The process of that node
    #[arg(long, value_name = "PID")]
    publisher_pid: Option<u32>,
    /// The Redis server
    #[arg(long, value_name = "ADDR")]
    redis: Option<SocketAddr>,
    /// The process of that server
    #[arg(long, value_name = "PID")]
    redis_pid: Option<u32>,
}

/// What a load cost the server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Cost {
    /// How many messages, handshakes or connections it was.
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    /// Processor time of the server.
    pub(crate) cpu_seconds: f64,
    /// How much of that it spent outside of the system; 0 to 1.
    pub(crate) user_share: f64,
    pub(crate) resident_bytes: u64,
    /// By how much resident memory grew with the connections, where they are what is counted.
    pub(crate) grown_bytes: i64,
    /// Processor time of the load. If its processor is nearly idle, the load waits for the server; if it is busy, the
    /// server waits for the load.
    pub(crate) load_cpu_seconds: f64,
    /// Processor time of the node that was published to, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) publisher_cpu_seconds: Option<f64>,
    /// Processor time of the Redis server that the nodes share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redis_cpu_seconds: Option<f64>,
    /// How often the node read from the engine, where that is what is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine_reads: Option<u64>,
    /// For each that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_calls: Option<f64>,
}

impl Cost {
    /// What each of those that were counted cost, in the unit of the workload.
    pub(crate) fn figure(&self, workload: &Workload) -> f64 {
        let all = match workload.load.unit() {
            Unit::Time => self.cpu_seconds * 1e9,
            Unit::Memory => self.grown_bytes as f64,
            Unit::Elapsed => self.seconds * 1e9,
            Unit::Reads => self.engine_reads.unwrap_or_default() as f64,
        };
        all / (self.count as f64).max(1.0)
    }
}

pub(crate) fn load(options: &Options) -> Result<()> {
    let name = &options.workload;
    let workload = workload::find(name).ok_or_else(|| format!("no workload is called `{name}`"))?;
    let cost = match workload.load {
        Load::Echo { .. } if workload.setting.deflate.is_some() => {
            measure(options, &mut Echo::deflated(options, workload)?)?
        }
        Load::Echo { .. } => measure(options, &mut Echo::exact(options, workload)?)?,
        Load::FanOut { .. } => measure(options, &mut FanOut::connect(options, workload)?)?,
        Load::Handshake { .. } => measure(options, &mut Handshakes::begin(options, workload)?)?,
        Load::Idle { .. } => idle::measure(options, workload)?,
        Load::Recovery { .. } => recovery::measure(options, workload)?,
        Load::Codec { .. } | Load::Publish { .. } => {
            return Err(format!("{name} needs no server"));
        }
    };
    let cost = serde_json::to_string(&cost).map_err(|error| error.to_string())?;
    println!("{cost}");
    Ok(())
}

/// A load that goes on for as long as is wanted.
trait Loading {
    /// Waits for what is ready, until then at most, and deals with it.
    fn turn(&mut self, until: Instant) -> Result<()>;

    /// How many messages or handshakes are done.
    fn count(&self) -> u64;

    /// Begins nothing more.
    fn stop(&mut self);

    /// How many are begun and not done.
    fn in_flight(&self) -> usize;

    fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Waits for what is in flight.
    fn finish(&mut self) -> Result<()> {
        self.stop();
        let end = Instant::now() + PATIENCE;
        while self.in_flight() > 0 {
            if Instant::now() >= end {
                let missing = self.in_flight();
                return Err(format!("{missing} replies are missing after {PATIENCE:?}"));
            }
            self.turn(end)?;
        }
        Ok(())
    }
}

/// How long something may take that ought to take no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

fn measure(options: &Options, load: &mut impl Loading) -> Result<Cost> {
    load.run_for(Duration::from_millis(options.warm_up_ms))?;
    let meter = Meter::start(options, load.count())?;
    load.run_for(Duration::from_millis(options.measure_ms))?;
    let mut cost = meter.stop(load.count())?;
    if cost.count == 0 {
        return Err("nothing came back".to_owned());
    }
    if options.system_calls {
        cost.system_calls = Some(system_calls(options, load)?);
    }
    load.finish()?;
    Ok(cost)
}

/// Reads all clocks at the start and at the end.
struct Meter {
    begun: Instant,
    count: u64,
    server: Clock,
    own: Clock,
    publisher: Option<Clock>,
    redis: Option<Clock>,
}

/// The processor time of a process, from the start on.
struct Clock {
    pid: u32,
    start: process::Times,
}

impl Clock {
    fn start(pid: u32) -> Result<Self> {
        let start = process::times(pid)?;
        Ok(Self { pid, start })
    }

    fn passed(&self) -> Result<process::Times> {
        let now = process::times(self.pid)?;
        Ok(process::Times {
            all: now.all.saturating_sub(self.start.all),
            user_ticks: now.user_ticks.saturating_sub(self.start.user_ticks),
            system_ticks: now.system_ticks.saturating_sub(self.start.system_ticks),
        })
    }

    fn seconds(&self) -> Result<f64> {
        Ok(self.passed()?.all.as_secs_f64())
    }
}

impl Meter {
    fn start(options: &Options, count: u64) -> Result<Self> {
        let beside = options.beside;
        Ok(Self {
            count,
            publisher: beside.publisher_pid.map(Clock::start).transpose()?,
            redis: beside.redis_pid.map(Clock::start).transpose()?,
            own: Clock::start(std::process::id())?,
            server: Clock::start(options.pid)?,
            begun: Instant::now(),
        })
    }

    fn stop(&self, count: u64) -> Result<Cost> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let server = self.server.passed()?;
        let load_cpu_seconds = self.own.seconds()?;
        let (user, system) = (server.user_ticks as f64, server.system_ticks as f64);
        let of = |clock: &Option<Clock>| clock.as_ref().map(Clock::seconds).transpose();
        Ok(Cost {
            count: count - self.count,
            seconds,
            cpu_seconds: server.all.as_secs_f64(),
            user_share: user / (user + system).max(1.0),
            resident_bytes: process::resident(self.server.pid)?,
            load_cpu_seconds,
            publisher_cpu_seconds: of(&self.publisher)?,
            redis_cpu_seconds: of(&self.redis)?,
            ..Cost::default()
        })
    }
}

/// How many system calls the server makes for each that is counted. Counting makes them slower, so it is
/// done apart.
fn system_calls(options: &Options, load: &mut impl Loading) -> Result<f64> {
    let mut counting = process::SystemCalls::start(options.pid, options.measure_ms)?;
    let (before, begun) = (load.count(), Instant::now());
    let calls = loop {
        load.run_for(Duration::from_millis(20))?;
        if let Some(calls) = counting.in_a_second()? {
            break calls;
        }
    };
    let in_a_second = (load.count() - before) as f64 / begun.elapsed().as_secs_f64();
    Ok(calls / in_a_second)
}

/// What is waited for with.
struct Poller {
    poll: Poll,
    events: Events,
}

impl Poller {
    fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new().map_err(|error| error.to_string())?,
            events: Events::with_capacity(1024),
        })
    }

    fn register(&self, tcp: &mut TcpStream, token: usize) -> Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry
            .register(tcp, Token(token), interest)
            .map_err(|error| error.to_string())
    }

    fn wait(&mut self, until: Instant) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled.map_err(|error| error.to_string()),
        }
    }
}

impl Options {
    /// The options by which the node is spoken to that is published to: where there is one node, that one.
    fn of_publisher(&self) -> Self {
        let addr = self.beside.publish_at.unwrap_or(self.addr);
        Self {
            addr,
            ..self.clone()
        }
    }

    /// Whether the server speaks neither HTTP nor WebSocket.
    fn is_raw(&self) -> bool {
        self.dialect == Dialect::Raw
    }
}

impl Beside {
    /// What the topics of this node and of another are shared by.
    pub(crate) fn arguments(redis: (SocketAddr, u32), publisher: (&str, u32)) -> [String; 4] {
        [
            format!("--publish-at={}", publisher.0),
            format!("--publisher-pid={}", publisher.1),
            format!("--redis={}", redis.0),
            format!("--redis-pid={}", redis.1),
        ]
    }
}

/// What the options and the workload say together of the connections.
fn opening(options: &Options, workload: &Workload, path: &str) -> opening::Opening {
    opening::Opening::new(options.addr, path, &workload.setting)
}
