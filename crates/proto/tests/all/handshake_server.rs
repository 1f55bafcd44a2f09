//! RFC 6455 §4.2: requests in, statuses and answers out.

use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version};
use sockeye_proto::handshake::{
    AcceptError, Extension, RequestError, ServerHandshake, is_websocket_request,
};

// The request of §1.2, and changes to it.

fn legal() -> Parts {
    Request::get("/chat")
        .header("Host", "server.example.com")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn without(name: &'static str) -> Parts {
    let mut request = legal();
    request.headers.remove(name);
    request
}

fn with(name: &'static str, values: &[&'static str]) -> Parts {
    let mut request = without(name);
    for value in values {
        request.headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_static(value),
        );
    }
    request
}

fn with_target(target: &'static str) -> Parts {
    let mut request = legal();
    request.uri = Uri::from_static(target);
    request
}

fn accepted(request: &Parts) -> ServerHandshake {
    ServerHandshake::receive(request).unwrap()
}

#[track_caller]
fn assert_refused(request: &Parts, error: RequestError, status: u16) {
    assert_eq!(ServerHandshake::receive(request), Err(error));
    assert_eq!(error.status(), status);
    let response = error.to_response();
    assert_eq!(response.status(), status);
    // A refusal says why, and is the last thing on its connection.
    assert_eq!(response.body(), &format!("{error}\n"));
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let connection = response.headers()["connection"].to_str().unwrap();
    assert!(connection.split(", ").any(|option| option == "close"));
    assert!(error.section().starts_with("RFC "));
    // §10.1: what the client sent does not come back in the reason.
    assert!(!response.body().contains("server.example.com"));
}

#[track_caller]
fn assert_bad(request: &Parts, error: RequestError) {
    assert_refused(request, error, 400);
}

// §4.2.1: the request's form

#[test]
fn server_accepts_the_request_of_the_rfc() {
    let handshake = accepted(&legal());
    assert_eq!(handshake.host(), "server.example.com");
    assert_eq!(handshake.key().as_str(), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(handshake.subprotocols().count(), 0);
    assert!(handshake.extensions().is_empty());
}

#[test]
fn server_answers_405_allowing_get_to_post() {
    let mut request = legal();
    request.method = Method::POST;
    assert_refused(&request, RequestError::Method, 405);
    let response = RequestError::Method.to_response();
    assert_eq!(response.headers()["allow"], "GET");
}

#[test]
fn server_answers_505_to_http_1_0() {
    let mut request = legal();
    request.version = Version::HTTP_10;
    assert_refused(&request, RequestError::HttpVersion, 505);
}

#[test]
fn server_takes_targets_in_origin_form_and_in_absolute_form() {
    for target in [
        "/",
        "/chat?room=1",
        "http://server.example.com/chat",
        "https://server.example.com/chat",
        "ws://server.example.com/chat",
        "wss://server.example.com",
    ] {
        accepted(&with_target(target));
    }
}

#[test]
fn server_answers_400_to_a_target_that_is_no_web_resource() {
    for target in [
        "*",
        "server.example.com:80",
        "ftp://server.example.com/chat",
        "http://user:password@server.example.com/chat",
    ] {
        assert_bad(&with_target(target), RequestError::Target);
    }
}

#[test]
fn an_absolute_target_outweighs_host() {
    let request = with_target("ws://Other.example:8080/chat");
    assert_eq!(accepted(&request).host(), "other.example:8080");
}

#[test]
fn server_answers_400_without_host() {
    assert_bad(&without("host"), RequestError::HostMissing);
    let mut request = with_target("ws://server.example.com/chat");
    request.headers.remove("host");
    assert_bad(&request, RequestError::HostMissing);
}

#[test]
fn server_answers_400_to_two_hosts() {
    let request = with("host", &["server.example.com", "server.example.com"]);
    assert_bad(&request, RequestError::HostRepeated);
}

#[test]
fn server_answers_400_to_a_malformed_host() {
    for host in [
        "",
        "a b",
        "user@host",
        "host/path",
        "host:port",
        "host:+80",
        "host:65536",
        "host:80:80",
        ":80",
        "::1",
        "[::1",
        "[::1]80",
        "[host]",
        "h\"st",
    ] {
        assert_bad(&with("host", &[host]), RequestError::HostInvalid);
    }
}

#[test]
fn server_takes_names_and_addresses_with_and_without_port() {
    for (field, host) in [
        ("localhost", "localhost"),
        ("LocalHost:8080", "localhost:8080"),
        ("under_score.example.", "under_score.example."),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[0:0::1]:443", "[::1]:443"),
        ("server.example.com:", "server.example.com"),
        // RFC 3986 has room for commas in names; DNS has none, but that is not for us to know.
        ("a,b", "a,b"),
    ] {
        assert_eq!(accepted(&with("host", &[field])).host(), host);
    }
}

#[test]
fn server_answers_400_to_a_request_with_a_body() {
    for (name, value) in [
        ("content-length", "1"),
        ("content-length", ""),
        ("content-length", "0, 5"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
    ] {
        assert_bad(&with(name, &[value]), RequestError::Body);
    }
    assert_bad(&with("content-length", &["0", "5"]), RequestError::Body);
    accepted(&with("content-length", &["0"]));
}

#[test]
fn server_answers_426_where_upgrade_does_not_list_websocket() {
    assert_refused(&without("upgrade"), RequestError::Upgrade, 426);
    for upgrade in ["", "h2c", "websockets", "websocket/13", "websocket, @", "/"] {
        let request = with("upgrade", &[upgrade]);
        assert_refused(&request, RequestError::Upgrade, 426);
    }
    // RFC 9110 §15.5.22 and §7.8
    let response = RequestError::Upgrade.to_response();
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["connection"], "Upgrade, close");
}

#[test]
fn server_finds_websocket_among_other_upgrades_whatever_its_case() {
    accepted(&with("upgrade", &["WebSocket"]));
    accepted(&with("upgrade", &["h2c, HTTP/2.0,\twebsocket"]));
    accepted(&with("upgrade", &["h2c", "websocket"]));
}

#[test]
fn server_answers_400_where_connection_does_not_list_upgrade() {
    assert_bad(&without("connection"), RequestError::Connection);
    for connection in ["", "keep-alive", "upgraded", "\"upgrade\"", "upgrade, @"] {
        assert_bad(&with("connection", &[connection]), RequestError::Connection);
    }
}

#[test]
fn server_finds_upgrade_among_other_connection_options_whatever_its_case() {
    accepted(&with("connection", &["keep-alive, UPGRADE"]));
    accepted(&with("connection", &[",upgrade ,\t,"]));
    accepted(&with("connection", &["keep-alive", "Upgrade"]));
}

#[test]
fn server_answers_400_without_version() {
    assert_bad(
        &without("sec-websocket-version"),
        RequestError::VersionMissing,
    );
}

#[test]
fn server_answers_400_to_two_versions() {
    let request = with("sec-websocket-version", &["13", "13"]);
    assert_bad(&request, RequestError::VersionRepeated);
}

#[test]
fn server_answers_426_naming_13_to_version_8() {
    let request = with("sec-websocket-version", &["8"]);
    assert_refused(&request, RequestError::VersionUnsupported, 426);
    let response = RequestError::VersionUnsupported.to_response();
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert_eq!(response.headers()["upgrade"], "websocket");
}

#[test]
fn server_takes_13_in_no_other_spelling() {
    for version in ["", "013", "+13", "0xd", "13.0", "13, 8", "13,13", "1 3"] {
        let request = with("sec-websocket-version", &[version]);
        assert_refused(&request, RequestError::VersionUnsupported, 426);
    }
    accepted(&with("sec-websocket-version", &[" 13\t"]));
}

#[test]
fn server_answers_400_without_key() {
    assert_bad(&without("sec-websocket-key"), RequestError::KeyMissing);
}

#[test]
fn server_answers_400_to_two_keys() {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let request = with("sec-websocket-key", &[key, key]);
    assert_bad(&request, RequestError::KeyRepeated);
}

#[test]
fn server_answers_400_to_a_key_that_is_not_16_bytes_in_base64() {
    for key in [
        "",
        "!!!!!!!!!!!!!!!!!!!!!!==",
        "MDEy(zQ1Njc4OTAxMjM0NQ==",
        "MDEyMzQ1Njc4OTAxMjM0",
        "MDEyMzQ1Njc4OTAxMjM0NTY=",
        "MDEyMzQ1Njc4OTAxMjM0NTY3OA==",
        // The padding is left out or in another place, or the alphabet is that of URLs.
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZ===",
        "____________________-w==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
    ] {
        assert_bad(&with("sec-websocket-key", &[key]), RequestError::KeyInvalid);
    }
    accepted(&with("sec-websocket-key", &["MDEyMzQ1Njc4OTAxMjM0NQ=="]));
}

#[test]
fn server_takes_a_key_with_bits_behind_its_last_byte_and_hashes_it_as_it_came() {
    for (key, accept) in [
        // The example of §4.1.
        ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
        (
            " dGhlIHNhbXBsZSBub25jZR==\t",
            "Zgw8jYXtqX5qJr7MJ1Q/MqzeSRI=",
        ),
        ("dGhlIHNhbXBsZSBub25jZf==", "X6f47m0G5NixFYe1pmdqfXnTIjI="),
    ] {
        let handshake = accepted(&with("sec-websocket-key", &[key]));
        assert_eq!(handshake.key().as_str(), key.trim());
        let response = handshake.accept(None, &[]).unwrap();
        assert_eq!(response.headers()["sec-websocket-accept"], accept);
    }
}

#[test]
fn server_answers_400_to_a_subprotocol_that_is_no_token() {
    for list in ["", " , ,", "chat room", "chat, a/b", "\"chat\"", "chat;v=1"] {
        let request = with("sec-websocket-protocol", &[list]);
        assert_bad(&request, RequestError::SubprotocolsInvalid);
    }
}

#[test]
fn server_answers_400_to_a_subprotocol_offered_twice() {
    let request = with("sec-websocket-protocol", &["chat, superchat", "chat"]);
    assert_bad(&request, RequestError::SubprotocolRepeated);
    // They are compared as they are written.
    accepted(&with("sec-websocket-protocol", &["chat, Chat"]));
}

#[test]
fn server_answers_400_to_an_extension_list_that_breaks_the_grammar() {
    let request = with("sec-websocket-extensions", &["x-one; ;"]);
    assert_bad(&request, RequestError::ExtensionsInvalid);
}

#[test]
fn the_first_rule_broken_is_the_one_reported() {
    let mut request = without("sec-websocket-key");
    request.headers.remove("upgrade");
    assert_refused(&request, RequestError::Upgrade, 426);
    request.method = Method::POST;
    assert_refused(&request, RequestError::Method, 405);
}

#[test]
fn unknown_fields_are_passed_over() {
    accepted(&with("x-unknown", &["?"]));
    accepted(&with("sec-websocket-unknown", &["?"]));
}

// §4.2.2: the answer

#[test]
fn server_answers_101_with_exactly_the_fields_of_the_rfc() {
    let response = accepted(&legal()).accept(None, &[]).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(response.headers().len(), 3);
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["connection"], "Upgrade");
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn server_chooses_the_first_of_the_clients_subprotocols_that_it_supports() {
    let request = with("sec-websocket-protocol", &["v3", "v2, v1"]);
    let handshake = accepted(&request);
    assert!(handshake.subprotocols().eq(["v3", "v2", "v1"]));
    assert_eq!(handshake.choose_subprotocol(&["v1", "v2"]), Some("v2"));
    assert_eq!(handshake.choose_subprotocol(&["V1", "v4"]), None);
    assert_eq!(handshake.choose_subprotocol(&[""; 0]), None);

    let chosen = handshake.choose_subprotocol(&["v1"]);
    let response = handshake.accept(chosen, &[]).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "v1");
}

#[test]
fn server_sends_no_subprotocol_field_where_none_is_agreed() {
    let handshake = accepted(&with("sec-websocket-protocol", &["chat"]));
    let response = handshake.accept(None, &[]).unwrap();
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
}

#[test]
fn server_cannot_choose_a_subprotocol_that_was_not_offered() {
    for offers in [with("sec-websocket-protocol", &["chat"]), legal()] {
        for choice in ["superchat", "Chat", ""] {
            assert_eq!(
                accepted(&offers).accept(Some(choice), &[]).unwrap_err(),
                AcceptError::SubprotocolNotOffered(choice.to_owned())
            );
        }
    }
}

#[test]
fn server_cannot_choose_an_extension_that_was_not_offered() {
    let handshake = accepted(&with("sec-websocket-extensions", &["x-one"]));
    let other = Extension::new("x-two").unwrap();
    assert_eq!(
        handshake.accept(None, &[other]).unwrap_err(),
        AcceptError::ExtensionNotOffered("x-two".to_owned())
    );
}

#[test]
fn server_names_chosen_extensions_in_one_field() {
    let request = with(
        "sec-websocket-extensions",
        &["x-one; level=9", "x-two, x-three"],
    );
    let handshake = accepted(&request);
    let names: Vec<_> = handshake.extensions().iter().map(Extension::name).collect();
    assert_eq!(names, ["x-one", "x-two", "x-three"]);

    let chosen = [
        Extension::new("x-two").unwrap(),
        Extension::new("x-one")
            .unwrap()
            .with_param("level", Some("8"))
            .unwrap(),
    ];
    let response = handshake.accept(None, &chosen).unwrap();
    let fields = response.headers().get_all("sec-websocket-extensions");
    assert!(fields.iter().eq(["x-two, x-one; level=8"]));
}

#[test]
fn server_may_pass_over_all_extensions() {
    let handshake = accepted(&with("sec-websocket-extensions", &["x-unknown; a=1"]));
    let response = handshake.accept(None, &[]).unwrap();
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
}

// Requests that are handshakes, and requests for the HTTP service

#[test]
fn a_request_that_shows_the_intent_is_a_websocket_request_however_malformed() {
    assert!(is_websocket_request(&legal()));
    assert!(is_websocket_request(&without("upgrade")));
    let mut request = with("upgrade", &["@, WebSocket"]);
    request.headers.remove("sec-websocket-key");
    request.headers.remove("sec-websocket-version");
    assert!(is_websocket_request(&request));
    request.headers.remove("upgrade");
    assert!(!is_websocket_request(&request));
    request
        .headers
        .insert("upgrade", HeaderValue::from_static("h2c"));
    assert!(!is_websocket_request(&request));
}
