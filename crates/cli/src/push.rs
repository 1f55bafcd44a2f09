//! `/push`: the server says what time it is, at once and then each second, unasked: the thing that polling
//! cannot do.

use std::time::{Duration, SystemTime};

use sockeye::{SendError, Session, server_endpoint};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::time::rfc3339;

/// The most bytes of a message. What a peer says here is dropped, so there is no need to read much of it.
pub(crate) const MAX_COMMAND: u64 = 4096;

/// One for each connection: it owns the task that pushes.
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

    /// What the peer says is of no interest.
    #[on_message]
    fn ignore_text(&mut self, _text: &str) {}

    #[on_message]
    fn ignore_binary(&mut self, _bytes: &[u8]) {}
}

/// However the session ends, the task ends with it.
impl Drop for Push {
    fn drop(&mut self) {
        if let Some(ticking) = self.ticking.take() {
            ticking.abort();
        }
    }
}

/// Waits until each time is written: a peer that reads slowly gets fewer of them, and no old ones.
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
