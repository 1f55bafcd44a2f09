//! Rules on Rust source that hold for a file on its own: the purity of the protocol core, nothing
//! left undone, a head on every module.

use super::rust::{NamedPath, Token, paths};
use super::{Finding, Tree};

/// All rules on single source files.
pub(super) fn check(tree: &Tree<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, tokens) in tree.rust_files() {
        if tree.files[path].tokens.is_none() {
            findings.push(Finding::new(path, 0, "is no Rust source that can be read"));
        }
        findings.extend(left_undone(path, tokens));
        findings.extend(module_head(path, tree.files[path].text));
        if path.starts_with(CORE) {
            findings.extend(core_purity(path, tokens));
        }
    }
    findings
}

/// The protocol core is sans-IO: what it needs of the world comes in as arguments. Only a test may
/// ask for the time once, since its own clock has to start somewhere.
fn core_purity(path: &str, tokens: &[Token<'_>]) -> Vec<Finding> {
    let is_test_file = path.ends_with("/tests.rs") || path.contains("/tests/");
    let finding = |named: &NamedPath<'_>| {
        let (_, what) = IMPURE
            .iter()
            .find(|(impure, _)| named.segments.starts_with(impure))?;
        if *what == CLOCK && (is_test_file || named.inside.contains(&"tests")) {
            return None;
        }
        let name = named.segments.join("::");
        Some(Finding::new(
            path,
            named.line,
            format!("`{name}`: the protocol core has no {what}"),
        ))
    };
    paths(tokens).iter().filter_map(finding).collect()
}

fn left_undone(path: &str, tokens: &[Token<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = |words: &&[&str]| {
            words.len() <= tokens.len() - at
                && words
                    .iter()
                    .zip(&tokens[at..])
                    .all(|(word, token)| *word == token.text)
        };
        if let Some(words) = UNDONE.iter().find(|words| begins(words)) {
            findings.push(Finding::new(
                path,
                token.line,
                format!("`{}` is left", words.concat()),
            ));
        }
    }
    findings
}

/// Programs that the compiler is meant to judge (`tests/…/pass`, `tests/…/fail`) are no modules.
fn module_head(path: &str, text: &str) -> Vec<Finding> {
    let is_program =
        path.contains("tests/") && (path.contains("/pass/") || path.contains("/fail/"));
    let start = text.trim_start();
    if is_program || start.starts_with("//!") || start.starts_with("#![doc") {
        return Vec::new();
    }
    vec![Finding::new(
        path,
        1,
        "does not open with `//!`: what it is, and what it must not know",
    )]
}

const CORE: &str = "crates/proto/src/";
const CLOCK: &str = "clock";
const IMPURE: [(&[&str], &str); 12] = [
    (&["tokio"], "runtime"),
    (
        &["std", "net"],
        "socket (`core::net` has addresses as values)",
    ),
    (&["std", "os"], "operating system"),
    (&["std", "thread"], "thread"),
    (&["thread"], "thread"),
    (&["std", "time", "Instant", "now"], CLOCK),
    (&["Instant", "now"], CLOCK),
    (&["std", "time", "SystemTime"], CLOCK),
    (&["SystemTime"], CLOCK),
    (&["getrandom"], "randomness of its own"),
    (&["rand"], "randomness of its own"),
    (&["std", "env"], "environment"),
];
const UNDONE: [&[&str]; 3] = [
    &["todo", "!", "("],
    &["unimplemented", "!", "("],
    &["#", "[", "ignore"],
];

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, tree};
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        lines(&check(&tree(&[(path, text)])))
    }

    #[test]
    fn the_core_knows_no_runtime_socket_clock_or_thread() {
        let text = "//! Head.\nuse tokio::net;\nuse std::{io, net::TcpStream};\nfn f() { Instant::now(); }\n\
                    use std::thread;\n// tokio is only spoken of\n";
        assert_eq!(
            found("crates/proto/src/a.rs", text),
            [
                "crates/proto/src/a.rs:2: `tokio::net`: the protocol core has no runtime",
                "crates/proto/src/a.rs:3: `std::net::TcpStream`: the protocol core has no socket (`core::net` has addresses as values)",
                "crates/proto/src/a.rs:4: `Instant::now`: the protocol core has no clock",
                "crates/proto/src/a.rs:5: `std::thread`: the protocol core has no thread",
            ]
        );
        assert!(found("crates/sockeye/src/a.rs", text).is_empty());
    }

    #[test]
    fn time_as_an_argument_is_pure() {
        assert!(
            found(
                "crates/proto/src/a.rs",
                "//! Head.\nuse std::time::Instant;\nfn f(now: Instant) {}"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_test_of_the_core_may_start_a_clock() {
        let text = "//! Head.\nmod tests { fn f() { Instant::now(); } }";
        assert!(found("crates/proto/src/a.rs", text).is_empty());
        let text = "//! Head.\nfn f() { Instant::now(); }";
        assert!(found("crates/proto/src/connection/tests.rs", text).is_empty());
    }

    #[test]
    fn what_is_left_undone_is_found() {
        // In two parts each, so that a plain search finds none here.
        let text = concat!(
            "//! Head.\nfn f() { todo",
            "!() }\n#[ig",
            "nore]\nfn g() { unimplemented",
            "!(\"g\") }\nfn ignore() {}"
        );
        assert_eq!(
            found("a.rs", text),
            [
                concat!("a.rs:2: `todo", "!(` is left"),
                concat!("a.rs:3: `#[ig", "nore` is left"),
                concat!("a.rs:4: `unimplemented", "!(` is left")
            ]
        );
    }

    #[test]
    fn a_module_without_a_head_is_found() {
        assert_eq!(found("src/a.rs", "use std::fmt;\n//! Late.").len(), 1);
        assert!(found("src/a.rs", "\n//! A module.").is_empty());
        assert!(found("src/lib.rs", "#![doc = include_str!(\"../README.md\")]").is_empty());
        assert!(found("crates/macros/tests/ui/fail/a.rs", "fn main() {}").is_empty());
    }
}
