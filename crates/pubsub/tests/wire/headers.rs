//! Good and bad headers: the table `headers.json`.

use serde_json::Value;
use sockeye_proto::Message;
use sockeye_pubsub::wire::{ClientFrame, Content, MAX_HEADER, ServerFrame, Unusable, Violation};

use crate::support::fixture;

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} of {row}"))
}

fn rows(table: &Value) -> &[Value] {
    table.as_array().unwrap()
}

/// Parses a header of a client, as text and as bytes. Both mean the same.
fn client(header: &str) -> Result<Message, Unusable> {
    let frame = format!("{header}\n");
    let of_text = ClientFrame::parse(Content::Text(&frame)).map(|frame| frame.to_message());
    let of_bytes =
        ClientFrame::parse(Content::Binary(frame.as_bytes())).map(|frame| frame.to_message());
    let same = |a: &Message, b: &Message| a.as_bytes() == b.as_bytes();
    match (&of_text, &of_bytes) {
        (Ok(a), Ok(b)) => assert!(same(a, b), "{header}"),
        (a, b) => assert_eq!(a.as_ref().err(), b.as_ref().err(), "{header}"),
    }
    of_text
}

#[test]
fn good_headers_of_a_client_mean_what_their_canonical_form_means() {
    for row in rows(&fixture("headers.json")["client"]["good"]) {
        let header = text(row, "header");
        let canonical = row["canonical"].as_str().unwrap_or(header);
        for header in [header, canonical] {
            let written = client(header).unwrap_or_else(|error| panic!("{header}: {error:?}"));
            assert_eq!(written.as_text(), Some(&*format!("{canonical}\n")));
        }
    }
}

#[test]
fn refused_headers_of_a_client_are_answered_with_their_reference() {
    for row in rows(&fixture("headers.json")["client"]["refused"]) {
        let header = text(row, "header");
        let Err(Unusable::Refused { reference, failure }) = client(header) else {
            panic!("{header} is not refused");
        };
        let number = reference.map_or(0, |reference| reference.get());
        assert_eq!(u64::from(number), row["ref"].as_u64().unwrap(), "{header}");
        assert_eq!(failure.code.as_str(), text(row, "code"), "{header}");
        assert_eq!(failure.message, text(row, "message"), "{header}");
        assert_eq!(failure.retry, None);
    }
}

#[test]
fn headers_that_break_the_grammar_close_with_a_reason_that_names_the_fault() {
    for row in rows(&fixture("headers.json")["client"]["violations"]) {
        let frame = text(row, "frame");
        let Err(Unusable::Violation(violation)) = ClientFrame::parse(Content::Text(frame)) else {
            panic!("{frame} is no violation");
        };
        assert_eq!(violation.to_string(), text(row, "reason"), "{frame}");
    }
}

#[test]
fn good_headers_of_a_server_are_written_as_they_were_read() {
    for row in rows(&fixture("headers.json")["server"]["good"]) {
        let header = text(row, "header");
        let canonical = row["canonical"].as_str().unwrap_or(header);
        let frame = format!("{header}\nbody");
        let (parsed, len, body) = ServerFrame::parse(Content::Text(&frame))
            .unwrap_or_else(|error| panic!("{header}: {error}"));
        assert_eq!((len, body), (header.len(), Content::Text("body")));
        assert_eq!(parsed.to_text(), *format!("{canonical}\n"), "{header}");
        assert_eq!(
            parsed.to_message(body),
            Message::from(format!("{canonical}\nbody"))
        );
    }
}

#[test]
fn bad_headers_of_a_server_are_violations() {
    for row in rows(&fixture("headers.json")["server"]["violations"]) {
        let frame = text(row, "frame");
        let violation = ServerFrame::parse(Content::Text(frame)).expect_err(frame);
        assert_eq!(violation.to_string(), text(row, "reason"), "{frame}");
    }
}

#[test]
fn a_header_of_a_client_has_at_most_4096_bytes_and_the_body_any_number() {
    let header = |len: usize| {
        let start = "{\"ping\":1,\"x\":\"";
        format!("{start}{}\"}}", "x".repeat(len - start.len() - 2))
    };
    let frame = |len| format!("{}\n{}", header(len), "y".repeat(10_000));
    assert_eq!(
        ClientFrame::parse(Content::Text(&frame(MAX_HEADER))),
        Ok(ClientFrame::Ping(1))
    );
    assert_eq!(
        ClientFrame::parse(Content::Text(&frame(MAX_HEADER + 1))),
        Err(Violation::HeaderTooLong { limit: MAX_HEADER }.into())
    );
    // The search for the line feed ends there, too.
    assert_eq!(
        ClientFrame::parse(Content::Text(&"{".repeat(MAX_HEADER + 1))),
        Err(Violation::HeaderTooLong { limit: MAX_HEADER }.into())
    );
    assert_eq!(
        ClientFrame::parse(Content::Text(&"{".repeat(MAX_HEADER))),
        Err(Violation::NoLineFeed.into())
    );
}

#[test]
fn a_header_of_a_binary_frame_is_utf_8_and_its_body_any_bytes() {
    assert_eq!(
        ClientFrame::parse(Content::Binary(b"{\"ping\":\xff}\n")),
        Err(Violation::NotUtf8.into())
    );
    assert_eq!(
        ClientFrame::parse(Content::Binary(b"\n\xff\n")),
        Ok(ClientFrame::App(Content::Binary(b"\xff\n")))
    );
}

#[test]
fn deeply_nested_json_of_a_header_overflows_no_stack() {
    let header = format!(
        "{{\"ping\":1,\"x\":{}{}}}",
        "[".repeat(2000),
        "]".repeat(2000)
    );
    assert!(client(&header).is_ok());
    let header = format!("{{\"sub\":{},\"ref\":1}}", "{\"a\":".repeat(600));
    assert!(matches!(
        client(&header),
        Err(Unusable::Violation(Violation::Json(_)))
    ));
}
