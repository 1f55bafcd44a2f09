//! What `--verbose` and `--timings` say, on stderr.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use sockeye::{Connection, Opening, Timings};

use crate::duration::shown;
use crate::escape::Escaped;

/// Both sides of the handshake, and what they agreed on. Secrets are not shown.
pub(super) fn opening(connection: &Connection) -> String {
    let Some(opening) = connection.opening() else {
        return String::new();
    };
    let mut text = String::new();
    let Opening {
        request, response, ..
    } = opening;
    let target = request.uri().to_string();
    line(
        &mut text,
        '>',
        &format!("{} {target} {:?}", request.method(), request.version()),
    );
    fields(&mut text, '>', request.headers());
    line(
        &mut text,
        '<',
        &format!("{:?} {}", response.version(), response.status()),
    );
    fields(&mut text, '<', response.headers());
    let none = || "none".to_owned();
    let subprotocol = connection
        .subprotocol()
        .map_or_else(none, ToOwned::to_owned);
    line(&mut text, '*', &format!("subprotocol: {subprotocol}"));
    let extensions = Some(opening.extensions()).filter(|chosen| !chosen.is_empty());
    line(
        &mut text,
        '*',
        &format!("extensions: {}", extensions.unwrap_or_else(none)),
    );
    text
}

fn fields(text: &mut String, sign: char, fields: &HeaderMap<HeaderValue>) {
    for (name, value) in fields {
        let value = if value.is_sensitive() {
            "(not shown)".into()
        } else {
            String::from_utf8_lossy(value.as_bytes())
        };
        line(text, sign, &format!("{name}: {value}"));
    }
}

fn line(text: &mut String, sign: char, what: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{sign} {}", Escaped(what));
}

/// The parts of connecting, one on a line, and how long it took from their end to the first message.
pub(super) fn timings(timings: &Timings, first_message: Option<Duration>) -> String {
    let parts = [
        ("DNS", timings.resolve),
        ("TCP", Some(timings.connect)),
        ("proxy", timings.proxy),
        ("TLS", timings.tls),
        ("upgrade", Some(timings.upgrade)),
        ("first message", first_message),
    ];
    let mut text = String::new();
    for (name, time) in parts {
        let time = time.map_or_else(|| "-".to_owned(), shown);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<13}  {time:>8}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_below_one_another_and_what_there_was_not_is_a_dash() {
        let mut known = Timings::default();
        known.connect = Duration::from_micros(1500);
        known.upgrade = Duration::from_millis(20);
        let text = timings(&known, Some(Duration::from_secs(1)));
        let lines = [
            "DNS                   -",
            "TCP             1.50 ms",
            "proxy                 -",
            "TLS                   -",
            "upgrade         20.0 ms",
            "first message    1.00 s",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_field_that_is_secret_is_not_shown_and_no_field_does_anything() {
        let mut secret = HeaderValue::from_static("token");
        secret.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", secret);
        headers.insert(
            "server",
            HeaderValue::from_bytes(b"a\tb\x9b").expect("a value"),
        );
        let mut text = String::new();
        fields(&mut text, '<', &headers);
        assert_eq!(
            text,
            "< authorization: (not shown)\n< server: a\\tb\u{fffd}\n"
        );
    }
}
