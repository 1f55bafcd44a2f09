//! Rule 10: faults that lose nothing make no `lost` on a window.

use sockeye_pubsub::{Kept, Position};

use super::index::Index;
use super::logs::{Millis, Topic};

/// Returns the number of messages behind a position if the engine kept all of them at this time, so that `lost` was
/// needless.
///
/// A position that is not on the engine's branch is lost rightly. So is one that the limits of the window have passed.
pub(super) fn kept_behind(
    index: &Index<'_>,
    topic: Topic,
    time: Millis,
    position: Position,
) -> Option<u32> {
    if index.may_lose || index.logs.topics[topic.0 as usize].may_lose {
        return None;
    }
    let Kept::Window { count, age, bytes } = index.kept(topic) else {
        return None;
    };
    let place = index.on_branch(topic, position)?;
    let behind = index.branch(topic)[place..]
        .iter()
        .map(|entry| &index.logs.stored[*entry as usize])
        .take_while(|entry| entry.time <= time.saturating_add(index.bounds.skew));
    let mut missing = 0;
    let mut len = 0;
    let mut oldest = time;
    for entry in behind {
        missing += 1;
        len += u64::from(entry.len);
        oldest = oldest.min(entry.time);
    }
    let age = Millis::try_from(age.as_millis()).unwrap_or(Millis::MAX);
    (missing <= count && len <= bytes as u64 && time - oldest < age).then_some(missing)
}
