//! What the runs came to: medians over the runs of a server under an attack, and whether the target is met.

use std::fmt::Write;
use std::fs;

use serde::Serialize;

use crate::Result;
use crate::child::Priority;
use crate::machine::{self, Machine};
use crate::report::Spread;
use crate::report::page::{Marks, between_marks, write_file};
use crate::workload::FLOOR;

use super::attack::{self, Attack};
use super::attacker::Tally;
use super::bystander::Waited;

/// The server of this tree.
pub(super) const OWN: &str = "this";

/// One run of a server under an attack.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) attack: &'static str,
    pub(super) server: String,
    pub(super) run: u32,
    /// In milliseconds.
    pub(super) waited: Waited,
    pub(super) tally: Tally,
}

/// A run that could not be measured, or in which the bystander was not served.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) attack: &'static str,
    pub(super) server: String,
    pub(super) what: String,
}

/// All runs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    runs: u32,
    seconds: u32,
    priority: Priority,
    faults: Vec<Fault>,
    samples: Vec<Sample>,
}

/// What a server came to under an attack.
struct Row<'a> {
    server: &'a str,
    /// In milliseconds: the medians of the runs, and the longest of all.
    p50: f64,
    p99: Spread,
    max: f64,
    missing: usize,
    /// What the attack did, as medians of the runs.
    sent_mb: f64,
    ended: f64,
}

impl Report {
    pub(super) fn new(machine: Machine, runs: u32, seconds: u32, priority: Priority) -> Self {
        Self {
            machine,
            runs,
            seconds,
            priority,
            faults: Vec::new(),
            samples: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        eprintln!("{}, {}: {}", fault.server, fault.attack, fault.what);
        self.faults.push(fault);
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    pub(super) fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    /// The attacks under which this revision misses its target.
    pub(super) fn missed(&self) -> Vec<&'static str> {
        let attacks = self.attacks();
        let missed = attacks.filter(|attack| {
            let outcome = self.outcome(attack.name);
            outcome.is_none_or(|outcome| outcome == Outcome::Missed)
        });
        missed.map(|attack| attack.name).collect()
    }

    /// The table as a terminal shows it.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "\n{:18}{:14}{:>9}{:>9}  {:18}{:>9}{:>9}{:>10}{:>9}\n",
            "attack",
            "server",
            "p50 ms",
            "p99 ms",
            "(least-most)",
            "max ms",
            "missing",
            "MB/s sent",
            "ended/s"
        );
        for attack in self.attacks() {
            for (at, row) in self.rows(attack.name).iter().enumerate() {
                let name = if at == 0 { attack.name } else { "" };
                let spread = format!("({:.1}-{:.1})", row.p99.least, row.p99.most);
                let _ = writeln!(
                    text,
                    "{name:18}{:14}{:>9.1}{:>9.1}  {spread:18}{:>9.1}{:>9}{:>10.1}{:>9.1}",
                    row.server,
                    row.p50,
                    row.p99.median,
                    row.max,
                    row.missing,
                    row.sent_mb,
                    row.ended
                );
            }
            let Some(limit) = self.limit(attack.name) else {
                continue;
            };
            let met = match self.outcome(attack.name) {
                Some(Outcome::Met) => "met",
                Some(Outcome::MetBesideFloor) => "met, beside the bare echo alone",
                Some(Outcome::Missed) | None => "NOT met",
            };
            let _ = writeln!(text, "{:18}target {limit:.1} ms: {met}", "");
        }
        for fault in &self.faults {
            let _ = writeln!(
                text,
                "\nFAULT: {} under {}: {}",
                fault.server, fault.attack, fault.what
            );
        }
        text
    }

    /// Writes the table of docs/performance.md, and all runs beside the other figures.
    pub(super) fn write_page(&self) -> Result<()> {
        let docs = machine::root().join("docs");
        let page = docs.join("performance.md");
        let old =
            fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
        write_file(&page, &between_marks(&old, MARKS, &self.part())?)?;
        write_file(
            &docs.join("performance/fairness.json"),
            &(self.json()? + "\n"),
        )?;
        println!("docs/performance.md has the table: look at its difference");
        Ok(())
    }

    fn part(&self) -> String {
        let machine = &self.machine;
        let mut part = format!(
            "\nTaken on {}, at {}, on a machine with {} processors ({}; {}): {} runs of {} s; the bystander had {}. \
             p50 · p99 · max in ms; p50 and p99 are medians of the runs.\n\n",
            machine.date,
            machine.revision,
            machine.processors,
            machine.processor,
            machine.kernel,
            self.runs,
            self.seconds,
            self.priority,
        );
        let servers = self.servers();
        let columns = servers.iter().map(|server| match *server {
            OWN => "sockeye".to_owned(),
            FLOOR => FLOOR.to_owned(),
            other => format!("sockeye at {other}"),
        });
        let columns: Vec<String> = columns.collect();
        let _ = writeln!(part, "| attack | {} | target met |", columns.join(" | "));
        let _ = writeln!(part, "|---|{}---|", "---|".repeat(columns.len()));
        for attack in self.attacks() {
            let _ = write!(part, "| {}: {} |", attack.name, attack.about);
            let rows = self.rows(attack.name);
            for server in &servers {
                let row = rows.iter().find(|row| row.server == *server);
                let cell = row.map_or_else(
                    || "failed".to_owned(),
                    |row| format!("{:.1} · {:.1} · {:.1}", row.p50, row.p99.median, row.max),
                );
                let _ = write!(part, " {cell} |");
            }
            let met = match self.outcome(attack.name) {
                Some(Outcome::Met) => "yes",
                Some(Outcome::MetBesideFloor) => "yes, beside raw-epoll",
                Some(Outcome::Missed) => "**no**",
                None => "–",
            };
            let _ = writeln!(part, " {met} |");
        }
        part
    }

    /// The attacks that have a run or a fault, in the order of the list.
    fn attacks(&self) -> impl Iterator<Item = &'static Attack> {
        attack::ALL.iter().filter(|attack| {
            let mut samples = self.samples.iter().map(|sample| sample.attack);
            let mut faults = self.faults.iter().map(|fault| fault.attack);
            samples.any(|name| name == attack.name) || faults.any(|name| name == attack.name)
        })
    }

    /// The servers that have a run: this one, then the other revision, then the floor.
    fn servers(&self) -> Vec<&str> {
        let mut servers: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !servers.contains(&sample.server.as_str()) {
                servers.push(&sample.server);
            }
        }
        servers.sort_by_key(|server| match *server {
            OWN => 0,
            FLOOR => 2,
            _ => 1,
        });
        servers
    }

    fn rows(&self, attack: &str) -> Vec<Row<'_>> {
        let servers = self.servers().into_iter();
        servers
            .filter_map(|server| self.row(attack, server))
            .collect()
    }

    fn row<'a>(&'a self, attack: &str, server: &'a str) -> Option<Row<'a>> {
        let own = || {
            let samples = self.samples.iter();
            samples.filter(|sample| sample.attack == attack && sample.server == server)
        };
        let median = |figure: fn(&Sample) -> f64| Spread::of(own().map(figure)).map(|of| of.median);
        Some(Row {
            server,
            p50: median(|sample| sample.waited.p50)?,
            p99: Spread::of(own().map(|sample| sample.waited.p99))?,
            max: Spread::of(own().map(|sample| sample.waited.max))?.most,
            missing: own().map(|sample| sample.waited.missing).sum(),
            sent_mb: median(|sample| sample.tally.sent_bytes as f64 / 1e6 / sample.tally.seconds)?,
            ended: median(|sample| sample.tally.ended as f64 / sample.tally.seconds)?,
        })
    }

    /// The longest p99 that meets the target: 20 ms more than the bare echo's.
    fn limit(&self, attack: &str) -> Option<f64> {
        let floor = self.row(attack, FLOOR)?;
        Some(floor.p99.median + TARGET)
    }

    /// What this revision came to. A run that failed misses the target. `None` without runs to compare.
    fn outcome(&self, attack: &str) -> Option<Outcome> {
        let limit = self.limit(attack)?;
        let mut faults = self.faults.iter();
        if faults.any(|fault| fault.attack == attack && fault.server == OWN) {
            return Some(Outcome::Missed);
        }
        let p99 = self.row(attack, OWN)?.p99.median;
        Some(if p99 <= TARGET {
            Outcome::Met
        } else if p99 <= limit {
            Outcome::MetBesideFloor
        } else {
            Outcome::Missed
        })
    }
}

/// Whether the target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The p99 is at most 20 ms.
    Met,
    /// It is longer, and at most 20 ms above the bare echo's.
    MetBesideFloor,
    Missed,
}

/// In milliseconds.
const TARGET: f64 = 20.0;

const MARKS: Marks = ("<!-- fairness:begin -->", "<!-- fairness:end -->");

#[cfg(test)]
mod tests {
    use super::*;

    fn report(own: [f64; 3], floor: [f64; 3]) -> Report {
        let mut report = Report::new(Machine::default(), 3, 6, Priority::Fifo);
        for (server, times) in [(FLOOR, floor), (OWN, own)] {
            for (run, p99) in (0..).zip(times) {
                let waited = Waited {
                    p50: p99 / 2.0,
                    p99,
                    max: p99 * 2.0,
                    sent: 120,
                    missing: 0,
                };
                let tally = Tally {
                    seconds: 2.0,
                    sent_bytes: 8_000_000,
                    ended: 3,
                    ..Tally::default()
                };
                report.add(Sample {
                    attack: "echo-json",
                    server: server.to_owned(),
                    run,
                    waited,
                    tally,
                });
            }
        }
        report
    }

    #[test]
    fn the_target_is_twenty_milliseconds_or_as_many_above_the_floor_for_the_median_of_the_p99s() {
        let outcome = |own| {
            let report = report(own, [10.0; 3]);
            let outcome = report.outcome("echo-json").unwrap();
            assert_eq!(report.missed().is_empty(), outcome != Outcome::Missed);
            outcome
        };
        assert_eq!(outcome([900.0, 20.0, 1.0]), Outcome::Met);
        assert_eq!(outcome([900.0, 30.0, 1.0]), Outcome::MetBesideFloor);
        assert_eq!(outcome([31.0, 31.0, 1.0]), Outcome::Missed);
    }

    #[test]
    fn a_run_that_failed_misses_the_target() {
        let mut report = report([1.0; 3], [1.0; 3]);
        report.fault(Fault {
            attack: "echo-json",
            server: OWN.to_owned(),
            what: "the server ended the bystander's connection".to_owned(),
        });
        assert_eq!(report.missed(), ["echo-json"]);
    }

    #[test]
    fn the_table_has_medians_of_the_runs_and_the_longest_of_all() {
        let text = report([4.0, 2.0, 8.0], [1.0; 3]).text();
        let row = text.lines().find(|line| line.contains("this")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        let expected = [
            "echo-json",
            "this",
            "2.0",
            "4.0",
            "(2.0-8.0)",
            "16.0",
            "0",
            "4.0",
            "1.5",
        ];
        assert_eq!(cells, expected);
        assert!(text.contains("target 21.0 ms: met"));
    }

    #[test]
    fn the_page_has_a_column_for_each_server_and_a_row_for_each_attack() {
        let part = report([4.0, 2.0, 8.0], [1.0; 3]).part();
        assert!(
            part.contains("\n| attack | sockeye | raw-epoll | target met |\n|---|---|---|---|\n")
        );
        assert!(
            part.contains(
                "5 KB that inflate to 1 MiB | 2.0 · 4.0 · 16.0 | 0.5 · 1.0 · 2.0 | yes |\n"
            )
        );
    }
}
