//! The part of plain English that a machine can judge: words that hide the actor, and long sentences.

use std::collections::BTreeMap;

use super::Tree;
use super::limits::{Kind, Measure};
use super::rust::Token;

/// Counts, for each part of the tree, the lines with a refused word and the sentences that are too long.
pub(super) fn measure(tree: &Tree<'_>) -> Vec<Measure> {
    let mut words = BTreeMap::new();
    let mut sentences = BTreeMap::new();
    for (path, file) in &tree.files {
        let Some(part) = part(path) else { continue };
        for (index, line) in file.text.lines().enumerate() {
            if let Some(word) = refused(line).filter(|_| *path != THE_RULE) {
                add(&mut words, part, path, index + 1, word.len());
            }
        }
        let errors = error_texts(tree.tokens(path));
        for (line, text) in doc_texts(file.text).into_iter().chain(errors) {
            for length in sentence_lengths(&text).filter(|length| *length > MOST_WORDS) {
                add(&mut sentences, part, path, line, length);
            }
        }
    }
    let list = REFUSED.map(str::trim).join("|");
    let list = format!(" (`git grep -niwE '{list}'` lists them)");
    let words = words.into_values().map(|found| found.measure(WORDS, &list));
    let longest = |found: Found<'_>| {
        let detail = format!(" (the longest, here, has {})", found.size);
        found.measure(SENTENCES, &detail)
    };
    words.chain(sentences.into_values().map(longest)).collect()
}

/// What was found in one part of the tree: how many, and the place of the largest.
struct Found<'a> {
    part: &'a str,
    count: usize,
    file: &'a str,
    line: usize,
    size: usize,
}

impl Found<'_> {
    fn measure(&self, kind: Kind, detail: &str) -> Measure {
        Measure {
            kind,
            what: self.part.to_owned(),
            count: self.count,
            at: (self.file.to_owned(), self.line),
            detail: detail.to_owned(),
        }
    }
}

fn add<'a>(
    all: &mut BTreeMap<&'a str, Found<'a>>,
    part: &'a str,
    file: &'a str,
    line: usize,
    size: usize,
) {
    let found = all.entry(part).or_insert(Found {
        part,
        count: 0,
        file,
        line,
        size,
    });
    found.count += 1;
    if size > found.size {
        (found.file, found.line, found.size) = (file, line, size);
    }
}

/// The part of the tree that a file is counted for: a crate, a folder at the root, or the documents.
fn part(path: &str) -> Option<&str> {
    let is_document = path.ends_with(".md");
    if !is_document && !path.ends_with(".rs") {
        return None;
    }
    let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    match (folders.next(), folders.next()) {
        (None | Some("docs"), _) => Some("docs"),
        (Some("crates"), inner) => inner,
        (folder, _) => folder,
    }
}

/// The first refused word of a line.
fn refused(line: &str) -> Option<&'static str> {
    let is_letter = |c: char| c == '_' || c.is_alphanumeric();
    let words: Vec<String> = line
        .split(|c| !is_letter(c))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let line = format!(" {} ", words.join(" "));
    REFUSED.iter().find(|word| line.contains(**word)).copied()
}

/// The paragraphs of doc comments, each with its line. Headings, tables and examples are none.
fn doc_texts(source: &str) -> Vec<(usize, String)> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    let mut in_example = false;
    for (index, line) in source.lines().enumerate() {
        let line = line.trim_start();
        let Some(text) = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))
        else {
            (is_open, in_example) = (false, false);
            continue;
        };
        let text = text.trim();
        let is_fence = text.starts_with("```");
        in_example ^= is_fence;
        if is_fence || in_example || text.is_empty() || text.starts_with(['#', '|']) {
            is_open = false;
            continue;
        }
        match texts.last_mut() {
            Some((_, last)) if is_open && !text.starts_with(['-', '*']) => {
                last.push(' ');
                last.push_str(text);
            }
            _ => texts.push((index + 1, text.to_owned())),
        }
        is_open = true;
    }
    texts
}

/// The texts of `#[error("…")]`, each with its line.
fn error_texts(tokens: &[Token<'_>]) -> Vec<(usize, String)> {
    let texts = tokens.windows(5).filter_map(|row| {
        let [mark, open, name, bracket, text] = row else {
            return None;
        };
        let is_error =
            [mark, open, name, bracket].map(|token| token.text) == ["#", "[", "error", "("];
        (is_error && text.text.starts_with('"')).then(|| (text.line, text.text.to_owned()))
    });
    texts.collect()
}

/// The words of each sentence of a text.
fn sentence_lengths(text: &str) -> impl Iterator<Item = usize> {
    let mut lengths = vec![0];
    for word in text.split_whitespace() {
        let is_word = word.contains(char::is_alphanumeric);
        *lengths.last_mut().expect("never empty") += usize::from(is_word);
        let bare = word.trim_end_matches([')', ']', '"', '*', '`']);
        if bare.ends_with(['.', '!', '?']) && !ABBREVIATIONS.contains(&bare) {
            lengths.push(0);
        }
    }
    lengths.into_iter()
}

const WORDS: Kind = Kind {
    name: "words",
    unit: "lines with a word that hides the actor",
    most: 0,
    slack: 9,
};
const SENTENCES: Kind = Kind {
    name: "sentences",
    unit: "sentences of more than 30 words in doc comments and error texts",
    most: 0,
    slack: 9,
};
const MOST_WORDS: usize = 30;
const ABBREVIATIONS: [&str; 3] = ["e.g.", "i.e.", "vs."];
/// The document that names the refused words.
const THE_RULE: &str = "CONTRIBUTING.md";
// Each as a whole word, and written in two parts, so that this file does not break its own rule.
const REFUSED: [&str; 10] = [
    concat!(" who", "ever "),
    concat!(" who", "mever "),
    concat!(" who", "m "),
    concat!(" no", "body "),
    concat!(" some", "body "),
    concat!(" some", "one "),
    concat!(" any", "body "),
    concat!(" tho", "se who "),
    concat!(" the o", "ne who "),
    concat!(" is no", "ne of "),
];

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let line = |measure: Measure| {
            let (file, line) = measure.at;
            format!(
                "{}: {} {} at {file}:{line}",
                measure.what, measure.count, measure.kind.name
            )
        };
        measure(&tree(files)).into_iter().map(line).collect()
    }

    #[test]
    fn lines_that_say_a_refused_word_are_counted_for_their_part_of_the_tree() {
        let word = |at: usize| REFUSED[at].trim();
        let line = format!("// {} writes; {} reads\n", word(0), word(3));
        let phrase = format!("\"Is it {}?\"", word(7).to_uppercase());
        let other = format!("fn {}_waits() {{}} // the{}\n", word(3), word(2));
        let files = [
            ("README.md", &*line),
            ("bench/src/a.rs", &phrase),
            ("bench/src/b.rs", &other),
            ("crates/cli/src/a.rs", &line),
            ("crates/cli/tests/b.rs", &line),
            ("crates/cli/c.toml", &line),
            ("docs/a.md", &line),
            ("CONTRIBUTING.md", &line),
        ];
        assert_eq!(
            found(&files),
            [
                "bench: 1 words at bench/src/a.rs:1",
                "crates/cli: 2 words at crates/cli/src/a.rs:1",
                "docs: 2 words at README.md:1",
            ]
        );
    }

    #[test]
    fn long_sentences_of_doc_comments_and_errors_are_counted() {
        let long = "word ".repeat(31);
        let fine = format!("{}end. {}end", "word ".repeat(29), "word - ".repeat(29));
        let text = format!(
            "//! {long}\n/// {fine}\n/// ```\n/// {long}\n/// ```\n// {long}\nfn f() {{ \"{long}\" }}\n#[error(\"{long}\")]"
        );
        assert_eq!(
            found(&[("xtask/a.rs", &text)]),
            ["xtask: 2 sentences at xtask/a.rs:1"]
        );
    }

    #[test]
    fn a_sentence_goes_on_in_the_next_line_and_ends_with_its_paragraph() {
        let half = "word ".repeat(16);
        for (text, count) in [
            (format!("/// {half}\n/// {half}"), 1),
            (format!("/// {half}e.g. {half}"), 1),
            (format!("/// {half}\n///\n/// {half}"), 0),
            (format!("/// {half}\n/// - {half}"), 0),
            (format!("/// {half}(end.) {half}"), 0),
            (format!("/// {half}\nfn f() {{}}\n/// {half}"), 0),
            (format!("/// # {half} {half}\n/// | {half} {half}"), 0),
        ] {
            assert_eq!(found(&[("fuzz/a.rs", &text)]).len(), count, "{text}");
        }
    }
}
