//! Rust source as tidy reads it: tokens without comments and literals, and the paths among them.
//! It knows just enough of the language for that, and nothing of any rule.

/// A word or a mark of Rust source, with its line (from 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// The tokens of a source text. Comments vanish, each literal becomes one `""`, and `::` is one token.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = next(rest, first);
        let text = &rest[..length];
        match kind {
            Kind::Token => tokens.push(Token { text, line }),
            Kind::Literal => tokens.push(Token { text: "\"\"", line }),
            Kind::Blank => {}
        }
        line += text.matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// A path that the source names: `a::b::c`, each leaf of a `use` tree on its own. A leaf that is
/// renamed keeps its old name; `self` at the end of a tree is dropped, `*` stays.
#[derive(Debug, PartialEq)]
pub(super) struct NamedPath<'a> {
    pub(super) segments: Vec<&'a str>,
    pub(super) line: usize,
    /// The inline modules (`mod tests { … }`) around it, outermost first.
    pub(super) inside: Vec<&'a str>,
    /// Part of a `pub use`.
    pub(super) is_export: bool,
}

/// All paths of two or more segments, and those of `use` items whatever their length.
pub(super) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<NamedPath<'a>> {
    let mut reader = PathReader {
        tokens,
        at: 0,
        inside: Vec::new(),
        depth: 0,
        found: Vec::new(),
    };
    reader.read();
    reader.found
}

/// What a token is once it is known where it ends.
enum Kind {
    Blank,
    Literal,
    Token,
}

/// The length and the kind of what `rest` begins with, which is `first`.
fn next(rest: &str, first: char) -> (usize, Kind) {
    if first.is_whitespace() {
        return (first.len_utf8(), Kind::Blank);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Blank);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kind::Blank);
    }
    if let Some(length) = raw_string(rest) {
        return (length, Kind::Literal);
    }
    let prefix = ["", "b", "c"]
        .into_iter()
        .find(|prefix| rest[prefix.len()..].starts_with('"') && rest.starts_with(prefix));
    if let Some(prefix) = prefix {
        return (
            prefix.len() + quoted(&rest[prefix.len()..], '"'),
            Kind::Literal,
        );
    }
    if rest.starts_with("b'") {
        return (1 + quoted(&rest[1..], '\''), Kind::Literal);
    }
    if first == '\'' {
        return if is_character(rest) {
            (quoted(rest, '\''), Kind::Literal)
        } else {
            (1, Kind::Blank)
        };
    }
    if is_word(first) {
        return (
            rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            Kind::Token,
        );
    }
    (
        if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        },
        Kind::Token,
    )
}

/// Comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a raw string with any prefix and any count of `#`, if one is here.
fn raw_string(rest: &str) -> Option<usize> {
    let body = ["r", "br", "cr"]
        .into_iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let body = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - body.len();
    Some(
        body.find(&end)
            .map_or(rest.len(), |at| start + at + end.len()),
    )
}

/// The length of a literal that opens and closes with `quote` and escapes with a backslash.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// Whether the `'` here opens a character, not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Walks the tokens once, keeping account of the inline modules around.
struct PathReader<'a, 't> {
    tokens: &'t [Token<'a>],
    at: usize,
    /// Open inline modules, each with the depth of braces that it opened at.
    inside: Vec<(&'a str, usize)>,
    depth: usize,
    found: Vec<NamedPath<'a>>,
}

impl<'a> PathReader<'a, '_> {
    fn read(&mut self) {
        while let Some(token) = self.peek(0) {
            match token {
                "use" => {
                    let is_export = self.at > 0 && self.tokens[self.at - 1].text == "pub";
                    self.at += 1;
                    self.tree(&[], is_export);
                    continue;
                }
                "mod" if self.peek(2) == Some("{") => {
                    self.inside
                        .push((self.peek(1).unwrap_or_default(), self.depth));
                    self.depth += 1;
                    self.at += 3;
                    continue;
                }
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    if self
                        .inside
                        .last()
                        .is_some_and(|(_, depth)| *depth == self.depth)
                    {
                        self.inside.pop();
                    }
                }
                _ if token.starts_with(is_word) && self.peek(1) == Some("::") => {
                    self.inline_path();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// `a::b::c` in the midst of code; a turbofish or a macro's `$` ends it.
    fn inline_path(&mut self) {
        let line = self.tokens[self.at].line;
        let mut segments = Vec::new();
        while let Some(word) = self.peek(0).filter(|text| text.starts_with(is_word)) {
            segments.push(word);
            self.at += 1;
            if self.peek(0) != Some("::") {
                break;
            }
            self.at += 1;
        }
        self.push(segments, line, false);
    }

    /// One branch of a `use` tree, up to the comma, brace or semicolon that ends it.
    fn tree(&mut self, stem: &[&'a str], is_export: bool) {
        let mut segments = stem.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        while let Some(text) = self.peek(0) {
            match text {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while self.peek(0).is_some_and(|text| text != "}") {
                        self.tree(&segments, is_export);
                        if self.peek(0) == Some(",") {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    self.at += 2;
                    break;
                }
                _ if text == "*" || text.starts_with(is_word) => {
                    segments.push(text);
                    self.at += 1;
                }
                _ => break,
            }
        }
        if segments.len() > 1 && segments.last() == Some(&"self") {
            segments.pop();
        }
        self.push(segments, line, is_export);
    }

    fn push(&mut self, segments: Vec<&'a str>, line: usize, is_export: bool) {
        if !segments.is_empty() {
            let inside = self.inside.iter().map(|(name, _)| *name).collect();
            self.found.push(NamedPath {
                segments,
                line,
                inside,
                is_export,
            });
        }
    }

    fn peek(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead).map(|token| token.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).iter().map(|token| token.text).collect()
    }

    fn named(source: &str) -> Vec<String> {
        paths(&tokens(source))
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn comments_vanish_even_nested_ones() {
        assert_eq!(texts("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
    }

    #[test]
    fn literals_hide_what_they_contain() {
        let source = r###"f("a\"b", b"c", r#"d " e"#, 'g', '\'', b'h', "i")"###;
        assert_eq!(
            texts(source),
            [
                "f", "(", "\"\"", ",", "\"\"", ",", "\"\"", ",", "\"\"", ",", "\"\"", ",", "\"\"",
                ",", "\"\"", ")"
            ]
        );
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(texts("&'a str"), ["&", "a", "str"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let found = tokens("/*\n*/ \"\n\" a");
        assert_eq!(found.last(), Some(&Token { text: "a", line: 3 }));
    }

    #[test]
    fn a_use_tree_names_each_leaf() {
        assert_eq!(
            named("use crate::{a::{self, B as C}, d::*}; use e;"),
            ["crate::a", "crate::a::B", "crate::d::*", "e"]
        );
    }

    #[test]
    fn paths_in_code_are_found() {
        assert_eq!(
            named("let x: crate::a::B = std::mem::take::<u8>(y);"),
            ["crate::a::B", "std::mem::take"]
        );
    }

    #[test]
    fn exports_are_marked() {
        let tokens = tokens("pub use a::B; use c::D;");
        let marks: Vec<bool> = paths(&tokens).iter().map(|path| path.is_export).collect();
        assert_eq!(marks, [true, false]);
    }

    #[test]
    fn inline_modules_are_known_until_they_close() {
        let tokens = tokens("mod tests { fn f() { a::b } use c; } use d;");
        let inside: Vec<usize> = paths(&tokens)
            .iter()
            .map(|path| path.inside.len())
            .collect();
        assert_eq!(inside, [1, 1, 0]);
    }
}
