//! The replay of a join, and the room that it takes in the outbox of its session.

use sockeye_pubsub::hub::{Recovery, Welcome};
use sockeye_pubsub::{Entry, Kept, Rules, TopicName};

use super::form::Form;

/// What a stored message takes in an outbox besides its body and the name of its topic: a header, or what carries a short
/// message.
const OVERHEAD: usize = 64;

/// Returns the bytes that the replay of a topic takes at most. A message counts as in the outbox of a session.
pub(super) fn largest(rules: &Rules, topic: &TopicName) -> usize {
    let (count, bytes) = match rules.history.kept() {
        Kept::Off => (0, 0),
        Kept::Latest { .. } => (1, rules.max_message),
        Kept::Window { count, bytes, .. } => (count as usize, bytes),
    };
    bytes.saturating_add(count.saturating_mul(OVERHEAD + topic.len()))
}

/// Fits a replay into the room that is reserved for it, and returns also what it takes. Many short messages take more room
/// than the bytes of a history say: then the oldest messages are left out, and a client that gave a position has lost them.
pub(super) fn fitting<'a>(
    form: Form,
    topic: &TopicName,
    welcome: &Welcome<'a>,
    room: usize,
) -> (Welcome<'a>, usize) {
    let replay = welcome.replay;
    let mut used = 0;
    let newest_first = replay.iter().rev();
    let fit = newest_first.take_while(|entry| {
        let weight = weight(form, topic, entry);
        // One message goes into any outbox.
        let is_fit = used == 0 || used + weight <= room;
        used += if is_fit { weight } else { 0 };
        is_fit
    });
    let left_out = replay.len() - fit.count();
    let Some(before) = left_out.checked_sub(1).and_then(|last| replay.get(last)) else {
        return (*welcome, used);
    };
    if let Recovery::Recovered { .. } = welcome.recovery {
        let top = replay.last().map(|entry| entry.position);
        let lost = Welcome {
            at: top,
            recovery: Recovery::Lost,
            replay: &[],
        };
        return (lost, 0);
    }
    let newest = Welcome {
        at: Some(before.position),
        recovery: welcome.recovery,
        replay: replay.get(left_out..).unwrap_or_default(),
    };
    (newest, used)
}

/// Returns what an entry counts for in an outbox, at most.
fn weight(form: Form, topic: &TopicName, entry: &Entry) -> usize {
    let header = if form == Form::Raw {
        0
    } else {
        OVERHEAD + topic.len()
    };
    (header + entry.body.len()).max(OVERHEAD)
}
