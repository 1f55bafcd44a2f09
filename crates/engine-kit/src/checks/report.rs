//! What came out of the checks.

use std::fmt;

use super::failure::Failure;
use crate::backend::Capability;

/// What came out of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The engine does what the check asks for.
    Passed,
    /// The engine does something else.
    Failed(Failure),
    /// The check did not run: the backend lacks this.
    Skipped(Capability),
}

/// What came out of all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    pub(super) fn new(outcomes: Vec<(&'static str, Outcome)>) -> Self {
        Self { outcomes }
    }

    /// Returns the name and the outcome of each check.
    pub fn outcomes(&self) -> &[(&'static str, Outcome)] {
        &self.outcomes
    }

    /// Returns the name and the failure of each check that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        let outcomes = self.outcomes.iter();
        outcomes.filter_map(|(name, outcome)| match outcome {
            Outcome::Failed(failure) => Some((*name, failure)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }

    /// Returns the names of the checks that did not run.
    pub fn skipped(&self) -> impl Iterator<Item = &'static str> {
        let outcomes = self.outcomes.iter();
        outcomes
            .filter_map(|(name, outcome)| matches!(outcome, Outcome::Skipped(_)).then_some(*name))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.outcomes {
            match outcome {
                Outcome::Passed => writeln!(f, "passed   {name}")?,
                Outcome::Failed(failure) => writeln!(f, "FAILED   {name}: {failure}")?,
                Outcome::Skipped(lacked) => writeln!(f, "skipped  {name}: needs {lacked:?}")?,
            }
        }
        Ok(())
    }
}
