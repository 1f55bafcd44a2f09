//! A run: rounds in which each server meets each workload once, all on the same two processors, so that
//! whatever drifts drifts for all.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;
use crate::child::{cost, own, pinned};
use crate::codec;
use crate::load::Cost;
use crate::machine::Machine;
use crate::nodes;
use crate::publish;
use crate::report::{self, Fault, Named, Part, REDIS, Report, Sample};
use crate::server::{self, Dialect, Server};
use crate::workload::{self, FLOOR, Load, RAW_SCRIPT, Workload};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to run; all of it unless some are named
    workloads: Vec<String>,
    /// The servers and codecs to measure, besides the floor; all unless some are named
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// How often each server meets each workload
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long a load is measured, after a third of it to warm up
    #[arg(long, value_name = "MS", default_value_t = 1500)]
    measure: u64,
    /// The processors of the server and of the load
    #[arg(long, value_names = ["SERVER", "LOAD"], num_args = 2, default_values_t = [0, 1])]
    processors: Vec<u32>,
    /// Count system calls too; wants `perf`, and the right to use it
    #[arg(long)]
    syscalls: bool,
    /// Where to write all samples as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write docs/performance.md, its figures and its plots, as a run of everything does by itself. Needs all workloads of
    /// one node, or all of shared topics (w12 and later)
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let all: Vec<&Workload> = workload::all().collect();
    let workloads = chosen(&all, &options.workloads, |workload| workload.name)?;
    let workloads: Vec<&Workload> = workloads.into_iter().copied().collect();
    let names = contenders(&options.peers)?;
    // A server of ten thousand connections has as many files; it inherits what is allowed here.
    rlimit::increase_nofile_limit(u64::MAX).map_err(|error| error.to_string())?;
    let parts = parts(options, &workloads, &names)?;
    let mut report = Report::new(Machine::here(), options.rounds, options.measure);
    let servers = installed(&names, &workloads, &mut report);
    name_codecs(&names, &workloads, &mut report);
    name_publishers(&names, &workloads, &mut report)?;
    for round in 0..options.rounds {
        for workload in &workloads {
            let (round_of, rounds) = (round + 1, options.rounds);
            eprintln!("round {round_of} of {rounds}: {}", workload.name);
            let mut contenders = contenders_of(workload, &servers, &names);
            // None is always the first. Those that are compared stay side by side: a step of one would put the
            // floor's neighbour at the other end of the round, when the machine has another speed.
            let first = round as usize * contenders.len() / options.rounds as usize;
            contenders.rotate_left(first);
            for contender in contenders {
                match contender.measure(options, workload) {
                    Ok(cost) => report.add(Sample {
                        workload: workload.name,
                        server: contender.name(),
                        round,
                        cost,
                    }),
                    Err(what) => report.fault(Fault {
                        workload: workload.name,
                        server: contender.name(),
                        what,
                    }),
                }
            }
        }
    }
    conclude(&report, options, &parts)
}

/// The parts of the page that this run writes. A part that is not measured as a whole stays as it is.
fn parts(options: &Options, workloads: &[&Workload], names: &[&str]) -> Result<Vec<Part>> {
    let everything = options.workloads.is_empty() && options.peers.is_empty();
    if !options.write && !everything {
        return Ok(Vec::new());
    }
    let is_measured = |workload: &'static Workload| {
        let is_chosen = workloads.iter().any(|chosen| chosen.name == workload.name);
        is_chosen && able(workload).all(|name| names.contains(&name))
    };
    let parts = Part::ALL.into_iter().filter(|part| {
        let mut all = workload::all().filter(|workload| part.has(workload));
        all.all(is_measured)
    });
    let parts: Vec<Part> = parts.collect();
    match parts.is_empty() {
        true => Err("`--write` wants all workloads of a part, and all that can run them".into()),
        false => Ok(parts),
    }
}

/// The names of all that can run a workload.
fn able(workload: &'static Workload) -> Box<dyn Iterator<Item = &'static str>> {
    match workload.load {
        Load::Codec { .. } => Box::new(codec::ALL.iter().map(|codec| codec.name)),
        Load::Publish { .. } => Box::new(publish::ALL.iter().map(|publisher| publisher.name)),
        _ => {
            let servers = server::ALL.iter();
            let servers = servers.filter(|server| takes_part(server, workload));
            Box::new(servers.map(|server| server.name))
        }
    }
}

fn conclude(report: &Report, options: &Options, parts: &[Part]) -> Result<()> {
    let summary = report.summary();
    print!("{}", report::text::text(&summary));
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if !parts.is_empty() {
        report::page::write(&summary, parts)?;
    }
    match summary.faults.len() {
        0 => Ok(()),
        count => Err(format!("{count} faults, listed above")),
    }
}

/// The names of servers, codecs and publishers that were asked for, and those of the floors.
fn contenders(wanted: &[String]) -> Result<Vec<&'static str>> {
    let mut all: Vec<_> = server::ALL.iter().map(|server| server.name).collect();
    for codec in codec::ALL {
        if !all.contains(&codec.name) {
            all.push(codec.name);
        }
    }
    all.extend(publish::ALL.iter().map(|publisher| publisher.name));
    let mut names: Vec<&str> = chosen(&all, wanted, |name| name)?
        .into_iter()
        .copied()
        .collect();
    for floor in [FLOOR, RAW_SCRIPT] {
        if !names.contains(&floor) {
            names.push(floor);
        }
    }
    Ok(names)
}

fn chosen<'a, T>(
    all: &'a [T],
    names: &[String],
    name: impl Fn(&T) -> &'static str,
) -> Result<Vec<&'a T>> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    names
        .iter()
        .map(|wanted| {
            let found = all.iter().find(|one| name(one) == wanted);
            found.ok_or_else(|| {
                let known: Vec<_> = all.iter().map(&name).collect();
                format!(
                    "unknown name `{wanted}`: expected one of {}",
                    known.join(", ")
                )
            })
        })
        .collect()
}

/// The servers that some workload wants and that can be had. Why one cannot is in the report.
fn installed(names: &[&str], workloads: &[&Workload], report: &mut Report) -> Vec<&'static Server> {
    let is_wanted = |server: &&Server| {
        let meets = |workload: &&Workload| takes_part(server, workload);
        names.contains(&server.name) && workloads.iter().any(meets)
    };
    let mut installed = Vec::new();
    for server in server::ALL.iter().filter(is_wanted) {
        match server.install() {
            Ok(()) => {
                report.servers.push(Named {
                    name: server.name,
                    version: server.version(),
                    note: server.note(),
                });
                installed.push(server);
            }
            Err(why) => {
                eprintln!("{} is left out: {why}", server.name);
                report.left_out.push((server.name, why));
            }
        }
    }
    installed
}

/// Those that are not servers as well.
fn name_codecs(names: &[&str], workloads: &[&Workload], report: &mut Report) {
    if !workloads.iter().any(|workload| is_codec(workload)) {
        return;
    }
    for codec in codec::ALL {
        let is_new = report.servers.iter().all(|named| named.name != codec.name);
        if is_new && names.contains(&codec.name) {
            report.servers.push(Named {
                name: codec.name,
                version: codec.version(),
                note: "in memory only",
            });
        }
    }
}

/// The Redis server that nodes share, and those that publish to it by themselves.
fn name_publishers(names: &[&str], workloads: &[&Workload], report: &mut Report) -> Result<()> {
    if !workloads.iter().any(|workload| workload.is_shared()) {
        return Ok(());
    }
    report.servers.push(Named {
        name: REDIS,
        version: server::install_redis()?,
        note: "what nodes share: without a disk",
    });
    if workloads.iter().any(|workload| is_publish(workload)) {
        let wanted = publish::ALL.iter();
        let wanted = wanted.filter(|publisher| names.contains(&publisher.name));
        report.servers.extend(wanted.map(|publisher| Named {
            name: publisher.name,
            version: publisher.version(),
            note: publisher.note,
        }));
    }
    Ok(())
}

fn is_codec(workload: &Workload) -> bool {
    matches!(workload.load, Load::Codec { .. })
}

fn is_publish(workload: &Workload) -> bool {
    matches!(workload.load, Load::Publish { .. })
}

fn takes_part(server: &Server, workload: &Workload) -> bool {
    !is_codec(workload) && !is_publish(workload) && server.supports(&workload.setting)
}

/// A program that runs a workload.
#[derive(Clone, Copy)]
enum Contender {
    Server(&'static Server),
    Codec(&'static codec::Contender),
    Publisher(&'static publish::Contender),
}

fn contenders_of(
    workload: &Workload,
    servers: &[&'static Server],
    names: &[&str],
) -> Vec<Contender> {
    if is_codec(workload) {
        let wanted = codec::ALL
            .iter()
            .filter(|codec| names.contains(&codec.name));
        return wanted.map(Contender::Codec).collect();
    }
    if is_publish(workload) {
        let wanted = publish::ALL
            .iter()
            .filter(|publisher| names.contains(&publisher.name));
        return wanted.map(Contender::Publisher).collect();
    }
    let meets = servers.iter().filter(|server| takes_part(server, workload));
    meets.map(|server| Contender::Server(server)).collect()
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Self::Server(server) => server.name,
            Self::Codec(codec) => codec.name,
            Self::Publisher(publisher) => publisher.name,
        }
    }

    fn measure(self, options: &Options, workload: &Workload) -> Result<Cost> {
        let conditions = Conditions {
            processors: &options.processors,
            measure: options.measure,
            syscalls: options.syscalls,
        };
        match self {
            Self::Server(server) if workload.is_shared() => {
                nodes::measure(&conditions, server, workload)
            }
            Self::Server(server) => {
                let command = server.command(&workload.setting)?;
                measure_server(&conditions, &command, workload, server.dialect())
            }
            Self::Codec(codec) => {
                let arguments = codec::arguments(codec.name, workload, options.measure);
                cost(options.processors[0], &own(arguments)?)
            }
            Self::Publisher(publisher) => publish::measure(&conditions, publisher, workload),
        }
    }
}

/// Where a server is measured, and for how long.
pub(crate) struct Conditions<'a> {
    /// Of the server and of the load.
    pub(crate) processors: &'a [u32],
    /// In milliseconds.
    pub(crate) measure: u64,
    /// Whether system calls are counted too.
    pub(crate) syscalls: bool,
}

/// Starts a server by its command, and measures what the workload costs it.
pub(crate) fn measure_server(
    options: &Conditions<'_>,
    command: &Command,
    workload: &Workload,
    dialect: Dialect,
) -> Result<Cost> {
    let mut serving = pinned(options.processors[0], command, Stdio::inherit())?;
    let addr = serving.first_line()?;
    if addr.is_empty() {
        return Err("it does not start".to_owned());
    }
    let program = load_of(options, &addr, serving.id(), workload, dialect)?;
    cost(options.processors[1], &program)
}

/// The command of the load for a server that runs.
pub(crate) fn load_of(
    options: &Conditions<'_>,
    addr: &str,
    pid: u32,
    workload: &Workload,
    dialect: Dialect,
) -> Result<Command> {
    let pid = pid.to_string();
    let warm_up = (options.measure / 3).to_string();
    let measure = options.measure.to_string();
    let mut program = own([
        "load",
        addr,
        "--pid",
        &pid,
        "--workload",
        workload.name,
        "--warm-up-ms",
        &warm_up,
        "--measure-ms",
        &measure,
    ])?;
    program.args(dialect.arguments());
    if options.syscalls {
        program.arg("--system-calls");
    }
    Ok(program)
}
