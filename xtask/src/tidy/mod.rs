//! Our own lints: the architecture, made executable. What only taste can judge stays with the
//! reader.
//!
//! # What is read from the documents
//!
//! A table is known by the first cells of its head; it may stand anywhere in its document, more
//! than once, and may have more columns. Names stand in backticks.
//!
//! **ARCHITECTURE.md: `| crate | floor | …`.** One package in a row, by the name in its Cargo.toml
//! (`` `sockeye-proto` ``), and a number. Every package of the workspace has a row. A package may
//! depend (for builds too) only on packages of lower floors. Tests may use what shows them, here and
//! in modules called `tests`.
//!
//! **ARCHITECTURE.md: `| module | floor | …`.** One or several modules in a row. Each begins with the
//! folder of its crate under `crates/`: `` `proto::frame` ``, `` `sockeye::connection::outbox` ``.
//! A crate with one module in such a table has all of its top modules there. A deeper module stands
//! where its parent stands unless it has a row of its own. A module may name modules of its own
//! floor and below; what `lib.rs` re-exports counts as the module that it comes from; `lib.rs` and
//! `main.rs` may name all.
//!
//! **docs/rfc-ledger.md: `| id | rule | code | test |`.** Ids are unique; they are those of
//! docs/rfc-rules.tsv, where a line is an id, a tab and its section. `code` holds paths from the
//! root of the repository, with the name of an item after `::` if that helps:
//! `` `crates/proto/src/frame.rs::FrameHeader` ``. `test` holds names of test functions; tidy ignores
//! a path before the name. Several are separated by anything. Either cell may say
//! `n/a: reason` or `later: reason` instead.
//!
//! **ARCHITECTURE.md and docs/endpoints.md.** The tests that they name exist.
//!
//! **xtask/limits.tsv.** The limits of the parts that break a rule which counts: see `limits`.

mod circles;
mod documents;
mod english;
mod floors;
mod ledger;
mod limits;
mod module;
mod rust;
mod size;
mod source;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use self::limits::{LIMITS, Measure};
use self::rust::Token;
use crate::Result;

/// Checks the tree under `root` and prints every finding.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let texts = read(root)?;
    let tree = Tree::parse(&texts);
    let measures = measure(&tree);
    let findings = [
        documents::check(&tree),
        floors::check(&tree),
        ledger::check(&tree),
        limits::check(&tree, &measures),
        source::check(&tree),
    ]
    .concat();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!(
                "tidy: {} files are in order; the median file of the crates has {} lines of code",
                tree.files.len(),
                size::median(&measures)
            );
            Ok(())
        }
        count => Err(format!("{count} findings, listed above")),
    }
}

/// Lowers the limits of the tree under `root` to what is counted.
pub(crate) fn lower(root: &Path) -> Result<()> {
    let texts = read(root)?;
    let tree = Tree::parse(&texts);
    let list = tree.get(LIMITS).unwrap_or_default();
    let list = limits::lowered(list, &measure(&tree));
    fs::write(root.join(LIMITS), list).map_err(|error| format!("cannot write {LIMITS}: {error}"))
}

/// All counts that rules bound.
fn measure(tree: &Tree<'_>) -> Vec<Measure> {
    let mut measures = size::lines(tree);
    measures.push(size::root_names(tree));
    measures.extend(circles::measure(tree));
    measures.extend(english::measure(tree));
    measures
}

/// The text files of the project by their paths from its root: what git tracks or would track.
fn read(root: &Path) -> Result<BTreeMap<String, String>> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot start git: {error}"))?;
    if !listing.status.success() {
        return Err(format!(
            "git ls-files: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        ));
    }
    let mut files = BTreeMap::new();
    for path in String::from_utf8_lossy(&listing.stdout).split_terminator('\0') {
        // A file deleted but still tracked, and a file that is not text, are no matter of tidy's.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            files.insert(path.to_owned(), text);
        }
    }
    Ok(files)
}

/// The text files of the project by their paths from its root.
#[derive(Debug, Default)]
struct Tree<'a> {
    files: BTreeMap<&'a str, File<'a>>,
}

/// A text file.
#[derive(Debug)]
struct File<'a> {
    text: &'a str,
    /// Those of Rust source; none for other text, and for Rust that cannot be read.
    tokens: Option<Vec<Token<'a>>>,
}

impl<'a> Tree<'a> {
    fn parse<T: AsRef<str> + ?Sized + 'a>(texts: impl IntoIterator<Item = (&'a T, &'a T)>) -> Self {
        let files = texts.into_iter().map(|(path, text)| {
            let (path, text) = (path.as_ref(), text.as_ref());
            let tokens = path.ends_with(".rs").then(|| rust::tokens(text)).flatten();
            (path, File { text, tokens })
        });
        Self {
            files: files.collect(),
        }
    }

    fn get(&self, path: &str) -> Option<&'a str> {
        self.files.get(path).map(|file| file.text)
    }

    /// The tokens of a file of Rust source.
    fn tokens(&self, path: &str) -> &[Token<'a>] {
        let tokens = self.files.get(path).and_then(|file| file.tokens.as_deref());
        tokens.unwrap_or_default()
    }

    /// The files of Rust source with their tokens.
    fn rust_files(&self) -> impl Iterator<Item = (&'a str, &[Token<'a>])> {
        let is_rust = |path: &&&str| path.ends_with(".rs");
        let paths = self.files.keys().filter(is_rust);
        paths.map(|path| (*path, self.tokens(path)))
    }
}

/// A breach of one of our rules.
#[derive(Clone, Debug, PartialEq)]
struct Finding {
    file: String,
    /// From 1; 0 is the file as a whole.
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Trees written down in tests, and their findings as lines.
#[cfg(test)]
mod testing {
    use super::{Finding, Tree};

    pub(super) fn tree<'a>(files: &[(&'a str, &'a str)]) -> Tree<'a> {
        Tree::parse(files.iter().copied())
    }

    pub(super) fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }
}
