//! What a run came to: medians over its rounds, and ratios to the floor of the same round.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::Result;
use crate::load::Cost;
use crate::run::FLOOR;

#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) workload: &'static str,
    pub(crate) server: &'static str,
    pub(crate) round: u32,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    samples: Vec<Sample>,
}

impl Sample {
    /// The server's processor time for a message, in nanoseconds.
    fn for_a_message(&self) -> f64 {
        self.cost.cpu_seconds * 1e9 / (self.cost.messages as f64).max(1.0)
    }
}

impl Report {
    pub(crate) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    pub(crate) fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    /// In the order in which workloads and servers were measured first.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let workloads = distinct(self.samples.iter().map(|sample| sample.workload));
        let servers = distinct(self.samples.iter().map(|sample| sample.server));
        for workload in workloads {
            let of = |server: &str| -> Vec<&Sample> {
                let is_it =
                    |sample: &&Sample| sample.workload == workload && sample.server == server;
                self.samples.iter().filter(is_it).collect()
            };
            let floor: BTreeMap<u32, f64> = of(FLOOR)
                .iter()
                .map(|sample| (sample.round, sample.for_a_message()))
                .collect();
            let _ = writeln!(
                text,
                "\n{workload:26}  CPU ns/message   ratio  (least-most)   user  messages/s  resident KiB"
            );
            for server in &servers {
                let samples = of(server);
                let ratios = samples
                    .iter()
                    .filter_map(|sample| Some(sample.for_a_message() / floor.get(&sample.round)?));
                let ratios: Vec<f64> = ratios.collect();
                let cost = median(samples.iter().map(|sample| sample.for_a_message()));
                let user = median(samples.iter().map(|sample| sample.cost.user_share));
                let rate = median(
                    samples
                        .iter()
                        .map(|sample| sample.cost.messages as f64 / sample.cost.seconds),
                );
                let resident = median(
                    samples
                        .iter()
                        .map(|sample| sample.cost.resident_bytes as f64),
                );
                let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
                let most = ratios.iter().copied().fold(0.0, f64::max);
                let _ = writeln!(
                    text,
                    "  {server:24}  {cost:14.0}  {:6.2}  ({least:5.2}-{most:5.2})  {:4.0}%  {rate:10.0}  {:12.0}",
                    median(ratios.iter().copied()),
                    user * 100.0,
                    resident / 1024.0
                );
            }
        }
        text
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}
