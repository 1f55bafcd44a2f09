//! The modules of the crates under `crates/`, the files that hold them, and which of them are tests.

use std::collections::BTreeMap;

use super::Tree;
use super::rust::Token;

/// A module of a crate: the folder of the crate, and the path within it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Module<'a> {
    pub(super) folder: &'a str,
    pub(super) path: Vec<&'a str>,
}

impl<'a> Module<'a> {
    /// The module that a source file holds; the root's path is empty.
    pub(super) fn of_file(file: &'a str) -> Option<Self> {
        let (folder, inner) = file.strip_prefix("crates/")?.split_once("/src/")?;
        let mut path: Vec<&str> = inner.strip_suffix(".rs")?.split('/').collect();
        if matches!(path.last(), Some(&("mod" | "lib" | "main"))) {
            path.pop();
        }
        Some(Self { folder, path })
    }
}

/// A source file of a crate.
#[derive(Debug)]
pub(super) struct Source<'a, 't> {
    pub(super) path: &'a str,
    pub(super) module: Module<'a>,
    pub(super) tokens: &'t [Token<'a>],
    /// Whether the file or a folder around it is declared under `#[cfg(test)]`.
    pub(super) is_test: bool,
}

/// The source files of all crates under `crates/`, by the folders of the crates.
pub(super) fn crates<'a, 't>(tree: &'t Tree<'a>) -> BTreeMap<&'a str, Vec<Source<'a, 't>>> {
    let mut crates = BTreeMap::<&str, Vec<Source<'_, '_>>>::new();
    for (path, tokens) in tree.rust_files() {
        if let Some(module) = Module::of_file(path) {
            crates.entry(module.folder).or_default().push(Source {
                path,
                module,
                tokens,
                is_test: false,
            });
        }
    }
    for files in crates.values_mut() {
        let tests: Vec<Vec<&str>> = files.iter().flat_map(test_modules).collect();
        for file in files {
            file.is_test = tests.iter().any(|test| file.module.path.starts_with(test));
        }
    }
    crates
}

/// The paths of the modules that a file declares under `#[cfg(test)]`.
fn test_modules<'a>(file: &Source<'a, '_>) -> Vec<Vec<&'a str>> {
    let declared = file.tokens.windows(3).filter_map(|row| match row {
        [first, name, end] if first.text == "mod" && first.is_test && end.text == ";" => {
            Some(name.text)
        }
        _ => None,
    });
    declared
        .map(|name| [&file.module.path[..], &[name]].concat())
        .collect()
}
