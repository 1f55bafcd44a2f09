//! `cargo xtask fuzz`: builds the targets of `fuzz/` with libFuzzer and a nightly compiler, and runs each
//! for a while. What is new in the corpus, and what was found, stays in `fuzz/` where git does not see it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::cargo;
use crate::steps::Steps;

/// Runs all targets for `seconds` each, and prints what came of it.
pub(crate) fn fuzz(root: &Path, steps: &mut Steps, seconds: u32) -> Result<()> {
    let folder = root.join("fuzz");
    steps.run("fuzz build", || {
        install_nightly()?;
        cargo::install(root, "fuzz", CARGO_FUZZ_VERSION)?;
        let status = cargo_fuzz(&folder).arg("build").args(BUILD).status();
        expect_success("cargo fuzz build", status)
    })?;
    steps.run("fuzz", || {
        let runs = targets(&folder)?
            .iter()
            .map(|target| run(&folder, target, seconds))
            .collect::<Result<Vec<_>>>()?;
        print_table(&runs);
        report(&runs)
    })
}

/// What came of one target.
struct Run {
    target: String,
    executions: u64,
    peak_megabytes: u64,
    log: PathBuf,
    /// The input that something is wrong with, or none where libFuzzer itself failed.
    finding: Option<String>,
    passed: bool,
}

fn run(folder: &Path, target: &str, seconds: u32) -> Result<Run> {
    println!("{target}, {seconds} s");
    let corpus = format!("corpus/{target}");
    for kept in [&corpus, "artifacts"] {
        fs::create_dir_all(folder.join(kept)).map_err(|error| format!("{kept}: {error}"))?;
    }
    let log = folder.join(format!("artifacts/{target}.log"));
    let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let mut command = cargo_fuzz(folder);
    command
        .arg("run")
        .args(BUILD)
        .arg(target)
        .args([&corpus, &format!("seeds/{target}"), "--"])
        .args(["-print_final_stats=1", "-rss_limit_mb=512", "-timeout=2"])
        .arg(format!("-max_total_time={seconds}"))
        .stdout(Stdio::null())
        .stderr(file);
    if let Some((_, dictionary)) = DICTIONARIES
        .iter()
        .find(|(targets, _)| targets.contains(&target))
    {
        command.arg(format!("-dict=dictionaries/{dictionary}"));
    }
    let status = command
        .status()
        .map_err(|error| format!("cannot start cargo fuzz: {error}"))?;
    let text = fs::read(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    Ok(Run {
        target: target.to_owned(),
        executions: statistic(&text, "number_of_executed_units"),
        peak_megabytes: statistic(&text, "peak_rss_mb"),
        finding: finding(&text),
        passed: status.success(),
        log,
    })
}

/// The names of the files in `fuzz_targets`, in order.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let files = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut targets: Vec<String> = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .collect();
    targets.sort();
    Ok(targets)
}

fn print_table(runs: &[Run]) {
    println!("\nexecutions  peak MB  target");
    for run in runs {
        let failed = if run.passed { "" } else { "  FAILED" };
        println!(
            "{:10}  {:7}  {}{failed}",
            run.executions, run.peak_megabytes, run.target
        );
    }
    let all: u64 = runs.iter().map(|run| run.executions).sum();
    println!("{all:10}           in all");
}

/// An error that says how to see again what was found.
fn report(runs: &[Run]) -> Result<()> {
    let failed: Vec<&Run> = runs.iter().filter(|run| !run.passed).collect();
    for run in &failed {
        println!("\n{}: see {}", run.target, run.log.display());
        match &run.finding {
            Some(input) => println!(
                "to reproduce: cd fuzz && cargo +nightly fuzz run {} {} {input}",
                BUILD.join(" "),
                run.target
            ),
            None => println!("there is no input to reproduce it with"),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = failed.iter().map(|run| run.target.as_str()).collect();
    Err(format!("{} failed, see above", names.join(", ")))
}

/// One of libFuzzer's final statistics; zero where it did not get so far as to print them.
fn statistic(log: &str, name: &str) -> u64 {
    let prefix = format!("stat::{name}:");
    log.lines()
        .find_map(|line| line.strip_prefix(&prefix)?.trim().parse().ok())
        .unwrap_or_default()
}

/// Where libFuzzer wrote the input that it stopped at.
fn finding(log: &str) -> Option<String> {
    let path = log
        .split_once("Test unit written to ")?
        .1
        .split_whitespace()
        .next()?;
    let from_folder = path.rsplit_once("/fuzz/").map_or(path, |(_, rest)| rest);
    Some(from_folder.to_owned())
}

fn install_nightly() -> Result<()> {
    let known = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output();
    match known {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => {
            let status = Command::new("rustup")
                .args(["toolchain", "install", "nightly", "--profile", "minimal"])
                .status();
            expect_success("rustup toolchain install nightly", status)
        }
        Err(error) => Err(format!(
            "fuzzing needs a nightly compiler, and rustup to find it: {error}"
        )),
    }
}

fn cargo_fuzz(folder: &Path) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz"])
        .current_dir(folder)
        // Those of the cargo that runs us.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

fn expect_success(line: &str, status: std::io::Result<std::process::ExitStatus>) -> Result<()> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("cannot start `{line}`: {error}")),
    }
}

/// AddressSanitizer is off: it would check only the few unsafe blocks of the core. Without it a target runs four
/// times as often, and the memory that is measured is that of the code.
const BUILD: [&str; 2] = ["--sanitizer=none", "--features=libfuzzer"];
const CARGO_FUZZ_VERSION: &str = "0.13.2";
const DICTIONARIES: [(&[&str], &str); 3] = [
    (
        &["client_stream", "differential", "server_stream"],
        "frames.dict",
    ),
    (&["extension", "request", "response"], "http.dict"),
    (&["wire"], "topics.dict"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
==1== ERROR: libFuzzer: deadly signal
artifact_prefix='/a/fuzz/artifacts/utf8/'; Test unit written to /a/fuzz/artifacts/utf8/crash-01ab
Base64: AA==
stat::number_of_executed_units: 162950
stat::peak_rss_mb:              90
";

    #[test]
    fn statistics_and_the_finding_are_read_from_the_log() {
        assert_eq!(statistic(LOG, "number_of_executed_units"), 162_950);
        assert_eq!(statistic(LOG, "peak_rss_mb"), 90);
        assert_eq!(statistic(LOG, "new_units_added"), 0);
        assert_eq!(finding(LOG).unwrap(), "artifacts/utf8/crash-01ab");
        assert_eq!(finding("Done 5 runs"), None);
    }
}
