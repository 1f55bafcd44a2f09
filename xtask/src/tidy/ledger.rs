//! The ledger of the RFCs' rules, docs/rfc-ledger.md: each row's code and tests have to exist.

use std::collections::BTreeSet;

use super::rust::{Token, tokens};
use super::table::{Row, names, rows};
use super::{Finding, Tree};

/// Checks each row of the ledger.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
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
    let tests = test_names(tree);
    let mut ids = BTreeSet::new();
    let mut findings = Vec::new();
    for row in &rows {
        let mut find = |message: String| findings.push(Finding::new(LEDGER, row.line, message));
        let id = row.cell(0);
        if !ids.insert(id) {
            find(format!("{id} has two rows"));
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
    findings
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
fn code_fault(tree: &Tree, named: &str) -> Option<String> {
    let (path, item) = named.split_once("::").unwrap_or((named, ""));
    let Some(text) = tree.get(path) else {
        return Some(format!("there is no file `{path}`"));
    };
    let name = item.rsplit("::").next().unwrap_or(item);
    if name.is_empty() || tokens(text).iter().any(|token| token.text == name) {
        return None;
    }
    Some(format!("`{path}` has no `{name}`"))
}

/// The names of all functions with an attribute that says `test`.
fn test_names(tree: &Tree) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (_, text) in tree.rust_files() {
        let tokens = tokens(text);
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

    fn found(rows: &str) -> Vec<String> {
        let ledger = format!("| id | rule | code | test |\n|---|---|---|---|\n{rows}");
        lines(&check(&tree(&[(LEDGER, &ledger), ("src/a.rs", SOURCE)])))
    }

    #[test]
    fn rows_that_name_what_exists_or_say_why_not_are_in_order() {
        let rows = "| 1 | r | `src/a.rs` | `one`, `tests::two` |\n\
                    | 2 | r | `src/a.rs::Frame` | n/a: the compiler sees to it |\n\
                    | 3 | r | later: compression | later: compression |\n";
        assert_eq!(found(rows), [""; 0]);
    }

    #[test]
    fn a_missing_test_is_found_and_a_helper_is_no_test() {
        let rows = "| 1 | r | `src/a.rs` | `three` |\n| 2 | r | `src/a.rs` | `helper` |\n";
        assert_eq!(
            found(rows),
            [
                "docs/rfc-ledger.md:3: 1: no test function is called `three`",
                "docs/rfc-ledger.md:4: 2: no test function is called `helper`",
            ]
        );
    }

    #[test]
    fn missing_code_is_found() {
        let rows = "| 1 | r | `src/b.rs` | `one` |\n| 2 | r | `src/a.rs::Mask` | `one` |\n";
        assert_eq!(
            found(rows),
            [
                "docs/rfc-ledger.md:3: 1: there is no file `src/b.rs`",
                "docs/rfc-ledger.md:4: 2: `src/a.rs` has no `Mask`",
            ]
        );
    }

    #[test]
    fn an_empty_cell_a_bare_excuse_and_a_second_row_are_found() {
        let rows = "| 1 | r | | `one` |\n| 1 | r | `src/a.rs` | later: |\n";
        assert_eq!(found(rows).len(), 3);
    }

    #[test]
    fn a_ledger_without_its_table_is_found() {
        assert_eq!(check(&tree(&[(LEDGER, "# Ledger\n")])).len(), 1);
    }
}
