//! The notation of a text message on one line. [`write`] makes the line that is printed, and [`read`] undoes it for
//! `--input escaped`.
//!
//! JSON stays JSON with the same value. All other text has its control characters and backslashes escaped, as `\n`,
//! `\u{1b}` and `\\`. An escaped text is never valid JSON, so no line has two meanings.

use std::borrow::Cow;

use super::json;
use crate::escape::is_deceptive;

/// Returns the line for a text. A terminal also gets escapes for a tab and for characters that deceive a reader.
pub(super) fn write(text: &str, for_terminal: bool) -> Cow<'_, str> {
    let is_harmful = |c: char| match for_terminal {
        true => is_deceptive(c),
        false => c.is_control() && c != '\t',
    };
    let is_escaped = |c: char| c == '\\' || is_harmful(c);
    if !text.contains(is_escaped) {
        return text.into();
    }
    if json::is_valid(text) {
        // In valid JSON a line feed is white space between two values, and the other characters have JSON escapes.
        return match text.contains(is_harmful) {
            true => json::reformat(text, false).map_or(text.into(), Cow::from),
            false => text.into(),
        };
    }
    let escaped = escape(text, is_escaped);
    let mut rest = text.chars();
    match rest.next() {
        // An escape outside of a JSON string is an error of syntax.
        Some(first) if json::is_valid(&escaped) => format!(
            "{}{}",
            first.escape_unicode(),
            escape(rest.as_str(), is_escaped)
        )
        .into(),
        _ => escaped.into(),
    }
}

/// Returns the text of a line. `None` if an escape in it is unknown.
pub(super) fn read(line: &str) -> Option<Cow<'_, str>> {
    if !line.contains('\\') || json::is_valid(line) {
        return Some(line.into());
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let mut chars = escape.chars();
        let c = match chars.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '\\' => '\\',
            'u' => {
                let (digits, behind) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                chars = behind.chars();
                // `from_str_radix` takes a sign as well.
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let number = u32::from_str_radix(digits, 16).ok()?;
                char::from_u32(number).filter(|_| is_hex)?
            }
            _ => return None,
        };
        text.push(c);
        rest = chars.as_str();
    }
    text.push_str(rest);
    Some(text.into())
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;
    use serde_json::Value;

    use super::*;

    fn in_pipe(text: &str) -> Cow<'_, str> {
        write(text, false)
    }

    #[test]
    fn a_newline_and_a_backslash_with_an_n_are_two_lines() {
        assert_eq!(in_pipe("a\nb"), r"a\nb");
        assert_eq!(in_pipe(r"a\nb"), r"a\\nb");
        assert_eq!(
            in_pipe("\u{0}\u{1b}\t\u{9b}\u{202e}é"),
            "\\u{0}\\u{1b}\t\\u{9b}\u{202e}é"
        );
        assert_eq!(write("\t\u{202e}", true), r"\t\u{202e}");
    }

    #[test]
    fn json_keeps_its_value_and_its_bytes_unless_they_break_the_line() {
        for text in [
            r#"{"a" : "x\ny \\ \u0041"}"#,
            r#" "\n" "#,
            "\t[1.50e+400]",
            "null",
        ] {
            assert_eq!(in_pipe(text), text);
        }
        let pretty = "{\r\n  \"a\": [\n    \"x\\ny\",\n    2.50\n  ]\n}\n";
        assert_eq!(in_pipe(pretty), r#"{"a":["x\ny",2.50]}"#);
        assert_eq!(in_pipe("\"\u{9b}\""), r#""\u009b""#);
        let deep = format!("{}\n{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(in_pipe(&deep), deep.replace('\n', ""));
    }

    #[test]
    fn a_text_whose_escapes_would_make_it_json_is_told_apart_by_its_first_character() {
        assert_eq!(in_pipe("\"a\nb\""), r#"\u{22}a\nb""#);
        assert_eq!(in_pipe(r#"["\x"]"#), r#"\u{5b}"\\x"]"#);
        assert_eq!(in_pipe(" \"\n\""), r#"\u{20}"\n""#);
        assert_eq!(in_pipe("\"\u{1b}\""), r#""\u{1b}""#);
    }

    #[test]
    fn an_unknown_escape_is_refused() {
        for line in [
            r"\",
            r"a\x",
            r"\u",
            r"\u{",
            r"\u{}",
            r"\u{110000}",
            r"\u{d800}",
            r"\u{+1}",
            r"\0",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
        assert_eq!(read(r"\u{00001F41F}\\n").as_deref(), Some("🐟\\n"));
    }

    /// Texts that are likely to be JSON, or to become JSON when they are escaped.
    fn texts() -> impl Strategy<Value = String> {
        let part = select(vec![
            "\"", "\\", "\n", "\r", "n", "u", "\\u{", "}", "{", "[", "]", ":", ",", "1", " ", "\t",
            "\"a\"", "\\\"", "\\n", "\u{1b}", "\u{9b}", "\u{202e}", "é",
        ]);
        vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    /// Pretty JSON, with every kind of character in its strings.
    fn pretty_json() -> impl Strategy<Value = String> {
        vec((any::<String>(), texts()), 0..4).prop_map(|pairs| {
            let pairs = pairs
                .into_iter()
                .map(|(name, value)| (name, Value::from(value)));
            serde_json::to_string_pretty(&Value::Object(pairs.collect())).expect("JSON")
        })
    }

    fn check(text: &str, for_terminal: bool) {
        let line = write(text, for_terminal);
        assert!(!line.contains(['\n', '\r']), "{line:?}");
        let back = read(&line).expect("an own line");
        match serde_json::from_str::<Value>(text) {
            Ok(value) => assert_eq!(
                serde_json::from_str::<Value>(&back).ok(),
                Some(value),
                "{line}"
            ),
            Err(_) if json::is_valid(text) => {}
            Err(_) => assert_eq!(back, text, "{line}"),
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in texts(), any in any::<String>(), for_terminal in any::<bool>()) {
            check(&text, for_terminal);
            check(&any, for_terminal);
        }

        #[test]
        fn pretty_json_is_one_line_with_the_same_value(text in pretty_json()) {
            let line = in_pipe(&text);
            prop_assert!(!line.contains('\n'));
            let value: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Value>(&line).ok(), Some(value));
            check(&text, true);
        }

        #[test]
        fn two_texts_have_one_line_only_if_they_are_one_json_value(one in texts(), other in texts()) {
            if one != other && in_pipe(&one) == in_pipe(&other) {
                prop_assert!(json::is_valid(&one) && json::is_valid(&other));
            }
        }
    }
}
