//! The floors of ARCHITECTURE.md: crates depend, and modules import, downwards only.

use std::collections::{BTreeMap, BTreeSet};

use super::module::Module;
use super::rust::{NamedPath, Visibility, paths};
use super::table::{names, rows};
use super::{Finding, Tree};

/// Checks the floors of crates, then those of modules.
pub(super) fn check(tree: &Tree<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let crates = Floors::read(tree, "crate", &mut findings);
    let modules = Floors::read(tree, "module", &mut findings);
    check_crates(tree, &crates, &mut findings);
    check_modules(tree, &modules, &mut findings);
    findings
}

/// The floors of one kind of thing, with the lines that state them.
struct Floors<'a>(BTreeMap<&'a str, (u32, usize)>);

impl<'a> Floors<'a> {
    fn read(tree: &Tree<'a>, kind: &str, findings: &mut Vec<Finding>) -> Self {
        let rows = rows(tree.get(ARCHITECTURE).unwrap_or_default(), &[kind, "floor"]);
        if rows.is_empty() {
            findings.push(Finding::new(
                ARCHITECTURE,
                0,
                format!("has no table `| {kind} | floor | …`"),
            ));
        }
        let mut floors = BTreeMap::new();
        for row in rows {
            let Ok(floor) = row.cell(1).parse() else {
                findings.push(Finding::new(
                    ARCHITECTURE,
                    row.line,
                    format!("`{}` is no floor", row.cell(1)),
                ));
                continue;
            };
            for name in names(row.cell(0)) {
                if floors.insert(name, (floor, row.line)).is_some() {
                    findings.push(Finding::new(
                        ARCHITECTURE,
                        row.line,
                        format!("`{name}` has two floors"),
                    ));
                }
            }
        }
        Self(floors)
    }

    /// The floor of a module, or of the nearest module around it that has one.
    fn of_module(&self, folder: &str, module: &[&str]) -> Option<u32> {
        (1..=module.len()).rev().find_map(|length| {
            let name = format!("{folder}::{}", module[..length].join("::"));
            self.0.get(name.as_str()).map(|(floor, _)| *floor)
        })
    }
}

fn check_crates(tree: &Tree<'_>, floors: &Floors<'_>, findings: &mut Vec<Finding>) {
    let packages: Vec<Package<'_>> = tree
        .files
        .iter()
        .filter_map(|(path, file)| Package::parse(path, file.text))
        .collect();
    for package in &packages {
        let Some((floor, _)) = floors.0.get(package.name) else {
            findings.push(Finding::new(
                package.manifest,
                0,
                format!("`{}` has no floor in {ARCHITECTURE}", package.name),
            ));
            continue;
        };
        for (dependency, line) in &package.dependencies {
            if let Some((below, _)) = floors.0.get(dependency).filter(|(below, _)| below >= floor) {
                let message = format!(
                    "`{}` (floor {floor}) depends on `{dependency}` (floor {below})",
                    package.name
                );
                findings.push(Finding::new(package.manifest, *line, message));
            }
        }
    }
    for (name, (_, line)) in &floors.0 {
        if !packages.iter().any(|package| package.name == *name) {
            findings.push(Finding::new(
                ARCHITECTURE,
                *line,
                format!("no package is called `{name}`"),
            ));
        }
    }
}

/// What a manifest says, as far as floors are concerned.
struct Package<'a> {
    manifest: &'a str,
    name: &'a str,
    dependencies: Vec<(&'a str, usize)>,
}

impl<'a> Package<'a> {
    /// None for a file that is no manifest, and for one of a workspace without a package. A package that is a
    /// workspace of its own, as `fuzz/` is, stands in the house like any other.
    fn parse(path: &'a str, text: &'a str) -> Option<Self> {
        if path.rsplit('/').next() != Some("Cargo.toml")
            || !text.lines().any(|line| line.starts_with("[package]"))
        {
            return None;
        }
        let mut package = Self {
            manifest: path,
            name: "",
            dependencies: Vec::new(),
        };
        let mut section = "";
        for (index, line) in text.lines().enumerate() {
            if let Some(header) = line.strip_prefix('[') {
                section = header.split(']').next().unwrap_or_default();
                // [dependencies.name]: what follows are the fields of one dependency.
                if let Some((_, name)) = section
                    .rsplit_once('.')
                    .filter(|(table, _)| is_dependencies(table))
                {
                    package.dependencies.push((name, index + 1));
                }
            } else if let Some(key) = line
                .split(['=', '.', ' '])
                .next()
                .filter(|_| line.contains('='))
            {
                if section == "package" && key == "name" {
                    package.name = line.split('"').nth(1).unwrap_or_default();
                } else if is_dependencies(section) {
                    package.dependencies.push((key, index + 1));
                }
            }
        }
        Some(package)
    }
}

/// Tests and examples may use what shows them, so `dev-dependencies` do not count.
fn is_dependencies(section: &str) -> bool {
    let table = section.rsplit('.').next();
    matches!(table, Some("dependencies" | "build-dependencies"))
}

fn check_modules(tree: &Tree<'_>, floors: &Floors<'_>, findings: &mut Vec<Finding>) {
    let folders: BTreeSet<&str> = floors
        .0
        .keys()
        .filter_map(|name| Some(name.split_once("::")?.0))
        .collect();
    for (name, (_, line)) in &floors.0 {
        let known =
            |module: Module<'_>| format!("{}::{}", module.folder, module.path.join("::")) == *name;
        if !tree
            .files
            .keys()
            .filter_map(|path| Module::of_file(path))
            .any(known)
        {
            findings.push(Finding::new(
                ARCHITECTURE,
                *line,
                format!("no module is called `{name}`"),
            ));
        }
    }
    for folder in folders {
        let exports = exports(tree, folder);
        for (path, tokens) in tree.rust_files() {
            let Some(module) = Module::of_file(path).filter(|module| module.folder == folder)
            else {
                continue;
            };
            // The root names everything; tests may start whatever shows what they test.
            if module.path.is_empty() || module.path.contains(&"tests") {
                continue;
            }
            let Some(floor) = floors.of_module(folder, &module.path) else {
                let name = module.path.join("::");
                findings.push(Finding::new(
                    path,
                    0,
                    format!("`{folder}::{name}` has no floor in {ARCHITECTURE}"),
                ));
                continue;
            };
            for named in paths(tokens) {
                let Some(target) = resolve(&module, &named, &exports) else {
                    continue;
                };
                if let Some(above) = floors
                    .of_module(folder, &target)
                    .filter(|above| *above > floor)
                {
                    let (own, target) = (module.path.join("::"), target.join("::"));
                    let message = format!(
                        "climbs from `{own}` (floor {floor}) to `{target}` (floor {above})"
                    );
                    findings.push(Finding::new(path, named.line, message));
                }
            }
        }
    }
}

/// What `lib.rs` re-exports: the name, and the path that it comes from.
fn exports(tree: &Tree<'_>, folder: &str) -> BTreeMap<String, Vec<String>> {
    let root = tree.tokens(&format!("crates/{folder}/src/lib.rs"));
    let mut exports = BTreeMap::new();
    for named in paths(root) {
        let exported = named
            .import
            .filter(|import| import.visibility != Visibility::Private && named.inside.is_empty());
        let mut segments = &named.segments[..];
        if let Some((&("crate" | "self"), rest)) = segments.split_first() {
            segments = rest;
        }
        if let (Some(import), [_, _, ..]) = (exported, segments) {
            exports.insert(
                import.name.to_owned(),
                segments.iter().map(ToString::to_string).collect(),
            );
        }
    }
    exports
}

/// Returns the path from the crate's root that a path in a module means. A path into another crate has none. A
/// relative name without `self` or `super` has none either: it leads down only.
fn resolve<'a>(
    module: &Module<'a>,
    named: &NamedPath<'a>,
    exports: &'a BTreeMap<String, Vec<String>>,
) -> Option<Vec<&'a str>> {
    let (first, mut rest) = named.segments.split_first()?;
    let mut target = match *first {
        "crate" => Vec::new(),
        "self" | "super" => [&module.path[..], &named.inside[..]].concat(),
        _ => return None,
    };
    if *first == "super" {
        target.pop();
    }
    while let Some((&"super", after)) = rest.split_first() {
        target.pop();
        rest = after;
    }
    target.extend_from_slice(rest);
    match exports.get(*target.first()?) {
        Some(origin) => Some(origin.iter().map(String::as_str).collect()),
        None => Some(target),
    }
}

const ARCHITECTURE: &str = "ARCHITECTURE.md";

#[cfg(test)]
mod tests;
