//! The envelope of the subprotocol of topics: a frame is a header, a line feed and a body. A message of the application
//! has an empty header, so it has a line feed in front.

use sockeye_proto::{Config, Message, Outgoing};

use super::session::Session;
use crate::handshake::Handshake;

/// The subprotocol of topics.
pub(crate) const SUBPROTOCOL: &str = "sockeye.topics.v0";

/// The room that a frame needs besides a body: the longest header, and the line feed.
pub(crate) const HEADER_ROOM: u64 = 4096 + 1;

/// The byte behind the header.
pub(super) const LINE_FEED: u8 = b'\n';

impl Session {
    /// Returns the message as it goes to the peer.
    #[inline]
    pub(super) fn outgoing(&self, message: impl Into<Outgoing>) -> Outgoing {
        let message = message.into();
        if self.is_enveloped() {
            enveloped(&message)
        } else {
            message
        }
    }
}

/// Returns whether a connection has agreed on the subprotocol of topics.
pub(super) fn is_agreed(handshake: &Handshake) -> bool {
    handshake.subprotocol() == Some(SUBPROTOCOL)
}

/// Returns limits with room for headers besides the messages of the application.
pub(super) fn with_room(limits: &Config) -> Config {
    let grown = |limit: u64| limit.saturating_add(HEADER_ROOM);
    limits
        .clone()
        .max_message(grown(limits.max_message))
        .max_text(limits.max_text.map(grown))
        .max_binary(limits.max_binary.map(grown))
}

/// Returns a message of the application in its envelope. It may be compressed if the message may be.
#[cold]
pub(super) fn enveloped(outgoing: &Outgoing) -> Outgoing {
    let message = match outgoing.message() {
        Message::Text(text) => envelop_text(text),
        Message::Binary(bytes) => envelop_binary(bytes),
    };
    if outgoing.may_be_compressed() {
        message.into()
    } else {
        Outgoing::uncompressed(message)
    }
}

/// Returns a text in its envelope.
pub(super) fn envelop_text(text: &str) -> Message {
    let mut frame = String::with_capacity(1 + text.len());
    frame.push(char::from(LINE_FEED));
    frame.push_str(text);
    frame.into()
}

/// Returns bytes in their envelope.
pub(super) fn envelop_binary(bytes: &[u8]) -> Message {
    let mut frame = Vec::with_capacity(1 + bytes.len());
    frame.push(LINE_FEED);
    frame.extend_from_slice(bytes);
    frame.into()
}

#[cfg(test)]
mod tests {
    use sockeye_proto::PreparedMessage;

    use super::*;

    #[test]
    fn a_message_keeps_its_kind_and_whether_it_may_be_compressed() {
        let cases: [(Outgoing, Message, bool); 4] = [
            ("a".into(), "\na".into(), true),
            (vec![0xff].into(), vec![b'\n', 0xff].into(), true),
            (Outgoing::uncompressed(""), "\n".into(), false),
            (PreparedMessage::new("\n").into(), "\n\n".into(), true),
        ];
        for (message, expected, may_be_compressed) in cases {
            let enveloped = enveloped(&message);
            assert_eq!(enveloped.message(), &expected);
            assert_eq!(enveloped.may_be_compressed(), may_be_compressed);
        }
    }

    #[cfg(feature = "topics-wire")]
    #[test]
    fn sessions_and_the_grammar_agree_on_the_subprotocol_and_its_room() {
        use sockeye_pubsub::wire;

        assert_eq!([SUBPROTOCOL], wire::SUBPROTOCOLS);
        assert_eq!(HEADER_ROOM, wire::MAX_HEADER as u64 + 1);
    }
}
