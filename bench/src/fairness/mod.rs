//! How long an innocent connection waits while others attack the server: `sockeye serve`, that of another
//! revision, and a bare echo of bytes under the same attacks. The server has one processor; attacker and
//! bystander share the other one, where the bystander goes first.

mod attack;
mod attacker;
mod bystander;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::Result;
use crate::child::{Priority, Running, conversing, own, pinned};
use crate::machine::Machine;
use crate::revision::{self, Revision};
use crate::workload::FLOOR;

use self::attack::Attack;
use self::report::{Fault, OWN, Report, Sample};

pub(crate) use self::attacker::attack;
pub(crate) use self::bystander::bystand;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The attacks to run; all of them unless some are named
    attacks: Vec<String>,
    /// Measure the server of this revision too
    #[arg(long, value_name = "REV")]
    against: Option<String>,
    /// How often each server meets each attack
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How long the bystander pings in each run
    #[arg(long, value_name = "SECS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The processor of the server, and that of attacker and bystander
    #[arg(long, value_names = ["SERVER", "LOAD"], num_args = 2, default_values_t = [0, 1])]
    processors: Vec<u32>,
    /// Where to write all runs as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table of docs/performance.md
    #[arg(long)]
    write: bool,
    /// Fail when a target is missed
    #[arg(long)]
    check: bool,
}

/// What an attacker and a bystander are told.
#[derive(Debug, clap::Args)]
pub(crate) struct ProcessOptions {
    addr: SocketAddr,
    #[arg(long)]
    attack: String,
    /// The server echoes bytes, and speaks neither HTTP nor WebSocket
    #[arg(long)]
    raw: bool,
    /// How long the bystander pings
    #[arg(long, value_name = "MS", default_value_t = 0)]
    milliseconds: u64,
}

impl ProcessOptions {
    fn attack(&self) -> Result<&'static Attack> {
        attack::find(&self.attack)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let attacks = attack::chosen(&options.attacks)?;
    rlimit::increase_nofile_limit(u64::MAX).map_err(|error| error.to_string())?;
    let machine = Machine::here();
    let servers = servers(options.against.as_deref())?;
    let priority = Priority::highest();
    eprintln!("the bystander's priority: {priority}");
    eprintln!(
        "{} runs of {} attacks on {} servers: about {:.1} minutes",
        options.runs,
        attacks.len(),
        servers.len(),
        seconds(options, attacks.len(), servers.len()) / 60.0
    );
    let mut report = Report::new(machine, options.runs, options.seconds, priority);
    for run in 0..options.runs {
        for attack in &attacks {
            eprintln!("run {} of {}: {}", run + 1, options.runs, attack.name);
            // Each server is the first one in turn.
            let first = run as usize % servers.len();
            for server in servers[first..].iter().chain(&servers[..first]) {
                match server.measure(options, attack, priority) {
                    Ok((waited, tally)) => report.add(Sample {
                        attack: attack.name,
                        server: server.name.clone(),
                        run,
                        waited,
                        tally,
                    }),
                    Err(what) => report.fault(Fault {
                        attack: attack.name,
                        server: server.name.clone(),
                        what,
                    }),
                }
            }
        }
    }
    conclude(&report, options)
}

fn conclude(report: &Report, options: &Options) -> Result<()> {
    print!("{}", report.text());
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if options.write {
        report.write_page()?;
    }
    // What fails at the other revision is in the report; it may be what this one has mended.
    let own = report.faults().filter(|fault| fault.server == OWN).count();
    if own > 0 {
        return Err(format!("{own} faults of this revision, listed above"));
    }
    let missed = report.missed();
    if options.check && !missed.is_empty() {
        return Err(format!("the target is missed under {}", missed.join(", ")));
    }
    Ok(())
}

/// About how long a run takes, with the start of its processes.
fn seconds(options: &Options, attacks: usize, servers: usize) -> f64 {
    let each = f64::from(options.seconds) + WARM_UP.as_secs_f64() + 0.3;
    each * f64::from(options.runs) * attacks as f64 * servers as f64
}

/// A server that is attacked.
struct Server {
    name: String,
    /// A program `sockeye`, or else the bare echo.
    sockeye: Option<PathBuf>,
}

/// Builds what is measured: the server of this tree, that of the other revision, and the floor.
fn servers(against: Option<&str>) -> Result<Vec<Server>> {
    let mut servers = vec![Server {
        name: OWN.to_owned(),
        sockeye: Some(revision::build_own_sockeye()?),
    }];
    if let Some(name) = against {
        let revision = Revision::unpack(name)?;
        servers.push(Server {
            sockeye: Some(revision.build_sockeye()?),
            name: revision.commit,
        });
    }
    servers.push(Server {
        name: FLOOR.to_owned(),
        sockeye: None,
    });
    Ok(servers)
}

impl Server {
    fn command(&self, attack: &Attack) -> Result<Command> {
        let Some(program) = &self.sockeye else {
            let mut command = own(["serve", FLOOR])?;
            command.args(attack.raw_setting().arguments());
            return Ok(command);
        };
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Ok(command)
    }

    /// Measures one run. The bystander is connected before the attack begins.
    fn measure(
        &self,
        options: &Options,
        attack: &Attack,
        priority: Priority,
    ) -> Result<(bystander::Waited, attacker::Tally)> {
        let [server_cpu, load_cpu] = options.processors[..] else {
            return Err("`--processors` takes two".to_owned());
        };
        // What the server logs goes where a full disk or a slow terminal cannot hold it up.
        let mut serving = pinned(server_cpu, &self.command(attack)?, Stdio::null())?;
        let addr = address(&serving.first_line()?)?;
        let process = |part: &str| -> Result<Command> {
            let mut command = own([part, &addr, "--attack", attack.name])?;
            let milliseconds = options.seconds * 1000;
            command.arg(format!("--milliseconds={milliseconds}"));
            if self.sockeye.is_none() {
                command.arg("--raw");
            }
            Ok(command)
        };
        let mut bystander = conversing(priority, load_cpu, &process("bystander")?)?;
        wait_until_ready(&mut bystander)?;
        let mut attacker = conversing(Priority::Normal, load_cpu, &process("attack")?)?;
        wait_until_ready(&mut attacker)?;
        thread::sleep(WARM_UP);
        bystander.go_on()?;
        let waited = answer(&mut bystander)?;
        attacker.go_on()?;
        Ok((waited, answer(&mut attacker)?))
    }
}

/// The address in the line that a server prints: by itself, or as a URL.
fn address(line: &str) -> Result<String> {
    let address = line.trim_start_matches("http://").trim_end_matches('/');
    match address.parse::<SocketAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("the server does not start".to_owned()),
    }
}

fn wait_until_ready(running: &mut Running) -> Result<()> {
    match running.first_line()?.as_str() {
        "ready" => Ok(()),
        _ => Err(running.complaint()),
    }
}

/// What a process tells at its end.
fn answer<T: DeserializeOwned>(running: &mut Running) -> Result<T> {
    let line = running.first_line()?;
    if line.is_empty() {
        return Err(running.complaint());
    }
    serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))
}

/// How long an attack goes on before the bystander begins.
const WARM_UP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, clap::Error> {
        let words = ["fairness"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.options)
    }

    #[test]
    fn attacks_and_options_stand_in_any_order() {
        let options = parse("calm --against main room --check --runs 1").unwrap();
        assert_eq!(options.attacks, ["calm", "room"]);
        assert_eq!(options.against.as_deref(), Some("main"));
        assert!(options.check);
        assert!(parse("--runs 0").is_err());
        assert!(parse("--processors 0").is_err());
    }

    #[test]
    fn the_duration_that_is_told_counts_each_run_of_each_attack_on_each_server() {
        let options = parse("--runs 5 --seconds 6").unwrap();
        assert!((seconds(&options, 20, 3) - 5.0 * 20.0 * 3.0 * 7.3).abs() < 1e-6);
    }

    #[test]
    fn an_address_is_taken_out_of_the_line_of_either_server() {
        for line in ["http://127.0.0.1:80/", "127.0.0.1:80"] {
            assert_eq!(address(line).as_deref(), Ok("127.0.0.1:80"));
        }
        assert!(address("").is_err());
    }
}
