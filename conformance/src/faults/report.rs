//! The report of a case that failed: one page with the seed, the faults, and each violation with the events around it.

use std::fmt::Write;
use std::path::Path;

use sockeye_engine_kit::checker::{Bounds, Violation, check};

use super::case::Case;
use super::evidence::Evidence;
use crate::error::Result;
use crate::judges;

/// What came out of a case.
pub(super) struct Verdict {
    violations: Vec<Violation>,
    /// What the case itself asks for, and what is not so.
    faults: Vec<String>,
}

/// Judges the evidence of a case.
pub(super) fn judge(case: &Case, evidence: &Evidence) -> Verdict {
    Verdict {
        violations: check(&evidence.logs(), &BOUNDS),
        faults: (case.judge)(evidence),
    }
}

impl Verdict {
    pub(super) fn is_good(&self) -> bool {
        self.violations.is_empty() && self.faults.is_empty()
    }

    /// Writes the report into the folder of the case. Returns its first lines.
    pub(super) fn write(
        &self,
        heading: &str,
        evidence: &Evidence,
        folder: &Path,
    ) -> Result<String> {
        let mut page = format!("{heading}\n");
        for fault in &evidence.faults {
            let since = |time: u64| time.saturating_sub(evidence.begin);
            let (from, until) = (since(fault.from), since(fault.until));
            writeln!(page, "{from} ms to {until} ms: {}", fault.name)?;
        }
        let settled = evidence.settled.iter();
        let settled: Vec<u64> = settled
            .map(|time| time.saturating_sub(evidence.begin))
            .collect();
        writeln!(page, "settled at {settled:?} ms\n")?;
        for fault in &self.faults {
            writeln!(page, "the case: {fault}")?;
        }
        let summary = page.clone();
        for violation in &self.violations {
            writeln!(page, "{violation}\n")?;
        }
        let file = folder.join("report.txt");
        judges::write(&file, &page)?;
        let mut lines = summary;
        for violation in self.violations.iter().take(SHOWN) {
            let text = violation.to_string();
            writeln!(lines, "{}", text.lines().next().unwrap_or_default())?;
        }
        writeln!(
            lines,
            "{} violations; in full: {}",
            self.violations.len(),
            file.display()
        )?;
        Ok(lines)
    }
}

/// A loaded machine may be late: the promised times are doubled. The clocks of a run's processes are one.
const BOUNDS: Bounds = Bounds {
    deadline: 2_000,
    late: 3_000,
    lease: 30_000,
    beat: 5_000,
    settle: 15_000,
    delivery: 2_000,
    skew: 50,
};
const SHOWN: usize = 10;
