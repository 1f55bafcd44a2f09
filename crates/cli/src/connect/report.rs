//! The output of `--verbose` and `--timings`, on stderr.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use sockeye::client::OpeningEvent;
use sockeye::connection::{Opening, Timings};
use sockeye::{CloseCode, CloseReason, Connection};

use super::hidden;
use crate::escape::Escaped;
use crate::time::measured;

/// Returns the lines for one event of an opening: a request with `>`, or a response with `<`. Secrets are hidden.
pub(super) fn event(event: &OpeningEvent<'_>) -> String {
    let mut text = String::new();
    match event {
        OpeningEvent::Request(request) => {
            let (method, version) = (request.method(), request.version());
            let target = hidden::url(&request.uri().to_string());
            line(&mut text, '>', &format!("{method} {target} {version:?}"));
            fields(&mut text, '>', request.headers());
        }
        OpeningEvent::Response(response) => {
            let (version, status) = (response.version(), response.status());
            line(&mut text, '<', &format!("{version:?} {status}"));
            fields(&mut text, '<', response.headers());
        }
        OpeningEvent::Unreadable(bytes) => unreadable(&mut text, bytes),
        _ => {}
    }
    text
}

/// Writes the bytes that arrived in the place of a response.
fn unreadable(text: &mut String, bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes.get(..MAX_UNREADABLE).unwrap_or(bytes));
    for part in shown.split_terminator('\n') {
        let part = part.strip_suffix('\r').unwrap_or(part);
        line(text, '<', &hidden::line(part));
    }
    let count = bytes.len();
    line(
        text,
        '*',
        &format!("no complete response; its first {count} bytes are above"),
    );
}

/// The number of bytes that are shown of an unreadable response.
const MAX_UNREADABLE: usize = 1024;

/// Whether the close code reports no problem.
pub(super) fn is_normal(reason: &CloseReason) -> bool {
    let codes = [
        CloseCode::NORMAL,
        CloseCode::GOING_AWAY,
        CloseCode::NO_STATUS,
    ];
    codes.contains(&reason.code())
}

/// Returns the lines for the agreed subprotocol and extensions.
pub(super) fn agreed(connection: &Connection) -> String {
    let mut text = String::new();
    let none = || "none".to_owned();
    let subprotocol = connection
        .subprotocol()
        .map_or_else(none, hidden::subprotocols);
    line(&mut text, '*', &format!("subprotocol: {subprotocol}"));
    let extensions = connection.opening().map(Opening::extensions);
    let extensions = extensions.filter(|chosen| !chosen.is_empty());
    let extensions = extensions.unwrap_or_else(none);
    line(&mut text, '*', &format!("extensions: {extensions}"));
    text
}

fn fields(text: &mut String, sign: char, fields: &HeaderMap<HeaderValue>) {
    for (name, value) in fields {
        let value = hidden::value(name, value);
        line(text, sign, &format!("{name}: {value}"));
    }
}

fn line(text: &mut String, sign: char, what: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{sign} {}", Escaped(what));
}

/// Returns the times of connecting, one on a line, and the time from their end to the first message.
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
        let time = time.map_or_else(|| "-".to_owned(), measured);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<13}  {time:>8}");
    }
    text
}

#[cfg(test)]
mod tests {
    use http::Request;

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

    #[test]
    fn what_is_no_answer_is_shown_by_lines_without_secrets_and_not_all_of_it() {
        let cut = b"HTTP/1.1 101 Switching\r\nset-cookie: s3cret\r\nserver: \x1b[2J\r\nups";
        assert_eq!(
            event(&OpeningEvent::Unreadable(cut)),
            "< HTTP/1.1 101 Switching\n< set-cookie: (not shown)\n< server: \\u{1b}[2J\n< ups\n\
             * no complete response; its first 61 bytes are above\n"
        );
        let long = event(&OpeningEvent::Unreadable(&[b'x'; 4096]));
        assert!(long.len() < 1200, "{long}");
    }

    #[test]
    fn a_token_in_the_target_is_not_shown() {
        let request = Request::get("/chat?token=s3cret")
            .body(())
            .expect("a request");
        let text = event(&OpeningEvent::Request(&request));
        assert_eq!(text, "> GET /chat?token=(not shown) HTTP/1.1\n");
    }
}
