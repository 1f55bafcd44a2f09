//! What the suite found: its `index.json`, read, counted and judged.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::Result;

/// The verdicts on one role, in the suite's order of cases.
pub(super) struct Verdicts(Vec<Verdict>);

/// The verdict on one case: on what the peer answered, and on how it closed.
#[derive(Clone)]
struct Verdict {
    case: String,
    behavior: String,
    behavior_close: String,
    report: String,
}

impl Verdicts {
    /// Reads the report on `agent` from the folder that the suite wrote.
    pub(super) fn read(reports: &Path, agent: &str) -> Result<Self> {
        let path = reports.join("index.json");
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("the suite left no {}: {error}", path.display()))?;
        Self::parse(&text, agent).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    fn parse(text: &str, agent: &str) -> Result<Self> {
        let index: Value = serde_json::from_str(text)?;
        let cases = index
            .get(agent)
            .and_then(Value::as_object)
            .ok_or(format!("no agent called {agent}"))?;
        let mut verdicts = Vec::new();
        for (case, verdict) in cases {
            let field = |name: &str| {
                let value = verdict.get(name).and_then(Value::as_str);
                value
                    .map(str::to_owned)
                    .ok_or(format!("case {case} has no `{name}`"))
            };
            verdicts.push(Verdict {
                case: case.clone(),
                behavior: field("behavior")?,
                behavior_close: field("behaviorClose")?,
                report: field("reportfile")?,
            });
        }
        verdicts.sort_by_key(|verdict| case_number(&verdict.case));
        Ok(Self(verdicts))
    }

    /// Adds those on other cases of the same role.
    pub(super) fn add(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.sort_by_key(|verdict| case_number(&verdict.case));
    }

    /// The same, a part for each of the suite's sections.
    pub(super) fn sections(&self) -> Vec<(u32, Self)> {
        let mut sections: BTreeMap<u32, Vec<Verdict>> = BTreeMap::new();
        for verdict in &self.0 {
            let section = case_number(&verdict.case).first().copied();
            sections
                .entry(section.unwrap_or(u32::MAX))
                .or_default()
                .push(verdict.clone());
        }
        sections
            .into_iter()
            .map(|(section, verdicts)| (section, Self(verdicts)))
            .collect()
    }

    /// The file with the report on the first case.
    pub(super) fn first_report(&self) -> &str {
        self.0.first().map_or("", |verdict| &verdict.report)
    }

    /// How many there are of each, on what was answered.
    pub(super) fn behavior(&self) -> String {
        counts(self.0.iter().map(|verdict| &verdict.behavior))
    }

    /// How many there are of each, on how it was closed.
    pub(super) fn behavior_close(&self) -> String {
        counts(self.0.iter().map(|verdict| &verdict.behavior_close))
    }

    /// How many cases were judged.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The cases that are neither OK nor INFORMATIONAL in both respects, a line for each.
    pub(super) fn faults(&self) -> Vec<String> {
        let is_fault =
            |verdict: &&Verdict| !is_good(&verdict.behavior) || !is_good(&verdict.behavior_close);
        self.0
            .iter()
            .filter(is_fault)
            .map(ToString::to_string)
            .collect()
    }
}

/// The count of each verdict.
impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cases; behavior: {}; behaviorClose: {}",
            self.len(),
            self.behavior(),
            self.behavior_close()
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            behavior,
            behavior_close,
            report,
        } = self;
        write!(
            f,
            "case {case}: behavior {behavior}, behaviorClose {behavior_close} ({report})"
        )
    }
}

fn is_good(verdict: &str) -> bool {
    matches!(verdict, "OK" | "INFORMATIONAL")
}

fn counts<'a>(verdicts: impl Iterator<Item = &'a String>) -> String {
    let mut counts = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict).or_insert(0) += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    counts.join(", ")
}

/// `9.1.10` comes after `9.1.2`.
fn case_number(case: &str) -> Vec<u32> {
    case.split('.')
        .map(|part| part.parse().unwrap_or(u32::MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"{"Sockeye": {
        "10.1.1": {"behavior": "OK", "behaviorClose": "OK", "reportfile": "a.json"},
        "3.1": {"behavior": "NON-STRICT", "behaviorClose": "OK", "reportfile": "b.json"},
        "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL", "reportfile": "c.json"},
        "7.3.1": {"behavior": "OK", "behaviorClose": "WRONG CODE", "reportfile": "d.json"}
    }}"#;

    #[test]
    fn counts_each_verdict_in_both_respects() {
        let verdicts = Verdicts::parse(INDEX, "Sockeye").unwrap();
        assert_eq!(
            verdicts.to_string(),
            "4 cases; behavior: 1 INFORMATIONAL, 1 NON-STRICT, 2 OK; \
             behaviorClose: 1 INFORMATIONAL, 2 OK, 1 WRONG CODE"
        );
    }

    #[test]
    fn anything_but_ok_and_informational_is_a_fault() {
        let faults = Verdicts::parse(INDEX, "Sockeye").unwrap().faults();
        assert_eq!(
            faults,
            [
                "case 3.1: behavior NON-STRICT, behaviorClose OK (b.json)",
                "case 7.3.1: behavior OK, behaviorClose WRONG CODE (d.json)",
            ]
        );
    }

    #[test]
    fn a_report_without_the_agent_is_an_error() {
        assert!(Verdicts::parse("{}", "Sockeye").is_err());
    }
}
