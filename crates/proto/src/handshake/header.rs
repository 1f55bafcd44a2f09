//! The grammar that the handshake's header fields share: tokens, comma-separated lists, fields that
//! stand once. RFC 9110 section 5.6, to which RFC 6455 section 4.3 comes down.
//!
//! Knows no rule of the handshake itself. Everything is linear in the bytes of the fields, which
//! the caller bounds.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// How often a field stands that may stand only once.
pub(super) enum Sole<'a> {
    Missing,
    /// The value of the one field line, without the whitespace around it.
    One(&'a [u8]),
    Repeated,
}

/// The field `name`, where several lines would not mean one list.
pub(super) fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Sole<'a> {
    if headers.keys_len() == headers.len() {
        // The usual case: no field is repeated.
        let value = headers.get(name);
        return value.map_or(Sole::Missing, |value| Sole::One(trim(value.as_bytes())));
    }
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Sole::Missing,
        (Some(value), None) => Sole::One(trim(value.as_bytes())),
        (Some(_), Some(_)) => Sole::Repeated,
    }
}

/// The elements of a comma-separated list, over all field lines in order.
///
/// RFC 9110 §5.3: several lines mean the list that joining them with commas makes. §5.6.1.2: empty
/// elements are passed over. Not for lists whose elements may hold a quoted comma.
pub(super) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// The tokens of a list; `None` if an element is something else.
pub(super) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Vec<&'a str>> {
    elements(headers, name).map(token).collect()
}

/// Whether a well-formed list of tokens holds `wanted`, ignoring ASCII case.
pub(super) fn lists_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    lists(headers, name, wanted, is_token)
}

/// Whether a well-formed list of protocols (a token, or two with a slash between: RFC 9110 §7.8)
/// holds `wanted`, ignoring ASCII case.
pub(super) fn lists_protocol(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    lists(headers, name, wanted, |element| {
        element.splitn(2, |&byte| byte == b'/').all(is_token)
    })
}

/// Whether a list of which all elements are well formed holds `wanted`, ignoring ASCII case.
fn lists(
    headers: &HeaderMap,
    name: &HeaderName,
    wanted: &str,
    is_well_formed: impl Fn(&[u8]) -> bool,
) -> bool {
    if is(headers, name, wanted) {
        return true;
    }
    let mut found = false;
    let well_formed = elements(headers, name).all(|element| {
        found |= element.eq_ignore_ascii_case(wanted.as_bytes());
        is_well_formed(element)
    });
    well_formed && found
}

/// Whether any element of the list is `wanted`, ignoring ASCII case, whatever the others are.
pub(super) fn mentions(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    is(headers, name, wanted)
        || elements(headers, name).any(|element| element.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Whether the field is one line with the value `wanted`, ignoring ASCII case. This is the usual case, and it needs no
/// split into elements.
fn is(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    match sole(headers, name) {
        Sole::One(value) => value.eq_ignore_ascii_case(wanted.as_bytes()),
        Sole::Missing | Sole::Repeated => false,
    }
}

/// `text` as a token.
pub(super) fn token(text: &[u8]) -> Option<&str> {
    if is_token(text) {
        str::from_utf8(text).ok()
    } else {
        None
    }
}

/// Whether `text` is a token: one or more of the characters that [`is_token_byte`] allows.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// §4.1: 0x21 to 0x7E without the separators. RFC 9110 §5.6.2 lists the same characters as `tchar`.
pub(super) fn is_token_byte(byte: u8) -> bool {
    let separator = matches!(byte, b'"' | b'(' | b')' | b',' | b'/' | b'{' | b'}')
        || matches!(byte, b':'..=b'@' | b'['..=b']');
    byte.is_ascii_graphic() && !separator
}

/// `text` without the optional whitespace around it: spaces and tabs, RFC 9110 §5.6.3.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// A field value from text that is legal by construction.
pub(super) fn field_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text)
        .expect("tokens, base64, hosts and what joins them are visible ASCII and spaces")
}
