//! The opening handshake (RFC 6455 §4, §9.1), as the server and the client get it: `httparse`, which is
//! what hyper reads with, makes `http` values of the bytes.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri, Version, request, response};
use sockeye_proto::handshake::{
    ClientHandshake, Extension, Origin, OriginPolicy, ServerHandshake, WebSocketUri,
    host_is_loopback, is_websocket_request,
};
use sockeye_proto::{Cause, DeflateConfig, DeflateParams, MessageBuffer, Role, WindowBits};

use crate::end::{End, Seen, Setup, WHOLE};

/// What a client may send. A request that is taken is answered, and a client that sent it takes the answer.
pub fn request(data: &[u8]) {
    let Some(request) = parse_request(data) else {
        return;
    };
    for policy in [
        OriginPolicy::Any,
        OriginPolicy::SameHost,
        OriginPolicy::List(Vec::new()),
    ] {
        let allowed = [true, false].map(|secure| policy.check(&request, secure));
        let origins = request.headers.get_all("origin").iter().count();
        assert!(origins > 0 || allowed == [Ok(()), Ok(())]);
        if let Err(refused) = allowed[0] {
            assert_refuses(&refused.to_response(), refused.section());
        }
    }
    for origin in request.headers.get_all("origin") {
        if let Ok(origin) = origin.to_str().unwrap_or_default().parse::<Origin>() {
            assert_eq!(origin.to_string().parse(), Ok(origin));
        }
    }
    match ServerHandshake::receive(&request) {
        Ok(handshake) => {
            assert!(is_websocket_request(&request));
            takes_what_it_may(&request, &handshake);
            both_ends_agree(&request, &handshake);
        }
        Err(error) => {
            let answer = error.to_response();
            if answer.status() == StatusCode::UPGRADE_REQUIRED {
                assert_eq!(answer.headers()[SEC_WEBSOCKET_VERSION], "13");
            }
            assert_refuses(&answer, error.section());
        }
    }
}

/// §4.2.1, in other words than the crate's: what a request has that is taken.
fn takes_what_it_may(request: &request::Parts, handshake: &ServerHandshake) {
    let headers = &request.headers;
    assert_eq!(
        (&request.method, request.version),
        (&Method::GET, Version::HTTP_11)
    );
    for (name, wanted) in [(UPGRADE, "websocket"), (CONNECTION, "upgrade")] {
        let values = headers
            .get_all(&name)
            .iter()
            .map(|value| value.to_str().unwrap());
        let all = values.collect::<Vec<_>>().join(",").to_ascii_lowercase();
        assert!(
            all.split(',').any(|element| element.trim() == wanted),
            "{name}: {all}"
        );
    }
    for name in [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, HOST] {
        assert_eq!(headers.get_all(&name).iter().count(), 1, "{name}");
    }
    assert_eq!(
        headers[SEC_WEBSOCKET_VERSION].to_str().unwrap().trim(),
        "13"
    );
    assert!(!handshake.host().is_empty());
    let _ = host_is_loopback(handshake.host());
}

/// A client with the same nonce and the same offers takes what the server answers.
fn both_ends_agree(request: &request::Parts, handshake: &ServerHandshake) {
    let path = request
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = WebSocketUri::parse(&format!("ws://{}{path}", handshake.host())) else {
        return;
    };
    // §4.2.1: a key is taken by what it decodes to. Bits behind its last byte may be set.
    let lenient = GeneralPurpose::new(
        &alphabet::STANDARD,
        PAD.with_decode_allow_trailing_bits(true),
    );
    let nonce = lenient.decode(handshake.key().as_str()).unwrap();
    let client = ClientHandshake::new(uri, nonce.try_into().unwrap())
        .subprotocols(handshake.subprotocols())
        .unwrap()
        .extensions(handshake.extensions().iter().cloned());
    let again = ServerHandshake::receive(&client.request().into_parts().0).unwrap();
    let canonical = again.key() == handshake.key();
    assert_eq!(again.key().as_str()[..21], handshake.key().as_str()[..21]);
    assert!(again.subprotocols().eq(handshake.subprotocols()));
    assert_eq!(again.extensions(), handshake.extensions());

    let subprotocol = handshake.choose_subprotocol(&["superchat", "chat"]);
    let agreed = DeflateConfig::default().answer(handshake.extensions());
    let extensions: Vec<Extension> = agreed.into_iter().map(|(_, answer)| answer).collect();
    // The accept value is of the key's text, so another spelling of the nonce has another one.
    let response = handshake.accept(subprotocol, &extensions).unwrap();
    assert_eq!(client.receive(&response.into_parts().0).is_ok(), canonical);
    let response = again.accept(subprotocol, &extensions).unwrap();
    let accepted = client.receive(&response.into_parts().0).unwrap();
    assert_eq!(accepted.subprotocol.as_deref(), subprotocol);
    assert_eq!(accepted.extensions, extensions);
}

fn assert_refuses(answer: &Response<String>, section: &str) {
    assert!(answer.status().is_client_error() || answer.status().is_server_error());
    let connection = answer.headers()[CONNECTION].to_str().unwrap();
    assert!(connection.ends_with("close"), "{connection}");
    assert!(!answer.body().is_empty() && !section.is_empty());
}

/// What a server may answer. The first byte says what was offered and asked for.
pub fn response(data: &[u8]) {
    let Some((&bits, bytes)) = data.split_first() else {
        return;
    };
    let Some(response) = parse_response(bytes) else {
        return;
    };
    let subprotocols: &[&str] = if bits & 1 != 0 {
        &["chat", "superchat"]
    } else {
        &[]
    };
    let config = deflate_config(bits >> 3);
    let client = handshake()
        .subprotocols(subprotocols.iter().copied())
        .unwrap()
        .extensions((bits & 2 != 0).then(|| config.offer()))
        .require_subprotocol(bits & 4 != 0);
    match client.receive(&response) {
        Ok(accepted) => {
            // §4.1, in other words than the crate's.
            let headers = &response.headers;
            assert_eq!(
                (response.status.as_u16(), response.version),
                (101, Version::HTTP_11)
            );
            assert_eq!(sole(headers, SEC_WEBSOCKET_ACCEPT), Some(ACCEPT));
            assert!(
                sole(headers, UPGRADE)
                    .unwrap()
                    .eq_ignore_ascii_case("websocket")
            );
            match &accepted.subprotocol {
                Some(chosen) => {
                    assert!(subprotocols.contains(&chosen.as_str()));
                    assert_eq!(sole(headers, SEC_WEBSOCKET_PROTOCOL), Some(chosen.as_str()));
                }
                None => {
                    assert!(!headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
                    assert!(subprotocols.is_empty() || bits & 4 == 0);
                }
            }
            let names: Vec<&str> = accepted.extensions.iter().map(Extension::name).collect();
            assert!(
                names
                    .iter()
                    .all(|name| bits & 2 != 0 && *name == "permessage-deflate")
            );
            if let Ok(Some(params)) = config.accept(&accepted.extensions) {
                works(params, &config);
            }
        }
        Err(error) => {
            assert!(!error.section().is_empty() && !error.to_string().is_empty());
        }
    }
}

/// An extension list as a client and as a server may send it: lines of the field, the first byte says how
/// we compress.
pub fn extension(data: &[u8]) {
    let Some((&bits, bytes)) = data.split_first() else {
        return;
    };
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .map(HeaderValue::from_bytes);
    let Ok(lines) = lines.collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let (mut request, ()) = handshake().request().into_parts();
    for line in &lines {
        request
            .headers
            .append(SEC_WEBSOCKET_EXTENSIONS, line.clone());
    }
    let read = ServerHandshake::receive(&request).map(|server| server.extensions().to_vec());
    let expected = naive(&lines);
    assert_eq!(read.as_ref().ok(), expected.as_ref());
    let Ok(extensions) = read else {
        return;
    };

    // Written, it is read as what it was.
    let list: Vec<String> = extensions.iter().map(Extension::to_string).collect();
    let list = HeaderValue::from_str(&list.join(", ")).unwrap();
    request.headers.insert(SEC_WEBSOCKET_EXTENSIONS, list);
    let again = ServerHandshake::receive(&request).unwrap();
    assert_eq!(again.extensions(), extensions);

    // As an offer: what is agreed on is legal, and a client that offered any of it could work with it.
    let config = deflate_config(bits);
    if let Some((params, answer)) = config.answer(&extensions) {
        assert!(again.accept(None, std::slice::from_ref(&answer)).is_ok());
        let anything = DeflateConfig::default().context_takeover(true);
        assert!(anything.accept(&[answer]).unwrap().is_some());
        assert!(params.server_max_window_bits <= config.server_max_window_bits);
        assert!(params.server_no_context_takeover || !config.server_no_context_takeover);
        works(params, &config);
    }
    // As an answer: the server chooses its own window, the client keeps to what it offered of its own.
    if let Ok(Some(params)) = config.accept(&extensions) {
        assert!(params.client_max_window_bits <= config.client_max_window_bits);
        assert!(params.client_no_context_takeover || !config.client_no_context_takeover);
        works(params, &config);
    }
}

/// §9.1, in other words than the crate's: split at commas, semicolons, and the first equals sign. That is
/// enough, because no value holds any of them, quoted or not.
fn naive(lines: &[HeaderValue]) -> Option<Vec<Extension>> {
    let mut extensions = Vec::new();
    for line in lines {
        let line: String = line
            .as_bytes()
            .iter()
            .map(|byte| char::from(*byte))
            .collect();
        for element in line
            .split(',')
            .map(trim)
            .filter(|element| !element.is_empty())
        {
            let mut parts = element.split(';').map(trim);
            let mut extension = Extension::new(parts.next()?).ok()?;
            for part in parts {
                let (name, value) = match part.split_once('=') {
                    Some((name, value)) => (trim(name), Some(unquoted(trim(value))?)),
                    None => (part, None),
                };
                extension = extension.with_param(name, value.as_deref()).ok()?;
            }
            extensions.push(extension);
        }
    }
    (!extensions.is_empty()).then_some(extensions)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return Some(value.to_owned());
    };
    let mut unquoted = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(unquoted),
            '\\' => unquoted.push(characters.next()?),
            other => unquoted.push(other),
        }
    }
}

/// With whatever parameters were agreed on, messages arrive in both directions.
fn works(params: DeflateParams, config: &DeflateConfig) {
    let setup = |role| Setup {
        deflate: Some((params, config.clone().threshold(1))),
        ..Setup::new(role)
    };
    let mut ends = [End::new(setup(Role::Client)), End::new(setup(Role::Server))];
    for _ in 0..2 {
        let [from, to] = &mut ends;
        for _ in 0..2 {
            from.connection.send_text(TEXT, Cause::Push).unwrap();
            from.pushed();
        }
        from.writes(usize::MAX);
        to.reads(&std::mem::take(&mut from.output), WHOLE);
        let message = Seen::Message(MessageBuffer::Text(TEXT.to_owned()));
        assert_eq!(to.seen, [message.clone(), message]);
        ends.reverse();
    }
}

fn deflate_config(bits: u8) -> DeflateConfig {
    let window = |bits| {
        if bits != 0 {
            WindowBits::MAX
        } else {
            WindowBits::new(9).unwrap()
        }
    };
    DeflateConfig::default()
        .context_takeover(bits & 1 != 0)
        .server_max_window_bits(window(bits & 2))
        .client_max_window_bits(window(bits & 4))
}

fn handshake() -> ClientHandshake {
    let uri = WebSocketUri::parse("ws://server.example.com/chat").unwrap();
    ClientHandshake::new(uri, *b"the sample nonce")
}

fn sole(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(name).into_iter();
    let value = lines.next()?;
    assert_eq!(lines.next(), None);
    Some(value.to_str().unwrap().trim())
}

fn parse_request(bytes: &[u8]) -> Option<request::Parts> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed.parse(bytes).ok()?.is_complete().then_some(())?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(parsed.path?).ok()?;
    *request.version_mut() = version(parsed.version?);
    *request.headers_mut() = headers(parsed.headers)?;
    Some(request.into_parts().0)
}

fn parse_response(bytes: &[u8]) -> Option<response::Parts> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed.parse(bytes).ok()?.is_complete().then_some(())?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(parsed.code?).ok()?;
    *response.version_mut() = version(parsed.version?);
    *response.headers_mut() = headers(parsed.headers)?;
    Some(response.into_parts().0)
}

fn version(minor: u8) -> Version {
    if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

fn headers(fields: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(headers)
}

/// What the server takes at most.
const MAX_FIELDS: usize = 100;
/// §1.3: the answer to the sample nonce.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const TEXT: &str = "what was agreed on works, and what was agreed on works again";
