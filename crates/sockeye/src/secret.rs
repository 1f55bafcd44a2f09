//! The header fields that hold secrets. Their values are marked as sensitive: `Debug` does not show them, and programs
//! that print fields can leave them out.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};

/// Marks the values of the fields that hold secrets.
pub(crate) fn mark_all(headers: &mut HeaderMap) {
    for (name, value) in headers {
        mark(name, value);
    }
}

/// Marks the value of a field as sensitive if a field of this name holds a secret.
pub(crate) fn mark(name: &HeaderName, value: &mut HeaderValue) {
    if is_secret(name) {
        value.set_sensitive(true);
    }
}

/// `Authorization`, `Proxy-Authorization`, `Cookie`, `Set-Cookie`, and what applications call their own ones.
fn is_secret(name: &HeaderName) -> bool {
    // A challenge says how to log in, and the handshake's own fields are public.
    if [WWW_AUTHENTICATE, PROXY_AUTHENTICATE].contains(name)
        || name.as_str().starts_with("sec-websocket-")
    {
        return false;
    }
    WORDS.iter().any(|word| name.as_str().contains(word))
}

const WORDS: [&str; 14] = [
    "access-key",
    "api-key",
    "apikey",
    "auth",
    "cookie",
    "credential",
    "csrf",
    "jwt",
    "password",
    "secret",
    "session",
    "signature",
    "token",
    "xsrf",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_secret_fields_are_not_shown_and_those_of_others_are() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-auth-token",
            "x-amz-security-token",
            "x-csrf-token",
            "x-session-id",
        ] {
            headers.insert(name, HeaderValue::from_static("hidden"));
        }
        for name in [
            "host",
            "origin",
            "www-authenticate",
            "proxy-authenticate",
            "sec-websocket-key",
            "sec-websocket-protocol",
            "retry-after",
        ] {
            headers.insert(name, HeaderValue::from_static("shown"));
        }
        mark_all(&mut headers);
        let text = format!("{headers:?}");
        assert!(!text.contains("hidden"), "{text}");
        assert_eq!(text.matches("shown").count(), 7, "{text}");
    }
}
