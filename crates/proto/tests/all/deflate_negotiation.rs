//! RFC 7692 §5 and §7: what servers in the field answer, what clients in the field offer, and what the rules
//! forbid. Each row is the text of header fields.

use http::header::{HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use http::{Request, Response};
use sockeye_proto::handshake::{
    ClientHandshake, RequestError, ResponseError, ServerHandshake, WebSocketUri,
};
use sockeye_proto::{DeflateConfig, DeflateParams, WindowBits};

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

/// Asks the server for no context takeover, and for windows of 10 bits in both directions.
fn demanding() -> DeflateConfig {
    DeflateConfig::default()
        .server_max_window_bits(bits(10))
        .client_max_window_bits(bits(10))
}

fn takeover() -> DeflateConfig {
    DeflateConfig::default().context_takeover(true)
}

/// The outcome at a client that offered `config` and gets these field lines as the answer.
fn judged(config: &DeflateConfig, lines: &[&str]) -> Result<Option<DeflateParams>, String> {
    let uri = WebSocketUri::parse("ws://h/").unwrap();
    let client = ClientHandshake::new(uri, *b"the sample nonce").extensions([config.offer()]);
    let (mut response, ()) = Response::builder()
        .status(101)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        .body(())
        .unwrap()
        .into_parts();
    for line in lines {
        let value = HeaderValue::from_str(line).unwrap();
        response.headers.append(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    let accepted = client
        .receive(&response)
        .map_err(|error| error.to_string())?;
    config
        .accept(&accepted.extensions)
        .map_err(|error| error.to_string())
}

/// The answer of a server to an offer of these field lines.
fn answered(config: &DeflateConfig, lines: &[&str]) -> Result<Option<String>, RequestError> {
    let (mut request, ()) = Request::get("/")
        .header("Host", "h")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap()
        .into_parts();
    for line in lines {
        let value = HeaderValue::from_str(line).unwrap();
        request.headers.append(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    let handshake = ServerHandshake::receive(&request)?;
    let answer = config.answer(handshake.extensions());
    Ok(answer.map(|(_, answer)| answer.to_string()))
}

// The client's side

#[test]
fn an_answer_that_the_client_can_work_with_is_taken() {
    // The agreed parameters: whether the server and the client start anew, and the bits of their windows.
    for (config, lines, agreed) in [
        // Tornado and libwebsockets drop the parameters without a value.
        (
            DeflateConfig::default(),
            &["permessage-deflate"][..],
            (false, true, 15, 15),
        ),
        // Undertow drops the window bits.
        (
            demanding(),
            &["permessage-deflate; server_no_context_takeover"],
            (true, true, 15, 10),
        ),
        (demanding(), &["permessage-deflate"], (false, true, 15, 10)),
        // zlib makes no raw DEFLATE with 8 bits, so Boost.Beast raises an offer of 8 to 9.
        (
            DeflateConfig::default().server_max_window_bits(bits(8)),
            &["permessage-deflate; server_no_context_takeover; server_max_window_bits=9"],
            (true, true, 9, 15),
        ),
        // Servers that always say 15.
        (
            demanding(),
            &["permessage-deflate; client_no_context_takeover; server_max_window_bits=15"],
            (false, true, 15, 10),
        ),
        // A server that ignores the value that the client gave its own window, as ws can be set to.
        (
            demanding(),
            &["permessage-deflate; server_no_context_takeover; client_max_window_bits=15"],
            (true, true, 15, 10),
        ),
        // Parameters that were not asked for: Bun, gorilla, Python's websockets.
        (
            takeover(),
            &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
            (true, true, 15, 15),
        ),
        (
            takeover(),
            &["permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"],
            (false, false, 12, 12),
        ),
        (
            takeover(),
            &["permessage-deflate; server_max_window_bits=8; client_max_window_bits=8"],
            (false, false, 8, 8),
        ),
        // The grammar of RFC 6455 §9.1: quotes, whitespace, empty elements, any order, several lines.
        (
            takeover(),
            &[r#"permessage-deflate; client_max_window_bits="9"; server_max_window_bits="1\0""#],
            (false, false, 10, 9),
        ),
        (
            takeover(),
            &[" permessage-deflate ;server_max_window_bits = 10\t;client_no_context_takeover"],
            (false, true, 10, 15),
        ),
        (
            takeover(),
            &[", permessage-deflate,"],
            (false, false, 15, 15),
        ),
        (
            takeover(),
            &["", "permessage-deflate"],
            (false, false, 15, 15),
        ),
    ] {
        let params = judged(&config, lines).unwrap().unwrap();
        let found = (
            params.server_no_context_takeover,
            params.client_no_context_takeover,
            params.server_max_window_bits.get(),
            params.client_max_window_bits.get(),
        );
        assert_eq!(found, agreed, "{lines:?}");
    }
}

#[test]
fn an_answer_without_the_extension_goes_on_uncompressed() {
    for config in [DeflateConfig::default(), takeover(), demanding()] {
        assert_eq!(judged(&config, &[]), Ok(None));
    }
}

#[test]
fn an_answer_that_breaks_a_rule_of_the_rfc_fails() {
    let no_list = ResponseError::ExtensionsInvalid.to_string();
    let not_offered = |name: &str| ResponseError::ExtensionNotOffered(name.to_owned()).to_string();
    let invalid = |why| {
        format!("the server's answer for permessage-deflate is invalid: {why} (RFC 7692 §7.1)")
    };
    let parameter = || invalid("a parameter is invalid");
    for (line, error) in [
        // §7: a parameter that is not defined.
        ("permessage-deflate; fast", parameter()),
        ("permessage-deflate; mux=1", parameter()),
        // Names are compared as they are written, as browsers and ws do.
        (
            "permessage-deflate; Server_No_Context_Takeover",
            parameter(),
        ),
        ("Permessage-Deflate", not_offered("Permessage-Deflate")),
        // §7: an invalid value.
        (
            "permessage-deflate; server_no_context_takeover=true",
            parameter(),
        ),
        (
            "permessage-deflate; client_no_context_takeover=1",
            parameter(),
        ),
        ("permessage-deflate; server_max_window_bits=7", parameter()),
        ("permessage-deflate; server_max_window_bits=16", parameter()),
        ("permessage-deflate; server_max_window_bits=08", parameter()),
        (
            r#"permessage-deflate; server_max_window_bits="08""#,
            parameter(),
        ),
        ("permessage-deflate; client_max_window_bits=+9", parameter()),
        ("permessage-deflate; client_max_window_bits=0", parameter()),
        (
            "permessage-deflate; server_max_window_bits",
            invalid("server_max_window_bits has no value"),
        ),
        // §7.1.2.2: only an offer may leave the value out. Servers that send it back fail in browsers too.
        (
            "permessage-deflate; client_max_window_bits",
            invalid("client_max_window_bits has no value"),
        ),
        // §7: a parameter that stands twice.
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            parameter(),
        ),
        (
            "permessage-deflate; client_max_window_bits=9; client_max_window_bits=9",
            parameter(),
        ),
        // Two that use one bit of the frame.
        (
            "permessage-deflate, permessage-deflate",
            invalid("permessage-deflate occurs twice"),
        ),
        // RFC 6455 §9.1: what was not offered, and what is no list.
        (
            "x-webkit-deflate-frame",
            not_offered("x-webkit-deflate-frame"),
        ),
        (
            "permessage-deflate, x-webkit-deflate-frame",
            not_offered("x-webkit-deflate-frame"),
        ),
        ("", no_list.clone()),
        (",", no_list.clone()),
        ("permessage-deflate;", no_list.clone()),
        (
            "permessage-deflate; server_max_window_bits=",
            no_list.clone(),
        ),
        (
            r#"permessage-deflate; server_no_context_takeover="""#,
            no_list.clone(),
        ),
        (
            r#"permessage-deflate; server_max_window_bits="10"#,
            no_list.clone(),
        ),
    ] {
        for config in [DeflateConfig::default(), takeover(), demanding()] {
            assert_eq!(judged(&config, &[line]), Err(error.clone()), "{line}");
        }
    }
}

// The server's side

#[test]
fn an_offer_of_a_client_in_the_field_is_answered() {
    let default = DeflateConfig::default();
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let limited = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                   server_max_window_bits=10; client_max_window_bits=10";
    for (config, lines, answer) in [
        // Chromium, Node's WebSocket, ws, Bun, Tornado; Firefox and Safari.
        (
            &default,
            &["permessage-deflate; client_max_window_bits"][..],
            both,
        ),
        (&default, &["permessage-deflate"], both),
        (
            &takeover(),
            &["permessage-deflate; client_max_window_bits"],
            "permessage-deflate",
        ),
        (
            &demanding(),
            &["permessage-deflate; client_max_window_bits"],
            limited,
        ),
        // gorilla fails on an answer without both.
        (&takeover(), &[both], both),
        // IXWebSocket: the defaults, spelled out. §7.1.2.1: an offered limit is answered with one.
        (
            &takeover(),
            &["permessage-deflate; server_max_window_bits=15; client_max_window_bits=15"],
            "permessage-deflate; server_max_window_bits=15",
        ),
        // Clients that name their own window.
        (
            &takeover(),
            &["permessage-deflate; client_max_window_bits=8; server_max_window_bits=8"],
            "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
        ),
        // Clients that offer alternatives: the first that can be met. §7: one with an unknown or invalid
        // parameter is declined, and the next is looked at.
        (
            &takeover(),
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            &takeover(),
            &[
                "permessage-deflate; x_level=9, permessage-deflate; server_max_window_bits=7, permessage-deflate",
            ],
            "permessage-deflate",
        ),
        // Others beside it, in one line or in several.
        (
            &takeover(),
            &["x-webkit-deflate-frame, deflate-frame; max_window_bits, permessage-deflate"],
            "permessage-deflate",
        ),
        (
            &takeover(),
            &[
                "x-webkit-deflate-frame",
                "",
                "permessage-deflate",
                "permessage-bzip2",
            ],
            "permessage-deflate",
        ),
        // The grammar's freedom.
        (
            &takeover(),
            &[r#"permessage-deflate;server_max_window_bits="10"; client_no_context_takeover"#],
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=10",
        ),
        (
            &takeover(),
            &[", permessage-deflate ;\tserver_no_context_takeover ,"],
            "permessage-deflate; server_no_context_takeover",
        ),
    ] {
        let found = answered(config, lines).unwrap();
        assert_eq!(found.as_deref(), Some(answer), "{lines:?}");
    }
    let many = vec!["permessage-deflate; server_max_window_bits=10"; 1000].join(", ");
    let answer = answered(&takeover(), &[&many]).unwrap();
    assert_eq!(
        answer.as_deref(),
        Some("permessage-deflate; server_max_window_bits=10")
    );
}

#[test]
fn an_offer_that_cannot_be_met_is_declined_and_the_handshake_goes_on() {
    for line in [
        // §7: a parameter that is not defined, has an invalid value, or stands twice.
        "permessage-deflate; fast",
        "permessage-deflate; SERVER_NO_CONTEXT_TAKEOVER",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; client_max_window_bits=015",
        r#"permessage-deflate; client_max_window_bits="7""#,
        "permessage-deflate; client_max_window_bits; client_max_window_bits=15",
        // Other extensions.
        "x-webkit-deflate-frame",
        "deflate-stream",
        "PERMESSAGE-DEFLATE",
    ] {
        for config in [DeflateConfig::default(), takeover(), demanding()] {
            assert_eq!(answered(&config, &[line]), Ok(None), "{line}");
        }
    }
    assert_eq!(answered(&takeover(), &[]), Ok(None));
}

#[test]
fn an_answer_that_declines_every_offer_has_no_field() {
    let (request, ()) = Request::get("/")
        .header("Host", "h")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .header(
            SEC_WEBSOCKET_EXTENSIONS,
            "permessage-deflate; server_max_window_bits=7",
        )
        .body(())
        .unwrap()
        .into_parts();
    let handshake = ServerHandshake::receive(&request).unwrap();
    let answer = takeover().answer(handshake.extensions()).unzip().1;
    let response = handshake.accept(None, answer.as_slice()).unwrap();
    assert!(!response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS));
}

#[test]
fn an_offer_that_is_no_list_ends_the_handshake() {
    for line in [
        "",
        "permessage-deflate;",
        "permessage-deflate; server_max_window_bits=",
        r#"permessage-deflate; server_no_context_takeover="""#,
        "permessage-deflate server_no_context_takeover",
    ] {
        let refused = answered(&takeover(), &[line]);
        assert_eq!(refused, Err(RequestError::ExtensionsInvalid), "{line}");
    }
}
