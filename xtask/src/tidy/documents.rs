//! The documents that a project needs, and what none of its files may contain.

use super::ledger::test_names;
use super::{Finding, Tree};

/// All rules on documents and on text of any kind.
pub(super) fn check(tree: &Tree<'_>) -> Vec<Finding> {
    [
        required_documents(tree),
        architecture_length(tree),
        machine_places(tree),
        named_tests(tree),
    ]
    .concat()
}

fn required_documents(tree: &Tree<'_>) -> Vec<Finding> {
    let is_missing = |path: &&&str| tree.get(path).is_none_or(|text| text.trim().is_empty());
    REQUIRED
        .iter()
        .filter(is_missing)
        .map(|path| Finding::new(path, 0, "missing or empty"))
        .collect()
}

/// A map that takes longer to read than the tree it draws is not read.
fn architecture_length(tree: &Tree<'_>) -> Vec<Finding> {
    let length = tree
        .get("ARCHITECTURE.md")
        .unwrap_or_default()
        .lines()
        .count();
    if length <= ARCHITECTURE_LINES {
        return Vec::new();
    }
    vec![Finding::new(
        "ARCHITECTURE.md",
        0,
        format!("{length} lines; at most {ARCHITECTURE_LINES}"),
    )]
}

/// The tests that prose names have to exist. The name of a test is a sentence: it has several underscores.
fn named_tests(tree: &Tree<'_>) -> Vec<Finding> {
    let tests = test_names(tree);
    let mut findings = Vec::new();
    for path in NAME_TESTS {
        for (index, line) in tree.get(path).unwrap_or_default().lines().enumerate() {
            let code = line.split('`').skip(1).step_by(2);
            let is_sentence = |name: &&str| {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                name.chars().all(plain) && name.matches('_').count() >= 4
            };
            for name in code
                .filter(is_sentence)
                .filter(|name| !tests.contains(name))
            {
                let message = format!("no test function is called `{name}`");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
    findings
}

/// Folders of one machine and hosts of package registries: another machine has others.
fn machine_places(tree: &Tree<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            let found = FOLDERS.iter().find(|folder| names_folder(line, folder));
            if let Some(place) = found.or_else(|| HOSTS.iter().find(|host| line.contains(**host))) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("names `{place}`, which other machines lack"),
                ));
            }
        }
    }
    findings
}

/// Whether the line has an absolute path into the folder; `src/home/page.rs` is none.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before
            .is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.' | '}' | ')' | '/'))
    })
}

/// Documents whose tables name tests.
const NAME_TESTS: [&str; 2] = ["ARCHITECTURE.md", "docs/endpoints.md"];

const REQUIRED: [&str; 6] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
];
const ARCHITECTURE_LINES: usize = 200;
// Each is written in two parts, so that this file does not break its own rule.
const FOLDERS: [&str; 4] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
];
const HOSTS: [&str; 8] = [
    concat!("archive.de", "bian.org"),
    concat!("deb.de", "bian.org"),
    concat!("index.cra", "tes.io"),
    concat!("npm", "js.org"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("security.de", "bian.org"),
    concat!("static.cra", "tes.io"),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{lines, tree};
    use super::*;

    #[test]
    fn a_missing_and_an_empty_document_are_found() {
        let all: Vec<(&str, &str)> = REQUIRED.iter().map(|path| (*path, "text")).collect();
        assert!(required_documents(&tree(&all)).is_empty());
        let found = required_documents(&tree(&[&all[1..], &[("ARCHITECTURE.md", " \n")]].concat()));
        assert_eq!(lines(&found), ["ARCHITECTURE.md: missing or empty"]);
    }

    #[test]
    fn a_long_architecture_is_found() {
        assert!(architecture_length(&tree(&[("ARCHITECTURE.md", &"a\n".repeat(200))])).is_empty());
        assert_eq!(
            architecture_length(&tree(&[("ARCHITECTURE.md", &"a\n".repeat(201))])).len(),
            1
        );
    }

    #[test]
    fn a_test_that_does_not_exist_is_found_by_its_name() {
        let text = "| a | `a_test_that_is_here`, `a_test_that_is_gone`, `an_item` |";
        let code = "#[test]\nfn a_test_that_is_here() {}";
        let files = [(NAME_TESTS[0], text), ("crates/a/src/lib.rs", code)];
        let found = named_tests(&tree(&files));
        let line = "ARCHITECTURE.md:1: no test function is called `a_test_that_is_gone`";
        assert_eq!(lines(&found), [line]);
    }

    #[test]
    fn a_folder_of_one_machine_is_found() {
        let text = format!("fine\nrun {}x", FOLDERS[0]);
        assert_eq!(machine_places(&tree(&[("a.toml", &text)]))[0].line, 2);
        let text = format!("src{}page.rs", FOLDERS[0]);
        assert!(machine_places(&tree(&[("a.toml", &text)])).is_empty());
    }

    #[test]
    fn a_registry_host_is_found() {
        let text = format!("from https://{}/simple", HOSTS[4]);
        assert_eq!(machine_places(&tree(&[("a.sh", &text)])).len(), 1);
    }
}
