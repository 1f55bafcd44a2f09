//! The ledger of the RFCs' rules, docs/rfc-ledger.md: each rule of docs/rfc-rules.tsv has its row, and each
//! row's code and tests have to exist.

use std::collections::BTreeSet;

use super::rust::Token;
use super::table::{Row, names, rows};
use super::{Finding, Tree};

/// Checks that the ledger has a row for each rule and none for another, and each of its rows.
pub(super) fn check(tree: &Tree<'_>) -> Vec<Finding> {
    let rows = rows(
        tree.get(LEDGER).unwrap_or_default(),
        &["id", "rule", "code", "test"],
    );
    if rows.is_empty() {
        return vec![Finding::new(
            LEDGER,
            0,
            "has no table `| id | rule | code | test |`",
        )];
    }
    let rules = match rules(tree.get(RULES).unwrap_or_default()) {
        Ok(rules) => rules,
        Err(finding) => return vec![finding],
    };
    let tests = test_names(tree);
    let mut ids = BTreeSet::new();
    let mut findings = Vec::new();
    for row in &rows {
        let mut find = |message: String| findings.push(Finding::new(LEDGER, row.line, message));
        let id = row.cell(0);
        if !ids.insert(id) {
            find(format!("{id} has two rows"));
        }
        if !rules.contains(id) {
            find(format!("{id} is no rule of {RULES}"));
        }
        if row.cell(1).is_empty() {
            find(format!("{id} does not say its rule"));
        }
        for path in named_or_excused(row, CODE, &mut find) {
            if let Some(fault) = code_fault(tree, path) {
                find(format!("{id}: {fault}"));
            }
        }
        for test in named_or_excused(row, TEST, &mut find) {
            let name = test.rsplit("::").next().unwrap_or(test);
            if !tests.contains(name) {
                find(format!("{id}: no test function is called `{name}`"));
            }
        }
    }
    for missing in rules.difference(&ids) {
        findings.push(Finding::new(LEDGER, 0, format!("{missing} has no row")));
    }
    findings
}

/// The ids of the rules: a head, then an id and its section in each line.
fn rules(list: &str) -> Result<BTreeSet<&str>, Finding> {
    let mut lines = list.lines().enumerate();
    if lines.next().map(|(_, head)| head) != Some("id\tsection") {
        return Err(Finding::new(RULES, 0, "has no head `id`, tab, `section`"));
    }
    let mut ids = BTreeSet::new();
    for (index, line) in lines {
        // The id begins with the RFC's number and the section.
        let named = line
            .split_once('\t')
            .filter(|(id, section)| !section.is_empty() && id.contains(&format!("-{section}-")));
        match named {
            Some((id, _)) if ids.insert(id) => {}
            Some((id, _)) => {
                return Err(Finding::new(RULES, index + 1, format!("{id} stands twice")));
            }
            None => {
                let message = "is no id, tab, and its section";
                return Err(Finding::new(RULES, index + 1, message));
            }
        }
    }
    Ok(ids)
}

/// The names in a cell; none where the cell says why there are none.
fn named_or_excused<'a>(
    row: &Row<'a>,
    column: usize,
    find: &mut impl FnMut(String),
) -> Vec<&'a str> {
    let cell = row.cell(column);
    let excuse = EXCUSES.iter().find_map(|excuse| cell.strip_prefix(excuse));
    let names: Vec<&str> = if excuse.is_some() {
        Vec::new()
    } else {
        names(cell).collect()
    };
    if names.is_empty() && excuse.is_none_or(|reason| reason.trim().is_empty()) {
        let column = if column == CODE { "code" } else { "test" };
        find(format!(
            "{}: `{column}` neither names anything nor says `n/a: reason` or `later: reason`",
            row.cell(0)
        ));
    }
    names
}

/// What is wrong with `path` or `path::item`, if anything.
fn code_fault(tree: &Tree<'_>, named: &str) -> Option<String> {
    let (path, item) = named.split_once("::").unwrap_or((named, ""));
    if tree.get(path).is_none() {
        return Some(format!("there is no file `{path}`"));
    }
    let name = item.rsplit("::").next().unwrap_or(item);
    if name.is_empty() || tree.tokens(path).iter().any(|token| token.text == name) {
        return None;
    }
    Some(format!("`{path}` has no `{name}`"))
}

/// The names of all functions with an attribute that says `test`.
pub(super) fn test_names<'a>(tree: &Tree<'a>) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (_, tokens) in tree.rust_files() {
        for (at, pair) in tokens.windows(2).enumerate() {
            if pair[0].text == "fn" && has_test_attribute(&tokens[..at]) {
                names.insert(pair[1].text);
            }
        }
    }
    names
}

/// Whether one of the attributes right before the end says `test` (or `tokio::test`).
fn has_test_attribute(mut before: &[Token<'_>]) -> bool {
    while let Some((last, rest)) = before.split_last() {
        if MODIFIERS.contains(&last.text) {
            before = rest;
            continue;
        }
        let Some(start) = before
            .windows(2)
            .rposition(|pair| pair[0].text == "#" && pair[1].text == "[")
        else {
            return false;
        };
        if last.text != "]" {
            return false;
        }
        if before[start..].iter().any(|token| token.text == "test") {
            return true;
        }
        before = &before[..start];
    }
    false
}

const LEDGER: &str = "docs/rfc-ledger.md";
const RULES: &str = "docs/rfc-rules.tsv";
const CODE: usize = 2;
const TEST: usize = 3;
const EXCUSES: [&str; 2] = ["n/a:", "later:"];
const MODIFIERS: [&str; 7] = ["async", "unsafe", "const", "pub", "(", "crate", ")"];

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, tree};
    use super::*;

    const SOURCE: &str = "struct Frame;\nfn helper() {}\n#[test]\nfn one() {}\n\
                          #[tokio::test(start_paused = true)]\n#[expect(lint)]\nasync fn two() {}\n";

    /// What is found in a ledger of these rows, where the rules are `9-1-1` to `9-1-` and this number.
    fn found(rules: usize, rows: &str) -> Vec<String> {
        let ledger = format!("| id | rule | code | test |\n|---|---|---|---|\n{rows}");
        let rules = (1..=rules).map(|rule| format!("9-1-{rule}\t1\n"));
        let rules = format!("id\tsection\n{}", rules.collect::<String>());
        let files = [(LEDGER, &*ledger), (RULES, &*rules), ("src/a.rs", SOURCE)];
        lines(&check(&tree(&files)))
    }

    #[test]
    fn rows_that_name_what_exists_or_say_why_not_are_in_order() {
        let rows = "| 9-1-1 | r | `src/a.rs` | `one`, `tests::two` |\n\
                    | 9-1-2 | r | `src/a.rs::Frame` | n/a: the compiler sees to it |\n\
                    | 9-1-3 | r | later: compression | later: compression |\n";
        assert_eq!(found(3, rows), [""; 0]);
    }

    #[test]
    fn a_rule_without_a_row_and_a_row_without_a_rule_are_found() {
        let rows = "| 9-1-1 | r | `src/a.rs` | `one` |\n| 9-1-4 | r | `src/a.rs` | `one` |\n";
        assert_eq!(
            found(3, rows),
            [
                "docs/rfc-ledger.md:4: 9-1-4 is no rule of docs/rfc-rules.tsv",
                "docs/rfc-ledger.md: 9-1-2 has no row",
                "docs/rfc-ledger.md: 9-1-3 has no row",
            ]
        );
    }

    #[test]
    fn a_list_of_rules_that_is_none_is_found() {
        let ledger =
            "| id | rule | code | test |\n|---|---|---|---|\n| 9-1-1 | r | n/a: x | n/a: x |\n";
        let found = |rules: &str| lines(&check(&tree(&[(LEDGER, ledger), (RULES, rules)])));
        assert_eq!(found("id\tsection\n9-1-1\t1\n"), [""; 0]);
        for (rules, finding) in [
            ("", "docs/rfc-rules.tsv: has no head `id`, tab, `section`"),
            (
                "9-1-1\t1\n",
                "docs/rfc-rules.tsv: has no head `id`, tab, `section`",
            ),
            (
                "id\tsection\n9-1-1\t1\n9-1-1\t1\n",
                "docs/rfc-rules.tsv:3: 9-1-1 stands twice",
            ),
            (
                "id\tsection\n9-1-1\n",
                "docs/rfc-rules.tsv:2: is no id, tab, and its section",
            ),
            (
                "id\tsection\n9-1-1\t2\n",
                "docs/rfc-rules.tsv:2: is no id, tab, and its section",
            ),
        ] {
            assert_eq!(found(rules), [finding]);
        }
    }

    #[test]
    fn a_missing_test_is_found_and_a_helper_is_no_test() {
        let rows = "| 9-1-1 | r | `src/a.rs` | `three` |\n| 9-1-2 | r | `src/a.rs` | `helper` |\n";
        assert_eq!(
            found(2, rows),
            [
                "docs/rfc-ledger.md:3: 9-1-1: no test function is called `three`",
                "docs/rfc-ledger.md:4: 9-1-2: no test function is called `helper`",
            ]
        );
    }

    #[test]
    fn missing_code_is_found() {
        let rows = "| 9-1-1 | r | `src/b.rs` | `one` |\n| 9-1-2 | r | `src/a.rs::Mask` | `one` |\n";
        assert_eq!(
            found(2, rows),
            [
                "docs/rfc-ledger.md:3: 9-1-1: there is no file `src/b.rs`",
                "docs/rfc-ledger.md:4: 9-1-2: `src/a.rs` has no `Mask`",
            ]
        );
    }

    #[test]
    fn an_empty_cell_a_bare_excuse_and_a_second_row_are_found() {
        let rows = "| 9-1-1 | r | | `one` |\n| 9-1-1 | r | `src/a.rs` | later: |\n";
        assert_eq!(found(1, rows).len(), 3);
    }

    #[test]
    fn a_ledger_without_its_table_is_found() {
        assert_eq!(check(&tree(&[(LEDGER, "# Ledger\n")])).len(), 1);
    }
}
