//! A run: rounds in which each server meets each workload once, all on the same two processors, so that
//! whatever drifts drifts for all.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::load::Cost;
use crate::report::{Report, Sample};
use crate::server::{self, Server, Setting};
use crate::workload::{self, Workload};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to run; all of it unless some are named
    workloads: Vec<String>,
    /// The servers to measure, besides the floor; all unless some are named
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
    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What every ratio is to.
pub(crate) const FLOOR: &str = "raw-epoll";

pub(crate) fn run(options: &Options) -> Result<()> {
    let workloads = chosen(workload::ALL, &options.workloads, |workload| workload.name)?;
    let mut servers = chosen(server::ALL, &options.peers, |server| server.name)?;
    if !servers.iter().any(|server| server.name == FLOOR) {
        servers.extend(server::ALL.iter().find(|server| server.name == FLOOR));
    }
    let mut report = Report::default();
    for round in 0..options.rounds {
        for workload in &workloads {
            eprintln!(
                "round {} of {}: {}",
                round + 1,
                options.rounds,
                workload.name
            );
            for server in &servers {
                let cost = measure(options, server, workload)
                    .map_err(|error| format!("{}, {}: {error}", server.name, workload.name))?;
                report.add(Sample {
                    workload: workload.name,
                    server: server.name,
                    round,
                    cost,
                });
            }
        }
    }
    print!("{}", report.table());
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
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
                format!("`{wanted}` is none of {}", known.join(", "))
            })
        })
        .collect()
}

/// A server that ends when it is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure(options: &Options, server: &Server, workload: &Workload) -> Result<Cost> {
    let setting = Setting::default();
    let mut serving = pinned(options.processors[0], &server.command(&setting)?)?;
    let stdout = serving.0.stdout.take().ok_or("stdout is piped")?;
    let mut addr = String::new();
    BufReader::new(stdout)
        .read_line(&mut addr)
        .map_err(|error| format!("the server says nothing: {error}"))?;
    let pid = serving.0.id().to_string();
    let warm_up = (options.measure / 3).to_string();
    let payload = clap::ValueEnum::to_possible_value(&workload.payload);
    let payload = payload.ok_or("every payload has a name")?;
    let connections = workload.connections.to_string();
    let in_flight = workload.in_flight.to_string();
    let size = workload.size.to_string();
    let measure = options.measure.to_string();
    let mut arguments = vec![
        "load",
        addr.trim(),
        "--pid",
        &pid,
        "--connections",
        &connections,
        "--in-flight",
        &in_flight,
        "--payload",
        payload.get_name(),
        "--size",
        &size,
        "--warm-up-ms",
        &warm_up,
        "--measure-ms",
        &measure,
    ];
    if server.is_raw() {
        arguments.push("--raw");
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut load = Command::new(own);
    load.args(arguments);
    let mut loading = pinned(options.processors[1], &load)?;
    let stdout = loading.0.stdout.take().ok_or("stdout is piped")?;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .map_err(|error| format!("the load says nothing: {error}"))?;
    if line.is_empty() {
        return Err("the load failed".to_owned());
    }
    serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))
}

/// A program on one processor.
fn pinned(processor: u32, program: &Command) -> Result<Serving> {
    let child = Command::new("taskset")
        .args(["--cpu-list", &processor.to_string()])
        .arg(program.get_program())
        .args(program.get_args())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `taskset` (util-linux): {error}"))?;
    Ok(Serving(child))
}
