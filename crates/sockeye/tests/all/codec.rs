//! Objects of the application's own as messages, and limits of handlers, from the socket to the method.
#![cfg(feature = "macros")]

use std::fmt;

use crate::support::{BINARY, Log, Raw, TEXT, log, serve};
use sockeye::endpoint::{
    Argument, Decoder, Encoder, Incoming, IncomingKind, IntoReply, Parsed, Reply, whole,
};
use sockeye::error::{HandlerError, SendError};
use sockeye::proto::{Config, Outgoing, Role};
use sockeye::{Endpoint, Error, HandlerResult, Server, Session, endpoint, server_endpoint};

/// A text of one word.
struct Word(String);

#[derive(Debug, thiserror::Error)]
#[error("there is a space at {0}")]
struct Spaced(usize);

impl Decoder for Word {
    type Message = str;
    type Error = Spaced;

    fn decode(text: &str) -> Result<Self, Spaced> {
        match text.find(' ') {
            Some(at) => Err(Spaced(at)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

/// Words that begin with a small letter cannot be sent.
impl Encoder for Word {
    type Error = &'static str;

    fn encode(&self) -> Result<Outgoing, &'static str> {
        if self.0.starts_with(char::is_lowercase) {
            return Err("it begins with a small letter");
        }
        Ok(self.0.as_str().into())
    }
}

struct Sum(u32);

impl Decoder for Sum {
    type Message = [u8];
    type Error = String;

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("there is nothing to add".to_owned());
        }
        Ok(Self(bytes.iter().copied().map(u32::from).sum()))
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A text of an even number, converted without a `Decoder` and an `Encoder`.
struct Even(u32);

impl<'m> Argument<'m> for Even {
    const KIND: IncomingKind = IncomingKind::Text;

    fn from_message(message: Incoming<'m>) -> Result<Self, HandlerError> {
        let Parsed(number) = Parsed::<u32>::from_message(message)?;
        if number % 2 == 1 {
            return Err(format!("{number} is odd").into());
        }
        Ok(Self(number))
    }
}

impl<'m> IntoReply<'m> for Even {
    fn into_reply(self) -> Result<Reply<'m>, HandlerError> {
        if self.0 == 0 {
            return Err("nothing to send".into());
        }
        self.0.to_string().into_reply()
    }
}

struct Words(Log);

#[server_endpoint("/words")]
impl Words {
    #[on_message]
    async fn word(&mut self, word: Word, session: &Session) -> HandlerResult<Option<Word>> {
        match word.0.as_str() {
            "basic" => {
                session
                    .basic_remote()
                    .send_object(Word("Basic".into()))
                    .await?
            }
            "async" => {
                session
                    .async_remote()
                    .send_object(Word("Async".into()))?
                    .await?
            }
            "bad-basic" => {
                session
                    .basic_remote()
                    .send_object(Word("bad".into()))
                    .await?
            }
            "bad-async" => drop(session.async_remote().send_object(Word("bad".into()))?),
            _ => return Ok(Some(word)),
        }
        Ok(None)
    }

    #[on_message]
    fn sum(&mut self, sum: Sum) -> Parsed<Sum> {
        Parsed(sum)
    }

    #[on_error]
    fn failed(&mut self, error: &Error) {
        let kind = match error {
            Error::Decode(_) => "decode",
            Error::Encode(_) => "encode",
            _ => "other",
        };
        self.0.push(format!(
            "{kind}: {}",
            sockeye::error::ErrorChain::new(error)
        ));
    }
}

#[tokio::test]
async fn an_object_is_decoded_of_text_or_bytes_and_encoded_where_it_is_returned_or_sent() {
    let (log, _events) = log();
    let words = Words::endpoint(move |_| Words(log.clone()));
    let addr = serve(Server::builder().endpoint(words)).await;
    let mut peer = Raw::open(addr, "/words").await;
    peer.send(TEXT, b"Salmon").await;
    assert_eq!(peer.recv_text().await, "Salmon");
    peer.send(BINARY, &[1, 2, 250]).await;
    assert_eq!(peer.recv_text().await, "253");
    for (asked, sent) in [("basic", "Basic"), ("async", "Async")] {
        peer.send(TEXT, asked.as_bytes()).await;
        assert_eq!(peer.recv_text().await, sent);
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_or_encoded_goes_to_on_error_and_the_connection_stays() {
    let (log, mut events) = log();
    let words = Words::endpoint(move |_| Words(log.clone()));
    let addr = serve(Server::builder().endpoint(words)).await;
    let mut peer = Raw::open(addr, "/words").await;
    for (opcode, message, error) in [
        (
            TEXT,
            "a b",
            "decode: cannot decode the message: there is a space at 1",
        ),
        (
            BINARY,
            "",
            "decode: cannot decode the message: there is nothing to add",
        ),
        (
            TEXT,
            "small",
            "encode: cannot encode the object as a message: it begins with a small letter",
        ),
        (
            TEXT,
            "bad-basic",
            "encode: cannot encode the object as a message: it begins with a small letter",
        ),
        (
            TEXT,
            "bad-async",
            "encode: cannot encode the object as a message: it begins with a small letter",
        ),
    ] {
        peer.send(opcode, message.as_bytes()).await;
        assert_eq!(events.next().await, error);
        peer.send(TEXT, b"Next").await;
        assert_eq!(peer.recv_text().await, "Next");
    }
}

/// The texts of `on_error` for each kind of failure, and the variant of the error.
struct Evens(Log);

impl Endpoint for Evens {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Even::from_message(message)?.into_reply()
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        let kind = match error {
            Error::Decode(_) => "decode",
            Error::Handler(_) => "handler",
            _ => "other",
        };
        let chain = sockeye::error::ErrorChain::new(error);
        self.0.push(format!("{kind}: {chain}"));
    }
}

#[derive(Default)]
struct AnnotatedEvens;

#[server_endpoint("/annotated")]
impl AnnotatedEvens {
    #[on_message]
    fn even(&mut self, even: Even) -> Even {
        even
    }
}

#[tokio::test]
async fn an_argument_and_a_reply_of_the_applications_own_keep_the_kind_of_their_errors() {
    let (log, mut events) = log();
    let evens = endpoint("/evens", move |_| Evens(log.clone()));
    let builder = Server::builder().default_endpoint::<AnnotatedEvens>();
    let addr = serve(builder.endpoint(evens)).await;
    let mut peer = Raw::open(addr, "/evens").await;
    for (message, error) in [
        (
            "x",
            "decode: cannot decode the message: invalid digit found in string",
        ),
        ("3", "handler: a handler failed: 3 is odd"),
        ("0", "handler: a handler failed: nothing to send"),
    ] {
        peer.send(TEXT, message.as_bytes()).await;
        assert_eq!(events.next().await, error);
    }
    for path in ["/evens", "/annotated"] {
        let mut peer = Raw::open(addr, path).await;
        for message in ["x", "3", "0", "4"] {
            peer.send(TEXT, message.as_bytes()).await;
        }
        assert_eq!(peer.recv_text().await, "4");
    }
}

#[tokio::test]
async fn after_the_close_an_object_is_not_sent() {
    let (log, mut events) = log();
    let closing = endpoint("/", move |_| Closing(log.clone()));
    let addr = serve(Server::builder().endpoint(closing)).await;
    let mut peer = Raw::open(addr, "/").await;
    assert_eq!(peer.recv_close().await.0, 1000);
    for _ in 0..2 {
        assert_eq!(events.next().await, "closed");
    }
}

struct Closing(Log);

impl Endpoint for Closing {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        session.close(sockeye::CloseCode::NORMAL, "")?;
        let basic = session.basic_remote().send_object(Parsed(1)).await;
        let queued = session.async_remote().send_object(Parsed(1)).map(drop);
        for sent in [basic, queued] {
            if let Err(Error::Send(SendError::Closed)) = sent {
                self.0.push("closed");
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Numbers;

#[server_endpoint("/numbers")]
impl Numbers {
    #[on_message]
    async fn double(&mut self, Parsed(number): Parsed<i64>) -> Parsed<i64> {
        Parsed(2 * number)
    }

    #[on_error]
    fn failed(&mut self, error: &Error, session: &Session) {
        let _ = session
            .async_remote()
            .send_text(sockeye::error::ErrorChain::new(error).to_string());
    }
}

#[tokio::test]
async fn a_value_is_parsed_from_a_text_and_written_as_one() {
    let addr = serve(Server::builder().default_endpoint::<Numbers>()).await;
    let mut peer = Raw::open(addr, "/numbers").await;
    for (number, doubled) in [("21", "42"), ("-7", "-14"), ("0", "0")] {
        peer.send(TEXT, number.as_bytes()).await;
        assert_eq!(peer.recv_text().await, doubled);
    }
    for (wrong, why) in [
        ("", "cannot parse integer from empty string"),
        ("1.5", "invalid digit found in string"),
    ] {
        peer.send(TEXT, wrong.as_bytes()).await;
        assert_eq!(
            peer.recv_text().await,
            format!("cannot decode the message: {why}")
        );
    }
}

#[tokio::test]
async fn a_handler_that_is_added_takes_objects_too() {
    struct Adding;

    impl Endpoint for Adding {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            session.add_message_handler(whole(|Word(word)| async move { Parsed(word.len()) }))?;
            session.add_message_handler(whole(|sum: Sum| async move { Parsed(sum) }))?;
            Ok(())
        }

        async fn on_message<'m>(
            &mut self,
            _: &Session,
            _: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            Err("no message is left for it".into())
        }
    }

    let addr = serve(Server::builder().endpoint(endpoint("/", |_| Adding))).await;
    let mut peer = Raw::open(addr, "/").await;
    peer.send(TEXT, b"Salmon").await;
    assert_eq!(peer.recv_text().await, "6");
    peer.send(BINARY, &[2, 3]).await;
    assert_eq!(peer.recv_text().await, "5");
}

struct Limited(Log);

#[server_endpoint("/limited")]
impl Limited {
    #[on_message(max = 5)]
    fn text<'m>(&mut self, text: &'m str) -> &'m str {
        text
    }

    #[on_message(max = 2 << 20)]
    async fn binary(&mut self, bytes: &[u8]) -> Parsed<usize> {
        Parsed(bytes.len())
    }

    #[on_error]
    fn failed(&mut self, error: &Error) {
        self.0
            .push(sockeye::error::ErrorChain::new(error).to_string());
    }
}

#[tokio::test]
async fn a_handlers_limit_is_that_of_its_kind_of_message_and_beyond_it_the_session_closes_1009() {
    let (log, mut events) = log();
    let limited = Limited::endpoint(move |_| Limited(log.clone()));
    // The limits of the handlers go before those of the server.
    let config = Config::new(Role::Server).max_message(1 << 20).max_text(100);
    let addr = serve(Server::builder().config(config).endpoint(limited)).await;
    let mut peer = Raw::open(addr, "/limited").await;
    peer.send(TEXT, b"12345").await;
    assert_eq!(peer.recv_text().await, "12345");
    peer.send(BINARY, &vec![0; 2 << 20]).await;
    assert_eq!(peer.recv_text().await, (2 << 20).to_string());
    peer.send(TEXT, b"123456").await;
    assert_eq!(peer.recv_close().await.0, 1009);
    let error = events.next().await;
    assert!(
        error.contains("at least 6 bytes: the limit is 5"),
        "{error}"
    );

    let mut peer = Raw::open(addr, "/limited").await;
    peer.send(BINARY, &vec![0; (2 << 20) + 1]).await;
    assert_eq!(peer.recv_close().await.0, 1009);
}

#[tokio::test]
async fn a_limit_of_an_endpoint_is_its_own() {
    struct Echo;

    impl Endpoint for Echo {
        async fn on_message<'m>(
            &mut self,
            _: &Session,
            message: Incoming<'m>,
        ) -> HandlerResult<Reply<'m>> {
            Ok(Reply::from(message))
        }
    }

    let small = endpoint("/small", |_| Echo)
        .max_message(IncomingKind::Binary, 3)
        .max_message(IncomingKind::Pong, 0);
    let builder = Server::builder().endpoint(small);
    let addr = serve(builder.endpoint(endpoint("/large", |_| Echo))).await;
    let mut large = Raw::open(addr, "/large").await;
    let mut small = Raw::open(addr, "/small").await;
    for peer in [&mut large, &mut small] {
        peer.send(crate::support::PONG, b"1234").await;
        peer.send(TEXT, b"1234").await;
        assert_eq!(peer.recv_text().await, "1234");
        peer.send(BINARY, b"123").await;
        assert_eq!(peer.recv_binary().await, b"123");
        peer.send(BINARY, b"1234").await;
    }
    assert_eq!(large.recv_binary().await, b"1234");
    assert_eq!(small.recv_close().await.0, 1009);
}

#[cfg(feature = "json")]
mod json {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};
    use sockeye::endpoint::Json;

    use super::*;

    #[derive(Deserialize)]
    struct Order<'m> {
        item: &'m str,
        pieces: u32,
    }

    #[derive(Serialize)]
    struct Receipt {
        item: String,
        cents: u32,
    }

    #[derive(Default)]
    struct Shop;

    #[server_endpoint("/shop")]
    impl Shop {
        #[on_open]
        async fn open(&mut self, session: &Session) -> HandlerResult {
            session
                .basic_remote()
                .send_object(&Json(["a", "b"]))
                .await?;
            Ok(())
        }

        #[on_message]
        async fn ordered<'m>(
            &mut self,
            Json(order): Json<Order<'m>>,
        ) -> HandlerResult<Json<Receipt>> {
            tokio::task::yield_now().await;
            Ok(Json(Receipt {
                item: order.item.to_owned(),
                cents: 250 * order.pieces,
            }))
        }

        #[on_message]
        fn unwritable(&mut self, bytes: &[u8]) -> Json<BTreeMap<Vec<u8>, u8>> {
            Json(BTreeMap::from([(bytes.to_vec(), 0)]))
        }

        #[on_error]
        fn failed(&mut self, error: &Error, session: &Session) {
            let _ = session
                .async_remote()
                .send_text(format!("error: {}", sockeye::error::ErrorChain::new(error)));
        }
    }

    #[tokio::test]
    async fn json_is_taken_returned_and_sent() {
        let addr = serve(Server::builder().default_endpoint::<Shop>()).await;
        let mut peer = Raw::open(addr, "/shop").await;
        assert_eq!(peer.recv_text().await, r#"["a","b"]"#);
        peer.send(TEXT, br#"{ "item": "hook", "pieces": 3 }"#).await;
        assert_eq!(peer.recv_text().await, r#"{"item":"hook","cents":750}"#);
    }

    #[tokio::test]
    async fn json_that_is_no_such_value_goes_to_on_error_with_its_place_and_the_connection_stays() {
        let addr = serve(Server::builder().default_endpoint::<Shop>()).await;
        let mut peer = Raw::open(addr, "/shop").await;
        peer.recv_text().await;
        for (wrong, place) in [
            (
                "{ \"item\": \"hook\",\n  \"pieces\": -3 }",
                "line 2 column 14",
            ),
            (
                "{ \"item\": \"hook\" }",
                "missing field `pieces` at line 1 column 18",
            ),
            ("{ ", "EOF while parsing an object at line 1 column 2"),
            ("", "EOF while parsing a value at line 1 column 0"),
        ] {
            peer.send(TEXT, wrong.as_bytes()).await;
            let error = peer.recv_text().await;
            assert!(
                error.starts_with("error: cannot decode the message: "),
                "{error}"
            );
            assert!(error.ends_with(place), "{error}");
            // The peer learns nothing of the program's modules.
            assert!(!error.contains("::"), "{error}");
        }
        peer.send(BINARY, b"x").await;
        let error = peer.recv_text().await;
        assert!(error.ends_with("key must be a string"), "{error}");
        peer.send(TEXT, br#"{"pieces":1,"item":"net"}"#).await;
        assert_eq!(peer.recv_text().await, r#"{"item":"net","cents":250}"#);
    }

    #[tokio::test]
    async fn an_added_handler_takes_json_of_what_it_owns() {
        struct Adding;

        impl Endpoint for Adding {
            async fn on_open(&mut self, session: &Session) -> HandlerResult {
                let sum = |Json(numbers): Json<Vec<u32>>| async move {
                    Json(numbers.iter().sum::<u32>())
                };
                Ok(session.add_message_handler(whole(sum))?)
            }
        }

        let addr = serve(Server::builder().endpoint(endpoint("/", |_| Adding))).await;
        let mut peer = Raw::open(addr, "/").await;
        peer.send(TEXT, b"[1, 2, 3]").await;
        assert_eq!(peer.recv_text().await, "6");
    }
}
