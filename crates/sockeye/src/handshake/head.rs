//! The compact form of a request's target and header fields, which a session keeps.
//!
//! ```text
//!   /chat?x \n upgrade:websocket \n cookie:a=b        the request
//!   /chat?x \n [upgrade:websocket] \n [cookie:] a=b   the compact form: one byte for each bracket
//! ```
//!
//! The form exists in memory alone, so the list below may change. It has the fields of browsers and proxies of its
//! time: a field that is not in the list takes more bytes, and is kept as well.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// A line with the target, and a line for each field. Neither holds a line's end, and no name holds a colon or a space.
/// A space at the start of a line marks a sensitive value. A byte beyond ASCII stands for an entry of [`KNOWN`].
#[derive(Clone)]
pub(super) struct Head(Box<[u8]>);

/// The beginnings of common lines of clients and proxies. If one is the beginning of another, the longer one is first.
const KNOWN: &[&str] = &[
    "host:",
    "upgrade:websocket",
    "connection:Upgrade",
    "connection:keep-alive, Upgrade",
    "sec-websocket-key:",
    "sec-websocket-version:13",
    // Browsers; two libraries for Go; others.
    "sec-websocket-extensions:permessage-deflate; client_max_window_bits",
    "sec-websocket-extensions:permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "sec-websocket-extensions:permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "sec-websocket-extensions:permessage-deflate",
    "sec-websocket-protocol:",
    "origin:https://",
    "origin:http://",
    "cookie:",
    "authorization:Bearer ",
    "authorization:Basic ",
    "user-agent:Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    "user-agent:Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/",
    "user-agent:Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    "user-agent:Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    "user-agent:Mozilla/5.0 (",
    "user-agent:",
    "accept-encoding:gzip, deflate, br, zstd",
    "accept-encoding:gzip, deflate, br",
    "accept-language:",
    "cache-control:no-cache",
    "pragma:no-cache",
    "sec-fetch-dest:websocket",
    "sec-fetch-dest:empty",
    "sec-fetch-mode:websocket",
    "sec-fetch-site:same-origin",
    "sec-fetch-site:",
    "x-forwarded-for:",
    "x-forwarded-host:",
    "x-forwarded-proto:https",
    "x-real-ip:",
    "forwarded:",
    "via:1.1 ",
];

/// The byte that stands for the first entry of [`KNOWN`]. No name of a field begins with it.
const FIRST_CODE: u8 = 0x80;

/// The longest name of a field among [`KNOWN`].
const LONGEST_NAME: usize = 24;

/// The entries of [`KNOWN`] by the length of their field name: bit N stands for entry N.
const OF_LENGTH: [u64; LONGEST_NAME + 1] = {
    let mut of_length = [0; LONGEST_NAME + 1];
    let mut at = 0;
    while at < KNOWN.len() {
        let mut len = 0;
        while KNOWN[at].as_bytes()[len] != b':' {
            len += 1;
        }
        of_length[len] |= 1 << at;
        at += 1;
    }
    of_length
};

impl Head {
    pub(super) fn of(request: &http::request::Parts) -> Self {
        let uri = match request.uri.authority() {
            Some(_) => Cow::Owned(request.uri.to_string()),
            None => Cow::Borrowed(request.uri.path_and_query().map_or("", |all| all.as_str())),
        };
        // One allocation of the final size: a second one would leave a hole in the heap beside each session. So the
        // first pass sums up the length, and keeps the codes of the first fields for the second pass.
        let mut codes = [None; 32];
        let mut len = uri.len();
        for (at, (name, value)) in request.headers.iter().enumerate() {
            let code = code(name, value);
            if let Some(kept) = codes.get_mut(at) {
                *kept = code;
            }
            len += Line::of(name, value, code).len();
        }
        let mut head = Vec::with_capacity(len);
        head.extend_from_slice(uri.as_bytes());
        for (at, (name, value)) in request.headers.iter().enumerate() {
            let kept = codes.get(at).copied();
            let code = kept.unwrap_or_else(|| code(name, value));
            Line::of(name, value, code).write(&mut head);
        }
        Self(head.into())
    }

    pub(super) fn decode(&self) -> (Uri, HeaderMap) {
        let mut lines = self.0.split(|byte| *byte == b'\n');
        let uri = lines.next().and_then(|uri| Uri::try_from(uri).ok());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(decode_field) {
            headers.append(name, value);
        }
        (uri.unwrap_or_default(), headers)
    }
}

/// A field, and the code of its beginning.
struct Line<'r> {
    sensitive: bool,
    code: Option<u8>,
    // Without the beginning that `code` stands for.
    name: &'r str,
    value: &'r [u8],
}

/// The code of the entry of [`KNOWN`] that the field begins with.
fn code(name: &HeaderName, value: &HeaderValue) -> Option<u8> {
    let (name, value) = (name.as_str(), value.as_bytes());
    let mut candidates = OF_LENGTH.get(name.len()).copied()?;
    while let Some(known) = KNOWN.get(candidates.trailing_zeros() as usize) {
        if let Some((known_name, begins)) = known.split_at_checked(name.len())
            && known_name == name
            && value.starts_with(&begins.as_bytes()[1..])
        {
            return Some(FIRST_CODE + candidates.trailing_zeros() as u8);
        }
        candidates &= candidates - 1;
    }
    None
}

/// The entry of [`KNOWN`] for a code.
fn known(code: u8) -> Option<&'static str> {
    let at = code.checked_sub(FIRST_CODE)?;
    KNOWN.get(usize::from(at)).copied()
}

impl<'r> Line<'r> {
    /// The line for a field. `code` is the field's [`code`].
    fn of(name: &'r HeaderName, value: &'r HeaderValue, code: Option<u8>) -> Self {
        let (sensitive, value) = (value.is_sensitive(), value.as_bytes());
        let name = name.as_str();
        match code.and_then(known) {
            Some(known) => Self {
                sensitive,
                code,
                name: "",
                value: value
                    .get(known.len() - name.len() - 1..)
                    .unwrap_or_default(),
            },
            None => Self {
                sensitive,
                code,
                name,
                value,
            },
        }
    }

    fn len(&self) -> usize {
        1 + usize::from(self.sensitive) + self.name.len() + 1 + self.value.len()
    }

    fn write(&self, head: &mut Vec<u8>) {
        match self.code {
            Some(code) if !self.sensitive => head.extend_from_slice(&[b'\n', code]),
            code => {
                head.extend_from_slice(if self.sensitive { b"\n " } else { b"\n" });
                head.extend_from_slice(self.name.as_bytes());
                head.push(code.unwrap_or(b':'));
            }
        }
        head.extend_from_slice(self.value);
    }
}

/// Returns the field of a line; `None` if the line is not one.
fn decode_field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let (sensitive, line) = match line.strip_prefix(b" ") {
        Some(line) => (true, line),
        None => (false, line),
    };
    let (first, rest) = line.split_first()?;
    let line = match known(*first) {
        Some(known) => &[known.as_bytes(), rest].concat(),
        None => line,
    };
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let mut value = HeaderValue::from_bytes(value.strip_prefix(b":")?).ok()?;
    value.set_sensitive(sensitive);
    Some((HeaderName::from_bytes(name).ok()?, value))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn parts(uri: &str, fields: &[(&[u8], &[u8])]) -> http::request::Parts {
        let mut request = Request::get(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_line_that_is_known_is_a_byte_and_comes_back() {
        for (number, known) in KNOWN.iter().enumerate() {
            let earlier = &KNOWN[..number];
            let hides = |earlier: &&&str| known.starts_with(**earlier);
            assert_eq!(earlier.iter().find(hides), None, "is found before {known}");
            let (name, value) = known.split_once(':').unwrap();
            assert_eq!(name, name.to_lowercase());
            for more in ["", "x", ": y"] {
                let value = format!("{value}{more}");
                let request = parts("/", &[(name.as_bytes(), value.as_bytes())]);
                let head = Head::of(&request);
                assert!(head.0.len() <= "/\n*".len() + more.len(), "{known}");
                assert_eq!(head.decode(), (request.uri, request.headers));
            }
        }
    }

    #[test]
    fn a_browsers_request_takes_less_than_half() {
        let request = parts(
            "/chat/room",
            &[
                (b"host", b"chat.example"),
                (b"connection", b"Upgrade"),
                (b"pragma", b"no-cache"),
                (b"cache-control", b"no-cache"),
                (
                    b"user-agent",
                    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/140.0.0.0 Safari/537.36",
                ),
                (b"upgrade", b"websocket"),
                (b"origin", b"https://chat.example"),
                (b"sec-websocket-version", b"13"),
                (b"accept-encoding", b"gzip, deflate, br, zstd"),
                (b"accept-language", b"en-GB,en;q=0.9"),
                (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
                (
                    b"sec-websocket-extensions",
                    b"permessage-deflate; client_max_window_bits",
                ),
            ],
        );
        let fields = request.headers.iter();
        let len =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 2;
        let came: usize = fields.map(len).sum();
        let head = Head::of(&request);
        assert!(head.0.len() < came / 3, "{} of {came}", head.0.len());
        assert_eq!(head.decode(), (request.uri, request.headers));
    }

    fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let value = prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..20);
        let known = prop::sample::select(KNOWN).prop_map(|known| {
            let (name, value) = known.split_once(':').unwrap();
            (name.as_bytes().to_vec(), value.as_bytes().to_vec())
        });
        let any_name = "[a-z!-]{1,9}".prop_map(|name| (name.into_bytes(), Vec::new()));
        // Cut short, or longer, or as it is.
        (prop_oneof![known, any_name], value, any::<bool>()).prop_map(
            |((name, mut begins), more, cut)| {
                if cut {
                    begins.pop();
                }
                (name, [begins, more].concat())
            },
        )
    }

    proptest! {
        #[test]
        fn any_request_comes_back(
            uri in "/[a-z0-9/]{0,9}(\\?[a-z=:&]{0,9})?",
            fields in prop::collection::vec(field(), 0..12),
        ) {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            let request = parts(&uri, &fields);
            let (decoded_uri, headers) = Head::of(&request).decode();
            prop_assert_eq!(decoded_uri, request.uri);
            prop_assert_eq!(headers, request.headers);
        }
    }
}
