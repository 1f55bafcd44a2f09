//! The frame of a message of a topic. It is made once for all subscribers.

use sockeye_proto::{Message, Outgoing};

use super::content::Content;
use super::json;
use crate::position::Position;
use crate::publication::Body;

/// Makes the frame of a message of a topic: the header with the topic and the position, a line feed, and the message as
/// it is. The frame is of the message's kind, and is compressed only if the message may be. Allocates once.
pub fn envelope(topic: &str, at: Option<Position>, body: &Body) -> Outgoing {
    let content = Content::from(&body.message);
    let len = header_len(topic, at) + 1 + content.as_bytes().len();
    let mut header = String::with_capacity(len);
    header.push_str(r#"{"m":"#);
    json::write_text(&mut header, topic);
    if let Some(at) = at {
        header.push_str(r#","at":"#);
        json::write_position(&mut header, at);
    }
    header.push_str("}\n");
    let message = match content {
        Content::Text(text) => {
            header.push_str(text);
            Message::text(header)
        }
        Content::Binary(bytes) => {
            let mut frame = header.into_bytes();
            frame.extend_from_slice(bytes);
            Message::binary(frame)
        }
    };
    Outgoing::from(Body {
        message,
        compressible: body.compressible,
    })
}

/// Makes the frame of a message of the application. It is of the message's kind, and is compressed only if the message
/// may be. Allocates once.
pub fn app_frame(message: &Outgoing) -> Outgoing {
    Outgoing::from(Body {
        message: Content::from(message).framed(""),
        compressible: message.may_be_compressed(),
    })
}

/// The length of the header of a message, so that its buffer never grows.
fn header_len(topic: &str, at: Option<Position>) -> usize {
    let position = at.map_or(0, |at| {
        let digits = at.offset.checked_ilog10().map_or(1, |log| log as usize + 1);
        let id = if at.id.is_some() { WORD } else { 1 };
        r#","at":"::""#.len() + WORD + digits + id
    });
    r#"{"m":}"#.len() + json::text_len(topic) + position
}

/// The number of characters of 64 bits in base64url.
const WORD: usize = 11;
