//! `/push`: the server sends the time, at once and then each second, without a request.

use std::time::{Duration, SystemTime};

use sockeye::error::SendError;
use sockeye::{Session, server_endpoint};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::time::rfc3339;

/// The size limit of a received message, in bytes. Received messages are ignored, so the limit is small.
pub(crate) const MAX_COMMAND: u64 = 4096;

/// The endpoint of one connection. It owns the task that pushes.
#[derive(Debug, Default)]
pub(crate) struct Push {
    ticking: Option<JoinHandle<SendError>>,
}

#[server_endpoint("/push")]
impl Push {
    #[on_open]
    fn start(&mut self, session: &Session) {
        self.ticking = Some(tokio::spawn(tick(session.clone())));
    }

    /// Ignores received messages.
    #[on_message]
    fn ignore_text(&mut self, _text: &str) {}

    #[on_message]
    fn ignore_binary(&mut self, _bytes: &[u8]) {}
}

/// Ends the task, however the session ends.
impl Drop for Push {
    fn drop(&mut self) {
        if let Some(ticking) = self.ticking.take() {
            ticking.abort();
        }
    }
}

/// Sends the time each second, and waits until it is written. A slow peer gets fewer times, and no old ones.
async fn tick(session: Session) -> SendError {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let now = rfc3339(SystemTime::now());
        if let Err(closed) = session.basic_remote().send_text(now).await {
            return closed;
        }
    }
}
