//! The client of both commands: how it begins, and how it ended.

use sockeye::reconnect::topics::TopicClient;
use sockeye::reconnect::{Interruption, Retry};
use tokio::sync::mpsc;

use crate::connect::failure::Failure;
use crate::connect::reach::ReachOptions;
use crate::connect::report::is_normal;
use crate::connect::way;

/// Returns a client of topics, and the lines about its attempts that `--verbose` shows.
pub(super) fn client(
    url: &str,
    reach: &ReachOptions,
    retry: Option<u32>,
) -> Result<(TopicClient, mpsc::Receiver<String>), Failure> {
    let (tell, lines) = mpsc::channel(MAX_LINES);
    let client = way::client(reach, true, tell)?;
    let client = client.reconnecting(url).map_err(Failure::Connect)?;
    let retry = Retry::default().limit(retry.unwrap_or(0));
    Ok((client.retry(retry).topics(), lines))
}

/// The number of lines about an attempt that may wait to be shown.
const MAX_LINES: usize = 64;

/// Shows the lines about an attempt that wait, before the attempt's outcome is shown.
pub(super) fn show_waiting(lines: &mut mpsc::Receiver<String>, mut show: impl FnMut(&str)) {
    while let Ok(lines) = lines.try_recv() {
        show(&lines);
    }
}

/// Returns the outcome of a client that has ended.
pub(super) fn outcome(why: Option<Interruption>) -> Result<(), Failure> {
    match why {
        Some(Interruption::Connect(error)) => Err(Failure::Connect(error)),
        Some(Interruption::Lost(error)) => Err(Failure::Lost(error)),
        Some(Interruption::Subprotocol(reason)) => Err(Failure::Subprotocol(reason)),
        Some(Interruption::Closed(reason)) if !is_normal(&reason) => Err(Failure::Closed(reason)),
        _ => Ok(()),
    }
}
