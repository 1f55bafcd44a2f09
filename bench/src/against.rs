//! This revision against another one: the servers of both under the same load, in pairs that stand side by
//! side in time. The load is always that of this revision.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::Result;
use crate::child;
use crate::codec;
use crate::machine::Machine;
use crate::report::{Spread, thousands};
use crate::revision::Revision;
use crate::run::{Conditions, measure_server};
use crate::server::{self, Dialect};
use crate::statistics::{Estimate, FEWEST, Verdict};
use crate::workload::{self, Load, Workload};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The revision to compare with, as git knows it
    #[arg(long, value_name = "REV")]
    against: String,
    /// What to run: the name of a workload, or `w3` for all of w3-...
    #[arg(default_values_t = ["w1", "w2", "w64", "w3", "w6"].map(str::to_owned))]
    workloads: Vec<String>,
    /// The server to compare, one of those that are made of Sockeye
    #[arg(long, value_name = "NAME", default_value = "sockeye-endpoint")]
    server: String,
    /// How many pairs of each workload
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(FEWEST as i64..=1000))]
    pairs: u32,
    /// How long a load is measured, after a third of it to warm up
    #[arg(long, value_name = "MS", default_value_t = 300)]
    measure: u64,
    /// The processors of the server and of the load
    #[arg(long, value_names = ["SERVER", "LOAD"], num_args = 2, default_values_t = [0, 1])]
    processors: Vec<u32>,
    /// Where to write all pairs as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when this revision costs more in a workload
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let workloads = chosen(&options.workloads)?;
    check_server(&options.server, &workloads)?;
    rlimit::increase_nofile_limit(u64::MAX).map_err(|error| error.to_string())?;
    let machine = Machine::here();
    let revision = Revision::unpack(&options.against)?;
    let commit = revision.commit.clone();
    let programs = Programs {
        own: std::env::current_exe().map_err(|error| error.to_string())?,
        other: revision.build_bench()?,
        commit: &commit,
    };
    if revision.differs_in(SERVER_FILES) {
        eprintln!(
            "the bench's own server differs from that of {commit}: the difference is measured too"
        );
    }
    let minutes = seconds(&workloads, options) / 60.0;
    eprintln!(
        "{} pairs of {} workloads: about {minutes:.1} minutes",
        options.pairs,
        workloads.len()
    );
    let mut comparisons: Vec<Comparison> = workloads.into_iter().map(Comparison::new).collect();
    for number in 0..options.pairs {
        eprintln!("pair {} of {}", number + 1, options.pairs);
        for comparison in &mut comparisons {
            let pair = programs.measure(options, comparison.workload, number)?;
            comparison.pairs.push(pair);
        }
    }
    for comparison in &mut comparisons {
        comparison.conclude();
    }
    let (revision, server) = (&machine.revision, &options.server);
    println!("\n{server} at {revision}, against {commit}:\n");
    print!("{}", table(&comparisons, &commit));
    if let Some(file) = &options.json {
        let report = serde_json::json!({
            "machine": machine,
            "against": commit,
            "server": server,
            "measured_ms": options.measure,
            "workloads": comparisons,
        });
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(file, json).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let dearer: Vec<&str> = comparisons
        .iter()
        .filter(|comparison| comparison.verdict == Some(Verdict::More))
        .map(|comparison| comparison.workload.name)
        .collect();
    if options.check && !dearer.is_empty() {
        return Err(format!(
            "costs more than at {commit}: {}",
            dearer.join(", ")
        ));
    }
    Ok(())
}

/// The workloads of these names. A name without a workload of its own stands for all that begin with it.
fn chosen(names: &[String]) -> Result<Vec<&'static Workload>> {
    let mut chosen = Vec::new();
    for name in names {
        let found: Vec<_> = match workload::find(name) {
            Some(workload) if workload.is_shared() => {
                return Err(format!("`{name}` takes more than one process of a server"));
            }
            Some(workload) => vec![workload],
            None => workload::all()
                .filter(|workload| !workload.is_shared())
                .filter(|workload| workload.name.split('-').next() == Some(name))
                .collect(),
        };
        if found.is_empty() {
            let known: Vec<_> = workload::all().map(|workload| workload.name).collect();
            return Err(format!(
                "`{name}` is not known: expected one of {}",
                known.join(", ")
            ));
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

/// Checks before anything is built that the server can do what is asked of it.
fn check_server(name: &str, workloads: &[&Workload]) -> Result<()> {
    let own = server::ALL.iter().filter(|server| server.is_sockeye());
    let Some(server) = own.clone().find(|server| server.name == name) else {
        let known: Vec<_> = own.map(|server| server.name).collect();
        return Err(format!(
            "`{name}` is not known: expected one of {}",
            known.join(", ")
        ));
    };
    let refused = workloads
        .iter()
        .find(|workload| !server.supports(&workload.setting));
    match refused {
        Some(workload) => Err(format!("{name} cannot do {}", workload.name)),
        None => Ok(()),
    }
}

/// About how long a run takes: each measurement, its warm-up, and the start of its processes.
fn seconds(workloads: &[&Workload], options: &Options) -> f64 {
    let measured = options.measure as f64 / 1000.0 * 4.0 / 3.0;
    let each = |workload: &&Workload| match workload.load {
        Load::FanOut { .. } => measured + 0.6,
        Load::Idle { .. } => 3.0,
        _ => measured + 0.2,
    };
    let both = 2.0 * f64::from(options.pairs);
    both * workloads.iter().map(each).sum::<f64>()
}

/// The two builds of `bench` of which each has the echo servers of its revision.
struct Programs<'a> {
    own: PathBuf,
    other: PathBuf,
    commit: &'a str,
}

/// What one message cost each of the two, in the unit of the workload, side by side in time.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pair {
    own: f64,
    other: f64,
}

impl Programs<'_> {
    /// Measures a pair. The order turns round from pair to pair (A B B A), so that a drift favours neither.
    fn measure(&self, options: &Options, workload: &Workload, number: u32) -> Result<Pair> {
        let own = || measure(&self.own, options, workload);
        let other = || {
            measure(&self.other, options, workload).map_err(|error| {
                let (commit, server) = (self.commit, &options.server);
                format!(
                    "the server of {commit} fails under {}: {error} \
                     (its own bench has to know `serve {server}` with this bench's options)",
                    workload.name
                )
            })
        };
        if number.is_multiple_of(2) {
            let own = own()?;
            let other = other()?;
            return Ok(Pair { own, other });
        }
        let other = other()?;
        let own = own()?;
        Ok(Pair { own, other })
    }
}

fn measure(program: &Path, options: &Options, workload: &Workload) -> Result<f64> {
    let mut command = Command::new(program);
    let conditions = Conditions {
        processors: &options.processors,
        measure: options.measure,
        syscalls: false,
    };
    let cost = match workload.load {
        Load::Codec { .. } => {
            command.args(codec::arguments(CODEC, workload, options.measure));
            child::cost(options.processors[0], &command)?
        }
        _ => {
            command
                .args(["serve", &options.server])
                .args(workload.setting.arguments());
            measure_server(&conditions, &command, workload, Dialect::WebSocket)?
        }
    };
    Ok(cost.figure(workload))
}

/// All pairs of a workload, and what they come to.
#[derive(Debug, Serialize)]
struct Comparison {
    #[serde(serialize_with = "serialize_name")]
    workload: &'static Workload,
    pairs: Vec<Pair>,
    ratio: Option<Estimate>,
    verdict: Option<Verdict>,
}

impl Comparison {
    fn new(workload: &'static Workload) -> Self {
        Self {
            workload,
            pairs: Vec::new(),
            ratio: None,
            verdict: None,
        }
    }

    fn conclude(&mut self) {
        let ratios = self.pairs.iter().map(|pair| pair.own / pair.other);
        self.ratio = Estimate::of(ratios.collect());
        self.verdict = self.ratio.map(Estimate::verdict);
    }
}

fn serialize_name<S: serde::Serializer>(
    workload: &&'static Workload,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(workload.name)
}

fn table(comparisons: &[Comparison], commit: &str) -> String {
    let mut text = format!(
        "{:24}{:>12}  {commit:>12}  ratio (95 % interval)  verdict\n",
        "CPU ns for each", "this"
    );
    for comparison in comparisons {
        let median = |figure: fn(&Pair) -> f64| {
            let all = Spread::of(comparison.pairs.iter().map(figure));
            all.map_or_else(String::new, |spread| thousands(spread.median))
        };
        let Some(ratio) = comparison.ratio else {
            continue;
        };
        let verdict = match ratio.verdict() {
            Verdict::Less => "costs less",
            Verdict::Tie => "tie",
            Verdict::More => "COSTS MORE",
        };
        let interval = format!("{:.3} ({:.3}-{:.3})", ratio.median, ratio.low, ratio.high);
        let _ = writeln!(
            text,
            "{:24}{:>12}  {:>12}  {interval:21}  {verdict}",
            comparison.workload.name,
            median(|pair| pair.own),
            median(|pair| pair.other),
        );
    }
    text + LEGEND
}

/// What links a server with Sockeye: where this differs, more than the library is compared.
const SERVER_FILES: &[&str] = &[
    "bench/src/server/sockeye.rs",
    "bench/src/server/task.rs",
    "bench/Cargo.toml",
    "bench/Cargo.lock",
];

const CODEC: &str = "sockeye-proto";

const LEGEND: &str = "
The ratio is the median of the paired ratios, this revision to the other; below 1 this one costs less.
Its interval is that of the sign test (order statistics). A tie is a median within 0.98 to 1.02, or an
interval that holds 1. w5 counts bytes of memory for each connection instead of time.
";

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
        let words = ["bench"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.options)
    }

    fn names(line: &str) -> Vec<&'static str> {
        let options = parse(line).unwrap();
        let workloads = chosen(&options.workloads).unwrap();
        workloads.iter().map(|workload| workload.name).collect()
    }

    #[test]
    fn the_revision_may_stand_before_or_behind_the_workloads() {
        for line in ["--against main w1 w2", "w1 --against=main w2"] {
            assert_eq!(parse(line).unwrap().against, "main");
            assert_eq!(names(line), ["w1", "w2"]);
        }
        assert!(parse("w1").is_err());
    }

    #[test]
    fn without_names_it_is_the_workloads_that_a_change_has_to_keep() {
        let expected = [
            "w1",
            "w2",
            "w64",
            "w3-16k",
            "w3-16k-ascii",
            "w3-16k-text",
            "w3-1m",
            "w3-1m-text",
            "w6",
        ];
        assert_eq!(names("--against main"), expected);
    }

    #[test]
    fn a_name_is_its_own_workload_before_it_is_a_family() {
        assert_eq!(names("--against main w2 w6-single"), ["w2", "w6-single"]);
        assert!(chosen(&["w99".to_owned()]).is_err());
        assert!(chosen(&["w3-".to_owned()]).is_err());
        assert!(chosen(&["w12".to_owned()]).is_err());
    }

    #[test]
    fn too_few_pairs_for_an_interval_are_refused() {
        assert!(parse("--against main --pairs 5").is_err());
        assert!(parse("--against main --pairs 6").is_ok());
    }

    #[test]
    fn only_servers_made_of_sockeye_have_another_revision() {
        let w4 = workload::find("w4").unwrap();
        assert_eq!(check_server("sockeye-endpoint", &[w4]), Ok(()));
        assert!(check_server("axum", &[]).is_err());
        let error = check_server("sockeye-connection", &[w4]).unwrap_err();
        assert_eq!(error, "sockeye-connection cannot do w4");
    }

    #[test]
    fn a_table_tells_the_median_of_the_paired_ratios_and_its_verdict() {
        let mut comparison = Comparison::new(workload::find("w2").unwrap());
        for speed in [1.0, 2.0, 1.0, 2.0, 1.0, 2.0] {
            comparison.pairs.push(Pair {
                own: 330.0 * speed,
                other: 300.0 * speed,
            });
        }
        comparison.conclude();
        assert_eq!(comparison.verdict, Some(Verdict::More));
        let table = table(&[comparison], "7af7df0bb35a");
        let row = table.lines().nth(1).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        let expected = [
            "w2",
            "495",
            "450",
            "1.100",
            "(1.100-1.100)",
            "COSTS",
            "MORE",
        ];
        assert_eq!(cells, expected);
    }
}
