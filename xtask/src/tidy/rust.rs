//! Rust source as tidy reads it: the tokens of `proc_macro2` in one row, and the paths among them. Bodies of
//! macros count like other code, which is why tidy reads tokens and no syntax tree. It knows no rule.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

/// A word, a literal or a mark of Rust source. `::` is one token. Comments are none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// The line that it begins on, from 1.
    pub(super) line: usize,
    /// Part of an item, field, variant, arm or statement under `#[cfg(test)]`.
    pub(super) is_test: bool,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text
            .starts_with(|first: char| first == '_' || first.is_alphabetic())
            && !self.text.ends_with(['"', '\'', '#'])
    }
}

/// Returns the tokens of a source text; none where the text is no Rust.
pub(super) fn tokens(source: &str) -> Option<Vec<Token<'_>>> {
    let mut row = Vec::new();
    flatten(source.parse().ok()?, source, &mut row);
    mark_tests(&mut row);
    Some(row)
}

/// Counts the lines that hold a token; those of tests only in a file that is a test.
pub(super) fn code_lines(tokens: &[Token<'_>], is_test_file: bool) -> usize {
    let lines = |token: &Token<'_>| token.line..=token.line + token.text.matches('\n').count();
    let code = tokens.iter().filter(|token| is_test_file || !token.is_test);
    code.flat_map(lines).collect::<BTreeSet<usize>>().len()
}

/// A path that the source names: `a::b::c`, each leaf of a `use` tree on its own. `self` at the end of a tree is
/// dropped, `*` stays.
#[derive(Debug, PartialEq)]
pub(super) struct NamedPath<'a> {
    pub(super) segments: Vec<&'a str>,
    pub(super) line: usize,
    /// The inline modules (`mod tests { … }`) around it, outermost first.
    pub(super) inside: Vec<&'a str>,
    pub(super) is_test: bool,
    /// What a leaf of a `use` is: none for a path in code.
    pub(super) import: Option<Import<'a>>,
}

/// A leaf of a `use` tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Import<'a> {
    /// The name in this module: the last segment, or what follows `as`.
    pub(super) name: &'a str,
    pub(super) visibility: Visibility,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Visibility {
    Private,
    /// `pub(crate)` and the like.
    Restricted,
    Public,
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

/// The end of the attribute whose `#` stands at `start`, if one begins there.
pub(super) fn attribute_end(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let opens = |at: usize, text| tokens.get(at).is_some_and(|token| token.text == text);
    (opens(start, "#") && opens(start + 1, "[")).then(|| group_end(tokens, start + 1))
}

/// Appends the tokens of a stream. A doc comment is one attribute of which each part has the comment's place.
fn flatten<'a>(stream: TokenStream, source: &'a str, row: &mut Vec<Token<'a>>) {
    for tree in stream {
        let text = &source[tree.span().byte_range()];
        if text.starts_with("//") || text.starts_with("/*") {
            continue;
        }
        if let TokenTree::Group(group) = tree {
            let is_marked = group.delimiter() != Delimiter::None;
            push(group.span_open(), source, is_marked, row);
            flatten(group.stream(), source, row);
            push(group.span_close(), source, is_marked, row);
        } else {
            push(tree.span(), source, true, row);
        }
    }
}

fn push<'a>(span: Span, source: &'a str, is_marked: bool, row: &mut Vec<Token<'a>>) {
    let place = span.byte_range();
    // The second colon of `::` joins the first.
    let colon = place.start.saturating_sub(1);
    match row.last_mut() {
        Some(last) if last.text == ":" && source[colon..].starts_with("::") => {
            last.text = &source[colon..place.end];
        }
        _ if is_marked => row.push(Token {
            text: &source[place],
            line: span.start().line,
            is_test: false,
        }),
        _ => {}
    }
}

fn mark_tests(tokens: &mut [Token<'_>]) {
    let mut at = 0;
    while at < tokens.len() {
        let end = attribute_end(tokens, at).filter(|end| is_cfg_test(&tokens[at..*end]));
        let Some(end) = end.map(|end| item_end(tokens, end)) else {
            at += 1;
            continue;
        };
        for token in &mut tokens[at..end] {
            token.is_test = true;
        }
        at = end;
    }
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`; not `#[cfg(not(test))]`.
fn is_cfg_test(attribute: &[Token<'_>]) -> bool {
    let texts: Vec<&str> = attribute.iter().map(|token| token.text).collect();
    texts.get(2) == Some(&"cfg")
        && texts.contains(&"test")
        && !texts.windows(3).any(|texts| texts == ["not", "(", "test"])
}

/// The end of what begins at `start`: an item ends with a semicolon or its block, all else with a comma as well,
/// or with the group around it.
fn item_end(tokens: &[Token<'_>], mut start: usize) -> usize {
    while let Some(end) = attribute_end(tokens, start) {
        start = end;
    }
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut first = start;
    if text(first) == "pub" {
        first += 1;
        if text(first) == "(" {
            first = group_end(tokens, first);
        }
    }
    let is_item = ITEMS.contains(&text(first));
    let mut at = first;
    while at < tokens.len() {
        match text(at) {
            "{" => {
                let is_block = is_item || text(at - 1) == ">";
                at = group_end(tokens, at);
                if is_block {
                    return at + usize::from(matches!(text(at), ";" | ","));
                }
            }
            "(" | "[" => at = group_end(tokens, at),
            "}" | ")" | "]" => return at,
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Behind the mark that closes the group that opens at `start`.
fn group_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
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
        while let Some(token) = self.tokens.get(self.at) {
            match token.text {
                "use" if self.peek(1) != Some("<") => {
                    let visibility = match self.at.checked_sub(1).map(|at| self.tokens[at].text) {
                        Some("pub") => Visibility::Public,
                        Some(")") => Visibility::Restricted,
                        _ => Visibility::Private,
                    };
                    self.at += 1;
                    self.tree(&[], visibility);
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
                _ if token.is_word() && self.peek(1) == Some("::") => {
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
        let start = self.at;
        let mut segments = Vec::new();
        while let Some(word) = self.tokens.get(self.at).filter(|token| token.is_word()) {
            segments.push(word.text);
            self.at += 1;
            if self.peek(0) != Some("::") {
                break;
            }
            self.at += 1;
        }
        self.push(segments, start, None);
    }

    /// One branch of a `use` tree, up to the comma, brace or semicolon that ends it.
    fn tree(&mut self, stem: &[&'a str], visibility: Visibility) {
        let mut segments = stem.to_vec();
        let start = self.at;
        let mut alias = None;
        while let Some(token) = self.tokens.get(self.at) {
            match token.text {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while self.peek(0).is_some_and(|text| text != "}") {
                        let before = self.at;
                        self.tree(&segments, visibility);
                        // A comma, or something of a macro that is no name.
                        if self.peek(0) == Some(",") || self.at == before {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    alias = self.peek(1);
                    self.at += 2;
                    break;
                }
                text if text == "*" || token.is_word() => {
                    segments.push(text);
                    self.at += 1;
                }
                _ => break,
            }
        }
        if segments.len() > 1 && segments.last() == Some(&"self") {
            segments.pop();
        }
        let import = alias
            .or(segments.last().copied())
            .map(|name| Import { name, visibility });
        self.push(segments, start, import);
    }

    fn push(&mut self, segments: Vec<&'a str>, start: usize, import: Option<Import<'a>>) {
        if let Some(first) = self.tokens.get(start).filter(|_| !segments.is_empty()) {
            self.found.push(NamedPath {
                segments,
                line: first.line,
                inside: self.inside.iter().map(|(name, _)| *name).collect(),
                is_test: first.is_test,
                import,
            });
        }
    }

    fn peek(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead).map(|token| token.text)
    }
}

/// What an item begins with.
const ITEMS: [&str; 15] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "let",
    "macro_rules",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
    "unsafe",
    "use",
];
#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Vec<Token<'_>> {
        tokens(source).unwrap()
    }

    fn texts(source: &str) -> Vec<&str> {
        read(source).iter().map(|token| token.text).collect()
    }

    fn named(source: &str) -> Vec<String> {
        paths(&read(source))
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn comments_vanish_even_nested_ones() {
        assert_eq!(texts("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
    }

    #[test]
    fn comments_for_documents_vanish_too() {
        assert_eq!(texts("//! a\n/// b\nc /** d */ /*! e */ f"), ["c", "f"]);
    }

    #[test]
    fn literals_are_whole() {
        let source = r###"f("a\"b", b"c", r#"d " e"#, 'g', '\'', b'h', "i::j")"###;
        assert_eq!(
            texts(source),
            [
                "f",
                "(",
                r#""a\"b""#,
                ",",
                r#"b"c""#,
                ",",
                r###"r#"d " e"#"###,
                ",",
                "'g'",
                ",",
                r"'\''",
                ",",
                "b'h'",
                ",",
                r#""i::j""#,
                ")"
            ]
        );
        assert_eq!(named(source), [""; 0]);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(texts("&'a str"), ["&", "'", "a", "str"]);
    }

    #[test]
    fn text_that_is_no_rust_has_no_tokens() {
        assert_eq!(tokens("fn f() { \""), None);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let found = read("/*\n*/ \"\n\" a");
        let last = found.last().map(|token| (token.text, token.line));
        assert_eq!(last, Some(("a", 3)));
    }

    #[test]
    fn lines_of_code_are_those_with_a_token_that_is_no_test() {
        let count = |source| code_lines(&read(source), false);
        assert_eq!(
            count("//! a\n\nuse b;\n// c\nfn d() {\n    \"e\n\n\"\n}"),
            6
        );
        assert_eq!(count("a;\n#[cfg(test)]\nmod tests {\n    b;\n}"), 1);
        assert_eq!(
            code_lines(&read("a;\n#[cfg(test)]\nmod tests {\n    b;\n}"), true),
            5
        );
    }

    #[test]
    fn what_stands_under_cfg_test_ends_where_it_ends() {
        let code = |source: &str| {
            let mut code = read(source);
            code.retain(|token| !token.is_test);
            let texts: Vec<&str> = code.iter().map(|token| token.text).collect();
            texts.join(" ")
        };
        for test in [
            "#[cfg(test)] use b::{c, d};",
            "#[cfg(all(test, not(loom)))] #[path(x)] mod tests;",
            "#[cfg(test)] pub(crate) fn f<A, B>(a: [u8; 4]) -> C where A: B, B: C { d }",
            "#[cfg(test)] static A: B = B { c };",
            "#[cfg(test)] Scripted(Box<Script>),",
            "#[cfg(test)] Way::Scripted(a) => a.b(c),",
            "#[cfg(test)] Way::Scripted { .. } => {}",
        ] {
            assert_eq!(code(&format!("x {test} y")), "x y", "{test}");
        }
        assert_eq!(code("{ a, #[cfg(test)] b }"), "{ a , }");
        assert_eq!(code("#[cfg(not(test))] a"), "# [ cfg ( not ( test ) ) ] a");
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
    fn imports_have_a_name_and_a_visibility() {
        let tokens = read("pub use a::B; use c::D as E; pub(crate) use f::{self, *}; g::h");
        let imports = paths(&tokens).into_iter().map(|path| {
            let import = path.import?;
            Some((import.name, import.visibility))
        });
        assert_eq!(
            imports.collect::<Vec<_>>(),
            [
                Some(("B", Visibility::Public)),
                Some(("E", Visibility::Private)),
                Some(("f", Visibility::Restricted)),
                Some(("*", Visibility::Restricted)),
                None
            ]
        );
    }

    #[test]
    fn a_bound_that_says_use_is_no_import() {
        assert_eq!(named("fn f() -> impl A + use<'_, T> { b::c }"), ["b::c"]);
    }

    #[test]
    fn inline_modules_are_known_until_they_close() {
        let tokens = read("mod tests { fn f() { a::b } use c; } use d;");
        let inside: Vec<usize> = paths(&tokens)
            .iter()
            .map(|path| path.inside.len())
            .collect();
        assert_eq!(inside, [1, 1, 0]);
    }
}
