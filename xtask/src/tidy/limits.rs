//! The limits of xtask/limits.tsv. A rule may come when parts of the tree break it already: each such part has a
//! limit there, the count of that day. A limit is never raised; `tidy --lower` brings it down to the count.

use super::{Finding, Tree};

/// The count of one thing that a rule bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measure {
    pub(super) kind: Kind,
    /// The name of the thing in the list: a file, a crate, a circle.
    pub(super) what: String,
    pub(super) count: usize,
    /// The file and line that a finding names.
    pub(super) at: (String, usize),
    /// What a finding adds to the count; often nothing.
    pub(super) detail: String,
}

/// A rule that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kind {
    /// The first column of the list.
    pub(super) name: &'static str,
    /// The counted things, for messages: "lines of code".
    pub(super) unit: &'static str,
    /// The count that needs no limit of its own.
    pub(super) most: usize,
    /// How far a count may be below its limit.
    pub(super) slack: usize,
}

/// Holds each count against its limit or its rule, and each limit against its count.
pub(super) fn check(tree: &Tree<'_>, measures: &[Measure]) -> Vec<Finding> {
    let (limits, mut findings) = read(tree.get(LIMITS).unwrap_or_default());
    for measure in measures {
        let limit = limits.iter().find(|limit| limit.is_of(measure));
        let most = limit.map_or(measure.kind.most, |limit| limit.count);
        if measure.count > most {
            let Measure { count, detail, .. } = measure;
            let message = format!("{}: {count}{detail}; at most {most}", measure.kind.unit);
            findings.push(Finding::new(&measure.at.0, measure.at.1, message));
        }
    }
    for limit in &limits {
        let measure = measures.iter().find(|measure| limit.is_of(measure));
        let message = match measure {
            None => "nothing of this name is counted: remove the line".to_owned(),
            Some(measure) if measure.count <= measure.kind.most => {
                format!("{} now: remove the line", measure.count)
            }
            Some(measure) if measure.count + measure.kind.slack < limit.count => {
                format!("lower the limit to {}", measure.count)
            }
            Some(_) => continue,
        };
        findings.push(Finding::new(
            LIMITS,
            limit.line,
            format!("`{}`: {message}", limit.what),
        ));
    }
    let exceptions = limits.iter().filter(|limit| !limit.reason.is_empty());
    if exceptions.count() > MOST_EXCEPTIONS {
        let message = format!("more than {MOST_EXCEPTIONS} limits have a reason to stay");
        findings.push(Finding::new(LIMITS, 0, message));
    }
    findings
}

/// Returns the list with each limit at its count, and without those that the rule no longer needs.
pub(super) fn lowered(list: &str, measures: &[Measure]) -> String {
    let (limits, _) = read(list);
    let lines = list.lines().enumerate().filter_map(|(index, text)| {
        let Some(limit) = limits.iter().find(|limit| limit.line == index + 1) else {
            return Some(format!("{text}\n"));
        };
        let measure = measures.iter().find(|measure| limit.is_of(measure))?;
        let count = limit.count.min(measure.count);
        let columns = text.splitn(3, '\t').last().unwrap_or_default();
        (count > measure.kind.most).then(|| format!("{}\t{count}\t{columns}\n", limit.kind))
    });
    lines.collect()
}

/// One line of the list.
struct Limit<'a> {
    kind: &'a str,
    count: usize,
    what: &'a str,
    /// Why the limit may stay; empty where it has to fall.
    reason: &'a str,
    line: usize,
}

impl Limit<'_> {
    fn is_of(&self, measure: &Measure) -> bool {
        self.kind == measure.kind.name && self.what == measure.what
    }
}

fn read(list: &str) -> (Vec<Limit<'_>>, Vec<Finding>) {
    let mut limits = Vec::new();
    let mut findings = Vec::new();
    for (index, text) in list.lines().enumerate() {
        if text.starts_with('#') {
            continue;
        }
        let columns: Vec<&str> = text.split('\t').collect();
        let count = columns.get(1).and_then(|count| count.parse().ok());
        match (&columns[..], count) {
            ([kind, _, what, reason @ ..], Some(count)) if reason.len() <= 1 => {
                limits.push(Limit {
                    kind,
                    count,
                    what,
                    reason: reason.first().copied().unwrap_or_default(),
                    line: index + 1,
                });
            }
            _ => findings.push(Finding::new(
                LIMITS,
                index + 1,
                "is no kind, limit and name, with tabs between",
            )),
        }
    }
    (limits, findings)
}

pub(super) const LIMITS: &str = "xtask/limits.tsv";
/// Files that are long for a reason.
const MOST_EXCEPTIONS: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, tree};
    use super::*;

    fn measures(counts: &[(&str, usize)]) -> Vec<Measure> {
        let kind = Kind {
            name: "words",
            unit: "words",
            most: 4,
            slack: 2,
        };
        let measure = |(what, count): &(&str, usize)| Measure {
            kind,
            what: (*what).to_owned(),
            count: *count,
            at: (format!("{what}.rs"), 0),
            detail: String::new(),
        };
        counts.iter().map(measure).collect()
    }

    fn found(list: &str, counts: &[(&str, usize)]) -> Vec<String> {
        lines(&check(&tree(&[(LIMITS, list)]), &measures(counts)))
    }

    #[test]
    fn limits_are_lowered_and_never_raised() {
        let list = "# why\nwords\t9\ta\nwords\t9\tb\tit is a table\nwords\t9\tc\nwords\t9\td\n";
        let counts = [("a", 10), ("b", 8), ("c", 4)];
        assert_eq!(
            lowered(list, &measures(&counts)),
            "# why\nwords\t9\ta\nwords\t8\tb\tit is a table\n"
        );
    }

    #[test]
    fn a_count_is_held_against_its_limit_and_else_against_the_rule() {
        let counts = [("a", 9), ("b", 4)];
        assert_eq!(found("# why\nwords\t9\ta\n", &counts), [""; 0]);
        assert_eq!(
            found("words\t8\ta\n", &counts),
            ["a.rs: words: 9; at most 8"]
        );
        assert_eq!(found("", &counts), ["a.rs: words: 9; at most 4"]);
    }

    #[test]
    fn a_limit_falls_with_its_count_and_goes_when_the_rule_is_kept() {
        assert_eq!(found("words\t11\ta\n", &[("a", 9)]), [""; 0]);
        assert_eq!(
            found("words\t12\ta\n", &[("a", 9)]),
            ["xtask/limits.tsv:1: `a`: lower the limit to 9"]
        );
        assert_eq!(
            found("words\t5\ta\n", &[("a", 4)]),
            ["xtask/limits.tsv:1: `a`: 4 now: remove the line"]
        );
        assert_eq!(
            found("words\t5\tb\n", &[]),
            ["xtask/limits.tsv:1: `b`: nothing of this name is counted: remove the line"]
        );
    }

    #[test]
    fn a_line_that_is_no_limit_is_found() {
        for line in ["words", "words\tmany\ta", "words\t1\ta\twhy\tmore", ""] {
            let found = found(&format!("{line}\n"), &[]);
            let message = "xtask/limits.tsv:1: is no kind, limit and name, with tabs between";
            assert_eq!(found, [message], "{line}");
        }
    }

    #[test]
    fn few_limits_may_stay() {
        let counts: Vec<(String, usize)> = (0..4).map(|file| (file.to_string(), 9)).collect();
        let counts: Vec<(&str, usize)> = counts
            .iter()
            .map(|(file, count)| (&**file, *count))
            .collect();
        let list = |reasons: usize| -> String {
            let reason = |file| {
                if file < reasons {
                    "\tit is a table"
                } else {
                    ""
                }
            };
            (0..4)
                .map(|file| format!("words\t9\t{file}{}\n", reason(file)))
                .collect()
        };
        assert_eq!(found(&list(3), &counts), [""; 0]);
        assert_eq!(
            found(&list(4), &counts),
            ["xtask/limits.tsv: more than 3 limits have a reason to stay"]
        );
    }
}
