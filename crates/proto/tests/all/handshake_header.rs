//! RFC 6455 §9.1 and §11.3: what the fields of the handshake hold, by example and by property.

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sockeye_proto::handshake::{
    ClientHandshake, Extension, InvalidKey, Key, NotAToken, OriginPolicy, RequestError,
    ServerHandshake, WebSocketUri, host_is_loopback, is_websocket_request,
};

/// A legal request, with these field lines as well.
fn request(name: &str, lines: &[impl AsRef<[u8]>]) -> Parts {
    let mut request = Request::get("/")
        .header("Host", "h")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    for line in lines {
        let value = HeaderValue::from_bytes(line.as_ref()).unwrap();
        request.headers.append(name.clone(), value);
    }
    request
}

fn extensions(lines: &[impl AsRef<[u8]>]) -> Result<Vec<Extension>, RequestError> {
    let request = request("sec-websocket-extensions", lines);
    ServerHandshake::receive(&request).map(|handshake| handshake.extensions().to_vec())
}

fn written(extensions: &[Extension]) -> Vec<String> {
    extensions.iter().map(Extension::to_string).collect()
}

// The key

#[test]
fn the_accept_of_the_rfcs_key_is_the_rfcs() {
    let key = Key::parse(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
    assert_eq!(key, Key::from_nonce(*b"the sample nonce"));
    assert_eq!(key.accept().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn a_key_of_other_than_16_bytes_is_none() {
    assert_eq!(Key::parse(b"dGVzdA=="), Err(InvalidKey));
    assert_eq!(Key::parse(&[b'A'; 4000]), Err(InvalidKey));
    assert_eq!(
        Key::parse(b"dGhlIHNhbXBsZSBub25jZQ\xff\xff"),
        Err(InvalidKey)
    );
}

// The extension list

#[test]
fn an_extension_list_is_read_by_the_grammar() {
    for (line, list) in [
        ("foo", &["foo"][..]),
        ("foo, bar; baz=2", &["foo", "bar; baz=2"]),
        (" foo ;a=1\t; b ; c = d,foo", &["foo; a=1; b; c=d", "foo"]),
        (r#"foo; a="1""#, &["foo; a=1"]),
        (r#"foo; a="\1\x" "#, &["foo; a=1x"]),
        (",, foo,, bar,", &["foo", "bar"]),
        ("foo; a; a=1; a", &["foo; a; a=1; a"]),
    ] {
        assert_eq!(written(&extensions(&[line]).unwrap()), list, "{line}");
    }
}

#[test]
fn an_extension_list_over_several_lines_is_one_list() {
    let lines = ["foo", "", "bar; baz=2, foo; x"];
    let list = extensions(&lines).unwrap();
    assert_eq!(written(&list), ["foo", "bar; baz=2", "foo; x"]);
}

#[test]
fn an_extension_list_that_breaks_the_grammar_is_refused() {
    for line in [
        "",
        ",",
        ";",
        "=",
        "foo;",
        "foo; ;a",
        "foo bar",
        "foo=1",
        "foo; a b",
        "foo; a=",
        "foo; a==1",
        "foo; =1",
        "foo; a=1 2",
        "foo; a=1=2",
        "f\"o",
        "\"foo\"",
        "foo; a=b\"c\"",
        "foo/1",
    ] {
        let refused = extensions(&[line]);
        assert_eq!(refused, Err(RequestError::ExtensionsInvalid), "{line}");
    }
    let latin1 = extensions(&[b"foo; a=\xe9"]);
    assert_eq!(latin1, Err(RequestError::ExtensionsInvalid));
}

#[test]
fn a_quoted_value_that_is_no_token_when_unescaped_is_refused() {
    for line in [
        r#"foo; a="""#,
        r#"foo; a=" 1""#,
        r#"foo; a="1,2""#,
        r#"foo; a="\"""#,
        r#"foo; a="\\""#,
        r#"foo; a="1"#,
        r#"foo; a="1\"#,
        r#"foo; a="1"2"#,
        r#"foo; a="1""2""#,
    ] {
        let refused = extensions(&[line]);
        assert_eq!(refused, Err(RequestError::ExtensionsInvalid), "{line}");
    }
}

#[test]
fn a_quoted_value_does_not_run_on_in_the_next_line() {
    let refused = extensions(&[r#"foo; a="1"#, r#"2""#]);
    assert_eq!(refused, Err(RequestError::ExtensionsInvalid));
}

#[test]
fn an_extension_is_made_of_tokens() {
    // RFC 9110 §5.6.2 has the list.
    for char in ('\0'..='\u{ff}').chain(['\u{131}']) {
        let is_token = char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
        assert_eq!(
            Extension::new(&char.to_string()).is_ok(),
            is_token,
            "{char:?}"
        );
    }
    for text in ["", "a b", "a;b", "\u{e9}"] {
        let error = NotAToken(text.to_owned());
        assert_eq!(Extension::new(text), Err(error.clone()));
        let extension = Extension::new("foo").unwrap();
        assert_eq!(extension.clone().with_param(text, None), Err(error.clone()));
        assert_eq!(extension.with_param("a", Some(text)), Err(error));
    }
}

// Properties

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"
}

fn extension() -> impl Strategy<Value = Extension> {
    (token(), vec((token(), option::of(token())), 0..5)).prop_map(|(name, params)| {
        params.into_iter().fold(
            Extension::new(&name).unwrap(),
            |extension, (name, value)| extension.with_param(&name, value.as_deref()).unwrap(),
        )
    })
}

/// Any value that HTTP allows in a field.
fn field_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(
            prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8],
            0..64
        ),
        // denser in what the grammars care about
        "[a,;=\"\\\\ /:\t\\[\\].]{0,32}".prop_map(String::into_bytes),
    ]
}

fn field_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "host",
        "upgrade",
        "connection",
        "origin",
        "content-length",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "sec-websocket-accept",
    ])
}

/// Puts elements into lines of a list, with a line's break or a comma between any two.
fn lines(elements: &[String], breaks: &[bool], space: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (element, &breaks_off) in elements.iter().zip(breaks.iter().cycle()) {
        if breaks_off {
            lines.push(String::new());
        }
        let line = lines.last_mut().unwrap();
        if !line.is_empty() {
            line.push_str(&format!("{space},{space}"));
        }
        line.push_str(element);
    }
    lines
}

proptest! {
    #[test]
    fn key_and_nonce_are_one_to_one(nonce: [u8; 16]) {
        let key = Key::from_nonce(nonce);
        prop_assert_eq!(key.as_str().len(), 24);
        prop_assert_eq!(Key::parse(key.as_str().as_bytes()), Ok(key));
    }

    #[test]
    fn an_extension_list_reads_back_as_it_was_written(
        list in vec(extension(), 1..5),
        breaks in vec(any::<bool>(), 1..5),
        space in "[ \t]{0,2}",
    ) {
        let lines = lines(&written(&list), &breaks, &space);
        prop_assert_eq!(extensions(&lines), Ok(list));
    }

    #[test]
    fn what_parses_as_an_extension_list_is_written_so_that_it_parses_the_same(
        line in "[ab,;=\"\\\\ ]{0,24}",
    ) {
        if let Ok(list) = extensions(&[line]) {
            prop_assert_eq!(extensions(&[written(&list).join(",")]), Ok(list));
        }
    }

    #[test]
    fn a_token_list_means_the_same_however_it_is_split_over_lines(
        tokens in prop::collection::hash_set(token(), 1..8),
        breaks in vec(any::<bool>(), 1..5),
        space in "[ \t]{0,2}",
    ) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let request = request("sec-websocket-protocol", &lines(&tokens, &breaks, &space));
        let handshake = ServerHandshake::receive(&request).unwrap();
        prop_assert!(handshake.subprotocols().eq(tokens.iter().map(String::as_str)));
    }

    #[test]
    fn upgrade_is_found_wherever_it_stands_in_connection(
        before in vec(token(), 0..4),
        after in vec(token(), 0..4),
        breaks in vec(any::<bool>(), 1..5),
    ) {
        let tokens: Vec<_> = before.into_iter().chain(["uPgRaDe".to_owned()]).chain(after).collect();
        let mut request = request("x", &[""; 0]);
        request.headers.remove("connection");
        for line in lines(&tokens, &breaks, " ") {
            request.headers.append("connection", line.parse().unwrap());
        }
        prop_assert!(ServerHandshake::receive(&request).is_ok());
    }

    #[test]
    fn no_field_value_makes_the_server_panic(
        fields in vec((field_name(), field_value()), 0..4),
        replace: bool,
    ) {
        let mut request = request("x", &[""; 0]);
        if replace {
            for (name, _) in &fields {
                request.headers.remove(*name);
            }
        }
        for (name, value) in &fields {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers.append(*name, value);
        }
        is_websocket_request(&request);
        for policy in [OriginPolicy::SameHost, OriginPolicy::List(Vec::new())] {
            let _ = policy.check(&request, replace);
        }
        match ServerHandshake::receive(&request) {
            Ok(handshake) => {
                let supported: Vec<_> = handshake.subprotocols().collect();
                let chosen = handshake.choose_subprotocol(&supported);
                handshake.accept(chosen, handshake.extensions()).unwrap();
            }
            Err(error) => {
                error.to_response();
            }
        }
    }

    #[test]
    fn no_field_value_makes_the_client_panic(
        fields in vec((field_name(), field_value()), 0..4),
        replace: bool,
    ) {
        let uri = WebSocketUri::parse("ws://h/").unwrap();
        let client = ClientHandshake::new(uri, *b"the sample nonce").subprotocols(["a"]).unwrap();
        let mut response = Response::builder()
            .status(101)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        for (name, value) in &fields {
            if replace {
                response.headers.remove(*name);
            }
            let value = HeaderValue::from_bytes(value).unwrap();
            response.headers.append(*name, value);
        }
        let _ = client.receive(&response);
    }

    #[test]
    fn no_text_makes_a_uri_or_a_host_panic(text in "(wss?://)?(\\PC|[:/?#@\\[\\]]){0,24}") {
        host_is_loopback(&text);
        if let Ok(uri) = WebSocketUri::parse(&text) {
            prop_assert_eq!(WebSocketUri::parse(&uri.to_string()), Ok(uri.clone()));
            ClientHandshake::new(uri, [0; 16]).request();
        }
    }

    #[test]
    fn what_a_client_asks_for_its_server_accepts_and_both_agree(
        nonce: [u8; 16],
        subprotocols in prop::collection::hash_set(token(), 0..4),
        offers in vec(extension(), 0..4),
    ) {
        let uri = WebSocketUri::parse("ws://h/chat").unwrap();
        let client = ClientHandshake::new(uri, nonce)
            .subprotocols(subprotocols)
            .unwrap()
            .extensions(offers.clone());
        let (request, ()) = client.request().into_parts();
        let server = ServerHandshake::receive(&request).unwrap();
        prop_assert_eq!(server.extensions(), offers.as_slice());
        let supported: Vec<_> = server.subprotocols().collect();
        let chosen = server.choose_subprotocol(&supported);
        let (response, ()) = server.accept(chosen, server.extensions()).unwrap().into_parts();
        let accepted = client.receive(&response).unwrap();
        prop_assert_eq!(accepted.subprotocol.as_deref(), chosen);
        prop_assert_eq!(accepted.extensions, offers);
    }
}
