//! RFC 6455 §3 and §4.1: URIs in, requests out; answers in, connections or errors out.

use http::header::{HeaderName, HeaderValue};
use http::response::Parts;
use http::{Method, Response, Version};
use sockeye_proto::handshake::{
    ClientHandshake, Extension, OfferError, ResponseError, UriError, WebSocketUri,
};

fn handshake() -> ClientHandshake {
    let uri = WebSocketUri::parse("ws://server.example.com/chat").unwrap();
    ClientHandshake::new(uri, *b"the sample nonce")
}

// The answer of §1.2, and changes to it.

fn legal() -> Parts {
    Response::builder()
        .status(101)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Accept", ACCEPT)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn without(name: &'static str) -> Parts {
    let mut response = legal();
    response.headers.remove(name);
    response
}

fn with(name: &'static str, values: &[&'static str]) -> Parts {
    let mut response = without(name);
    for value in values {
        response.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

#[track_caller]
fn assert_fails(handshake: &ClientHandshake, response: &Parts, error: ResponseError, rule: &str) {
    assert_eq!(error.section(), rule);
    assert_eq!(handshake.receive(response), Err(error));
}

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// §3: the URI

#[test]
fn a_uri_comes_apart_into_secure_flag_host_port_and_resource_name() {
    for (text, secure, host, port, resource_name) in [
        ("ws://h", false, "h", 80, "/"),
        ("wss://h", true, "h", 443, "/"),
        ("WS://H.example/", false, "h.example", 80, "/"),
        ("wSs://h:8443/a/b", true, "h", 8443, "/a/b"),
        ("ws://h:443/a?b=c&d", false, "h", 443, "/a?b=c&d"),
        ("ws://h?b", false, "h", 80, "/?b"),
        ("ws://h/a?", false, "h", 80, "/a"),
        ("ws://h:/a?b?c/d", false, "h", 80, "/a?b?c/d"),
        ("ws://[::1]:8080/", false, "[::1]", 8080, "/"),
        ("ws://127.0.0.1/%23", false, "127.0.0.1", 80, "/%23"),
        ("ws://h/a|b%?{c}|^", false, "h", 80, "/a|b%?{c}|^"),
    ] {
        let uri = WebSocketUri::parse(text).unwrap();
        assert_eq!(uri.is_secure(), secure, "{text}");
        assert_eq!(uri.host(), host, "{text}");
        assert_eq!(uri.port(), port, "{text}");
        assert_eq!(uri.resource_name(), resource_name, "{text}");
        assert_eq!(uri.to_string().parse(), Ok(uri), "{text}");
    }
}

#[test]
fn a_uri_with_a_fragment_is_refused() {
    for uri in [
        "ws://h/#a",
        "ws://h/#",
        "ws://h#",
        "ws://h?a#b",
        "http://h#",
    ] {
        assert_eq!(WebSocketUri::parse(uri), Err(UriError::Fragment));
    }
}

#[test]
fn a_uri_of_another_scheme_is_refused() {
    for uri in ["", "h", "/chat", "ws:h", "http://h", "wsx://h", " ws://h"] {
        assert_eq!(WebSocketUri::parse(uri), Err(UriError::Scheme));
    }
}

#[test]
fn a_uri_without_a_valid_host_and_port_is_refused() {
    for uri in [
        "ws://",
        "ws:///a",
        "ws://:80",
        "ws://h:x",
        "ws://h:65536",
        "ws://h:-1",
        "ws://::1",
        "ws://[::1",
        "ws://[::1]x",
        "ws://a b",
        // §11.1: IDNA comes first.
        "ws://bücher.example",
    ] {
        assert_eq!(WebSocketUri::parse(uri), Err(UriError::Authority), "{uri}");
    }
}

#[test]
fn a_uri_with_user_information_is_refused() {
    for uri in ["ws://user@h", "ws://user:password@h/", "ws://@h"] {
        assert_eq!(WebSocketUri::parse(uri), Err(UriError::UserInfo));
    }
}

#[test]
fn a_uri_with_an_unescaped_resource_name_is_refused() {
    let long = format!("ws://h/{}", "a".repeat(70_000));
    // §11.1: other characters than ASCII are escaped first.
    for uri in ["ws://h/a b", "ws://h/a\r\nb", "ws://h/\u{e9}", &long] {
        assert_eq!(WebSocketUri::parse(uri), Err(UriError::ResourceName));
    }
}

// §4.1: the request

#[test]
fn client_sends_the_request_of_the_rfc() {
    let request = handshake().request();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.version(), Version::HTTP_11);
    assert_eq!(request.uri(), "/chat");
    assert_eq!(request.headers().len(), 5);
    assert_eq!(request.headers()["host"], "server.example.com");
    assert_eq!(request.headers()["upgrade"], "websocket");
    assert_eq!(request.headers()["connection"], "Upgrade");
    assert_eq!(
        request.headers()["sec-websocket-key"],
        "dGhlIHNhbXBsZSBub25jZQ=="
    );
    assert_eq!(request.headers()["sec-websocket-version"], "13");
}

#[test]
fn client_names_the_port_in_host_only_where_it_is_not_the_default() {
    for (uri, host) in [
        ("ws://h:80/", "h"),
        ("ws://h:443/", "h:443"),
        ("wss://h:443/", "h"),
        ("wss://h:80/", "h:80"),
        ("ws://[::1]:9001/", "[::1]:9001"),
    ] {
        let uri = WebSocketUri::parse(uri).unwrap();
        let request = ClientHandshake::new(uri, [0; 16]).request();
        assert_eq!(request.headers()["host"], host);
    }
}

#[test]
fn client_offers_subprotocols_and_extensions_in_order() {
    let one = Extension::new("x-one")
        .unwrap()
        .with_param("level", Some("9"))
        .unwrap();
    let request = handshake()
        .subprotocols(["superchat", "chat"])
        .unwrap()
        .extensions([one, Extension::new("x-two").unwrap()])
        .request();
    assert_eq!(
        request.headers()["sec-websocket-protocol"],
        "superchat, chat"
    );
    assert_eq!(
        request.headers()["sec-websocket-extensions"],
        "x-one; level=9, x-two"
    );
}

#[test]
fn client_does_not_offer_a_subprotocol_that_is_no_token() {
    for name in ["", "a b", "a,b", "a/b", "caf\u{e9}", "a\r\nb", "\u{7f}"] {
        assert_eq!(
            handshake().subprotocols([name]).unwrap_err(),
            OfferError::SubprotocolNotAToken(name.to_owned())
        );
    }
}

#[test]
fn client_does_not_offer_a_subprotocol_twice() {
    let handshake = handshake().subprotocols(["chat"]).unwrap();
    assert_eq!(
        handshake.subprotocols(["superchat", "chat"]).unwrap_err(),
        OfferError::SubprotocolRepeated("chat".to_owned())
    );
}

#[test]
fn client_adds_the_callers_fields() {
    let request = handshake()
        .header(
            HeaderName::from_static("origin"),
            HeaderValue::from_static("http://example.com"),
        )
        .unwrap()
        .header(
            HeaderName::from_static("cookie"),
            HeaderValue::from_static("a=1"),
        )
        .unwrap()
        .header(
            HeaderName::from_static("cookie"),
            HeaderValue::from_static("b=2"),
        )
        .unwrap()
        .request();
    assert_eq!(request.headers()["origin"], "http://example.com");
    let cookies = request.headers().get_all("cookie");
    assert!(cookies.iter().eq(["a=1", "b=2"]));
}

#[test]
fn client_does_not_let_the_caller_override_the_handshakes_fields() {
    for name in [
        "host",
        "upgrade",
        "connection",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "sec-websocket-accept",
        "content-length",
        "transfer-encoding",
    ] {
        let name = HeaderName::from_static(name);
        let value = HeaderValue::from_static("1");
        assert_eq!(
            handshake().header(name.clone(), value).unwrap_err(),
            OfferError::FieldReserved(name)
        );
    }
}

// §4.1: the answer

#[test]
fn client_opens_on_the_answer_of_the_rfc() {
    let accepted = handshake().receive(&legal()).unwrap();
    assert_eq!(accepted.subprotocol, None);
    assert!(accepted.extensions.is_empty());
}

#[test]
fn client_does_not_open_on_another_status_whatever_the_fields_say() {
    for status in [100, 200, 204, 301, 401, 404, 426, 503] {
        let mut response = legal();
        response.status = status.try_into().unwrap();
        let error = ResponseError::Refused {
            status: response.status,
        };
        assert_fails(&handshake(), &response, error, "RFC 6455 §4.1");
    }
}

#[test]
fn client_fails_on_a_101_of_another_http_version() {
    let mut response = legal();
    response.version = Version::HTTP_10;
    let error = ResponseError::HttpVersion;
    assert_fails(&handshake(), &response, error, "RFC 6455 §4.2.2");
}

#[test]
fn client_fails_unless_upgrade_is_websocket() {
    for response in [
        without("upgrade"),
        with("upgrade", &["foo"]),
        with("upgrade", &[""]),
        with("upgrade", &["websocket, h2c"]),
        with("upgrade", &["websocket", "h2c"]),
        with("upgrade", &["websocket", "websocket"]),
    ] {
        let error = ResponseError::Upgrade;
        assert_fails(&handshake(), &response, error, "RFC 6455 §4.1");
    }
    assert!(
        handshake()
            .receive(&with("upgrade", &["WebSocket"]))
            .is_ok()
    );
}

#[test]
fn client_fails_unless_connection_lists_upgrade() {
    for response in [
        without("connection"),
        with("connection", &["close"]),
        with("connection", &["upgrade; q=1"]),
    ] {
        let error = ResponseError::Connection;
        assert_fails(&handshake(), &response, error, "RFC 6455 §4.1");
    }
    for connection in ["upgrade", "UPGRADE", "keep-alive, Upgrade"] {
        let response = with("connection", &[connection]);
        assert!(handshake().receive(&response).is_ok());
    }
}

#[test]
fn client_fails_without_accept() {
    let response = without("sec-websocket-accept");
    let error = ResponseError::AcceptMissing;
    assert_fails(&handshake(), &response, error, "RFC 6455 §4.1");
}

#[test]
fn client_fails_on_two_accepts() {
    let response = with("sec-websocket-accept", &[ACCEPT, ACCEPT]);
    let error = ResponseError::AcceptRepeated;
    assert_fails(&handshake(), &response, error, "RFC 6455 §11.3.3");
}

#[test]
fn client_fails_unless_accept_answers_the_key() {
    for accept in [
        "",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "S3PPLMBITXAQ9KYGZZHZRBK+XOO=",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
        // the hash of the decoded key
        "dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let response = with("sec-websocket-accept", &[accept]);
        let error = ResponseError::AcceptWrong;
        assert_fails(&handshake(), &response, error, "RFC 6455 §4.1");
    }
    let padded = with("sec-websocket-accept", &[" s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\t"]);
    assert!(handshake().receive(&padded).is_ok());
}

#[test]
fn client_takes_a_subprotocol_that_it_offered() {
    let handshake = handshake().subprotocols(["chat", "superchat"]).unwrap();
    let response = with("sec-websocket-protocol", &["superchat"]);
    let accepted = handshake.receive(&response).unwrap();
    assert_eq!(accepted.subprotocol.as_deref(), Some("superchat"));
}

#[test]
fn client_fails_on_a_subprotocol_that_it_did_not_offer() {
    let response = with("sec-websocket-protocol", &["Chat"]);
    let error = ResponseError::SubprotocolNotOffered("Chat".to_owned());
    assert_fails(&handshake(), &response, error.clone(), "RFC 6455 §4.1");
    let offering = handshake().subprotocols(["chat"]).unwrap();
    assert_fails(&offering, &response, error, "RFC 6455 §4.1");
}

#[test]
fn client_fails_on_a_subprotocol_that_is_not_one_token() {
    let handshake = handshake().subprotocols(["chat", "superchat"]).unwrap();
    for value in ["", "chat, superchat", "\"chat\""] {
        let response = with("sec-websocket-protocol", &[value]);
        let error = ResponseError::SubprotocolInvalid;
        assert_fails(&handshake, &response, error, "RFC 6455 §4.3");
    }
}

#[test]
fn client_fails_on_two_subprotocol_fields() {
    let handshake = handshake().subprotocols(["chat"]).unwrap();
    let response = with("sec-websocket-protocol", &["chat", "chat"]);
    let error = ResponseError::SubprotocolRepeated;
    assert_fails(&handshake, &response, error, "RFC 6455 §11.3.4");
}

#[test]
fn client_opens_without_a_subprotocol_unless_one_is_required() {
    let offering = handshake().subprotocols(["chat"]).unwrap();
    assert_eq!(offering.receive(&legal()).unwrap().subprotocol, None);

    let offering = offering.require_subprotocol(true);
    let error = ResponseError::SubprotocolMissing;
    assert!(error.section().starts_with("WHATWG"));
    assert_eq!(offering.receive(&legal()), Err(error));

    // Without an offer no subprotocol can be required.
    let plain = handshake().require_subprotocol(true);
    assert!(plain.receive(&legal()).is_ok());
}

#[test]
fn client_takes_extensions_that_it_offered_in_the_order_of_the_answer() {
    let offers = ["x-one", "x-two", "x-three"].map(|name| Extension::new(name).unwrap());
    let handshake = handshake().extensions(offers);
    let response = with(
        "sec-websocket-extensions",
        &["x-three; a", "x-one; b=\"1\""],
    );
    let accepted = handshake.receive(&response).unwrap();
    let texts: Vec<_> = accepted
        .extensions
        .iter()
        .map(Extension::to_string)
        .collect();
    assert_eq!(texts, ["x-three; a", "x-one; b=1"]);
}

#[test]
fn client_fails_on_an_extension_that_it_did_not_offer() {
    let response = with("sec-websocket-extensions", &["x-one, x-evil"]);
    let offering = handshake().extensions([Extension::new("x-one").unwrap()]);
    let error = ResponseError::ExtensionNotOffered("x-evil".to_owned());
    assert_fails(&offering, &response, error, "RFC 6455 §4.1");
    let error = ResponseError::ExtensionNotOffered("x-one".to_owned());
    assert_fails(&handshake(), &response, error, "RFC 6455 §4.1");
}

#[test]
fn client_fails_on_an_extension_list_that_breaks_the_grammar() {
    for value in ["", ",", "x-one;", "x-one; a=", "x-one x-two"] {
        let response = with("sec-websocket-extensions", &[value]);
        let error = ResponseError::ExtensionsInvalid;
        assert_fails(&handshake(), &response, error, "RFC 6455 §9.1");
    }
}
