//! The grammar that the handshake's header fields share: tokens, comma-separated lists, and fields that may occur once.
//! RFC 9110 section 5.6, on which RFC 6455 section 4.3 is based.
//!
//! Knows no rule of the handshake itself. All functions take linear time in the bytes of the fields, and the caller
//! limits these.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The lines of a field that may occur once.
pub(super) enum Sole<'a> {
    Missing,
    /// The value of the only field line, without the whitespace around it.
    One(&'a [u8]),
    Repeated,
}

/// Returns the field `name`, which may occur once: several lines of it are not one list.
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

/// Returns the elements of a comma-separated list, of all field lines in order.
///
/// RFC 9110 §5.3: several lines are one list, joined by commas. §5.6.1.2: empty elements are ignored. This is not for
/// lists whose elements may hold a quoted comma.
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

/// Returns the tokens of a list; `None` if an element is not a token.
pub(super) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Vec<&'a str>> {
    elements(headers, name).map(token).collect()
}

/// Returns whether a field is a well-formed list of tokens with the element `wanted`, ignoring ASCII case.
pub(super) fn lists_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    lists(headers, name, wanted, is_token)
}

/// Returns whether a field is a well-formed list of protocols with the element `wanted`, ignoring ASCII case. A
/// protocol is a token, or two tokens with a slash between them (RFC 9110 §7.8).
pub(super) fn lists_protocol(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    lists(headers, name, wanted, |element| {
        element.splitn(2, |&byte| byte == b'/').all(is_token)
    })
}

/// Returns whether all elements of a list are well formed, and one is `wanted`, ignoring ASCII case.
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

/// Returns whether any element of the list is `wanted`, ignoring ASCII case. The other elements may be malformed.
pub(super) fn mentions(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    is(headers, name, wanted)
        || elements(headers, name).any(|element| element.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Returns whether the field is one line with the value `wanted`, ignoring ASCII case. This is the usual case, and it
/// needs no split into elements.
fn is(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    match sole(headers, name) {
        Sole::One(value) => value.eq_ignore_ascii_case(wanted.as_bytes()),
        Sole::Missing | Sole::Repeated => false,
    }
}

/// Returns `text` if it is a token.
pub(super) fn token(text: &[u8]) -> Option<&str> {
    if is_token(text) {
        str::from_utf8(text).ok()
    } else {
        None
    }
}

/// Returns whether `text` is a token: one or more of the characters that [`is_token_byte`] allows.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// §4.1: 0x21 to 0x7E without the separators. RFC 9110 §5.6.2 lists the same characters as `tchar`.
pub(super) fn is_token_byte(byte: u8) -> bool {
    let separator = matches!(byte, b'"' | b'(' | b')' | b',' | b'/' | b'{' | b'}')
        || matches!(byte, b':'..=b'@' | b'['..=b']');
    byte.is_ascii_graphic() && !separator
}

/// Returns `text` without the optional whitespace around it: spaces and tabs, RFC 9110 §5.6.3.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Makes a field value from text that is legal by construction.
pub(super) fn field_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text)
        .expect("tokens, base64, hosts and what joins them are visible ASCII and spaces")
}
