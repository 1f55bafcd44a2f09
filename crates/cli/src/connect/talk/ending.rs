//! The end of a talk: the remaining output, the last lines on stderr, and the exit code.

use std::io;
use std::time::Duration;

use sockeye::{CloseCode, CloseReason, Connection};

use super::Talk;
use crate::connect::failure::Failure;
use crate::connect::goal::GoalState;
use crate::connect::stage::Answer;
use crate::connect::wait::until;
use crate::escape::Escaped;
use crate::exit::{Exit, complain};
use crate::signal::Stop;

impl Talk<'_> {
    /// Prints the remaining messages, however the talk ended. Returns the exit of the program.
    pub(in crate::connect) async fn end(
        mut self,
        ended: Result<(), Failure>,
        last: Option<&Connection>,
        stop: &mut Stop,
    ) -> Result<Exit, Failure> {
        self.printer.end_prompt();
        let printed = self.print_remaining(stop).await;
        // Later failures follow from the first one.
        let ended = match (ended, printed, self.printer.lost()) {
            (Ok(()), Err(failure), _) => Err(failure),
            (Ok(()) | Err(Failure::Unanswered), _, lost @ 1..) => Err(Failure::Unread(lost)),
            (ended, _, _) => ended,
        };
        match ended {
            // The reader of stdout is gone, for example `| head`. The talk is over.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exit::Done)
            }
            // The goal is met, so the way in which the server ends the connection does not count.
            Err(Failure::Lost(_) | Failure::Unanswered) if self.goal.state() == GoalState::Met => {
                Ok(Exit::Done)
            }
            Err(failure) => Err(failure),
            Ok(()) => Ok(self.conclude(last)),
        }
    }

    /// Prints the remaining messages. The reader of stdout may be slow.
    ///
    /// If this side closed the connection, the reader may pause for the close timeout. If the server closed it, the
    /// reader may pause for any time. After a signal, the close timeout bounds the whole output.
    async fn print_remaining(&mut self, stop: &mut Stop) -> Result<(), Failure> {
        self.printer.hand_over();
        // Bytes that stdout was not offered before get some time in any case.
        let offered = self.printer.progressed_at() + LAST_BYTES;
        while !self.printer.is_idle() {
            let progressed_at = self.printer.progressed_at();
            let gives_up = match (self.stopped_at, self.closing_from) {
                (Some(stopped_at), _) => Some(offered.max(stopped_at + self.close_timeout())),
                (None, Some(from)) => Some(from.max(progressed_at) + self.close_timeout()),
                (None, None) => None,
            };
            tokio::select! {
                biased;
                printed = self.printer.print() => printed.map_err(Failure::Output)?,
                at = stop.asked(), if self.stopped_at.is_none() => self.stopped_at = Some(at),
                () = until(gives_up) => {
                    if self.stopped_at.is_some() || self.printer.progressed_at() == progressed_at {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Reports the server's close code to a person, or if it is not a normal one. Returns the exit of the program.
    fn conclude(&self, last: Option<&Connection>) -> Exit {
        if self.goal.state() == GoalState::Met {
            return Exit::Done;
        }
        let reason = last.and_then(Connection::close_received);
        let is_normal = reason.is_none_or(is_normal);
        if let Some(reason) = reason.filter(|_| self.is_typed || !is_normal) {
            let reason = reason.to_string();
            complain(&format!("closed: {}", Escaped(&reason)));
        }
        match self.goal.state() {
            _ if !is_normal => Exit::Abnormal,
            GoalState::Open | GoalState::Missed => {
                complain("closed before the goal of --count or --expect was reached");
                Exit::Unmet
            }
            GoalState::None | GoalState::Met => {
                self.tell_silence();
                Exit::Done
            }
        }
    }

    /// Reports that no message followed the last one, unless the options show that the user expected none.
    fn tell_silence(&self) {
        let has_ended = self.input.is_none() && self.stopped_at.is_none();
        let is_asked = !self.is_typed && self.options.wait.is_none();
        if self.answer != Answer::Awaited || !has_ended || !is_asked || self.options.grace.is_zero()
        {
            return;
        }
        let hint = match self.closing_from {
            Some(_) => "; --wait=5s waits longer",
            None => "",
        };
        complain(&format!(
            "no message arrived after the last one was sent{hint}"
        ));
    }
}

/// Whether the close code reports no problem.
fn is_normal(reason: &CloseReason) -> bool {
    let codes = [
        CloseCode::NORMAL,
        CloseCode::GOING_AWAY,
        CloseCode::NO_STATUS,
    ];
    codes.contains(&reason.code())
}

/// The time for bytes that stdout was not offered before, although the close timeout is over.
const LAST_BYTES: Duration = Duration::from_secs(1);
