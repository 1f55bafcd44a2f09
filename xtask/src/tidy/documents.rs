//! The documents that a project needs, and what none of its files may contain.

use super::{Finding, Tree};

/// All rules on documents and on text of any kind.
pub(super) fn check(tree: &Tree<'_>) -> Vec<Finding> {
    [
        required_documents(tree),
        architecture_length(tree),
        machine_places(tree),
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

const REQUIRED: [&str; 6] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
];
const ARCHITECTURE_LINES: usize = 150;
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
        assert!(architecture_length(&tree(&[("ARCHITECTURE.md", &"a\n".repeat(150))])).is_empty());
        assert_eq!(
            architecture_length(&tree(&[("ARCHITECTURE.md", &"a\n".repeat(151))])).len(),
            1
        );
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
