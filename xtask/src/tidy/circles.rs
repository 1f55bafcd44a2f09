//! Circles of imports between the files of a crate. An edge is a `use` or a path of another file's item. No edge is
//! a `mod` line, the use of a module as such, a parent's `pub use` of its child, or what a test imports.

use std::collections::{BTreeMap, BTreeSet};

use super::Tree;
use super::limits::{Kind, Measure};
use super::module::{Module, Source, crates};
use super::rust::{NamedPath, Visibility, paths};

/// Counts, for each file that is in a circle, its imports from files of that circle.
pub(super) fn measure(tree: &Tree<'_>) -> Vec<Measure> {
    let mut measures = Vec::new();
    for files in crates(tree).into_values() {
        let edges = Imports::between(&files);
        let reached: BTreeMap<&str, BTreeSet<&str>> = edges
            .keys()
            .map(|file| (*file, reach(&edges, file)))
            .collect();
        for (file, targets) in &edges {
            let back: Vec<_> = targets
                .iter()
                .filter(|(target, _)| reached[*target].contains(file))
                .collect();
            let Some((_, line)) = back.first() else {
                continue;
            };
            let names: Vec<&str> = back
                .iter()
                .map(|(target, _)| within_crate(target))
                .collect();
            measures.push(Measure {
                kind: CIRCLE,
                what: (*file).to_owned(),
                count: back.len(),
                at: ((*file).to_owned(), **line),
                detail: format!(" ({})", names.join(", ")),
            });
        }
    }
    measures
}

fn within_crate(path: &str) -> &str {
    path.split_once("/src/").map_or(path, |(_, inner)| inner)
}

/// The files that a file names, each with the line of the first such name.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

/// Returns the files that a file leads to, by one import or several.
fn reach<'a>(edges: &Edges<'a>, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![file];
    while let Some(file) = left.pop() {
        for target in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*target) {
                left.push(target);
            }
        }
    }
    reached
}

/// The files of a crate that are no tests, and what they import from each other.
#[derive(Debug)]
struct Imports<'a> {
    scopes: BTreeMap<Vec<&'a str>, Scope<'a>>,
}

/// The names of one module.
#[derive(Debug)]
struct Scope<'a> {
    file: &'a str,
    /// The names that its `use` items bring, with the paths that they come from.
    imported: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Imports<'a> {
    /// Returns for each file the files whose items it names, with the line of the first such name.
    fn between(files: &[Source<'a, '_>]) -> Edges<'a> {
        let files = files.iter().filter(|file| !file.is_test);
        let named: Vec<(&Source<'a, '_>, Vec<NamedPath<'a>>)> = files
            .map(|file| {
                let code = paths(file.tokens);
                (
                    file,
                    code.into_iter().filter(|path| !path.is_test).collect(),
                )
            })
            .collect();
        let mut imports = Self {
            scopes: BTreeMap::new(),
        };
        for (file, paths) in &named {
            imports.scope(file.module.path.clone(), file.path);
            for path in paths {
                imports.declare(file, path);
            }
        }
        let edges = named.iter().map(|(file, paths)| {
            let mut edges = BTreeMap::new();
            for path in paths {
                let scope = [&file.module.path[..], &path.inside].concat();
                if let Some(target) = imports.file_of(&scope, &path.segments, 0)
                    && target != file.path
                    && !is_mere_export(file, path, target)
                {
                    edges.entry(target).or_insert(path.line);
                }
            }
            (file.path, edges)
        });
        edges.collect()
    }

    fn scope(&mut self, module: Vec<&'a str>, file: &'a str) -> &mut Scope<'a> {
        self.scopes.entry(module).or_insert(Scope {
            file,
            imported: BTreeMap::new(),
        })
    }

    /// Notes the inline modules around a path, and what it imports into the last of them.
    fn declare(&mut self, file: &Source<'a, '_>, path: &NamedPath<'a>) {
        let mut module = file.module.path.clone();
        for inside in &path.inside {
            module.push(inside);
            self.scope(module.clone(), file.path);
        }
        if let Some(import) = path.import {
            let imported = &mut self.scope(module, file.path).imported;
            imported.insert(import.name, path.segments.clone());
        }
    }

    /// The file with the item that a path in a module means; none for another crate's, and for a module.
    fn file_of(&self, scope: &[&'a str], segments: &[&'a str], steps: usize) -> Option<&'a str> {
        if steps == MOST_STEPS {
            return None;
        }
        let (mut at, mut rest) = (scope.to_vec(), segments);
        match *rest.first()? {
            "crate" => (at, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while let Some((&"super", after)) = rest.split_first() {
                    at.pop();
                    rest = after;
                }
            }
            // A relative name of neither kind is this module's own, or another crate.
            name if !self.has(&at, name) => return None,
            _ => {}
        }
        loop {
            let (name, after) = rest.split_first()?;
            let child = [&at[..], &[*name]].concat();
            if self.scopes.contains_key(&child) {
                (at, rest) = (child, after);
                continue;
            }
            let scope = self.scopes.get(&at)?;
            if let Some(origin) = scope.imported.get(name) {
                let path = [&origin[..], after].concat();
                return self.file_of(&at, &path, steps + 1);
            }
            return Some(scope.file);
        }
    }

    /// Whether a module has a child or an import of this name.
    fn has(&self, module: &[&'a str], name: &'a str) -> bool {
        let imports = |scope: &Scope<'_>| scope.imported.contains_key(name);
        self.scopes.contains_key(&[module, &[name]].concat())
            || self.scopes.get(module).is_some_and(imports)
    }
}

/// Whether a path is a `pub use` of a child's item that the file itself does not use.
fn is_mere_export(file: &Source<'_, '_>, path: &NamedPath<'_>, target: &str) -> bool {
    let exported = path
        .import
        .filter(|import| import.visibility != Visibility::Private);
    let is_child =
        Module::of_file(target).is_some_and(|target| target.path.starts_with(&file.module.path));
    exported.is_some_and(|import| {
        let names = file.tokens.iter().filter(|token| token.text == import.name);
        is_child && names.count() == 1
    })
}

/// Of imports that lead to imports: more are a circle of names, which the compiler refuses.
const MOST_STEPS: usize = 16;
const CIRCLE: Kind = Kind {
    name: "circle",
    unit: "imports that lead back to this file",
    most: 0,
    slack: 0,
};

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;

    /// The files in circles of a crate of these files, with the names that they import.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let named =
            |(path, text): &(&str, &str)| (format!("crates/a/src/{path}.rs"), (*text).to_owned());
        let files: Vec<(String, String)> = files.iter().map(named).collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (&**path, &**text))
            .collect();
        let line = |measure: Measure| {
            let (file, line) = measure.at;
            format!("{file}:{line}{}", measure.detail)
                .replace("crates/a/src/", "")
                .replace(".rs", "")
        };
        measure(&tree(&files)).into_iter().map(line).collect()
    }

    #[test]
    fn imports_that_lead_down_are_no_circle() {
        let root = ("lib", "mod b; mod c; pub use self::b::B;");
        let found = found(&[
            root,
            ("b", "use crate::c::C; struct B;"),
            ("c", "struct C;"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn two_files_and_three_that_name_each_other_are_found() {
        let pair = [
            ("b", "\nuse crate::c::C;"),
            ("c", "fn f() -> crate::b::B {}"),
        ];
        assert_eq!(found(&pair), ["b:2 (c)", "c:1 (b)"]);
        let ring = [
            ("b", "use crate::c::C;"),
            ("c", "use super::d::D;"),
            ("d", "m!(crate::b::B);"),
            ("e", "use crate::b::B;"),
        ];
        assert_eq!(found(&ring), ["b:1 (c)", "c:1 (d)", "d:1 (b)"]);
    }

    #[test]
    fn a_folder_is_a_file_like_any_other_but_for_its_exports() {
        let child = ("b/c", "use super::B;");
        assert_eq!(
            found(&[("b/mod", "mod c; use self::c::C; struct B;"), child]),
            ["b/c:1 (b/mod)", "b/mod:1 (b/c)"]
        );
        assert_eq!(
            found(&[("b/mod", "mod c; pub use self::c::C; struct B;"), child]),
            [""; 0]
        );
        let used = ("b/mod", "mod c; pub(crate) use self::c::C; struct B(C);");
        assert_eq!(found(&[used, child]), ["b/c:1 (b/mod)", "b/mod:1 (b/c)"]);
    }

    #[test]
    fn a_name_is_followed_to_the_file_of_its_item() {
        let files = |user| {
            let folder = (
                "b/mod",
                "mod c; mod d; pub use self::c::C as X; use self::d as dd; struct B;",
            );
            [
                folder,
                ("b/c", "use crate::e::E; struct C;"),
                ("b/d", "struct D;"),
                ("e", user),
            ]
        };
        for circle in [
            "use crate::b::X;",
            "use crate::b; fn f() { b::X::g() }",
            "use crate::b::c; c::C",
        ] {
            assert_eq!(
                found(&files(circle)),
                ["b/c:1 (e)", "e:1 (b/c)"],
                "{circle}"
            );
        }
        for none in [
            "use crate::b::B;",
            "use crate::b::c;",
            "use crate::b::dd::D;",
            "use c::C;",
            "use std::b::X;",
        ] {
            assert_eq!(found(&files(none)), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_test_may_name_what_it_tests() {
        let tests = [
            (
                "b",
                "use crate::c::C; #[cfg(test)] mod tests { use crate::d::D; }",
            ),
            (
                "c",
                "#[cfg(test)] mod trials; #[cfg(test)] use crate::b::B;",
            ),
            ("c/trials", "use crate::b::B;"),
            ("d", "use crate::b::B;"),
        ];
        assert_eq!(found(&tests), [""; 0]);
    }

    #[test]
    fn names_that_lead_to_each_other_end() {
        assert_eq!(
            found(&[("b", "use crate::c::X; X::f()"), ("c", "use crate::b::X;")]),
            [""; 0]
        );
    }
}
