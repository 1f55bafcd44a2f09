//! The counts that are committed, `baseline.json`, for each compiler and target by themselves: what a count may
//! not grow beyond, and how it becomes the next one.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::Result;
use crate::callgrind::Counted;
use crate::job::Job;

/// Prints what was counted beside the baseline.
///
/// # Errors
///
/// What has grown, or has no baseline.
pub(crate) fn compare(counted: &Counted) -> Result<()> {
    let baseline = read()?;
    let Some(own) = baseline.get(COMPILER) else {
        print_table(counted, &Value::Null);
        let known: Vec<String> = baseline.into_keys().collect();
        return Err(format!(
            "there is no baseline for {COMPILER}; there are {known:?}. {BLESS}, of a tree that is known to be good"
        ));
    };
    print_table(counted, own);
    if own["valgrind"] != counted.valgrind.as_str() {
        println!(
            "\nthe baseline is of valgrind {}, this is {}: counts may differ by that",
            own["valgrind"], counted.valgrind
        );
    }
    let faults: Vec<String> = counted
        .jobs
        .iter()
        .filter_map(|(job, count)| fault(job.name, *count, own["jobs"][job.name].as_f64()))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("{}. {BLESS}", faults.join("; ")))
}

/// Makes what was counted this compiler's baseline; jobs that were not counted keep theirs.
pub(crate) fn bless(counted: &Counted) -> Result<()> {
    let mut baseline = read()?;
    let own = baseline.entry(COMPILER.to_owned()).or_insert(json!({}));
    print_table(counted, own);
    own["valgrind"] = json!(counted.valgrind);
    for (job, count) in &counted.jobs {
        own["jobs"][job.name] = json!(rounded(*count));
    }
    let text = serde_json::to_string_pretty(&baseline).map_err(|error| error.to_string())?;
    fs::write(FILE, text + "\n").map_err(|error| format!("{FILE}: {error}"))?;
    println!("\nblessed for {COMPILER}: bench/instructions/baseline.json");
    Ok(())
}

fn read() -> Result<BTreeMap<String, Value>> {
    let text = match fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
        Err(error) => return Err(format!("{FILE}: {error}")),
    };
    serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
}

/// What is wrong with a count, if anything.
fn fault(job: &str, count: f64, baseline: Option<f64>) -> Option<String> {
    match baseline {
        None => Some(format!("{job} has no baseline")),
        Some(baseline) if count > baseline * (1.0 + MAX_GROWTH) => Some(format!(
            "{job} has grown by {:.1} %, more than {} %",
            growth(count, baseline) * 100.0,
            MAX_GROWTH * 100.0
        )),
        Some(_) => None,
    }
}

fn print_table(counted: &Counted, own: &Value) {
    println!("\n{:16}instructions   baseline    change  of", "");
    for (job, count) in &counted.jobs {
        let baseline = own["jobs"][job.name].as_f64();
        let (baseline, change) = match baseline {
            Some(baseline) => (
                format!("{baseline:.1}"),
                format!("{:+.2} %", growth(*count, baseline) * 100.0),
            ),
            None => ("none".to_owned(), String::new()),
        };
        let Job { name, unit, .. } = job;
        println!("{name:16}{count:12.1} {baseline:>10} {change:>9}  {unit}");
    }
}

fn growth(count: f64, baseline: f64) -> f64 {
    count / baseline - 1.0
}

/// A tenth of an instruction is what is worth to be seen in a diff.
fn rounded(count: f64) -> f64 {
    (count * 10.0).round() / 10.0
}

/// The compiler's release and its target.
const COMPILER: &str = env!("COMPILER");
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");
const MAX_GROWTH: f64 = 0.02;
const BLESS: &str = "`cargo xtask bench --instructions --bless` writes one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_may_grow_by_two_per_cent_and_shrink_by_any() {
        assert_eq!(fault("w2", 102.0, Some(100.0)), None);
        assert_eq!(fault("w2", 10.0, Some(100.0)), None);
        let grown = fault("w2", 103.0, Some(100.0)).unwrap();
        assert_eq!(grown, "w2 has grown by 3.0 %, more than 2 %");
        assert!(fault("w2", 1.0, None).is_some());
    }
}
