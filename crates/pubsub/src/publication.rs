//! A message of a topic: as it is published, as the engine stores it, and as it comes back to each node.

use std::sync::Arc;

use sockeye_proto::{Message, Outgoing};

use crate::position::{MessageId, Position};

/// The content of a message, as subscribers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The payload and its kind.
    pub message: Message,
    /// Whether a connection may compress the message.
    pub compressible: bool,
}

/// A message on its way to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The id that the publishing node has drawn.
    pub id: MessageId,
    /// The content.
    pub body: Body,
    /// The key that makes a repeated publish the same message. Only for topics with history.
    pub key: Option<PublishKey>,
}

/// The name under which an engine remembers that it has published a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublishKey {
    /// The party that chose the key.
    pub scope: KeyScope,
    /// The key.
    pub key: Arc<str>,
}

/// The party that chose a key. Equal keys of different scopes are different.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "engines store each in its own way")]
pub enum KeyScope {
    /// Server code. Such a key is remembered for 5 minutes.
    Server,
    /// A client with this principal. Its keys are remembered for 60 seconds.
    Principal(Arc<str>),
    /// A client without a principal. Its keys are remembered for 60 seconds.
    Client,
}

/// A message that an engine has stored in the history of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the message stands. Its id is never `None`.
    pub position: Position,
    /// The id of the message before it in the history. `None` for the first one.
    pub previous: Option<MessageId>,
    /// The content.
    pub body: Body,
}

/// A message that an engine brings to the nodes that listen to its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the hub treats each in its own way"
)]
pub enum Delivered {
    /// A message of a topic with history.
    Entry(Entry),
    /// A message of a topic without history.
    Unstored {
        /// The id of the message.
        id: MessageId,
        /// The content.
        body: Body,
    },
}

impl Entry {
    /// Returns the position of the message before this one.
    pub fn before(&self) -> Position {
        Position {
            offset: self.position.offset.saturating_sub(1),
            id: self.previous,
            ..self.position
        }
    }
}

impl Delivered {
    /// Returns the content.
    pub fn body(&self) -> &Body {
        match self {
            Self::Entry(entry) => &entry.body,
            Self::Unstored { body, .. } => body,
        }
    }

    /// Returns where the message stands. `None` for a topic without history.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Entry(entry) => Some(entry.position),
            Self::Unstored { .. } => None,
        }
    }
}

impl Body {
    /// Returns the number of bytes of the payload.
    pub fn len(&self) -> usize {
        self.message.as_bytes().len()
    }

    /// Returns whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Outgoing> for Body {
    fn from(message: Outgoing) -> Self {
        Self {
            compressible: message.may_be_compressed(),
            message: message.message().clone(),
        }
    }
}

impl From<Body> for Outgoing {
    fn from(body: Body) -> Self {
        if body.compressible {
            body.message.into()
        } else {
            Self::uncompressed(body.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Epoch;

    #[test]
    fn a_body_keeps_the_kind_of_a_message_and_whether_it_may_be_compressed() {
        for (outgoing, compressible) in [
            (Outgoing::from(Message::text("é")), true),
            (Outgoing::uncompressed(Message::binary(vec![1])), false),
        ] {
            let body = Body::from(outgoing.clone());
            assert_eq!(body.message, *outgoing.message());
            assert_eq!(body.compressible, compressible);
            let outgoing = Outgoing::from(body);
            assert_eq!(outgoing.may_be_compressed(), compressible);
        }
    }

    #[test]
    fn the_length_of_a_body_counts_bytes() {
        let body = |text: &str| Body {
            message: Message::text(text),
            compressible: true,
        };
        assert_eq!(body("é").len(), 2);
        assert!(body("").is_empty() && !body("a").is_empty());
    }

    #[test]
    fn an_entry_knows_the_position_before_it() {
        let start = Position::start(Epoch::new(1));
        let [one, two] = [1, 2].map(MessageId::new);
        let entry = |position: Position, previous| Entry {
            position,
            previous,
            body: Body {
                message: Message::text(""),
                compressible: true,
            },
        };
        assert_eq!(entry(start.next(one), None).before(), start);
        let second = entry(start.next(one).next(two), Some(one));
        assert_eq!(second.before(), start.next(one));
        let delivered = Delivered::Entry(second.clone());
        assert_eq!(delivered.position(), Some(second.position));
        assert_eq!(delivered.body(), &second.body);
    }
}
