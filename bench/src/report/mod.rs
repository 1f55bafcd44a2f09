//! What a run came to: medians over its rounds, and ratios to the floor of the same round.

pub(crate) mod page;
mod part;
mod plot;
pub(crate) mod text;

pub(crate) use self::part::{Part, REDIS};

use serde::{Serialize, Serializer};

use crate::Result;
use crate::load::Cost;
use crate::machine::Machine;
use crate::statistics::median;
use crate::target::{Limit, Target};
use crate::workload::{self, Unit, Workload};

/// One server under one workload in one round.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) workload: &'static str,
    pub(crate) server: &'static str,
    pub(crate) round: u32,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// What could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) workload: &'static str,
    pub(crate) server: &'static str,
    pub(crate) what: String,
}

/// A server that took part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) note: &'static str,
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rounds: u32,
    measured_ms: u64,
    pub(crate) servers: Vec<Named>,
    /// Servers that could not be installed, and why.
    pub(crate) left_out: Vec<(&'static str, String)>,
    faults: Vec<Fault>,
    samples: Vec<Sample>,
}

/// What of it is worth to be kept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) rounds: u32,
    pub(crate) measured_ms: u64,
    pub(crate) servers: Vec<Named>,
    pub(crate) left_out: &'a [(&'static str, String)],
    pub(crate) faults: Vec<Fault>,
    pub(crate) tables: Vec<Table>,
}

/// A workload, and what each server made of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    #[serde(skip)]
    pub(crate) workload: &'static Workload,
    name: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// A median, and the least and the most of what it is the median of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) server: &'static str,
    /// In the workload's unit, for each that it counts.
    pub(crate) figure: Spread,
    /// To the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<Spread>,
    /// Nanoseconds of processor time, outside of the system and in it.
    #[serde(serialize_with = "serialize_rounded")]
    pub(crate) user: f64,
    #[serde(serialize_with = "serialize_rounded")]
    pub(crate) system: f64,
    #[serde(serialize_with = "serialize_rounded")]
    pub(crate) in_a_second: f64,
    #[serde(serialize_with = "serialize_rounded")]
    pub(crate) resident_bytes: f64,
    /// How much of its processor the load used; 0 to 1.
    #[serde(serialize_with = "serialize_rounded")]
    pub(crate) load_busy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_calls: Option<f64>,
    /// Nanoseconds of processor time of the node that was published to, and of Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publisher: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<f64>,
}

/// A target, and how near this run came.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) server: &'static str,
    pub(crate) limit: String,
    #[serde(skip)]
    pub(crate) number: f64,
    pub(crate) reached: Spread,
    pub(crate) met: bool,
}

impl Report {
    pub(crate) fn new(machine: Machine, rounds: u32, measured_ms: u64) -> Self {
        Self {
            machine,
            rounds,
            measured_ms,
            servers: Vec::new(),
            left_out: Vec::new(),
            faults: Vec::new(),
            samples: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// A fault counts once, however often it comes.
    pub(crate) fn fault(&mut self, fault: Fault) {
        eprintln!("{}, {}: {}", fault.server, fault.workload, fault.what);
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(crate) fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    pub(crate) fn summary(&self) -> Summary<'_> {
        let is_there = |workload: &&Workload| {
            let mut samples = self.samples.iter();
            samples.any(|sample| sample.workload == workload.name)
        };
        let workloads = workload::all().filter(is_there);
        Summary {
            machine: &self.machine,
            rounds: self.rounds,
            measured_ms: self.measured_ms,
            servers: self.servers.clone(),
            left_out: &self.left_out,
            faults: self.faults.clone(),
            tables: workloads.map(|workload| self.table(workload)).collect(),
        }
    }

    fn table(&self, workload: &'static Workload) -> Table {
        let samples = self.samples.iter();
        let samples: Vec<&Sample> = samples
            .filter(|sample| sample.workload == workload.name)
            .collect();
        let mut servers: Vec<&'static str> = Vec::new();
        for sample in &samples {
            if !servers.contains(&sample.server) {
                servers.push(sample.server);
            }
        }
        let rows = servers.iter().map(|server| row(workload, server, &samples));
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by(|a, b| a.figure.median.total_cmp(&b.figure.median));
        let verdicts = workload.targets.iter();
        Table {
            workload,
            name: workload.name,
            rows,
            verdicts: verdicts
                .filter_map(|target| verdict(workload, target, &self.samples))
                .collect(),
        }
    }
}

impl Sample {
    /// In the workload's unit, for each that it counts.
    fn figure(&self, workload: &Workload) -> f64 {
        self.cost.figure(workload)
    }

    /// Nanoseconds of processor time of both nodes, for each message that is counted. `None` without a second node.
    fn figure_of_both_nodes(&self) -> Option<f64> {
        let seconds = self.cost.cpu_seconds + self.cost.publisher_cpu_seconds?;
        Some(seconds * 1e9 / self.cost.count as f64)
    }
}

fn row(workload: &Workload, server: &'static str, samples: &[&Sample]) -> Row {
    let own: Vec<&Sample> = samples
        .iter()
        .copied()
        .filter(|sample| sample.server == server)
        .collect();
    let middle = |figure: &dyn Fn(&Sample) -> f64| {
        Spread::of(own.iter().map(|sample| figure(sample))).map_or(f64::NAN, |of| of.median)
    };
    let time = |sample: &Sample| sample.cost.cpu_seconds * 1e9 / sample.cost.count as f64;
    let figures = own.iter().map(|sample| sample.figure(workload));
    let ratios = own.iter().filter_map(|sample| {
        let floor = samples
            .iter()
            .find(|floor| floor.server == workload.floor() && floor.round == sample.round)?;
        Some(sample.figure(workload) / floor.figure(workload))
    });
    let calls = own.iter().filter_map(|sample| sample.cost.system_calls);
    let beside = |seconds: fn(&Cost) -> Option<f64>| {
        let times = own.iter().filter_map(|sample| {
            let each = seconds(&sample.cost)? * 1e9 / sample.cost.count as f64;
            Some(each)
        });
        Spread::of(times).map(|times| times.median)
    };
    Row {
        server,
        figure: Spread::of(figures).expect("a server in a table has a sample"),
        ratio: match workload.load.unit() {
            Unit::Time | Unit::Elapsed => Spread::of(ratios),
            // A floor that keeps next to nothing is no measure.
            Unit::Memory | Unit::Reads => None,
        },
        user: middle(&|sample| time(sample) * sample.cost.user_share),
        system: middle(&|sample| time(sample) * (1.0 - sample.cost.user_share)),
        in_a_second: middle(&|sample| sample.cost.count as f64 / sample.cost.seconds),
        resident_bytes: middle(&|sample| sample.cost.resident_bytes as f64),
        load_busy: middle(&|sample| sample.cost.load_cpu_seconds / sample.cost.seconds),
        system_calls: Spread::of(calls).map(|calls| calls.median),
        publisher: beside(|cost| cost.publisher_cpu_seconds),
        redis: beside(|cost| cost.redis_cpu_seconds),
    }
}

fn verdict(workload: &Workload, target: &Target, samples: &[Sample]) -> Option<Verdict> {
    let here = samples
        .iter()
        .filter(|sample| sample.workload == workload.name);
    let own = here.clone().filter(|sample| sample.server == target.server);
    let reached = own.filter_map(|sample| {
        let figure_of = |sample: &Sample| match target.limit {
            Limit::OfBothNodes(..) => sample.figure_of_both_nodes(),
            _ => Some(sample.figure(workload)),
        };
        let figure = figure_of(sample)?;
        if let Limit::OfWorkload(..) = target.limit {
            let is_own =
                |other: &&Sample| other.server == sample.server && other.round == sample.round;
            let others = samples.iter().filter(is_own).filter_map(|other| {
                let figure = other.figure(workload::find(other.workload)?);
                Some((other.workload, figure))
            });
            return target.limit.reached(figure, others);
        }
        let others = here.clone().filter(|other| other.round == sample.round);
        let others = others.filter_map(|other| Some((other.server, figure_of(other)?)));
        target.limit.reached(figure, others)
    });
    let reached = Spread::of(reached)?;
    Some(Verdict {
        server: target.server,
        limit: target.limit.to_string(),
        number: target.limit.number(),
        reached,
        met: reached.median <= target.limit.number(),
    })
}

/// Three numbers, without the digits that mean nothing.
impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.median, self.least, self.most]
            .map(rounded)
            .serialize(serializer)
    }
}

fn serialize_rounded<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(*number).serialize(serializer)
}

/// To a thousandth, and to a whole number where it is large.
fn rounded(number: f64) -> f64 {
    match number.abs() {
        0.0..100.0 => (number * 1000.0).round() / 1000.0,
        _ => number.round(),
    }
}

impl Spread {
    /// Of no figures there is none.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        Some(Self {
            median: median(&figures)?,
            least: *figures.first()?,
            most: *figures.last()?,
        })
    }
}

/// A whole number with its thousands set apart; one that is small with a decimal.
pub(crate) fn thousands(number: f64) -> String {
    if number.abs() < 20.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let whole = format!("{:.0}", number.abs());
    let mut text = String::from(if number <= -0.5 { "-" } else { "" });
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::workload::FLOOR;

    pub(crate) fn report() -> Report {
        let mut report = Report::new(Machine::default(), 2, 100);
        for round in 0..2 {
            for (server, cpu) in [
                (FLOOR, 1.0),
                ("sockeye-endpoint", 1.08),
                ("fastwebsockets", 9.0),
            ] {
                let cost = Cost {
                    count: 1_000_000,
                    seconds: 1.5,
                    // The machine drifts.
                    cpu_seconds: cpu * f64::from(round + 1),
                    user_share: 0.25,
                    ..Cost::default()
                };
                report.add(Sample {
                    workload: "w2",
                    server,
                    round,
                    cost,
                });
            }
        }
        report
    }

    #[test]
    fn medians_are_of_the_middle() {
        let median = |figures: &[f64]| Spread::of(figures.iter().copied()).map(|of| of.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let report = report();
        let summary = report.summary();
        let rows = &summary.tables[0].rows;
        assert_eq!(rows[1].server, "sockeye-endpoint");
        assert_eq!(rows[1].figure.median, 1620.0);
        assert_eq!(rows[1].user, 405.0);
        let ratio = rows[1].ratio.unwrap();
        assert!((ratio.least - 1.08).abs() < 1e-9 && (ratio.most - 1.08).abs() < 1e-9);
    }

    #[test]
    fn a_target_of_both_nodes_counts_the_publishing_one_too() {
        let mut report = Report::new(Machine::default(), 1, 100);
        for (server, delivering, publishing) in
            [("sockeye-endpoint", 4.0, 1.0), ("socket-io", 10.0, 10.0)]
        {
            let cost = Cost {
                count: 1_000_000,
                seconds: 1.5,
                cpu_seconds: delivering,
                publisher_cpu_seconds: Some(publishing),
                ..Cost::default()
            };
            report.add(Sample {
                workload: "w12",
                server,
                round: 0,
                cost,
            });
        }
        let summary = report.summary();
        let verdicts = &summary.tables[0].verdicts;
        let [verdict] = &verdicts[..] else {
            panic!("w6 was not measured: {verdicts:?}")
        };
        assert_eq!(verdict.limit, "in both nodes at most 0.35 of socket-io");
        assert_eq!(verdict.reached.median, 0.25);
        assert!(verdict.met);
    }

    #[test]
    fn a_target_is_met_or_not() {
        let report = report();
        let summary = report.summary();
        let verdict = &summary.tables[0].verdicts[0];
        assert!(verdict.met);
        assert_eq!(verdict.limit, "at most 1.10 of raw-epoll");
    }

    #[test]
    fn a_target_may_be_the_servers_own_figure_of_another_workload() {
        let mut report = report();
        for (workload, cpu_seconds) in [("w6", 1.0), ("w12", 1.2)] {
            let cost = Cost {
                count: 1_000_000,
                cpu_seconds,
                ..Cost::default()
            };
            report.add(Sample {
                workload,
                server: "sockeye-endpoint",
                round: 0,
                cost,
            });
        }
        let summary = report.summary();
        let table = summary.tables.iter().find(|table| table.name == "w12");
        let verdict = &table.unwrap().verdicts[0];
        assert_eq!(verdict.limit, "at most 1.25 of its own w6");
        assert!(verdict.met && (verdict.reached.median - 1.2).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_set_in_threes() {
        let all = [0.0, 7.25, 20.4, 999.0, 1000.0, 1_234_567.0, -1500.0].map(thousands);
        let set = ["0", "7.2", "20", "999", "1,000", "1,234,567", "-1,500"];
        assert_eq!(all, set);
    }
}
