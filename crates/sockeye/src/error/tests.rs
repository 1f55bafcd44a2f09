//! No error repeats its source, so a program that prints an error and its causes prints each text once.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use sockeye_proto::handshake::{Extension, OfferError, ResponseError, UriError};
use sockeye_proto::{CloseReason, DeflateConfig, InvalidAnswer, InvalidCloseReason};

use super::*;
use crate::browser::{CloseError, SyntaxError, WebSocket};
use crate::client::{ConnectError, HttpError, ProxyError, SocksError, Target};
use crate::reconnect::Interruption;
use crate::server::{AcceptError, BindError};
#[cfg(feature = "tls")]
use crate::tls::{FileProblem, TlsError, rustls};
use crate::{Endpoint, Server};

/// One error of each variant. A variant that is not listed does not compile.
macro_rules! each_variant {
    ($($(#[$cfg:meta])? $variant:pat => $error:expr,)*) => {{
        let listed = |error: &_| match error {
            $($(#[$cfg])? $variant => {})*
        };
        let mut errors: Vec<BoxError> = Vec::new();
        $($(#[$cfg])? {
            let error = $error;
            assert!(matches!(&error, $variant), "{error:?}");
            listed(&error);
            errors.push(Box::new(error));
        })*
        errors
    }};
}

struct Deaf;

impl Endpoint for Deaf {}

fn io_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        Box::<dyn StdError + Send + Sync>::from("no answer"),
    )
}

async fn bind_errors() -> Vec<BoxError> {
    let wrong = Server::builder().endpoint(crate::endpoint("/{", |_: &_| Deaf));
    let not_deployed = wrong.bind("127.0.0.1:0").await.unwrap_err();
    each_variant! {
        BindError::Deployment(_) => not_deployed,
        BindError::Io(_) => BindError::Io(io_error()),
    }
}

fn accept_errors() -> Vec<BoxError> {
    each_variant! {
        AcceptError::Io(_) => AcceptError::Io(io_error()),
        AcceptError::NoRequest => AcceptError::NoRequest,
        AcceptError::NotUpgraded(_) => AcceptError::NotUpgraded(io_error().into()),
        AcceptError::Refused(_) => AcceptError::Refused(refused()),
        AcceptError::Timeout(_) => AcceptError::Timeout(Duration::ZERO),
        AcceptError::Tls => AcceptError::Tls,
    }
}

fn errors() -> Vec<BoxError> {
    each_variant! {
        Error::Accept(_) => AcceptError::Io(io_error()).into(),
        Error::Connect(_) => ConnectError::Connect(io_error()).into(),
        Error::Decode(_) => Error::Decode(DecodeError::of::<u8>("too large")),
        Error::Path(_) => Error::Path("no parameter".into()),
        Error::Encode(_) => Error::Encode(EncodeError::of::<u8>("too large")),
        Error::Handler(_) => Error::Handler(io_error().into()),
        Error::Io(_) => Error::Io(io_error()),
        Error::PeerDead => Error::PeerDead,
        Error::Protocol(_) => Error::Protocol(ProtocolError::ReservedOpCode { opcode: 3 }),
        Error::Send(_) => Error::Send(InvalidCloseReason::Code(7).into()),
        Error::Server(_) => BindError::Io(io_error()).into(),
        Error::Tls(_) => Error::Tls(io_error().into()),
        Error::UnexpectedEnd => Error::UnexpectedEnd,
        Error::WriteStalled => Error::WriteStalled,
    }
}

fn invalid_answer() -> InvalidAnswer {
    let twice = ["permessage-deflate"; 2].map(|name| Extension::new(name).unwrap());
    DeflateConfig::default().accept(&twice).unwrap_err()
}

/// hyper's error for an answer that is not HTTP.
async fn not_http() -> HttpError {
    let (near, mut far) = tokio::io::duplex(100);
    tokio::io::AsyncWriteExt::write_all(&mut far, b"220 mail\r\n\r\n")
        .await
        .unwrap();
    let near = hyper_util::rt::TokioIo::new(near);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(near).await.unwrap();
    let request = http::Request::new(http_body_util::Empty::<Bytes>::new());
    let (answer, _) = tokio::join!(sender.send_request(request), connection);
    HttpError::new(answer.unwrap_err())
}

fn refused() -> Box<Response<Bytes>> {
    Box::new(Response::new(Bytes::new()))
}

async fn connect_errors() -> Vec<BoxError> {
    let not_http = not_http().await;
    each_variant! {
        ConnectError::Compression(_) => ConnectError::Compression(invalid_answer()),
        ConnectError::Connect(_) => ConnectError::Connect(io_error()),
        ConnectError::Connector(_) => ConnectError::Connector(io_error().into()),
        ConnectError::ConnectTimeout(_) => ConnectError::ConnectTimeout(Duration::ZERO),
        ConnectError::HandshakeTimeout(_) => ConnectError::HandshakeTimeout(Duration::ZERO),
        ConnectError::Head => ConnectError::Head,
        ConnectError::Http(_) => ConnectError::Http(not_http),
        ConnectError::InsecureRedirect(_) => ConnectError::InsecureRedirect("ws://x/".into()),
        ConnectError::Method(_) => ConnectError::Method(Method::POST),
        ConnectError::NoResponse => ConnectError::NoResponse,
        ConnectError::Offer(_) => OfferError::SubprotocolNotAToken(" ".into()).into(),
        ConnectError::Proxy(_) => ConnectError::Proxy(ProxyError::Connect(io_error())),
        ConnectError::Refused(_) => ConnectError::Refused(refused()),
        ConnectError::Response(_) => ConnectError::Response(ResponseError::SubprotocolMissing),
        #[cfg(feature = "tls")]
        ConnectError::Tls(_) => ConnectError::Tls(TlsError::Io(io_error())),
        ConnectError::TlsExpected => ConnectError::TlsExpected,
        ConnectError::TlsUnsupported => ConnectError::TlsUnsupported,
        ConnectError::TooManyRedirects(_) => ConnectError::TooManyRedirects(1),
        ConnectError::Url(_) => Target::try_from("ws://").unwrap_err(),
        ConnectError::WebSocketUri(_) => ConnectError::WebSocketUri(UriError::Scheme),
    }
}

async fn proxy_errors() -> Vec<BoxError> {
    let not_http = not_http().await;
    each_variant! {
        ProxyError::Connect(_) => ProxyError::Connect(io_error()),
        ProxyError::Credentials => ProxyError::Credentials,
        ProxyError::Head => ProxyError::Head,
        ProxyError::Http(_) => ProxyError::Http(not_http),
        ProxyError::NoResponse => ProxyError::NoResponse,
        ProxyError::Refused(_) => ProxyError::Refused(refused()),
        ProxyError::Socks(_) => ProxyError::Socks(SocksError::Io(io_error())),
        #[cfg(feature = "tls")]
        ProxyError::Tls(_) => ProxyError::Tls(TlsError::Io(io_error())),
        ProxyError::TlsExpected => ProxyError::TlsExpected,
        ProxyError::TooEarly => ProxyError::TooEarly,
        ProxyError::Url(_) => ProxyError::Url("http_proxy".into()),
    }
}

fn socks_errors() -> Vec<BoxError> {
    each_variant! {
        SocksError::Credentials => SocksError::Credentials,
        SocksError::Host => SocksError::Host,
        SocksError::Io(_) => SocksError::Io(io_error()),
        SocksError::Protocol => SocksError::Protocol,
        SocksError::Refused(_) => SocksError::Refused(1),
        SocksError::Unauthorized => SocksError::Unauthorized,
    }
}

#[cfg(feature = "tls")]
fn tls_errors() -> Vec<BoxError> {
    use rustls::pki_types::{ServerName, pem};
    let general = || rustls::Error::General("no such cipher".into());
    let cut_off = |kind| TlsError::Io(io::Error::new(kind, "tls handshake eof"));
    let file = |problem| TlsError::File {
        path: "own.pem".into(),
        problem,
    };
    let mut errors = each_variant! {
        TlsError::Config(_) => TlsError::Config(general()),
        TlsError::File { .. } => file(FileProblem::Pem(pem::Error::SectionTooLarge)),
        TlsError::Handshake(_) => TlsError::Handshake(general()),
        TlsError::Io(_) => cut_off(io::ErrorKind::UnexpectedEof),
        TlsError::ServerName(_) => ServerName::try_from("a b").unwrap_err().into(),
    };
    errors.extend(each_variant! {
        FileProblem::Certificate(_) => FileProblem::Certificate(general()),
        FileProblem::Encrypted => FileProblem::Encrypted,
        FileProblem::Io(_) => FileProblem::Io(io_error()),
        FileProblem::NoCertificate => FileProblem::NoCertificate,
        FileProblem::NoPrivateKey => FileProblem::NoPrivateKey,
        FileProblem::Pem(_) => FileProblem::Pem(pem::Error::SectionTooLarge),
    });
    errors
}

#[cfg(not(feature = "tls"))]
fn tls_errors() -> Vec<BoxError> {
    Vec::new()
}

fn close_errors() -> Vec<BoxError> {
    let ws = WebSocket::new("ws://host.invalid/").unwrap();
    each_variant! {
        CloseError::InvalidAccess(_) => ws.close(1001).unwrap_err(),
        CloseError::Syntax(_) => ws.close((1000, &*"x".repeat(124))).unwrap_err(),
    }
}

fn syntax_error() -> SyntaxError {
    WebSocket::new("ftp://host.invalid/").unwrap_err()
}

#[tokio::test]
async fn no_error_repeats_its_source() {
    let mut errors = errors();
    errors.extend(bind_errors().await);
    errors.extend(accept_errors());
    errors.extend(connect_errors().await);
    errors.extend(proxy_errors().await);
    errors.extend(socks_errors());
    errors.extend(tls_errors());
    errors.extend(close_errors());
    errors.push(Box::new(syntax_error()));
    let mut with_source = 0;
    for error in &errors {
        let mut texts = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            with_source += 1;
            let (text, cause_text) = (&texts[texts.len() - 1], cause.to_string());
            assert!(
                !text.contains(&cause_text),
                "{text:?} repeats {cause_text:?}"
            );
            texts.push(cause_text);
            source = cause.source();
        }
        // The text that `anyhow` prints for `{:#}`.
        assert_eq!(ErrorChain::new(&**error).to_string(), texts.join(": "));
    }
    assert!(with_source > 20, "{with_source}");
}

#[tokio::test]
async fn the_errors_of_connecting_and_of_binding_keep_their_text_and_type_as_an_error() {
    let error = Error::from(ConnectError::Connect(io_error()));
    assert_eq!(
        ErrorChain::new(&error).to_string(),
        "cannot connect: no answer"
    );
    let Error::Connect(inner) = error else {
        panic!("{error:?}");
    };
    assert!(matches!(
        inner.downcast_ref(),
        Some(ConnectError::Connect(_))
    ));

    let error = Error::from(BindError::Io(io_error()));
    assert_eq!(
        ErrorChain::new(&error).to_string(),
        "cannot bind: no answer"
    );
    let Error::Server(inner) = error else {
        panic!("{error:?}");
    };
    assert!(inner.is::<BindError>());
}

/// Each receive and each send returns it.
#[test]
fn an_error_is_not_larger_than_three_words() {
    assert_eq!(size_of::<Error>(), 3 * size_of::<usize>());
}

#[test]
fn a_cause_that_an_error_of_another_library_repeats_is_shown_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot log in: {0}")]
    struct Repeating(#[source] io::Error);

    let error = Error::Handler(Repeating(io_error()).into());
    let shown = "a handler failed: cannot log in: no answer";
    assert_eq!(ErrorChain::new(&error).to_string(), shown);
}

#[test]
fn an_interruption_is_shown_with_its_causes() {
    let rule = ProtocolError::ReservedOpCode { opcode: 3 };
    for (why, shown) in [
        (
            Interruption::Lost(rule.into()),
            "the peer broke the protocol (RFC 6455 §5.2): reserved opcode 0x3",
        ),
        (
            Interruption::Connect(ConnectError::Connect(io_error())),
            "cannot connect: no answer",
        ),
        (
            Interruption::Closed(CloseReason::no_status()),
            "the peer closed with 1005",
        ),
    ] {
        assert_eq!(why.to_string(), shown);
    }
}

#[test]
fn a_handlers_error_keeps_its_kind_if_a_conversion_made_it_and_else_is_handler() {
    let of = |error: HandlerError| Error::from(error);
    assert!(matches!(of("no such room".into()), Error::Handler(_)));
    assert!(matches!(of(io_error().into()), Error::Handler(_)));
    assert!(matches!(of(Error::PeerDead.into()), Error::Handler(_)));
    let undecodable = HandlerError::decode::<u8>("too large");
    assert!(matches!(of(undecodable), Error::Decode(_)));
    let unsendable = || EncodeError::of::<u8>("too large");
    assert!(matches!(
        of(HandlerError::encode(unsendable())),
        Error::Encode(_)
    ));
    // What `send_object` returns.
    assert!(matches!(
        of(Error::Encode(unsendable()).into()),
        Error::Encode(_)
    ));
}

#[test]
fn a_handlers_error_is_shown_as_what_the_handler_returned() {
    let error = HandlerError::from("no such room");
    assert_eq!(format!("{error:?}"), "\"no such room\"");
    let chain = ErrorChain::new(error.cause()).to_string();
    assert_eq!(chain, "no such room");
}
