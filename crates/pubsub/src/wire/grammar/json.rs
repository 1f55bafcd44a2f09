//! Reading the values of a header's fields, and writing JSON text.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::frame::Violation;
use crate::position::Position;

/// Reads the fields of a header. A field that stands in it twice is an error, as parsers differ in which one counts.
pub(super) fn fields<'a, T: Deserialize<'a>>(header: &'a str) -> Result<T, Violation> {
    serde_json::from_str(header).map_err(|error| Violation::Json(error.to_string()))
}

/// Reads a value. `None` if it is of another kind.
pub(super) fn value<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// Reads a whole number. `None` if the value is of another kind, or too large.
pub(super) fn number<T: FromStr>(raw: &RawValue) -> Option<T> {
    // JSON has no sign `+` and no leading zeros, so this accepts no other spelling.
    raw.get().parse().ok()
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

/// Writes a whole number.
pub(super) fn write_number(out: &mut String, number: u64) {
    if number >= 10 {
        write_number(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// Writes a position as a JSON string.
pub(super) fn write_position(out: &mut String, at: Position) {
    out.push('"');
    push_word(out, at.epoch.get());
    out.push(':');
    write_number(out, at.offset);
    out.push(':');
    match at.id {
        Some(id) => push_word(out, id.get()),
        None => out.push('0'),
    }
    out.push('"');
}

/// Writes 64 bits as 11 characters of base64url.
pub(super) fn push_word(out: &mut String, word: u64) {
    let digit = |bits: u64| char::from(BASE64URL[(bits & 63) as usize]);
    for at in 0..10 {
        out.push(digit(word >> (58 - 6 * at)));
    }
    out.push(digit(word << 2));
}

const BASE64URL: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\x1f')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::position::{Epoch, MessageId};

    proptest! {
        #[test]
        fn a_position_is_written_as_its_display_says(epoch: u64, offset: u64, id: Option<u64>) {
            let at = Position {
                epoch: Epoch::new(epoch),
                offset,
                id: id.map(MessageId::new),
            };
            let mut out = String::new();
            write_position(&mut out, at);
            prop_assert_eq!(out, format!("\"{at}\""));
        }

        #[test]
        fn a_number_is_written_and_read_in_decimal(number: u64) {
            let mut out = String::new();
            write_number(&mut out, number);
            prop_assert_eq!(&out, &number.to_string());
            let raw: &RawValue = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(super::number(raw), Some(number));
        }

        #[test]
        fn a_text_is_written_as_other_writers_of_json_write_it(text: String) {
            let mut out = String::new();
            write_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text.clone());
            if !text.contains(char::is_control) {
                prop_assert_eq!(out.len(), text_len(&text));
                prop_assert_eq!(out, serde_json::to_string(&text).unwrap());
            }
        }
    }
}
