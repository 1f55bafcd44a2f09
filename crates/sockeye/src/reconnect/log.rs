//! How an interruption is shown to people and in the log.

use std::fmt;
use std::time::Duration;

use super::retry::Interruption;
use crate::client::ConnectErrorForLog;
use crate::error::ErrorChain;
use crate::peer_text::PeerText;

/// Shows the interruption with its causes in one line.
impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "the peer closed with {reason}"),
            Self::Connect(error) => ErrorChain::new(error).fmt(f),
            Self::Lost(error) => ErrorChain::new(error).fmt(f),
            Self::Subprotocol(reason) => write!(f, "closed with {reason}"),
        }
    }
}

/// Logs that a reconnecting client lost its connection, or failed to connect. It tries again after the pause; `None` for
/// no further attempt.
pub(super) fn log_interruption(why: &Interruption, pause: Option<Duration>) {
    let why = ForLog(why);
    match pause {
        Some(pause) => tracing::debug!(%why, ?pause, "connecting again after a pause"),
        None => tracing::debug!(%why, "connecting no more"),
    }
}

/// Shows an interruption on one line of a log, without text that may hold a secret.
struct ForLog<'a>(&'a Interruption);

impl fmt::Display for ForLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Interruption::Closed(reason) => {
                write!(f, "the peer closed with {}", reason.code().get())
            }
            Interruption::Connect(error) => ConnectErrorForLog(error).fmt(f),
            Interruption::Lost(error) => {
                let chain = ErrorChain::new(error).to_string();
                PeerText(chain.as_bytes()).fmt(f)
            }
            Interruption::Subprotocol(reason) => write!(f, "closed with {reason}"),
        }
    }
}
