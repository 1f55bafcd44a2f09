//! The byte-exact handshakes of `fixtures/handshakes.jsonl`, legal and not, with the outcome
//! expected of each.
//!
//! `httparse`, which is also what hyper reads with, makes values of the bytes. Each record is about
//! a rule that stands above that, so that all are judged here, and none is left for hyper alone.
//! (What only hyper can judge - syntax errors, too many or too long fields, slowness - is not in
//! this file.)

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Version, request, response};
use serde::Deserialize;
use sockeye_proto::handshake::{ClientHandshake, Key, ServerHandshake, WebSocketUri};

#[derive(Deserialize)]
struct Record {
    id: String,
    note: String,
    expect: Expect,
    /// The client's request, in hexadecimal.
    wire: Option<String>,
    /// The server's answer; `{ACCEPT}` stands for the right value.
    response: Option<String>,
    /// The client's offer: nothing, or `proto:` and a subprotocol.
    offer: Option<String>,
}

#[derive(Deserialize)]
struct Expect {
    #[serde(default)]
    status: Vec<u16>,
    open: Option<bool>,
}

#[test]
fn each_record_has_the_outcome_expected_of_it() {
    let records: Vec<Record> = include_str!("../fixtures/handshakes.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 31);

    for record in &records {
        let Record { id, note, .. } = record;
        match (&record.wire, &record.response) {
            (Some(wire), None) => {
                let status = status_of_answer(&bytes_of_hex(wire));
                assert!(
                    record.expect.status.contains(&status),
                    "{id} ({note}): {status}"
                );
            }
            (None, Some(answer)) => {
                let open = opens_on(answer, record.offer.as_deref());
                assert_eq!(Some(open), record.expect.open, "{id} ({note})");
            }
            _ => panic!("{id} is for neither side"),
        }
    }
}

fn status_of_answer(wire: &[u8]) -> u16 {
    let answered = match ServerHandshake::receive(&parse_request(wire)) {
        Ok(handshake) => handshake.accept(None, &[]).unwrap().map(|()| String::new()),
        Err(error) => error.to_response(),
    };
    if answered.status() == 426 {
        // §4.4: a client of another version learns which version to speak.
        assert_eq!(answered.headers()["sec-websocket-version"], "13");
    }
    answered.status().as_u16()
}

fn opens_on(answer: &str, offer: Option<&str>) -> bool {
    let nonce = *b"the sample nonce";
    let uri = WebSocketUri::parse("ws://127.0.0.1/").unwrap();
    let offered = offer.map(|offer| offer.strip_prefix("proto:").unwrap());
    let handshake = ClientHandshake::new(uri, nonce)
        .subprotocols(offered)
        .unwrap();
    let accept = Key::from_nonce(nonce).accept();
    let answer = answer.replace("{ACCEPT}", accept.as_str());
    handshake
        .receive(&parse_response(answer.as_bytes()))
        .is_ok()
}

fn parse_request(wire: &[u8]) -> request::Parts {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = parsed.parse(wire).unwrap().unwrap();
    assert_eq!(length, wire.len());
    let mut request = Request::builder()
        .method(parsed.method.unwrap())
        .uri(parsed.path.unwrap())
        .version(version(parsed.version))
        .body(())
        .unwrap();
    *request.headers_mut() = headers(parsed.headers);
    request.into_parts().0
}

fn parse_response(wire: &[u8]) -> response::Parts {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let length = parsed.parse(wire).unwrap().unwrap();
    assert_eq!(length, wire.len());
    let mut response = Response::builder()
        .status(parsed.code.unwrap())
        .version(version(parsed.version))
        .body(())
        .unwrap();
    *response.headers_mut() = headers(parsed.headers);
    response.into_parts().0
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    }
}

fn headers(fields: &[httparse::Header<'_>]) -> HeaderMap {
    fields
        .iter()
        .map(|field| {
            (
                HeaderName::from_bytes(field.name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(field.value).unwrap(),
            )
        })
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn bytes_of_hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

const MAX_FIELDS: usize = 100;
