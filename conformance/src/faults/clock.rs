//! The clock that all logs of a run share: milliseconds since 1970. The processes of a run are on one machine.

use std::time::{SystemTime, UNIX_EPOCH};

use sockeye_engine_kit::checker::Millis;

/// Returns the time.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    })
}
