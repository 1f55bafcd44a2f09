//! JSON with other white space: numbers, escapes and the order of fields stay. Also messages as JSON values, for
//! `--json` and `--input json`.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sockeye::Message;

use crate::escape::is_deceptive;

/// Whether a text is one JSON value, with white space around it at most.
pub(super) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Returns a text message as a JSON value. A text that is JSON keeps its value, and any other text becomes a JSON string.
///
/// Two kinds of JSON also become a JSON string, because [`message`] reads them back as something else: a JSON string, and
/// an object `{"binary": …}`.
pub(super) fn value(text: &str, is_indented: bool) -> String {
    let is_kept = !is_string(text) && !is_binary(text);
    let reformatted = reformat(text, is_indented).filter(|_| is_kept);
    reformatted.unwrap_or_else(|| string(text))
}

/// Returns the message of a JSON value. A string is its text, `{"binary":"..."}` is bytes in base64, and any other value
/// is a text as it stands. `None` if the text is not JSON, or if the base64 is invalid.
pub(super) fn message(text: &str) -> Option<Message> {
    if is_string(text) {
        return serde_json::from_str::<String>(text).ok().map(Message::from);
    }
    if is_binary(text) {
        let object: Binary<String> = serde_json::from_str(text).ok()?;
        return BASE64_STANDARD
            .decode(object.binary)
            .ok()
            .map(Message::from);
    }
    is_valid(text).then(|| text.trim_matches(SPACE).into())
}

/// An object whose only member is `binary`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binary<T> {
    binary: T,
}

fn is_binary(text: &str) -> bool {
    let is_object = text.trim_start_matches(SPACE).starts_with('{');
    is_object && serde_json::from_str::<Binary<IgnoredAny>>(text).is_ok()
}

fn is_string(text: &str) -> bool {
    text.trim_start_matches(SPACE).starts_with('"') && is_valid(text)
}

/// Returns the JSON on one line, or indented. `None` if the text is not JSON.
///
/// Characters that a terminal obeys are escaped. That changes no value.
pub(super) fn reformat(text: &str, is_indented: bool) -> Option<String> {
    if !is_valid(text) {
        return None;
    }
    // A peer must not make the output much longer than its message.
    let is_indented = is_indented && text.len() <= LONGEST_INDENTED;
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut chars = text.chars().filter_map(spaceless()).peekable();
    while let Some(part) = chars.next() {
        let (c, is_inside) = part;
        if is_inside {
            push(&mut out, c);
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                let is_empty = matches!(chars.peek(), Some(('}' | ']', false)));
                if is_empty {
                    out.extend(chars.next().map(|(c, _)| c));
                } else {
                    depth += 1;
                    start_line(&mut out, depth, is_indented);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                start_line(&mut out, depth, is_indented);
                out.push(c);
            }
            ',' => {
                out.push(c);
                start_line(&mut out, depth, is_indented);
            }
            ':' if is_indented => out.push_str(": "),
            _ => out.push(c),
        }
    }
    Some(out)
}

/// Returns a text as a JSON string, with the escapes of [`escaped`].
pub(super) fn string(text: &str) -> String {
    escaped(&serde_json::to_string(text).unwrap_or_default())
}

/// Returns JSON with escapes for the characters that a terminal obeys. In valid JSON these are only in strings.
pub(super) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    json.chars().for_each(|c| push(&mut out, c));
    out
}

/// Returns a filter that leaves out the white space between values. It returns each other character, and whether the
/// character is inside of a string.
fn spaceless() -> impl FnMut(char) -> Option<(char, bool)> {
    let (mut is_inside, mut is_escaped) = (false, false);
    move |c| {
        if !is_inside {
            is_inside = c == '"';
            return (!c.is_ascii_whitespace()).then_some((c, is_inside));
        }
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if c == '"' {
            is_inside = false;
        }
        Some((c, true))
    }
}

fn push(out: &mut String, c: char) {
    if !is_deceptive(c) {
        out.push(c);
        return;
    }
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

fn start_line(out: &mut String, depth: usize, is_indented: bool) {
    if is_indented {
        out.push('\n');
        (0..depth.min(DEEPEST)).for_each(|_| out.push_str("  "));
    }
}

/// The white space of JSON.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
/// The number of bytes up to which a text is indented.
const LONGEST_INDENTED: usize = 1 << 20;
/// The deepest indentation of a line.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_alone_is_changed() {
        let text = "\t{ \"a\" : [ 1.50e+400 , \"x \\\" , [y\" ],\r\n\"b\":{ }, \"a\": [] }\n";
        let line = r#"{"a":[1.50e+400,"x \" , [y"],"b":{},"a":[]}"#;
        assert_eq!(reformat(text, false).as_deref(), Some(line));
        let indented = "{\n  \"a\": [\n    1.50e+400,\n    \"x \\\" , [y\"\n  ],\n  \"b\": {},\n  \"a\": []\n}";
        assert_eq!(reformat(text, true).as_deref(), Some(indented));
    }

    #[test]
    fn what_is_no_json_is_told_apart() {
        for text in [
            "",
            "hello",
            "{",
            "[1,]",
            "\"a\nb\"",
            "1 2",
            &"[".repeat(1000),
        ] {
            assert_eq!(reformat(text, true), None, "{text:?}");
        }
        for text in ["1", "null", "\"\"", "[]"] {
            assert_eq!(reformat(text, true).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_without_a_change_of_value() {
        let text = "\"\u{9b}2J\u{202e}\u{e0001}é\"";
        let shown = r#""\u009b2J\u202e\udb40\udc01é""#;
        assert_eq!(reformat(text, false).as_deref(), Some(shown));
        let value: String = serde_json::from_str(shown).expect("JSON");
        assert_eq!(serde_json::to_string(&value).expect("a string"), text);
        assert_eq!(string("a\"\u{1b}\u{7f}"), r#""a\"\u001b\u007f""#);
    }

    #[test]
    fn each_message_is_a_value_of_its_own_and_is_read_back() {
        for (text, expected) in [
            ("hi", r#""hi""#),
            (r#""hi""#, r#""\"hi\"""#),
            (" {\"a\": 1}\n", r#"{"a":1}"#),
            (r#"{"binary":"AP8="}"#, r#""{\"binary\":\"AP8=\"}""#),
            (r#"{"b\u0069nary":[]}"#, r#""{\"b\\u0069nary\":[]}""#),
            (r#"{"binary":"AP8=","a":1}"#, r#"{"binary":"AP8=","a":1}"#),
            ("[\"AP8=\"]", "[\"AP8=\"]"),
            ("", "\"\""),
            ("1.50", "1.50"),
            ("CONNECT\n\n\0", r#""CONNECT\n\n\u0000""#),
        ] {
            let line = value(text, false);
            assert_eq!(line, expected);
            let sent = message(&line).expect("a value");
            let sent = sent.as_text().expect("a text");
            assert_eq!(
                reformat(sent, false).as_deref().unwrap_or(sent),
                reformat(text, false).as_deref().unwrap_or(text)
            );
        }
        assert_eq!(
            message(r#" {"binary" : "AP8="} "#),
            Some(Message::from(vec![0, 255]))
        );
        assert_eq!(message(" [1, 2] "), Some(Message::from("[1, 2]")));
        for line in [
            "",
            "hi",
            "{",
            r#"{"binary":1}"#,
            r#"{"binary":"?"}"#,
            r#""\ud800""#,
            "\"a\" 1",
        ] {
            assert_eq!(message(line), None, "{line}");
        }
    }

    #[test]
    fn a_long_or_deep_text_is_not_multiplied() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let longest = reformat(&deep, true).expect("JSON");
        let longest = longest.lines().map(str::len).max();
        assert_eq!(longest, Some(2 * DEEPEST + 2));
        let long = format!("[{}]", vec!["0"; LONGEST_INDENTED].join(","));
        assert_eq!(reformat(&long, true), Some(long));
    }
}
