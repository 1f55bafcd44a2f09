//! The frame of a message of a topic.

use proptest::prelude::*;
use sockeye_proto::{Message, MessageKind, Outgoing};
use sockeye_pubsub::wire::{Content, app_frame, envelope};
use sockeye_pubsub::{Body, Position};

use crate::support::at;

fn body(message: impl Into<Message>) -> Body {
    Body {
        message: message.into(),
        compressible: true,
    }
}

#[test]
fn the_header_names_topic_and_position_and_the_body_is_the_message_as_it_is() {
    let frame = envelope("room/42", Some(at(7)), &body("{\"text\":\"a\\nb\"}\nc"));
    assert_eq!(
        frame.message().as_text(),
        Some("{\"m\":\"room/42\",\"at\":\"AAAAAAAAAAE:7:AAAAAAAAAEY\"}\n{\"text\":\"a\\nb\"}\nc")
    );
    let frame = envelope("room/42", None, &body(""));
    assert_eq!(frame.message().as_text(), Some("{\"m\":\"room/42\"}\n"));
}

#[test]
fn a_binary_message_stays_binary_and_its_header_is_utf_8() {
    let frame = envelope("zürich", None, &body(vec![0xff, b'\n', 0]));
    assert_eq!(frame.message().kind(), MessageKind::Binary);
    assert_eq!(
        frame.message().as_bytes(),
        [b"{\"m\":\"z\xc3\xbcrich\"}\n".as_slice(), &[0xff, b'\n', 0]].concat()
    );
}

#[test]
fn a_frame_is_compressed_only_if_its_message_may_be() {
    for compressible in [true, false] {
        let body = Body {
            message: "x".into(),
            compressible,
        };
        assert_eq!(envelope("a", None, &body).may_be_compressed(), compressible);
        assert_eq!(
            app_frame(&Outgoing::from(body)).may_be_compressed(),
            compressible
        );
    }
}

#[test]
fn a_message_of_the_application_has_an_empty_header() {
    assert_eq!(app_frame(&"hi".into()).message(), &Message::text("\nhi"));
    assert_eq!(
        app_frame(&vec![1].into()).message(),
        &Message::binary(vec![b'\n', 1])
    );
}

proptest! {
    #[test]
    fn the_buffer_of_a_frame_never_grows(
        topic in "[a-z\"\\\\ü/]{1,40}",
        offset in any::<u64>(),
        has_position: bool,
        payload in any::<Vec<u8>>(),
        text: String,
    ) {
        let at: Option<Position> = has_position.then(|| at(offset));
        for message in [Message::text(text), Message::binary(payload)] {
            let frame = envelope(&topic, at, &body(message.clone()));
            let bytes = frame.message().clone().into_bytes();
            prop_assert!(bytes.ends_with(message.as_bytes()));
            drop(frame);
            // A vector whose capacity was guessed too large or too small would have another one here.
            let vector = Vec::from(bytes.try_into_mut().unwrap());
            prop_assert_eq!(vector.capacity(), vector.len());
        }
    }
}

#[test]
fn content_is_a_view_of_a_message() {
    let text = Message::text("a");
    assert_eq!(Content::from(&text), Content::Text("a"));
    assert_eq!(Content::from(&text).kind(), MessageKind::Text);
    assert_eq!(Content::from(&text).as_text(), Some("a"));
    let bytes = Outgoing::from(vec![1, 2]);
    assert_eq!(Content::from(&bytes).as_bytes(), [1, 2]);
    assert_eq!(Content::from(&bytes).as_text(), None);
    assert_eq!(Content::from(&bytes).to_message(), *bytes.message());
}
