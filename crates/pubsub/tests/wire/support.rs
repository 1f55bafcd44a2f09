//! Short ways to make positions, topics and references, and to read fixtures.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sockeye_pubsub::wire::Reference;
use sockeye_pubsub::{Epoch, MessageId, Position, TopicName};

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub(crate) fn reference(number: u32) -> Reference {
    Reference::new(number).unwrap()
}

/// The position of the message with this offset. Its id is ten times the offset.
pub(crate) fn at(offset: u64) -> Position {
    Position {
        epoch: Epoch::new(1),
        offset,
        id: (offset > 0).then(|| MessageId::new(offset.wrapping_mul(10))),
    }
}

/// Reads a file of this folder.
pub(crate) fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wire")
        .join(name);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
