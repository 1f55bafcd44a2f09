//! Faults that are built in on purpose: a test has to find each, or it proves nothing.

use std::path::Path;

use crate::steps::Steps;
use crate::{Result, cargo};

/// A test that has to fail when its crate has one of these faults.
struct Hunt {
    package: &'static str,
    /// The arguments that choose the test.
    test: &'static [&'static str],
    faults: &'static [&'static str],
    /// What the test prints when it has found a wrong result.
    finding: &'static str,
}

const HUNTS: [Hunt; 2] = [
    Hunt {
        package: "sockeye-pubsub",
        test: &["--test", "sim", "sim_"],
        faults: &[
            "no_chain",
            "no_id",
            "live_before_replay",
            "no_merge",
            "no_generation",
        ],
        finding: " fails:\nrule ",
    },
    Hunt {
        package: "sockeye-mailbox",
        test: &["--lib", "each_member_gets_each_message_once_in_order"],
        faults: &["forgotten_bit", "early_clear"],
        finding: "minimal failing input",
    },
];

/// Builds the crates once with all their faults, and switches on one fault after the other. A test that finds no fault when
/// there is one is an error, and so is a test that fails without a fault.
pub(crate) fn mutants(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("mutants", || {
        HUNTS.iter().try_for_each(|hunt| hunt.run(root))
    })
}

impl Hunt {
    fn run(&self, root: &Path) -> Result<()> {
        let control = self.test(root, None)?;
        if !control.has_passed {
            return Err(format!(
                "the test of {} fails without a fault:\n{}",
                self.package, control.text
            ));
        }
        for fault in self.faults {
            let outcome = self.test(root, Some(fault))?;
            outcome.judge(fault, self.finding)?;
            println!("{}: {fault} was found", self.package);
        }
        Ok(())
    }

    fn test(&self, root: &Path, fault: Option<&str>) -> Result<cargo::Outcome> {
        // A cfg changes every crate's build: see `test loom`.
        let target = cargo::target_folder(root).join("mutants");
        let target = target
            .to_str()
            .ok_or("the target folder's path is not UTF-8")?;
        let test = ["test", "-p", self.package, "--target-dir", target];
        let mut variables = vec![
            ("RUSTFLAGS", "--cfg sockeye_fault"),
            // The seeds are the same in each run.
            ("SOCKEYE_SIM_FIRST", "0"),
            ("SOCKEYE_SIM_COUNT", "1000"),
            // A failure that is wanted leaves no file in the tree.
            ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true"),
        ];
        variables.extend(fault.map(|fault| ("SOCKEYE_FAULT", fault)));
        cargo::outcome(root, &[&test[..], self.test].concat(), &variables)
    }
}

impl cargo::Outcome {
    /// A fault is found if the test fails, and says that a result is wrong: a build that fails has found nothing.
    fn judge(&self, fault: &str, finding: &str) -> Result<()> {
        if self.has_passed {
            return Err(format!("no test finds the fault {fault}"));
        }
        if !self.text.contains(finding) {
            let text = &self.text;
            return Err(format!("{fault} fails for another reason:\n{text}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(has_passed: bool, text: &str) -> Result<()> {
        let text = text.to_owned();
        cargo::Outcome { has_passed, text }.judge("no_chain", HUNTS[0].finding)
    }

    #[test]
    fn only_a_violation_is_a_finding() {
        assert!(judge(false, "seed 9 fails:\nrule 1, order: client 3").is_ok());
        assert!(judge(false, "error: could not compile").is_err());
        assert!(judge(true, "test result: ok").is_err());
    }
}
