//! The output that remains when the connection has ended.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use super::output::Printer;
use super::wait::until;
use crate::signal::Stop;

/// How long the reader of stdout may pause.
pub(super) struct Remaining {
    /// When a signal asked for the end.
    pub(super) stopped_at: Option<Instant>,
    /// When this side began to close a connection.
    pub(super) closing_from: Option<Instant>,
    pub(super) close_timeout: Duration,
}

impl Remaining {
    /// Prints the remaining messages. The reader of stdout may be slow.
    ///
    /// If this side closed the connection, the reader may pause for the close timeout. If the server closed it, the
    /// reader may pause for any time. After a signal, the close timeout bounds the whole output.
    pub(super) async fn print(
        &mut self,
        printer: &mut Printer,
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        printer.hand_over();
        // Bytes that stdout was not offered before get some time in any case.
        let offered = printer.progressed_at() + LAST_BYTES;
        while !printer.is_idle() {
            let progressed_at = printer.progressed_at();
            let gives_up = match (self.stopped_at, self.closing_from) {
                (Some(stopped_at), _) => Some(offered.max(stopped_at + self.close_timeout)),
                (None, Some(from)) => Some(from.max(progressed_at) + self.close_timeout),
                (None, None) => None,
            };
            tokio::select! {
                biased;
                printed = printer.print() => printed.map_err(Failure::Output)?,
                at = stop.asked(), if self.stopped_at.is_none() => self.stopped_at = Some(at),
                () = until(gives_up) => {
                    if self.stopped_at.is_some() || printer.progressed_at() == progressed_at {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The time for bytes that stdout was not offered before, although the close timeout is over.
const LAST_BYTES: Duration = Duration::from_secs(1);
