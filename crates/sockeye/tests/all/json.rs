//! JSON at each place where messages are sent and received.

use std::collections::BTreeMap;

use crate::support::{BINARY, Raw, TEXT, soon};
use serde::{Deserialize, Serialize};
use sockeye::endpoint::{Incoming, Json, Reply};
use sockeye::error::{EncodeError, ErrorChain};
use sockeye::proto::{Config, Outgoing, PreparedMessage, Role};
use sockeye::{Connection, Endpoint, Error, HandlerResult, Message, Session};
use tokio::io::{DuplexStream, duplex};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    item: String,
    pieces: u32,
}

const HOOK: &str = r#"{"item":"hook","pieces":3}"#;

fn hook() -> Order {
    Order {
        item: "hook".to_owned(),
        pieces: 3,
    }
}

/// JSON has no such keys.
fn unwritable() -> BTreeMap<Vec<u8>, u8> {
    BTreeMap::from([(vec![1], 0)])
}

fn ends() -> (Raw<DuplexStream>, Connection<DuplexStream>) {
    let (peer, near) = duplex(64 * 1024);
    let near = Connection::server(near, Config::new(Role::Server));
    (Raw::new(peer), near)
}

#[tokio::test(start_paused = true)]
async fn a_connection_sends_and_receives_values() {
    let (mut peer, mut near) = ends();
    near.send_json(&hook()).await.unwrap();
    assert_eq!(peer.recv_text().await, HOOK);
    for opcode in [TEXT, BINARY] {
        peer.send(opcode, HOOK.as_bytes()).await;
        assert_eq!(near.recv_json().await.unwrap(), Some(hook()));
    }
    // A message that is none is gone, and the connection stays.
    peer.send(TEXT, br#"{"item":"hook"}"#).await;
    peer.send(TEXT, HOOK.as_bytes()).await;
    let error = near.recv_json::<Order>().await.unwrap_err();
    let text = ErrorChain::new(&error).to_string();
    assert_eq!(
        text,
        "cannot decode the message: missing field `pieces` at line 1 column 15"
    );
    assert!(matches!(&error, Error::Decode(error) if error.type_name().ends_with("json::Order")));
    assert_eq!(near.recv_json().await.unwrap(), Some(hook()));
    let refused = near.send_json(&unwritable()).await.unwrap_err();
    let text = ErrorChain::new(&refused).to_string();
    assert_eq!(
        text,
        "cannot encode the object as a message: key must be a string"
    );
    peer.send_close(1000, "").await;
    assert_eq!(near.recv_json::<Order>().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_halves_of_a_connection_do_too() {
    let (mut peer, near) = ends();
    let (sender, mut receiver) = near.split();
    sender.send_json(&hook()).await.unwrap();
    assert_eq!(peer.recv_text().await, HOOK);
    peer.send(TEXT, HOOK.as_bytes()).await;
    assert_eq!(receiver.recv_json().await.unwrap(), Some(hook()));
    peer.send(TEXT, b"no").await;
    let error = receiver.recv_json::<Order>().await.unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error:?}");
    let refused = sender.send_json(&unwritable()).await;
    assert!(matches!(refused, Err(Error::Encode(_))), "{refused:?}");
}

#[test]
fn a_message_is_parsed_by_hand_and_its_error_is_one_of_decoding() {
    fn parse(message: &Message) -> sockeye::Result<Order> {
        Ok(message.parse_json()?)
    }

    assert_eq!(parse(&HOOK.into()).unwrap(), hook());
    let error = parse(&"[]".into()).unwrap_err();
    assert!(matches!(&error, Error::Decode(_)), "{error:?}");
    assert!(
        ErrorChain::new(&error)
            .to_string()
            .contains("line 1 column 2")
    );
}

#[test]
fn messages_are_made_of_json_by_value_and_by_reference() {
    let (order, expected) = (hook(), Message::from(HOOK));
    assert_eq!(Json(&order).to_message().unwrap(), expected);
    assert_eq!(Message::try_from(Json(&order)).unwrap(), expected);
    assert_eq!(Message::try_from(&Json(order.clone())).unwrap(), expected);
    let outgoing = Outgoing::try_from(Json(&order)).unwrap();
    assert_eq!(*outgoing.message(), expected);
    let prepared = PreparedMessage::try_from(Json(order)).unwrap();
    assert_eq!(*prepared.message(), expected);
    let refused: EncodeError = Outgoing::try_from(Json(unwritable())).unwrap_err();
    assert_eq!(refused.to_string(), "cannot encode the object as a message");
}

#[test]
fn json_is_the_value_that_it_holds() {
    let mut json = Json(hook());
    json.pieces += 1;
    assert_eq!((json.item.as_str(), json.pieces), ("hook", 4));
}

/// Sends by each way of a session, whatever comes.
struct Sender;

impl Endpoint for Sender {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        _: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        let order = hook();
        let (basic, queued) = (session.basic_remote(), session.async_remote());
        basic.send_json(&order).await?;
        basic.send_object(Json(&order)).await?;
        basic.send_object(&Json(&order)).await?;
        queued.send_json(&order)?.await?;
        queued.send_object(Json(order.clone()))?.await?;
        let (open, json) = (session.open_sessions(), Json(order.clone()));
        assert_eq!(open.broadcast_object(Json(&order))?, 1);
        assert_eq!(open.broadcast_object(&json)?, 1);
        let none = open.with_path_parameter("room", "a");
        assert_eq!(none.broadcast_object(Json(1))?, 0);
        assert!(open.broadcast_object(Json(unwritable())).is_err());
        assert!(basic.send_json(&unwritable()).await.is_err());
        assert!(queued.send_json(&unwritable()).is_err());
        Ok(Reply::None)
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_sends_json_by_its_remotes_and_to_all() {
    let (mut peer, near) = ends();
    near.serve(Sender);
    peer.send(TEXT, b"go").await;
    for _ in 0..7 {
        assert_eq!(soon(peer.recv_text()).await, HOOK);
    }
    peer.send(TEXT, b"again").await;
    assert_eq!(peer.recv_text().await, HOOK);
}
