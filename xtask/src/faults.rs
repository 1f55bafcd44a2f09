//! Defences that are built out on purpose, under the bench of faults: a case has to fail without each, or it proves nothing.

use std::path::Path;

use crate::steps::Steps;
use crate::{Result, cargo};

/// A defence, and the case that has to fail without it.
struct Defence {
    /// What `SOCKEYE_FAULT` calls it.
    fault: &'static str,
    case: &'static str,
}

const DEFENCES: [Defence; 6] = [
    Defence {
        fault: "no_id",
        case: "F7",
    },
    Defence {
        fault: "no_chain",
        case: "F7b",
    },
    Defence {
        fault: "no_counted_beat",
        case: "F23a",
    },
    Defence {
        fault: "feed_generation_ignored",
        case: "F8",
    },
    Defence {
        fault: "script_order",
        case: "F14a",
    },
    Defence {
        fault: "no_deadline",
        case: "F4",
    },
];

/// Builds the program once with all its faults, and switches off one defence after the other. A case that passes then is an
/// error, and so is a case that fails with all defences.
pub(crate) fn mutants(root: &Path, steps: &mut Steps) -> Result<()> {
    // A cfg changes every crate's build: see `test loom`.
    let target = cargo::target_folder(root).join("mutants");
    let name = format!("release/sockeye{}", std::env::consts::EXE_SUFFIX);
    let program = target.join(name);
    let (Some(target), Some(program)) = (target.to_str(), program.to_str()) else {
        return Err("the target folder's path is not UTF-8".to_owned());
    };
    steps.run("build sockeye without defences", || {
        let build = ["build", "--release", "-p", "sockeye-cli", "--target-dir"];
        let build = [&build[..], &[target]].concat();
        cargo::run_with_flags(root, &build, ("RUSTFLAGS", "--cfg sockeye_fault"))
    })?;
    for defence in &DEFENCES {
        steps.run(&format!("faults of {}", defence.fault), || {
            defence.judge(root, program)
        })?;
    }
    Ok(())
}

impl Defence {
    fn judge(&self, root: &Path, program: &str) -> Result<()> {
        let (fault, case) = (self.fault, self.case);
        let control = run(root, program, case, None)?;
        if !control.has_passed {
            let text = control.text;
            return Err(format!("{case} fails with all defences:\n{text}"));
        }
        for _ in 0..ATTEMPTS {
            let outcome = run(root, program, case, Some(fault))?;
            if let Some(finding) = finding(&outcome)? {
                println!("{fault}: {case} fails: {finding}");
                return Ok(());
            }
        }
        Err(format!(
            "{case} passes {ATTEMPTS} times without the defence: {fault}"
        ))
    }
}

/// Runs a case as it is in a quick run.
fn run(root: &Path, program: &str, case: &str, fault: Option<&str>) -> Result<cargo::Outcome> {
    let judge = ["run", "--release", "-p", "conformance", "--", "faults"];
    let options = [
        "--program",
        program,
        "--quick",
        "--engine",
        "redis",
        "--case",
        case,
    ];
    let variables: Vec<_> = fault
        .map(|fault| ("SOCKEYE_FAULT", fault))
        .into_iter()
        .collect();
    cargo::outcome(root, &[&judge[..], &options[..]].concat(), &variables)
}

/// Returns the first thing that a case found wrong. `None` if it passed. A case that fails without one has found nothing.
fn finding(outcome: &cargo::Outcome) -> Result<Option<String>> {
    if outcome.has_passed {
        return Ok(None);
    }
    let is_finding = |line: &&str| line.starts_with("rule ") || line.starts_with("the case: ");
    match outcome.text.lines().find(is_finding) {
        Some(line) => Ok(Some(line.to_owned())),
        None => Err(format!(
            "the case fails for another reason:\n{}",
            outcome.text
        )),
    }
}

/// The times of faults differ a little in each run, so a case may miss a defence once.
const ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(has_passed: bool, text: &str) -> cargo::Outcome {
        let text = text.to_owned();
        cargo::Outcome { has_passed, text }
    }

    #[test]
    fn only_what_a_rule_or_a_case_says_is_a_finding() {
        let found = finding(&outcome(
            false,
            "settled at [5] ms\nrule 7, outcome: client 3",
        ));
        assert_eq!(found, Ok(Some("rule 7, outcome: client 3".to_owned())));
        let found = finding(&outcome(false, "the case: no client was told `lost`"));
        assert!(found.is_ok_and(|found| found.is_some()));
        assert!(finding(&outcome(false, "the members were not listed in 15s")).is_err());
        assert_eq!(finding(&outcome(true, "F7: ok")), Ok(None));
    }
}
