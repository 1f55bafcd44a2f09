//! Hides secrets before text is shown: in header fields, in URLs and in lists of subprotocols.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

/// The text in the place of a secret.
const HIDDEN: &str = "(not shown)";

/// Returns the value of a header field without secrets.
pub(super) fn value(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    match name.as_str() {
        _ if value.is_sensitive() || is_secret(name.as_str()) => HIDDEN.to_owned(),
        "location" => url(&text),
        "sec-websocket-protocol" => subprotocols(&text),
        _ => text.into_owned(),
    }
}

/// Returns a line of an unreadable head without secrets.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    match text.split_once(':') {
        Some((name, _)) if is_secret(&name.to_ascii_lowercase()) => {
            Cow::Owned(format!("{name}: {HIDDEN}"))
        }
        _ => Cow::Borrowed(text),
    }
}

/// Returns a URL, or the target of a request, without its user and without the secrets of its query.
pub(super) fn url(text: &str) -> String {
    let (text, fragment) = match text.split_once('#') {
        Some((text, _)) => (text, "#..."),
        None => (text, ""),
    };
    let (place, query) = match text.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (text, None),
    };
    let mut shown = without_user(place);
    if let Some(query) = query {
        for (index, part) in query.split('&').enumerate() {
            shown.push(if index == 0 { '?' } else { '&' });
            match part.split_once('=') {
                Some((name, _)) if names_secret(name) => {
                    shown.push_str(&format!("{name}={HIDDEN}"));
                }
                _ => shown.push_str(part),
            }
        }
    }
    shown + fragment
}

fn without_user(place: &str) -> String {
    if let Some((scheme, rest)) = place.split_once("://") {
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if let Some((_, host)) = authority.rsplit_once('@') {
            return format!("{scheme}://{HIDDEN}@{host}{path}");
        }
    }
    place.to_owned()
}

/// Returns a list of subprotocols without tokens.
///
/// Pages send tokens as subprotocols, because they cannot set other header fields: `bearer, TOKEN`, or
/// `base64url.bearer.authorization.k8s.io.TOKEN`.
pub(super) fn subprotocols(list: &str) -> String {
    let mut announced = false;
    let shown = list.split(',').map(|name| {
        let name = name.trim();
        let is_token = announced || name.len() > LONGEST_NAME || has_token(name);
        announced = names_secret(name) && !is_token;
        if is_token { HIDDEN } else { name }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Whether the name has a word for a secret with more text behind it, for example `bearer.TOKEN`.
fn has_token(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    WORDS.iter().any(|word| {
        let rest = lower.split_once(word).map_or("", |(_, rest)| rest);
        rest.len() > 1 && rest.starts_with(['.', '-', '_', '='])
    })
}

/// Whether the value of the header field of this name is a secret. The name is in lower case.
fn is_secret(name: &str) -> bool {
    let is_public = name.starts_with("sec-websocket-") || name.ends_with("-authenticate");
    !is_public && (name.contains("cookie") || names_secret(name))
}

/// Whether this is a name for a secret.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_short = ["code", "key", "pass", "pwd", "sig"].contains(&name.as_str());
    is_short || WORDS.iter().any(|word| name.contains(word))
}

const WORDS: [&str; 14] = [
    "access-key",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "bearer",
    "credential",
    "jwt",
    "password",
    "secret",
    "session",
    "signature",
    "ticket",
    "token",
];

/// A longer name is taken for a token. No registered subprotocol has one.
const LONGEST_NAME: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_of_a_url_are_hidden_and_nothing_else() {
        for (text, shown) in [
            ("/chat", "/chat"),
            ("/chat?room=1&x", "/chat?room=1&x"),
            (
                "/chat?room=1&access_token=s3cret&api_key=s3cret&sig=s3cret",
                "/chat?room=1&access_token=(not shown)&api_key=(not shown)&sig=(not shown)",
            ),
            (
                "https://user:s3cret@host/a@b?Token=s3cret#s3cret",
                "https://(not shown)@host/a@b?Token=(not shown)#...",
            ),
            ("ws://host/?monkey=1", "ws://host/?monkey=1"),
        ] {
            assert_eq!(url(text), shown);
        }
    }

    #[test]
    fn a_token_among_subprotocols_is_hidden() {
        let long = "x".repeat(41);
        for (list, shown) in [
            ("chat, v12.stomp", "chat, v12.stomp"),
            ("graphql-transport-ws", "graphql-transport-ws"),
            ("bearer, s3cret, chat", "bearer, (not shown), chat"),
            ("access_token,s3cret", "access_token, (not shown)"),
            ("authorization", "authorization"),
            (
                "realtime, openai-insecure-api-key.s3cret",
                "realtime, (not shown)",
            ),
            (
                "base64url.bearer.authorization.k8s.io.s3cret, v4.channel.k8s.io",
                "(not shown), v4.channel.k8s.io",
            ),
            (&long, "(not shown)"),
        ] {
            assert_eq!(subprotocols(list), shown);
        }
    }

    #[test]
    fn the_values_of_secret_fields_are_hidden_by_their_names() {
        let shown = |name: &'static str| {
            value(
                &HeaderName::from_static(name),
                &HeaderValue::from_static("v"),
            )
        };
        for name in ["set-cookie", "authorization", "x-api-key", "x-auth-token"] {
            assert_eq!(shown(name), HIDDEN, "{name}");
        }
        for name in ["www-authenticate", "sec-websocket-key", "server", "origin"] {
            assert_eq!(shown(name), "v", "{name}");
        }
        assert_eq!(line("Set-Cookie: s3cr"), "Set-Cookie: (not shown)");
        assert_eq!(line("Server: x"), "Server: x");
    }
}
