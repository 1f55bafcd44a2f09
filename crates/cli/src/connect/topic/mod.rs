//! Topics in the terminal: `sockeye connect --topics` receives, and `sockeye publish` sends.

use sockeye::reconnect::topics::TopicClient;
use sockeye::reconnect::{Interruption, Retry};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::reach::ReachOptions;
use super::report::is_normal;
use super::way;

mod listen;
mod notice;
mod options;
mod publish;

pub(super) use self::listen::listen;
pub(crate) use self::options::PublishOptions;
pub(super) use self::publish::publish;

/// Returns a client of topics, and the lines about its attempts that `--verbose` shows.
fn client(
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
fn show_waiting(lines: &mut mpsc::Receiver<String>, mut show: impl FnMut(&str)) {
    while let Ok(lines) = lines.try_recv() {
        show(&lines);
    }
}

/// Returns the outcome of a client that has ended.
fn outcome(why: Option<Interruption>) -> Result<(), Failure> {
    match why {
        Some(Interruption::Connect(error)) => Err(Failure::Connect(error)),
        Some(Interruption::Lost(error)) => Err(Failure::Lost(error)),
        Some(Interruption::Subprotocol(reason)) => Err(Failure::Subprotocol(reason)),
        Some(Interruption::Closed(reason)) if !is_normal(&reason) => Err(Failure::Closed(reason)),
        _ => Ok(()),
    }
}
