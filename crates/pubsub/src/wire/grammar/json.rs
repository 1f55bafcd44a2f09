//! Reading the values of a header's fields, and writing JSON text.

use std::borrow::Cow;
use std::fmt::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::frame::Violation;

/// Reads the fields of a header. A field that stands in it twice is an error, as parsers differ in which one counts.
pub(super) fn fields<'a, T: Deserialize<'a>>(header: &'a str) -> Result<T, Violation> {
    serde_json::from_str(header).map_err(|error| Violation::Json(error.to_string()))
}

/// Reads a value. `None` if it is of another kind.
pub(super) fn value<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// Reads a text, without a copy if nothing in it is escaped. `None` if the value is of another kind.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return value(raw).map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Writes a text as a JSON string.
pub(super) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(needs_escape) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some(c @ ('"' | '\\')) => out.extend(['\\', c]),
            Some('\n') => out.push_str("\\n"),
            Some(c) => write_display(out, format_args!("\\u{:04x}", u32::from(c))),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// The number of bytes that [`write_text`] writes for a text without control characters.
pub(super) fn text_len(text: &str) -> usize {
    2 + text.len()
        + text
            .bytes()
            .filter(|byte| matches!(byte, b'"' | b'\\'))
            .count()
}

/// Writes a value that is no text.
pub(super) fn write_display(out: &mut String, value: impl fmt::Display) {
    // Writing to a `String` does not fail.
    let _ = write!(out, "{value}");
}

/// Writes 64 bits as a JSON string of 11 characters of base64url.
pub(super) fn write_word(out: &mut String, word: u64) {
    out.push('"');
    URL_SAFE_NO_PAD.encode_string(word.to_be_bytes(), out);
    out.push('"');
}

fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\x1f')
}
