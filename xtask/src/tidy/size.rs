//! How large the parts of the house are: the lines of code of a file, and the names at the library's root.

use std::collections::BTreeSet;

use super::Tree;
use super::limits::{Kind, Measure};
use super::module::crates;
use super::rust::{Token, Visibility, code_lines, paths};

/// Counts the lines of code of each file of the crates.
pub(super) fn lines(tree: &Tree<'_>) -> Vec<Measure> {
    let measure = |path: &str, tokens: &[Token<'_>], is_test| Measure {
        kind: if is_test { TEST_LINES } else { LINES },
        what: path.to_owned(),
        count: code_lines(tokens, is_test),
        at: (path.to_owned(), 0),
        detail: String::new(),
    };
    let inside = crates(tree).into_values().flatten();
    let inside = inside.map(|file| measure(file.path, file.tokens, file.is_test));
    let is_outside = |path: &str| {
        path.starts_with("crates/") && path.contains("/tests/") && !path.contains("/src/")
    };
    let outside = tree.rust_files().filter(|(path, _)| is_outside(path));
    inside
        .chain(outside.map(|(path, tokens)| measure(path, tokens, true)))
        .collect()
}

/// Returns the median of the counts of files that are no tests.
pub(super) fn median(measures: &[Measure]) -> usize {
    let files = measures.iter().filter(|measure| measure.kind == LINES);
    let mut counts: Vec<usize> = files.map(|measure| measure.count).collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or_default()
}

/// Counts the names that users find at the library's root. Names that begin with two underscores are not for them.
pub(super) fn root_names(tree: &Tree<'_>) -> Measure {
    let tokens = tree.tokens(ROOT);
    let exported = paths(tokens).into_iter().filter_map(|path| {
        let import = path.import?;
        (import.visibility == Visibility::Public && path.inside.is_empty()).then_some(import.name)
    });
    let declared = tokens.windows(3).filter_map(|row| match row {
        [public, kind, name] if public.text == "pub" && DECLARED.contains(&kind.text) => {
            Some(name.text)
        }
        [rules, mark, name] if rules.text == "macro_rules" && mark.text == "!" => Some(name.text),
        _ => None,
    });
    let names: BTreeSet<&str> = exported.chain(declared).collect();
    let names = names.iter().filter(|name| !name.starts_with("__"));
    Measure {
        kind: NAMES,
        what: ROOT.to_owned(),
        count: names.count(),
        at: (ROOT.to_owned(), 0),
        detail: String::new(),
    }
}

const ROOT: &str = "crates/sockeye/src/lib.rs";
const DECLARED: [&str; 8] = [
    "const", "enum", "fn", "mod", "static", "struct", "trait", "type",
];
const LINES: Kind = Kind {
    name: "lines",
    unit: "lines of code",
    most: 400,
    slack: 0,
};
const TEST_LINES: Kind = Kind {
    name: "test lines",
    unit: "lines of test code",
    most: 700,
    slack: 0,
};
const NAMES: Kind = Kind {
    name: "names",
    unit: "names at the root",
    most: 32,
    slack: 0,
};
